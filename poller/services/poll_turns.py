"""The turns of workers to look for work: an idle fleet asks once in a poll interval, however many workers it has.

The model. Workers that know the same handlers take turns, in the order of their ids, by the database's clock. Each beat
tells a worker how many workers there are and its place among them. So after a worker came or went, turns overlap or one
is missing until the next beat. A worker that finds more due rows than it can take wakes the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, slots=True)
class Turn:
    """A worker's place among those that know its handlers.

    Attributes:
        workers: the number of these workers.
        place: this worker's place, from 0.
        offset: the database's clock minus this process's monotonic one, in seconds.
    """

    workers: int = 1
    place: int = 0
    offset: float = 0.0

    def wait(self, poll: float) -> float:
        """Return the seconds to its next turn, if the fleet is to look once in `poll` seconds."""
        if self.workers <= 1:
            return poll
        cycle = self.workers * poll
        wait = (self.place * poll - self.offset - monotonic()) % cycle
        return wait if wait >= poll / 2 else wait + cycle
