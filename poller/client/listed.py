"""Lists rows of users' tables by status, and shows one: keys, and of the columns those that are asked for.

The model. No listing reads more rows than it shows: it goes along an index that has the status and then the key, or the
whole table is small; else it is refused, with the index that would serve. One that is filtered may read 10,000 rows
(filtering.py). Values come as text, which Postgres makes and cuts; what is not asked for does not leave the server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import psycopg
from psycopg import sql

from poller.client import filtering
from poller.client.answers import Page, decoded, encoded, one_more
from poller.client.counts import StatusColumn, StatusCounter, along_indexes
from poller.client.filtering import Filter, FilterLine
from poller.client.key_forms import read_key
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import of_table
from poller.db import tables
from poller.db.statements import array, statement, trusted
from poller.db.typed_rows import all_rows
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import table_name
from poller.spelling import columns_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from poller.client.row_queries import Known
    from poller.db.statements import Statement
    from poller.db.tables import Table

LONGEST = 2000  # characters of a value
_NULL = sql.SQL("null")
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
        filters: the columns that they may be filtered by, of those that are shown.
        previous: the `before=` of the page before; None if there is none.
        several: the table has further status columns.
    """

    table: str
    column: str
    status: str
    columns: tuple[str, ...]
    hidden: tuple[str, ...]
    handled: bool
    rows: tuple[RowLine, ...]
    filters: tuple[FilterLine, ...] = ()
    previous: str | None = None
    several: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows of a status are listed.

    Attributes:
        most: how many.
        after: those after this key, or before it if it `is_back`; then the nearest come first.
        where: those that have a value.
    """

    status: str
    most: int
    after: str | None = None
    is_back: bool = False
    where: Filter | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The parameters of its statement."""
        return {"after": self.after, "most": self.most}


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


