"""Triggers on users' tables that wake the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from poller.errors import DatabaseError
from poller.store.binding import bind_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.model.handler import Handler


def add_triggers(connection: psycopg.Connection[Any], handlers: Sequence[Handler]) -> list[str]:
    """Have the handlers' tables wake the workers. Returns the tables.

    Raises:
        ConfigurationError: a handler does not fit its table.
        DatabaseError: the role does not own a table.
    """
    bindings = bind_all(connection, handlers)
    try:
        with connection.transaction():
            for binding in bindings:
                connection.execute(binding.trigger, {})
    except psycopg.errors.InsufficientPrivilege as error:
        msg = f"cannot add a trigger: {str(error).splitlines()[0]}; run this as the owner of the table"
        raise DatabaseError(msg) from None
    return sorted({str(binding.table) for binding in bindings})
