"""Keeps a worker alive in the eyes of the fleet.

The model. One dedicated connection, never a pooled one, does two things that belong together: it holds the worker's
session advisory lock, and it beats. The beat is a statement on the same session that holds the lock, so the next beat
finds a connection that was silently cut.

What may be trusted: leases, until `trusted_until`: the time of the last answered beat, plus the lease time, minus a
margin, by this process's monotonic clock. After that (the process was stopped, the network cut) nothing new starts until
a beat is answered. A beat that finds the worker declared dead ends all its leases: running handlers are cancelled, and
the worker registers again under another id; if it was told to drain meanwhile, it drains still. A claim checks that,
too, and may find it first (`deny`).

A beat's commit does not wait for the disk or a standby: stalled commits do not mean that a worker is dead. Death is
declared by a commit that does wait, and a registration is on the disk before any claim that names it.

On failure: a broken connection is reopened with growing delays, and the lock taken again. Until then another process may
have found the lock free and swept the worker; the next beat finds out.
"""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from poller.db.connection import heard, is_pooled
from poller.db.statements import array, statement
from poller.services.poll_turns import Turn
from poller.store.liveness import recount
from poller.telemetry.bus import emit
from poller.telemetry.events import WorkerDeclaredDead, WorkerPooled, WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import psycopg

    from poller.db.connection import Link
    from poller.runtime.bell import Bell

BEATS = 3  # in one lease time
RECOUNT_SECONDS = 1.0  # between two beats, where workers come and go
MARGIN = 0.1  # of the lease time, for clock differences and network delays


