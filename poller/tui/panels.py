"""What the screen lists: each panel's question, its columns, what opens behind a line, and the orders for it.

A list holds `MOST` lines. Where there are more, it says so; what is looked for beyond them is found by its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from poller.duration import words
from poller.telemetry.times import moment, since, took
from poller.tui import details, orders
from poller.tui.columns import BAD, DIM, GOOD, PLAIN, WARN, Column
from poller.tui.looks import Panel
from poller.tui.orders import Order, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from poller.client.answers import Page
    from poller.client.jobs import JobLine
    from poller.client.limits import LimitLine
    from poller.client.status import HandlerLine, StatusLine
    from poller.client.trouble import Failure, Group
    from poller.tui.details import Detail
    from poller.tui.looks import Asked

MOST = 200  # lines
RUNS = "poller.run"  # where trouble of runs is told
BAR = 20  # cells
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as it is shown: its lines, the time of the look, and the zone in which times are told."""

    lines: Sequence[Any]
    now: datetime
    zone: tzinfo | None = None


def _nothing(_: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Listing:
    """A list on the screen.

    Attributes:
        title: its name.
        panel: asks for it.
        columns: makes its columns for what is seen.
        empty: is told where there are no lines.
        name_of: tells a line from others, so that the cursor stays with it.
        heading: what stands above the lines that have it in common.
        opens: the list, or the detail, behind a line.
        acts: the orders for a line, by their keys.
        moves: the rows of a line that may be moved to another status.
    """

    title: str
    panel: Panel
    columns: Callable[[Seen], Sequence[Column]]
    empty: str
    name_of: Callable[[Any], str]
    heading: Callable[[Any], str | None] = _nothing
    opens: Callable[[Any], Listing | Detail | None] = _nothing
    acts: Mapping[str, Callable[[Any], Order | None]] = field(default_factory=dict)
    moves: Callable[[Any], Rows | None] = _nothing


# --- statuses and handlers -----------------------------------------------------------------------------


def _status_columns(seen: Seen) -> Sequence[Column]:
    most = max((each.rows for each in seen.lines), default=0)
    return (
        Column("status", lambda line: line.status, shrinks=True),
        Column("", lambda line: bar(line.rows, most), rank=8, most=BAR, tone=lambda _: DIM),
        Column("rows", _rows, right=True),
        Column("oldest", lambda line: since(line.oldest, seen.now), rank=2),
        Column("in flight", lambda line: line.in_flight, right=True, tone=_some(GOOD, "in_flight")),
        Column("waiting", lambda line: line.waiting, right=True, tone=_some(WARN, "waiting")),
        Column("parked", lambda line: line.parked, right=True, tone=_some(BAD, "parked")),
        Column("done/min", lambda line: line.done_per_minute, right=True),
        Column("", lambda line: "paused" if line.paused else None, rank=1, tone=lambda _: WARN),
        Column("statistics", lambda line: _statistics(line, seen.now), rank=9, tone=lambda _: DIM),
    )


def _handler_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("handler", lambda line: f"{line.status} → {' | '.join(line.to)}", most=48, shrinks=True),
        Column("due", lambda line: line.due if line.due_exact else f"≈ {line.due:,}", right=True),
        Column("since", lambda line: since(line.oldest_due, seen.now), rank=3),
        Column("in flight", lambda line: line.in_flight, right=True, tone=_some(GOOD, "in_flight")),
        Column("done/min", lambda line: line.done_per_minute, right=True),
        Column(
            "failed/min",
            lambda line: line.failed_per_minute,
            right=True,
            tone=_some(BAD, "failed_per_minute"),
        ),
        Column("p50", lambda line: took(line.p50), right=True, rank=5),
        Column("p95", lambda line: took(line.p95), right=True, rank=4),
        Column("", lambda line: _paused(line, seen.now), rank=1, most=40, tone=lambda _: WARN),
        Column("on failure", lambda line: line.on_failure, rank=7),
        Column("attempts", lambda line: line.attempts, right=True, rank=8),
        Column("timeout", lambda line: words(line.timeout), right=True, rank=8),
        Column("place", lambda line: details.near(line.place), rank=9, most=60, tone=lambda _: DIM),
    )


