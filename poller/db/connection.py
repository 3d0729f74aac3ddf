"""Finds the database, and opens connections that report faults plainly and reconnect after them.

Poller's connections have their own adapters: what a program registers with psycopg for all connections of a process
(`set_json_loads`, a loader of numerics) does not affect them. So users' rows are read as psycopg reads them by default.

A `Link` is one lasting connection of one thread. It is opened when it is first used and again after it broke;
the caller decides what to do about a statement under way when it broke (`sql/settle/settle.sql` may be repeated).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import postgres
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.array import register_all_arrays
from psycopg.types.json import set_json_dumps, set_json_loads

from poller.db.clamped_times import clamp_times, read_in_utc
from poller.db.search_path import OWN, SET_OWN, SET_USERS
from poller.db.server import check_greeting, check_server
from poller.db.statements import has_users_part, statement
from poller.db.unreachable import why
from poller.errors import ConfigurationError, DatabaseError
from poller.errors_in_words import guarded
from poller.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from poller.db import embedded
    from poller.runtime.bell import Bell
else:  # needed only without a URL
    embedded = lazy("poller.db.embedded")

_QUOTED = re.compile(r'".*"', re.DOTALL)
_UNREADABLE = "the database URL cannot be read"
_ESCAPES = "write @ : / ? # % in a password as %40 %3A %2F %3F %23 %25"
_STRANGE = re.compile(r'invalid URI query parameter: "(\w+)"')
_PORTS = re.compile(r"[\d,]*")
_NAMED = re.compile(r"([A-Za-z_][\w-]*)=(postgres(?:ql)?(?:\+\w+)?://.*)", re.DOTALL)

# Classes of SQLSTATE (Postgres docs, appendix A).
_CONFLICT = ("40", "55P03")
# They do not concern one table or row: the connection, a lock, the disk; a plan that an ALTER TABLE made stale (0A), a
# server that was demoted (25). XX does concern one: a broken index or page.
_PASSING = ("08", "0A", "25", "40", "53", "55", "57", "58")

# A session that cannot go on, a plan that is stale in it, a server that is read-only, full or shutting down.
_SERVERS = ("08", "0A", "25", "531", "533", "57P", "58")

# Measured: with tcp_user_timeout alone, a client that waits for a result never notices a cut.
_PARAMETERS = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


@dataclass(frozen=True, slots=True)
class Adapters:
    """How psycopg converts Python's values to Postgres' and back: an `AdaptContext`."""

    adapters: AdaptersMap
    connection: psycopg.Connection[Any] | None = None


def _plain_adapters() -> Adapters:
    """Return psycopg's own adapters, whatever the program has registered globally, before or after."""
    plain = Adapters(AdaptersMap(types=psycopg.adapters.types))
    postgres.register_default_adapters(plain)
    register_all_arrays(plain)
    set_json_loads(json.loads, plain)
    set_json_dumps(json.dumps, plain)
    read_in_utc(plain)
    return plain


class OwnConnection(psycopg.Connection[Any]):
    """A connection of poller's own. Adapters that a program registers with psycopg globally do not affect it.

    Its path is poller's (`search_path`); after a statement that has made it the users', the next one of the same
    transaction has it set anew.
    """

    plain = _plain_adapters()
    described: dict[Any, Any] | None = None  # tables by name, while `tables.described_once` has them kept
    _is_users = False  # a statement of this transaction has made the path the users'
    _is_own_again = False  # and it was set back

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _NamedCursor

    def find_own_names(self, query: Any) -> None:
        """Make sure that a statement is parsed under poller's path; `set` looks up no names, but may run triggers."""
        if self.pgconn.transaction_status != TransactionStatus.INTRANS:
            self._is_users = self._is_own_again = False
        elif isinstance(query, str) and query.startswith("set "):
            return
        elif self._is_users:
            psycopg.Cursor(self).execute(SET_OWN)
            self._is_own_again = True
        if has_users_part(query):
            self._is_users, self._is_own_again = True, False

    @contextlib.contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002 - as psycopg has it
    ) -> Iterator[psycopg.Transaction]:
        """Open a transaction, or a savepoint; triggers that run at its end use the users' path."""
        if self.pgconn.transaction_status != TransactionStatus.INTRANS:
            self._is_users = self._is_own_again = False
        with super().transaction(savepoint_name, force_rollback) as transaction:
            yield transaction
            if self._is_own_again and not force_rollback:
                psycopg.Cursor(self).execute(SET_USERS)
                self._is_own_again = False


