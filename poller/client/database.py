"""Gives a client its connections: from a URL, or the caller's own.

With a URL each call opens its own connection and closes it. A kept connection would need a lock, behind which
a quick query waits for a slow count; after each failover it would first fail; and it would occupy a
backend for a page that is viewed once an hour. Opening one costs some milliseconds, so calls that come soon after each
other share one where many people ask (`BriefSessions`, of a client that is hurried). A face that looks again and again
keeps one, for one thread (`LookingConnection`, `Database.kept`).

The caller's connection is used by one thread at a time. Its settings are restored after each call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from poller.client.brief_sessions import BriefSessions
from poller.db import schema
from poller.db.clamped_times import clamp_times
from poller.db.connection import DatabaseLocation, OwnConnection, locate, reachable
from poller.db.search_path import SET_OWN, own_names
from poller.db.server import READ_ONLY
from poller.db.statements import has_users_part, statement
from poller.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["Database", "DatabaseLocation", "LookingConnection", "locate"]

HURRIED_STATEMENT, HURRIED_LOCK = (
    "3s",
    "1s",
)  # the longest of a client that is `hurried`, and the longest wait for a lock
LOOK_STATEMENT, LOOK_LOCK = "2s", "250ms"  # the same of a face that looks again and again
CHECK_SECONDS = 60.0  # after which a lasting connection looks at the schema again


class Database:
    """Gives a connection for each call."""

    def __init__(
        self,
        database: str | DatabaseLocation | psycopg.Connection[Any] | LookingConnection,
        name: str = "client",
        *,
        hurried: bool = False,
    ) -> None:
        self._name = name  # as `pg_stat_activity` shows it
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._place: DatabaseLocation | None = None
        self._looking: LookingConnection | None = None
        self._brief: BriefSessions | None = None
        self._is_migrated = False
        if isinstance(database, LookingConnection):
            self._looking = database
        elif isinstance(database, psycopg.Connection):
            self._connection = database
        elif isinstance(database, DatabaseLocation):
            self._place = database
        elif isinstance(database, str) and database.strip():
            self._place = locate(database, starts=False)
        else:
            kind = type(database).__name__
            msg = f"a Client needs a postgresql:// URL or a psycopg connection, got {kind}"
            raise ConfigurationError(msg)
        if hurried and self._place is not None:  # its sessions write nothing, and no statement takes long
            self._brief = BriefSessions(partial(_looking, self._place, name, HURRIED_STATEMENT, HURRIED_LOCK))

    @classmethod
    def of_call(cls, connection: psycopg.Connection[Any]) -> Self:
        """Return what gives the connection of a call to its parts: that poller's schema is there was seen."""
        made = cls(connection)
        made._is_migrated = True
        return made

    @contextlib.contextmanager
    def session(self, *, migrated: bool = True, alone: bool = False) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection for one call.

        Args:
            migrated: poller's own schema must be there.
            alone: the call commits as it goes, so it cannot be part of the caller's transaction.

        Raises:
            ConfigurationError: the call must be alone, and the caller's connection is in a transaction.
            DatabaseError: the database cannot be reached or will not do; or the call writes, and may only read there.
        """
        with self._opened(alone=alone, migrated=migrated) as connection:
            try:
                yield connection
            except psycopg.errors.LockNotAvailable as error:
                name_holder(connection, error)
                raise
            except psycopg.errors.ReadOnlySqlTransaction:
                raise DatabaseError(READ_ONLY, "read_only") from None

    @contextlib.contextmanager
    def order(self, *, migrated: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection in a transaction, which commits an order and its log entry together.

        Args:
            migrated: poller's own schema must be there.

        Raises:
            DatabaseError: the database cannot be reached or will not do.
        """
        with self.session(migrated=migrated) as connection, connection.transaction():
            yield connection

    def kept(self) -> psycopg.Connection[Any]:
        """Open a connection that the caller keeps, and closes.

        Raises:
            ConfigurationError: the client was made from a connection.
            DatabaseError: the database cannot be reached or will not do.
        """
        if self._place is None:
            msg = "this needs a connection of its own: make the client from a URL"
            raise ConfigurationError(msg)
        return _looking(self._place, self._name)

    @contextlib.contextmanager
    def _opened(self, *, alone: bool, migrated: bool) -> Iterator[psycopg.Connection[Any]]:
        if self._looking is not None:  # which looks at the schema itself
            yield self._looking()
        elif self._brief is not None:
            with self._brief.lent(migrated=migrated) as brief:
                yield brief
        elif self._place is not None:
            # Counting a large table may take long; the caller may stop it.
            own = reachable(self._place, self._name, statement_timeout="0", writes=False)
            with contextlib.closing(own):
                yield _migrated(own) if migrated else own
        elif self._connection is not None:
            with self._lock, _lent(self._connection, alone=alone) as lent:
                yield _migrated(lent) if migrated and not self._is_migrated else lent


