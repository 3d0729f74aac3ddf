"""Counts the due rows of handlers, many by one statement, up to a limit, along the indexes of their claims.

How a handler's rows are found is planned once and holds for minutes; the statements are prepared at their first use.
To plan them takes longer than to run them, and Postgres does so anew once one of their tables has been analysed, which a
busy one is each minute: so a statement is about some handlers, not about all. One whose table has no index for it is
counted as `poller handlers` does (`due`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from random import uniform
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg import sql

from poller.client.apart import Apart
from poller.client.counts import StatusColumn
from poller.client.due import due, first_of, time_of
from poller.db.statements import Statement, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import psycopg

    from poller.store.binding import Binding

MOST_DUE = 10_001  # what is told of more
COUNTED_ROWS = 100_001  # rows in trouble of one handler and state that are counted
MOST_PASSED = (
    3000  # rows in trouble at the head of a queue that are passed over, to find the first that is due
)
HOLDS_SECONDS = 300.0  # that it holds how rows are found, at the most; at the least for half of that
IN_ONE_STATEMENT = 32  # handlers, by their numbers
TOGETHER_SECONDS = 10.0  # after which no further statement is begun


@dataclass(frozen=True, slots=True)
class HandlerRows:
    """A handler, and its rows in poller's own tables.

    Attributes:
        is_live: a worker that lives knows it, or none lives.
        overdue: rows whose next attempt is due.
        overdue_since: since when the first of them is.
        now: when it was read, by the database's clock.
    """

    id: int
    table_name: str
    status: str
    status_column: str
    is_live: bool
    in_flight: int
    waiting: int
    parked: int
    overdue: int
    overdue_since: datetime | None
    now: datetime

    @property
    def is_countable(self) -> bool:
        """Whether all of its rows in trouble were counted, so that those that are due can be told from them."""
        return self.waiting + self.parked < COUNTED_ROWS

    @property
    def labels(self) -> dict[str, str]:
        """What its numbers are labelled with."""
        return {"table": self.table_name, "status": self.status}

    def held_back(self, *, shows_during: bool) -> int:
        """Return how many rows that show the status are not due."""
        return self.waiting - self.overdue + self.parked + (0 if shows_during else self.in_flight)


@dataclass(frozen=True, slots=True)
class DueCount:
    """How many rows are due, and for how many seconds the first of them has been; None if that is not known."""

    rows: int
    seconds: float | None


class DueMeter:
    """Counts due rows again and again, on one connection."""

    def __init__(self) -> None:
        self._branches: dict[int, tuple[float, sql.Composed | None]] = {}
        self._registered: dict[int, tuple[float, Binding | None]] = {}
        self._questions: dict[int, tuple[list[sql.Composed], Statement]] = {}
        self.apart = Apart()

    def remembered(self, handler: int, find: Callable[[], Binding | None]) -> Binding | None:
        """Return the binding of a handler whose code is not here, as it was found in the last minutes."""
        until, found = self._registered.get(handler, (0.0, None))
        if monotonic() >= until:
            found = find()
            self._registered[handler] = monotonic() + HOLDS_SECONDS, found
        return found

    def measure(
        self, connection: psycopg.Connection[Any], handlers: Sequence[tuple[HandlerRows, Binding]]
    ) -> dict[int, DueCount]:
        """Return what is due of each handler that could be counted, in a transaction that looks along indexes."""
        countable = {each[0].id: each for each in handlers if each[0].is_countable}
        answers = self.apart.ask(connection, countable, lambda some: self._measured(connection, some))
        found = {handler: due for answer in answers for handler, due in answer.items()}
        for handler in countable.keys() - found.keys():
            self._branches.pop(handler, None)  # it is planned anew
        return found

    def _measured(
        self, connection: psycopg.Connection[Any], handlers: Sequence[tuple[HandlerRows, Binding]]
    ) -> dict[int, DueCount]:
        found: dict[int, DueCount] = {}
        until = monotonic() + TOGETHER_SECONDS
        for number, some in groupby(
            sorted(handlers, key=_number), lambda each: _number(each) // IN_ONE_STATEMENT
        ):
            if monotonic() > until:
                break
            found |= self._asked(connection, number, [*some])
        return found

    def _asked(
        self,
        connection: psycopg.Connection[Any],
        number: int,
        handlers: Sequence[tuple[HandlerRows, Binding]],
    ) -> dict[int, DueCount]:
        """Count for the handlers of one statement."""
        found: dict[int, DueCount] = {}
        branches: list[sql.Composed] = []
        limits: dict[str, int] = {}
        by_id = {rows.id: (rows, binding) for rows, binding in handlers}
        for rows, binding in handlers:
            branch = self._branch(connection, binding)
            if branch is None:
                found[rows.id] = _slowly(connection, rows, binding)
                continue
            branches.append(branch)
            limits[f"most_{rows.id}"] = MOST_DUE + rows.held_back(shows_during=_shows_during(binding))
            limits[f"head_{rows.id}"] = MOST_PASSED + min(MOST_DUE, rows.in_flight)
        if branches:
            question = self._question(number, branches)
            prepare = (
                None if self.apart.apart else True
            )  # what is asked once would push out what is asked again
            for handler, counted, head in connection.execute(question, limits, prepare=prepare).fetchall():
                found[handler] = _count(*by_id[handler], counted, head)
        return found

    def _question(self, number: int, branches: list[sql.Composed]) -> Statement:
        """Return the statement of some branches: the one before, if they are the same, since composing it takes long."""
        known, question = self._questions.get(number, ([], None))
        if question is None or [*map(id, known)] != [*map(id, branches)]:
            question = Statement(sql.SQL(" union all ").join(branches))
            self._questions[number] = branches, question
        return question

    def _branch(self, connection: psycopg.Connection[Any], binding: Binding) -> sql.Composed | None:
        until, branch = self._branches.get(binding.id, (0.0, None))
        if monotonic() >= until:
            branch = _planned(connection, binding)
            holds = HOLDS_SECONDS * uniform(0.5, 1.0)  # noqa: S311 - so that not all are planned in one round
            self._branches[binding.id] = monotonic() + holds, branch
        return branch


def _number(each: tuple[HandlerRows, Binding]) -> int:
    return each[0].id


def _shows_during(binding: Binding) -> bool:
    return binding.handler.during is not None


def _count(rows: HandlerRows, binding: Binding, counted: int, head: datetime | None) -> DueCount:
    shown = counted - rows.held_back(shows_during=_shows_during(binding))
    return _told(rows, max(shown, rows.overdue), head)


def _slowly(connection: psycopg.Connection[Any], rows: HandlerRows, binding: Binding) -> DueCount:
    """Count what no index tells, as `poller handlers` does."""
    found = due(connection, binding, rows.held_back(shows_during=_shows_during(binding)))
    return _told(rows, found.rows, found.oldest)


def _told(rows: HandlerRows, many: int, head: datetime | None) -> DueCount:
    many = min(MOST_DUE, max(0, many))
    since = min(filter(None, (head, rows.overdue_since)), default=None)
    if since is None:
        return DueCount(many, None if many else 0.0)
    return DueCount(many, max(0.0, (rows.now - since).total_seconds()) if many else 0.0)


def _planned(connection: psycopg.Connection[Any], binding: Binding) -> sql.Composed | None:
    """Return the part of the question about a handler; None if its rows are not found along an index."""
    limit = sql.Placeholder(f"most_{binding.id}")
    first, head = (first_of(binding, sql.Placeholder(f"{name}_{binding.id}")) for name in ("most", "head"))
    status = StatusColumn(binding.table, binding.handler.column)
    if not status.is_bounded(connection, first, {f"most_{binding.id}": MOST_DUE}):
        return None
    handler, named = binding.handler, {"table": binding.table.identifier, "users": binding.users}
    if handler.where is None and handler.due is None:
        counted = statement("count_status", **named, shows=binding.shows_status, most=limit)
    else:
        counted = statement("count_first", first=first, due=binding.due_at_once)
    return statement(
        "gauge_due",
        handler=sql.Literal(binding.id),
        counted=counted,
        first=head,
        age=time_of(connection, binding),
        due=binding.due_at_once,
        key=binding.table.key_text(),
        key_columns=binding.table.key_columns(),
        claimed_columns=binding.table.key_claimed("k.key"),
    )
