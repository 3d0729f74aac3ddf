"""Rescues the rows of dead workers.

The model. A worker is dead when its session's lock is free although Postgres has not restarted, seen twice with a short
wait in between (a worker whose connection broke takes its lock again within that time); when its heartbeat has lapsed;
or when its own supervisor saw it end. The sweeper looks rarely while all workers belong to its own supervisor and
notifications would announce others (`listener`).

A lapsed heartbeat proves nothing when no worker could beat: after an outage, while the server or its commits stall, when
its clock was set. So it counts only if the sweeper has been connected, and answered quickly, for a while, and its own
write is quick at that moment.

One conditional UPDATE declares a worker dead; after that it cannot beat, and its remaining sessions are ended, so that
it holds no lock. Then its claims are settled by the same statement as any result, with the outcome *crashed*: the
attempt counts, the retry policy decides, the fence and compare-and-set hold.

Any of the rows that a worker held may have killed it. They are suspects: they are claimed again in leases of half as
many (`sql/claim/retake.sql`), until the row that kills its worker is alone. `outcomes` says what that costs them.

What may be trusted: nothing that was read before. If a claim was settled meanwhile, the fence finds it gone. Handlers
that this process does not know are left to a process that does (rolling deploys).

On failure: where the rows of one handler cannot be settled (its table is locked, say), that handler is left out for a
while, and the others go on.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from time import monotonic
from typing import TYPE_CHECKING

from poller.model.answers import Crashed
from poller.runtime.failpoints import reach
from poller.services.settler import Settler, amended
from poller.store.lease import Lease, Result, Task
from poller.store.liveness import Liveness, recount, wake
from poller.store.outcomes import of_error
from poller.telemetry.bus import emit
from poller.telemetry.events import RowsTakenBack, WorkerDied
from poller.telemetry.outage import BACKOFF_MOST_SECONDS, LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from poller.db.connection import Link
    from poller.store.binding import Binding
    from poller.store.liveness import DeadClaim, Deaths

PERIOD_SECONDS = 0.7  # between two looks: with SECOND_LOOK_SECONDS, a death is found within a second
IDLE_LOOK_SECONDS = 10.0  # between two looks if no worker's death could be found by looking alone
SECOND_LOOK_SECONDS = 0.25
SLOW_SECONDS = (
    2.0  # for an answer, or of drift between the two clocks, that mean workers could not beat either
)
PATIENCE_SECONDS = (
    BACKOFF_MOST_SECONDS + 1.0
)  # seconds for workers to come back, before a lapsed heartbeat counts
TRIED_SECONDS = 3.0  # in which a row that is refused gets another outcome
LEFT_OUT_SECONDS = 5.0  # for which a handler is left out if its rows could not be settled


class Sweeper:
    """Finds dead workers and settles the rows that they held.

    Args:
        link: of its own.
        bindings: the handlers this process knows.
        supervisor: the id of the supervisor that reports the deaths of its own workers (`child_died`), if any.
        hears: returns whether notifications of other supervisors' workers arrive, which wake the sweeper.
    """

    def __init__(
        self,
        link: Link,
        bindings: Sequence[Binding],
        supervisor: UUID | None = None,
        hears: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._liveness = Liveness(link)
        self._supervisor = supervisor
        self._hears = hears
        self._bindings = {binding.id: binding for binding in bindings}
        self._left_out = LeftOut(LEFT_OUT_SECONDS)
        self._connected: object = None
        self._steady_since = 0.0
        self._clocks: float | None = None
        self._children: deque[int] = deque()

    def run_once(self) -> float:
        """Declare dead workers, and settle the rows of one. Returns the seconds to the next round."""
        self._declare_children()
        hears = self._hears()  # before the look: a notification announces workers that come later
        deaths = self._deaths()
        if deaths.silent or deaths.lapsed:
            self._declare(deaths.silent, lapsed=deaths.lapsed)
        elif not deaths.claims:
            seldom = max(PERIOD_SECONDS, min(IDLE_LOOK_SECONDS, deaths.lapse_in))
            return PERIOD_SECONDS if deaths.strangers or not hears else seldom
        return 0.0 if self.sweep() else PERIOD_SECONDS

    def child_died(self, pid: int) -> None:
        """Note a child that this supervisor saw end; the next round declares it dead."""
        self._children.append(pid)

    def _declare_children(self) -> None:
        while self._children:
            assert self._supervisor is not None  # noqa: S101 - only a supervisor has children
            self._liveness.declare_child_dead(self._supervisor, self._children[0])
            self._liveness.end_sessions(self._supervisor, self._children[0])
            recount(self._link.connection)
            self._children.popleft()
            reach("sweep declared")

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()

    def sweep(self) -> int:
        """Settle the rows that one dead worker held; return how many there were."""
        dead = self._liveness.dead_claims(self._known())
        reach("sweep looked")
        settled = sum(self._settle(handler, results) for handler, results in self._crashed(dead))
        reach("sweep settled")
        if settled:
            emit(RowsTakenBack(rows=settled))
            wake(self._link.connection)
        return len(dead)

    def _crashed(self, dead: Sequence[DeadClaim]) -> list[tuple[int, list[Result]]]:
        """Return the results of rows, by their handlers; those of handlers that had another `during` are apart."""
        found: dict[tuple[int, str | None], list[DeadClaim]] = defaultdict(list)
        for each in dead:
            found[each.handler_id, each.during].append(each)
        bindings = {each: self._bindings[each[0]].leased_as(each[1]) for each in found}
        return [(each[0], [_crashed(bindings[each], row) for row in rows]) for each, rows in found.items()]

    def _known(self) -> list[int]:
        """Return the handlers whose rows are settled here, except those that are left out for now."""
        return [each for each in self._bindings if each not in self._left_out]

    def _settle(self, handler: int, results: list[Result]) -> int:
        """Settle rows of one handler; leave it out for a while if some cannot be. Returns how many were settled."""
        postponed = Settler(self._link).postponed
        postponed.add(list(amended(results)))
        until = monotonic() + TRIED_SECONDS
        pause = postponed.run_once()
        while postponed.count and monotonic() < until:
            threading.Event().wait(min(pause, SECOND_LOOK_SECONDS))
            pause = postponed.run_once()
        left = postponed.count
        if left:  # `postponed` has logged why; the next look reads these rows again
            self._left_out.add(handler)
        return len(results) - left

    def _deaths(self) -> Deaths:
        """Look for deaths, and note whether that was slow, or the database's clock was set meanwhile."""
        connection, began = self._link.connection, monotonic()
        deaths = self._liveness.deaths(self._known(), self._supervisor)
        now = monotonic()
        clocks, before = deaths.clock - now, self._clocks
        self._clocks = clocks
        is_steady = now - began < SLOW_SECONDS and before is not None and abs(clocks - before) < SLOW_SECONDS
        if connection is not self._connected or not is_steady:
            self._connected, self._steady_since = connection, now
        return deaths

    def _declare(self, silent: list[int], *, lapsed: bool) -> None:
        """Declare dead the workers that are still silent after a moment, and those whose heartbeat has lapsed."""
        if silent:
            threading.Event().wait(SECOND_LOOK_SECONDS)
        found = self._liveness.declare_dead(silent, lapsed=lapsed and self._believes_heartbeats())
        if found:
            recount(self._link.connection)
        for dead in found:
            how = "its heartbeat lapsed" if dead.has_lapsed else "its connection ended"
            emit(WorkerDied(worker=dead.worker, reason=how, host=dead.host, pid=dead.pid))
            self._liveness.end_sessions(dead.supervisor, dead.pid)
        reach("sweep declared")

    def _believes_heartbeats(self) -> bool:
        """Return whether workers could beat: answers have been quick for a while, and a write is quick now."""
        if monotonic() - self._steady_since <= PATIENCE_SECONDS:
            return False
        began = monotonic()
        self._liveness.probe()
        if monotonic() - began < SLOW_SECONDS:
            return True
        self._steady_since = monotonic()
        return False


def _crashed(binding: Binding, dead: DeadClaim) -> Result:
    """Return the result of an attempt that ended with its worker."""
    attempt = dead.attempt + 1
    alone = dead.alone or dead.company == 1
    error = Crashed(
        "the worker died while it held the row",
        times=dead.crashes + 1,
        company=1 if alone else dead.beside,
        alone=alone,
        suspected=dead.company > 0,
    )
    outcome = of_error(binding.handler, error, attempt, dead.age)
    lease = Lease(dead.lease, dead.worker, binding, claimed_at=None, clock=0.0)
    task = Task(lease, dead.key, (), attempt=attempt, retaken=True)
    return Result(task, outcome, dead.seconds)
