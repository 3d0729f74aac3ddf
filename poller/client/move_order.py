"""Reads an order to move rows: the table, the status column, the statuses and the keys that its selector means.

What follows the table is a status if a handler of it names that, or its type does; else a key if a row has it; else a
status that rows may show all the same. Where it is both, a row's key and what rows show, nothing is guessed: the order
is refused. For that a status is searched for as far as it costs little: in a small table, along an index, or in the
statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from poller.client.counts import StatusCounter
from poller.client.key_forms import EMPTY, is_whole, read_key
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import ALL, of_table, refuse_unfinished, split
from poller.db import tables
from poller.db.statements import statement
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import split_off_table, table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.db.tables import Column, Table


class GivenMove(NamedTuple):
    """An order as it is given: `TABLE:STATUS[:KEY]` or `TABLE:KEY`, the status to move to, and further keys.

    Attributes:
        shown: the status that the rows show, named apart; what follows the table is a key then.
        column: the status column, where the table has several.
    """

    selector: str
    to: str
    keys: Sequence[str] = ()
    shown: str | None = None
    column: str | None = None

    @property
    def target(self) -> str:
        """The rows that it is for, as it is logged."""
        name, rest = split_off_table(self.selector)
        if self.shown is None:
            return self.selector
        return ":".join((name, self.shown, rest) if rest else (name, self.shown))


class HandlerStatuses(NamedTuple):
    """A handler of a table, and all the statuses that it takes, shows or leads to."""

    id: int
    column: str
    status: str
    during: str | None
    statuses: list[str]


class MovePlan(NamedTuple):
    """Which rows to move, and to which status.

    Attributes:
        froms: the statuses that they may show: the one that was named, and the `during` of its handler; empty: any.
        keys: theirs; None for all that show such a status.
        handlers: the numbers of the handlers whose rows in flight show `during`.
        guessed: what may be a status or a key, if nothing told.
        named_column: the status column's name, where the table has several.
    """

    table: Table
    column: Column
    froms: tuple[str, ...]
    to: str
    keys: tuple[str, ...] | None
    handlers: tuple[int, ...] = ()
    guessed: str | None = None
    named_column: str | None = None


def in_column(text: str, column: str | None) -> str:
    """Return what an order names, with the status column, if that is named.

    >>> in_column("to paid", "payment"), in_column("to paid", None)
    ('to paid (payment)', 'to paid')
    """
    return text if column is None else f"{text} ({column})"


def read(connection: psycopg.Connection[Any], order: GivenMove) -> MovePlan:
    """Return what an order means.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: the selector names no rows, or the column cannot have the status.
    """
    selector, to, keys, shown_status, named_column = order
    name, rest = split_off_table(selector)
    if selector == ALL:
        msg = "name a table, and a status or keys; one order cannot move all rows of all tables"
        raise RefusedError(msg, "all_rows")
    table, machines, is_one_of_several = _machines(connection, name, named_column)
    statuses = _statuses(table, machines) if shown_status is None else set()  # what follows is a key then
    refuse_unfinished(selector, statuses)
    keys = [read_key(table, each) for each in keys]
    if not to and not any("" in each.statuses for each in machines):
        msg = "name the status to move the rows to; no handler knows an empty one"
        raise RefusedError(msg, "no_status")
    status, key = split(rest, statuses) if shown_status is None else (shown_status, rest or "")
    if status is None and rest:
        status, key = _of_row(connection, table, machines, rest, keys, to)
    guessed: str | None = rest if rest and status is None and not key else None
    if status is None and not (key or guessed or keys):
        msg = f"name a status or keys ({name}:STATUS, {name}:KEY); one order cannot move all rows of a table"
        raise RefusedError(msg, "all_rows")
    column = tables.status_column(connection, table, _column(machines, status, to))
    for each in (to, shown_status):
        if each is not None:
            tables.check_status(connection, table, column, each)
    if guessed and (keys or _is_key(connection, table, column, guessed)):  # of keys, a row would show it
        key, guessed = guessed, None
    named = [read_key(table, key)] if key else []
    busy = [each for each in machines if each.status == status and each.column == column.name and each.during]
    if to in (status, guessed):
        named_so = ":".join((name, busy[0].during or "", *([key] if key else []))) if busy else None
        hint = f"; rows that show its handler's during are named by that: {named_so}" if named_so else ""
        msg = f"{selector} has the status {to!r} already{hint}"
        raise RefusedError(msg, "same_status")
    shown = [guessed if status is None else status, *(each.during for each in busy)]
    return MovePlan(
        table,
        column,
        froms=tuple(dict.fromkeys(each for each in shown if each not in (None, to))),
        to=to,
        keys=tuple(dict.fromkeys([*named, *keys])) or None,
        handlers=tuple(each.id for each in busy if each.during != to),
        guessed=guessed,
        named_column=column.name if is_one_of_several else None,
    )


def _machines(
    connection: psycopg.Connection[Any], name: str, column: str | None
) -> tuple[Table, list[HandlerStatuses], bool]:
    """Return a table, its handlers (those of a status column, if one is named), and whether it has several columns.

    Raises:
        NothingSelectedError: there is no such table, or no such status column.
    """
    known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
    full = of_table(name, known)[0].table
    rows = connection.execute(statement("machines"), {"table": full}).fetchall()
    every = [HandlerStatuses(*row) for row in rows]
    meant = [each for each in every if column in {None, each.column}]
    if not meant:
        there = ", ".join(dict.fromkeys(each.column for each in every))
        msg = f"{column!r} is not a status column of {full}, which has {there}"
        raise NothingSelectedError(msg)
    return tables.describe(connection, table_name(full)), meant, len({each.column for each in every}) > 1


def _statuses(table: Table, machines: Sequence[HandlerStatuses]) -> set[str]:
    """Return the statuses by which an order may name rows of a table: its handlers', and their columns' enums'."""
    columns = {each.column for each in machines} & table.columns.keys()
    labels = {label for name in columns for label in table.columns[name].labels or ()}
    return labels.union(*(each.statuses for each in machines))


