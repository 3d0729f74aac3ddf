"""Gives rows the status back that a `during` has replaced, as they are retried: the table may have refused it before.

What may be trusted: that no worker claims these rows, since the order to retry has locked what is remembered of them.
What the table refuses is found out by asking: all at once, then in halves, until the row that it refuses is alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from poller.client.handler_lookup import registered
from poller.db.statements import array
from poller.errors_in_words import one_line, reason
from poller.store.lost_keys import UNREADABLE
from poller.store.outcomes import SWALLOWED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.client.row_queries import Known
    from poller.store.binding import Binding

SHOWN_ROWS = 20  # refused rows that are told one by one
LONGEST = 300  # characters of a reason


class StuckRows:
    """Rows that show their handler's `during` though no worker holds them.

    Args:
        connection: that of the order, in the transaction of a batch.
        known: the handlers that the database knows.

    Attributes:
        refused: the reason for each (handler, key) whose way back the table has refused.
    """

    def __init__(self, connection: psycopg.Connection, known: Sequence[Known]) -> None:
        self.refused: dict[tuple[int, str], str] = {}
        self._connection = connection
        self._known = {each.id: each for each in known}
        self._bindings: dict[int, Binding | None] = {}

    def restore(self, handler: int, keys: Sequence[str]) -> list[str]:
        """Give those of a handler's rows their status back that show its `during`; return the keys of those refused.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        binding = self._binding(handler) if keys else None
        stuck = [] if binding is None else self._stuck(binding, handler, keys)
        if binding is None or not stuck:
            return []
        found = self._restored(binding, handler, stuck)
        self.refused |= {(handler, key): why for key, why in found.items()}
        return list(found)

    def lines(self) -> tuple[str, ...]:
        """Return a line for each of the first refused rows: which it is, why, and what to do."""
        return tuple(self._line(*each, why) for each, why in list(self.refused.items())[:SHOWN_ROWS])

    def _line(self, handler: int, key: str, why: str) -> str:
        known, binding = self._known[handler], self._bindings[handler]
        during = None if binding is None else binding.handler.during
        row = f"{known.table}:{known.status}:{key} still shows {during!r}, and its way back is refused: {why}"
        return f"{row}; mend that and retry it, or move {known.table}:{during}:{key} to another status"

    def _binding(self, handler: int) -> Binding | None:
        """Return a handler as it was registered, if it has a `during`."""
        if handler not in self._bindings:
            made = registered(self._connection, self._known[handler], look=True)
            has_during = made is not None and made.handler.during is not None and not made.handler.is_job
            self._bindings[handler] = made if has_during else None
        return self._bindings[handler]

    def _stuck(self, binding: Binding, handler: int, keys: Sequence[str]) -> list[str]:
        """Return the keys of rows that show `during` and are not held; none of a table that cannot be asked now."""
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
            return []

    def _restored(self, binding: Binding, handler: int, keys: Sequence[str]) -> dict[str, str]:
        """Give rows their status back; return the reason for each of those to which the table refuses it."""
        asked = {"handler": handler, "keys": array(keys)}
        try:
            with self._connection.transaction():
                swallowed = self._connection.execute(binding.restore_retried, asked).fetchall()
                self._connection.execute("set constraints all immediate")  # or COMMIT would fail for all
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            if len(keys) == 1:
                return {keys[0]: one_line(reason(error), LONGEST)}
            middle = len(keys) // 2
            halves = [self._restored(binding, handler, part) for part in (keys[:middle], keys[middle:])]
            return halves[0] | halves[1]
        return {key: SWALLOWED for (key,) in swallowed}
