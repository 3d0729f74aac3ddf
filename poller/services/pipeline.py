"""What rows go through in a worker: the claimer feeds the executor, which reports to the settler, which calls for more.

One wiring for a worker's threads and for tests that step through it in one (`testing.Engine`): what differs is who runs
the three, and who is woken.
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
    """Who is woken, from any thread; where nobody waits, nobody is.

    Attributes:
        claimer: there is room, or something to look for.
        postponed: results were postponed.
        heartbeat: the registration is to be made anew.
        main: handlers begin while none ran: their time is to be watched.
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
        apart: where what cannot be settled at once is tried; by default on the settler's.
        bindings: the handlers.
        slots: how many of them run at a time.
        poll: seconds between two looks of an idle fleet.
        heartbeat: who the worker is, and how long its leases may be trusted.
        trusted_until: the latter, where there is more to it.
        transactions: for transactional handlers, if there are any.
        wakes: who is woken.
        observe: called with each settled result and what became of it.
        circling: tells which rows go round; without it they do.
    """

    def __init__(  # noqa: PLR0913 - what two kinds of workers differ in
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

    def _hurry_beat(self) -> None:
        """Have the next beat, which says whether this worker is to drain, come at once."""
        self._heartbeat.hurry()
        self._wakes.heartbeat()
