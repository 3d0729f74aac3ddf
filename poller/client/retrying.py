"""Retries rows in trouble, on an operator's order.

What may be trusted: nothing that was read before; each batch is one statement that checks the state itself. It may
race a worker at any moment: rows that are being settled are left alone. Concurrent orders retry a row once.

A row that still shows its handler's `during` (its way back was refused when it was parked) gets the handler's status
back in the same transaction: no worker would take it otherwise. Where that is refused again, it stays, and is told.

An order is carried out in batches of at most 1,000 rows, each in its own transaction, which also logs what it has
reached so far; so it may be stopped between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.client.actions import BATCH_ROWS
from poller.client.answers import aside
from poller.client.handler_lookup import selected_for_order
from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import PutBack, RowQueries
from poller.client.stuck_rows import StuckRows
from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.client.actions import Batches
    from poller.client.row_queries import Known
    from poller.client.selector import Selection

MOST_PASSES = 100  # over rows that others have locked; rows that stay locked for longer are left

# Which rows are in trouble, and not due already with all their attempts. Those that are named are put back anyway.
_IN_TROUBLE = (
    "(a.state <> 'waiting' or a.attempt > 0 or a.crashes > 0 or a.company > 0 or a.next_at > poller.now())"
)
_NOT_SNOOZED = "a.state <> 'snoozed'"
_KIND = r"coalesce(a.kind, substring(a.error from '^\w+(?=: )'))"
_CAUSE = (
    f"coalesce({_KIND}, left(a.error, 200)) || ' ' || coalesce(a.place, '')"  # as groups have it, and `cause`
)
WITH_ERROR = (  # the class, the place, or both as the groups show them; if no row has those, a part of the text
    f"({_KIND} = %(error)s or a.place = %(error)s or {_CAUSE} = %(error)s)",
    "strpos(a.error, %(error)s) > 0",
)


@dataclass(frozen=True, slots=True)
class Retried:
    """How many rows were retried.

    Attributes:
        rows: how many.
        stopped: the order was stopped before its end.
        locked: how many rows were left because another transaction holds their locks.
        kept: how many were left because they show their handler's `during`, and the table refuses the way back.
        why: a line for each of the first of these: which row it is, and why.
        untried: how many more show a `during` and were left, not tried one by one, since the table has refused enough.
        unseen: of how many rows retried it is not known whether they show a `during`: their table cannot be read.
    """

    rows: int
    stopped: bool = False
    locked: int = 0
    kept: int = 0
    why: tuple[str, ...] = aside(default=())
    untried: int = 0
    unseen: int = 0


def retry(
    connection: psycopg.Connection[Any],
    selector: str,
    keys: Sequence[str],
    error: str | None,
    batches: Batches,
) -> Retried:
    """Retry rows that are parked or wait for another attempt: due at once, their attempts counted from the start.

    Args:
        connection: in autocommit mode, or in a transaction.
        selector: which rows, as `selector.select` reads it.
        keys: further keys.
        error: only those with this error: its class, its place, both as `cause` has them, or a part of its text.
        batches: carries the order out.

    Raises:
        NothingSelectedError: there is no such row.
    """
    queries = RowQueries(connection)
    chosen, known = selected_for_order(connection, selector, keys)
    stuck = StuckRows(connection, known, lambda: batches.is_stopped)
    order = _Retry(queries, chosen.keys, error, batches, stuck)
    locked = 0
    for is_meant in _meanings(chosen, error):
        locked = sum(order.put_back(each, is_meant) for each in chosen.handlers)
        if batches.rows or locked or stuck.refused or batches.is_stopped:
            kept = (len(stuck.refused), stuck.lines(), len(stuck.untried), order.unseen)
            return Retried(batches.rows, batches.is_stopped, locked, *kept)
    about = f" for {error!r}" if error is not None else ""
    msg = f"nothing to retry: no row of {chosen} is parked or waits for another attempt{about}"
    elsewhere = next(_leading_elsewhere(connection, chosen, known), None)
    if elsewhere is not None:
        handler, on_failure = elsewhere
        msg += f"; rows of {handler.table}:{handler.status} that are out of attempts show {on_failure!r}"
        shown = f"{handler.table}:{on_failure}"
        raise NothingSelectedError(msg, "went_elsewhere", shown=shown, to=handler.status)
    raise NothingSelectedError(msg)


def cause(error: str, place: str) -> str:
    """Return a cause as an order takes it: a class and a place. Where it has no place, a blank ends it.

    >>> cause("ValueError", "shop.py:7"), cause("ValueError", "")
    ('ValueError shop.py:7', 'ValueError ')
    """
    return f"{error} {place}"


def _leading_elsewhere(
    connection: psycopg.Connection[Any], chosen: Selection, known: Sequence[Known]
) -> Iterator[tuple[Known, str]]:
    """Yield the selected handlers whose rows out of attempts show another status, and that."""
    for each in known:
        if each.id in chosen.handlers:
            row = connection.execute(statement("definition"), {"handler": each.id}).fetchone()
            on_failure = row and row[0] and row[0].get("on_failure")
            if on_failure is not None:
                yield each, on_failure


def _meanings(chosen: Selection, error: str | None) -> Iterator[sql.SQL]:
    """Yield the condition that selects rows; then a looser one, in case it selects none."""
    conditions = ["true"] if chosen.keys else [_IN_TROUBLE, _NOT_SNOOZED]
    for each in ("true",) if error is None else WITH_ERROR:
        yield sql.SQL(" and ".join([*conditions, each]))


class _Retry:
    """An order to retry rows: those with some keys, or all that are selected."""

    def __init__(
        self,
        queries: RowQueries,
        keys: Sequence[str] | None,
        error: str | None,
        batches: Batches,
        stuck: StuckRows,
    ) -> None:
        self._queries = queries
        self._keys = keys
        self._error = error
        self._batches = batches
        self._stuck = stuck
        self.unseen = 0
        self._done: list[str] = []  # keys of rows that were named, which another pass would retry once more

    def put_back(self, handler: int, is_meant: sql.SQL) -> int:
        """Retry the rows of one handler; return how many are left because others hold their locks."""
        self._done = []
        for _ in range(MOST_PASSES):
            skipped = sum(self._pass(handler, is_meant))
            if not skipped or self._batches.is_over or self._stuck.is_locked(handler):
                break
            self._batches.pause()
        return skipped

    def _pass(self, handler: int, is_meant: sql.SQL) -> Iterator[int]:
        """Retry rows, a batch at a time; yield for each how many rows could not be locked."""
        if self._keys:
            for chunk in chunks(self._keys):
                yield self._batch(handler, is_meant, keys=array(chunk)).skipped
            return
        looked, after = BATCH_ROWS, ""
        while looked == BATCH_ROWS and not self._batches.is_over:
            done = self._batch(handler, is_meant, after=after, most=BATCH_ROWS)
            yield done.skipped
            looked, after = done.looked, done.last

    def _batch(self, handler: int, is_meant: sql.SQL, **asked: Any) -> PutBack:
        if self._batches.is_over:
            return PutBack(0, "", 0, 0)
        asked |= {"handler": handler, "error": self._error, "room": self._batches.room}
        with self._batches.next():
            done = self._retry(handler, is_meant, asked)
            self._batches.reached(done.rows)
            if done.rows:
                self._queries.wake()
        if self._keys:
            self._done += done.keys
        return done

    def _retry(self, handler: int, is_meant: sql.SQL, asked: dict[str, Any]) -> PutBack:
        """Retry rows, again without those that do not get their status back, until all of them do.

        An order on few rows ends once the table has refused enough: else it would go through all, a few at a time.
        """
        kept, locked = [*self._stuck.kept(handler), *self._done], list[str]()
        while True:
            is_last = self._stuck.has_enough(handler) and asked["room"] < BATCH_ROWS
            with self._queries.connection.transaction() as savepoint:
                done = self._queries.retry(is_meant, besides=array([*kept, *locked]), **asked)
                left = self._stuck.restore(handler, done.keys)
                if not (left.kept or left.locked):
                    self.unseen += left.unseen
                    skipped = len(locked) if done.rows < asked["room"] else 0
                    return done._replace(skipped=done.skipped + skipped)
                kept += left.kept
                locked += left.locked
                raise psycopg.Rollback(savepoint)
            if is_last:
                return PutBack(0, "", 0, len(locked))


def chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield keys, as many at a time as one statement takes."""
    return (keys[at : at + BATCH_ROWS] for at in range(0, len(keys), BATCH_ROWS))
