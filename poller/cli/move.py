"""`poller move`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.exit_status import INTERRUPTED
from poller.cli.options import Actor, Database, Keys
from poller.cli.progress import bar, stopped_by_interrupt

if TYPE_CHECKING:
    from poller.client.moves import Left

Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="TABLE:STATUS[:KEY], or TABLE:KEY.")]
Status = Annotated[str, typer.Argument(metavar="STATUS", help="The status to move the rows to.")]


From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STATUS", help="The status that the rows show, if it may also be read as a key."
    ),
]


Column = Annotated[
    str | None,
    typer.Option("--column", metavar="C", help="The status column, where the table has several."),
]


def move(  # noqa: PLR0913 - what makes an order
    selector: Selector,
    status: Status,
    keys: Keys = None,
    *,
    shown: From = None,
    column: Column = None,
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Move rows to another status by hand, a thousand at a time.

    A row is moved only if it still shows the status that it is moved from. An attempt in flight is not stopped: its
    outcome is superseded. The rows' attempts are forgotten. Exits with 1 if no row was moved. Rows that are left are
    listed with the reason. Ctrl-C stops between two batches; what is moved stays so. What follows TABLE is a status if
    the table's state machine has it, else a key if a row has it, else a status.
    """
    asked = client(database, actor=actor)
    with bar(f"moving {selector}") as progress, stopped_by_interrupt() as stop:
        done = asked.move(
            selector, status, keys or (), shown=shown, column=column, progress=progress, stop=stop
        )
    stopped = "stopped; " if done.stopped else ""
    left = "".join(f"; {_left(each)}" for each in done.left)
    render.say(f"{stopped}moved {render.rows(done.rows)} of {done.table} to {done.status}{left}")
    raise typer.Exit(INTERRUPTED if done.stopped else 0)


def _left(left: Left) -> str:
    """Say how many rows were left for one reason, and what it is."""
    if left.reason == "locked":
        return f"{render.rows(left.rows)} left, since another transaction has them locked"
    example = "" if left.rows == 1 else "for one, "
    return f"{render.rows(left.rows)} left: {example}{left.detail}"
