"""What stands behind a line: a handler in full, a row with what happened to it and why it waits, a run with its output.

Values of users' columns are not among it: of a row there are its key, its status, and what poller has recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from poller.client.explain import RowExplained
from poller.errors import PollerError
from poller.telemetry.printable import lines as printable_lines
from poller.telemetry.printable import one_line
from poller.telemetry.times import clock, since, took
from poller.tui import orders
from poller.tui.columns import as_text, short
from poller.tui.orders import ChosenRows, DraftOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from poller.client.answers import Page
    from poller.client.job_queries import RunLine
    from poller.client.row_queries import HistoryEvent
    from poller.tui.looks import ScreenClients

SHOWN_EVENTS = 50  # of a row's history
SEARCHED_RUNS = 200  # of a job, the newest, among which a run is looked for
OFTEN_SECONDS, SELDOM_SECONDS, RARELY_SECONDS = 1.0, 5.0, 60.0  # seconds from one look at it to the next
LONGEST_OUTPUT = 1000  # lines of a run's output, the last ones
_NUMBERS = ("id", "pid", "worker")  # that count nothing
_IN_SECONDS = ("p50", "p95", "timeout", "seconds", "heartbeat_age", "window", "next_in")


class Section(NamedTuple):
    """A part of a detail: names with their values, then lines of text."""

    title: str
    pairs: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Detail:
    """What stands behind a line.

    Attributes:
        title: its name.
        ask: asks for it; times are told in the zone.
        every: seconds from one look to the next.
        acts: the orders for it, by their keys.
        moves: the row, if it may be moved to another status.
        ends: it grows at its end, which is what is shown.
    """

    title: str
    ask: Callable[[ScreenClients, tzinfo | None], Sequence[Section]]
    every: float = SELDOM_SECONDS
    acts: Mapping[str, Callable[[], DraftOrder]] = field(default_factory=dict)
    moves: ChosenRows | None = None
    ends: bool = False


def of_handler(line: Any) -> Detail:
    """Return the detail of a handler, or of a status that none takes: its rows, how it fares, and its limits."""
    rows = ChosenRows(line.table, line.status, column=getattr(line, "column", None))

    def ask(asked: ScreenClients, zone: tzinfo | None) -> list[Section]:
        machines = asked.machines
        pages: dict[str, Page[Any]] = {
            "rows": machines.status(),
            "handler": machines.handlers(),
            "limits": asked.client.limits(),
        }
        return [
            Section(title, pairs_of(each, page.as_of, zone, ("table", "status")))
            for title, page in pages.items()
            for each in page.items
            if (each.table, each.status) == (line.table, line.status)
        ]

    acts = {"r": lambda: orders.retry(rows), "l": lambda: orders.release(rows)}
    return Detail(short(rows.handler), ask, acts=acts, moves=rows)


def of_line(title: str, line: Any) -> Detail:
    """Return the detail of a line that is known whole: its fields, but for its number."""

    def ask(asked: ScreenClients, zone: tzinfo | None) -> list[Section]:
        return [Section("", pairs_of(line, asked.client.totals().as_of, zone, ("id",)))]

    return Detail(title, ask)


def of_check() -> Detail:
    """Return what is wrong with the handlers and jobs, held against the database."""

    def ask(asked: ScreenClients, _: tzinfo | None) -> list[Section]:
        if not asked.has_code:
            return [Section("what is checked is the handlers' code, and there is none here")]
        found = asked.client.check().items
        return [
            Section(
                f"{each.severity}: {one_line(near(each.where))}", lines=_lines(f"{each.what}\n{each.todo}")
            )
            for each in found
        ] or [Section("no problems found")]

    return Detail("check", ask, every=RARELY_SECONDS)


def of_row(row: ChosenRows) -> Detail:
    """Return the detail of a row: its trouble, why it is not worked on, and what happened to it."""
    assert row.key is not None  # noqa: S101 - it is one row
    key = row.key

    def ask(asked: ScreenClients, zone: tzinfo | None) -> list[Section]:
        trouble = asked.client.failures(row.selector, traceback=True).items
        history = _told(lambda: _events(asked, row.table, key, zone))
        return [
            Section("why it is not worked on", lines=tuple(_told(lambda: _why(asked, row)))),
            *(Section("its error", lines=_lines(each.traceback or each.error)) for each in trouble),
            Section("what happened to it", lines=tuple(history)),
        ]

    acts = {"r": lambda: orders.retry(row), "l": lambda: orders.release(row)}
    return Detail(short(row.selector), ask, acts=acts, moves=row)


def of_run(run: int, job: str) -> Detail:
    """Return the detail of a run: how it stands, and what it has printed, the end of it last."""

    def ask(asked: ScreenClients, zone: tzinfo | None) -> list[Section]:
        page = asked.client.runs(job, limit=SEARCHED_RUNS)
        own = [
            Section("run", pairs_of(each, page.as_of, zone, ("id",))) for each in page.items if each.id == run
        ]
        found = asked.client.logs(run)
        printed = _lines(found.output)[-LONGEST_OUTPUT:] if found.output else ("it has printed nothing",)
        return [*(own or [Section("", lines=(found.status,))]), Section("output", lines=printed)]

    acts = {"t": lambda: orders.trigger(job), "c": lambda: orders.cancel(run)}
    return Detail(f"run {run} of {job}", ask, OFTEN_SECONDS, acts, ends=True)


# --- texts ---------------------------------------------------------------------------------------------


def pairs_of(
    answer: Any, now: datetime, zone: tzinfo | None, left_out: Sequence[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return an answer's fields as names and values for people, without those that are not set."""
    assert is_dataclass(answer)  # noqa: S101 - the client's answers are
    named = ((each.name, getattr(answer, each.name)) for each in fields(answer) if each.name not in left_out)
    told = ((name.replace("_", " "), value_of(name, value, now, zone)) for name, value in named)
    return tuple((name, value) for name, value in told if value)


