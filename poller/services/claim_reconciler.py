"""Compares the rows that the database says a worker holds with those the worker knows, and gives back unknown ones.

The model. A claim whose COMMIT was answered by an error may have been committed: its rows are leased to a living worker
that does not know it. Or the database was restored to an earlier state, and has lost some writes. So after every fault
the leases in the database are compared with the tasks known here. Unknown rows are checked twice, since a task may just
be on its way between two parts of the worker.

Threads. The claimer's.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.store.lease import Lease, Result, Task
from poller.store.outcomes import released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.store.binding import Binding
    from poller.store.claims import Claims

SECOND_LOOK_SECONDS = 0.3  # until unknown rows are checked again


class ClaimReconciler:
    """Tracks whether the worker may hold rows that it does not know of.

    Args:
        claims: the claimer's statements.
        bindings: the handlers.
        held: returns the tasks that the worker knows, wherever they are.
        give_back: takes the results of tasks that are given back.
    """

    def __init__(
        self,
        claims: Claims,
        bindings: Sequence[Binding],
        held: Callable[[], Iterable[Task]],
        give_back: Callable[[Sequence[Result]], None],
    ) -> None:
        self._claims = claims
        self._bindings = bindings  # their numbers may be assigned later
        self._held = held
        self._give_back = give_back
        self._in_doubt = False
        self._unknown: set[tuple[str, int, str]] = set()  # at the last look: lease, handler, key
        self._look_again_at = 0.0  # (monotonic)

    def note_fault(self) -> None:
        """Note a fault."""
        self._in_doubt = True

    @property
    def ends(self) -> list[float]:
        """When (monotonic) to check again, if there is doubt."""
        return [self._look_again_at] if self._in_doubt else []

    def resolve(self, worker: int) -> None:
        """Give back unknown rows, if there is doubt and it is time to check."""
        if self._in_doubt and monotonic() >= self._look_again_at:
            self._look(worker)

    def _look(self, worker: int) -> None:
        held = {(task.lease.id, task.key) for task in self._held()}
        unknown = {each for each in self._claims.claims_of(worker) if (each[0], each[2]) not in held}
        bindings = {binding.id: binding for binding in self._bindings}
        for lease_id, handler_id, key in unknown & self._unknown:
            binding = bindings[handler_id]
            task = Task(Lease(lease_id, worker, binding, None, 0.0), key, ())
            self._give_back([Result(task, released(binding.handler, 1), 0.0)])
        self._unknown = unknown - self._unknown
        self._in_doubt = bool(self._unknown)
        self._look_again_at = monotonic() + SECOND_LOOK_SECONDS
