"""What the fleet looks like: a line for each status, and one for each handler.

A look, not a promise: its parts are read one after the other, and may differ by what moved in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client.answers import aside
from poller.client.pausing import pauses
from poller.client.row_queries import Operators, Pulse
from poller.store.binding import bind_all

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence
    from datetime import datetime

    import psycopg

    from poller.client.row_queries import Count
    from poller.db.tables import Table
    from poller.model.handler import Handler
    from poller.store.binding import Binding
    from poller.store.counts import Paused

CREATED = "created_at"  # the column that tells the age of a row whose handler has no `due`
_TIMESTAMPS = ("timestamp with time zone", "timestamp without time zone", "date")


@dataclass(frozen=True, slots=True)
class StatusLine:
    """The rows of a table that have a status; what a handler holds counts where the rows show it.

    Attributes:
        oldest: the earliest `due` of these rows, else their earliest `created_at`, if there is such a column.
        waiting: rows that wait for another attempt, or were snoozed.
        paused: the handler that takes this status is.
        done_per_minute: rows that left this status by its handler; None if it has none.
    """

    table: str
    status: str
    rows: int
    oldest: datetime | None
    in_flight: int
    waiting: int
    parked: int
    paused: bool
    done_per_minute: float | None = aside()


@dataclass(frozen=True, slots=True)
class HandlerLine:
    """A handler; `attempts` is None where the policy sets no number, `timeout` is in seconds.

    Attributes:
        paused: nothing of it is claimed; `paused_by` says who wants that, and `paused_until` for how long, if it ends.
    """

    table: str
    status: str
    function: str
    place: str
    paused: bool
    to: list[str]
    during: str | None
    on_failure: str | None
    attempts: int | None
    timeout: float
    in_flight: int
    done_per_minute: float
    paused_by: str | None = aside()
    paused_until: datetime | None = aside()  # noqa: RUF009 - a field without a default


def bound(connection: psycopg.Connection[Any], handlers: Iterable[Handler]) -> list[Binding]:
    """Bind handlers, with their numbers where the database knows them, and register nothing.

    Raises:
        ConfigurationError: one does not fit its table.
    """
    return numbered(connection, bind_all(connection, handlers))


def numbered(connection: psycopg.Connection[Any], bindings: list[Binding]) -> list[Binding]:
    """Give bindings their numbers; one that no worker has registered yet keeps 0."""
    known = Operators(connection).known_handlers()
    numbers = {(each.table, each.column, each.status): each.id for each in known}
    for each in bindings:
        each.id = numbers.get((str(each.table), each.handler.column, each.handler.status), 0)
    return bindings


def status(connection: psycopg.Connection[Any], handlers: Sequence[Handler]) -> list[StatusLine]:
    """Return a line for each status that a handler takes or leads to, in the order of the work.

    Raises:
        ConfigurationError: a handler does not fit its table.
    """
    bindings = bound(connection, handlers)
    operators = Operators(connection)
    pulses = operators.pulse(each.id for each in bindings)
    paused = pauses(connection, [each.id for each in bindings])
    return [
        line
        for group in by_column(bindings)
        for line in _status_lines(group, pulses, _counts(operators, group), paused)
    ]


def handlers(connection: psycopg.Connection[Any], found: Sequence[Handler]) -> list[HandlerLine]:
    """Return a line for each handler.

    Raises:
        ConfigurationError: one does not fit its table.
    """
    bindings = bound(connection, found)
    pulses = Operators(connection).pulse(each.id for each in bindings)
    paused = pauses(connection, [each.id for each in bindings])
    return [_handler_line(each, pulses.get(each.id, Pulse()), paused.get(each.id)) for each in bindings]


def graph(bindings: Iterable[Binding]) -> list[str]:
    """Return every status that these handlers take or lead to, in the order of the work."""
    return list(dict.fromkeys(each for binding in bindings for each in binding.handler.reachable))


def ages(bindings: Sequence[Binding]) -> list[str]:
    """Return the timestamp columns that tell the age of these handlers' rows."""
    due = [each.handler.due for each in bindings if each.handler.due is not None]
    return list(dict.fromkeys([*due, *_created(bindings[0].table)]))


def _handler_line(binding: Binding, pulse: Pulse, pause: Paused | None) -> HandlerLine:
    handler = binding.handler
    return HandlerLine(
        table=str(binding.table),
        status=handler.status,
        function=getattr(handler.function, "__qualname__", repr(handler.function)),
        place=handler.place,
        paused=pause is not None,
        to=list(handler.to),
        during=handler.during,
        on_failure=handler.on_failure,
        attempts=handler.policy.attempts,
        timeout=handler.timeout,
        in_flight=pulse.in_flight,
        done_per_minute=round(pulse.done_per_minute, 1),
        paused_by=None if pause is None else pause.by,
        paused_until=None if pause is None else pause.until,
    )


def by_column(bindings: Iterable[Binding]) -> Iterable[list[Binding]]:
    """Group handlers by table and status column: each group is one state machine."""
    groups: dict[tuple[int, str], list[Binding]] = {}
    for each in bindings:
        groups.setdefault((each.table.oid, each.handler.column), []).append(each)
    return groups.values()


def _counts(operators: Operators, group: list[Binding]) -> dict[str | None, Count]:
    counts = operators.status_counts(group[0].table, group[0].handler.column, ages(group))
    return {each.status: each for each in counts}


def _status_lines(
    group: list[Binding],
    pulses: dict[int, Pulse],
    counts: dict[str | None, Count],
    paused: Container[int],
) -> Iterator[StatusLine]:
    taken = {each.handler.status: each for each in group}
    shown = {each.handler.held: each for each in group}
    columns = ages(group)
    for name in graph(group):
        own = pulses.get(taken[name].id, Pulse()) if name in taken else None
        held = pulses.get(shown[name].id, Pulse()) if name in shown else Pulse()
        count = counts.get(name)
        yield StatusLine(
            table=str(group[0].table),
            status=name,
            rows=count.rows if count else 0,
            oldest=_oldest(count, columns, taken.get(name)),
            in_flight=held.in_flight,
            waiting=own.waiting if own else 0,
            parked=own.parked if own else 0,
            paused=name in taken and taken[name].id in paused,
            done_per_minute=round(own.done_per_minute, 1) if own else None,
        )


def _oldest(count: Count | None, columns: Sequence[str], binding: Binding | None) -> datetime | None:
    """Return the earliest value of the column that tells the age of a status's rows."""
    due = binding.handler.due if binding is not None else None
    column = due or CREATED
    return count.oldest[columns.index(column)] if count and column in columns else None


def _created(table: Table) -> list[str]:
    column = table.columns.get(CREATED)
    return [CREATED] if column is not None and column.type in _TIMESTAMPS else []
