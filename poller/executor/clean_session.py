"""Resets the session between rows that share a transaction, so that each row's handler finds the same state.

A released savepoint keeps what was set in it: `set local`, a role, a search path, a temporary table, an open cursor. So
before the next row's handler, and before poller's own statements, all of that is reset, in the same round trip that
makes the savepoint. Asking whether anything was set is not cheap (`pg_settings` takes 2 ms, and does not show the
settings of applications); resetting takes 0.1 ms.

A statement whose effect cannot be reset within a transaction ends the transaction after that row (`SET CONSTRAINTS`), or
the connection too (`PREPARE`, `LOAD`). The command tags show which statements ran; what `DO` and `CALL` did is unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

from poller.errors import PollerError

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESET = (
    "reset session authorization; reset role; reset all; close all; unlisten *; {discard}discard sequences;"
    " select pg_catalog.pg_advisory_unlock_all(), {settings}"
)
_KEPT = """
select name, setting from pg_catalog.pg_settings
 where source operator(pg_catalog.=) 'session'
   and (context operator(pg_catalog.=) 'user' or context operator(pg_catalog.=) 'superuser')
 union all
select name, pg_catalog.current_setting(name, true)
  from (values ('poller.quiet'), ('poller.clock_offset')) as own (name)
 where pg_catalog.current_setting(name, true) is not null
"""
_TRANSACTION_ENDS = {"SET CONSTRAINTS", "DO", "CALL", "PREPARE", "LOAD"}  # with the row in which they ran
_CONNECTION_ENDS = {"PREPARE", "LOAD"}  # with that transaction
_ENDS_TRANSACTION = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:(?:commit|end|abort|begin|start\s+transaction|prepare\s+transaction)\b"
    r"|rollback\b(?!\s+(?:(?:work|transaction)\s+)?to\b))",
    re.IGNORECASE | re.DOTALL,
)

NOT_YOURS = "a transactional handler must not end its transaction; leave commit() and rollback() out"


class CleanSession:
    """A connection for transactional handlers, whose session can be reset to what it was when opened.

    Attributes:
        is_lent: whether a handler has it.
        tags: the command tags of the statements that have run since the handler got it.
    """

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self.is_lent = False
        self.tags: set[str] = set()
        self._driver = driver
        self._statements: dict[tuple[str, bool], str] = {}
        self._settings = dict(driver.execute(_KEPT).fetchall())
        driver.cursor_factory = _watched(self)

    def statement(self, timeout: str, *, discard: bool) -> str:
        """Return the statement that resets the session.

        Args:
            timeout: how long the transaction may stay idle, in Postgres' notation.
            discard: drop temporary tables, too; poller's own statements see none.
        """
        if (timeout, discard) not in self._statements:
            self._statements[timeout, discard] = self._composed(timeout, discard=discard)
        return self._statements[timeout, discard]

    def _composed(self, timeout: str, *, discard: bool) -> str:
        kept = self._settings | {"idle_in_transaction_session_timeout": timeout}
        settings = sql.SQL(", ").join(
            sql.SQL("pg_catalog.set_config({}, {}, false)").format(name, value)
            for name, value in kept.items()
        )
        text = sql.SQL(_RESET).format(discard=sql.SQL("discard temp; " if discard else ""), settings=settings)
        return text.as_string()

    @property
    def ends_transaction(self) -> bool:
        """Whether a statement has run whose effect cannot be reset within the transaction."""
        return bool(self.tags & _TRANSACTION_ENDS)

    @property
    def ends_connection(self) -> bool:
        """Whether a statement has run whose effect cannot be reset at all."""
        return bool(self.tags & _CONNECTION_ENDS)

    def refuse_end(self, query: object) -> None:
        """Refuse a statement of a handler that would end the transaction.

        Raises:
            PollerError: the statement would end it.
        """
        if self.is_lent and isinstance(query, str) and _ENDS_TRANSACTION.match(query):
            raise PollerError(NOT_YOURS)


def _watched(session: CleanSession) -> type[psycopg.Cursor[Any]]:
    """Return a cursor type that reports to a session what it runs."""

    class WatchedCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
            session.refuse_end(query)
            super().execute(query, *arguments, **options)
            session.tags.update(_words(self.statusmessage))
            return self

        def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
            session.refuse_end(query)
            super().executemany(query, params_seq, **options)
            session.tags.update(_words(self.statusmessage))

    return WatchedCursor


def _words(tag: str | None) -> tuple[str, ...]:
    return () if tag is None else (tag,)
