"""A worker: the process that claims rows, runs their handlers and settles the outcomes.

It consists of services, each with its own thread and connection: the claimer feeds the executor, the executor reports to
the settler, the heartbeat keeps the leases. The main thread watches the clock for handlers that run too long, and stops
everything in order.

Stopping takes a bounded time even if the database is gone: the worker claims no more; it gives back rows that have not
started, and rows of a claim under way; running handlers may finish within the grace time; those that do not are
interrupted and their rows given back; the last results are written; the worker leaves. A stop at once skips the grace
time. The sweeper rescues rows whose results could not be written. A worker that drains waits for its running handlers
as long as they take, and is not replaced.

A process that was stopped for a while (SIGSTOP, a suspended host) has missed notifications, such as the pause of a
handler. So its waiting rows begin only after the claimer has asked the database again.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import Link, opener, session_tag
from poller.executor.lent_connection import LentConnection
from poller.fleet.descriptors import Descriptors
from poller.lazy import lazy
from poller.runtime.bell import Bell
from poller.services.circling import Circling
from poller.services.heartbeat import Heartbeat
from poller.services.loop import Loop, within
from poller.services.pipeline import Pipeline, Wakes
from poller.services.postponed import LOCK_SECONDS
from poller.services.run_reporter import RunReporter
from poller.telemetry.bus import emit
from poller.telemetry.events import ResultsLeft, WorkerDrains, WorkerStarves, WorkerStopped, WorkerStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from poller.executor import transaction
    from poller.executor.transaction import Transactions
    from poller.store.binding import Binding
else:
    transaction = lazy("poller.executor.transaction")

TICK_SECONDS = 0.1  # between two looks at the clock
IDLE_LOOK_SECONDS = 2.0  # the same while there is nothing to do: new work rings the bell
PATIENCE_SECONDS = 5.0  # that a handler may go on after its timeout before its process is replaced
WIND_UP_SECONDS = 2.0  # before the end of the grace time at which runs of jobs are told to stop
LAST_WORDS_SECONDS = 0.8  # past the grace time, for writing the last results and taking leave
LEAVE_SECONDS = 0.3  # of these, for taking leave

LOCK_TIMEOUT = f"{LOCK_SECONDS * 1000:.0f}ms"  # for a table, at a look or a claim; for a row, at a settle

AT_ONCE = 2  # requests to stop

STOOD_STILL_SECONDS = (
    0.5  # by which a look at the clock is late if the process had been stopped; a pause has 1 s
)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works. Durations are seconds."""

    supervisor: UUID
    slots: int
    lease: float
    poll: float
    grace: float
    replaces: int = 0  # the id of the process that it was started in place of


