"""Binds the handlers of a worker that takes another's place, where a table may have become unfit since the start.

A refusal belongs to the start of `poller run`: by now other handlers are at work, and theirs is not to stop for a table
that was renamed, or a right that was revoked. A handler that the supervisor had bound, and that cannot be bound now, has
a number and a name, and its table's description once that fits again; until then the claimer puts it aside
(`services/claim_looks.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import is_servers
from poller.db.tables import Table
from poller.errors import ConfigurationError
from poller.errors_in_words import encoding_of
from poller.store.binding import Binding, bind, refuse_equal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from poller.model.handler import Handler

    Names = Mapping[str, tuple[str, str]]  # schema and name of the table of each handler that was bound


def names_of(bindings: Iterable[Binding]) -> dict[str, tuple[str, str]]:
    """Return the schema and the name of each handler's table, for a worker that comes later."""
    return {
        _called(each.handler): (each.table.schema, each.table.name)
        for each in bindings
        if not each.handler.is_job
    }


def bind_again(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], names: Names
) -> list[Binding]:
    """Bind handlers to their tables; one that was bound before, and cannot be now, is left unbound.

    Args:
        connection: where the tables are.
        handlers: which.
        names: what `names_of` returned when they were bound.

    Raises:
        ConfigurationError: a table is unfit for a handler that has not been bound before.
        psycopg.Error: the connection or the whole server is in trouble.
    """
    bindings = [_bound(connection, each, names.get(_called(each))) for each in handlers]
    refuse_equal(connection, [each for each in bindings if each.is_bound])
    return bindings


def _bound(connection: psycopg.Connection[Any], handler: Handler, name: tuple[str, str] | None) -> Binding:
    try:
        return bind(connection, handler)
    except (ConfigurationError, psycopg.Error) as error:
        if name is None or connection.closed or is_servers(error):
            raise
    schema, table = name
    return Binding(
        handler,
        Table(0, schema, table, columns={}, key=(), checks=(), row_security=False, zone="UTC"),
        database=connection.info.dbname,
        encoding=encoding_of(connection),
    )


def _called(handler: Handler) -> str:
    return f"{handler.table}:{handler.column}:{handler.label}"
