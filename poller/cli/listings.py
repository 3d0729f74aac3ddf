"""`poller handlers`, `failures`, `history` and `actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import (
    After,
    AsJson,
    Database,
    Handlers,
    Limit,
    Selector,
    duration,
    most,
    say_if_cut,
)
from poller.duration import words
from poller.telemetry.times import took

if TYPE_CHECKING:
    from datetime import datetime

    from poller.client.answers import Page
    from poller.client.status import HandlerLine
    from poller.client.trouble import Failure

DAY_SECONDS = 86400.0
NO_TROUBLE = "no rows are in trouble"


def handlers(*, handlers: Handlers = "handlers", as_json: AsJson = False, database: Database = None) -> None:
    """Show the handlers and how they perform.

    For each handler: rows in flight; rows due, and for how long (parked rows are not due); rows done and failed in the
    last minute; and how long the attempts of the last ten minutes took, half of them at most (p50), and 95 in 100 at
    most (p95).
    """
    page = client(database, handlers, needs_handlers=True).handlers()
    render.listing(page.items, _handlers(page.as_of), as_json=as_json, empty="no handlers")
    render.say_each(page.faults)


def failures(  # noqa: PLR0913 - the options of a listing
    selector: Selector = "all",
    *,
    group: Annotated[
        bool, typer.Option("--group", help="Group the rows by cause, and count those of each.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the traceback of each error, too.")
    ] = False,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show the rows in trouble, with their last error.

    The newest trouble comes first: parked rows, rows that wait for another attempt, and rows that went to their
    handler's on_failure. With --group, rows are grouped by handler, error class and place in your code: how many there
    are, since when, and an example. Failed runs of jobs are grouped, too.
    """
    if group and (after is not None or traceback):
        option = "--traceback" if after is None else "--after"
        msg = f"--group shows causes, each with an example; leave out {option}"
        raise typer.BadParameter(msg)
    asked = client(database)
    if group:
        causes = asked.failure_groups(selector)
        shown = causes.items[: most(limit, as_json=as_json)]
        render.listing(shown, _groups(causes.as_of), as_json=as_json, empty=NO_TROUBLE)
        if len(shown) < len(causes.items):
            typer.echo(f"only {len(shown)} of {len(causes.items)} causes are shown: --limit N", err=True)
        if not causes.exact:
            typer.echo(
                "of rows that went to an on_failure, the newest 10,000 of each handler are counted", err=True
            )
        return
    page = asked.failures(selector, traceback=traceback, after=after, limit=most(limit, as_json=as_json))
    if traceback and not as_json:
        _print_tracebacks(page)
    else:
        render.listing(page.items, _failures(page.as_of), as_json=as_json, empty=NO_TROUBLE)
    say_if_cut(page, as_json=as_json)


def _print_tracebacks(page: Page[Failure]) -> None:
    """Print each row in trouble with its traceback, or its error if it has none."""
    for line in page.items:
        render.say(f"{line.table}:{line.status}:{line.key}  {_next(line, page.as_of)}")
        render.say(f"{line.traceback or line.error}\n")
    if not page.items:
        typer.echo(NO_TROUBLE)


