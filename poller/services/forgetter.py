"""Forgets rows that poller remembers (in backoff, snoozed, parked) once they are gone or show another status.

The model. The table shows a row's visit to a status. What poller remembers of the row (`poller.attempt`) ends with the
visit: when poller moves the row, in the statement that moves it (`settle.sql`); when another session changes it, here,
within seconds. poller has no trigger for that: it looks. A row that was changed and changed back between two looks is
still at the same visit.

A pass goes over the rows that each handler remembers in the order of an index, a batch at a time (`stray_attempts.sql`
describes the races). Each handler gets one pass in `PERIOD_SECONDS`. Supervisors take turns by the database's clock, in
the order of their ids, so that the fleet makes one pass; a supervisor that is stopped, or cannot see all rows, delays
the pass by its own turn only.

What may be trusted: nothing that was read before. A row that is forgotten wrongly only becomes new work; a row that is
remembered wrongly would never be claimed again.

On failure: a handler whose table cannot be read (dropped, locked, a right revoked) is left out for a while, which is
logged once, and the others go on. Rows remembered for handlers that no running program knows stay until one knows them.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from poller.db.connection import is_servers
from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.store.lost_keys import UNREADABLE, drop_lost_keys
from poller.store.visits import Visits
from poller.telemetry.bus import emit
from poller.telemetry.events import ForgettingFailed, RowsForgotten
from poller.telemetry.outage import LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.db.connection import Link
    from poller.store.binding import Binding

PERIOD_SECONDS = 5.0  # between two looks at the rows that a handler remembers
MOST_BATCHES = 10  # of a thousand rows, at most, for one handler in one look; the next look continues there
MOST_SECONDS = 0.5  # for all handlers in one round; the next round starts with the remaining ones
LEFT_OUT_SECONDS = 30.0  # for which a handler is left out if its table cannot be read
LOCK_TIMEOUT = "200ms"  # for a table that another session has locked
AFTER_TURN_SECONDS = 0.05  # to wait after a turn begins, since the clocks are read a little apart


@dataclass(slots=True)
class _Position:
    """How far the pass over a handler has come.

    Attributes:
        after: the digest to continue from.
        logged: the reason why its table could not be read.
    """

    after: str = ""
    logged: str = ""


class Forgetter:
    """Makes the passes of one supervisor.

    Args:
        link: of its own.
        bindings: the handlers this process knows.
        supervisor: the id of the supervisor that takes turns with the others, if there is one.
    """

    def __init__(self, link: Link, bindings: Sequence[Binding], supervisor: uuid.UUID | None = None) -> None:
        self._visits = Visits(link)
        self._bindings = {binding.id: binding for binding in bindings}
        self._supervisor = supervisor or uuid.uuid4()
        self._positions = {each: _Position() for each in self._bindings}
        self._left_out = LeftOut(LEFT_OUT_SECONDS)
        self._first: int | None = None  # the first handler that the last round had no time for

    def run_once(self) -> float:
        """Continue the passes that are this supervisor's turn. Returns the seconds to the next turn."""
        clock, remembering = self._visits.remembering(self._bindings, self._supervisor)
        turn = int(clock / PERIOD_SECONDS)
        mine = [each for each, others, before in remembering if turn % (others + 1) == before]
        self._look_at(mine)
        return PERIOD_SECONDS - clock % PERIOD_SECONDS + AFTER_TURN_SECONDS

    def pass_once(self) -> int:
        """Make a whole pass over all handlers, regardless of turns; return how many rows were forgotten."""
        _, remembering = self._visits.remembering(self._bindings, self._supervisor)
        rows = 0
        for each, _, _ in remembering:
            self._positions[each].after = ""
            rows += self._go_on(each, batches=None)
        return rows

    def recover(self) -> None:
        """Start over on a new connection."""
        self._visits.link.close()

    def _look_at(self, handlers: list[int]) -> None:
        """Continue the passes of these handlers for at most `MOST_SECONDS`."""
        ends = monotonic() + MOST_SECONDS
        start = handlers.index(self._first) if self._first in handlers else 0
        self._first = None
        for each in handlers[start:] + handlers[:start]:
            if monotonic() >= ends:
                self._first = each
                return
            self._go_on(each, MOST_BATCHES)

    def _go_on(self, handler: int, batches: int | None) -> int:
        """Continue a handler's pass by so many batches, or to its end; return how many rows were forgotten."""
        position = self._positions[handler]
        if handler in self._left_out:
            return 0
        rows = 0
        try:
            while batches is None or batches > 0:
                forgotten = self._visits.forget_strays(self._bindings[handler], position.after)
                rows += forgotten.rows
                position.after = forgotten.last or ""
                if forgotten.last is None:
                    break
                batches = None if batches is None else batches - 1
        except psycopg.Error as error:
            if not self._visits.link.lives() or is_servers(error):
                raise
            if not (isinstance(error, UNREADABLE) and self._drops_lost_keys(handler)):
                self._leave_out(handler, error)
        else:
            position.logged = ""
        if rows:
            emit(RowsForgotten(**self._bindings[handler].named, rows=rows))
        return rows

    def _drops_lost_keys(self, handler: int) -> bool:
        """Drop keys of the next batch that the table's key cannot be any more; return whether there were any."""
        binding, connection = self._bindings[handler], self._visits.link.connection
        try:
            binding.rebind(connection)
            return drop_lost_keys(connection, binding, self._positions[handler].after) > 0
        except (ConfigurationError, psycopg.Error):  # a transaction holds one of the leases, say
            return False

    def _leave_out(self, handler: int, error: psycopg.Error) -> None:
        """Leave a handler out for a while, and bind it again: its table may have been replaced."""
        position, binding = self._positions[handler], self._bindings[handler]
        self._left_out.add(handler)
        if position.logged != (why := reason(error)):
            position.logged = why
            emit(ForgettingFailed(**binding.named, error=why))
        with contextlib.suppress(ConfigurationError, psycopg.Error):
            binding.rebind(self._visits.link.connection)
