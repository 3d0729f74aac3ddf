"""Lists rows of users' tables by status, and shows one: keys, and of the columns those that are asked for.

The model. No listing reads more rows than it shows: it goes along an index that has the status and then the key, or the
whole table is small; else it is refused, with the index that would serve. Values come as text, which Postgres makes and
cuts; what is not asked for does not leave the server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.client.counts import StatusColumn, StatusCounter, along_indexes
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import of_table
from poller.db import tables
from poller.db.statements import array, statement, trusted
from poller.db.typed_rows import all_rows
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.client.row_queries import Known
    from poller.db.tables import Table

LONGEST = 2000  # characters of a value
Show = Callable[[str], bool] | Collection[str]


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A column of a table: `is_shown` says whether its value was asked for, and may be read."""

    name: str
    type: str
    is_key: bool
    is_shown: bool
    value: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What poller knows of a row.

    Attributes:
        state: in flight, waiting, snoozed or parked; None for a row that poller has nothing to do with.
        attempt: how many were made.
        worker: that holds it.
        kind: the class of the last error.
    """

    key: str
    state: str | None
    attempt: int | None
    next_at: datetime | None
    worker: int | None
    kind: str | None
    place: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row of a listing: its key, the columns that were asked for, and what poller knows of it."""

    key: str
    values: tuple[str | None, ...]
    state: State | None


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of a status.

    Attributes:
        columns: the names of those that are shown.
        hidden: the names of the others.
        handled: a handler takes the status.
    """

    table: str
    column: str
    status: str
    columns: tuple[str, ...]
    hidden: tuple[str, ...]
    handled: bool
    rows: tuple[RowLine, ...]


@dataclass(frozen=True, slots=True)
class RowShown:
    """A row.

    Attributes:
        statuses: what it shows, by its status columns; empty if the row is gone.
        states: what poller knows of it, by the status that a handler takes.
    """

    table: str
    key: str
    statuses: Mapping[str, str | None]
    columns: tuple[ColumnLine, ...]
    states: Mapping[str, State]


class Rows:
    """The rows of a table that handlers are known for, on a connection in autocommit mode.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: it is not there.
    """

    def __init__(self, connection: psycopg.Connection[Any], name: str, show: Show) -> None:
        known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
        self.known: Sequence[Known] = of_table(name, known)
        self._connection = connection
        self._table = tables.describe(connection, table_name(self.known[0].table), look=True)
        self._shown = _shown(connection, self._table, show)
        self.status_columns = [
            *dict.fromkeys(each.column for each in self.known if each.column in self._table.columns)
        ]

    # --- a listing --------------------------------------------------------------------------------

    def listed(self, status: str, column: str | None, after: str | None, most: int) -> Listed:
        """Return the first rows of a status after a key.

        Raises:
            ConfigurationError: no index serves, or the column cannot have the status.
        """
        chosen = self._column(status, column)
        asked = {"after": after, "most": most}
        try:
            found = self._along_index(chosen, status, asked)
            if found is None:
                self._refuse_large(chosen, status)
                plain = self._listing(chosen, status, after)
                found = self._connection.execute(plain, asked).fetchall()
        except psycopg.DataError:
            msg = f"{self._table} has no status {status!r}, or the page is no page of it"
            raise RefusedError(msg, "no_status") from None
        handlers = [each.id for each in self.known if (each.status, each.column) == (status, chosen)]
        states = self._states([row[0] for row in found], handlers)
        names = tuple(each for each in self._shown if each != chosen)
        return Listed(
            table=str(self._table),
            column=chosen,
            status=status,
            columns=names,
            hidden=tuple(
                each for each in self._table.columns if each not in {*names, *self._table.key, chosen}
            ),
            handled=bool(handlers),
            rows=tuple(RowLine(key, tuple(values[: len(names)]), states.get(key)) for key, *values in found),
        )

    def _along_index(self, column: str, status: str, asked: Mapping[str, Any]) -> list[Any] | None:
        """Return the rows, if an index leads to them alone; None if it does not.

        Where most rows have the status, the planner would rather go along the key and leave out the others. It cannot
        where the order begins with the status, which it does not see to be one and the same.
        """
        questions = [self._listing(column, status, asked["after"])]
        if self._table.is_plain(column):
            questions.append(self._listing(column, status, asked["after"], is_first=True))
        with along_indexes(self._connection):
            for each in questions:
                if StatusColumn(self._table, column).is_bounded(self._connection, each, asked):
                    return self._connection.execute(each, asked).fetchall()
        return None

    def _listing(
        self, column: str, status: str, after: str | None, *, is_first: bool = False
    ) -> sql.Composed:
        own, value = sql.Identifier("t", column), sql.Literal(status)
        typed = sql.SQL("{}::{}").format(value, trusted(self._table.columns[column].full_type))
        shown = self._table.columns[column].equal(own, value)
        is_after = self._table.is_after("%(after)s")
        order = [sql.Identifier("t", each) for each in self._table.key]
        if is_first:
            shown = sql.SQL("{0} >= {1} and {0} <= {1}").format(own, typed)
            is_after = self._table.is_after_within(column, typed, "%(after)s")
            order.insert(0, own)
        names = [each for each in self._shown if each != column]
        return statement(
            "list_rows",
            table=self._table.identifier,
            users=self._table.users,
            key=self._table.key_text(),
            values=sql.SQL(", ").join(map(self._text, names)) if names else sql.SQL("null"),
            shows=shown,
            after=sql.SQL("true") if after is None else is_after,
            key_order=sql.SQL(", ").join(order),
        )

    def _refuse_large(self, column: str, status: str) -> None:
        """Refuse to read through a table that is not small.

        Raises:
            RefusedError: with the index that would serve.
        """
        counts = StatusCounter(self._connection, self._table, column)
        whole = counts.whole(())
        if whole is None or counts.counted(whole, ()) is None:
            parts = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([column, *self._table.key])))
            on = self._table.identifier.as_string()
            index = f"CREATE INDEX CONCURRENTLY ON {on} ({parts.as_string()})"
            msg = f"no index lists the rows of {self._table} that are {status!r}; one that does: {index}"
            raise RefusedError(msg, "no_index")

    def _column(self, status: str, column: str | None) -> str:
        if column is not None:
            if column not in self.status_columns:
                msg = f"{column!r} is no status column of {self._table}"
                raise NothingSelectedError(msg)
            return column
        named = [each.column for each in self.known if each.status == status]
        return [*named, *self.status_columns][0]

    # --- one row ----------------------------------------------------------------------------------

    def shown(self, key: str) -> RowShown:
        """Return a row; of one that is gone what poller knows.

        Raises:
            ConfigurationError: the key cannot be one.
        """
        names = [*self._shown]
        question = statement(
            "show_row",
            table=self._table.identifier,
            users=self._table.users,
            key=self._table.key_text(),
            statuses=sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier("t", each)) for each in self.status_columns
            ),
            values=sql.SQL(", ").join(map(self._text, names)) if names else sql.SQL("null"),
            is_own=self._table.is_key("%(key)s"),
        )
        try:
            row = self._connection.execute(question, {"key": key}).fetchone()
        except psycopg.DataError:
            msg = f"{key!r} cannot be a key of {self._table}"
            raise RefusedError(msg, "no_key") from None
        found, statuses, *values = row or (key, [])
        told = dict(zip(names, values, strict=False))
        columns = tuple(
            ColumnLine(
                each.name,
                each.full_type,
                each.name in self._table.key,
                each.name in told,
                told.get(each.name),
            )
            for each in self._table.columns.values()
        )
        states = {each.status: self._states([found], [each.id]) for each in self.known}
        return RowShown(
            table=str(self._table),
            key=found,
            statuses=dict(zip(self.status_columns, statuses, strict=False)),
            columns=columns,
            states={status: each[found] for status, each in states.items() if found in each},
        )

    def _states(self, keys: Sequence[str], handlers: Sequence[int]) -> dict[str, State]:
        if not keys or not handlers:
            return {}
        asked = {"keys": array(keys), "handlers": array(handlers)}
        return {each.key: each for each in all_rows(self._connection, statement("states_of"), asked, State)}

    def _text(self, name: str) -> sql.Composed:
        """Return a column as text that is cut; of binary data its length alone."""
        column = sql.Identifier("t", name)
        if self._table.columns[name].type == "bytea":
            return sql.SQL("octet_length({}) || ' bytes'").format(column)
        return sql.SQL("left({}::text, {})").format(column, sql.Literal(LONGEST))


def _shown(connection: psycopg.Connection[Any], table: Table, show: Show) -> list[str]:
    """Return the readable columns but for those of the key, which is shown anyway."""
    return [name for name in readable(connection, table, show) if name not in table.key]


def readable(connection: psycopg.Connection[Any], table: Table, show: Show) -> list[str]:
    """Return those of the columns that are to be shown which this role may read, in the order of the table."""
    is_shown = show if callable(show) else show.__contains__
    wanted = {name for name in table.columns if is_shown(name)}
    if not wanted:
        return []
    rows = connection.execute(statement("readable_columns"), {"table": table.oid}).fetchall()
    may_read = {row[0] for row in rows}
    return [name for name in table.columns if name in wanted and name in may_read]
