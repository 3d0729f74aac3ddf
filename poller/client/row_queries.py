"""The client's statements on handlers, rows and workers: each method executes one statement of `sql/`.

They never block the engine: queries here are for people, and lock nothing. Only
`retry`, `release` and `restore_status` write, on an operator's order. psycopg's errors are raised as such.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from psycopg import sql
from psycopg.rows import class_row

from poller.client.counts import Count, along_indexes, known_ages, writing_along_indexes
from poller.client.one_round import OneRound, Question
from poller.db.statements import array, statement, trusted
from poller.db.typed_rows import all_rows, only_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import psycopg

    from poller.db.tables import Column, Table
    from poller.store.binding import Binding


COUNTED_ROWS = 10_000  # rows in trouble that one statement counts
READ_MOVES = 10_000  # moves whose keys one statement reads
STATES = ("waiting", "snoozed", "parked")


class Known(NamedTuple):
    """A (table, status) that has, or once had, a handler, and the column that the status stands in."""

    id: int
    table: str
    status: str
    column: str


class Pulse(NamedTuple):
    """A handler's activity; `done_per_minute` counts moved rows, `failed_per_minute` failed attempts."""

    in_flight: int = 0
    waiting: int = 0
    parked: int = 0
    done_per_minute: float = 0.0
    failed_per_minute: float = 0.0


class Pace(NamedTuple):
    """The seconds within which half of a handler's attempts, and 95 in 100, ended; None without attempts."""

    p50: float | None = None
    p95: float | None = None


class PutBack(NamedTuple):
    """The result of a batch of retried rows.

    Attributes:
        looked: how many were looked at.
        last: the last one's digest.
        rows: how many were put back.
        skipped: how many were not, because other sessions have locked them.
        keys: of those that were put back.
    """

    looked: int
    last: str
    rows: int
    skipped: int
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker: `state` is alive, draining, stopping or dead; `heartbeat_age` is in seconds."""

    id: int
    host: str
    pid: int
    state: str
    slots: int
    in_flight: int
    heartbeat_at: datetime
    heartbeat_age: float
    started_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Something that happened to a row; `seconds` is how long the attempt took, `traceback` where it has failed."""

    at: datetime
    status: str
    verdict: str
    to: str | None
    attempt: int
    seconds: float | None
    error: str | None
    worker: int | None
    traceback: str | None


class Health(NamedTuple):
    """The catalogue's facts on a table, beyond those that a handler is bound to."""

    is_partitioned: bool
    hides_rows: bool
    policies: int
    without_autovacuum: list[str] | None


class Locks(NamedTuple):
    """How many locks one statement takes, and the size of the server's lock table: locks per session, and sessions."""

    taken: int
    each: int
    sessions: int


class Index(NamedTuple):
    """A valid index: its first column (None for an expression), and the predicate of a partial one."""

    name: str
    leads: str | None
    predicate: str | None


WORKERS = Question(statement("workers"), rows=class_row(WorkerLine))


def activity(handlers: Iterable[int]) -> Question:
    """Return the question for what handlers do, by their numbers; 0 stands for an unknown one."""
    numbers = sorted({each for each in handlers if each})
    most = 1 + COUNTED_ROWS // max(1, len(numbers) * len(STATES))
    return Question(statement("handler_activity"), {"handlers": array(numbers), "most": most})


def edges(rows: Iterable[tuple[int, str, float]]) -> dict[int, dict[str, float]]:
    """Return how many rows each handler has moved to each status, by the answer to `moves_per_minute.sql`."""
    found: dict[int, dict[str, float]] = {}
    for handler, to, moved in rows:
        found.setdefault(handler, {})[to] = moved
    return found


