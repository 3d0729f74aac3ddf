"""Reads the state of the fleet: a line for each status, and one for each handler.

It is not one snapshot: the parts are read one after the other, and rows may move in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

from poller.client.answers import aside, rare
from poller.client.counts import Count, Statistics, StatusCounter
from poller.client.due import CREATED, DueRows, due
from poller.client.each_table import EachTable
from poller.client.pausing import pauses
from poller.client.row_queries import Pace, Pulse, RowQueries
from poller.model.definition import has_code
from poller.store.binding import bind, refuse_equal

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from poller.client.row_queries import Known
    from poller.db.tables import Table
    from poller.model.handler import Handler
    from poller.store.binding import Binding
    from poller.store.drain_counts import PausedHandler

PACE_MINUTES = 10  # for which the attempts' durations are shown


@dataclass(frozen=True, slots=True)
class StatusLine:
    """The rows of a table that have a status; what a handler holds counts where the rows show it.

    Attributes:
        status: None for rows whose status is not set.
        exact: `rows` were counted; else it is the planner's estimate.
        oldest: the earliest `due` of these rows, else their earliest `created_at`, if there is such a column and an
            index tells; that of the first row in the order of the claims, where no index has the times.
        waiting: rows that wait for another attempt, or were snoozed.
        paused: the handler that takes this status is.
        done_per_minute: rows that left this status by its handler; None if it has none.
        statistics_at: when the table had been analysed that was estimated; None for never.
        column: the status column, where the handlers of the table have several.
    """

    table: str
    status: str | None
    rows: int
    exact: bool
    oldest: datetime | None
    in_flight: int
    waiting: int
    parked: int
    paused: bool
    done_per_minute: float | None = aside()
    statistics_at: datetime | None = aside()  # noqa: RUF009 - a field without a default
    column: str | None = rare()


@dataclass(frozen=True, slots=True)
class HandlerLine:
    """A handler and how it performs.

    Attributes:
        paused: none of its rows is claimed; `paused_by` says who did that, and `paused_until` when it ends, if it does.
        due: rows that wait only for a worker: not parked, nor waiting for a later attempt.
        oldest_due: since when the first of them is: its `due`, else its `created_at`, or when its next attempt was due.
            Where rows have neither, when it was written: by the server, if that tracks commits; else, at the latest, by
            the first rows that poller has moved since, if it has.
        failed_per_minute: attempts that failed.
        p50: seconds that half of the attempts of the last ten minutes took at the most, by a sample; None if there were
            none.
        p95: the same of 95 in 100.
        due_exact: they were counted; else `due` is an estimate.
        done_to: of `done_per_minute`, the rows that moved to each status.
        attempts: None where the policy sets no number.
        timeout: in seconds.
        column: the status column, where the table has several.
    """

    table: str
    status: str
    function: str
    place: str
    paused: bool
    in_flight: int
    due: int
    oldest_due: datetime | None
    done_per_minute: float
    failed_per_minute: float
    p50: float | None
    p95: float | None
    due_exact: bool = aside()
    done_to: dict[str, float] = aside()  # noqa: RUF009 - a field without a default
    to: list[str] = aside()  # noqa: RUF009 - as above
    during: str | None = aside()
    on_failure: str | None = aside()
    attempts: int | None = aside()
    timeout: float = aside()
    paused_by: str | None = aside()
    paused_until: datetime | None = aside()  # noqa: RUF009 - as above
    column: str | None = rare()


class Fares(NamedTuple):
    """How a handler performs: what is in flight, what is due, how long attempts take, where rows go, and its pause."""

    pulse: Pulse
    due: DueRows
    pace: Pace
    edges: Mapping[str, float]
    pause: PausedHandler | None


def bound(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], each_table: EachTable
) -> list[Binding]:
    """Bind those handlers that fit their tables, with their numbers where the database knows them; register nothing.

    Raises:
        ConfigurationError: two handlers of the code that is here mean the same rows. Of those that are registered one
            may be an older version's, which looked at another column.
    """
    fitting: list[Binding] = []
    for each in handlers:
        if each_table.has_refused(str(each.table)):
            continue
        with each_table.alone(str(each.table)):
            fitting.append(bind(connection, each, look=True))
    refuse_equal(connection, [each for each in fitting if has_code(each.handler)])
    return numbered(connection, fitting)


def numbered(connection: psycopg.Connection[Any], bindings: list[Binding]) -> list[Binding]:
    """Give bindings their numbers; one that no worker has registered yet keeps 0."""
    tables = {str(each.table) for each in bindings}
    known = [each for each in RowQueries(connection).known_handlers() if each.table in tables]
    numbers = {(each.table, each.column, each.status): each.id for each in known}
    for each in bindings:
        each.id = numbers.get((str(each.table), each.handler.column, each.handler.status), 0)
    return bindings


Progress = Callable[[str, int], object]  # told a table that is counted now, and the estimate of its rows


def status(
    connection: psycopg.Connection[Any],
    handlers: Sequence[Handler],
    *,
    exact: bool = False,
    progress: Progress | None = None,
) -> tuple[list[StatusLine], tuple[str, ...]]:
    """Return a line for each status that a handler takes or leads to, in the order of the work; others come after them.

    Beside them, why those of some tables are not there.

    Args:
        connection: in autocommit mode.
        handlers: whose tables.
        exact: read the tables through, rather than estimate.
        progress: called before each table that is read through.

    Raises:
        ConfigurationError: no handler fits its table.
    """
    each_table = EachTable(connection)
    bindings = bound(connection, handlers, each_table)
    known = RowQueries(connection).known_handlers()
    numbers = [each.id for each in known]
    pulses, paused = RowQueries(connection).pulse(numbers), pauses(connection, numbers)
    lines: list[StatusLine] = []
    groups = [*by_column(bindings)]
    machines = Counter(group[0].table.oid for group in groups)
    for group in groups:
        with each_table.alone(str(group[0].table)):
            rows = MachineRows(connection, group, known, is_one_of_several=machines[group[0].table.oid] > 1)
            lines += rows.lines(pulses, paused, exact=exact, progress=progress)
    each_table.require(lines)
    return lines, each_table.faults


def rows_of(
    connection: psycopg.Connection[Any], bindings: Iterable[Binding]
) -> dict[tuple[str, str, str], Count]:
    """Return how many rows show each status of some handlers, as far as it can be told: by table, column and status."""
    each_table, found = EachTable(connection), {}
    for group in by_column(bindings):
        column = group[0].handler.column
        with each_table.alone(str(group[0].table)):
            for line in MachineRows(connection, group).lines({}, (), exact=False, progress=None):
                if line.status is not None:
                    found[line.table, column, line.status] = Count(line.rows, exact=line.exact)
    return found


def handlers(
    connection: psycopg.Connection[Any], found: Sequence[Handler]
) -> tuple[list[HandlerLine], tuple[str, ...]]:
    """Return a line for each handler; beside them, why those of some tables are not there.

    Raises:
        ConfigurationError: none fits its table.
    """
    each_table = EachTable(connection)
    bindings = bound(connection, found, each_table)
    machines = Counter(group[0].table.oid for group in by_column(bindings))
    queries = RowQueries(connection)
    pulses = queries.pulse(each.id for each in bindings)
    paused = pauses(connection, [each.id for each in bindings])
    paces, edges = queries.paces(PACE_MINUTES), queries.edges()
    lines: list[HandlerLine] = []
    for each in bindings:
        if each_table.has_refused(str(each.table)):
            continue
        pulse = pulses.get(each.id, Pulse())
        shown = pulse.parked + pulse.waiting + (0 if each.handler.during else pulse.in_flight)
        neighbours = [other.id for other in bindings if other.table.oid == each.table.oid]
        with each_table.alone(str(each.table)):
            waits = due(connection, each, shown, neighbours)
            fares = Fares(
                pulse, waits, paces.get(each.id, Pace()), edges.get(each.id, {}), paused.get(each.id)
            )
            line = _handler_line(each, fares)
            lines.append(replace(line, column=each.handler.column) if machines[each.table.oid] > 1 else line)
    each_table.require(lines)
    return lines, each_table.faults


def graph(bindings: Iterable[Binding]) -> list[str]:
    """Return every status that these handlers take or lead to, in the order of the work."""
    return list(dict.fromkeys(each for binding in bindings for each in binding.handler.reachable))


def ages(bindings: Sequence[Binding]) -> list[str]:
    """Return the timestamp columns that tell the age of these handlers' rows."""
    own = [each.handler.due for each in bindings if each.handler.due is not None]
    return list(dict.fromkeys([*own, *_created(bindings[0].table)]))


