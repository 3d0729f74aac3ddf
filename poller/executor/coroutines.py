"""Runs coroutines on the event loop, as many at a time as slots are free.

Threads. The event loop's; any thread calls `begin_soon`, the watchdog's calls `blocker` and `cancel`.
"""

from __future__ import annotations

from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING

from poller.executor import attempt
from poller.executor.event_loop import EventLoop
from poller.executor.forked import OnlyHere

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable, Iterable

    from poller.executor.attempt import Call
    from poller.executor.call_reporter import CallReporter
    from poller.executor.in_flight import InFlight
    from poller.executor.threads import Threads
    from poller.store.lease import Task

AGAIN_SECONDS = 0.01  # until the next check for a free slot, or for leases that can be trusted


class Coroutines:
    """Calls coroutine handlers on the event loop, and reports what they return.

    Args:
        slots: how many handlers run at a time.
        queue: the tasks that wait.
        in_flight: the calls that run.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
        next_task: takes the next task from the queue, if one may begin.
        begin_batch: begins a call for a task and those that share it.
        reporter: reports how calls end.
        threads: the threads, which take slots, too.

    Attributes:
        loop: the event loop, once it is needed.
    """

    def __init__(  # noqa: PLR0913 - the parts of an executor
        self,
        *,
        slots: int,
        queue: deque[Task],
        in_flight: InFlight,
        trusted_until: Callable[[], float],
        next_task: Callable[[deque[Task]], Task | None],
        begin_batch: Callable[[deque[Task], Task], Call],
        reporter: CallReporter,
        threads: Threads,
    ) -> None:
        self.loop: EventLoop | None = None
        self._slots = slots
        self._queue = queue
        self._in_flight = in_flight
        self._trusted_until = trusted_until
        self._next_task = next_task
        self._begin_batch = begin_batch
        self._reporter = reporter
        self._threads = threads

    def begin_soon(self) -> None:
        """Ask the event loop to begin the tasks that wait."""
        if self.loop is None or self.loop.is_closed:
            self.loop = EventLoop()
        self.loop.call(self._pump)

    def blocker(self, calls: Iterable[Call]) -> Call | None:
        """Return the running call that blocks the event loop, if there is one."""
        if self.loop is None or not any(call.handler.is_coroutine for call in calls):
            return None
        return self.loop.blocker()

    def cancel(self, coroutine: asyncio.Task[None]) -> None:
        """Ask the event loop to cancel a coroutine."""
        assert self.loop is not None  # noqa: S101 - it runs this coroutine
        self.loop.call(coroutine.cancel)

    def close(self) -> None:
        """Let the event loop end."""
        if self.loop is not None:
            self.loop.close()

    def _pump(self) -> None:
        """Start coroutines while slots are free; runs on the event loop, and after each of them ends."""
        assert self.loop is not None  # noqa: S101 - this runs on it
        between = self._in_flight.between
        while self._queue and self._in_flight.running < self._slots:
            between.add(get_ident())  # before a task leaves the queue: see `InFlight.is_handling`
            if monotonic() >= self._trusted_until():
                self.loop.call_later(AGAIN_SECONDS, self._pump)
                break
            if (task := self._next_task(self._queue)) is not None:
                is_batch = task.lease.binding.handler.batch > 1
                call = self._begin_batch(self._queue, task) if is_batch else self._in_flight.begin(task)
                self._start(self.loop, call)
        else:
            if self._queue and self._threads.count:
                self.loop.call_later(AGAIN_SECONDS, self._pump)  # a thread may have the slot
        between.discard(get_ident())

    def _start(self, loop: EventLoop, call: Call) -> None:
        coroutine = self._attempt(call)
        try:
            call.coroutine = loop.begin(call, coroutine)
        except BaseException as error:  # noqa: BLE001 - a task factory of the user's
            coroutine.close()
            self._reporter.fail(call, error)

    async def _attempt(self, call: Call) -> None:
        try:
            given = attempt.arguments(call)
            with OnlyHere():
                answer = await call.handler.invoke(*given)
        except BaseException as error:  # noqa: BLE001 - cancellation, too, is this attempt's end
            is_ours = self._reporter.fail(call, error)
        else:
            is_ours = self._reporter.finish(call, attempt.of_return(call, answer))
        if is_ours:  # else the watchdog cancels it
            call.coroutine = (
                None  # its context refers to the call: the cycle would wait for the garbage collector
            )
        self._pump()