def history(  # noqa: PLR0913 - the options of a listing
    table: Annotated[str, typer.Argument(metavar="TABLE", help="With or without its schema.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The primary key; a JSON array if composite.")],
    *,
    back: Annotated[
        float,
        typer.Option(
            "--back",
            parser=duration,
            metavar="TIME",
            show_default=False,
            help="How far to look back: 12h, 30d.  [default: 1d]",
        ),
    ] = DAY_SECONDS,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show what happened to one row.

    The latest event comes last. The events of the last day are searched; to look further back takes longer where
    millions of rows have moved. Exits with 1 if nothing is recorded.
    """
    page = client(database).history(table, key, back=back, after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _HISTORY, as_json=as_json, empty="")
    say_if_cut(page, as_json=as_json)
    if not as_json:
        typer.echo(f"looked back {words(back)}; to look further: --back TIME", err=True)


def actions(
    *, limit: Limit = None, after: After = None, as_json: AsJson = False, database: Database = None
) -> None:
    """Show what people have ordered, the newest first.

    Who did what, when, by which face, and how many rows, jobs or runs it reached. Orders are kept for 90 days.
    """
    page = client(database).actions(after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _ACTIONS, as_json=as_json, empty="no orders yet")
    say_if_cut(page, as_json=as_json)


_ACTIONS = (
    render.ListingColumn("at", lambda line: render.clock(line.at)),
    render.ListingColumn("actor", lambda line: line.actor, roomy=True),
    render.ListingColumn("via", lambda line: line.via),
    render.ListingColumn("action", lambda line: line.action),
    render.ListingColumn("target", lambda line: line.meant, roomy=True),
    render.ListingColumn("affected", lambda line: line.affected, right=True),
)

_HISTORY = (
    render.ListingColumn("at", lambda line: render.clock(line.at)),
    render.ListingColumn("status", lambda line: line.status),
    render.ListingColumn("verdict", lambda line: line.verdict),
    render.ListingColumn("to", lambda line: line.to),
    render.ListingColumn("attempt", lambda line: line.attempt, right=True),
    render.ListingColumn(
        "seconds", lambda line: None if line.seconds is None else f"{line.seconds:.3f}", right=True
    ),
    render.ListingColumn("worker", lambda line: line.worker, right=True),
    render.ListingColumn("error", lambda line: line.error, roomy=True),
)


def _paused(line: HandlerLine, now: datetime) -> str:
    if not line.paused:
        return ""
    ends = "" if line.paused_until is None else f", ends {render.since(line.paused_until, now)}"
    return f"by {line.paused_by}{ends}"


def _failures(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("table", lambda line: line.table, roomy=True),
        render.ListingColumn("status", lambda line: line.status),
        render.ListingColumn("key", lambda line: line.key, roomy=True),
        render.ListingColumn("attempt", lambda line: line.attempt, right=True),
        render.ListingColumn("next", lambda line: _next(line, now)),
        render.ListingColumn("error", lambda line: line.error, roomy=True),
    )


def _handlers(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("table", lambda line: line.table, roomy=True),
        render.ListingColumn("status", lambda line: line.status),
        render.ListingColumn(
            "to", lambda line: " | ".join(_edge(line, each) for each in line.to), roomy=True
        ),
        render.ListingColumn("in flight", lambda line: line.in_flight, right=True),
        render.ListingColumn(
            "due", lambda line: line.due if line.due_exact else f"≈ {line.due:,}", right=True
        ),
        render.ListingColumn("since", lambda line: render.since(line.oldest_due, now)),
        render.ListingColumn("done/min", lambda line: line.done_per_minute, right=True),
        render.ListingColumn("failed/min", lambda line: line.failed_per_minute, right=True),
        render.ListingColumn("p50", lambda line: took(line.p50), right=True),
        render.ListingColumn("p95", lambda line: took(line.p95), right=True),
        render.ListingColumn("paused", lambda line: _paused(line, now), roomy=True),
        render.ListingColumn("during", lambda line: line.during),
        render.ListingColumn("on failure", lambda line: line.on_failure),
        render.ListingColumn("attempts", lambda line: line.attempts, right=True),
        render.ListingColumn("timeout", lambda line: f"{line.timeout:g}s", right=True),
        render.ListingColumn("function", lambda line: render.near(line.place), roomy=True),
    )


def _edge(line: HandlerLine, to: str) -> str:
    """Return a status that a handler moves to; if there are several, with its rows a minute."""
    return f"{to} {line.done_to[to]:g}" if len(line.to) > 1 and to in line.done_to else to


def _groups(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("table", lambda line: line.table, roomy=True),
        render.ListingColumn("status", lambda line: line.status),
        render.ListingColumn("error", lambda line: line.error),
        render.ListingColumn("place", lambda line: line.place),
        render.ListingColumn("rows", lambda line: line.rows, right=True),
        render.ListingColumn("waiting", lambda line: line.waiting, right=True),
        render.ListingColumn("parked", lambda line: line.parked, right=True),
        render.ListingColumn("first", lambda line: render.since(line.first_at, now)),
        render.ListingColumn("last", lambda line: render.since(line.last_at, now)),
        render.ListingColumn("e.g.", lambda line: line.example_key, roomy=True),
        render.ListingColumn("its error", lambda line: line.example, roomy=True),
    )


def _next(line: Failure, now: datetime) -> str:
    if line.to is not None:
        return f"went to {line.to}"
    if line.parked:
        return "parked"
    return "now" if line.next_at is None or line.next_at <= now else render.since(line.next_at, now)
