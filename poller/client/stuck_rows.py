"""Gives rows the status back that a `during` has replaced, as they are retried: the table may have refused it before.

What may be trusted: that no worker claims these rows, since the order to retry has locked what is remembered of them.
It waits for none that another transaction has locked.

What the table refuses is found out by asking: all at once, then in halves, until the row that it refuses is alone. Once
it has refused some of a handler's rows, the next that it refuses are left together: none of them was tried alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from poller.client.handler_lookup import registered
from poller.db.statements import array, statement
from poller.errors_in_words import one_line, reason
from poller.store.lost_keys import UNREADABLE
from poller.store.outcomes import SWALLOWED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.client.row_queries import Known
    from poller.store.binding import Binding

SHOWN_ROWS = 20  # refused rows that are told one by one
MOST_REFUSED = 20  # rows of a handler that the table refuses one by one, after which no more are told apart
LONGEST = 300  # characters of a reason


class NotBack(NamedTuple):
    """The keys of rows that have not got their status back: refused or not tried, or locked by other transactions.

    Attributes:
        unseen: of how many rows it is not known whether they show their handler's `during`.
    """

    kept: Sequence[str] = ()
    locked: Sequence[str] = ()
    unseen: int = 0


class StuckRows:
    """Rows that show their handler's `during` though no worker holds them.

    Args:
        connection: that of the order, before its first batch.
        known: the handlers that the database knows.
        is_stopped: tells whether the order was told to stop.

    Attributes:
        refused: the reason for each (handler, key) whose way back the table has refused.
        untried: each (handler, key) that was not tried by itself.
    """

    def __init__(
        self, connection: psycopg.Connection, known: Sequence[Known], is_stopped: Callable[[], bool]
    ) -> None:
        self.refused: dict[tuple[int, str], str] = {}
        self.untried: dict[tuple[int, str], None] = {}
        self._connection = connection
        self._known = {each.id: each for each in known}
        self._is_stopped = is_stopped
        self._is_own = connection.info.transaction_status == TransactionStatus.IDLE
        self._bindings: dict[int, Binding | None] = {}
        self._unseen: set[int] = set()  # handlers whose table cannot be asked now
        self._locked: set[int] = (
            set()
        )  # handlers for whose table, or a trigger of it, a lock was waited for in vain

    def restore(self, handler: int, keys: Sequence[str]) -> NotBack:
        """Give those of a handler's rows their status back that show its `during`; return those that did not get it.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        binding = self._binding(handler) if keys else None
        stuck = [] if binding is None else self._stuck(binding, handler, keys)
        if handler in self._unseen:
            return NotBack(unseen=len(keys))
        if binding is None or not stuck:
            return NotBack()
        locked = self._restored(binding, handler, stuck)
        return NotBack([key for key in stuck if self._is_kept(handler, key)], locked)

    def kept(self, handler: int) -> list[str]:
        """Return the keys of a handler's rows that are known not to get their status back."""
        return [key for number, key in (*self.refused, *self.untried) if number == handler]

    def is_locked(self, handler: int) -> bool:
        """Tell whether no row of a handler can be given its status back now, since another transaction has a lock."""
        return handler in self._locked

    def has_enough(self, handler: int) -> bool:
        """Tell whether the table has refused so many rows of a handler that no more are told apart."""
        return sum(number == handler for number, _ in self.refused) >= MOST_REFUSED

    def lines(self) -> tuple[str, ...]:
        """Return a line for each of the first refused rows: which it is, why, and what to do."""
        return tuple(self._line(*each, why) for each, why in list(self.refused.items())[:SHOWN_ROWS])

    def _is_kept(self, handler: int, key: str) -> bool:
        return (handler, key) in self.refused or (handler, key) in self.untried

    def _line(self, handler: int, key: str, why: str) -> str:
        known, binding = self._known[handler], self._bindings[handler]
        during = None if binding is None else binding.handler.during
        row = f"{known.table}:{known.status}:{key}: it still shows {during!r}; the table refuses the way back: {why}"
        return f"{row}; mend that and retry it, or move {known.table}:{during}:{key} to another status"

    def _binding(self, handler: int) -> Binding | None:
        """Return a handler as it was registered, if it has a `during`."""
        if handler not in self._bindings:
            made = registered(self._connection, self._known[handler], look=True)
            has_during = made is not None and made.handler.during is not None and not made.handler.is_job
            self._bindings[handler] = made if has_during else None
            if made is None and self._had_during(handler):
                self._unseen.add(handler)
        return self._bindings[handler]

    def _had_during(self, handler: int) -> bool:
        """Tell whether a handler was registered with a `during`."""
        row = self._connection.execute(statement("definition"), {"handler": handler}).fetchone()
        return bool(row and row[0] and row[0].get("during") is not None)

    def _stuck(self, binding: Binding, handler: int, keys: Sequence[str]) -> list[str]:
        """Return the keys of rows that show `during` and are not held; none of a table that cannot be asked now."""
        if handler in self._unseen:
            return []
        asked = {"handler": handler, "keys": array(keys)}
        try:
            with self._connection.transaction():
                return [key for (key,) in self._connection.execute(binding.stuck_rows, asked)]
        except UNREADABLE:  # a key that is none any more is dropped when it is due
            middle = len(keys) // 2
            halves = [part for part in (keys[:middle], keys[middle:]) if len(keys) > 1]
            return [key for part in halves for key in self._stuck(binding, handler, part)]
        except psycopg.Error:
            if self._connection.closed:
                raise
            self._unseen.add(handler)
            return []

    def _restored(self, binding: Binding, handler: int, keys: Sequence[str]) -> list[str]:
        """Give rows their status back, and note which do not get it; return the keys of those that are locked."""
        if self.is_locked(handler):
            return [*keys]
        asked = {"handler": handler, "keys": array(keys)}
        try:
            with self._connection.transaction():
                left = self._connection.execute(binding.restore_retried, asked).fetchall()
                if self._is_own:  # else they stay so for the caller, behind the savepoint, too
                    self._connection.execute("set constraints all immediate")  # or COMMIT would fail for all
        except psycopg.errors.LockNotAvailable:  # no half of them would have more luck
            self._locked.add(handler)
            return [*keys]
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            return self._told_apart(binding, handler, keys, error)
        self.refused |= {(handler, key): SWALLOWED for key, is_locked in left if not is_locked}
        return [key for key, is_locked in left if is_locked]

    def _told_apart(
        self, binding: Binding, handler: int, keys: Sequence[str], error: psycopg.Error
    ) -> list[str]:
        """Find those of some rows that the table refuses, unless it has refused enough; return those locked."""
        if len(keys) == 1:
            self.refused[handler, keys[0]] = one_line(reason(error), LONGEST)
            return []
        if self.has_enough(handler) or self._is_stopped():
            self.untried |= {(handler, key): None for key in keys}
            return []
        middle = len(keys) // 2
        return [
            key for part in (keys[:middle], keys[middle:]) for key in self._restored(binding, handler, part)
        ]
