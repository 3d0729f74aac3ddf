"""Executes poller's own statements on a user's connection, within its transaction.

Any connection based on psycopg 3 will do: its own, SQLAlchemy's, Django's, async ones
included. What its owner has set up for their own queries has no effect: neither its cursor and row factories
nor its adapters. A `Script` yields the statements; sync and async connections execute the same one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from poller.db.connection import OwnConnection, OwnCursor
from poller.db.search_path import ENTER, LEAVE, SET_OWN_AGAIN
from poller.db.statements import has_users_part
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from psycopg import sql
    from psycopg.adapt import AdaptersMap

T = TypeVar("T")
Script: TypeAlias = (
    "Generator[tuple[sql.SQL | sql.Composed, Any], Any, T]"  # statements out, their first rows in, as dicts
)

_NEEDS = "a connection of psycopg 3, or SQLAlchemy's or Django's on it"


def follow(connection: Any, script: Script[T], what: str) -> T | Awaitable[T]:
    """Execute a script's statements on a user's connection; return what it returns.

    Args:
        connection: of psycopg, SQLAlchemy (a session, too) or Django. With an async one the result must be awaited.
        script: yields statements with their parameters; is sent the first row of each as a dict, or thrown an error.
        what: who needs the connection, for the error.

    Raises:
        ConfigurationError: it is not such a connection.
        psycopg.Error: what the script does not catch.
    """
    if _is_awaited(connection):
        return _follow_awaited(connection, script, what)
    driver = _beneath(connection, what)
    if isinstance(driver, psycopg.AsyncConnection):  # in SQLAlchemy's `run_sync`
        return cast("T", _await_from_greenlet(_drive_awaited(driver, script)))
    return _drive(driver, script)


# --- executing ------------------------------------------------------------------------------------------


class _AwaitedCursor(psycopg.AsyncCursor[dict[str, Any]]):
    @property
    def adapters(self) -> AdaptersMap:
        return OwnConnection.plain.adapters


def _by_own_names(script: Script[T]) -> Script[T]:
    """Let a script's statements be parsed under poller's path, then restore the owner's; see `search_path`.

    A Postgres error ends the transaction, and with it the settings made in it.
    """
    set_path, is_users, is_aborted = ENTER, False, False
    asked = next(script)
    try:
        while True:
            yield set_path, None
            set_path, is_users = SET_OWN_AGAIN, has_users_part(asked[0])
            try:
                row = yield asked
            except psycopg.Error as error:
                is_aborted = True
                asked = script.throw(error)
            else:
                asked = script.send(row)
    except StopIteration as end:
        if not is_users:
            yield LEAVE, None
        return cast("T", end.value)
    except Exception:
        if not (is_users or is_aborted):  # the script has refused something: the transaction goes on
            yield LEAVE, None
        raise


def _drive(driver: psycopg.Connection[Any], script: Script[T]) -> T:
    if driver.autocommit and driver.info.transaction_status == TransactionStatus.IDLE:
        with driver.transaction():
            return _drive(driver, script)
    script = _by_own_names(script)
    with OwnCursor(driver, row_factory=dict_row) as cursor:
        try:
            asked = next(script)
            while True:
                try:
                    row = cursor.execute(*asked).fetchone()
                except psycopg.Error as error:
                    asked = script.throw(error)
                else:
                    asked = script.send(row)
        except StopIteration as end:
            return cast("T", end.value)


async def _drive_awaited(driver: psycopg.AsyncConnection[Any], script: Script[T]) -> T:
    if driver.autocommit and driver.info.transaction_status == TransactionStatus.IDLE:
        async with driver.transaction():
            return await _drive_awaited(driver, script)
    script = _by_own_names(script)
    async with _AwaitedCursor(driver, row_factory=dict_row) as cursor:
        try:
            asked = next(script)
            while True:
                try:
                    row = await (await cursor.execute(*asked)).fetchone()
                except psycopg.Error as error:
                    asked = script.throw(error)
                else:
                    asked = script.send(row)
        except StopIteration as end:
            return cast("T", end.value)


async def _follow_awaited(connection: Any, script: Script[T], what: str) -> T:
    return await _drive_awaited(await _beneath_awaited(connection, what), script)


def _await_from_greenlet(awaitable: Awaitable[Any]) -> Any:
    concurrency = _imported("sqlalchemy.util.concurrency")
    # Its name was another before SQLAlchemy 2.1.
    wait: Any = getattr(concurrency, "await_", None) or concurrency.await_only
    return wait(awaitable)


# --- whose connection it is -----------------------------------------------------------------------------


def _is_awaited(connection: Any) -> bool:
    """Tell whether a connection is an async one."""
    if isinstance(connection, psycopg.AsyncConnection):
        return True
    asyncio = _imported("sqlalchemy.ext.asyncio")
    return asyncio is not None and isinstance(
        connection, asyncio.AsyncConnection | asyncio.AsyncSession | asyncio.async_scoped_session
    )


async def _beneath_awaited(connection: Any, what: str) -> psycopg.AsyncConnection[Any]:
    """Return the psycopg connection beneath an async one.

    Raises:
        ConfigurationError: there is no psycopg connection.
    """
    if isinstance(connection, psycopg.AsyncConnection):
        return connection
    got = type(connection).__name__
    asyncio = _imported("sqlalchemy.ext.asyncio")
    if not isinstance(connection, asyncio.AsyncConnection):
        connection = await connection.connection()
    if not connection.in_transaction():
        await connection.begin()  # else its commit would not know of what is done beneath it
    driver = (await connection.get_raw_connection()).driver_connection
    if isinstance(driver, psycopg.AsyncConnection):
        return driver
    got = f"{got} on {connection.dialect.name}+{connection.dialect.driver}"
    raise _unfit(got, what)


def _beneath(connection: Any, what: str) -> psycopg.Connection[Any] | psycopg.AsyncConnection[Any]:
    """Return the psycopg connection beneath a user's connection or session.

    Raises:
        ConfigurationError: there is no psycopg connection.
    """
    got = type(connection).__name__
    if callable(getattr(connection, "ensure_connection", None)):  # Django's
        connection.ensure_connection()
        connection = connection.connection
        got = f"{got} on {type(connection).__module__}"
    else:
        connection, on = _beneath_sqlalchemy(connection)
        got += on
    if isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
        return connection
    raise _unfit(got, what)


def _beneath_sqlalchemy(connection: Any) -> tuple[Any, str]:
    """Return the driver's connection beneath SQLAlchemy's, and the driver's name in words; any other as it is."""
    sqlalchemy, orm = _imported("sqlalchemy"), _imported("sqlalchemy.orm")
    if orm is not None and isinstance(connection, orm.Session | orm.scoped_session):
        connection = connection.connection()
    if sqlalchemy is None or not isinstance(connection, sqlalchemy.Connection):
        return connection, ""
    if not connection.in_transaction():
        connection.begin()  # else its commit would not know of what is done beneath it
    dialect = connection.dialect
    return connection.connection.driver_connection, f" on {dialect.name}+{dialect.driver}"


def _imported(name: str) -> Any:
    """Return a module if it is already imported: the owner of one of its objects has done that."""
    return sys.modules.get(name)


def _unfit(got: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{what} needs {_NEEDS}; got {got}")
