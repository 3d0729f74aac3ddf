"""Checks whether poller can work with the server behind a connection, and with a pooler in between.

poller needs what Postgres itself has: session advisory locks, settings that last for a session, notifications,
SKIP LOCKED under READ COMMITTED. A server that speaks the protocol but lacks them fails late, often silently, so it is
refused at the first look.
"""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ExecStatus
from psycopg.rows import namedtuple_row

from poller.db.statements import statement
from poller.errors import DatabaseError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

OLDEST_SERVER = 140000

# Recognised by version(), or by the server's greeting.
_STRANGERS = {
    "CockroachDB": ("CockroachDB", "it has no session advisory locks and no LISTEN"),
    "-YB-": ("YugabyteDB", "its session advisory locks and LISTEN are off unless asked for"),
    "DSQL": ("Aurora DSQL", "it has no triggers, sequences, foreign keys and PL/pgSQL"),
}
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 3.0
_LOOKS = (
    5  # a busy pooler may give the second connection a session other than the one that ours has just left
)
_BACKEND = b"begin; select pg_catalog.pg_backend_pid()"


OLD_STRINGS = (
    "standard_conforming_strings is off here, so that poller's statements mean something else; "
    "unset it for this role or database"
)
READ_ONLY = "transactions are read-only here; unset default_transaction_read_only for this role or database"


def check_greeting(connection: psycopg.Connection[Any]) -> None:
    """Refuse a server whose greeting shows that it is not Postgres; nothing is sent to it.

    Raises:
        DatabaseError: which it is, and what it lacks.
    """
    greeting = connection.info.parameter_status
    _refuse(greeting("crdb_version") or greeting("server_version") or "")


def check_server(connection: psycopg.Connection[Any], url: str, *, writes: bool = True) -> None:
    """Make sure that poller can work with a connection's server.

    Args:
        connection: in autocommit mode.
        url: what it was opened by, for a second one.
        writes: transactions that may only read will not do.

    Raises:
        DatabaseError: it is not Postgres, too old, a standby, read-only, or behind a pooler in transaction mode.
    """
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        server: Any = cursor.execute(statement("server")).fetchone()
    _refuse("DSQL" if server.is_dsql else server.product)
    if server.version < OLDEST_SERVER:
        msg = f"the server is Postgres {server.version_name}; poller needs 14 or newer"
        raise DatabaseError(msg)
    if connection.info.parameter_status("standard_conforming_strings") == "off":
        raise DatabaseError(OLD_STRINGS)
    if server.standby:
        msg = "the server is a standby, which cannot be written to; connect to the primary"
        raise DatabaseError(msg)
    if server.read_only and writes:
        raise DatabaseError(READ_ONLY)
    if server.backend_pid != connection.info.backend_pid and _is_shared(connection, url):
        msg = (
            "connected through a pooler in transaction mode, which loses the locks and settings of a session; "
            "give poller the URL of Postgres itself, or of the pooler's session mode"
        )
        raise DatabaseError(msg)


def _refuse(product: str) -> None:
    for mark, (name, lack) in _STRANGERS.items():
        if mark in product:
            msg = (
                f"the server is {name}, and poller needs Postgres: {lack}; give the URL of a Postgres server"
            )
            raise DatabaseError(msg)


def _is_shared(connection: psycopg.Connection[Any], url: str) -> bool:
    """Tell whether a pooler gives this connection's session to other clients (transaction pooling).

    A second connection holds a session in a transaction: if that is ours, or ours is then a different one, sessions
    change hands. In session mode neither ever happens.
    """
    try:
        second = psycopg.connect(make_conninfo(url, connect_timeout=_CONNECT_SECONDS), autocommit=True)
    except psycopg.Error:
        return False  # it is full: in session mode each connection has a place of its own
    with contextlib.closing(second):
        for _ in range(_LOOKS):
            before = _backend(connection)
            other = _begun(second.pgconn)
            if other is None:
                return False  # it waits for a session, though ours is idle
            if other == before or _backend(connection) != before:
                return True
            second.execute("rollback")
    return False


def _begun(raw: PGconn) -> int | None:
    """Begin a transaction and return its backend's id; None if no session is free for it."""
    raw.send_query(_BACKEND)
    pid = None
    while True:
        while raw.is_busy():
            if not select.select([raw.socket], [], [], _ANSWER_SECONDS)[0]:
                return None
            raw.consume_input()
        result = raw.get_result()
        if result is None:
            return pid
        if result.status == ExecStatus.TUPLES_OK:
            value = result.get_value(0, 0)
            pid = None if value is None else int(value)


def _backend(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select pg_catalog.pg_backend_pid()").fetchone()
    return 0 if row is None else int(row[0])