def _of_row(  # noqa: PLR0913, PLR0917 - the parts of an order
    connection: psycopg.Connection[Any],
    table: Table,
    machines: Sequence[HandlerStatuses],
    rest: str,
    keys: Sequence[str],
    to: str,
) -> tuple[str | None, str]:
    """Return the status and the key by which a text, and further keys, name a row that is there; else neither.

    Raises:
        RefusedError: the text is both the key of a row and a status that rows show.
    """
    columns = [table.columns[name] for name in {each.column for each in machines} & table.columns.keys()]
    if is_whole(table, rest) and _has(connection, table, table.is_key("%(key)s"), read_key(table, rest)):
        if any(_is_shown(connection, table, each, rest, keys) for each in columns):
            msg = f"{rest!r} may mean the row of {table} with that key, or the rows that show it as their status"
            raise RefusedError(msg, "key_or_status", table=str(table), key=rest, to=to)
        return None, rest
    for status, key in (*_parted(rest), *((rest, each) for each in keys)):
        if is_whole(table, key) and any(
            _has(connection, table, _shows(table, each, status), key) for each in columns
        ):
            return status, "" if status == rest else key
    return None, ""


def _shows(table: Table, column: Column, status: str) -> sql.Composed:
    shows = column.equal(sql.Identifier("t", column.name), sql.Literal(status))
    return sql.SQL("{} and {}").format(table.is_key("%(key)s"), shows)


def _is_shown(
    connection: psycopg.Connection[Any], table: Table, column: Column, status: str, keys: Sequence[str]
) -> bool:
    """Tell whether rows show a status, by the keys or any: as far as that costs little."""
    if not _may_have(connection, table, column, status):
        return False
    if keys:
        return any(_has(connection, table, _shows(table, column, status), each) for each in keys)
    counter = StatusCounter(connection, table, column.name)
    if counter.whole(()) is not None:
        any_row = column.equal(sql.Identifier("t", column.name), sql.Literal(status))
        return _has(connection, table, any_row, "")
    found = counter.of(status, {})
    return found.rows > 0 if found.exact else status in counter.statistics().values


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before and behind each colon, the longest beginning first."""
    parts = text.split(":")
    for at in range(len(parts) - 1, 0, -1):
        yield ":".join(parts[:at]), ":".join(parts[at:])


def _has(connection: psycopg.Connection[Any], table: Table, is_shown: sql.Composable, key: str) -> bool:
    question = statement("shows_status", table=table.identifier, users=table.users, is_shown=is_shown)
    try:
        with connection.transaction():
            return connection.execute(question, {"key": key}).rowcount > 0
    except psycopg.DataError:  # not a value of its type
        return False


def _may_have(connection: psycopg.Connection[Any], table: Table, column: Column, status: str) -> bool:
    try:
        with connection.transaction():
            tables.check_status(connection, table, column, status)
    except ConfigurationError:
        return False
    return True


def _is_key(connection: psycopg.Connection[Any], table: Table, column: Column, text: str) -> bool:
    """Tell whether a text that no row has can only be meant as a key: a JSON array, or no status of the column's."""
    is_array = text.startswith("[") and text.endswith("]") and (len(table.key) > 1 or text == EMPTY)
    return is_array or not _may_have(connection, table, column, text)


def _column(machines: Sequence[HandlerStatuses], status: str | None, to: str) -> str:
    """Return the status column that the order means: the only one that knows both statuses, or what is known of them.

    Raises:
        RefusedError: it is ambiguous; also where one column knows the one status, and another the other.
    """
    columns = list(dict.fromkeys(each.column for each in machines))
    knowing = [
        {each.column for each in machines if wanted in each.statuses} or {*columns} for wanted in (status, to)
    ]
    meant = [each for each in columns if all(each in those for those in knowing)]
    if len(meant) == 1:
        return meant[0]
    msg = f"the table has the status columns {', '.join(columns)}, and any may be meant; name the column, too"
    raise RefusedError(msg, "several_columns", columns=columns)
