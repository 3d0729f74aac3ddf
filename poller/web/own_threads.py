"""Threads that a part of the desk has for itself: what keeps the threads of pages busy does not keep it waiting."""

from __future__ import annotations

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

THREADS = 8


class OwnThreads:
    """A limiter of its own for each event loop.

    Args:
        name: whose they are.
    """

    def __init__(self, name: str) -> None:
        self._made: RunVar[CapacityLimiter] = RunVar(name)

    @property
    def limiter(self) -> CapacityLimiter:
        """The limiter of the running event loop."""
        try:
            return self._made.get()
        except LookupError:
            made = CapacityLimiter(THREADS)
            self._made.set(made)
            return made
