"""`poller status`, once or as a live table."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Group
from rich.live import Live

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import AsJson, Database, Handlers
from poller.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from poller.client.status import StatusLine

PERIOD_SECONDS = 1.0  # between two looks
LOOK_SHARE = 10  # a look may take one part in so many of the time
NO_HANDLERS = "no handlers"
NO_STATUS = "(null)"

Watch = Annotated[bool, typer.Option("--watch", help="Refresh it until Ctrl-C.")]
Exact = Annotated[bool, typer.Option("--exact", help="Count every row, which reads the whole tables.")]


class StatusLook(NamedTuple):
    """The result of one look: the lines and their time, or the error."""

    lines: tuple[StatusLine, ...]
    at: datetime | None
    fault: str | None = None
    left_out: tuple[str, ...] = ()


def status(
    *,
    watch: Watch = False,
    exact: Exact = False,
    handlers: Handlers = "handlers",
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show how many rows each status has.

    For each status that a handler takes or leads to, and others that rows have: rows, the oldest of them, in flight,
    waiting for another attempt, parked, and done in the last minute. Up to 10,000 rows of a status are counted. Beyond
    that, or where no index finds them, the number is the planner's estimate, marked ≈, with the age of its statistics.
    """
    fleet = client(database, handlers, needs_handlers=True)

    def look() -> StatusLook:
        page = fleet.status(exact=exact, progress=_say_counting)
        return StatusLook(page.items, page.as_of, left_out=page.faults)

    if watch:
        _watch(look, as_json=as_json)
    else:
        _print(look(), as_json=as_json)


def _say_counting(table: str, rows: int) -> None:
    render.say(f"counting {table}: ≈ {render.rows(rows)}", err=True)


def _print(seen: StatusLook, *, as_json: bool) -> None:
    render.listing(seen.lines, _columns(seen.at), as_json=as_json, empty=NO_HANDLERS)
    render.say_each(seen.left_out)


def _watch(look: Callable[[], StatusLook], *, as_json: bool) -> None:
    """Show one look after another, until Ctrl-C."""
    try:
        if sys.stdout.isatty() and not as_json:
            _live(look)
        for seen in _looks(look):
            _print_on(seen, as_json=as_json)
    except KeyboardInterrupt:
        return


def _live(look: Callable[[], StatusLook]) -> None:
    with Live(auto_refresh=False) as live:
        for seen in _looks(look):
            table = render.table(seen.lines, _columns(seen.at))
            left_out = map(render.plain, seen.left_out)
            live.update(seen.fault or Group(table, *left_out), refresh=True)


def _print_on(seen: StatusLook, *, as_json: bool) -> None:
    """Print a look where no terminal is attached: an array a line, or a table and an empty line."""
    if seen.fault is not None:
        render.say(seen.fault, err=True)
    elif as_json:
        typer.echo(render.as_array(seen.lines))
    else:
        typer.echo(render.text(seen.lines, _columns(seen.at)) + "\n")
    sys.stdout.flush()
    render.say_each(seen.left_out)


def _looks(look: Callable[[], StatusLook]) -> Iterator[StatusLook]:
    """Look again and again; wait for a database that goes away."""
    yield look()
    while True:
        began = time.monotonic()
        time.sleep(PERIOD_SECONDS)
        try:
            seen = look()
        except DatabaseError as error:
            seen = StatusLook((), None, str(error))
        yield seen
        time.sleep((time.monotonic() - began - PERIOD_SECONDS) * LOOK_SHARE)


def _columns(now: datetime | None) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("table", lambda line: line.table, roomy=True),
        render.ListingColumn("status", _status),
        render.ListingColumn(
            "rows", lambda line: line.rows if line.exact else f"≈ {line.rows:,}", right=True
        ),
        render.ListingColumn("statistics", lambda line: _statistics(line, now)),
        render.ListingColumn("oldest", lambda line: render.since(line.oldest, now) if now else ""),
        render.ListingColumn("in flight", lambda line: line.in_flight, right=True),
        render.ListingColumn("waiting", lambda line: line.waiting, right=True),
        render.ListingColumn("parked", lambda line: line.parked, right=True),
        render.ListingColumn("done/min", lambda line: line.done_per_minute, right=True),
        render.ListingColumn("", lambda line: "paused" if line.paused else None),
    )


def _status(line: StatusLine) -> str:
    """Return a status, with its column where the table has several."""
    status = NO_STATUS if line.status is None else line.status
    return status if line.column is None else f"{status} ({line.column})"


def _statistics(line: StatusLine, now: datetime | None) -> str:
    """Return the age of the statistics behind an estimate."""
    if line.exact or now is None:
        return ""
    return "never analyzed" if line.statistics_at is None else render.since(line.statistics_at, now)
