"""Moves rows to another status on a person's order: compare-and-set, a thousand at a time.

What may be trusted: a row is moved only if it shows, under its lock, the status that it is moved from. What is in
flight is not stopped: its outcome finds another status, and is superseded. Each batch is committed by itself, with its
entry in the log of orders; so a move that was stopped, or killed, has moved what the log says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from poller.client.actions import Batches
from poller.client.answers import aside
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import ALL, of_table, same_key, split
from poller.db import tables
from poller.db.statements import array, statement, trusted
from poller.jobs.run import TABLE as RUNS
from poller.model.handler import split_off_table, table_name

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from poller.client.actions import Author
    from poller.db.tables import Column, Table

    Progress = Callable[[int], object]

BATCH_ROWS = 1000  # rows
MOST_PASSES = 8  # passes from the top, for rows that another transaction had locked for a moment


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of a person's order to move rows.

    Attributes:
        table: the table, with its schema.
        status: the status that the rows have now.
        rows: how many were moved.
        locked: how many were left because another transaction has them locked; 1,000 means as many or more.
        stopped: it was told to stop, and left the rest.
    """

    table: str
    status: str
    rows: int
    locked: int
    stopped: bool = aside()


class MoveOrder(NamedTuple):
    """An order as it is given: `TABLE:STATUS[:KEY]` or `TABLE:KEY`, the status to move to, and further keys."""

    selector: str
    to: str
    keys: Sequence[str] = ()


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
        froms: the statuses that they may show; empty: any.
        keys: theirs; None for all that show such a status.
    """

    table: Table
    column: Column
    froms: tuple[str, ...]
    to: str
    keys: tuple[str, ...] | None


def move(
    connection: psycopg.Connection[Any],
    author: Author,
    order: MoveOrder,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Moved:
    """Move rows of a status, or with some keys, to another status.

    Args:
        connection: in autocommit mode, so that each batch is committed; or in the caller's transaction.
        author: who orders.
        order: what.
        progress: called after each batch with how many rows were moved.
        stop: an event; once it is set, the batch in hand is the last.

    Raises:
        NothingSelectedError: there is no such row, or another transaction has all of them locked.
        ConfigurationError: the selector names no rows, or the column cannot have the status.
    """
    asked = _read(connection, order)

    def enter(rows: int) -> int:
        return author.enter(connection, "move", order.selector, rows, order.keys, detail=f"to {order.to}")

    batches = Batches(connection, enter, progress, stop)
    for batch in _batches(connection, asked, batches):
        with batches.next():
            rows = batch()
            batches.reached(rows)
            if rows:
                connection.execute(statement("wake"))
        if batches.is_stopped:
            return Moved(str(asked.table), order.to, batches.rows, 0, stopped=True)
    moved = batches.rows
    locked = _left(connection, asked)
    if not moved:
        raise NothingSelectedError(_nothing(order, asked, locked))
    return Moved(str(asked.table), order.to, moved, locked, stopped=False)


def _nothing(order: MoveOrder, asked: MovePlan, locked: int) -> str:
    named = " ".join([order.selector, *order.keys])
    if locked:
        return f"nothing was moved: another transaction has the rows of {named} locked"
    shows = (
        f"shows {' or '.join(map(repr, asked.froms))}"
        if asked.froms
        else f"shows another status than {asked.to!r}"
    )
    return f"nothing to move: no row of {named} {shows}"


# --- what is meant ------------------------------------------------------------------------------------


def _read(connection: psycopg.Connection[Any], order: MoveOrder) -> MovePlan:
    selector, to, keys = order
    name, rest = split_off_table(selector)
    if selector == ALL:
        msg = "name a table, and a status or keys: not all rows of all tables are moved at once"
        raise RefusedError(msg, "all_rows")
    known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
    full = of_table(name, known)[0].table
    rows = connection.execute(statement("machines"), {"table": full}).fetchall()
    machines = [HandlerStatuses(*row) for row in rows]
    table = tables.describe(connection, table_name(full))
    status, key = split(rest, _statuses(table, machines))
    if status is None:
        status, key = split(rest, _shown(connection, table, machines, rest))
    named = tuple(form for each in (key, *keys) if each for form in same_key(each)) or None
    if status is None and named is None:
        msg = f"name a status or keys ({name}:STATUS, {name}:KEY): not all rows of a table are moved at once"
        raise RefusedError(msg, "all_rows")
    column = tables.status_column(connection, table, _column(machines, status, to))
    tables.check_status(connection, table, column, to)
    shown = [each.during for each in machines if each.status == status and each.column == column.name]
    froms = (
        ()
        if status is None
        else tuple(dict.fromkeys([status, *(each for each in shown if each is not None)]))
    )
    if to == status:
        msg = f"{name}:{status} has the status {to!r} already"
        raise RefusedError(msg, "same_status")
    return MovePlan(table, column, tuple(each for each in froms if each != to), to, named)


def _statuses(table: Table, machines: Sequence[HandlerStatuses]) -> set[str]:
    """Return the statuses by which an order may name rows of a table: its handlers', and their columns' enums'."""
    columns = {each.column for each in machines} & table.columns.keys()
    labels = {label for name in columns for label in table.columns[name].labels or ()}
    return labels.union(*(each.statuses for each in machines))