class _NamedCursor(psycopg.Cursor[Any]):
    """A cursor of a connection of poller's own."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        connection = self.connection
        assert isinstance(connection, OwnConnection)  # noqa: S101 - it is made for those
        connection.find_own_names(query)
        return super().execute(query, *arguments, **options)


class OwnCursor(psycopg.Cursor[Any]):
    """A cursor for poller's own statements on a connection that it shares with a user's handler."""

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own."""
        return OwnConnection.plain.adapters


def users_adapters(connection: psycopg.Connection[Any]) -> Adapters:
    """Return the adapters for values of users' columns: a connection's, or the global ones in place of poller's own."""
    own = isinstance(connection, OwnConnection)
    return Adapters(psycopg.adapters if own else connection.adapters, connection)


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """A database: its libpq URL, whether it is this folder's embedded one, and its name for handlers."""

    url: str
    embedded: bool = False
    name: str = ""


def locate(url: str | None, folder: Path | None = None, *, starts: bool = True) -> DatabaseLocation:
    """Return the database to use: the URL given, else the environment's, else the embedded one.

    Args:
        url: as given by `--database` or `POLLER_DATABASE_URL`; `postgres://` and `postgresql://` URLs and
            libpq's `key=value` form are taken as they are; a SQLAlchemy driver name is taken off. `eu=` in
            front of a URL names it.
        folder: where the embedded server keeps its data; by default the working directory.
        starts: start the embedded one if it is not running. Commands that only look do not: a folder from someone else
            given would have its server run, with its settings.

    Raises:
        ConfigurationError: the URL is not valid, or the embedded server is not running and must not be started.
        DatabaseError: the embedded server cannot be started.
    """
    given = url or os.environ.get("DATABASE_URL")
    if given:
        named = _NAMED.fullmatch(given)
        checked = checked_url(named[2] if named else given)
        return DatabaseLocation(
            checked, name=named[1] if named else str(conninfo_to_dict(checked).get("dbname", ""))
        )
    home = folder or Path.cwd()
    running = embedded.start(home) if starts else embedded.running(home)
    if running is None and (missing := embedded.missing()):
        msg = f"no database was given, and {missing}"
        raise ConfigurationError(msg, "no_embedded")
    if running is None:
        msg = "no database was given, and the embedded Postgres of this folder is not running"
        raise ConfigurationError(msg, "no_database")
    return DatabaseLocation(running, embedded=True)


def checked_url(url: str) -> str:
    """Return a URL that libpq reads.

    Raises:
        ConfigurationError: with what libpq says of it (never the URL itself: it may hold a password).
    """
    scheme, separator, rest = url.partition("://")
    if separator:
        if scheme.partition("+")[0] not in ("postgres", "postgresql"):
            what = repr(scheme) if scheme.isalpha() else "something else"
            msg = f"the database URL begins with {what}; poller needs postgres:// or postgresql://"
            raise ConfigurationError(msg)
        url = f"postgresql://{rest}"
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        if stranger := _strange_parameter(url, str(error)):
            msg = f"{_UNREADABLE}: Postgres knows no parameter {stranger!r} of a connection; leave it out"
            raise ConfigurationError(msg) from None
        # libpq quotes what it stumbles over, and that may be a password.
        reason = _QUOTED.sub('"…"', _first_line(error))
        msg = f"{_UNREADABLE}: {reason}; {_ESCAPES}"
        raise ConfigurationError(msg) from None
    if separator and _is_astray(conninfo_to_dict(url.replace("%40", "%2D"))):
        msg = f"{_UNREADABLE}: {_ESCAPES}"
        raise ConfigurationError(msg)
    return url


def _strange_parameter(url: str, error: str) -> str | None:
    """Return the parameter that libpq does not know, where it cannot be a piece of a password that was not escaped."""
    before, _, query = url.partition("?")
    authority = before.partition("://")[2].partition("/")[0]
    found = _STRANGE.search(error)
    if found is None or "@" in query or (":" in authority and "@" not in authority):
        return None
    return found[1]


def _is_astray(parts: Mapping[str, object]) -> bool:
    """Tell whether a URL's host, port or database holds a piece of a password; libpq would name it in its errors."""
    host, port, name = (str(parts.get(each) or "") for each in ("host", "port", "dbname"))
    return "@" in host or "@" in name or not _PORTS.fullmatch(port)


