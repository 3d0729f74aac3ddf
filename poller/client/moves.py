"""Moves rows to another status on a person's order: compare-and-set, a thousand at a time.

What may be trusted: a row is moved only if it shows, under its lock, the status that it is moved from. What is in
flight is not stopped: its outcome finds another status, and is superseded. Each batch is committed by itself, with its
entry in the log of orders; so a move that was stopped, or killed, has moved what the log says.

Which rows show a status is asked page by page, and no statement goes through more than some thousands of rows: along an
index, where Postgres finds the rows of the status by one; else along the primary key, through the whole table, once. A
row that was left because another transaction had it locked is tried again by its key. What the table refuses (a CHECK, a
trigger) is found by halving its batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from poller.client.actions import BATCH_ROWS, Batches
from poller.client.answers import aside
from poller.client.counts import StatusColumn, along_indexes, writing_along_indexes
from poller.client.move_order import GivenMove, MovePlan, in_column, read
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.db.connection import role_of
from poller.db.statements import array, statement, trusted
from poller.errors_in_words import reason as in_words

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from poller.client.actions import Author
    from poller.db.statements import Statement

    Progress = Callable[[int], object]

__all__ = ["GivenMove", "Left", "Moved", "move"]

PAGE_ROWS = 10_000  # rows that one look goes through
MOST_PASSES = 8  # tries at rows that another transaction has locked for a moment
REMEMBERED_KEYS = 10_000  # keys of rows that were left; of further ones only the number is known
MOST_REFUSED = 20  # rows that the table refuses, after which an order ends

_TRUE, _NOTHING = sql.SQL("true"), sql.SQL("")
_REFUSALS = (
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.InternalError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
)


@dataclass(frozen=True, slots=True)
class Left:
    """Rows that a move has left, all for one reason.

    Attributes:
        reason: locked; leased, if the handler that has a row in hand has it locked; status, if it shows another than it
            was to be moved from; gone, if there is no such row; refused, if the table does not let it have the status.
        rows: how many.
        key: the first one's.
        detail: why that one was left, in a line.
    """

    reason: str
    rows: int
    key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of a person's order to move rows.

    Attributes:
        table: the table, with its schema.
        status: the status that the rows have now.
        rows: how many were moved.
        locked: how many were left because another transaction has them locked.
        stopped: it was told to stop, and left the rest.
        left: the rows that were left, by reason.
    """

    table: str
    status: str
    rows: int
    locked: int
    stopped: bool = aside()
    left: tuple[Left, ...] = aside(())


def move(  # noqa: PLR0913, PLR0917 - the parts of one order
    connection: psycopg.Connection[Any],
    author: Author,
    order: GivenMove,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    most: int | None = None,
) -> Moved:
    """Move rows of a status, or with some keys, to another status.

    Args:
        connection: in autocommit mode, so that each batch is committed; or in the caller's transaction.
        author: who orders.
        order: what.
        progress: called after each batch with how many rows were moved.
        stop: an event; once it is set, the current batch is the last.
        most: how many rows are moved at the most; None for all.

    Raises:
        NothingSelectedError: there is no such row, or none could be moved.
        ConfigurationError: the selector names no rows, or the column cannot have the status.
    """
    asked = read(connection, order)
    detail = in_column(f"to {order.to}", asked.named_column)

    def enter(rows: int) -> int:
        return author.enter(connection, "move", order.target, rows, order.keys, detail=detail)

    batches = Batches(connection, enter, progress, stop, most)
    left = Moving(connection, asked, batches).run()
    if not (batches.rows or batches.is_stopped):
        raise NothingSelectedError(_nothing(order, asked, left))
    locked = sum(each.rows for each in left if each.reason in {"locked", "leased"})
    return Moved(str(asked.table), order.to, batches.rows, locked, batches.is_stopped, left)


