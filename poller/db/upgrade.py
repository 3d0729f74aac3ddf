"""Brings poller's own schema to a revision, with Alembic; `migration` imports it when there is anything to do."""

from __future__ import annotations

import contextlib
import math
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import create_engine, exc, pool

from poller.db import schema
from poller.db.connection import OwnConnection, connect
from poller.db.statements import statement
from poller.errors import ConfigurationError, DatabaseError
from poller.telemetry.bus import emit
from poller.telemetry.events import MigrationWaits

if TYPE_CHECKING:
    from collections.abc import Iterator

TELL_AFTER_SECONDS = 3.0  # of waiting for another migrating process before that is logged


def upgrade(url: str, to: str) -> str | None:
    """Bring the schema to a revision, one process at a time. Returns the version it was at.

    Raises:
        ConfigurationError: there is no such revision, or the schema is beyond it.
        DatabaseError: the role may not, or the schema is newer than this version of poller knows.
    """
    with _engine_connection(url) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it is open
        _take_turn(driver)
        schema.refuse_strangers(driver, migrates=True)
        before = _version_in(driver)
        if before is not None and before > schema.NEWEST:
            msg = f"poller's schema is at {before}, newer than this version knows ({schema.NEWEST}); update poller"
            raise DatabaseError(msg)
        if before is not None and to in ("head", before) and before == schema.NEWEST:
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
            msg = f"cannot migrate: {str(cause).splitlines()[0]}; nothing was changed"
            is_refused = isinstance(cause, psycopg.errors.InsufficientPrivilege)
            raise DatabaseError(msg, "may_not_migrate" if is_refused else "") from None
        if before is not None and to not in ("head", before) and _version_in(driver) == before:
            msg = f"poller's schema is at {before}, and there is no way back to {to!r}; nothing was changed"
            raise ConfigurationError(msg)
        connection.commit()
    return before


def _take_turn(driver: psycopg.Connection[Any]) -> None:
    """Wait until no other session migrates; after a while, name the one that does: any role can take the lock."""
    tell_at = monotonic() + TELL_AFTER_SECONDS
    while driver.execute(statement("migration_lock")).fetchone() != (True,):
        if monotonic() > tell_at:
            tell_at = math.inf
            holder = driver.execute(statement("migrating")).fetchone()
            who = "another session" if holder is None else f"process {holder[0]} of the role {holder[1]}"
            emit(MigrationWaits(holder=who))
        sleep(0.1)


def _version_in(driver: psycopg.Connection[Any]) -> str | None:
    """Return the version; the transaction goes on whatever the answer is."""
    row = driver.execute("select to_regclass('poller.alembic_version') is not null").fetchone()
    return schema.version(driver) if row and row[0] else None


def print_sql(to: str = "head") -> None:
    """Print the statements that `migrate` would execute on an empty database.

    Raises:
        ConfigurationError: there is no such revision.
    """
    try:
        command.upgrade(_config(), to, sql=True)
    except CommandError as error:
        raise _no_revision(to, error) from None


def _no_revision(to: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"cannot migrate to {to!r}: {error}; the newest revision is {schema.NEWEST}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "poller:migrations")
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _engine_connection(url: str) -> Iterator[Any]:
    """Open a SQLAlchemy connection whose driver connection libpq opened by our own URL.

    Raises:
        psycopg.Error: it cannot be opened, or broke; never SQLAlchemy's error, which no caller handles.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connected(url),
        poolclass=pool.NullPool,
        pool_reset_on_return=None,  # it is closed; one that is lost would be told with a traceback
    )
    try:
        with engine.connect() as connection:
            yield connection
    except exc.DBAPIError as error:
        raise (error.orig if isinstance(error.orig, psycopg.Error) else error) from None
    finally:
        engine.dispose()


def _connected(url: str) -> psycopg.Connection[Any]:
    # A statement may take as long as a large history needs; how long it may wait for a lock is the role's to say.
    connection = connect(url, "migrate", lock_timeout=None, statement_timeout="0", kind=OwnConnection)
    connection.autocommit = False
    return connection
