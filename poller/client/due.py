"""Counts a handler's due rows, and tells since when they are due: rows that wait only for a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.client.counts import StatusColumn, along_indexes, plan
from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.store.binding import Binding

EXAMINED_ROWS = 5000  # rows of a status that are examined; for more there is an estimate
CREATED = "created_at"  # the column with the age of a row whose handler has no `due`
_NOBODY_KNOWS = sql.SQL("null")
# Frozen rows of an upgraded cluster have no transaction of their own.
_WRITTEN = sql.SQL("""case when t."~xmin"::text::bigint > 2 then pg_xact_commit_timestamp(t."~xmin") end""")


@dataclass(frozen=True, slots=True)
class DueRows:
    """What is due of a handler.

    Attributes:
        rows: how many.
        exact: they were counted; else `rows` is based on the planner's estimate.
        oldest: since when the first of them is due; of more than are looked at, the first in the order of the claims.
    """

    rows: int
    exact: bool
    oldest: datetime | None


def due(
    connection: psycopg.Connection[Any], binding: Binding, in_trouble: int, neighbours: Sequence[int] = ()
) -> DueRows:
    """Return what is due of a handler, at a cost that does not grow with its table.

    Args:
        connection: in autocommit mode.
        binding: the handler, with its number.
        in_trouble: how many rows show the status and are parked, or waiting.
        neighbours: the numbers of the handlers of its table, whose moves tell when rows were written that have no time.
    """
    try:
        with along_indexes(connection):
            counted = _counted(connection, binding, neighbours)
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.InternalError):
        counted = DueRows(
            0, exact=False, oldest=None
        )  # the handler's own condition raises an error for a row
    if counted.exact:
        return counted
    question = statement("rows_of_status", **_named(binding), shows=binding.due)
    estimate = int(plan(connection, question, {})["Plan Rows"])
    return replace(counted, rows=max(counted.rows, estimate - in_trouble))


def _counted(connection: psycopg.Connection[Any], binding: Binding, neighbours: Sequence[int]) -> DueRows:
    """Return which of the first rows are due: exact, if those are all rows.

    Raises:
        psycopg.Error: a condition of the user's raises an error for one of them.
    """
    status = StatusColumn(binding.table, binding.handler.column)
    age, asked = time_of(connection, binding), {"most": EXAMINED_ROWS + 1}
    for first, is_whole in _firsts(binding):
        if not status.is_bounded(connection, first, asked):
            continue
        row = connection.execute(_question(binding, first, age), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        looked, rows, oldest, written = row
        if age is _NOBODY_KNOWS and written is not None:
            oldest = min(filter(None, (oldest, _written(connection, neighbours, written))), default=None)
        if looked <= EXAMINED_ROWS or not is_whole:
            return DueRows(rows, exact=looked <= EXAMINED_ROWS, oldest=oldest)
    return DueRows(0, exact=False, oldest=None)


def _firsts(binding: Binding) -> Iterator[tuple[sql.Composed, bool]]:
    """Yield queries for the first rows of the status, the best first; the last one is for the whole table."""
    shows, ordered = binding.shows_status, sql.SQL("order by {}").format(binding.order)
    for condition, order, is_whole in (
        (shows, ordered, False),
        (shows, sql.SQL(""), False),
        (sql.SQL("true"), sql.SQL(""), True),
    ):
        yield _first(binding, condition, order, sql.Placeholder("most")), is_whole


def first_of(binding: Binding, most: sql.Composable) -> sql.Composed:
    """Return the query for the first so many rows of a handler's status, in the order of its claims."""
    return _first(binding, binding.shows_status, sql.SQL("order by {}").format(binding.order), most)


def _first(
    binding: Binding, shows: sql.Composable, order: sql.Composable, most: sql.Composable
) -> sql.Composed:
    return statement("first_of_status", **_named(binding), shows=shows, order=order, most=most)


def _question(binding: Binding, first: sql.Composed, age: sql.Composable) -> sql.Composed:
    return statement(
        "due",
        first=first,
        age=age,
        due=binding.due_at_once,
        handler=sql.Literal(binding.id),
        key=binding.table.key_text(),
        key_columns=binding.table.key_columns(),
        claimed_columns=binding.table.key_claimed("k.key"),
    )


def time_of(connection: psycopg.Connection[Any], binding: Binding) -> sql.Composable:
    """Return since when a row `t` is due: its own time, that of its creation, or that of the commit that wrote it."""
    if binding.handler.due is not None:
        return sql.Identifier("t", binding.handler.due)
    column = binding.table.columns.get(CREATED)
    if column is not None and column.readable and column.time is not None:
        return sql.Identifier("t", CREATED)
    row = connection.execute(statement("tracks_commits"), {}).fetchone()
    return _WRITTEN if binding.table.readable and row and row[0] else _NOBODY_KNOWS


def _written(connection: psycopg.Connection[Any], handlers: Sequence[int], ago: int) -> datetime | None:
    """Return the latest time at which the transaction of that age can have written; None without a later move.

    Poller records its moves in the order in which they were written, with the time. So the first move that is not
    older gives the time; the exact one, if it wrote the row. Ages are counted from one transaction, the caller's.
    """
    ends = connection.execute(statement("move_ends"), {"handlers": array(handlers)}).fetchall()
    found = [
        _first_since(connection, handler, low, high, ago) for handler, low, high in ends if low is not None
    ]
    return min((each for each in found if each is not None), default=None)


def _first_since(
    connection: psycopg.Connection[Any], handler: int, low: int, high: int, ago: int
) -> datetime | None:
    """Return the time of a handler's first move, among numbers in a range, that is not older than an age."""
    found: datetime | None = None
    while low <= high:
        middle = (low + high) // 2
        row = connection.execute(statement("move_from"), {"handler": handler, "id": middle}).fetchone()
        if row is None or row[1] <= ago:
            high = middle - 1
            found = row[2] if row is not None else found
        else:
            low = row[0] + 1
    return found


def _named(binding: Binding) -> dict[str, sql.Composable]:
    return {"table": binding.table.identifier, "users": binding.users}
