"""Finds the handlers that are known, and the one that a question names: by code that is here, else as registered.

The `where` and `order_by` of registered definitions are never executed: see `model.definition`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client import known_handlers as known_here
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import is_named, of_table, split
from poller.client.status import numbered
from poller.db.statements import statement
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.definition import rebuilt
from poller.model.table_name import split_off_table, table_name
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from poller.client.known_handlers import Source
    from poller.client.row_queries import Known
    from poller.model.handler import Handler
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True)
class Declared:
    """A handler, the name of its table in the database, and its binding, if it fits that table."""

    table: str
    handler: Handler
    binding: Binding | None = None


def named(connection: psycopg.Connection[Any], selector: str, source: Source) -> tuple[Binding, str, bool]:
    """Return the handler that `TABLE:STATUS[:KEY]` names, the key or "", and whether its code is here.

    Raises:
        NothingSelectedError: there is none.
        ConfigurationError: it names no status, or the handler does not fit its table.
    """
    table, rest = split_off_table(selector)
    here = _of_code(connection, table, source)
    known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
    there = of_table(table, known) if not here or _is_known(table, known) else []
    statuses = [each.handler.status for each in here] + [each.status for each in there]
    status, key = split(rest, statuses)
    if status is None:
        names = ", ".join(f"{table}:{each}" for each in dict.fromkeys(statuses))
        if not rest:
            msg = f"name a status of {table} too; known: {names}"
            raise RefusedError(msg, "no_status")
        msg = f"no handler is known for {selector}; known: {names}"
        raise NothingSelectedError(msg)
    ours = [each for each in here if each.handler.status == status]
    if ours:
        return ours[0], key, True
    found = next(each for each in there if each.status == status)
    return _of_definition(connection, found), key, False


def _of_code(connection: psycopg.Connection[Any], table: str, source: Source) -> list[Binding]:
    wanted = table_name(table)
    loaded = known_here.found(source)
    alike = [each for each in loaded.handlers if each.table.name == wanted.name] if loaded else []
    bound = [bind(connection, each) for each in alike]
    return numbered(connection, [each for each in bound if is_named(str(each.table), wanted)])


def _is_known(table: str, known: list[Known]) -> bool:
    wanted = table_name(table)
    return any(is_named(each.table, wanted) for each in known)


def _of_definition(connection: psycopg.Connection[Any], known: Known) -> Binding:
    row = connection.execute(statement("definition"), {"handler": known.id}).fetchone()
    handler = rebuilt(known.table, known.status, known.column, row[0] if row else None)
    made = bind(connection, handler)
    made.id = known.id
    return made


def declared(connection: psycopg.Connection[Any], handlers: Iterable[Handler]) -> list[Declared]:
    """Return the client's handlers, and further ones that the database knows: their code is elsewhere, or gone."""
    ours = [_declared(connection, str(each.table), each) for each in handlers]
    named = {(each.table, each.handler.column, each.handler.status) for each in ours}
    rows = connection.execute(statement("definitions")).fetchall()
    others = [
        _declared(connection, table, rebuilt(table, status, column, definition))
        for table, column, status, definition in rows
        if definition is not None and (table, column, status) not in named
    ]
    return [*ours, *others]


def _declared(connection: psycopg.Connection[Any], table: str, handler: Handler) -> Declared:
    try:
        with connection.transaction():  # in the caller's, what Postgres refuses would end that
            binding = bind(connection, handler)
    except ConfigurationError:  # its table does not exist yet, or no longer, or is a different one
        return Declared(table, handler)
    return Declared(str(binding.table), handler, binding)