def connect(
    url: str,
    name: str,
    *,
    lock_timeout: str | None = "2s",
    statement_timeout: str = "60s",
    kind: type[psycopg.Connection[Any]] = psycopg.Connection,
) -> psycopg.Connection[Any]:
    """Open a connection in autocommit mode, set up as poller needs it.

    Args:
        url: a libpq URL.
        name: what it is for, as `pg_stat_activity` shows it.
        lock_timeout: how long a statement waits for a lock, in Postgres' notation; None: as long as the role's may.
        statement_timeout: how long a statement may run.
        kind: `OwnConnection` for poller's own statements.

    Raises:
        psycopg.Error: it cannot be opened; `reachable` turns that into one readable line.
        DatabaseError: it is not Postgres.
    """
    given = conninfo_to_dict(url)
    defaults = {key: value for key, value in _PARAMETERS.items() if key not in given}
    defaults |= {
        "application_name": f"poller {name}",
        "client_encoding": "utf8",
    }  # in any other texts are bytes
    context: Any = OwnConnection.plain if kind is OwnConnection else None
    connection = kind.connect(make_conninfo(url, **defaults), autocommit=True, context=context)
    try:
        check_greeting(connection)
        connection.execute(f"set search_path = {OWN}")
        connection.execute(
            statement("session"),
            {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout},
        )
        # Lets a backend notice that its client is gone while it runs a statement; not on every platform.
        with contextlib.suppress(psycopg.DatabaseError):
            connection.execute("set client_connection_check_interval = '500ms'")
        if is_pooled(connection):
            connection.prepare_threshold = None
        if kind is OwnConnection:
            # Postgres would compile the question what is due anew at each look: 2 s for 40 handlers.
            connection.execute("set jit = off")
        else:
            connection.execute("reset search_path")
    except BaseException:
        connection.close()
        raise
    return connection


@functools.cache
def opener(
    url: str, tag: str = "", kind: type[psycopg.Connection[Any]] = psycopg.Connection
) -> Callable[[], psycopg.Connection[Any]]:
    """Return a function that opens a connection for a handler or a job's run, which have their own timeouts.

    Args:
        url: the database.
        tag: of the process, if it is a worker's (`session_tag`).
        kind: of the connection.
    """
    return functools.partial(connect, url, f"run {tag}".strip(), statement_timeout="0", kind=kind)


def session_tag(supervisor: UUID, pid: int) -> str:
    """Return the tag in the names of a worker process's sessions, by which others can end them."""
    return f"{supervisor.hex[:8]}/{pid}"


def is_conflict(error: BaseException) -> bool:
    """Tell whether an error is about what another session does: a deadlock, a lock timeout, a serialization failure.

    SQLAlchemy has the driver's error in `orig`, Django as the cause of its own.
    """
    found = (
        guarded(lambda: getattr(error, "orig", None) or error, error),
        BaseException.__dict__["__cause__"].__get__(error),
    )
    states: list[Any] = [guarded(lambda each=each: each.sqlstate, None) for each in found]  # type: ignore[misc]
    return any(type(state) is str and state.startswith(_CONFLICT) for state in states)


def role_of(connection: psycopg.Connection[Any]) -> str:
    """Return the role whose rights count, quoted for a GRANT; after `set role` it is not the login role."""
    row = connection.execute("select pg_catalog.quote_ident(current_user)").fetchone()
    return "?" if row is None else str(row[0])


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the connection goes through a pooler: that reports its own process id, not the backend's."""
    row = connection.execute("select pg_catalog.pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def is_cut(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server has closed an idle connection, or is about to: it has sent what nobody has asked for."""
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    return bool(ready.poll(0))


def heard(connection: psycopg.Connection[Any], seconds: float, bell: Bell) -> frozenset[str]:
    """Sleep until a notification comes, the bell is rung or the time is over; return the texts of notifications, if any.

    A bell that is rung stays so: the caller's loop clears it. psycopg's own wait looks up ten times a second.
    """
    if said := _notified(connection):  # it came with the answer to something else
        return said
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    ready.register(bell.fileno(), select.POLLIN)
    woken = {each for each, _ in ready.poll(max(0.0, seconds) * 1000)}
    return _notified(connection) if connection.fileno() in woken else frozenset()


def _notified(connection: psycopg.Connection[Any]) -> frozenset[str]:
    return frozenset(each.payload for each in connection.notifies(timeout=0))  # all of them


def reachable(
    location: DatabaseLocation, name: str = "cli", *, statement_timeout: str = "60s", writes: bool = True
) -> psycopg.Connection[Any]:
    """Open a connection for a command, and check that poller can work with the server.

    Args:
        location: the database.
        name: as `pg_stat_activity` shows it.
        statement_timeout: how long a statement may take, in Postgres' notation.
        writes: it is known to; else a server whose transactions are read-only will do.

    Raises:
        DatabaseError: it is unreachable or unsuitable (`server.check_server`); one line says why.
    """
    try:
        connection = connect(location.url, name, statement_timeout=statement_timeout, kind=OwnConnection)
    except psycopg.Error as error:
        reason, plain = why(str(error))
        msg = f"cannot connect to the database: {_telling_line(error)}"
        raise DatabaseError(msg, reason, plain=plain) from None
    clamp_times(connection)  # a command's output does not fail for a time that Python's calendar cannot hold
    try:
        check_server(connection, location.url, writes=writes)
    except BaseException:
        connection.close()
        raise
    return connection


def _first_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's own error may fail to say what it is
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".;") if lines else type(error).__name__