class LookingConnection:
    """The connection of a face that looks again and again: it reads only, and each statement soon gives up.

    It is opened when it is first used, and again after it broke. One thread uses it. That poller's schema is there is
    seen when it is opened, and once a minute: it takes longer than most questions.

    Args:
        place: the database.
        name: as `pg_stat_activity` shows it.
    """

    def __init__(self, place: DatabaseLocation, name: str) -> None:
        self._place = place
        self._name = name
        self._connection: psycopg.Connection[Any] | None = None
        self._check_at = 0.0

    def __call__(self) -> psycopg.Connection[Any]:
        """Return it, open.

        Raises:
            DatabaseError: the database cannot be reached or will not do.
        """
        if self._connection is None or self._connection.closed:
            self._connection, self._check_at = _looking(self._place, self._name), 0.0
        if time.monotonic() >= self._check_at:
            schema.require(self._connection)
            self._check_at = time.monotonic() + CHECK_SECONDS
        return self._connection

    @property
    def title(self) -> str:
        """The database as people name it: `shop@db-eu`; its name alone if the server is on this host."""
        info = self().info
        return info.dbname if info.host.startswith("/") else f"{info.dbname}@{info.host}"

    @property
    def is_open(self) -> bool:
        """Whether it has been opened, and has not broken."""
        return self._connection is not None and not self._connection.closed

    def close(self) -> None:
        """Close it; the next use opens another."""
        if self._connection is not None:
            self._connection.close()


def _migrated(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database that has poller's schema.

    Raises:
        DatabaseError: it has not, or in another version.
    """
    schema.require(connection)
    return connection


def name_holder(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
    """Add to an error who has which table locked, if that can be told, and the transaction is not the caller's."""
    with contextlib.suppress(psycopg.Error):
        row = connection.execute(statement("locked_table")).fetchone()
        if row is not None:
            name, pid, role, application, began = row
            since = f", in a transaction since {began.isoformat()}" if began is not None else ""
            error.add_note(f"session {pid} of {role} ({application or 'unnamed'}) has {name} locked{since}")


def _looking(
    place: DatabaseLocation, name: str, longest: str = LOOK_STATEMENT, longest_lock: str = LOOK_LOCK
) -> psycopg.Connection[Any]:
    """Open a session that changes nothing and soon gives up.

    Args:
        place: the database.
        name: as `pg_stat_activity` shows it.
        longest: how long a statement may take.
        longest_lock: how long one may wait for a lock.

    Raises:
        DatabaseError: the database cannot be reached or will not do.
    """
    made = reachable(place, name, statement_timeout=longest, writes=False)
    made.execute(statement("read_only_session"), {"lock_timeout": longest_lock})
    return made


@contextlib.contextmanager
def _lent(connection: psycopg.Connection[Any], *, alone: bool) -> Iterator[psycopg.Connection[Any]]:
    """Set a caller's connection up for poller's statements, and restore its settings afterwards."""
    if isinstance(connection, OwnConnection):
        yield connection
        return
    before = connection.row_factory, connection.cursor_factory, connection.autocommit
    if alone:
        _leave_transactions(connection)
    connection.row_factory, connection.cursor_factory = tuple_row, _AskingCursor
    try:
        with contextlib.nullcontext() if alone else connection.transaction(), own_names(connection):
            yield connection
    finally:
        connection.row_factory, connection.cursor_factory = before[:2]
        if alone and not connection.closed:
            connection.autocommit = before[2]


def _leave_transactions(connection: psycopg.Connection[Any]) -> None:
    if connection.info.transaction_status != TransactionStatus.IDLE:
        msg = "this call commits as it goes: end the transaction on the connection first, or give a URL"
        raise ConfigurationError(msg)
    connection.autocommit = True


class _AskingCursor(psycopg.Cursor[Any]):
    """A cursor for poller's statements on a caller's connection: psycopg's own adapters, poller's own path."""

    _mine: AdaptersMap | None = None

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own, and any time can be read."""
        if self._mine is None:
            self._mine = AdaptersMap(OwnConnection.plain.adapters)
            clamp_times(self)
        return self._mine

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        super().execute(query, *arguments, **options)
        if has_users_part(query) and self.connection.info.transaction_status == TransactionStatus.INTRANS:
            psycopg.Cursor(self.connection).execute(SET_OWN)
        return self