class Heartbeat:
    """One worker's sign of life.

    Args:
        link: a connection of its own.
        supervisor: the id of the supervisor that started this worker.
        handlers: the ids of the handlers it knows.
        slots: how many handlers it runs at a time.
        lease: seconds without a beat after which the worker counts as dead.
        on_join: called when the worker joins the fleet, or joins again.
        on_lost: called when the worker has been declared dead.
        on_drain: called when the worker is told to end once it holds nothing.
        replaces: the id of the process that this one was started in place of; 0 if none.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        link: Link,
        supervisor: UUID,
        handlers: Sequence[int],
        slots: int,
        lease: float,
        on_join: Callable[[], None],
        on_lost: Callable[[], None],
        on_drain: Callable[[], None] = lambda: None,
        replaces: int = 0,
    ) -> None:
        self._link = link
        self._supervisor = supervisor
        self._handlers = array(handlers)
        self._slots = slots
        self._lease = lease
        self._on_join = on_join
        self._on_lost = on_lost
        self._on_drain = on_drain
        self._after = replaces  # the process whose drain this one inherits: once it has registered, itself
        self._session: psycopg.Connection[object] | None = None
        self._locked_on: psycopg.Connection[object] | None = None
        self._beat_at = 0.0
        self._beaten_at = 0.0
        self._recounts = False  # a worker has come or gone since the last beat was sent
        self._hurries = False  # the next beat was asked for at once, since the last one was sent
        self._trusted_until = 0.0
        self._denied: int | None = None
        self.worker: int | None = None
        self.turn = Turn()
        self.stopping = False

    def trusted_until(self) -> float:
        """Return until when (monotonic) this worker's leases may be trusted without asking the database."""
        # A beat sent before the worker was declared dead may be answered after that was found: ignore that answer.
        return 0.0 if self._denied is not None and self._denied == self.worker else self._trusted_until

    def deny(self, worker: int) -> None:
        """Stop trusting the leases of a worker that a claim found declared dead; the next beat registers again."""
        self._denied = worker
        self.hurry()

    def hurry(self) -> None:
        """Beat in the next round, to learn at once what the beat returns: one that is under way may not know it yet."""
        self._hurries = True

    def recount(self) -> None:
        """Beat soon, to learn this worker's turn: another one has come or gone."""
        self._recounts = True

    def stop(self) -> None:
        """Tell the fleet with the next beat, which follows at once, that this worker claims no more."""
        self.stopping = True
        self.hurry()

    def run_once(self) -> float:
        """Beat, if it is time. Returns the seconds to the next beat."""
        connection = self.join()
        if monotonic() >= self._next_at and self._beat(connection) and self.stopping:
            recount(connection)
        return max(0.0, self._next_at - monotonic())

    @property
    def _next_at(self) -> float:
        """When the next beat is due (monotonic)."""
        if self._hurries:
            return 0.0
        return min(self._beat_at, self._beaten_at + RECOUNT_SECONDS) if self._recounts else self._beat_at

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so many seconds, or until the bell rings; the end of the session is noticed at once."""
        heard(self._link.connection, seconds, bell)

    def join(self) -> psycopg.Connection[object]:
        """Make sure that the worker has joined the fleet on the present connection; return the connection."""
        connection = self._link.connection
        if connection is not self._session:
            self._enter(connection)
        return connection

    def leave(self) -> None:
        """Remove the worker from the fleet's list, after it has given back its rows."""
        if self.worker is not None:
            connection, worker = self._link.connection, {"worker": self.worker}
            with connection.transaction():  # waits for a claim that is under way, so that `leave` sees it
                connection.execute(statement("await_claims"), worker)
                connection.execute(statement("leave"), worker)
                recount(connection)
        self._link.close()

    def _enter(self, connection: psycopg.Connection[object]) -> None:
        """Join the fleet on a new session: register, or beat at once; take the lock."""
        connection.execute("set synchronous_commit = off")
        if self.worker is None:
            self._register(connection)
        elif not self._beat(connection):
            return  # declared dead meanwhile; the next round registers
        if is_pooled(connection):
            emit(WorkerPooled())
        self._session = connection
        self._on_join()

    def _hold_lock(self, connection: psycopg.Connection[object]) -> None:
        """Try to take the liveness lock, and write down whether this session holds it.

        After a cut the old session may still hold the lock. If the table said that this worker holds it, the end of
        that session would make the worker look dead.
        """
        locked = connection.execute(statement("take_liveness_lock"), {"worker": self.worker}).fetchone()
        self._locked_on = connection if locked == (True,) else None
        name = "enter_session" if self._locked_on else "leave_session"
        connection.execute(statement(name), {"worker": self.worker})

    def _register(self, connection: psycopg.Connection[object]) -> None:
        asked = {
            "supervisor": self._supervisor,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slots": self._slots,
            "handlers": self._handlers,
            "lease": self._lease,
            "after": self._after,
        }
        began = monotonic()
        row = connection.execute(statement("register_worker"), asked).fetchone()
        assert isinstance(row, tuple)  # noqa: S101 - an insert returns its row
        self.worker, drains = row
        self._after = os.getpid()
        self._trust(began)
        if not is_pooled(connection):
            self._hold_lock(connection)
        recount(connection)
        self._recounts = True  # it does not know its own turn either
        emit(WorkerStarted(worker=row[0], slots=self._slots))
        if drains:
            self._on_drain()

    def _beat(self, connection: psycopg.Connection[object]) -> bool:
        """Beat; return False if the worker was found to have been declared dead."""
        # Before the beat is sent: what is asked for while it is under way needs another one.
        self._recounts = self._hurries = False
        began = self._beaten_at = monotonic()
        asked = {"worker": self.worker, "stopping": self.stopping}
        row: Any = connection.execute(statement("beat"), asked).fetchone()
        if row is None:
            self._lose()
            return False
        self._trust(began)
        workers, place, now, drains = row
        if drains:
            self._on_drain()
        self.turn = Turn(workers, place, now - monotonic())
        if self._locked_on is not connection and not is_pooled(connection):
            self._hold_lock(connection)
        return True

    def _trust(self, began: float) -> None:
        """Trust the leases from when the beat was sent, not from when it was answered."""
        self._trusted_until = began + self._lease * (1 - MARGIN)
        self._beat_at = began + self._lease / BEATS

    def _lose(self) -> None:
        if self.worker is not None:
            emit(WorkerDeclaredDead(worker=self.worker))
        self._trusted_until = 0.0
        self.worker = None
        self._session = None
        self._link.close()
        self.hurry()  # the next round, which registers, is not to wait for the time of a beat
        self._on_lost()