def _nothing(order: GivenMove, asked: MovePlan, left: Sequence[Left]) -> str:
    named = in_column(" ".join([order.target, *order.keys]), asked.named_column)
    why = {each.reason: each for each in left}
    if "refused" in why:
        return f"nothing was moved: {why['refused'].detail}"
    if "locked" in why:
        return f"nothing was moved: another transaction has the rows of {named} locked"
    if "leased" in why:
        return f"nothing was moved: {why['leased'].detail}"
    if asked.guessed is not None:
        return f"nothing to move: no row of {asked.table} has the key {asked.guessed!r}, or shows it as its status"
    if len(left) == 1 and left[0].reason == "gone":
        return f"nothing to move: {left[0].detail}"
    shows = (
        f"shows {' or '.join(map(repr, asked.froms))}"
        if asked.froms
        else f"shows another status than {asked.to!r}"
    )
    return f"nothing to move: no row of {named} {shows}"


class RowSeen(NamedTuple):
    """What a row shows, as asked for by its key.

    Attributes:
        asked: the key, as it was given.
        key: as poller writes it; None if there is no such row.
        status: None if it is not set.
        shows: it is one to be moved.
        worker: the number of the worker that holds it.
    """

    asked: str
    key: str | None
    status: str | None
    shows: bool
    worker: int | None


