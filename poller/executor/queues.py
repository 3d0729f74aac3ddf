"""The tasks that wait for a slot: those of plain functions in one queue, those of coroutines in another.

Threads. Any: each step is one operation of a deque.
"""

from __future__ import annotations

import contextlib
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from poller.store.outcomes import BEGAN_LATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.executor.call_reporter import CallReporter
    from poller.store.binding import Binding
    from poller.store.lease import Task


class Queues:
    """The tasks that wait.

    Attributes:
        plain: the tasks of plain functions.
        awaited: those of coroutines.
        is_draining: whether tasks have stopped beginning.
    """

    def __init__(self, reporter: CallReporter) -> None:
        self.plain: deque[Task] = deque()
        self.awaited: deque[Task] = deque()
        self.is_draining = False
        self._paused: frozenset[Binding] = frozenset()
        self._reporter = reporter

    def tasks(self) -> list[Task]:
        """Return all tasks that wait."""
        return [*list(self.plain), *list(self.awaited)]

    def next(self, queue: deque[Task]) -> Task | None:
        """Take the next task from a queue; None if the queue is empty, or the task had to be given back."""
        try:
            task = queue.popleft()
        except IndexError:  # another thread was quicker
            return None
        if self.is_draining:
            self._reporter.release([task])
            return None
        return None if self._is_late(task) else task

    def give_back(self) -> None:
        """Give back all tasks that wait."""
        for queue in (self.plain, self.awaited):
            with contextlib.suppress(IndexError):
                while True:
                    self._reporter.release([queue.popleft()])

    def pause(self, bindings: Iterable[Binding]) -> None:
        """Give back the tasks of these handlers that wait; `unless_paused` handles those that come later."""
        self._paused = frozenset(bindings)
        for queue in (self.plain, self.awaited) if self._paused else ():
            # One by one: what stays is never out of its queue, where leases may be lost, or a drain begin, meanwhile.
            for task in [each for each in list(queue) if each.lease.binding in self._paused]:
                with contextlib.suppress(ValueError):  # a thread has taken it
                    queue.remove(task)
                    self._reporter.release([task])

    def unless_paused(self, tasks: Iterable[Task]) -> Iterable[Task]:
        """Return the tasks whose handlers are not paused; the others are given back."""
        if not self._paused:
            return tasks
        parts: tuple[list[Task], list[Task]] = ([], [])
        for task in tasks:
            parts[task.lease.binding in self._paused].append(task)
        self._reporter.release(parts[True])
        return parts[False]

    def clear(self) -> None:
        """Forget all: the leases are lost."""
        self.plain.clear()
        self.awaited.clear()

    def _is_late(self, task: Task) -> bool:
        """Give back a task that could not begin in time; return whether it was."""
        if monotonic() <= task.lease.begin_by:
            return False
        self._reporter.release([task], BEGAN_LATE)
        return True


def put(queue: deque[Task], tasks: list[Task], *, first: bool) -> None:
    """Queue tasks, before or after those that wait already."""
    if first:
        queue.extendleft(reversed(tasks))
    else:
        queue.extend(tasks)
