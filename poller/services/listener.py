"""Hears, for a supervisor, of what it would otherwise have to ask for: workers of others, changed jobs, paused handlers.

The model. Triggers of poller's own schema notify when a worker registers, a job changes (migration 0004) and a handler
is paused or resumed (0015). Whoever waits for that may look seldom while this connection listens, and must look often
while it does not: behind a pooler, or after a cut, which is found by asking something on this very session now and
then. What is told is the name of the table, so that a job that changed wakes no sweeper.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.db.connection import heard, is_pooled

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from poller.db.connection import Link
    from poller.runtime.bell import Bell

ALL = frozenset({"worker", "job", "handler"})
CHECK = 10.0  # seconds between two proofs that the session is there


class Listener:
    """Listens for one supervisor.

    Args:
        link: a connection of its own.
        on_change: called with the tables in which something has changed, or may have while nobody listened.
    """

    def __init__(self, link: Link, on_change: Callable[[frozenset[str]], None]) -> None:
        self._link = link
        self._on_change = on_change
        self._session: psycopg.Connection[object] | None = None
        self._check_at = 0.0
        self._hears = False

    def hears(self) -> bool:
        """Tell whether a change would be heard of now."""
        return self._hears

    def run_once(self) -> float:
        """Make sure that the session is there, and listens. Returns the seconds to the next proof of it."""
        connection = self._link.connection
        if connection is not self._session:
            connection.execute("listen poller_supervisor")
            self._session = connection
            self._hears = not is_pooled(connection)
            self._check_at = monotonic() + CHECK
            self._on_change(ALL)
        elif monotonic() >= self._check_at:
            connection.execute("select")
            self._check_at = monotonic() + CHECK
        return max(0.0, self._check_at - monotonic())

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so long, or until the bell rings; say so if a change is heard of."""
        if told := heard(self._link.connection, seconds, bell):
            self._on_change(told)

    def recover(self) -> None:
        """Start over on a new connection; until then, nothing is heard."""
        self._hears = False
        self._session = None
        self._link.close()
        self._on_change(ALL)