def bar(rows: int, most: int, width: int = BAR) -> str:
    """Return how many rows there are beside the most, as a bar; a few are seen beside very many."""
    if not rows or not most:
        return ""
    eighths = max(1, round(8 * width * rows / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _rows(line: StatusLine) -> str:
    return f"{line.rows:,}" if line.exact else f"≈ {line.rows:,}"


def _statistics(line: StatusLine, now: datetime) -> str:
    if line.exact:
        return ""
    return "never analyzed" if line.statistics_at is None else since(line.statistics_at, now)


def _paused(line: HandlerLine, now: datetime) -> str | None:
    if not line.paused:
        return None
    ends = "" if line.paused_until is None else f", ends {since(line.paused_until, now)}"
    return f"paused by {line.paused_by}{ends}"


def _some(tone: str, name: str) -> Callable[[Any], str]:
    return lambda line: tone if getattr(line, name) else PLAIN


def _of(line: Any) -> Rows:
    return Rows(line.table, line.status)


def _pause_or_resume(line: StatusLine | HandlerLine) -> Order:
    return orders.resume(_of(line).handler) if line.paused else orders.pause(_of(line))


_HANDLER_ACTS = {
    "r": lambda line: orders.retry(_of(line)),
    "p": _pause_or_resume,
    "l": lambda line: orders.release(_of(line)),
}

STATUS = Listing(
    "Status",
    Panel("status", lambda asked: asked.machines.status()),
    _status_columns,
    "no handler is known: name their package, or start some workers",
    lambda line: f"{line.table}:{line.status}",
    heading=lambda line: line.table,
    opens=details.of_handler,
    acts=_HANDLER_ACTS,
    moves=_of,
)
HANDLERS = Listing(
    "Handlers",
    Panel("handlers", lambda asked: asked.machines.handlers()),
    _handler_columns,
    STATUS.empty,
    lambda line: f"{line.table}:{line.status}",
    heading=lambda line: line.table,
    opens=details.of_handler,
    acts=_HANDLER_ACTS,
    moves=_of,
)

# --- trouble and rows ----------------------------------------------------------------------------------


def _group_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("handler", _group_of, shrinks=True, most=40),
        Column("error", lambda line: line.error, shrinks=True, most=40, tone=lambda _: BAD),
        Column("place", lambda line: line.place, rank=2, most=40),
        Column("rows", lambda line: line.rows, right=True),
        Column("waiting", lambda line: line.waiting, right=True, rank=4),
        Column("parked", lambda line: line.parked, right=True, rank=3),
        Column("first", lambda line: since(line.first_at, seen.now), rank=5),
        Column("last", lambda line: since(line.last_at, seen.now)),
        Column("e.g.", lambda line: line.example_key, rank=6, most=24, tone=lambda _: DIM),
        Column("its error", lambda line: line.example, rank=9, shrinks=True, most=80, tone=lambda _: DIM),
    )


def _failure_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("key", lambda line: line.key, shrinks=True, most=40),
        Column("attempt", lambda line: line.attempt, right=True, rank=2),
        Column("next", lambda line: next_of(line, seen.now), tone=lambda line: BAD if line.parked else WARN),
        Column("since", lambda line: since(line.at, seen.now), rank=1),
        Column("error", lambda line: line.error, shrinks=True, most=400),
    )


def next_of(line: Failure, now: datetime) -> str:
    """Return what becomes of a row in trouble next."""
    if line.to is not None:
        return f"went to {line.to}"
    if line.parked:
        return "parked"
    return "now" if line.next_at is None or line.next_at <= now else since(line.next_at, now)


def _group_of(line: Group) -> str:
    return f"job {line.status}" if line.table == RUNS else f"{line.table}:{line.status}"


def _rows_of(group: Group) -> Listing:
    """Return the list of a group's rows; of a job's failed runs, all runs of the job."""
    if group.table == RUNS:
        return runs_of(group.status)
    ask = partial(_group_page, group=group)
    return Listing(
        f"{group.table}:{group.status}  ▸  {orders.cause(group.error, group.place)}",
        Panel("rows of a group", ask),
        _failure_columns,
        "none of them is in trouble any more",
        lambda line: line.key,
        opens=lambda line: details.of_row(Rows(line.table, line.status, line.key)),
        acts=_ROW_ACTS,
        moves=_row_of,
    )


def _group_page(asked: Asked, group: Group) -> Page[Failure]:
    """Return the newest rows of a group: those among the newest of its handler in trouble."""
    page = asked.client.failures(f"{group.table}:{group.status}", limit=10 * MOST)
    kept = [
        each
        for each in page.items
        if (each.kind or each.error, each.place or "") == (group.error, group.place)
    ]
    return replaced(page, kept[:MOST], more=len(kept) > MOST or page.next is not None)


def _row_of(line: Any) -> Rows:
    return Rows(line.table, line.status, line.key)