def _handler_line(binding: Binding, fares: Fares) -> HandlerLine:
    pulse, waits, pace, edges, pause = fares
    handler = binding.handler
    return HandlerLine(
        table=str(binding.table),
        status=handler.status,
        function=getattr(handler.function, "__qualname__", repr(handler.function)),
        place=handler.place,
        paused=pause is not None,
        in_flight=pulse.in_flight,
        due=waits.rows,
        oldest_due=waits.oldest,
        done_per_minute=round(pulse.done_per_minute, 1),
        failed_per_minute=round(pulse.failed_per_minute, 1),
        p50=_rounded(pace.p50),
        p95=_rounded(pace.p95),
        due_exact=waits.exact,
        done_to={to: round(rows, 1) for to, rows in edges.items()},
        to=list(handler.to),
        during=handler.during,
        on_failure=handler.on_failure,
        attempts=handler.policy.attempts,
        timeout=handler.timeout,
        paused_by=None if pause is None else pause.by,
        paused_until=None if pause is None else pause.until,
    )


def _rounded(seconds: float | None) -> float | None:
    """Return seconds, rounded to three digits: more would be noise."""
    return None if seconds is None else float(f"{seconds:.3g}")


def by_column(bindings: Iterable[Binding]) -> Iterable[list[Binding]]:
    """Group handlers by table and status column: each group is one state machine."""
    groups: dict[tuple[int, str], list[Binding]] = {}
    for each in bindings:
        groups.setdefault((each.table.oid, each.handler.column), []).append(each)
    return groups.values()


