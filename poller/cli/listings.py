"""`poller handlers`, `failures`, `history` and `actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.asking import client
from poller.cli.options import After, AsJson, Database, Handlers, Limit, Selector, most, say_if_cut

if TYPE_CHECKING:
    from datetime import datetime

    from poller.client.actions import Action
    from poller.client.row_queries import Failure
    from poller.client.status import HandlerLine


def handlers(*, handlers: Handlers = "handlers", as_json: AsJson = False, database: Database = None) -> None:
    """Show the handlers, and how they fare."""
    page = client(database, handlers, needs_handlers=True).handlers()
    render.listing(page.items, _handlers(page.as_of), as_json=as_json, empty="no handlers")


def failures(
    selector: Selector = "all",
    *,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show the rows in trouble, with their last error.

    These are parked rows, and rows that wait for another attempt after one that failed.
    """
    page = client(database).failures(selector, after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _failures(page.as_of), as_json=as_json, empty="no rows are in trouble")
    say_if_cut(page, as_json=as_json)


def history(  # noqa: PLR0913 - the contract's options
    table: Annotated[str, typer.Argument(metavar="TABLE", help="With or without its schema.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The primary key; a JSON array if composite.")],
    *,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show what happened to one row.

    The latest event comes last. Exits with 1 if nothing is recorded.
    """
    page = client(database).history(table, key, after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _HISTORY, as_json=as_json, empty="")
    say_if_cut(page, as_json=as_json)


def actions(
    *, limit: Limit = None, after: After = None, as_json: AsJson = False, database: Database = None
) -> None:
    """Show what people have ordered, the newest first.

    Who did what, when, by which face, and how many rows, jobs or runs it reached. Orders are kept for 90 days.
    """
    page = client(database).actions(after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _ACTIONS, as_json=as_json, empty="no orders yet")
    say_if_cut(page, as_json=as_json)


def _target(line: Action) -> str:
    return " ".join([line.target, *(line.filter or ()), *([line.detail] if line.detail else ())])


_ACTIONS = (
    render.Column("at", lambda line: render.clock(line.at)),
    render.Column("actor", lambda line: line.actor, roomy=True),
    render.Column("via", lambda line: line.via),
    render.Column("action", lambda line: line.action),
    render.Column("target", _target, roomy=True),
    render.Column("affected", lambda line: line.affected, right=True),
)

_HISTORY = (
    render.Column("at", lambda line: render.clock(line.at)),
    render.Column("status", lambda line: line.status),
    render.Column("verdict", lambda line: line.verdict),
    render.Column("to", lambda line: line.to),
    render.Column("attempt", lambda line: line.attempt, right=True),
    render.Column(
        "seconds", lambda line: None if line.seconds is None else f"{line.seconds:.3f}", right=True
    ),
    render.Column("worker", lambda line: line.worker, right=True),
    render.Column("error", lambda line: line.error, roomy=True),
)


def _handlers(now: datetime) -> tuple[render.Column, ...]:
    return (
        render.Column("table", lambda line: line.table, roomy=True),
        render.Column("status", lambda line: line.status),
        render.Column("to", lambda line: " | ".join(line.to), roomy=True),
        render.Column("during", lambda line: line.during),
        render.Column("on failure", lambda line: line.on_failure),
        render.Column("attempts", lambda line: line.attempts, right=True),
        render.Column("timeout", lambda line: f"{line.timeout:g}s", right=True),
        render.Column("in flight", lambda line: line.in_flight, right=True),
        render.Column("done/min", lambda line: line.done_per_minute, right=True),
        render.Column("paused", lambda line: _paused(line, now), roomy=True),
        render.Column("function", lambda line: render.near(line.place), roomy=True),
    )


def _paused(line: HandlerLine, now: datetime) -> str:
    if not line.paused:
        return ""
    ends = "" if line.paused_until is None else f", ends {render.since(line.paused_until, now)}"
    return f"by {line.paused_by}{ends}"


def _failures(now: datetime) -> tuple[render.Column, ...]:
    return (
        render.Column("table", lambda line: line.table, roomy=True),
        render.Column("status", lambda line: line.status),
        render.Column("key", lambda line: line.key, roomy=True),
        render.Column("attempt", lambda line: line.attempt, right=True),
        render.Column("next", lambda line: _next(line, now)),
        render.Column("error", lambda line: line.error, roomy=True),
    )


def _next(line: Failure, now: datetime) -> str:
    if line.parked:
        return "parked"
    return "now" if line.next_at is None or line.next_at <= now else render.since(line.next_at, now)
