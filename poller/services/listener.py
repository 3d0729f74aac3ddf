"""Listens, for a supervisor, for other supervisors' workers, changed jobs and paused handlers, to save polling.

The model. Triggers of poller's own schema notify when a worker registers, a job changes (migration 0004) and a handler
is paused or resumed (0015). The services of a supervisor may poll rarely while this connection listens, and must poll
often while it does not: behind a pooler, or after a cut, which a query on this session finds within `CHECK_SECONDS`.
The payload is the name of the table, so that a changed job does not wake the sweeper.
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
CHECK_SECONDS = 10.0  # between two checks that the session is alive


class Listener:
    """Listens for one supervisor.

    Args:
        link: a connection of its own.
        on_change: called with the tables that have changed, or may have changed while the connection did not listen.
    """

    def __init__(self, link: Link, on_change: Callable[[frozenset[str]], None]) -> None:
        self._link = link
        self._on_change = on_change
        self._session: psycopg.Connection[object] | None = None
        self._check_at = 0.0
        self._hears = False

    def hears(self) -> bool:
        """Return whether the connection listens now."""
        return self._hears

    def run_once(self) -> float:
        """Make sure that the session is alive and listens. Returns the seconds to the next check."""
        connection = self._link.connection
        if connection is not self._session:
            connection.execute("listen poller_supervisor")
            self._session = connection
            self._hears = not is_pooled(connection)
            self._check_at = monotonic() + CHECK_SECONDS
            self._on_change(ALL)
        elif monotonic() >= self._check_at:
            connection.execute("select")
            self._check_at = monotonic() + CHECK_SECONDS
        return max(0.0, self._check_at - monotonic())

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so many seconds, or until the bell rings; report the changes that are notified meanwhile."""
        if payloads := heard(self._link.connection, seconds, bell):
            self._on_change(payloads)

    def recover(self) -> None:
        """Start over on a new connection; until it is open, `hears` is false."""
        self._hears = False
        self._session = None
        self._link.close()
        self._on_change(ALL)
