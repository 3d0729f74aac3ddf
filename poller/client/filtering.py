"""By which columns the rows of a listing may be filtered, at a cost that is bounded.

A column serves if an index begins with it, or with the status and then with it. If that has the rows in the order of the
key, no more are read than are shown; else all that have the value, if they are few: 10,000 at the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

from poller.client.counts import MOST_COUNTED_ROWS, StatusColumn
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from poller.db.tables import Table

_TIMES = (
    "timestamp with time zone",
    "timestamp without time zone",
)  # people do not know one to the microsecond


class Filter(NamedTuple):
    """Rows that have a value, as text, in a column."""

    column: str
    value: str


@dataclass(frozen=True, slots=True)
class FilterLine:
    """A column that rows may be filtered by.

    Attributes:
        index: the statement that makes the index which is missing; None if there is one.
    """

    column: str
    index: str | None


def filters(
    connection: psycopg.Connection[Any], table: Table, status: str, columns: Iterable[str]
) -> tuple[FilterLine, ...]:
    """Return the columns that rows of a status may be filtered by, and those that lack an index."""
    found = connection.execute(statement("first_columns"), {"table": table.oid}).fetchall()
    served = {first if first != status else second for first, second in found} | {first for first, _ in found}
    return tuple(
        FilterLine(each, None if each in served else index(table, status, each))
        for each in columns
        if table.columns[each].time not in _TIMES
    )


def index(table: Table, *columns: str) -> str:
    """Return the statement that makes an index of columns and then the key, for the user to execute."""
    parts = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*columns, *table.key])))
    return f"CREATE INDEX CONCURRENTLY ON {table.identifier.as_string()} ({parts.as_string()})"


def has_value(table: Table, where: Filter) -> sql.Composed:
    """Return the condition on a row `t` to have the value."""
    return table.columns[where.column].equal(sql.Identifier("t", where.column), sql.Literal(where.value))


def require(where: Filter, known: Sequence[FilterLine]) -> None:
    """Refuse a filter that no index serves.

    Raises:
        NothingSelectedError: rows cannot be filtered by this column.
        RefusedError: no index begins with it.
    """
    for each in known:
        if each.column == where.column and each.index is None:
            return
        if each.column == where.column:
            msg = f"no index begins with {where.column!r}; one that does: {each.index}"
            raise RefusedError(msg, "no_index")
    msg = f"rows cannot be filtered by {where.column!r}"
    raise NothingSelectedError(msg)


def among_few(
    connection: psycopg.Connection[Any],
    table: Table,
    shows: tuple[str, sql.Composable],
    where: Filter,
    columns: Iterable[str],
) -> sql.Composed:
    """Return the query for rows with a value, which are not many: along an index that tells the status, too, or not.

    Args:
        connection: that looks along indexes.
        table: the user's.
        shows: the status column, and the condition on a row `t` to show the status.
        where: the value.
        columns: that are selected.

    Raises:
        RefusedError: they are too many.
    """
    names = sql.SQL(", ").join(sql.Identifier("t", each) for each in columns)
    both = sql.SQL("{} and {}").format(has_value(table, where), shows[1])
    for condition, beside in ((both, shows[0]), (has_value(table, where), None)):
        parts = {"table": table.identifier, "users": table.users, "has_value": condition}
        found = statement("rows_with_value", columns=names, look=sql.Literal(MOST_COUNTED_ROWS + 1), **parts)
        if StatusColumn(table, where.column).is_bounded(connection, found, {}, beside):
            counted = connection.execute(statement("count_found", found=found), {}).fetchone()
            if counted is not None and counted[0] <= MOST_COUNTED_ROWS:
                return found
    msg = (
        f"more than {MOST_COUNTED_ROWS:,} rows have this {where.column}; an index that lists them: "
        f"{index(table, shows[0], where.column)}"
    )
    raise RefusedError(msg, "no_index")
