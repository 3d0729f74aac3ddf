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
    from poller.executor.endings import Endings
    from poller.store.lease import Task


class Queues:
    """What waits.

    Attributes:
        plain: the tasks of plain functions.
        awaited: those of coroutines.
        is_draining: nothing begins any more.
    """

    def __init__(self, endings: Endings) -> None:
        self.plain: deque[Task] = deque()
        self.awaited: deque[Task] = deque()
        self.is_draining = False
        self._endings = endings

    def tasks(self) -> list[Task]:
        """Return all that wait."""
        return [*list(self.plain), *list(self.awaited)]

    def next(self, queue: deque[Task]) -> Task | None:
        """Take the next task from a queue; None if there is none, or if it was given back since it may not begin."""
        try:
            task = queue.popleft()
        except IndexError:  # another thread was quicker
            return None
        if self.is_draining:
            self._endings.release([task])
            return None
        return None if self._is_late(task) else task

    def give_back(self) -> None:
        """Report all as released."""
        for queue in (self.plain, self.awaited):
            with contextlib.suppress(IndexError):
                while True:
                    self._endings.release([queue.popleft()])

    def clear(self) -> None:
        """Forget all: the leases are lost."""
        self.plain.clear()
        self.awaited.clear()

    def _is_late(self, task: Task) -> bool:
        """Give a task back that could not begin in time."""
        if monotonic() <= task.lease.begin_by:
            return False
        self._endings.release([task], BEGAN_LATE)
        return True


def put(queue: deque[Task], tasks: list[Task], *, first: bool) -> None:
    """Queue tasks, before what waits already or after it."""
    if first:
        queue.extendleft(reversed(tasks))
    else:
        queue.extend(tasks)
