"""What a worker may claim while it has suspects: rows whose worker died under them.

The model. One of the suspects may kill this worker, too. Then all that it holds is in flight, and suspected. So that a
bystander is not framed, a worker that has taken a lease of suspects claims nothing else until their outcomes are
written, or `TRIAL` has passed: what kills its worker mostly does so at once, and slow rows must not hold up the others.
A suspect that has crashed alone is a single: it waits for a worker that holds nothing at all; where all of them are busy
for `SINGLE_WAITS`, it is taken beside other rows, but never are two of them in one worker.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.store.lease import Task

TRIAL = 1.0  # seconds for which a worker claims nothing beside suspects
SINGLE_WAITS = 5.0  # seconds for which a single waits for a worker that holds nothing


class Trial:
    """The suspects that a worker has."""

    def __init__(self) -> None:
        self._suspects: set[Task] = set()
        self._until = 0.0

    @property
    def seconds_left(self) -> float:
        """The seconds for which nothing else is to be claimed."""
        return max(0.0, self._until - monotonic()) if self._suspects else 0.0

    def begin(self, tasks: Iterable[Task]) -> None:
        """Take note of what was claimed, if there are suspects among it."""
        suspects = {task for task in tasks if task.company}
        if suspects:
            self._suspects |= suspects
            self._until = monotonic() + TRIAL

    def written(self, tasks: Iterable[Task]) -> bool:
        """Take note of tasks whose outcomes are written; tell whether the last suspect was among them."""
        if not self._suspects:
            return False
        self._suspects.difference_update(tasks)
        return not self._suspects

    def forget(self) -> None:
        """Take note that the leases are lost."""
        self._suspects = set()

    def single_waits(self, *, holds_others: bool) -> float | None:
        """Return for how many seconds a single must have waited for this worker to take it; None: it takes none."""
        if any(task.company == 1 for task in list(self._suspects)):
            return None
        return SINGLE_WAITS if holds_others else 0.0