class Listing(TypedDict, total=False):
    """What a listing may be told.

    Attributes:
        column: the status column, where the table has several.
        show: the columns whose values are returned, as text, or what tells of a name whether it is one of them. Others
            do not leave the server.
        where: a column of those that are shown, which an index begins with; and the value that the rows have in it.
        after: the `next` of the page before.
        before: in its place the `previous` of the page that follows.
        limit: how many at the most; 50 by default.
    """

    column: str | None
    show: Show
    where: tuple[str, str] | None
    after: str | None
    before: str | None
    limit: int


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
        self.table = tables.describe(connection, table_name(self.known[0].table), look=True)
        self._shown = _shown(connection, self.table, show)
        self.status_columns = [
            *dict.fromkeys(each.column for each in self.known if each.column in self.table.columns)
        ]

    # --- a listing --------------------------------------------------------------------------------

    def listed(self, part: Part, column: str | None) -> Listed:
        """Return rows of a status, in the order in which they were looked for.

        Raises:
            ConfigurationError: no index serves, or a column cannot have its value.
        """
        chosen = self.column(part.status, column)
        names = tuple(each for each in self._shown if each != chosen)
        known = filtering.filters(self._connection, self.table, chosen, names)
        try:
            found = self._found(chosen, part, known)
        except psycopg.DataError:
            told = f" with {part.where.column} {part.where.value!r}" if part.where else ""
            msg = f"{self.table} has no status {part.status!r}{told}, or the page is not one of this listing"
            raise RefusedError(msg, "no_status") from None
        handlers = [each.id for each in self.known if (each.status, each.column) == (part.status, chosen)]
        states = self._states([row[0] for row in found], handlers)
        return Listed(
            table=str(self.table),
            column=chosen,
            status=part.status,
            columns=names,
            hidden=tuple(
                each for each in self.table.columns if each not in {*names, *self.table.key, chosen}
            ),
            handled=bool(handlers),
            rows=tuple(RowLine(key, tuple(values[: len(names)]), states.get(key)) for key, *values in found),
            filters=known,
            several=len(self.status_columns) > 1,
        )

    def _found(self, column: str, part: Part, known: Sequence[FilterLine]) -> list[Any]:
        if part.where is not None:
            filtering.require(part.where, known)
        found = self._along_index(column, part)
        if found is None and part.where is not None:
            return self._among_few(column, part, part.where)
        if found is None:
            self._refuse_large(column, part.status)
            return self._connection.execute(self._listing(column, part), part.asked).fetchall()
        return found

    def _along_index(self, column: str, part: Part) -> list[Any] | None:
        """Return the rows, if an index leads to them alone; None if it does not.

        Where most rows have the status, the planner would rather go along the key and leave out the others. It cannot
        where the order begins with the status, which it does not see to be one and the same.
        """
        questions = [self._listing(column, part)]
        if self.table.is_plain(column) and part.where is None:
            questions.append(self._listing(column, part, is_first=True))
        beside = part.where and part.where.column
        with along_indexes(self._connection):
            for each in questions:
                searched = StatusColumn(self.table, column)
                if searched.is_bounded(self._connection, each, part.asked, beside):
                    return self._connection.execute(each, part.asked).fetchall()
        return None

    def _among_few(self, column: str, part: Part, where: Filter) -> list[Any]:
        """Return the rows of those with a value, if these are few.

        Raises:
            RefusedError: they are not.
        """
        names = dict.fromkeys([*self.table.key, column, *self._shown])
        with along_indexes(self._connection):
            parts = self._parts(column, part)
            shows = (column, parts["shows"])
            found = filtering.among_few(self._connection, self.table, shows, where, names)
            question = statement("filter_rows", found=found, **parts)
            return self._connection.execute(question, part.asked).fetchall()

    def _listing(self, column: str, part: Part, *, is_first: bool = False) -> sql.Composed:
        parts = self._parts(column, part, is_first=is_first)
        if part.where is not None:
            is_its = filtering.has_value(self.table, part.where)
            parts["shows"] = sql.SQL("{} and {}").format(parts["shows"], is_its)
        return statement("list_rows", table=self.table.identifier, users=self.table.users, **parts)

    def _parts(self, column: str, part: Part, *, is_first: bool = False) -> dict[str, sql.Composable]:
        """Return what the statements of listings have in common."""
        own, value = sql.Identifier("t", column), sql.Literal(part.status)
        typed = sql.SQL("{}::{}").format(value, trusted(self.table.columns[column].full_type))
        shown = self.table.columns[column].equal(own, value)
        is_after = self.table.is_after("%(after)s", before=part.is_back)
        order = [sql.Identifier("t", each) for each in self.table.key]
        if is_first:
            shown = sql.SQL("{0} >= {1} and {0} <= {1}").format(own, typed)
            is_after = self.table.is_after_within(column, typed, "%(after)s", before=part.is_back)
            order.insert(0, own)
        names = [each for each in self._shown if each != column]
        direction = sql.SQL(" desc" if part.is_back else "")
        return {
            "key": self.table.key_text(),
            "values": sql.SQL(", ").join(map(self._text, names)) if names else _NULL,
            "shows": shown,
            "after": sql.SQL("true") if part.after is None else is_after,
            "key_order": sql.SQL(", ").join(each + direction for each in order),
        }

    def _refuse_large(self, column: str, status: str) -> None:
        """Refuse to read through a table that is not small.

        Raises:
            RefusedError: with the index that would serve.
        """
        counts = StatusCounter(self._connection, self.table, column)
        whole = counts.whole(())
        if whole is None or counts.counted(whole, ()) is None:
            index = filtering.index(self.table, column)
            msg = f"no index lists the rows of {self.table} that are {status!r}; one that does: {index}"
            raise RefusedError(msg, "no_index")

    def column(self, status: str, column: str | None) -> str:
        """Return the status column that is meant.

        Raises:
            NothingSelectedError: the one that is named is none.
            RefusedError: the table does not have it any more.
        """
        known = [each.column for each in sorted(self.known, key=lambda each: each.status != status)]
        chosen = known[0] if column is None else column
        if chosen not in known:
            msg = f"{column!r} is not a status column of {self.table}"
            raise NothingSelectedError(msg)
        if chosen not in self.table.columns:
            there = columns_there(chosen, self.table.columns)
            msg = f"{self.table} has no column {chosen!r}, which its handlers look at; {there}"
            raise RefusedError(msg, "no_column")
        return chosen

    # --- one row ----------------------------------------------------------------------------------

    def shown(self, key: str) -> RowShown:
        """Return a row; of one that is gone what poller knows.

        Raises:
            ConfigurationError: the key cannot be one.
        """
        key = read_key(self.table, key)
        names = [*self._shown]
        texts = sql.SQL(", ").join(map(self._text, names)) if names else _NULL
        question = row_by_key(self.table, self.status_columns, texts)
        try:
            row = self._connection.execute(question, {"key": key}).fetchone()
        except psycopg.DataError:
            msg = f"{key!r} cannot be a key of {self.table}"
            raise RefusedError(msg, "no_key") from None
        found, statuses, *values = row or (key, [])
        told = dict(zip(names, values, strict=False))
        columns = tuple(
            ColumnLine(
                each.name,
                each.full_type,
                each.name in self.table.key,
                each.name in told,
                told.get(each.name),
            )
            for each in self.table.columns.values()
        )
        states = {each.status: self._states([found], [each.id]) for each in self.known}
        return RowShown(
            table=str(self.table),
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
        if self.table.columns[name].type == "bytea":
            return sql.SQL("octet_length({}) || ' bytes'").format(column)
        return sql.SQL("left({}::text, {})").format(column, sql.Literal(LONGEST))


def row_by_key(table: Table, statuses: Iterable[str], values: sql.Composable = _NULL) -> Statement:
    """Return the question for the row with the key `%(key)s`: that key, what it shows, and further values."""
    shown = [sql.SQL("{}::text").format(sql.Identifier("t", each)) for each in statuses]
    return statement(
        "show_row",
        table=table.identifier,
        users=table.users,
        key=table.key_text(),
        statuses=sql.SQL(", ").join(shown),
        values=values,
        is_own=table.is_key("%(key)s"),
    )


def page(
    rows: Rows, status: str, options: Listing, now: Callable[[], datetime]
) -> tuple[Listed, Page[RowLine]]:
    """Return a page of a listing, in the order of the key, whichever way it was gone to.

    Raises:
        ConfigurationError: as `Rows.listed`; or a cursor or the limit is not valid, or there are two cursors.
    """
    limit, before, where = options.get("limit", 50), options.get("before"), options.get("where")
    after = options.get("after")
    if before is not None and after is not None:
        msg = "a page is after a row or before one: leave out `after` or `before`"
        raise ConfigurationError(msg)
    [key], most = decoded(before or after, str) or [None], one_more(limit)
    part = Part(status, most or 1, key, bool(before), where and Filter(*where))
    found = rows.listed(part, options.get("column"))
    is_more, kept = len(found.rows) > limit, found.rows[:limit]
    kept = kept[::-1] if part.is_back else kept
    first, last = (encoded([kept[at].key]) if kept else None for at in (0, -1))
    previous = first if (is_more if part.is_back else part.after is not None) else None
    following = last if part.is_back or is_more else None
    return replace(found, rows=kept, previous=previous), Page(kept, following, now())


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
