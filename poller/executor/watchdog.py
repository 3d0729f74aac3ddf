"""Ends handlers whose time is up: reports them as timed out, asks them to stop, and puts another thread in their place.

The model. A handler that does not stop at its timeout keeps its thread; it is *stuck*, and after some patience the
worker asks to be replaced as a whole. A coroutine that blocks the event loop has timed out; the coroutines that it
blocked are given back, since they are not at fault.

Threads. The worker's main thread; it also calls `interrupt` while it winds down.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.duration import words
from poller.executor import attempt
from poller.model.answers import Interrupted, TimedOut

if TYPE_CHECKING:
    from poller.executor.attempt import Call
    from poller.executor.call_reporter import CallReporter
    from poller.executor.coroutines import Coroutines
    from poller.executor.in_flight import InFlight
    from poller.executor.processes import ProcessPool
    from poller.executor.shared_transactions import SharedTransactions
    from poller.executor.threads import Threads

AT_ONCE = float("-inf")  # as the time since a handler is stuck: its worker is replaced without patience


class Watchdog:
    """Watches the clock for handlers that run too long."""

    def __init__(  # noqa: PLR0913 - the parts of an executor
        self,
        *,
        in_flight: InFlight,
        threads: Threads,
        coroutines: Coroutines,
        reporter: CallReporter,
        shared: SharedTransactions | None,
        processes: ProcessPool,
    ) -> None:
        self._in_flight = in_flight
        self._threads = threads
        self._coroutines = coroutines
        self._reporter = reporter
        self._shared = shared
        self._processes = processes

    def expire(self) -> None:
        """Report the handlers whose time is up as timed out, and ask them to stop."""
        now = monotonic()
        self._processes.trim()
        self._threads.wake_more(now)
        calls = self._in_flight.calls()
        blocker = self._coroutines.blocker(calls)
        for call in calls:
            if call.deadline <= now:
                self._expire(call, blocker)

    def interrupt(self) -> None:
        """Report every running handler as interrupted, and ask it to stop; give back those that wait for a process."""
        why = Interrupted("interrupted: the worker stopped before the handler ended")
        for call in self._in_flight.calls():
            self._abandon(call, None if call.waits_for_runner else why)

    def stuck(self, patience: float) -> int:
        """Return how many abandoned handlers have gone on for longer than `patience` seconds."""
        now = monotonic()
        return sum(now - since > patience for since in list(self._in_flight.stuck.values()))

    def _expire(self, call: Call, blocker: Call | None) -> None:
        """Report a call whose time is up as failed; if another call blocked the event loop, give it back instead."""
        if blocker is not None and blocker is not call and call.coroutine is not None:
            self._abandon(call, None)
            return
        self._abandon(call, TimedOut(f"timed out after {words(call.deadline - call.started)}"))
        if blocker is call and call in self._in_flight.stuck:  # else it has just ended
            self._in_flight.stuck[call] = AT_ONCE  # no coroutine goes on here until the worker is replaced
            for other in self._in_flight.calls():
                if other.coroutine is not None:
                    self._abandon(other, None)

    def _abandon(self, call: Call, why: TimedOut | Interrupted | None) -> None:
        """Take a task from its running handler, report it, and put another thread in its place.

        Args:
            call: the handler's call.
            why: the error to report as its failure; None to give it back.
        """
        if not self._in_flight.take(call, by_watchdog=True):
            return
        call.end(why)
        if call.context is not None:
            call.context.cancelled.set()
        if call.coroutine is not None:
            self._coroutines.cancel(call.coroutine)
        else:
            self._threads.replace()
        if call.shared is not None:
            assert self._shared is not None  # noqa: S101 - it has begun the transaction
            self._shared.end(call.shared, besides=call.tasks, again=isinstance(why, TimedOut))
        if why is None:
            self._reporter.release(call.tasks)
        else:
            self._reporter.report(call.results(attempt.failed(call, why)))
