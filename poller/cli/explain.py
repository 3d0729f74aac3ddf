"""`poller explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import AsObject, Database, Handlers
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.client import explain as explained
    from poller.client.explain import ClaimExplained, RowExplained
else:
    explained = lazy("poller.client.explain")

Asked = Annotated[
    str,
    typer.Argument(metavar="TABLE:STATUS[:KEY]", help="A row; without its key, how such rows are claimed."),
]


def explain(
    asked: Asked, *, handlers: Handlers = "handlers", as_json: AsObject = False, database: Database = None
) -> None:
    """Say why a row is not being worked on, or how rows are claimed.

    For a row: every reason, in the order in which they would have to be removed, each with the fact that proves it. For
    a handler: the claim statement, its plan on this database, and what it lacks. Without the --handlers package, the
    handler's where and order_by are not evaluated: for a row, the where is shown as a reason.
    """
    found = client(database, handlers).explain(asked)
    if found.unchecked:
        names = " and ".join(found.unchecked)
        render.say(f"{handlers} has no such handler; not evaluated: its {names}", err=True)
    if as_json:
        typer.echo(render.as_one(explained.as_object(found)))
    else:
        render.say("\n".join(_row(found) if isinstance(found, explained.RowExplained) else _claim(found)))


def _row(found: RowExplained) -> list[str]:
    if found.waits:
        return [
            f"{found.row} is due, and waits for a slot: those of all workers that have its handler are taken"
        ]
    if found.claimable:
        return [f"{found.row} is due, and nothing keeps a worker from it"]
    width = max(len(each.reason) for each in found.reasons)
    lines = [
        f"  {number}. {each.reason:<{width}}  {each.detail}" for number, each in enumerate(found.reasons, 1)
    ]
    is_open = all(each.facts.get("checked") is False for each in found.reasons)
    return [
        f"{found.row} is due, if this is true of it:" if is_open else f"{found.row} is not claimed:",
        *lines,
    ]


def _claim(found: ClaimExplained) -> list[str]:
    lacks = [f"  {each.severity}: {each.what}; {each.todo}" for each in found.lacks] or ["  nothing"]
    return [found.statement, "", "plan:", *(f"  {line}" for line in found.plan), "", "lacks:", *lacks]
