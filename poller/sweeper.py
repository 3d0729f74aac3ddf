"""Takes back the leases of dead workers.

The model. A worker is dead when its session's lock is free though Postgres itself has not restarted, seen
twice with a moment between (a worker whose connection broke takes its lock again within it); when its
heartbeat has lapsed; or when its own supervisor saw it end. While there are no other workers than those of its
own supervisor, and it would hear of others (`listener`), it looks seldom.

Death is declared by one conditional UPDATE, after which that worker cannot beat, and what sessions it still has are
ended, so that it holds no lock. Then its claims are settled through the same gate as any result, with the outcome
*crashed*: the attempt counts, the retry policy decides, the fence and compare-and-set hold.

What may be trusted: nothing that was read before. A claim that was settled meanwhile is found gone by its
fence. Handlers that this process does not know are left to a process that does (rolling deploys).
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from poller.failpoints import reach
from poller.lease import Lease, Result, Task
from poller.outcome import Crashed, of_error
from poller.service import BACKOFF_MOST
from poller.settler import Settler
from poller.telemetry import event, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from poller.binding import Binding
    from poller.store import DeadClaim, Store

PERIOD = 0.7  # seconds between two looks: with SECOND_LOOK, a death is found within a second
SELDOM = 10.0  # if there is nobody whose death could be seen by that alone
SECOND_LOOK = 0.25
LEASES = 20  # settled in one round
PATIENCE = (
    BACKOFF_MOST + 1.0
)  # seconds of connection before a lapsed heartbeat counts: others come back meanwhile


class Sweeper:
    """Finds the dead and settles what they held.

    Args:
        store: on a link of its own.
        bindings: the handlers this process knows.
        supervisor: whose own workers' deaths it is told of (`child_died`), if any.
        hears: tells whether it is told, too, that a worker of others has come; it wakes the sweeper.
    """

    def __init__(
        self,
        store: Store,
        bindings: Sequence[Binding],
        supervisor: UUID | None = None,
        hears: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._hears = hears
        self._settler = Settler(store)
        self._bindings = {binding.id: binding for binding in bindings}
        self._connected: object = None
        self._connected_at = 0.0
        self._children: deque[int] = deque()

    def run_once(self) -> float:
        """Declare the dead, and settle some of what they held. Returns the seconds to the next round."""
        self._declare_children()
        hears = self._hears()  # before the look: who comes after it is heard of
        deaths = self._store.deaths(self._bindings, self._supervisor)
        if deaths.silent or deaths.lapsed:
            self._declare(deaths.silent)
        elif not deaths.claims:
            return PERIOD if deaths.strangers or not hears else max(PERIOD, min(SELDOM, deaths.lapse_in))
        return 0.0 if self.sweep() else PERIOD

    def child_died(self, pid: int) -> None:
        """Take note of a child that this supervisor saw end; the next round declares it dead."""
        self._children.append(pid)

    def _declare_children(self) -> None:
        while self._children:
            assert self._supervisor is not None  # noqa: S101 - whose children they are
            self._store.declare_child_dead(self._supervisor, self._children[0])
            self._store.end_sessions(self._supervisor, self._children[0])
            self._children.popleft()
            reach("sweep declared")

    def recover(self) -> None:
        """Start over on a new connection."""
        self._store.link.close()

    def sweep(self) -> int:
        """Settle a bounded number of leases of the dead; return how many rows that were."""
        dead = self._store.dead_claims(self._bindings, LEASES)
        reach("sweep looked")
        for each in dead:
            self._settler.report([_crashed(self._bindings[each.handler_id], each)])
        self._settler.flush()
        reach("sweep settled")
        if dead:
            event(f"took back {len(dead)} rows from dead workers")
            self._store.wake()
        return len(dead)

    def _declare(self, silent: list[int]) -> None:
        """Declare dead those who are silent still after a moment, and those whose heartbeat has lapsed."""
        if silent:
            threading.Event().wait(SECOND_LOOK)
        for worker, supervisor, host, pid, lapsed in self._store.declare_dead(
            silent, lapsed=self._is_settled_in()
        ):
            how = "its heartbeat lapsed" if lapsed else "its connection ended"
            problem(f"worker {worker} is dead: {how}", host=host, pid=pid)
            self._store.end_sessions(supervisor, pid)
        reach("sweep declared")

    def _is_settled_in(self) -> bool:
        """Tell whether this process has been connected for long enough to judge others' heartbeats.

        After an outage all heartbeats have lapsed; whoever reconnects first must not sweep the rest.
        """
        connection = self._store.link.connection
        if connection is not self._connected:
            self._connected, self._connected_at = connection, monotonic()
        return monotonic() - self._connected_at > PATIENCE


def _crashed(binding: Binding, dead: DeadClaim) -> Result:
    """Return the result of an attempt that ended with its worker."""
    attempt = dead.attempt + 1
    error = Crashed("the worker died while it held the row", times=dead.crashes + 1)
    outcome = of_error(binding.handler, error, attempt, dead.age)
    lease = Lease(dead.lease, dead.worker, binding, claimed_at=None, clock=0.0)
    task = Task(lease, dead.key, (), attempt=attempt, retaken=True)
    return Result(task, outcome, dead.seconds)
