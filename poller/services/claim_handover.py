"""Hands what was claimed to the executor, unless the worker's registration has been lost meanwhile.

The model. A worker may be declared dead while its claim is under way. The claim asks for that, and brings nothing then
(`DeclaredDeadError`); what an older registration has claimed is not begun, since others may hold it.
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


class Registration:
    """Who the worker is.

    Args:
        worker: returns its id, or None while it has none (it must register anew).
        deny: called with the id of a worker that a claim has found to be declared dead.
    """

    def __init__(self, worker: Callable[[], int | None], deny: Callable[[int], None]) -> None:
        self._worker = worker
        self._deny = deny
        self._dead: int | None = None  # the claimer's thread writes it

    @property
    def worker(self) -> int | None:
        """Its id, if it has one, and is not known to be declared dead."""
        worker = self._worker()
        return None if worker == self._dead else worker

    def lose(self, worker: int) -> None:
        """Take note that it has been declared dead."""
        self._dead = worker
        self._deny(worker)


class HandOver:
    """What is between a claim and the executor's queue.

    Args:
        executor: where tasks go.
        registration: who the worker is.
        give_back: takes the results of tasks that do not begin.
        circling: tells which rows are not to begin yet, since they go round.
    """

    def __init__(
        self,
        executor: Executor,
        registration: Registration,
        give_back: Callable[[Sequence[Result]], None],
        circling: Circling | None,
    ) -> None:
        self._executor = executor
        self._registration = registration
        self._give_back = give_back
        self._circling = circling
        # Keeps the loss of the registration, which the heartbeat's thread tells of, from coming between the question
        # whose tasks they are and the queue.
        self._lock = threading.Lock()

    def submit(self, tasks: list[Task], *, first: bool, threads: Callable[[list[Task]], int | None]) -> None:
        """Hand tasks on, but those that go round; the attempt of one that could not be shown has failed.

        Args:
            tasks: what was claimed.
            first: before what waits already.
            threads: returns how many threads tasks are worth.
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
        """Forget what was handed on: the leases are lost. Called by the heartbeat's thread."""
        with self._lock:
            self._executor.forget()
