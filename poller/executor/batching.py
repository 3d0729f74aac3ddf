"""How many tasks are attempted together: in one call of a handler that takes batches, or in one transaction.

The model. Tasks of a handler that takes batches share a call; tasks of a transactional handler that wait side by side
share a transaction, and a slot. A call that fails is tried again in halves, until the row that causes the failure is
alone. A batch that took too long fails as a whole; each further attempt uses batches half as large, the last one single
rows. Batches also shrink after a crash, since a lease of suspects holds half as many rows.

Threads. Any: a task's state is written only by the thread that has the task.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from poller.executor.in_flight import SharedTransaction
    from poller.store.binding import Binding
    from poller.store.lease import Task

MOST_ROWS = 1000  # in one transaction
FIRST_ROWS = 50  # in one, of a handler of which nothing is known yet
LONGEST_SECONDS = 0.1  # after which no further handler is run in one
APART_SECONDS = 30.0  # that a handler's rows share no transactions, after such had waited for each other
SLOWER = 4.0  # the part of what was thought to fit that still does, at least, after one that was slow


class Batching:
    """Decides how many tasks are attempted together, from past attempts."""

    def __init__(self) -> None:
        self._at_most: WeakKeyDictionary[Task, int] = WeakKeyDictionary()
        self._apart_until: dict[Binding, float] = {}
        self._fit: dict[Binding, float] = {}  # how many rows fit in one transaction

    def companions(self, queue: deque[Task], task: Task) -> list[Task]:
        """Take from the queue the tasks that may be attempted together with this one."""
        companions: list[Task] = []
        most, halved = self._most(task), len(self._at_most) > 0
        with contextlib.suppress(IndexError):
            while len(companions) + 1 < most:
                following = queue.popleft()
                is_bound = following.attempt > 1 or halved  # by more than this task is
                if not _go_together(task, following) or (
                    is_bound and self._most(following) < len(companions) + 2
                ):
                    queue.appendleft(following)
                    break
                companions.append(following)
        return companions

    def halve(self, tasks: Sequence[Task]) -> None:
        """Halve the number of tasks in the next attempts at these."""
        self._at_most.update(dict.fromkeys(tasks, (len(tasks) + 1) // 2))

    def part(self, tasks: Sequence[Task]) -> None:
        """Attempt tasks that shared a transaction alone the next time; those of a batch in halves."""
        if tasks[0].handler.batch > 1:
            self.halve(tasks)
        else:
            self._at_most.update(dict.fromkeys(tasks, 1))

    def keep_apart(self, binding: Binding) -> None:
        """Stop a handler's rows from sharing transactions for a while: such transactions waited for each other."""
        self._apart_until[binding] = monotonic() + APART_SECONDS

    def learn(self, shared: SharedTransaction, many: int) -> None:
        """Estimate how many rows fit in a transaction from how long the handlers of this one took.

        Args:
            shared: the transaction, whose handlers have run.
            many: the number of tasks it began with.
        """
        handled = many - len(shared.left)
        if handled < 1 or not shared.tasks:
            return
        binding = shared.tasks[0].binding
        before = self._fit.get(binding, FIRST_ROWS)
        fits = handled * LONGEST_SECONDS / max(shared.seconds, 0.001)
        if shared.left and shared.seconds < LONGEST_SECONDS:
            fits = handled  # it did not end early for time
        # Shrink slowly: a slow transaction may have waited for the CPU. Too many rows cost little, since a transaction
        # ends after LONGEST_SECONDS anyway; and transactions that share a lease wait for each other.
        self._fit[binding] = max(fits, before / SLOWER)

    def _most(self, task: Task) -> int:
        """Return how many tasks may be attempted together with this one, itself included."""
        handler = task.lease.binding.handler
        if task.attempt > 1 and handler.policy.is_last(task.attempt, task.age):
            return 1
        most = max(1, handler.batch >> (task.attempt - 1))
        if handler.transactional and handler.batch == 1:
            most = self._fitting(task.lease.binding)
        return min(most, self._at_most.get(task, most)) if self._at_most else most

    def _fitting(self, binding: Binding) -> int:
        """Return how many rows of a handler to lock for one transaction: as many as it has time for."""
        if monotonic() < self._apart_until.get(binding, 0.0):
            return 1
        return max(1, min(MOST_ROWS, int(self._fit.get(binding, FIRST_ROWS))))


def _go_together(task: Task, other: Task) -> bool:
    """Return whether two tasks may be attempted together; those of one transaction share a lease."""
    handler = task.lease.binding.handler
    if handler.transactional:
        return task.lease is other.lease
    if task.lease is other.lease:
        return task.attempt == other.attempt
    alike = (task.lease.binding, task.attempt, task.lease.begin_by)
    return alike == (other.lease.binding, other.attempt, other.lease.begin_by)