class Moving:
    """An order that is carried out.

    Args:
        connection: as for `move`.
        asked: which rows.
        batches: carries each batch out in a transaction, and logs it.
    """

    def __init__(self, connection: psycopg.Connection[Any], asked: MovePlan, batches: Batches) -> None:
        self._connection = connection
        self._asked = asked
        self._batches = batches
        self._column = StatusColumn(asked.table, asked.column.name)
        self._parts = _parts(asked)
        self._missed: list[str] = []  # keys of rows that were locked, or that show another status by then
        self._beyond = 0  # of which the keys are not remembered
        self._left: dict[str, Left] = {}
        self._may_write = False
        self._is_locked = False

    def run(self) -> tuple[Left, ...]:
        """Move the rows; return those that are left.

        Raises:
            RefusedError: a key cannot be one of the table's; nothing was moved.
        """
        self._all(self._found())
        for _ in range(MOST_PASSES - 1):
            if not self._missed or self._is_over:
                break
            self._batches.pause()
            again, self._missed = self._missed, []
            self._all([again])
        self._end_early()
        for seen in self._look(self._missed):
            self._leave(*self._why(seen))
        if self._beyond:
            self._leave("locked", "", "", self._beyond)
        return tuple(self._left.values())

    @property
    def _is_over(self) -> bool:
        refused = self._left.get("refused")
        return (
            self._batches.is_over or self._is_locked or (refused is not None and refused.rows >= MOST_REFUSED)
        )

    # --- which rows -------------------------------------------------------------------------------

    def _found(self) -> Iterator[Sequence[str]]:
        """Yield the keys of the rows to be moved, in parts."""
        if self._asked.keys is not None:
            yield self._named(self._asked.keys)
            return
        status, *during = self._asked.froms
        indexed = self._along_index(status)
        if indexed is None:
            yield from self._pages(_TRUE)
            self._guess()
            return
        yield from indexed
        if during:
            held = RowQueries(self._connection).in_flight(self._asked.handlers, None, _TRUE, None)
            yield [key for _, key, _ in held]

    def _named(self, keys: Sequence[str]) -> list[str]:
        """Return those of the named rows that can be moved, each once; note why the others are left."""
        found: dict[str, None] = {}
        for seen in self._look(keys):
            if seen.shows and seen.key is not None:
                found[seen.key] = None
            else:
                self._leave(*self._why(seen))
        return list(found)

    def _guess(self) -> None:
        """See whether what no row shows may be a key."""
        if self._asked.guessed is not None and not self._batches.rows:
            self._look([self._asked.guessed])

    def _along_index(self, status: str) -> Iterator[Sequence[str]] | None:
        """Return the pages of rows with a status that an index finds; None if none does.

        If it does not give them in the order of the key, they are found at once, or if they are many, not so.
        """
        shows = self._shows(status)
        if self._is_bounded(shows, self._in_order):
            return self._pages(shows)
        if not self._is_bounded(shows, _NOTHING):
            return None
        keys, more = self._page(shows, _NOTHING, None)
        return None if more is not None else iter([keys])

    def _is_bounded(self, shows: sql.Composable, order: sql.Composable) -> bool:
        names = {"table": self._asked.table.identifier, "users": self._asked.table.users}
        question = statement(
            "first_of_status", **names, shows=shows, order=order, most=sql.Placeholder("most")
        )
        with along_indexes(self._connection):
            return self._column.is_bounded(self._connection, question, {"most": PAGE_ROWS})

    def _pages(self, among: sql.Composable) -> Iterator[Sequence[str]]:
        after: str | None = None
        while True:
            keys, after = self._page(among, self._in_order, after)
            yield keys
            if after is None:
                return

    def _page(
        self, among: sql.Composable, order: sql.Composable, after: str | None
    ) -> tuple[list[str], str | None]:
        is_after = _TRUE if after is None else self._asked.table.is_after("%(after)s")
        question = statement("keys_to_move", **self._parts, among=among, order=order, after=is_after)
        with along_indexes(self._connection):
            row = self._connection.execute(question, {"after": after, "page": PAGE_ROWS}).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        keys, last = row
        return keys, last

    @property
    def _in_order(self) -> sql.Composed:
        names = (sql.Identifier("t", name) for name in self._asked.table.key)
        return sql.SQL("order by {}").format(sql.SQL(", ").join(names))

    def _shows(self, status: str) -> sql.Composed:
        column = self._asked.column
        return column.equal(sql.Identifier("t", column.name), sql.Literal(status))

    # --- moving them ------------------------------------------------------------------------------

    def _all(self, found: Iterable[Sequence[str]]) -> None:
        for keys in found:
            for at in range(0, len(keys), BATCH_ROWS):
                self._move(keys[at : at + BATCH_ROWS])
            if self._is_over:
                return

    def _move(self, keys: Sequence[str]) -> None:
        """Move a batch; if the table refuses it, its halves."""
        if self._is_over:
            return
        keys = keys[: self._batches.room]
        try:
            missed, swallowed = self._write(keys)
        except psycopg.errors.LockNotAvailable:  # of the whole table: no other batch would have more luck
            self._is_locked = True
            self._missed += keys
            return
        except psycopg.errors.SerializationFailure:  # one of them was moved to another partition under it
            self._missed += keys
            return
        except _REFUSALS as error:
            self._refuse_all(error)
            if len(keys) == 1:
                self._leave("refused", keys[0], f"the database refuses row {keys[0]}: {in_words(error)}")
                return
            half = len(keys) // 2
            self._move(keys[:half])
            self._move(keys[half:])
            return
        room = REMEMBERED_KEYS - len(self._missed)
        self._missed += missed[:room]
        self._beyond += len(missed[room:])
        for key in swallowed:
            self._leave(
                "refused", key, f"a trigger of {self._asked.table} has skipped the change of row {key}"
            )

    def _write(self, keys: Sequence[str]) -> tuple[list[str], list[str]]:
        """Move rows, and log it; return the keys of those that were missed, and of those that a trigger swallowed."""
        with self._batches.next():
            with writing_along_indexes(self._connection):
                row = self._connection.execute(self._statement, {"keys": array(keys)}).fetchone()
            assert row is not None  # noqa: S101 - a select without from has one row
            rows, missed, swallowed = row
            self._batches.reached(rows)
            if rows:
                self._connection.execute(statement("wake"))
        return missed, swallowed

    def _refuse_all(self, error: psycopg.Error) -> None:
        """Raise an error that concerns no row: the statement fails without any, too."""
        if self._may_write:
            return
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute(self._statement, {"keys": array(())})
        except psycopg.Error:
            raise error from None
        self._may_write = True

    @property
    def _statement(self) -> Statement:
        return statement("move", **self._parts)

    # --- what is left -----------------------------------------------------------------------------

    def _look(self, keys: Sequence[str]) -> Iterable[RowSeen]:
        """Return what the rows with some keys show.

        Raises:
            RefusedError: one cannot be a key of the table.
        """
        found: list[RowSeen] = []
        question = statement("move_left", **self._parts)
        for at in range(0, len(keys), BATCH_ROWS):
            part = array(keys[at : at + BATCH_ROWS])
            try:
                with self._connection.transaction():
                    rows = self._connection.execute(question, {"keys": part}).fetchall()
            except psycopg.DataError as error:
                msg = f"{self._asked.table} has no such status, and it cannot be a key: {in_words(error)}"
                raise RefusedError(msg, "no_key") from None
            found += [RowSeen(*row) for row in rows]
        return found

    def _why(self, seen: RowSeen) -> tuple[str, str, str]:
        """Return the reason for which a row was left, its key, and the same in words."""
        key, table = seen.key, self._asked.table
        if key is None:
            return "gone", seen.asked, f"{table} has no row {seen.asked}"
        if not seen.shows:
            shown = "no status" if seen.status is None else repr(seen.status)
            return "status", key, f"row {key} shows {shown}"
        if seen.worker is not None:
            return "leased", key, f"a handler in worker {seen.worker} has row {key} locked"
        if table.row_security and self._is_kept(key):
            role = role_of(self._connection)
            return "refused", key, f"row security keeps the role {role} from changing row {key}"
        return "locked", key, f"another transaction has row {key} locked"

    def _is_kept(self, key: str) -> bool:
        """Tell whether a row that can be seen is one that a policy for updates leaves out, and not locked."""
        names = {"table": self._asked.table.identifier, "users": self._asked.table.users}
        question = statement("explain_lock", **names, is_own=self._asked.table.is_key("%(key)s"))
        try:
            with self._connection.transaction(force_rollback=True):
                return not self._connection.execute(question, {"key": key}).rowcount
        except psycopg.errors.LockNotAvailable:
            return False

    def _end_early(self) -> None:
        refused = self._left.get("refused")
        if refused is not None and refused.rows >= MOST_REFUSED:
            self._left["refused"] = replace(refused, detail=f"{refused.detail}; the order ended there")

    def _leave(self, reason: str, key: str, detail: str, rows: int = 1) -> None:
        known = self._left.get(reason)
        made = Left(reason, rows, key, detail)
        self._left[reason] = made if known is None else replace(known, rows=known.rows + rows)


def _parts(asked: MovePlan) -> dict[str, sql.Composable]:
    table, column = asked.table, asked.column
    shown, to = sql.Identifier("t", column.name), sql.Literal(asked.to)
    others = column.differs(shown, sql.SQL("{}::{}").format(to, trusted(column.full_type)))
    froms = [column.equal(shown, sql.Literal(each)) for each in asked.froms]
    return {
        "table": table.identifier,
        "users": table.users,
        "status": sql.Identifier(column.name),
        "status_type": trusted(column.full_type),
        "status_column": sql.Literal(column.name),
        "table_name": sql.Literal(str(table)),
        "has_its_rows": table.has_its_rows(),
        "is_from": column.same_status(sql.SQL("k.status"), sql.SQL('m."~from"')),
        "is_to": column.same_status(sql.SQL("k.status"), to),
        "to_status": to,
        "strays": others,
        "shows_from": sql.SQL(" or ").join(froms) if froms else others,
        "key": table.key_text(),
        "is_asked": table.is_key("k.key"),
        "is_own": table.is_key('o."~key"'),
    }