def _shown(
    connection: psycopg.Connection[Any], table: Table, machines: Sequence[HandlerStatuses], rest: str
) -> list[str]:
    """Return the part of a text that is a status no handler names but a row shows: that before a colon, or all."""
    if rest and _has(connection, table, table.is_key("%(key)s"), rest):
        return []  # it is a key, and no status need be looked for
    parts = rest.split(":")
    heads = [":".join(parts[:length]) for length in range(1, len(parts) + 1) if rest]
    columns = {each.column for each in machines} & table.columns.keys()
    return [
        head for name in columns for head in heads if _shows(connection, table, table.columns[name], head)
    ]


def _shows(connection: psycopg.Connection[Any], table: Table, column: Column, status: str) -> bool:
    is_shown = column.equal(sql.Identifier("t", column.name), sql.Literal(status))
    return _has(connection, table, is_shown)


def _has(
    connection: psycopg.Connection[Any], table: Table, condition: sql.Composable, key: str | None = None
) -> bool:
    question = statement("shows_status", table=table.identifier, users=table.users, is_shown=condition)
    try:
        with connection.transaction():
            return connection.execute(question, {"key": key}).rowcount > 0
    except psycopg.DataError:  # not a value of its type
        return False


def _column(machines: Sequence[HandlerStatuses], status: str | None, to: str) -> str:
    """Return the status column that the order means, where a table has several.

    Raises:
        ConfigurationError: it is ambiguous.
    """
    columns = list(dict.fromkeys(each.column for each in machines))
    for wanted in (status, to):
        if len(columns) > 1 and wanted is not None:
            knowing = [each.column for each in machines if wanted in each.statuses]
            columns = [each for each in columns if each in knowing] or columns
    if len(columns) > 1:
        msg = f"the table has the status columns {', '.join(columns)}, and any may be meant; name a status of one"
        raise RefusedError(msg, "several_columns")
    return columns[0]


# --- the statements -----------------------------------------------------------------------------------


def _batches(
    connection: psycopg.Connection[Any], asked: MovePlan, batches: Batches
) -> Iterator[Callable[[], int]]:
    """Yield functions that each move one batch, and return its number of rows."""
    if asked.keys is not None:
        for at in range(0, len(asked.keys), BATCH_ROWS):
            part = array(asked.keys[at : at + BATCH_ROWS])
            yield lambda part=part: _moved(connection, asked, keys=part)[0]  # type: ignore[misc]
        return
    for number in range(MOST_PASSES):
        if number:
            if not _left(connection, asked):
                return
            batches.pause()
        yield from _pass(connection, asked)


def _pass(connection: psycopg.Connection[Any], asked: MovePlan) -> Iterator[Callable[[], int]]:
    """Yield the batches from the top to the end, in the order of the key."""
    after: str | None = None
    is_over = False

    def go_on() -> int:
        nonlocal after, is_over
        rows, last = _moved(connection, asked, after=after)
        is_over, after = last is None, last or after
        return rows

    while not is_over:
        yield go_on


def _moved(
    connection: psycopg.Connection[Any], asked: MovePlan, *, keys: str | None = None, after: str | None = None
) -> tuple[int, str | None]:
    parts = _parts(asked)
    is_after = sql.SQL("true") if after is None else asked.table.is_after("%(after)s")
    look = (
        statement("move_look", **parts, after=is_after) if keys is None else statement("move_keys", **parts)
    )
    question = statement("move", **parts, look=look)
    try:
        row = connection.execute(question, {"keys": keys, "after": after, "limit": BATCH_ROWS}).fetchone()
    except psycopg.DataError as error:
        if keys is None:
            raise
        reason = error.diag.message_primary or error
        msg = f"{asked.table} has no such status, and it cannot be a key: {reason}"
        raise RefusedError(msg, "no_key") from None
    return row or (0, None)


def _left(connection: psycopg.Connection[Any], asked: MovePlan) -> int:
    row = connection.execute(
        statement("move_left", **_parts(asked)), {"keys": None if asked.keys is None else array(asked.keys)}
    ).fetchone()
    return row[0] if row else 0


def _parts(asked: MovePlan) -> dict[str, sql.Composable]:
    table, column = asked.table, asked.column
    shown, to = sql.Identifier("t", column.name), sql.Literal(asked.to)
    others = column.differs(shown, sql.SQL("{}::{}").format(to, trusted(column.full_type)))
    froms = [column.equal(shown, sql.Literal(each)) for each in asked.froms]
    is_asked = sql.SQL("{} in (select {} from unnest(%(keys)s::text[]) as k (key))")
    return {
        "table": table.identifier,
        "users": table.users,
        "status": sql.Identifier(column.name),
        "status_type": trusted(column.full_type),
        "status_column": sql.Literal(column.name),
        "table_name": sql.Literal(str(table)),
        "to_status": to,
        "strays": others,
        "shows_from": sql.SQL(" or ").join(froms) if froms else others,
        "key": table.key_text(),
        "key_columns": table.key_columns(),
        "asked_columns": table.key_claimed("k.key"),
        "key_order": sql.SQL(", ").join(sql.Identifier("t", name) for name in table.key),
        "is_own": table.is_key('o."~key"'),
        "is_asked": sql.SQL("true")
        if asked.keys is None
        else is_asked.format(table.key_columns(), table.key_claimed("k.key")),
    }