def value_of(name: str, value: Any, now: datetime, zone: tzinfo | None) -> str:
    """Return the value of a field as people read it; "" for one that is not set."""
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{clock(value, zone)} ({since(value, now)})"
        case list() | tuple():
            return ", ".join(map(as_text, value))
        case dict():
            return ", ".join(f"{as_text(key)} {as_text(each)}" for key, each in value.items())
    if name in _IN_SECONDS:
        return took(value) or ""
    shown = as_text(str(value) if name in _NUMBERS and value is not None else value)
    return near(shown) if name == "place" else shown


def progress(line: RunLine) -> str | None:
    """Return how far a run has come, as it says itself."""
    if line.done is None:
        return None
    return f"{100 * line.done / line.total:.0f}%" if line.total else f"{line.done:,g}"


def near(text: str) -> str:
    """Return a text with its files' names relative to the working directory."""
    return text.replace(f"{Path.cwd()}/", "")


def _lines(text: str | None) -> tuple[str, ...]:
    """Return the lines of others' text, without what could act on a terminal."""
    return tuple(each.expandtabs() for each in printable_lines(text or "").split("\n"))


def _told(ask: Callable[[], Iterator[str]]) -> list[str]:
    """Return the lines of an answer, or the one that says why there is none."""
    try:
        return list(ask())
    except PollerError as error:
        return [one_line(error)]


def _why(asked: ScreenClients, row: ChosenRows) -> Iterator[str]:
    found = asked.client.explain(row.handler, row.key)
    if not isinstance(found, RowExplained):
        return
    if found.claimable:
        yield "it is due, and nothing keeps a worker from it"
    width = max((len(each.reason) for each in found.reasons), default=0)
    yield from (f"{each.reason:<{width}}  {one_line(each.detail)}" for each in found.reasons)
    if found.unchecked:
        yield f"(the handler's code is not here: its {' and '.join(found.unchecked)} are not looked at)"


def _events(asked: ScreenClients, table: str, key: str, zone: tzinfo | None) -> Iterator[str]:
    page = asked.client.history(table, key, limit=SHOWN_EVENTS)
    yield from (_event(each, zone) for each in page.items)
    if page.next is not None:
        yield f"(the last {SHOWN_EVENTS} events of one day)"


def _event(event: HistoryEvent, zone: tzinfo | None) -> str:
    to = f" → {event.to}" if event.to else ""
    parts = [clock(event.at, zone), f"{event.status}{to}", event.verdict, f"attempt {event.attempt}"]
    parts += [took(event.seconds) or ""] if event.seconds is not None else []
    parts += [f"worker {event.worker}"] if event.worker is not None else []
    return one_line("  ".join([*parts, event.error or ""]).rstrip())
