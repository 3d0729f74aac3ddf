"""The calls that run in this process, and the decision which thread reports the end of each.

The model. A handler's own thread (or the event loop) reports its end when it returns, the watchdog when its time is up;
both may try at the same moment. One atomic step, `InFlight.take`, decides which of them reports: it succeeds once for
each call, and once for all tasks that share a transaction.

Threads. Any. Each step is one atomic operation of a dict, a set or a lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING

from poller.executor import attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.executor.attempt import Call
    from poller.store.lease import Result, Task


@dataclass(slots=True, eq=False)
class SharedTransaction:
    """Tasks that share a transaction, and their results so far."""

    tasks: list[Task]
    left: list[Task] = field(default_factory=list)  # to be attempted in another transaction
    results: list[Result] = field(default_factory=list)
    current: Call | None = None
    seconds: float = 0.0  # the time that the handlers have taken
    pid: int = 0  # of its session; 0 before it has begun
    taken: threading.Lock = field(default_factory=threading.Lock)  # held by the thread that reports them all

    @property
    def is_taken(self) -> bool:
        """Whether a thread already reports what became of the tasks."""
        return self.taken.locked()

    def leave(self, tasks: list[Task]) -> None:
        """Move tasks out of this transaction, to a later one."""
        self.left += tasks
        left = set(tasks)
        self.tasks = [task for task in self.tasks if task not in left]


class InFlight:
    """The calls and shared transactions that run.

    Attributes:
        shared: the transactions.
        stuck: calls that still run after the watchdog took them, and since when (monotonic).
        between: threads that are taking from a queue or reporting, and run no handler.
    """

    def __init__(self) -> None:
        self._running: dict[Task, Call] = {}
        self._batches: set[Call] = set()  # the running calls that have several tasks
        self.shared: set[SharedTransaction] = set()
        self.stuck: dict[Call, float] = {}
        self.between: set[int] = set()

    @property
    def running(self) -> int:
        """How many slots are taken; tasks that share a transaction take one."""
        return len(self._running) + len(self.shared)

    @property
    def held(self) -> int:
        """How many tasks run, or wait in a transaction for those before them."""
        in_batches = sum(len(call.others) for call in list(self._batches))
        shared = sum(len(each.tasks) + len(each.left) for each in list(self.shared))
        return len(self._running) + in_batches + shared

    @property
    def is_handling(self) -> bool:
        """Whether a handler runs, is about to begin, or its result is about to be reported."""
        # The order matters: a thread enters `between` before its task leaves the queue, and again after its handler.
        return bool(self.between) or self.running > 0 or bool(self.between)

    def calls(self) -> list[Call]:
        """Return the calls that run at this moment."""
        shared = [each.current for each in list(self.shared) if each.current is not None]
        return [*list(self._running.values()), *shared]

    def call_of(self, task: Task) -> Call | None:
        """Return the call of a task or its batch, unless it runs in a shared transaction."""
        return self._running.get(task)

    def tasks(self) -> list[Task]:
        """Return all that run, or wait in a transaction."""
        running = [task for call in self.calls() for task in call.tasks]
        shared = [task for each in list(self.shared) for task in (*each.tasks, *each.left)]
        return [*running, *shared]

    def begin(self, task: Task, others: Sequence[Task] = ()) -> Call:
        """Begin a call for a task, or for a batch."""
        call = attempt.begin(task, others)
        self._running[task] = call
        if others:
            self._batches.add(call)
        return call

    def begin_within(self, shared: SharedTransaction, task: Task, others: Sequence[Task]) -> Call:
        """Begin a call within a transaction."""
        call = attempt.begin(task, others)
        call.shared, shared.current = shared, call
        return call

    def take(self, call: Call, *, by_watchdog: bool = False) -> bool:
        """Return True if the caller is to report a call; each call returns True to one caller only, once.

        Args:
            call: the call, or one of those that share a transaction.
            by_watchdog: the call's time is up, and it counts as stuck until it ends. Otherwise its handler has ended.
        """
        if not by_watchdog:
            self.between.add(get_ident())  # before it runs no more: see `is_handling`
        if call.shared is not None:
            is_ours = self.take_shared(call.shared)
        else:
            is_ours = self._running.pop(call.task, None) is not None
        if is_ours:
            self._batches.discard(call)
            if by_watchdog:
                self.stuck[call] = monotonic()
        elif not by_watchdog:
            self.stuck.pop(call, None)
        return is_ours

    def take_shared(self, shared: SharedTransaction) -> bool:
        """Return True, once, if the caller is to report all tasks that share a transaction."""
        return shared.taken.acquire(blocking=False)
