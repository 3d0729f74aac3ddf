"""Finds out which handlers have due rows: a worker asks in its turn, and when a notification has it look.

The model. Workers take turns to look (`poll_turns`). A worker that finds more due rows than it can take wakes others.
One query asks for all handlers at once; while a worker knows of due rows, it asks only in its turn. Where a claim brings
nothing, since others have locked what was due, it is asked after a growing delay whether that is due still.

When an outcome of this worker moves a row to another handler's status, the worker looks for it at once, or as soon as a
look from the top is affordable: the next step of a chain does not wait for a poll (`Expected`). The query for other due
rows waits until the handlers have begun, since it would compete with them for the CPU and the GIL.

On failure: a query finds out whether the connection is at fault. If not, one handler is in trouble: that handler is put
aside for a delay that grows up to `OUT_OF_ORDER_SECONDS`, and gets a query of its own until it works again.

Threads. The claimer's, except methods marked as callable from any thread.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from poller.db.connection import is_servers, is_transient
from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.services.claim_cursor import Cursor
from poller.store.liveness import wake_some
from poller.store.lost_keys import UNREADABLE, drop_lost_keys
from poller.telemetry.bus import emit
from poller.telemetry.events import HandlerPutAside, HandlerRestored
from poller.telemetry.outage import BACKOFF_MOST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.db.connection import Link
    from poller.executor.executor import Executor
    from poller.services.poll_turns import Turn
    from poller.store.binding import Binding
    from poller.store.claims import Claims

OVERDUE_SECONDS = 0.02  # that the query for other due rows may wait for handlers to begin
OUT_OF_ORDER_SECONDS = 30.0  # until a handler that has failed is tried again, at most


class Looks:
    """The looks of one claimer.

    Args:
        link: the claimer's.
        claims: its statements.
        bindings: the handlers.
        executor: knows which rows cannot begin, and is told of pauses.
        turn: returns this worker's place in the turns, as far as it is known.
        poll: seconds between two looks of an idle fleet.

    Attributes:
        cursors: the cursor of each handler.
        more: handlers that are known to have more due rows than were claimed.
        is_idle: nothing was due at the last look.
        paused: the paused handlers; the worker neither asks nor claims for them.
        asked_at: when the last answered query for due rows was sent (monotonic).
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators
        self,
        link: Link,
        claims: Claims,
        bindings: Sequence[Binding],
        executor: Executor,
        turn: Callable[[], Turn],
        poll: float,
    ) -> None:
        self.poll = poll
        self.cursors = {binding: Cursor() for binding in bindings}
        self.more: set[Binding] = set()
        self.is_idle = True
        self.paused: set[Binding] = set()
        self.asked_at = 0.0
        self._link = link
        self._claims = claims
        self._bindings = list(bindings)
        self._executor = executor
        self._turn = turn
        self._turn_at = 0.0  # when this worker's next turn begins (monotonic)
        self._is_lookout = False  # no other worker looks now, and this one has not woken any yet
        self._is_asked = False  # the next round asks in any case; any thread sets it
        self._first = 0  # index of the binding that comes first in the next round

    def ask(self) -> None:
        """Make the next round query for due rows instead of relying on what it knows; from any thread."""
        self._is_asked = True

    @property
    def is_to_ask(self) -> bool:
        """Whether the next round queries for due rows, whatever this worker knows."""
        return self._is_asked or monotonic() >= self._turn_at

    def call(self) -> None:
        """Note that rows have arrived, and that no other worker looks for them."""
        self._is_lookout = True

    def due(self, *, ask: bool) -> tuple[set[Binding], set[Binding]]:
        """Return the handlers with fresh rows, and those with retries due.

        While this worker knows of due rows, it asks for others only in its turn.
        """
        now = monotonic()
        able = self.able(self._bindings)
        if now >= self._turn_at:
            self._is_lookout = True
            self._turn_at = now + self._turn().wait(self.poll)
        elif (self.more or not ask) and not self._is_asked:
            return self.more.intersection(able), set()
        self._is_asked = False
        fresh, retries = self._peek(able)
        fresh = {each for each in fresh if self.cursors[each].fresh_at <= now}
        retries = {each for each in retries if self.cursors[each].retry_at <= now}
        return fresh | self.more.intersection(able), retries

    def due_again(self) -> list[Binding]:
        """Return the handlers whose rows others had locked when they were to be claimed, and that are due still."""
        now = monotonic()
        missed = [each for each, cursor in self.cursors.items() if 0.0 < cursor.fresh_at <= now]
        able = self.able(missed)
        due = self._peek(able)[0] if able else set()
        for each in missed:
            self.cursors[each].look_again(is_due=each in due)
        return [each for each in able if each in due]

    def in_turn(self, due: Iterable[Binding]) -> list[Binding]:
        """Return the handlers that have due rows; each round starts with a different one."""
        wanted = set(due)
        if not wanted:
            return []
        self._first = (self._first + 1) % len(self._bindings)
        turned = self._bindings[self._first :] + self._bindings[: self._first]
        return [binding for binding in turned if binding in wanted]

    def held_until(self, binding: Binding) -> float:
        """Return until when (monotonic) a handler is not looked at: it is held, or its rows cannot begin."""
        return max(self.cursors[binding].held_until, self._executor.shut_until(binding))

    def able(self, bindings: Iterable[Binding]) -> list[Binding]:
        """Return the handlers that are neither held nor paused, nor unbound still."""
        now = monotonic()
        able = [each for each in bindings if self.held_until(each) <= now and each not in self.paused]
        return [each for each in able if each.is_bound or self._bind(each)]

    def _bind(self, binding: Binding) -> bool:
        """Bind a handler whose table was unfit when this worker began; put it aside if that is so still."""
        try:
            binding.rebind(self._link.connection)
        except (ConfigurationError, psycopg.Error) as error:
            self.require_connection(error)
            self.put_aside(binding, error, at_claim=False)
        return binding.is_bound

    def until_next(self, ends: Sequence[float]) -> float:
        """Return the seconds to the next look at all handlers, or at one that is held until then.

        Args:
            ends: times (monotonic) of other work to do.
        """
        now = monotonic()
        held = [at for each in self._bindings for at in (self.held_until(each), self.cursors[each].retry_at)]
        ends = [*ends, *(at for at in held if at > now)]
        ends += [each.fresh_at for each in self.cursors.values() if each.fresh_at]
        for binding, each in self.cursors.items():
            is_left = binding in self.more or binding in self.paused
            if each.came > each.seen and not (each.fresh_at or is_left) and self.held_until(binding) <= now:
                ends.append(each.top_at)
        return max(0.0, min([self._turn_at, *ends]) - now)

    # --- the others ---------------------------------------------------------------------------------

    def tell_others(self, binding: Binding, worker: int) -> None:
        """Wake others if this worker was idle, or looks for all, and its claim came back full."""
        if self.is_idle or self._is_lookout:
            self.is_idle = self._is_lookout = False
            wake_some(self._link.connection, worker, binding.id)

    def leave_to_others(self, binding: Binding, worker: int) -> None:
        """Wake others for rows that this worker was to look for, and for which it has no room."""
        if self._is_lookout:
            self._is_lookout = False
            wake_some(self._link.connection, worker, binding.id)

    def end_watch(self) -> None:
        """Note that this worker has looked: what it finds by itself from now on, it need not leave to others."""
        self._is_lookout = False

    # --- asking -------------------------------------------------------------------------------------

    def _peek(self, able: list[Binding]) -> tuple[set[Binding], set[Binding]]:
        """Ask for all handlers at once; ask separately for each that was in trouble or whose pause has ended."""
        troubled = [each for each in able if self.cursors[each].failures]
        sound = [each for each in able if not self.cursors[each].failures] if troubled else able
        before = set(self.paused)
        parts = [self._peek_at(sound), *(self._peek_at([each]) for each in troubled)]
        parts += [self._peek_at([each]) for each in before - self.paused]
        fresh, retries = _together(parts)
        return fresh - self.paused, retries - self.paused

    def heed_pauses(self, paused: set[Binding]) -> None:
        """Note which handlers are paused, and give back their waiting tasks."""
        if paused != self.paused:
            self.paused = paused
            self.more -= paused
            self._executor.pause(paused)

    def _peek_at(self, able: list[Binding]) -> tuple[set[Binding], set[Binding]]:
        """Ask for handlers at once; if one of their tables is broken or locked, ask for each separately."""
        after = {binding: self.after(binding) for binding in able}
        came = {binding: self.cursors[binding].came for binding in able}
        began = monotonic()
        try:
            fresh, retries, paused = self._claims.peek(able, after, self._bindings)
            seconds = (monotonic() - began) / max(1, len(able))
            for binding in able:
                if binding.id not in fresh and after[binding] is None:
                    self.rest(binding, seconds, came[binding])
        except psycopg.Error as error:
            self.require_connection(error)
            if len(able) == 1:
                self.put_aside(able[0], error, at_claim=False)
                return set(), set()
            return _together([self._peek_at([each]) for each in able])
        self.heed_pauses({each for each in self._bindings if each.id in paused})
        self.asked_at = began
        for binding in able:
            if not self.cursors[binding].at_claim:
                self.note_works(binding)
        known = {binding.id: binding for binding in able}
        return {known[each] for each in fresh}, {known[each] for each in retries}

    def after(self, binding: Binding) -> str | None:
        """Return the key to continue from, or None for the top."""
        return self.cursors[binding].key(goes_on=binding.goes_on)

    def rest(self, binding: Binding, seconds: float, came: int) -> None:
        """Note that a look from the top found less than it asked for; if it took long, continue from the last row.

        Args:
            binding: the handler.
            seconds: how long the look took.
            came: the cursor's `came` before the look.
        """
        cursor = self.cursors[binding]
        if cursor.rest(seconds, came) and binding.goes_on:
            cursor.after = self._claims.last_key(binding) or cursor.after

    # --- trouble ------------------------------------------------------------------------------------

    def require_connection(self, error: Exception) -> None:
        """Raise the error again if a query shows that it concerns the connection or the whole server."""
        if not self._link.lives() or is_servers(error):
            raise error

    def put_aside(self, binding: Binding, error: Exception, *, at_claim: bool) -> None:
        """Leave a handler out for a growing delay, and bind it to its table again unless the error is transient."""
        before, why = self.cursors[binding], reason(error)
        most = BACKOFF_MOST_SECONDS if is_transient(error) else OUT_OF_ORDER_SECONDS
        self.cursors[binding], wait = before.put_aside(why, most, at_claim=at_claim)
        if why != before.logged:
            emit(HandlerPutAside(**binding.named, error=why, retry_seconds=wait))
        self.more.discard(binding)
        if not is_transient(error):
            with contextlib.suppress(ConfigurationError, psycopg.Error):
                binding.rebind(self._link.connection)
                self._claims.forget_questions()
                if isinstance(error, UNREADABLE):
                    drop_lost_keys(self._link.connection, binding)

    def note_works(self, binding: Binding) -> None:
        """Note that a look or a claim for a handler has worked."""
        cursor = self.cursors[binding]
        if cursor.failures:
            emit(HandlerRestored(**binding.named, failures=cursor.failures))
            cursor.failures, cursor.at_claim, cursor.logged = 0, False, ""


