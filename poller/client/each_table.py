"""Asks of each table by itself: one that is gone, locked or does not fit costs its own lines only, and is told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from poller.client.database import name_holder
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class EachTable:
    """Asks on a connection, in a transaction for each table.

    Attributes:
        faults: why tables could not be asked, a line each.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._refused: set[str] = set()
        self._errors: dict[str, ConfigurationError | psycopg.Error] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """Why tables could not be asked, a line each."""
        return tuple(self._errors)

    def has_refused(self, table: str) -> bool:
        """Tell whether the server has refused to look at a table: another question would wait as long for its lock."""
        return table in self._refused

    @contextlib.contextmanager
    def alone(self, table: str) -> Iterator[None]:
        """Look at one table; an error that concerns the table alone ends the block, and is kept as a fault.

        Raises:
            psycopg.Error: it is not about the table: the connection is gone.
        """
        try:
            with self._connection.transaction():
                yield
        except ConfigurationError as error:
            self._errors.setdefault(str(error), error)
        except psycopg.Error as error:
            if self._connection.broken or self._connection.closed:
                raise
            self._refused.add(table)
            self._errors.setdefault(f"{table} is left out: {self._told(error)}", error)

    def require(self, found: object) -> None:
        """Make sure that there is an answer, or that nothing has gone wrong.

        Raises:
            ConfigurationError: nothing was found, and a table does not fit.
            psycopg.Error: the same, and the server refuses it.
        """
        for error in self._errors.values():
            if not found:
                raise error

    def _told(self, error: psycopg.Error) -> str:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            name_holder(self._connection, error)
        return next(iter(getattr(error, "__notes__", ())), reason(error))


def reason(error: psycopg.Error) -> str:
    """Return why a table could not be looked at: what the server says of it may name values, and is not told."""
    match error:
        case psycopg.errors.LockNotAvailable():
            return "another session has its table locked"
        case psycopg.errors.QueryCanceled():
            return "counting its rows took too long"
        case psycopg.errors.InsufficientPrivilege():
            return "this role may not read its table"
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return "its table has changed, or is gone"
    return f"its rows could not be counted ({error.sqlstate})"