def _retry_group(group: Group) -> Order:
    if group.table == RUNS:
        return orders.trigger(group.status)
    error = orders.cause(group.error, group.place)
    return orders.retry(Rows(group.table, group.status, error=error))


_ROW_ACTS = {
    "r": lambda line: orders.retry(_row_of(line)),
    "l": lambda line: orders.release(_row_of(line)),
}

TROUBLE = Listing(
    "Trouble",
    Panel("trouble", lambda asked: asked.client.failure_groups()),
    _group_columns,
    "no rows are in trouble",
    lambda line: f"{line.table}\n{line.status}\n{line.error}\n{line.place}",
    opens=_rows_of,
    acts={"r": _retry_group},
)


def _held_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("handler", lambda line: f"{line.table}:{line.status}", shrinks=True, most=60),
        Column("key", lambda line: line.key, shrinks=True, most=60),
        Column("worker", lambda line: str(line.worker), right=True),
        Column("since", lambda line: since(line.since, seen.now)),
    )


INFLIGHT = Listing(
    "In flight",
    Panel("inflight", lambda asked: asked.client.inflight(limit=MOST)),
    _held_columns,
    "nothing is in flight",
    lambda line: f"{line.table}:{line.status}:{line.key}",
    opens=lambda line: details.of_row(_row_of(line)),
    acts=_ROW_ACTS,
    moves=_row_of,
)

# --- jobs, runs, workers, limits, orders ---------------------------------------------------------------

_TONES = {"failed": BAD, "running": GOOD, "pending": WARN, "cancelled": DIM, "skipped": DIM}


def _job_columns(seen: Seen) -> tuple[Column, ...]:
    return (
        Column("job", lambda line: line.name, shrinks=True, most=40),
        Column("schedule", lambda line: line.when, rank=3, most=40),
        Column("next", lambda line: _due(line, seen.now)),
        Column("last", lambda line: line.last_status, tone=lambda line: _TONES.get(line.last_status, PLAIN)),
        Column("when", lambda line: since(line.last_at, seen.now), rank=1),
        Column("running", lambda line: line.running, right=True, rank=2, tone=_some(GOOD, "running")),
        Column("waiting", lambda line: line.waiting, right=True, rank=2, tone=_some(WARN, "waiting")),
        Column("state", lambda line: line.state, tone=lambda line: PLAIN if line.state == "active" else WARN),
    )


def _due(line: JobLine, now: datetime) -> str:
    return "now" if line.next_at is not None and line.next_at <= now else since(line.next_at, now)


def _run_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("run", lambda line: str(line.id), right=True),
        Column("job", lambda line: line.job, shrinks=True, most=40),
        Column("planned", lambda line: moment(line.planned_at, seen.now, seen.zone)),
        Column("status", lambda line: line.status, tone=lambda line: _TONES.get(line.status, PLAIN)),
        Column("attempt", lambda line: line.attempt, right=True, rank=4),
        Column("progress", details.progress, right=True, rank=3),
        Column("took", lambda line: took(line.seconds), right=True, rank=1),
        Column("error", lambda line: line.error, rank=2, shrinks=True, most=400, tone=lambda _: BAD),
    )


def runs_of(job: str | None) -> Listing:
    """Return the list of runs: of a job, or of all."""
    return Listing(
        "Runs" if job is None else f"runs of {job}",
        Panel("runs", lambda asked: asked.client.runs(job, limit=MOST)),
        _run_columns,
        "no runs yet",
        lambda line: str(line.id),
        opens=lambda line: details.of_run(line.id, line.job),
        acts={"t": lambda line: orders.trigger(line.job), "c": lambda line: orders.cancel(line.id)},
    )


def _pause_or_resume_job(line: JobLine) -> Order:
    return orders.resume(line.name) if line.state == "paused" else orders.pause_job(line.name)


JOBS = Listing(
    "Jobs",
    Panel("jobs", lambda asked: asked.client.jobs(limit=MOST)),
    _job_columns,
    "no jobs: workers declare them when they start",
    lambda line: line.name,
    opens=lambda line: runs_of(line.name),
    acts={"t": lambda line: orders.trigger(line.name), "p": _pause_or_resume_job},
)
ALL_RUNS = runs_of(None)


def _slot(line: JobLine) -> datetime:
    assert line.next_at is not None  # noqa: S101 - others were left out
    return line.next_at