class Worker:
    """One worker process, as an object; `run` blocks until it has stopped."""

    def __init__(
        self,
        url: str,
        bindings: Sequence[Binding],
        options: WorkerOptions,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._on_drain = on_drain
        tag = session_tag(options.supervisor, os.getpid())
        self._bell = Bell()
        self._is_idle = True
        self._tick_by = inf  # the main thread looks at the clock by then (monotonic), or has stood still
        self._woke_at = 0.0  # when it has found that it had
        self._drains = False
        beating = Link(url, f"heartbeat {tag}")
        self._heartbeat = Heartbeat(
            link=beating,
            supervisor=options.supervisor,
            handlers=[binding.id for binding in bindings],
            slots=options.slots,
            lease=options.lease,
            on_join=self._look,
            on_lost=self._forget,
            on_drain=self._begin_to_drain,
            replaces=options.replaces,
        )
        # A claim never waits for a row. A table that another session has locked must not hold up other handlers.
        self._claims = Link(url, f"claimer {tag}", lock_timeout=LOCK_TIMEOUT)
        pipeline = Pipeline(
            claims=self._claims,
            settles=Link(url, f"settler {tag}", lock_timeout=LOCK_TIMEOUT),
            apart=Link(url, f"postponed {tag}", lock_timeout=LOCK_TIMEOUT),
            bindings=bindings,
            slots=options.slots,
            poll=options.poll,
            heartbeat=self._heartbeat,
            trusted_until=self._trusted_until,
            transactions=_transactions(opener(url, tag, LentConnection), options.slots, bindings),
            wakes=Wakes(
                claimer=self._wake_claimer,
                postponed=self._wake_postponed,
                heartbeat=self._wake_heartbeat,
                main=self._begin,
            ),
            circling=Circling(),
        )
        self._claimer, self._executor, self._settler = pipeline.claimer, pipeline.executor, pipeline.settler
        self._claiming = Loop(
            "claimer", self._claimer.run_once, self._claimer.recover, sleep=self._claimer.sleep
        )
        self._settling = Loop("settler", self._settler.run_once, self._settler.recover)
        postponed = self._settler.postponed
        self._postponed = Loop("postponed results", postponed.run_once, postponed.recover)
        self._beating = Loop(
            "heartbeat", self._heartbeat.run_once, beating.close, sleep=self._heartbeat.sleep
        )
        reporting = Link(url, f"reporter {tag}")
        reporter = RunReporter(reporting, self._executor)
        self._reporting = Loop("reporter", reporter.run_once, reporting.close)
        # A count, not an event: a signal handler that sets an event can deadlock with its own thread.
        self._stops = 0

    def stop(self) -> None:
        """Ask the worker to stop; asked again, it stops at once. Safe in a signal handler."""
        self._stops += 1
        self._bell.ring()

    def stop_at_once(self) -> None:
        """Ask the worker to stop without waiting for its handlers."""
        self._stops = AT_ONCE
        self._bell.ring()

    def slots_busy(self) -> Mapping[str, int]:
        """Return how many slots run each handler, by its name."""
        return self._executor.running_by_handler()

    def run(self) -> bool:
        """Work until asked to stop; return whether it ends by itself, so that another process is to take its place."""
        self._bell.ring_at_signals()
        descriptors = Descriptors()
        for loop in (self._beating, self._claiming, self._settling, self._postponed, self._reporting):
            loop.start()
        retired = False
        while not self._stops and not retired and not self._drains:
            self._tick()
            self._bell.wait(IDLE_LOOK_SECONDS if self._is_idle else TICK_SECONDS)
            self._executor.watchdog.expire()
            if self._executor.watchdog.stuck(PATIENCE_SECONDS) > 0:
                retired = True
                emit(WorkerStuck())
            elif descriptors.have_run_out():
                retired = True
                emit(WorkerStarves())
        self._wind_down(patient=retired or self._drains)
        return retired

    def _tick(self) -> None:
        """Note whether this process had been stopped, and whether it is idle; set when the next tick must come."""
        now = monotonic()
        if now > self._tick_by:
            self._woke_at = now
            self._look()
        self._is_idle = True  # set before the check: a task that begins after it rings the bell
        self._is_idle = not self._executor.busy
        self._tick_by = now + STOOD_STILL_SECONDS + (IDLE_LOOK_SECONDS if self._is_idle else TICK_SECONDS)

    # --- between the services ----------------------------------------------------------------------

    def _begin(self) -> None:
        if self._is_idle:  # otherwise the main thread looks soon enough
            self._bell.ring()

    def _wake_claimer(self) -> None:
        self._claiming.wake()  # which is made after the pipeline, as the other loops

    def _wake_postponed(self) -> None:
        self._postponed.wake()

    def _wake_heartbeat(self) -> None:
        self._beating.wake()

    def _forget(self) -> None:
        self._claimer.forget()

    def _begin_to_drain(self) -> None:
        if not self._drains:
            self._drains = True
            if self._heartbeat.worker is not None:
                emit(WorkerDrains(worker=self._heartbeat.worker))
            self._on_drain()
            self._bell.ring()

    def _trusted_until(self) -> float:
        """Return until when (monotonic) waiting rows may begin; 0 while this process may have missed notifications."""
        if monotonic() > self._tick_by or self._claimer.asked_at < self._woke_at:
            return 0.0
        return self._heartbeat.trusted_until()

    def _look(self) -> None:
        self._claimer.notice()
        self._claiming.wake()

    # --- stopping ----------------------------------------------------------------------------------

    def _wind_down(self, *, patient: bool) -> None:
        """Stop in order; see the module's docstring."""
        self._claiming.stop()
        self._heartbeat.stop()
        self._beating.wake()
        self._executor.drain()
        self._wait_for_handlers(patient=patient)
        until = monotonic() + LAST_WORDS_SECONDS
        self._end_claim()
        self._executor.watchdog.interrupt()
        while self._settler.pending and monotonic() < until - LEAVE_SECONDS:
            sleep(TICK_SECONDS / 10)
        within(max(LEAVE_SECONDS, until - monotonic()), lambda: self._leave(until))

    def _wait_for_handlers(self, *, patient: bool) -> None:
        """Let running handlers finish; in a worker that is retired or drains they have until their own timeouts.

        The grace time begins with the request to stop, also where that comes later than the drain.
        """
        grace = self._options.grace
        ends = monotonic() + grace
        while self._executor.handling and self._stops < AT_ONCE:
            if patient and self._stops:
                patient, ends = False, monotonic() + grace
            if not patient:
                self._executor.cancel(runs=False)
                if monotonic() >= ends:
                    break
                if monotonic() >= ends - min(WIND_UP_SECONDS, grace / 2):
                    self._executor.cancel()
            self._executor.watchdog.expire()
            sleep(TICK_SECONDS / 10)

    def _end_claim(self) -> None:
        """Wait for a claim under way, whose rows are given back; cancel one that takes too long."""
        self._claiming.join(LAST_WORDS_SECONDS / 2)
        if self._claiming.is_alive():
            within(LAST_WORDS_SECONDS / 16, self._claims.cancel)
            self._claiming.join(LAST_WORDS_SECONDS / 16)

    def _leave(self, until: float) -> None:
        """Log the results that could not be written, and leave the fleet; if that fails, the sweeper notices."""
        left = self._settler.pending
        if left:
            emit(ResultsLeft(rows=left))
        loops = (self._reporting, self._settling, self._postponed, self._beating)
        for loop in loops:
            loop.stop()
        self._settler.wake()
        for loop in loops:
            loop.join(max(0.0, until - monotonic()))
        self._executor.close()
        with contextlib.suppress(psycopg.Error):
            self._heartbeat.leave()
            if self._heartbeat.worker is not None:
                emit(WorkerStopped(worker=self._heartbeat.worker))


def _transactions(
    connect: Callable[[], psycopg.Connection[Any]], most: int, bindings: Sequence[Binding]
) -> Transactions | None:
    """Return what runs transactional handlers, if there are any: SQLAlchemy takes a quarter of a worker's memory."""
    if not any(each.handler.transactional for each in bindings):
        return None
    transactions = transaction.Transactions(connect, most)
    transactions.warm()
    return transactions
