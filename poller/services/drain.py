"""Watches what the fleet does: prints the progress line of `run`, and detects the end of a drain.

A drain is over when no row is in flight, waits for another attempt or is due. A row that waits and has been put on hold
meanwhile (`where`, `due`) is not waited for, as a fresh one is not; it is reported at the end. Two equal reads of the
counts with the query for due rows between them prove that, since a row that is claimed or moved in between changes the
counts. A drain does not wait for paused handlers, except for their rows in flight; it reports their other rows at the
end.

Where rows are due and nothing changes for a while, it says what it waits for, and why. Rows that row security shows to
the role and keeps it from changing are never taken: a drain that has no others left ends, as with rows that have failed.

It also logs, once in each supervisor, who has paused a handler and when the handler is resumed.
"""

from __future__ import annotations

import contextlib
import sys
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from poller.errors import ConfigurationError
from poller.lazy import lazy
from poller.services.forgetter import Forgetter
from poller.store.claims import Claims
from poller.store.drain_counts import DrainCounter, FleetCounts, Obstacle, PausedHandler
from poller.telemetry.bus import emit
from poller.telemetry.events import (
    DrainLeftAlone,
    DrainLeftKept,
    DrainLeftOnHold,
    DrainLeftPaused,
    DrainStarted,
    DrainStopped,
    DrainWaits,
    FleetFinished,
    FleetNotBegun,
    FleetProgress,
    FleetSilenced,
    HandlerPaused,
    HandlerResumed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.db.connection import Link
    from poller.services import progress_bar
    from poller.store.binding import Binding
else:  # only for a drain on a terminal
    progress_bar = lazy("poller.services.progress_bar")

LOOK_SECONDS = 0.25  # between two looks at the counts in a drain
QUIET_SECONDS = 10.0  # without a change, after which a drain says what it waits for
PROGRESS_SECONDS = 10.0  # between two progress lines of a run


class Drain:
    """The counts of a run, and whether it is over.

    Args:
        link: of its own.
        bindings: the handlers that are run.
        drain: whether to end once nothing is due.
        label: the database, if there are several: its log lines name it, and there is no progress bar.
        on_begin: called when the first counts have been taken, so that the work may begin.
    """

    def __init__(
        self,
        link: Link,
        bindings: Sequence[Binding],
        *,
        drain: bool,
        label: str = "",
        on_begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._counts = DrainCounter(link)
        self._claims = Claims(link)
        self._bindings = bindings
        # Without --drain only rows are counted: jobs recur for ever, and `poller runs` shows them.
        self._counted = bindings if drain else [each for each in bindings if not each.handler.is_job]
        self._drain = drain
        self._logged = {"database": label} if label else {}
        self.is_over = False  # a drain has found nothing left to do
        self._bar: progress_bar.ProgressBar | None = None
        self._on_begin = on_begin
        self._is_stale = False
        self._paused: dict[int, PausedHandler] = {}
        self._kept: list[Binding] = []  # whose due rows this role may not change
        self._quiet: tuple[FleetCounts, float] | None = None  # the counts, and since when (monotonic)
        self._look_at = 0.0  # when the next line is due (monotonic)
        self._since: datetime | None = None
        self._shown = self._before = FleetCounts(0, 0, 0, 0, 0)

    @property
    def has_begun(self) -> bool:
        """Whether the first counts have been taken."""
        return self._since is not None

    def _begin(self) -> None:
        """Take the first counts, to compare later ones with."""
        if self._drain:  # a row held back since the last drain must count as new work in this one
            Forgetter(self._link, self._bindings).pass_once()
        since = self._counts.now()
        self._before = self._shown = self._counts.fleet(self._counted, since)
        if self._drain:
            due = self._counts.count_due(self._going_on)
            emit(DrainStarted(rows=due), **self._logged)
            if sys.stderr.isatty() and not self._logged:
                self._bar = progress_bar.ProgressBar(due)
        self._since = since
        self._on_begin()

    def run_once(self) -> float:
        """Look at the counts, and log what has changed. Returns the seconds to the next look."""
        if self._is_stale:
            self._rebind()
        self._tell_pauses()
        if (
            not self._drain and (wait := self._look_at - monotonic()) > 0
        ):  # woken by the notification of a pause
            return wait
        if self._since is None:
            self._begin()
        elif not self.is_over:
            now = self._counts.fleet(self._counted, self._since)
            self._show(now)
            self.is_over = self._drain and self._nothing_left(now)
        self._look_at = monotonic() + PROGRESS_SECONDS
        return LOOK_SECONDS if self._drain else PROGRESS_SECONDS

    def recover(self) -> None:
        """Start over on a new connection, with the tables as they are now."""
        self._link.close()
        self._is_stale = True

    def _tell_pauses(self) -> None:
        """Log which handlers have been paused or resumed since the last look."""
        before, self._paused = self._paused, self._counts.paused(self._bindings)
        for binding in self._bindings:
            pause = self._paused.get(binding.id)
            if pause is not None and pause != before.get(binding.id):
                emit(HandlerPaused(**binding.named, by=pause.by, until=pause.until), **self._logged)
            elif pause is None and binding.id in before:
                emit(HandlerResumed(**binding.named), **self._logged)

    @property
    def _going_on(self) -> list[Binding]:
        """The handlers that are not paused."""
        return [each for each in self._bindings if each.id not in self._paused]

    def _rebind(self) -> None:
        for binding in self._bindings:
            with contextlib.suppress(ConfigurationError):  # the workers report it
                binding.rebind(self._link.connection)
        self._claims.forget_questions()
        self._is_stale = False

    def end(self) -> int:
        """Log what was done, and what a drain has left; return 1 if it left rows or that is unknown, else 0."""
        if self._since is None:
            emit(FleetNotBegun(), **self._logged)
            return int(self._drain)
        try:
            now = self._counts.fleet(self._counted, self._since)
            done = self._done(now)
            finished = FleetFinished(moved=done.moved, failed=done.failed, parked=done.parked)
            emit(finished, **self._logged)
            if self._drain:
                self._tell_remembered()
            self._tell_kept()
            left = self._drain and (done.failed + done.parked > 0 or bool(self._kept) or self._tell_left(now))
        except psycopg.Error:
            emit(FleetSilenced(lost=True), **self._logged)
            return int(self._drain)
        finally:
            if self._bar is not None:
                self._bar.close()
        return int(left)

    def _tell_remembered(self) -> None:
        """Log the rows that a drain has left alone: parked, snoozed, on hold, or of a paused handler."""
        parked, snoozed = self._counts.left_alone(self._bindings)
        if parked or snoozed:
            emit(DrainLeftAlone(parked=parked, snoozed=snoozed), **self._logged)
        for binding, rows in self._counts.on_hold(self._going_on).items():
            emit(DrainLeftOnHold(**binding.named, rows=rows), **self._logged)
        for binding in self._bindings:
            pause = self._paused.get(binding.id)
            rows = self._counts.count_due([binding]) if pause is not None else 0
            if pause is not None and rows:
                left = DrainLeftPaused(**binding.named, rows=rows, by=pause.by, until=pause.until)
                emit(left, **self._logged)

    def _tell_kept(self) -> None:
        """Log the rows that a drain has left because this role may not change them."""
        for binding in self._kept:
            emit(DrainLeftKept(**binding.named, rows=self._counts.count_due([binding])), **self._logged)

    def _tell_left(self, now: FleetCounts) -> bool:
        """Log what a drain that was stopped has left; return whether it left anything."""
        if self.is_over or self._nothing_left(now):
            return False
        due = self._counts.count_due(self._going_on)
        emit(DrainStopped(rows=due, waiting=now.waiting, in_flight=now.in_flight), **self._logged)
        return True

    def _nothing_left(self, now: FleetCounts) -> bool:
        if now.in_flight:
            self._quiet = None
            return False
        assert self._since is not None  # noqa: S101 - it has begun
        found = self._claims.peek(self._bindings, {})
        due = [each for each in self._bindings if each.id in found.fresh | found.retries]
        if not due:
            self._quiet = None
        elif not self._are_kept(due, now):
            return False
        if now.waiting and self._counts.is_awaited(self._going_on):
            return False
        return self._counts.fleet(self._counted, self._since) == now

    def _are_kept(self, due: Sequence[Binding], now: FleetCounts) -> bool:
        """Say why rows are not taken, once nothing has changed for a while; return whether none of them ever will be."""
        if self._quiet is None or self._quiet[0] != now:
            self._quiet = now, monotonic()
        if monotonic() - self._quiet[1] < QUIET_SECONDS:
            return False
        self._quiet = now, monotonic()
        obstacles = {each: self._counts.obstacle(each) for each in due}
        kept = [each for each, why in obstacles.items() if why is Obstacle.ROW_SECURITY]
        if len(kept) < len(due):
            for each, why in obstacles.items():
                emit(DrainWaits(**each.named, why=why.value), **self._logged)
            return False
        self._kept = kept
        return True

    def _show(self, now: FleetCounts) -> None:
        done = self._done(now)
        if self._bar is not None:
            self._bar.show(done, now)
        elif now != self._shown and not self._drain:
            rate = (now.moved - self._shown.moved) / PROGRESS_SECONDS
            progress = FleetProgress(
                moved=done.moved,
                rate=rate,
                in_flight=now.in_flight,
                waiting=now.waiting,
                parked=done.parked,
            )
            emit(progress, **self._logged)
        self._shown = now

    def _done(self, now: FleetCounts) -> FleetCounts:
        """Return the counts since the beginning."""
        before = self._before
        return FleetCounts(
            now.in_flight,
            now.waiting,
            now.moved - before.moved,
            now.failed - before.failed,
            now.parked - before.parked,
        )
