"""Sessions of a face that many people ask: a call borrows one, and gives it back for the next.

The model. To open a session and to see that poller can work there takes longer than most questions. So one that a call
has given back is lent again, within a few seconds. A minute after it was opened it is closed: nothing that holds for a
session (what was seen of the schema, a role's settings) is older. Calls that come at the same time have one each, and no
question waits for another. A timer closes those that nobody has borrowed for a while: where nobody asks there is none.

What may be trusted: a session that is lent is set up as it was when it was opened; a call that sets anything does it in
a transaction. One in which a call has failed is not lent again, nor one that the server has closed meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

from poller.db import schema
from poller.db.connection import is_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

IDLE_SECONDS = 10.0  # after which one is closed that nobody has borrowed
LIFE_SECONDS = 60.0  # after which one is not lent any more
MOST_IDLE = 4  # beyond, one that is given back is closed


@dataclass(slots=True)
class _Session:
    connection: psycopg.Connection[Any]
    opened_at: float = field(default_factory=monotonic)
    back_at: float = 0.0
    is_checked: bool = False  # poller's schema was seen to be there

    def is_good(self) -> bool:
        """Tell whether it may be lent (again)."""
        return (
            monotonic() < self.opened_at + LIFE_SECONDS
            and not self.connection.closed
            and self.connection.info.transaction_status == TransactionStatus.IDLE
            and not is_cut(self.connection)
        )


class BriefSessions:
    """The sessions; used by any thread.

    Args:
        opened: opens one.
    """

    def __init__(self, opened: Callable[[], psycopg.Connection[Any]]) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._idle: list[_Session] = []  # the last one that was given back at the end
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def lent(self, *, migrated: bool) -> Iterator[psycopg.Connection[Any]]:
        """Lend a session to a call.

        Args:
            migrated: poller's own schema must be there.

        Raises:
            DatabaseError: the database cannot be reached or will not do.
        """
        session = self._taken() or _Session(self._opened())
        try:
            if migrated and not session.is_checked:
                schema.require(session.connection)
                session.is_checked = True
            yield session.connection
        except BaseException:
            session.connection.close()
            raise
        self._take_back(session)

    def _taken(self) -> _Session | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            if session.is_good():
                return session
            session.connection.close()

    def _take_back(self, session: _Session) -> None:
        session.back_at = monotonic()
        with self._lock:
            if len(self._idle) < MOST_IDLE and session.is_good():
                self._idle.append(session)
                self._wait()
                return
        session.connection.close()

    def _wait(self) -> None:
        """Have idle ones be closed, once the first has been idle for long."""
        if self._timer is None:
            until = min(each.back_at for each in self._idle) + IDLE_SECONDS
            self._timer = threading.Timer(max(0.0, until - monotonic()), self._close_idle)
            self._timer.name, self._timer.daemon = "idle sessions", True
            self._timer.start()

    def _close_idle(self) -> None:
        since = monotonic() - IDLE_SECONDS
        with self._lock:
            over = [each for each in self._idle if each.back_at <= since]
            self._idle = [each for each in self._idle if each.back_at > since]
            self._timer = None
            if self._idle:
                self._wait()
        for each in over:
            each.connection.close()