def _next_page(asked: Asked) -> Page[JobLine]:
    """Return the jobs that have a next slot, the earliest first."""
    page = asked.client.jobs(limit=MOST)
    slots = sorted((each for each in page.items if each.next_at is not None), key=_slot)
    return replaced(page, slots, more=page.next is not None)


def _next_columns(seen: Seen) -> Sequence[Column]:
    return _job_columns(seen)[:1] + _job_columns(seen)[2:5]


NEXT = Listing("Next runs", Panel("next", _next_page), _next_columns, "no job is to run", JOBS.name_of)


def _worker_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("worker", lambda line: str(line.id), right=True),
        Column("host", lambda line: line.host, shrinks=True, most=40),
        Column("pid", lambda line: str(line.pid), right=True, rank=2),
        Column("state", lambda line: line.state, tone=lambda line: _STATES.get(line.state, PLAIN)),
        Column(
            "",
            lambda line: bar(min(line.in_flight, line.slots), line.slots, 10),
            rank=4,
            most=10,
            tone=lambda _: GOOD,
        ),
        Column("in flight", lambda line: line.in_flight, right=True),
        Column("slots", lambda line: line.slots, right=True),
        Column("heartbeat", lambda line: since(line.heartbeat_at, seen.now)),
        Column("started", lambda line: moment(line.started_at, seen.now, seen.zone), rank=3),
    )


_STATES = {"alive": GOOD, "draining": WARN, "stopping": WARN, "dead": BAD}

WORKERS = Listing(
    "Workers",
    Panel("workers", lambda asked: asked.client.workers()),
    _worker_columns,
    "no workers",
    lambda line: str(line.id),
    opens=lambda line: details.of_line(f"worker {line.id}", line),
)


def _limit_columns(_: Seen) -> Sequence[Column]:
    return (
        Column("handler", lambda line: f"{line.table}:{line.status}", shrinks=True, most=60),
        Column("in flight", _of_limit, right=True, tone=lambda line: WARN if _is_full(line) else PLAIN),
        Column("begun", _of_rate, right=True, tone=lambda line: WARN if _is_spent(line) else PLAIN),
        Column(
            "next", lambda line: f"in {words(max(0.0, line.next_in))}" if _is_spent(line) else None, rank=1
        ),
        Column("by key", _turns, rank=2, most=40),
    )


def _is_full(line: LimitLine) -> bool:
    return line.limit is not None and line.in_flight >= line.limit


def _is_spent(line: LimitLine) -> bool:
    return line.rate is not None and line.next_in is not None and (line.begun or 0) >= line.rate


def _of_limit(line: LimitLine) -> str:
    return f"{line.in_flight:,}" if line.limit is None else f"{line.in_flight:,} of {line.limit:,}"


def _of_rate(line: LimitLine) -> str | None:
    if line.rate is None or line.window is None:
        return None
    return f"{line.begun or 0:,} of {line.rate:,} in {words(line.window)}"


def _turns(line: LimitLine) -> str | None:
    if not line.per_key:
        return None
    return f"{line.per_key_limit or 1} at a time by {', '.join(line.per_key)}"


LIMITS = Listing(
    "Limits",
    Panel("limits", lambda asked: asked.client.limits()),
    _limit_columns,
    "no handler has a limit, a rate or turns by key",
    lambda line: f"{line.table}:{line.status}",
    opens=details.of_handler,
)


def _action_columns(seen: Seen) -> Sequence[Column]:
    return (
        Column("at", lambda line: moment(line.at, seen.now, seen.zone)),
        Column("actor", lambda line: line.actor, rank=2, most=40, shrinks=True),
        Column("via", lambda line: line.via, rank=3),
        Column("order", lambda line: line.action),
        Column("target", _target, shrinks=True, most=120),
        Column("affected", lambda line: line.affected, right=True),
    )


def _target(line: Any) -> str:
    return " ".join([line.target, *(line.filter or ()), *([line.detail] if line.detail else ())])


ACTIONS = Listing(
    "Actions",
    Panel("actions", lambda asked: asked.client.actions(limit=MOST)),
    _action_columns,
    "no orders yet",
    lambda line: str(line.id),
    opens=lambda line: details.of_line(f"order {line.id}", line),
)

TABS = (STATUS, HANDLERS, TROUBLE, INFLIGHT, JOBS, ALL_RUNS, WORKERS, LIMITS, ACTIONS)


def replaced(page: Page[Any], kept: Sequence[Any], *, more: bool) -> Page[Any]:
    """Return a page with some of its items."""
    return type(page)(tuple(kept), page.next or "more" if more else None, page.as_of, page.exact)
