"""What people ask of handlers, rows and workers: one method, one statement of `sql/`.

Beside the engine, never in its way: what is read here is for people to look at, and locks nothing. Only
`retry`, `release` and `restore_status` write, on an operator's order. psycopg's errors are raised as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from psycopg import sql
from psycopg.rows import class_row

from poller.db.rows import all_rows, only_row
from poller.db.statements import array, statement, trusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import psycopg

    from poller.db.tables import Column, Table
    from poller.store.binding import Binding


PLACES = 5  # what makes the order of rows in trouble


class Known(NamedTuple):
    """A (table, status) that has, or once had, a handler, and the column that the status stands in."""

    id: int
    table: str
    status: str
    column: str


class Pulse(NamedTuple):
    """What a handler has in hand; `done_per_minute` counts moved rows."""

    in_flight: int = 0
    waiting: int = 0
    parked: int = 0
    done_per_minute: float = 0.0


class Count(NamedTuple):
    """How many rows of a table have a status, and the oldest of them by each of the columns asked for."""

    status: str | None
    rows: int
    oldest: list[datetime | None]


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
class Failure:
    """A row in trouble; `next_at` is None for one that is parked."""

    table: str
    status: str
    key: str
    attempt: int
    error: str | None
    parked: bool
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
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
    """What the catalogue says about a table, beyond what a handler is bound to."""

    is_partitioned: bool
    hides_rows: bool
    policies: int
    without_autovacuum: list[str] | None


class Locks(NamedTuple):
    """How many one statement takes, and the server's table of them: so many each for so many sessions."""

    taken: int
    each: int
    sessions: int


class Index(NamedTuple):
    """An index that works: its first column (None for an expression), and the predicate of a partial one."""

    name: str
    leads: str | None
    predicate: str | None


class Operators:
    """The statements behind the listings, on one connection in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    # --- listings ---------------------------------------------------------------------------------

    def known_handlers(self) -> list[Known]:
        """Return every (table, status) that the database knows."""
        return all_rows(self.connection, statement("known_handlers"), {}, Known)

    def pulse(self, handlers: Iterable[int]) -> dict[int, Pulse]:
        """Return what each handler, by its number, has in hand."""
        asked = {"handlers": array(handlers)}
        return dict(all_rows(self.connection, statement("pulse"), asked, _numbered_pulse))

    def status_counts(self, table: Table, column: str, ages: Sequence[str]) -> list[Count]:
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
        return all_rows(self.connection, question, {}, Count)

    def workers(self) -> list[WorkerLine]:
        """Return the workers; those that died stay for a day."""
        with self.connection.cursor(row_factory=class_row(WorkerLine)) as cursor:
            return cursor.execute(statement("workers"), {}).fetchall()

    def failures(
        self,
        handlers: Iterable[int],
        keys: Sequence[str] | None = None,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> list[tuple[Failure, list[Any]]]:
        """Return the rows in trouble of some handlers, each with its place in the order.

        Args:
            handlers: their numbers.
            keys: only rows with one of these; None for all.
            after: the place behind which they begin; None for the first.
            limit: how many at the most.
        """
        table, status, waits, next_at, key = after or (None,) * PLACES
        asked = {"handlers": array(handlers), "keys": _array(keys), "limit": limit}
        place = {"table": table, "status": status, "waits": waits, "next_at": next_at, "key": key}
        return all_rows(self.connection, statement("failures"), {**asked, **place}, _placed_failure)

    def history(
        self,
        handlers: Iterable[int],
        keys: Sequence[str],
        before: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> list[Event]:
        """Return the last `limit` events of the row with one of these keys, the oldest first.

        Args:
            handlers: the numbers of its handlers.
            keys: the forms that its key may be stored in.
            before: a time up to which they are returned, and how many of that very time are left out.
            limit: how many at the most.
        """
        at, left_out = before or (None, 0)
        asked = {"handlers": array(handlers), "keys": array(keys), "limit": limit}
        with self.connection.cursor(row_factory=class_row(Event)) as cursor:
            return cursor.execute(statement("history"), {**asked, "at": at, "left_out": left_out}).fetchall()

    # --- orders -----------------------------------------------------------------------------------

    def retry(self, handlers: Iterable[int], keys: Sequence[str] | None) -> list[tuple[int, str]]:
        """Put rows in trouble back; return the handler's number and the key of each."""
        return self._rows("retry", handlers=array(handlers), keys=_array(keys))

    def release(self, handlers: Iterable[int], keys: Sequence[str] | None) -> list[tuple[int, str]]:
        """Take rows away from whoever holds them; return the handler's number and the key of each."""
        return self._rows("release", handlers=array(handlers), keys=_array(keys))

    def restore_status(self, binding: Binding, keys: Sequence[str]) -> None:
        """Give rows that show the handler's `during` their status back."""
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
        """Tell whether the server vacuums tables by itself."""
        row = self.connection.execute(statement("autovacuum"), {}).fetchone()
        return bool(row and row[0])

    def health(self, table: Table) -> Health:
        """Return what the catalogue says about a table."""
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
            psycopg.errors.UndefinedColumn: the predicate names further columns, so it cannot be told.
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
        made = statement(
            "advised_index",
            concurrently=sql.SQL("CONCURRENTLY " if concurrently else ""),
            table=binding.table.identifier,
            order=order,
            column=sql.Identifier(binding.handler.column),
            status=sql.Literal(binding.handler.status),
        )
        return made.as_string(self.connection).replace("%%", "%").strip() + ";"

    def orphans(self, binding: Binding) -> int:
        """Count the rows that show the handler's `during` though nobody holds them."""
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
        """Return poller's own tables that the role may not use as a worker must, and what it may not do."""
        return self._rows("missing_grants")

    def _rows(self, name: str, **asked: Any) -> list[Any]:
        return self.connection.execute(statement(name), asked).fetchall()


def _numbered_pulse(*, id: int, **counts: Any) -> tuple[int, Pulse]:  # noqa: A002 - the column's name
    return id, Pulse(**counts)


def _placed_failure(*, place: list[Any], **of: Any) -> tuple[Failure, list[Any]]:
    return Failure(**of), place


def _array(values: Sequence[str] | None) -> str | None:
    return None if values is None else array(values)


def _earliest(column: str) -> sql.Composed:
    """Return the earliest value of a timestamp column; an infinite one is none."""
    name = sql.Identifier("t", column)
    return sql.SQL("(min({0}) filter (where isfinite({0})))::timestamptz").format(name)