class MachineRows:
    """The rows of one status column's machine: of its statuses, and of others that the table shows.

    Args:
        connection: in autocommit mode.
        group: the machine's handlers.
        known: handlers that the database knows; also rows of those whose code is gone may be in trouble.
        is_one_of_several: the table has further status columns, so that its lines name theirs.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        group: Sequence[Binding],
        known: Iterable[Known] = (),
        *,
        is_one_of_several: bool = False,
    ) -> None:
        self._named_column = group[0].handler.column if is_one_of_several else None
        self._queries = RowQueries(connection)
        self._group = group
        self._table = group[0].table
        self._column = group[0].handler.column
        self._taken: dict[str | None, Binding] = {each.handler.status: each for each in group}
        machine = str(self._table), self._column
        self._numbers: dict[str | None, int] = {
            each.status: each.id for each in known if (each.table, each.column) == machine
        }
        self._numbers |= {status: each.id for status, each in self._taken.items()}
        self.counts = StatusCounter(connection, self._table, self._column)

    def lines(
        self,
        pulses: Mapping[int, Pulse],
        paused: Container[int],
        *,
        exact: bool,
        progress: Progress | None,
    ) -> Iterator[StatusLine]:
        """Return a line for each status."""
        found, known = self._counted() if not exact else self._read_through(progress), Statistics((), None)
        if found is None:
            known = self.counts.statistics()
            found = {name: self.counts.of(name, *self.asked(name)) for name in self.statuses(known)}
            found |= self._without_status(known)
        return self.shown(found, known, pulses, paused)

    def shown(
        self,
        found: Mapping[str | None, Count],
        known: Statistics,
        pulses: Mapping[int, Pulse],
        paused: Container[int],
    ) -> Iterator[StatusLine]:
        """Return a line for each status that was counted, and for each that the handlers name."""
        names = graph(self._group)
        shown: dict[str | None, Binding] = {each.handler.held: each for each in self._group}
        for name in [*names, *_others(found, names)]:
            count, number = found.get(name, Count(0, exact=True)), self._numbers.get(name)
            own = Pulse() if number is None else pulses.get(number, Pulse())
            held = (
                pulses.get(shown[name].id, Pulse())
                if name in shown
                else Pulse()
                if name in self._taken
                else own
            )
            yield StatusLine(
                table=str(self._table),
                status=name,
                rows=count.rows,
                exact=count.exact,
                oldest=next((count.oldest[age] for age in self._ages(name) if age in count.oldest), None),
                in_flight=held.in_flight,
                waiting=own.waiting,
                parked=own.parked,
                paused=number is not None and number in paused,
                done_per_minute=None if number is None else round(own.done_per_minute, 1),
                statistics_at=None if count.exact else known.at,
                column=self._named_column,
            )

    def statuses(self, known: Statistics) -> list[str]:
        """Return the statuses that are counted one by one: the handlers', and those that the column is known to have."""
        others = self._table.columns[self._column].labels or known.values
        return list(dict.fromkeys([*graph(self._group), *others]))

    def asked(self, status: str) -> tuple[dict[str, list[sql.Composable]], sql.SQL | None]:
        """Return what `Counts` needs to know of a status: the columns that tell its age, and the start of a query."""
        binding = self._taken.get(status)
        return self._ages(status), binding.users if binding is not None else None

    def _without_status(self, known: Statistics) -> dict[str | None, Count]:
        """Return the count of rows whose status is null, where that can be; of such no estimate without statistics."""
        if not self._table.columns[self._column].nullable:
            return {}
        count = self.counts.of(None, {})
        return {None: count} if count.exact or known.at is not None else {}

    def _counted(self) -> dict[str | None, Count] | None:
        return self.counts.of_few(ages(self._group))

    def _read_through(self, progress: Progress | None) -> dict[str | None, Count]:
        if progress is not None:
            progress(str(self._table), self.counts.estimate_all())
        return self._queries.status_counts(self._table, self._column, ages(self._group))

    def _ages(self, status: str | None) -> dict[str, list[sql.Composable]]:
        """Return the columns that tell the age of a status's rows, the first that can; with the orders that do."""
        binding = self._taken.get(status)
        own = binding.handler.due if binding is not None else None
        columns = [own] if own is not None else _created(self._table)
        orders = [binding.order] if binding is not None else []
        return {each: [sql.Identifier("t", each), *orders] for each in columns}


def _others(found: Mapping[str | None, Count], known: Sequence[str]) -> list[str | None]:
    """Return the statuses that rows have and no handler knows, None last; an estimate of one row may be of none."""
    others = [
        name for name, count in found.items() if name not in known and count.rows > (0 if count.exact else 1)
    ]
    return sorted(others, key=lambda name: (name is None, name))


def _created(table: Table) -> list[str]:
    column = table.columns.get(CREATED)
    return [CREATED] if column is not None and column.readable and column.time is not None else []
