"""The lists of statuses, handlers, limits, trouble by its cause, and rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from poller.client.retrying import cause
from poller.duration import words
from poller.telemetry.times import since, took
from poller.tui import details, orders
from poller.tui.columns import BAD, DIM, GOOD, PLAIN, WARN, ListColumn, rate, short
from poller.tui.listing import BAR_CELLS, MOST_LINES, ScreenList, bar, handler_of, replaced, some
from poller.tui.looks import Panel
from poller.tui.orders import ChosenRows
from poller.tui.run_lists import runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from poller.client.answers import Page
    from poller.client.limits import LimitLine
    from poller.client.status import HandlerLine, StatusLine
    from poller.client.trouble import Failure, Group
    from poller.tui.listing import Shown
    from poller.tui.looks import ScreenClients
    from poller.tui.orders import DraftOrder

RUN_TABLE = "poller.run"  # where trouble of runs is told

# --- statuses, handlers and their limits -----------------------------------------------------------------------------


def _status_columns(seen: Shown) -> Sequence[ListColumn]:
    most = max((each.rows for each in seen.lines), default=0)
    return (
        ListColumn("status", _status, least=16),
        ListColumn("", lambda line: bar(line.rows, most), rank=8, most=BAR_CELLS, tone=lambda _: DIM),
        ListColumn("rows", _rows, right=True),
        ListColumn("oldest", lambda line: since(line.oldest, seen.now), rank=2),
        ListColumn("in flight", lambda line: line.in_flight, right=True, tone=some(GOOD, "in_flight")),
        ListColumn("waiting", lambda line: line.waiting, right=True, tone=some(WARN, "waiting")),
        ListColumn("parked", lambda line: line.parked, right=True, tone=some(BAD, "parked")),
        ListColumn("done/min", lambda line: rate(line.done_per_minute), right=True),
        ListColumn("", lambda line: "paused" if line.paused else None, tone=lambda _: WARN),
        ListColumn("statistics", lambda line: _statistics(line, seen.now), rank=9, tone=lambda _: DIM),
    )


def _handler_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("handler", lambda line: f"{line.status} → {' | '.join(line.to)}", most=48, least=27),
        ListColumn("due", lambda line: line.due if line.due_exact else f"≈ {line.due:,}", right=True),
        ListColumn("since", lambda line: since(line.oldest_due, seen.now), rank=3),
        ListColumn("in flight", lambda line: line.in_flight, right=True, tone=some(GOOD, "in_flight")),
        ListColumn("done/min", lambda line: rate(line.done_per_minute), right=True),
        ListColumn(
            "failed/min",
            lambda line: rate(line.failed_per_minute),
            right=True,
            tone=some(BAD, "failed_per_minute"),
        ),
        ListColumn("p50", lambda line: took(line.p50), right=True, rank=5),
        ListColumn("p95", lambda line: took(line.p95), right=True, rank=4),
        ListColumn("", lambda line: _paused(line, seen.now), least=6, most=40, tone=lambda _: WARN),
        ListColumn("on failure", lambda line: line.on_failure, rank=7),
        ListColumn("attempts", lambda line: line.attempts, right=True, rank=8),
        ListColumn("timeout", lambda line: words(line.timeout), right=True, rank=8),
        ListColumn("place", lambda line: details.near(line.place), rank=9, most=60, tone=lambda _: DIM),
    )


def _status(line: StatusLine) -> str:
    status = "(null)" if line.status is None else line.status
    return status if line.column is None else f"{status} ({line.column})"


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


def _of(line: Any) -> ChosenRows:
    return ChosenRows(line.table, line.status, column=getattr(line, "column", None))


def _pause_or_resume(line: StatusLine | HandlerLine) -> DraftOrder:
    return orders.resume(_of(line).handler, is_handler=True) if line.paused else orders.pause(_of(line))


def _if_taken(make: Callable[[StatusLine], DraftOrder]) -> Callable[[StatusLine], DraftOrder | None]:
    """Return what makes an order for a status that a handler takes; for others there is none."""
    return lambda line: None if line.done_per_minute is None else make(line)


_HANDLER_ACTS: Mapping[str, Callable[[Any], DraftOrder]] = {
    "r": lambda line: orders.retry(_of(line)),
    "p": _pause_or_resume,
    "l": lambda line: orders.release(_of(line)),
}
_STATUS_ACTS = {key: _if_taken(make) for key, make in _HANDLER_ACTS.items()}

STATUS = ScreenList(
    "Status",
    Panel("status", lambda asked: asked.machines.status()),
    _status_columns,
    "no handler is known: name their package, or start some workers",
    lambda line: f"{line.table}:{line.column or ''}:{line.status}",
    heading=lambda line: short(line.table),
    opens=lambda line: None if line.status is None else details.of_handler(line),
    acts=_STATUS_ACTS,
    moves=lambda line: None if line.status is None else _of(line),
)
HANDLERS = ScreenList(
    "Handlers",
    Panel("handlers", lambda asked: asked.machines.handlers()),
    _handler_columns,
    STATUS.empty,
    lambda line: f"{line.table}:{line.status}",
    heading=lambda line: short(line.table),
    opens=details.of_handler,
    acts=_HANDLER_ACTS,
    moves=_of,
)


def _limit_columns(_: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("handler", handler_of, least=20, most=60),
        ListColumn("in flight", _of_limit, right=True, tone=lambda line: WARN if _is_full(line) else PLAIN),
        ListColumn("begun", _of_rate, right=True, tone=lambda line: WARN if _is_spent(line) else PLAIN),
        ListColumn(
            "next", lambda line: f"in {words(max(0.0, line.next_in))}" if _is_spent(line) else None, rank=1
        ),
        ListColumn("by key", _turns, rank=2, most=40),
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


LIMITS = ScreenList(
    "Limits",
    Panel("limits", lambda asked: asked.client.limits()),
    _limit_columns,
    "no handler has a limit, a rate or turns by key",
    lambda line: f"{line.table}:{line.status}",
    opens=details.of_handler,
)

# --- trouble and rows ----------------------------------------------------------------------------------


def _group_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("handler", _group_of, least=20, most=40),
        ListColumn("error", lambda line: line.error, least=16, most=40, tone=lambda _: BAD),
        ListColumn("place", lambda line: line.place, rank=2, most=40),
        ListColumn("rows", lambda line: line.rows, right=True),
        ListColumn("waiting", lambda line: line.waiting, right=True, rank=4),
        ListColumn("parked", lambda line: line.parked, right=True, rank=3),
        ListColumn("first", lambda line: since(line.first_at, seen.now), rank=5),
        ListColumn("last", lambda line: since(line.last_at, seen.now)),
        ListColumn("e.g.", lambda line: line.example_key, rank=6, most=24, tone=lambda _: DIM),
        ListColumn("its error", lambda line: line.example, rank=9, least=20, most=80, tone=lambda _: DIM),
    )


def _failure_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("key", lambda line: line.key, least=16, most=40),
        ListColumn("attempt", lambda line: line.attempt, right=True, rank=2),
        ListColumn(
            "next", lambda line: next_of(line, seen.now), tone=lambda line: BAD if line.parked else WARN
        ),
        ListColumn("since", lambda line: since(line.at, seen.now), rank=1),
        ListColumn("error", lambda line: line.error, least=20, most=400),
    )


def next_of(line: Failure, now: datetime) -> str:
    """Return what becomes of a row in trouble next."""
    if line.to is not None:
        return f"went to {line.to}"
    if line.parked:
        return "parked"
    return "now" if line.next_at is None or line.next_at <= now else since(line.next_at, now)


def _group_of(line: Group) -> str:
    return f"job {line.status}" if line.table == RUN_TABLE else handler_of(line)


def _rows_of(group: Group) -> ScreenList:
    """Return the list of a group's rows; of a job's failed runs, all runs of the job."""
    if group.table == RUN_TABLE:
        return runs_of(group.status)
    ask = partial(_group_page, group=group)
    return ScreenList(
        f"{handler_of(group)} ▸ {cause(group.error, group.place).strip()}",
        Panel("rows of a group", ask),
        _failure_columns,
        "none of them is in trouble any more",
        lambda line: line.key,
        opens=lambda line: details.of_row(ChosenRows(line.table, line.status, line.key)),
        acts=_ROW_ACTS,
        moves=_row_of,
    )


def _group_page(asked: ScreenClients, group: Group) -> Page[Failure]:
    """Return the newest rows of a group: those among the newest of its handler in trouble."""
    page = asked.client.failures(f"{group.table}:{group.status}", limit=10 * MOST_LINES)
    kept = [
        each
        for each in page.items
        if (each.kind or each.error, each.place or "") == (group.error, group.place)
    ]
    return replaced(page, kept[:MOST_LINES], more=len(kept) > MOST_LINES or page.next is not None)


def _row_of(line: Any) -> ChosenRows:
    """Return the row of a line; several that are chosen together are what they are."""
    return line if isinstance(line, ChosenRows) else ChosenRows(line.table, line.status, line.key)


def _retry_group(group: Group) -> DraftOrder:
    if group.table == RUN_TABLE:
        return orders.trigger(group.status)
    error = cause(group.error, group.place)
    return orders.retry(ChosenRows(group.table, group.status, error=error))


_ROW_ACTS = {
    "r": lambda line: orders.retry(_row_of(line)),
    "l": lambda line: orders.release(_row_of(line)),
}

TROUBLE = ScreenList(
    "Trouble",
    Panel("trouble", lambda asked: asked.client.failure_groups()),
    _group_columns,
    "no rows are in trouble",
    lambda line: f"{line.table}\n{line.status}\n{line.error}\n{line.place}",
    opens=_rows_of,
    acts={"r": _retry_group},
)


def _held_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("handler", handler_of, least=20, most=60),
        ListColumn("key", lambda line: line.key, least=12, most=60),
        ListColumn("worker", lambda line: str(line.worker), right=True),
        ListColumn("since", lambda line: since(line.since, seen.now)),
    )


INFLIGHT = ScreenList(
    "In flight",
    Panel("inflight", lambda asked: asked.client.inflight(limit=MOST_LINES)),
    _held_columns,
    "nothing is in flight",
    lambda line: f"{line.table}:{line.status}:{line.key}",
    opens=lambda line: details.of_row(_row_of(line)),
    acts=_ROW_ACTS,
    moves=_row_of,
)
