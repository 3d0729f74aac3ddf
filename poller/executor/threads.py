"""The threads that run plain functions: each pulls one task after the other.

The model. Tasks wait in one queue; threads *pull* from it, so that one thread works through many quick rows without
handing over, and slow rows spread over all threads by themselves. A handler that does not stop at its timeout keeps its
thread, and another thread replaces it.

Threads. Any thread calls `wake` and `start`; the rest runs on these threads.
"""

from __future__ import annotations

import contextlib
import threading
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from poller.executor.in_flight import InFlight
    from poller.store.lease import Task

FEW_SUFFICE_SECONDS = 0.1  # that a task may wait after its claim before all threads are woken


class Threads:
    """As many threads as there are slots, started when they are needed.

    Args:
        slots: how many handlers run at a time.
        queue: the tasks that wait.
        in_flight: what runs.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
        next_task: takes the next task from the queue, if one may begin.
        attempt: runs a task to its result; returns False if the watchdog has given up on this thread.
    """

    def __init__(  # noqa: PLR0913 - what a thread needs for each row
        self,
        *,
        slots: int,
        queue: deque[Task],
        in_flight: InFlight,
        trusted_until: Callable[[], float],
        next_task: Callable[[deque[Task]], Task | None],
        attempt: Callable[[Task], bool],
    ) -> None:
        self._slots = slots
        self._queue = queue
        self._in_flight = in_flight
        self._trusted_until = trusted_until
        self._next_task = next_task
        self._attempt = attempt
        self._arrived = threading.Condition()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._is_closing = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    @property
    def are_at_work(self) -> bool:
        """Whether a thread runs a handler, or has just taken a task; stuck threads do not count."""
        return self._idle < len(self._threads) - len(self._in_flight.stuck)

    def wake(self, count: int) -> None:
        """Wake `count` threads, or start them, as far as slots allow."""
        with self._arrived:
            woken = min(count, self._idle)
            self._idle -= woken  # here, not by the woken threads: the next batch must not count on them too
            self._arrived.notify(woken)
        for _ in range(min(count - woken, self._slots - len(self._threads))):
            self._start()

    def wake_more(self, now: float) -> None:
        """Wake a thread for each waiting task, if a task has waited for long: too few were woken."""
        with contextlib.suppress(IndexError):  # a thread has just taken the last one
            if now - self._queue[0].lease.clock > FEW_SUFFICE_SECONDS:
                self.wake(len(self._queue))

    def replace(self) -> None:
        """Start a thread in place of one whose handler is still running after its timeout."""
        if not self._is_closing:
            self._start()

    def close(self) -> None:
        """Let idle threads end, without waiting for running handlers."""
        with self._arrived:
            self._is_closing = True
            self._arrived.notify_all()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="poller handler", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        """Attempt one task after the other, until this thread is replaced or the executor closes."""
        self._in_flight.between.add(get_ident())
        try:
            while (task := self._take()) is not None and self._attempt(task):
                pass
        finally:
            self._in_flight.between.discard(get_ident())
            self._threads.discard(threading.current_thread())

    def _take(self) -> Task | None:
        """Wait for a task that may start: one whose lease can be trusted, while a slot is free."""
        in_flight = self._in_flight
        while not self._is_closing:
            now = monotonic()
            if self._queue and now < self._trusted_until() and in_flight.running < self._slots:
                if (task := self._next_task(self._queue)) is not None:
                    return task
                continue
            in_flight.between.discard(get_ident())
            with self._arrived:
                if self._queue:
                    self._arrived.wait(0.01)  # a coroutine has the slot, or the lease is in doubt
                elif not self._is_closing:
                    self._idle += 1
                    self._arrived.wait()
            in_flight.between.add(get_ident())  # before a task leaves the queue: see `InFlight.is_handling`
        return None