class Expected:
    """The handlers, except paused ones, at whose statuses rows are known to have arrived."""

    def __init__(self, bindings: Sequence[Binding], looks: Looks) -> None:
        self._looks = looks
        self._by_status = {
            (str(each.table), each.handler.column, each.handler.status): each for each in bindings
        }
        self._handlers: set[Binding] = set()  # any thread adds, the claimer's takes
        self._ask_by = 0.0  # the query for other due rows is postponed until then (monotonic)

    def after(self, binding: Binding, statuses: Iterable[str | None]) -> list[Binding]:
        """Expect rows for the handlers of these statuses, to which rows of `binding` moved; return them. Any thread."""
        machine = str(binding.table), binding.handler.column
        found = [self._by_status.get((*machine, status)) for status in statuses if status is not None]
        expected = [each for each in found if each is not None and each not in self._looks.paused]
        self._handlers.update(expected)
        return expected

    def add(self, bindings: Iterable[Binding]) -> None:
        """Expect rows for these handlers; from any thread."""
        expected = [each for each in bindings if each not in self._looks.paused]
        self._handlers.update(expected)  # at one go: `take` replaces the set

    def take(self) -> set[Binding]:
        """Return the expected handlers, and clear the set."""
        expected, self._handlers = self._handlers, set()
        return expected

    def puts_off(self) -> bool:
        """Return whether the query for other due rows may still wait for handlers to begin."""
        self._ask_by = self._ask_by or monotonic() + OVERDUE_SECONDS
        return monotonic() < self._ask_by

    def end_wait(self) -> None:
        """Note that the query for other due rows is sent."""
        self._ask_by = 0.0


def _together(parts: Sequence[tuple[set[Binding], set[Binding]]]) -> tuple[set[Binding], set[Binding]]:
    return set().union(*(part[0] for part in parts)), set().union(*(part[1] for part in parts))