class RowQueries:
    """The statements on handlers, rows and workers, on one connection in autocommit mode.

    Args:
        connection: on which they are asked.
        looks_along: the session itself looks along indexes (`watch_settings.sql`).
    """

    def __init__(self, connection: psycopg.Connection[Any], *, looks_along: bool = False) -> None:
        self.connection = connection
        self._looks_along = looks_along

    # --- listings ---------------------------------------------------------------------------------

    def known_handlers(self) -> list[Known]:
        """Return every (table, status) that the database knows."""
        return all_rows(self.connection, statement("known_handlers"), {}, Known)

    def pulse(self, handlers: Iterable[int]) -> dict[int, Pulse]:
        """Return each handler's activity, by its number; 0 stands for an unknown one."""
        question = activity(handlers)
        return self.pulses(question, self._along("handler_activity", **question.asked))

    def pulses(
        self, question: Question, rows: Iterable[Any], count_all: Callable[[int, str], int] | None = None
    ) -> dict[int, Pulse]:
        """Return each handler's activity, by the answer to the question for it.

        `count_all` counts the rows of a handler in a state of which the answer has only a part: `count_trouble`.
        """
        count_all, most = count_all or self.count_trouble, question.asked["most"]
        return {number: _pulse(counts, most, partial(count_all, number)) for number, *counts in rows}

    def paces(self, minutes: int) -> dict[int, Pace]:
        """Return how long the attempts of each handler took that ended in the last minutes."""
        return {row[0]: Pace(*row[1:]) for row in self._along("attempt_seconds", minutes=minutes)}

    def edges(self) -> dict[int, dict[str, float]]:
        """Return how many rows each handler has moved to each status in the last minute."""
        return edges(self._along("moves_per_minute"))

    def count_trouble(self, handler: int, state: str) -> int:
        """Count the rows of a handler that are in one state, however many, some thousands a statement."""
        asked: dict[str, Any] = {"handler": handler, "state": state, "most": COUNTED_ROWS}
        total, counted, place = 0, COUNTED_ROWS, ("-infinity", "")
        while counted == COUNTED_ROWS:
            found = self._along("count_trouble", **asked, changed_at=place[0], digest=place[1])
            counted, *ends = found[0] if found else (0,)
            total, place = total + counted, tuple(ends)
        return total

    def status_counts(self, table: Table, column: str, ages: Sequence[str]) -> dict[str | None, Count]:
        """Count the rows of each status, with their earliest value in each of the timestamp columns `ages`.

        It reads the whole table.
        """
        oldest = sql.SQL(", ").join(_earliest(name) for name in ages)
        question = statement(
            "status_counts",
            table=table.identifier,
            status=sql.Identifier(column),
            oldest=oldest,
            users=table.users,
        )
        rows = self.connection.execute(question, {}).fetchall()
        return {row[0]: Count(row[1], exact=True, oldest=known_ages(ages, row[2])) for row in rows}

    def workers(self) -> list[WorkerLine]:
        """Return the workers; those that died stay for a day."""
        return OneRound(self.connection, ()).rows(WORKERS)

    def history(
        self,
        handlers: Iterable[int],
        keys: Sequence[str],
        since: datetime,
        before: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> list[HistoryEvent]:
        """Return the last `limit` events of the row with one of these keys, the oldest first.

        Args:
            handlers: the numbers of its handlers.
            keys: the forms that its key may be stored in.
            since: earlier events are not searched.
            before: a time up to which they are returned, and how many of exactly that time are left out.
            limit: how many at the most.
        """
        at, left_out = before or (None, 0)
        numbers, most = list(handlers), None if limit is None else limit + left_out
        asked = {"handlers": array(numbers), "keys": array(keys), "since": since, "at": at}
        with self.connection.cursor(row_factory=class_row(HistoryEvent)) as cursor:
            found = cursor.execute(statement("row_events"), {**asked, "limit": most}).fetchall()
            for each in numbers:
                among = {**asked, "handler": each, "moves": array(self._moves_with(each, keys, since))}
                found += cursor.execute(statement("row_moves"), among).fetchall()
        found.sort(key=lambda each: (each.at, each.attempt, each.verdict))
        kept = found[: len(found) - left_out]
        return kept if limit is None else kept[-limit:]

    def _moves_with(self, handler: int, keys: Sequence[str], since: datetime) -> list[int]:
        """Return the numbers of a handler's moves with one of these keys; a statement reads some thousands."""
        found: list[int] = []
        asked: dict[str, Any] = {
            "handler": handler,
            "keys": array(keys),
            "since": since,
            "most": READ_MOVES,
            "before": 2**63 - 1,
        }
        while True:
            [(looked, last, at, numbers)] = self._along("moves_with", **asked)
            found += numbers
            if looked < READ_MOVES or at < since:
                return found
            asked["before"] = last

    # --- orders -----------------------------------------------------------------------------------

    def retry(self, is_meant: sql.SQL, **asked: Any) -> PutBack:
        """Retry the next rows in trouble of a handler.

        Args:
            is_meant: the condition on a row `a` of `poller.attempt`.
            **asked: its `handler`; the `keys`, or from which digest on (`after`), and how many are looked at (`most`);
                the keys of rows to leave (`besides`); how many are retried at the most (`room`), and the `error` that
                the condition asks for.
        """
        looked = statement("retry_look_named" if "keys" in asked else "retry_look_next")
        question = statement("retry", looked=looked, is_meant=is_meant)
        with writing_along_indexes(self.connection):
            row = self.connection.execute(question, asked).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return PutBack(*row)

    def in_flight(
        self, handlers: Iterable[int], keys: Sequence[str] | None, is_meant: sql.SQL, error: str | None
    ) -> list[tuple[int, str, str | None]]:
        """Return handler, key and `during` of each row in flight that is meant, in the order of the handlers."""
        asked = {"handlers": array(handlers), "keys": _array(keys), "error": error}
        return self.connection.execute(statement("releasable", is_meant=is_meant), asked).fetchall()

    def release(
        self, handlers: Iterable[int], keys: Sequence[str] | None
    ) -> list[tuple[int, str, str | None]]:
        """Take rows away from the workers that hold them; return handler, key and `during` of each."""
        return self._rows("release", handlers=array(handlers), keys=_array(keys))

    def restore_status(self, binding: Binding, keys: Sequence[str]) -> None:
        """Restore the status of rows that show the handler's `during`."""
        self.connection.execute(
            statement(
                "restore_status",
                table=binding.table.identifier,
                status=sql.Identifier(binding.handler.column),
                from_status=sql.Literal(binding.handler.status),
                shows_during=binding.shows_during,
                is_own=binding.table.is_key("o.poller_key"),
            ),
            {"keys": array(keys)},
        )

    def wake(self) -> None:
        """Wake the workers that wait for something to do."""
        self.connection.execute(statement("wake"))

    # --- checks -----------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the time by the one clock; poller's own schema is not needed."""
        row = self.connection.execute(statement("clock"), {}).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return cast("datetime", row[0])

    def has_autovacuum(self) -> bool:
        """Tell whether autovacuum is on."""
        row = self.connection.execute(statement("autovacuum"), {}).fetchone()
        return bool(row and row[0])

    def health(self, table: Table) -> Health:
        """Return the catalogue's facts on a table."""
        return only_row(self.connection, statement("table_health"), {"table": table.oid}, Health)

    def locks(self, table: Table) -> Locks:
        """Return how many locks a statement on a partitioned table takes, and how many the server has."""
        return only_row(self.connection, statement("locks"), {"table": table.oid}, Locks)

    def indexes(self, table: Table) -> list[Index]:
        """Return the indexes of a table that may serve a search."""
        return all_rows(self.connection, statement("indexes"), {"table": table.oid}, Index)

    def index_covers(self, column: Column, status: str, predicate: str) -> bool:
        """Tell whether a partial index holds every row that has the status.

        Raises:
            psycopg.errors.UndefinedColumn: the predicate names further columns, so the question cannot be decided.
        """
        question = statement(
            "index_covers",
            predicate=trusted(predicate),
            value=sql.Literal(status),
            type=trusted(column.full_type),
            column=sql.Identifier(column.name),
        )
        row = self.connection.execute(question, {}).fetchone()
        return bool(row and row[0])

    def advised_index(self, binding: Binding, order: sql.Composable, *, concurrently: bool) -> str:
        """Return the statement that makes the index which serves a handler's claims."""
        column = binding.table.columns[binding.handler.column]
        status = sql.Literal(binding.handler.status)
        made = statement(
            "advised_index",
            concurrently=sql.SQL("CONCURRENTLY " if concurrently else ""),
            table=binding.table.identifier,
            order=order,
            shows_status=column.comparable(sql.Identifier(column.name)) + sql.SQL(" = ") + status,
        )
        return made.as_string(self.connection).replace("%%", "%").strip() + ";"

    def orphans(self, binding: Binding) -> int:
        """Count the rows that show the handler's `during` though no worker holds them."""
        question = statement(
            "orphans",
            table=binding.table.identifier,
            users=binding.users,
            shows_during=binding.shows_during,
            key_columns=binding.table.key_columns(),
            claimed_columns=binding.table.key_claimed("k.key"),
            handler=sql.Literal(binding.id),
        )
        row = self.connection.execute(question, {}).fetchone()
        return row[0] if row else 0

    def missing_grants(self) -> list[tuple[str, str]]:
        """Return poller's own tables on which the role lacks a worker's rights, and the missing rights."""
        return self._rows("missing_grants")

    def _rows(self, name: str, **asked: Any) -> list[Any]:
        return self.connection.execute(statement(name), asked).fetchall()

    def _along(self, name: str, **asked: Any) -> list[Any]:
        """Return the rows of a query that goes along its index, whatever the statistics say: it stops at its limit."""
        with contextlib.nullcontext() if self._looks_along else along_indexes(self.connection):
            return self._rows(name, **asked)


def _pulse(counts: Sequence[Any], most: int, count_all: Callable[[str], int]) -> Pulse:
    """Return the pulse of a handler; if one statement reads only a part of its rows in trouble, count them all."""
    in_flight, trouble, tried_again, done, failed = counts
    rows = {
        state: (count_all(state) if counted == most else counted) - tried_again.get(state, 0)
        for state, counted in trouble.items()
    }
    waiting = rows["waiting"] + rows["snoozed"]
    return Pulse(in_flight, max(0, waiting), max(0, rows["parked"]), done, failed)


def _array(values: Sequence[str] | None) -> str | None:
    return None if values is None else array(values)


def _earliest(column: str) -> sql.Composed:
    """Return the earliest finite value of a timestamp column."""
    name = sql.Identifier("t", column)
    return sql.SQL("(min({0}) filter (where isfinite({0})))::timestamptz").format(name)
