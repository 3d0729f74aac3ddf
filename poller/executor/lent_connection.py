"""The connection that transactional handlers get, one row's after the other.

What a handler changes in this process (factories, adapters, notice handlers) ends with its row, as what it changes in
the session does (`clean_session`). While it has the connection it cannot end the transaction, and closing takes no
effect: other rows are in that transaction, too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import AdaptersMap

from poller.errors import PollerError
from poller.executor.clean_session import NOT_YOURS, CleanSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Notify
    from psycopg.errors import Diagnostic

_OPTIONS = ("row_factory", "cursor_factory", "server_cursor_factory", "prepare_threshold", "prepared_max")


class LentConnection(psycopg.Connection[Any]):
    """A connection that is put back as it was when a handler's row ends.

    Attributes:
        is_given_up: whether the handler that has it, or had it last, has closed it.
    """

    is_given_up = False
    _clean: CleanSession | None = None
    _handlers_own: AdaptersMap | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._before: list[tuple[str, Any]] = []  # its options, before any handler had it
        self._listening: list[tuple[Any, Any]] = []  # how a handler's callback is removed, and that callback

    @property
    def session(self) -> CleanSession:
        """Its session in the database, to be reset; as it is when this is first asked for."""
        if self._clean is None:
            self._clean = CleanSession(self)
        return self._clean

    @property
    def is_lent(self) -> bool:
        """Whether a handler has it."""
        return self._clean is not None and self._clean.is_lent

    def lend(self) -> None:
        """Lend it to a handler."""
        self._before = self._before or [(name, getattr(self, name)) for name in _OPTIONS]
        self.is_given_up, self.session.is_lent = False, True

    def take_back(self) -> None:
        """Put the connection back as it was when it was lent."""
        self._handlers_own, self.session.is_lent = None, False
        for name, value in self._before:
            setattr(self, name, value)
        for remove, callback in self._listening:
            with contextlib.suppress(ValueError):  # the handler has removed it itself
                remove(callback)
        self._listening.clear()

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of its own; while it is lent, a copy of them for the handler."""
        if self.is_lent and self._handlers_own is None:
            self._handlers_own = AdaptersMap(super().adapters)
        return self._handlers_own or super().adapters

    def add_notice_handler(self, callback: Callable[[Diagnostic], None]) -> None:
        """Register a callable for notices; a handler's is removed when its row ends."""
        super().add_notice_handler(callback)
        if self.is_lent:
            self._listening.append((self.remove_notice_handler, callback))

    def add_notify_handler(self, callback: Callable[[Notify], None]) -> None:
        """Register a callable for notifications; a handler's is removed when its row ends."""
        super().add_notify_handler(callback)
        if self.is_lent:
            self._listening.append((self.remove_notify_handler, callback))

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            PollerError: a handler has it.
        """
        self._refuse_end()
        super().commit()

    def rollback(self) -> None:
        """Roll back the transaction.

        Raises:
            PollerError: a handler has it.
        """
        self._refuse_end()
        super().rollback()

    def close(self) -> None:
        """Close the connection, unless a handler has it: its row's failure must not undo the work of others."""
        if self.is_lent:
            self.is_given_up = True
        else:
            super().close()

    def _refuse_end(self) -> None:
        if self.is_lent:
            raise PollerError(NOT_YOURS)