def _telling_line(error: psycopg.Error) -> str:
    """Return the line that tells most, where several addresses were tried: what a server has said, else the last."""
    lines = [line.strip(" -.;") for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return next((line for line in lines[1:] if "FATAL" in line), lines[-1])
    return _first_line(error)


# What Postgres raises for a statement that it cannot plan: a table may also be published without a replica identity.
UNPLANNABLE = (
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.NotSupportedError,
    psycopg.errors.ObjectNotInPrerequisiteState,
)


def why_unplannable(error: psycopg.Error) -> str:
    """Return why Postgres cannot plan a statement, and what to do about it where that is known."""
    why = error.diag.message_primary or str(error)
    if "replica identity" in why:  # in other languages without the advice
        return f"{why}; give it one: alter table … replica identity default"
    return why


def is_servers(error: BaseException) -> bool:
    """Tell whether an error concerns the whole server or the session, so that any statement would fail.

    An error class chosen by PL/pgSQL's RAISE does not count: a user's trigger may have raised it.
    """
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith(_SERVERS) and not is_raised(error)


def is_raised(error: BaseException) -> bool:
    """Tell whether PL/pgSQL's RAISE has made an error, a user's trigger say: then its class means nothing."""
    return getattr(getattr(error, "diag", None), "source_function", None) == "exec_stmt_raise"


def is_transient(error: BaseException) -> bool:
    """Tell whether an error says nothing about the rows: the connection, a lock, the disk."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # psycopg's own: the connection, or data that it could not adapt
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return bool(state.startswith(_PASSING))


class Link:
    """One lasting connection of one thread: opened on demand, and again after it broke."""

    def __init__(self, url: str, name: str, *, lock_timeout: str = "2s") -> None:
        self._url = url
        self._name = name
        self._lock_timeout = lock_timeout
        self._cancelled = False
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The open connection.

        Raises:
            psycopg.OperationalError: it cannot be opened now.
        """
        if self._connection is None or self._connection.closed:
            connection = connect(self._url, self._name, lock_timeout=self._lock_timeout, kind=OwnConnection)
            # Ours have plans that do for all values (tests: `test_plans`); to plan anew costs as much as a small claim.
            connection.execute("set plan_cache_mode = force_generic_plan")
            self._connection = connection
        return self._connection

    def find_own_names(self) -> None:
        """Do nothing: a connection of poller's own does it itself."""

    def lives(self) -> bool:
        """Tell whether the connection that was used last still works: the server answers on it."""
        if self._cancelled or self._connection is None or self._connection.closed:
            return False
        with contextlib.suppress(psycopg.Error):
            self._connection.execute("select")
        return not self._connection.closed

    def cancel(self) -> None:
        """Cancel the running statement, from another thread, and those that would follow it."""
        self._cancelled = True
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel()

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A caller's connection, in a transaction, used in place of a link."""

    connection: psycopg.Connection[Any]

    def find_own_names(self) -> None:
        """Let the next statement be parsed under poller's path."""
        psycopg.Cursor(self.connection).execute(SET_OWN)

    def lives(self) -> bool:
        """Tell whether it has not been closed."""
        return not self.connection.closed

    def close(self) -> None:
        """Leave it open: its owner closes it."""
