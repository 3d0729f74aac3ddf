"""poller's own schema: its version, and the way to the newest one, with Alembic."""

from __future__ import annotations

import contextlib
import math
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import OwnConnection
from poller.db.search_path import OWN
from poller.db.statements import statement
from poller.errors import ConfigurationError, DatabaseError
from poller.telemetry.bus import emit
from poller.telemetry.events import MigrationWaits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config


NEWEST = "0030"
TELL_AFTER = 3.0  # seconds of waiting for another process that migrates, until that is said


def version(connection: psycopg.Connection[Any]) -> str | None:
    """Return the version of poller's schema in this database, or None if it has none.

    Raises:
        DatabaseError: the role may not look at it, or should not (`refuse_strangers`).
    """
    refuse_strangers(connection)
    try:
        row = connection.execute(statement("schema_version"), {}).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    except psycopg.errors.InsufficientPrivilege:
        msg = (
            f"the role {connection.info.user} may not use the schema poller; "
            "grant it what the README lists under 'Least privilege'"
        )
        raise DatabaseError(msg) from None
    return row and row[0]


def refuse_strangers(connection: psycopg.Connection[Any], *, migrates: bool = False) -> None:
    """Refuse a schema that somebody else has made, or may add to: what is in it runs with our rights.

    Args:
        connection: nothing of the schema was used on it yet.
        migrates: we are to make or change it, so that it has to be ours.

    Raises:
        DatabaseError: what it is, and whose.
    """
    row = connection.execute(statement("strangers"), {"migrates": migrates}).fetchone()
    if row is not None:
        msg = (
            f"{row[0]} belongs to {row[1]}, who is neither this role, the database's owner nor a superuser, and could "
            "have anything run with this role's rights; act as that role, or take it away from there"
        )
        raise DatabaseError(msg)


def require(connection: psycopg.Connection[Any]) -> None:
    """Make sure that the schema is there, and none that this version of poller does not know.

    Raises:
        DatabaseError: it is missing, older or newer; the text says what to run.
    """
    found = version(connection)
    if found is None:
        msg = "this database has no schema poller yet; run: poller migrate"
    elif found < NEWEST:
        msg = f"poller's schema is at {found} and this version needs {NEWEST}; run: poller migrate"
    elif found > NEWEST:
        msg = f"poller's schema is at {found}, newer than this version knows ({NEWEST}); update poller"
    else:
        return
    raise DatabaseError(msg)


def migrate(url: str, to: str = "head") -> str | None:
    """Bring the schema to a revision, one process at a time. Returns the version it was at.

    Raises:
        ConfigurationError: there is no such revision.
        DatabaseError: the role may not, or the schema is newer than this version of poller knows.
    """
    from alembic import command  # noqa: PLC0415 - slow to import, and seldom needed
    from alembic.util.exc import CommandError  # noqa: PLC0415

    with _engine_connection(url) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it is open
        _take_turn(driver)
        refuse_strangers(driver, migrates=True)
        before = version_in(driver)
        if before is not None and before > NEWEST:
            msg = f"poller's schema is at {before}, newer than this version knows ({NEWEST}); update poller"
            raise DatabaseError(msg)
        if before is not None and to in ("head", before) and before == NEWEST:
            return before
        config = _config()
        config.attributes["connection"] = connection
        try:
            driver.execute("create schema if not exists poller")
            command.upgrade(config, to)
        except CommandError as error:
            raise _no_revision(to, error) from None
        except Exception as error:
            cause = getattr(error, "orig", error)
            if not isinstance(cause, psycopg.Error):
                raise
            is_refused = isinstance(cause, psycopg.errors.InsufficientPrivilege)
            advice = (
                "run poller migrate as a role that may create schemas here"
                if is_refused
                else "nothing was changed"
            )
            msg = f"cannot migrate: {str(cause).splitlines()[0]}; {advice}"
            raise DatabaseError(msg) from None
        connection.commit()
    return before


def _take_turn(driver: psycopg.Connection[Any]) -> None:
    """Wait until nobody else migrates; say after a while who it is, since any role can take the lock."""
    tell_at = monotonic() + TELL_AFTER
    while driver.execute(statement("migration_lock")).fetchone() != (True,):
        if monotonic() > tell_at:
            tell_at = math.inf
            holder = driver.execute(statement("migrating")).fetchone()
            who = "another session" if holder is None else f"process {holder[0]} of the role {holder[1]}"
            emit(MigrationWaits(holder=who))
        sleep(0.1)


def version_in(driver: psycopg.Connection[Any]) -> str | None:
    """Return the version, in a transaction that goes on whatever the answer is."""
    row = driver.execute("select to_regclass('poller.alembic_version') is not null").fetchone()
    return version(driver) if row and row[0] else None


def print_sql(to: str = "head") -> None:
    """Print the statements that `migrate` would execute on an empty database.

    Raises:
        ConfigurationError: there is no such revision.
    """
    from alembic import command  # noqa: PLC0415 - slow to import, and seldom needed
    from alembic.util.exc import CommandError  # noqa: PLC0415 - as above

    try:
        command.upgrade(_config(), to, sql=True)
    except CommandError as error:
        raise _no_revision(to, error) from None


def _no_revision(to: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"cannot migrate to {to!r}: {error}; the newest revision is {NEWEST}")


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - slow to import, and seldom needed

    config = Config()
    config.set_main_option("script_location", "poller:migrations")
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _engine_connection(url: str) -> Iterator[Any]:
    """Open a SQLAlchemy connection whose driver connection libpq opened by our own URL.

    Raises:
        psycopg.Error: it cannot be opened, or broke; not SQLAlchemy's, since nobody above knows that.
    """
    from sqlalchemy import create_engine, exc, pool  # noqa: PLC0415 - slow to import, and seldom needed

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connected(url),
        poolclass=pool.NullPool,
    )
    try:
        with engine.connect() as connection:
            yield connection
    except exc.DBAPIError as error:
        raise (error.orig if isinstance(error.orig, psycopg.Error) else error) from None
    finally:
        engine.dispose()


def _connected(url: str) -> OwnConnection:
    connection = OwnConnection.connect(url, client_encoding="utf8", context=OwnConnection.plain)
    connection.execute(f"set search_path = {OWN}")
    connection.commit()
    return connection
