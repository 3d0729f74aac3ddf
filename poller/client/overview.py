"""Looks at the whole fleet again and again, for faces with many viewers, at a cost that does not grow with the tables.

The model. How a table's rows are counted (whether it is small, and along which index each status is found) is planned
for five minutes, and anew once there is another handler, or a table could not be looked at. Which handlers there are,
estimates, and the causes of trouble while nothing fails hold for a minute; how many rows of a handler are in trouble,
where they are many, for ten seconds. A look between is one statement for each table, and five for the fleet, in one
round trip. A table that is locked, gone or too slow costs the others nothing: it is told, and left alone for a while.

What may be trusted: as of `status`. It is not one snapshot, and an estimate is as old as a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import psycopg

from poller.client import graph as graphs
from poller.client import handler_lookup
from poller.client import known_handlers as known_here
from poller.client.actions import Action, actions
from poller.client.counts import MOST_COUNTED_ROWS, UP_TO, Count, Statistics, few, together
from poller.client.each_table import reason
from poller.client.jobs import JobLine, soonest
from poller.client.jobs import lines as job_lines
from poller.client.one_round import OneRound, Question
from poller.client.pausing import by_handler, paused
from poller.client.row_queries import WORKERS, Pulse, RowQueries, WorkerLine, activity, edges
from poller.client.seen import seen
from poller.client.selector import ALL, select
from poller.client.status import MachineRows, StatusLine, ages, by_column, numbered
from poller.client.trouble import Group, Troubles
from poller.db import schema
from poller.db.connection import is_cut
from poller.db.statements import statement
from poller.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from poller.client.counts import Branch
    from poller.client.graph import Machine
    from poller.client.known_handlers import Source
    from poller.store.binding import Binding
    from poller.store.drain_counts import PausedHandler

HOLDS = 60.0  # seconds that it holds which handlers there are, and how many rows are estimated
PLANS_HOLD = 300.0  # seconds that it holds how the rows of tables are counted
ROOM = 500  # rows more than it has that are counted of a status: until then it is not planned anew
RESTS = 10.0  # seconds that a table is left alone that could not be looked at
COUNTS_HOLD = (
    10.0  # seconds that the number of a handler's rows in trouble holds, where it has a statement of its own
)
_NOTHING = Statistics((), None)
_EDGES, _MINUTES = Question(statement("moves_per_minute")), Question(statement("minutes"))


@dataclass(frozen=True, slots=True)
class Minute:
    """What the fleet has done in a minute: rows that it has moved, and attempts that have failed."""

    minute: datetime
    moved: int
    failed: int


@dataclass(frozen=True, slots=True)
class Edges:
    """A handler: from which status, by which function, and how many rows a minute it moves to which others.

    Attributes:
        function: its name; empty if that is not known.
        place: where its code stands.
        done_to: rows in the last minute, by the status that they moved to.
    """

    table: str
    column: str
    status: str
    function: str
    place: str
    to: tuple[str, ...]
    paused: bool
    paused_until: datetime | None
    in_flight: int
    waiting: int
    parked: int
    done_per_minute: float
    failed_per_minute: float
    done_to: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """A state machine, its statuses with their rows, and its handlers.

    Attributes:
        fault: why its rows could not be counted; None if they were.
        is_one_of_several: its table has further machines, of other columns.
    """

    machine: Machine
    statuses: tuple[StatusLine, ...]
    handlers: tuple[Edges, ...]
    fault: str | None = None
    is_one_of_several: bool = False

    @property
    def column(self) -> str | None:
        """The status column, where the table has several: else statuses alone tell which rows are meant."""
        return self.machine.column if self.is_one_of_several else None


@dataclass(frozen=True, slots=True)
class Overview:
    """The fleet, as it was at a moment.

    Attributes:
        minutes: the last sixty, the current one last.
    """

    as_of: datetime
    machines: tuple[Watched, ...]
    workers: tuple[WorkerLine, ...]
    minutes: tuple[Minute, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """What changes less.

    Attributes:
        groups: the causes of trouble, the newest first; `groups_exact`: all of it is counted.
        jobs: the first of them by name.
        next_jobs: those that run next, the soonest first.
        actions: the last orders.
    """

    groups: tuple[Group, ...]
    groups_exact: bool
    jobs: tuple[JobLine, ...]
    next_jobs: tuple[JobLine, ...]
    actions: tuple[Action, ...]


class Watch:
    """Looks at the fleet on a connection of its own; used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any], source: Source) -> None:
        self._connection = connection
        self._source = source
        self._queries = RowQueries(connection, looks_along=True)
        self._machines: list[_Machine] = []
        self._until = float("-inf")
        self._planned_until = float("-inf")
        self._definitions: list[Any] = []
        self._pulses: Mapping[int, Pulse] = {}
        self._in_trouble: dict[tuple[int, str], tuple[int, float]] = {}  # rows, and until when that holds
        self._found: tuple[tuple[Group, ...], bool] = (), True
        self._signs: object = None  # by which it is seen that the causes of trouble are others
        self._causes_until = float("-inf")
        connection.execute(statement("watch_settings"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def is_cut(self) -> bool:
        """Tell whether the server has closed the connection, or is about to."""
        return is_cut(self._connection)

    def beside(self, jobs: int, most: int) -> Beside:
        """Return what changes less: the causes of trouble, so many jobs by name, the next ones, and the last acts.

        Raises:
            psycopg.Error: the server refuses.
        """
        here = known_here.defined(self._source)
        lines = tuple(job_lines(self._connection, here, jobs))
        groups, exact = self._causes(lines)
        following = tuple(soonest(self._connection, here, most))
        return Beside(groups, exact, lines, following, tuple(actions(self._connection, limit=most)))

    def _causes(self, jobs: Sequence[JobLine]) -> tuple[tuple[Group, ...], bool]:
        """Return the causes of trouble, and whether all is counted: those of a moment ago, if nothing has failed."""
        pulses = self._pulses.items()
        failing = any(each.failed_per_minute for _, each in pulses)
        signs = (
            [(number, each.waiting, each.parked) for number, each in pulses],
            [each.last_at for each in jobs],
        )
        if failing or signs != self._signs or monotonic() >= self._causes_until:
            known = self._queries.known_handlers()
            troubles = Troubles(self._connection, known, looks_along=True)
            groups, exact = troubles.groups(select(ALL, (), known))
            self._found, self._signs = (tuple(groups), exact), signs
            self._causes_until = monotonic() + HOLDS
        return self._found

    def look(self, *, anew: bool = False) -> Overview:
        """Return the fleet as it is.

        Args:
            anew: rows in trouble are counted anew, since an order may have changed how many there are.

        Raises:
            DatabaseError: the database has gone away, or its schema is not there any more.
            psycopg.Error: the server refuses.
        """
        if anew:
            self._in_trouble.clear()
        try:
            return self._look()
        except psycopg.OperationalError as error:
            if not self._connection.broken:
                raise
            msg = f"the database went away: {str(error).splitlines()[0]}"
            raise DatabaseError(msg, "unreachable", plain="the database went away") from None

    def _look(self) -> Overview:
        if monotonic() >= self._until:
            schema.require(self._connection)
            self._look_around()
            self._until = monotonic() + HOLDS
        numbers = [each.id for machine in self._machines for each in machine.group if each.id]
        pulse, pauses = activity(numbers), paused(numbers)
        counts = [question for each in self._machines for question in each.questions()]
        answers = OneRound(self._connection, [pulse, _EDGES, pauses, _MINUTES, WORKERS, *counts])
        self._pulses = self._queries.pulses(pulse, answers.rows(pulse), self._count_trouble)
        seen = _Seen(self._pulses, edges(answers.rows(_EDGES)), by_handler(answers.rows(pauses)), answers)
        minutes = answers.rows(_MINUTES)
        return Overview(
            as_of=minutes[-1][3],
            machines=tuple(each.look(seen) for each in self._machines),
            workers=tuple(answers.rows(WORKERS)),
            minutes=tuple(Minute(*row[:3]) for row in minutes),
        )

    def _count_trouble(self, handler: int, state: str) -> int:
        """Return how many rows of a handler are in a state, as of some seconds ago."""
        rows, until = self._in_trouble.get((handler, state), (0, float("-inf")))
        if monotonic() >= until:
            rows = self._queries.count_trouble(handler, state)
            self._in_trouble[handler, state] = rows, monotonic() + COUNTS_HOLD
        return rows

    def _look_around(self) -> None:
        """Find out which machines there are, and how their rows are counted; or, where that holds, estimate anew."""
        definitions = _definitions(self._connection)
        holds = definitions == self._definitions and all(each.is_planned for each in self._machines)
        if holds and monotonic() < self._planned_until:
            for each in self._machines:
                each.estimate()
            return
        self._machines = self._known(definitions)
        self._definitions, self._planned_until = definitions, monotonic() + PLANS_HOLD

    def _known(self, definitions: Sequence[Any]) -> list[_Machine]:
        with self._connection.transaction():
            self._connection.execute(statement("usual_plans"))
            known = known_here.found(self._source)
            declared = handler_lookup.declared(self._connection, known.handlers if known else ())
            bindings = numbered(self._connection, [each.binding for each in declared if each.binding])
            groups = {(str(group[0].table), group[0].handler.column): group for group in by_column(bindings)}
            found = graphs.graph(declared, seen(self._connection, declared))
            functions = _functions(definitions)
            machines = [
                _Machine(
                    self._connection,
                    each,
                    groups.get((each.table, each.column), []),
                    functions,
                    is_one_of_several=sum(other.table == each.table for other in found.machines) > 1,
                )
                for each in found.machines
            ]
            for each in machines:
                each.plan()
        return machines


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look finds of all handlers, by their numbers; and the answers of all tables."""

    pulses: Mapping[int, Pulse]
    edges: Mapping[int, Mapping[str, float]]
    paused: Mapping[int, PausedHandler]
    answers: OneRound


@dataclass(slots=True)
class _Part:
    """Statuses of a large table that one statement counts, and how many rows of each, by the names of its parameters."""

    branches: list[Branch] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    question: Question | None = None

    def close(self) -> Self:
        """Have its question be made: there will be no more statuses."""
        query = together(self.branches)
        self.question = None if query is None else Question(query, self.limits)
        return self

    def each(self) -> Iterable[tuple[Branch, int]]:
        """Return the statuses with how many are counted; 0 of those that are not."""
        return zip(self.branches, self.limits.values(), strict=True)


@dataclass(slots=True)
class _Machine:
    """A machine, and how its rows are counted: all by one query, or each status for itself."""

    connection: psycopg.Connection[Any]
    machine: Machine
    group: Sequence[Binding]
    functions: Mapping[tuple[str, str, str], str]
    is_one_of_several: bool = False
    rows: MachineRows | None = None
    whole: Question | None = None
    parts: list[_Part] = field(default_factory=list)
    estimates: dict[str | None, Count] = field(default_factory=dict)
    known: Statistics = _NOTHING
    fault: str | None = None
    rests_until: float = float("-inf")
    is_planned: bool = True  # as far as is known: whatever it meets may be the fault of its plan

    def plan(self) -> None:
        """Find out how its rows are counted."""
        if not self.group:
            self.fault, self.is_planned = "its table does not fit its handlers, or is not there", False
            self.rests_until = float("inf")
            return
        try:
            with self.connection.transaction():
                self.rows = MachineRows(self.connection, self.group)
                query = self.rows.counts.whole(ages(self.group))
                self.whole = None if query is None else Question(query, UP_TO)
                if self.whole is None:
                    self._plan_each(self.rows)
        except psycopg.Error as error:
            self.rows = None  # it is planned anew with the others
            self._rest(error)

    def _plan_each(self, rows: MachineRows) -> None:
        """Find out what can be counted of each status, and how much: so much that is left for others bounds it."""
        self.known = rows.counts.statistics()
        self.connection.execute(statement("along_indexes"))
        parts, part, left = [], _Part(), MOST_COUNTED_ROWS
        names = rows.statuses(self.known)
        for name in names:
            limit = f"most_{len(part.limits)}"
            branch = rows.counts.branch(name, *rows.asked(name), limit)
            alone = rows.counts.together([branch], {limit: MOST_COUNTED_ROWS + 1}) if branch.counted else {}
            counted = alone[name][0] if name in alone else None
            if counted is None or counted > MOST_COUNTED_ROWS:
                branch, most = replace(branch, counted=None), 0
            else:
                most = min(MOST_COUNTED_ROWS + 1, 2 * counted + ROOM)
            if most > left:
                parts.append(part.close())
                part, left = _Part(), MOST_COUNTED_ROWS
                branch = rows.counts.branch(name, *rows.asked(name), "most_0")
                limit = "most_0"
            if branch.counted or branch.heads:
                part.branches.append(branch)
                part.limits[limit] = most
                left -= most
        parts.append(part.close())
        self.connection.execute(statement("usual_plans"))
        told = {each.status for part in parts for each in part.branches if each.counted is not None}
        self._estimate_each(rows, [each for each in names if each not in told])
        self.parts = parts

    def estimate(self) -> None:
        """Estimate anew the rows of a large table that are not counted; plan anew what has become of them."""
        if self.rows is None or self.whole is not None:
            return
        try:
            with self.connection.transaction():
                self.connection.execute(statement("usual_plans"))
                known = self.rows.counts.statistics()
                self._estimate_each(self.rows, [*self.estimates])
                are_few = any(each.rows <= MOST_COUNTED_ROWS for each in self.estimates.values())
                if are_few or {*known.values} != {*self.known.values}:
                    self._plan_each(self.rows)
                self.known = known
        except psycopg.Error as error:
            self._rest(error)

    def _estimate_each(self, rows: MachineRows, names: Iterable[str | None]) -> None:
        self.estimates = {name: Count(rows.counts.estimate(name), exact=False) for name in names}

    def questions(self) -> list[Question]:
        """Return those by which its rows are counted; none while it is left alone."""
        if self.rows is None or monotonic() < self.rests_until:
            return []
        asked = [each.question for each in self.parts] if self.whole is None else [self.whole]
        return [each for each in asked if each is not None]

    def look(self, seen: _Seen) -> Watched:
        """Return what is seen of it now."""
        lines: tuple[StatusLine, ...] = ()
        if self.rows is not None and monotonic() >= self.rests_until:
            try:
                found = self._counted(self.rows, seen.answers)
                lines = tuple(self.rows.shown(found, self.known, seen.pulses, seen.paused))
                self.fault = None
            except psycopg.Error as error:
                self._rest(error)
        handlers = tuple(self._handler(each, seen) for each in self.group)
        return Watched(_with_rows(self.machine, lines), lines, handlers, self.fault, self.is_one_of_several)

    def _counted(self, rows: MachineRows, answers: OneRound) -> Mapping[str | None, Count]:
        if self.whole is not None:
            found = few(answers.rows(self.whole), ages(self.group))
            if found is not None:
                return found
            self._plan_again(rows)  # there are too many by now
            self.whole = None
        counted = {**self.estimates}
        for part in self.parts:
            rows_of = answers.rows(part.question) if part.question else []
            asked = {name: (number, oldest) for name, number, oldest in rows_of}
            if any(most and asked[each.status][0] == most for each, most in part.each()):
                self._plan_again(rows)  # one has grown beyond its room
                return self._counted(rows, answers)
            counted |= {
                name: self._count(name, number, oldest, rows) for name, (number, oldest) in asked.items()
            }
        return counted

    def _plan_again(self, rows: MachineRows) -> None:
        with self.connection.transaction():
            self.connection.execute(statement("usual_plans"))
            self._plan_each(rows)

    def _count(self, name: str, counted: int | None, oldest: datetime | None, rows: MachineRows) -> Count:
        age = next(iter(rows.asked(name)[0]), None)
        known = {} if age is None or oldest is None else {age: oldest}
        if counted is not None:
            return Count(counted, exact=True, oldest=known)
        return replace(self.estimates[name], oldest=known)

    def _rest(self, error: psycopg.Error) -> None:
        """Leave a table alone that could not be looked at.

        Raises:
            psycopg.Error: it is not about the table: the connection is gone.
        """
        if self.connection.broken or self.connection.closed:
            raise error
        self.fault, self.is_planned = reason(error), False
        self.rests_until = monotonic() + RESTS

    def _handler(self, binding: Binding, seen: _Seen) -> Edges:
        handler, pulse = binding.handler, seen.pulses.get(binding.id, Pulse())
        paused = seen.paused.get(binding.id)
        name = getattr(handler.function, "__qualname__", "")
        return Edges(
            table=self.machine.table,
            column=self.machine.column,
            status=handler.status,
            function=self.functions.get((self.machine.table, self.machine.column, handler.status), name),
            place=handler.place,
            to=handler.to,
            paused=paused is not None,
            paused_until=None if paused is None else paused.until,
            in_flight=pulse.in_flight,
            waiting=pulse.waiting,
            parked=pulse.parked,
            done_per_minute=round(pulse.done_per_minute, 1),
            failed_per_minute=round(pulse.failed_per_minute, 1),
            done_to={to: round(rows, 1) for to, rows in seen.edges.get(binding.id, {}).items()},
        )


def _definitions(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the definitions of registered handlers, without when they were seen, behind table, column and status."""
    found = connection.execute(statement("definitions")).fetchall()
    return [
        (*named, {name: value for name, value in (definition or {}).items() if name != "seen_at"})
        for *named, definition in found
    ]


def _functions(definitions: Iterable[Any]) -> dict[tuple[str, str, str], str]:
    """Return the names of registered handlers' functions, by table, column and status."""
    return {tuple(key): str(definition.get("function", "")) for *key, definition in definitions}


def _with_rows(machine: Machine, lines: Iterable[StatusLine]) -> Machine:
    """Return a machine with the rows of its statuses, and with those that no handler names."""
    counted = {
        each.status: graphs.Node(each.status, each.rows, each.exact)
        for each in lines
        if each.status is not None
    }
    nodes = [counted.get(each.status, each) for each in machine.statuses]
    return replace(machine, statuses=tuple(nodes))
