"""Hands claimed rows to the executor, unless the worker has lost its registration meanwhile.

The model. A worker may be declared dead while its claim is under way. The claim checks for that, and then brings nothing
(`DeclaredDeadError`); rows claimed under an older registration do not begin, since other workers may hold them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from poller.store.lease import Result, Task
from poller.store.outcomes import not_shown
from poller.telemetry.bus import emit
from poller.telemetry.events import ClaimLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.executor.executor import Executor
    from poller.services.circling import Circling


class WorkerRegistration:
    """The worker's identity in the fleet.

    Args:
        worker: returns its id, or None while it has none (it must register again).
        deny: called with the id of a worker that a claim has found to be declared dead.
    """

    def __init__(self, worker: Callable[[], int | None], deny: Callable[[int], None]) -> None:
        self._worker = worker
        self._deny = deny
        self._dead: int | None = None  # the claimer's thread writes it

    @property
    def worker(self) -> int | None:
        """Its id; None if it has none, or is known to be declared dead."""
        worker = self._worker()
        return None if worker == self._dead else worker

    def lose(self, worker: int) -> None:
        """Note that the worker has been declared dead."""
        self._dead = worker
        self._deny(worker)


class HandOver:
    """The step between a claim and the executor's queue.

    Args:
        executor: where tasks go.
        registration: the worker's identity.
        give_back: takes the results of tasks that do not begin.
        circling: decides which rows must not begin yet, since they circle.
    """

    def __init__(
        self,
        executor: Executor,
        registration: WorkerRegistration,
        give_back: Callable[[Sequence[Result]], None],
        circling: Circling | None,
    ) -> None:
        self._executor = executor
        self._registration = registration
        self._give_back = give_back
        self._circling = circling
        # Without the lock, the heartbeat's thread could report the loss of the registration between the check of the
        # tasks' worker and the queueing.
        self._lock = threading.Lock()

    def submit(self, tasks: list[Task], *, first: bool, threads: Callable[[list[Task]], int | None]) -> None:
        """Queue tasks, except those that circle; fail the attempts of those that could not be shown (`during`).

        Args:
            tasks: the claimed tasks.
            first: put them ahead of the tasks that wait already.
            threads: returns how many threads to wake for tasks.
        """
        able = [task for task in tasks if task.refusal is None]
        put_off: list[Result] = []
        if self._circling is not None:
            able, put_off = self._circling.part(able)
        with self._lock:
            if tasks and tasks[0].lease.worker != self._registration.worker:
                emit(ClaimLost(rows=len(tasks)))
                return
            self._executor.submit(able, first=first, threads=threads(able))
        if put_off:
            self._give_back(put_off)
        for task in tasks:
            if task.refusal is not None:
                outcome = not_shown(task.handler, task.refusal, task.attempt, task.age)
                self._give_back([Result(task, outcome, 0.0)])

    def forget(self) -> None:
        """Forget the queued tasks: the leases are lost. The heartbeat's thread calls this."""
        with self._lock:
            self._executor.forget()
