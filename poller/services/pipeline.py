"""A row's way through a worker: the claimer feeds the executor, which reports to the settler, which asks for more rows.

The wiring is the same for a worker, with a thread for each part, and for tests that step through the parts in one thread
(`testing.Engine`): only the threads and the wake-ups differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.executor.executor import Executor
from poller.services.claimer import Claimer
from poller.services.settler import Settler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.db.connection import Link
    from poller.executor.transaction import Transactions
    from poller.services.circling import Circling
    from poller.services.heartbeat import Heartbeat
    from poller.services.settler import Observer
    from poller.store.binding import Binding
    from poller.store.lease import Result, Task


def _nobody() -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakes:
    """The wake-up calls, from any thread; without a waiting thread they do nothing.

    Attributes:
        claimer: wakes the claimer: there is room, or there are rows to look for.
        postponed: wakes the thread of postponed results: there are new ones.
        heartbeat: wakes the heartbeat: the worker must register again.
        main: wakes the main thread: handlers begin after none ran, and their time must be watched.
    """

    claimer: Callable[[], None] = _nobody
    postponed: Callable[[], None] = _nobody
    heartbeat: Callable[[], None] = _nobody
    main: Callable[[], None] = _nobody


class Pipeline:
    """The claimer, the executor and the settler of one worker.

    Args:
        claims: the claimer's link.
        settles: the settler's.
        apart: the link for results that cannot be settled at once; by default the settler's.
        bindings: the handlers.
        slots: how many of them run at a time.
        poll: seconds between two looks of an idle fleet.
        heartbeat: knows the worker's id, and how long its leases may be trusted.
        trusted_until: replaces the heartbeat's `trusted_until`, where more conditions apply.
        transactions: for transactional handlers, if there are any.
        wakes: the wake-up calls.
        observe: called with each settled result and what became of its row.
        circling: detects rows that circle; without it they are not slowed down.
    """

    def __init__(  # noqa: PLR0913 - the differences between two kinds of workers
        self,
        *,
        claims: Link,
        settles: Link,
        apart: Link | None = None,
        bindings: Sequence[Binding],
        slots: int,
        poll: float,
        heartbeat: Heartbeat,
        trusted_until: Callable[[], float] | None = None,
        transactions: Transactions | None,
        wakes: Wakes,
        observe: Observer | None = None,
        circling: Circling | None = None,
    ) -> None:
        self._heartbeat = heartbeat
        self._wakes = wakes
        self.settler = Settler(
            settles,
            busy=self._is_busy,
            observe=observe,
            written=self._written,
            apart=apart,
            on_postponed=wakes.postponed,
            circling=circling,
        )
        self.executor = Executor(
            slots=slots,
            report=self._report,
            trusted_until=trusted_until or heartbeat.trusted_until,
            transactions=transactions,
            report_settled=self.settler.settled,  # which calls `_written`
            begins=wakes.main,
            taken=self._feed,
        )
        self.claimer = Claimer(
            link=claims,
            bindings=bindings,
            executor=self.executor,
            worker=lambda: heartbeat.worker,
            mean_seconds=self.settler.mean_seconds,
            give_back=self.settler.report,
            held=self._held,
            unwritten=lambda: self.settler.pending,
            postponed=self.settler.postponed,
            poll=poll,
            turn=lambda: heartbeat.turn,
            deny=self._deny,
            drain=self._hurry_beat,
            recount=self._recount,
            circling=circling,
        )

    def _report(self, results: Sequence[Result]) -> None:
        self.settler.report(results)
        self._feed()

    def _feed(self) -> None:
        if self.claimer.sizes.is_hungry():
            self._wakes.claimer()

    def _written(self, binding: Binding, results: list[Result]) -> None:
        if self.claimer.written(binding, results) or self.claimer.sizes.has_room():
            self._wakes.claimer()

    def _is_busy(self) -> bool:
        return self.executor.running > 0 or self.executor.waiting > 0

    def _held(self) -> list[Task]:
        return [*self.executor.tasks(), *self.settler.tasks()]

    def _deny(self, worker: int) -> None:
        self._heartbeat.deny(worker)
        self._wakes.heartbeat()

    def _recount(self) -> None:
        self._heartbeat.recount()
        self._wakes.heartbeat()

    def _hurry_beat(self) -> None:
        """Beat at once: the beat returns whether this worker must drain."""
        self._heartbeat.hurry()
        self._wakes.heartbeat()
