"""How far an act is, and what ends it after its current batch."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_stops: set[threading.Event] = set()


@dataclass(slots=True)
class Progress:
    """How far an act is: called with how many rows it has reached."""

    rows: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def __call__(self, rows: int) -> None:
        """Note it."""
        self.rows = rows


@contextmanager
def stoppable(progress: Progress) -> Iterator[Progress]:
    """Have an act be told to end when the process is to."""
    _stops.add(progress.stop)
    try:
        yield progress
    finally:
        _stops.discard(progress.stop)


def end_all() -> None:
    """Tell all acts to end after their current batch: the process is to end."""
    for stop in list(_stops):
        stop.set()
