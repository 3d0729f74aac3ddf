"""Which worker looks for work: one in each poll interval, and one at each notification, however many there are.

The model. Workers that know the same handlers take turns, in the order of their ids, by the database's clock. All hear
of rows that have arrived; the text of the notification, which has its transaction's number, decides which one looks.
Each beat tells a worker how many workers there are, and its place among them; one that comes or goes has the others beat
soon. A worker that finds more due rows than it can take wakes those with the most room.

Why none is forgotten. Of the workers that know the most handlers, those that know the same share all turns and
notifications between them; a worker that knows fewer shares them with these. So each row has a worker that looks for it.

On failure: a worker that is gone, stands still or cannot claim leaves its share of the notifications to the turns of the
others, until it is not counted any more. So does one that does not know yet of a worker that has come or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from zlib import crc32


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

    def answers(self, said: str) -> bool:
        """Return whether this is the worker that looks at a notification; for the same text, one of them is."""
        return self.workers <= 1 or crc32(said.encode()) % self.workers == self.place
