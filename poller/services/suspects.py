"""What a worker may claim while it has suspects: rows whose worker died under them.

The model. One of the suspects may kill this worker, too; then all rows that it holds become suspects. To protect other
rows from that, a worker that has taken a lease of suspects claims nothing else until their outcomes are written, or
`TRIAL_SECONDS` have passed: a row that kills its worker mostly does so at once, and slow rows must not hold up the
others. A suspect that has crashed alone is a single: it waits for a worker that holds no rows. If all workers are busy
for `SINGLE_WAIT_SECONDS`, a worker takes it beside other rows, but never two singles at a time.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.store.lease import Task

TRIAL_SECONDS = 1.0  # for which a worker claims nothing beside suspects
SINGLE_WAIT_SECONDS = 5.0  # for which a single waits for a worker that holds nothing


class Trial:
    """The suspects that a worker has."""

    def __init__(self) -> None:
        self._suspects: set[Task] = set()
        self._until = 0.0

    @property
    def seconds_left(self) -> float:
        """The seconds for which the worker must claim nothing else."""
        return max(0.0, self._until - monotonic()) if self._suspects else 0.0

    def begin(self, tasks: Iterable[Task]) -> None:
        """Begin a trial if there are suspects among the claimed tasks."""
        suspects = {task for task in tasks if task.company}
        if suspects:
            self._suspects |= suspects
            self._until = monotonic() + TRIAL_SECONDS

    def written(self, tasks: Iterable[Task]) -> bool:
        """Note tasks whose outcomes are written; return whether the last suspect was among them."""
        if not self._suspects:
            return False
        self._suspects.difference_update(tasks)
        return not self._suspects

    def forget(self) -> None:
        """Forget the suspects: the leases are lost."""
        self._suspects = set()

    def single_waits(self, *, holds_others: bool) -> float | None:
        """Return how long a single must have waited before this worker takes it, in seconds; None if it takes none."""
        if any(task.company == 1 for task in list(self._suspects)):
            return None
        return SINGLE_WAIT_SECONDS if holds_others else 0.0
