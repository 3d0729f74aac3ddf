"""Finds the handlers that are known, and the one that a question names: by code that is here, else as registered.

The `where` and `order_by` of registered definitions are never executed: see `model.definition`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from poller.client import known_handlers as known_here
from poller.client.job_queries import JobQueries
from poller.client.key_forms import key_forms
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.client.row_queries import RowQueries
from poller.client.selector import is_named, of_table, refuse_unfinished, select, split
from poller.client.status import numbered
from poller.db.statements import statement
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.definition import NOT_REBUILT, rebuilt
from poller.model.table_name import split_off_table, table_name
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.client.known_handlers import Source
    from poller.client.row_queries import Known
    from poller.client.selector import Selection
    from poller.db.tables import Table
    from poller.model.handler import Handler
    from poller.model.table_name import TableName
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True)
class Declared:
    """A handler, the name of its table in the database, and its binding, if it fits that table."""

    table: str
    handler: Handler
    binding: Binding | None = None


def selected(
    connection: psycopg.Connection[Any], selector: str, keys: Sequence[str] = ()
) -> tuple[Selection, list[Known]]:
    """Return the rows that a selector names, and the handlers that the database knows.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: the table's name is not valid.
    """
    known = RowQueries(connection).known_handlers()
    chosen = select(selector, keys, known)
    names = list({each.table for each in known if each.id in chosen.handlers})
    if chosen.given and len(names) == 1:
        chosen = replace(chosen, keys=key_forms(connection, names[0], chosen.given))
    return chosen, known


def selected_for_order(
    connection: psycopg.Connection[Any], selector: str, keys: Sequence[str]
) -> tuple[Selection, list[Known]]:
    """Return what `selected` does, for an order: a selector that ends where a part of it is missing is refused.

    Raises:
        NothingSelectedError: no handler is known for the table.
        ConfigurationError: the table's name is not valid, or nothing stands behind the selector's last colon.
    """
    chosen, known = selected(connection, selector, keys)
    refuse_unfinished(selector, [each.status for each in known if each.id in chosen.handlers])
    return chosen, known


class Named(NamedTuple):
    """The handler that a selector names, and the key or "".

    Attributes:
        unchecked: the options that are not in the binding, since the handler's code is not here, with their texts; None
            where an older version has registered it, so that they are not known.
    """

    binding: Binding
    key: str
    unchecked: dict[str, str | None]


def named(connection: psycopg.Connection[Any], selector: str, source: Source, *, bare: bool = False) -> Named:
    """Return the handler that `TABLE:STATUS[:KEY]` names.

    Args:
        connection: where to ask.
        selector: the name.
        source: the handlers whose code is here.
        bare: leave out its `where` and `order_by`, for which the table itself would be looked at.

    Raises:
        NothingSelectedError: there is none.
        ConfigurationError: it names no status, a table of poller's own, or a job; nothing stands behind its last colon;
            or the handler does not fit its table.
    """
    table, rest = split_off_table(selector)
    _refuse_others(connection, selector, source)
    here = _of_code(connection, table, source, bare=bare)
    known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
    there = of_table(table, known) if not here or _is_known(table, known) else []
    statuses = [each.handler.status for each in here] + [each.status for each in there]
    status, key = split(rest, statuses)
    if status is None:
        names = ", ".join(f"{table}:{each}" for each in dict.fromkeys(statuses))
        if not rest:
            msg = f"name a status of {table}, too; known: {names}"
            raise RefusedError(msg, "no_status")
        msg = f"no handler is known for {selector}; known: {names}"
        raise NothingSelectedError(msg)
    refuse_unfinished(selector, statuses)
    ours = [each for each in here if each.handler.status == status]
    if ours:
        return Named(ours[0], key, {})
    return _of_definition(connection, next(each for each in there if each.status == status), key)


def _refuse_others(connection: psycopg.Connection[Any], selector: str, source: Source) -> None:
    """Refuse poller's own tables; and jobs, unless there is a handler for a table of that name."""
    table, _ = split_off_table(selector)
    wanted = _table_name(table)
    if wanted is not None and wanted.schema == RUNS.schema:
        is_runs = wanted == RUNS
        what = "its rows are the runs of jobs" if is_runs else "no handler works on it"
        msg = f"{table} is a table of poller's own: {what}"
        raise RefusedError(msg, "runs" if is_runs else "")
    loaded = known_here.found(source)
    tables = [str(each.table) for each in loaded.handlers] if loaded else []
    tables += [each.table for each in RowQueries(connection).known_handlers()]
    if wanted is not None and any(is_named(each, wanted) for each in tables):
        return
    jobs = known_here.defined(source) or {}
    for name in (selector, table):
        if name in jobs or JobQueries(connection).job(name) is not None:
            msg = f"{name} is a job, and not a table with handlers"
            raise RefusedError(msg, "is_job", job=name)


def _table_name(text: str) -> TableName | None:
    try:
        return table_name(text)
    except ConfigurationError:  # a job may have any name
        return None


def _of_code(connection: psycopg.Connection[Any], table: str, source: Source, *, bare: bool) -> list[Binding]:
    wanted = table_name(table)
    loaded = known_here.found(source)
    alike = [each for each in loaded.handlers if each.table.name == wanted.name] if loaded else []
    if bare:
        alike = [_bare(each) for each in alike]
    bound = [bind(connection, each, look=True) for each in alike]
    return numbered(connection, [each for each in bound if is_named(str(each.table), wanted)])


def _bare(handler: Handler) -> Handler:
    """Return a handler without its own texts, for which its table would be looked at."""
    return replace(handler, where=None, order_by=None)


def _is_known(table: str, known: list[Known]) -> bool:
    wanted = table_name(table)
    return any(is_named(each.table, wanted) for each in known)


def registered(connection: psycopg.Connection[Any], known: Known, *, look: bool = False) -> Binding | None:
    """Return a handler as it was registered; None if an older version did that, or it fits its table no more.

    With `look`, the right to update its rows is not asked for.
    """
    row = connection.execute(statement("definition"), {"handler": known.id}).fetchone()
    if row is None or row[0] is None:
        return None
    # All jobs are handlers of one status, and known by their names.
    status = "pending" if known.table == str(RUNS) else known.status
    made = rebuilt(known.table, status, known.column, row[0])
    return _declared(connection, known.table, made, {}, look=look).binding


def _of_definition(connection: psycopg.Connection[Any], known: Known, key: str) -> Named:
    row = connection.execute(statement("definition"), {"handler": known.id}).fetchone()
    definition = row[0] if row else None
    made = bind(connection, rebuilt(known.table, known.status, known.column, definition), look=True)
    made.id = known.id
    texts = {name: definition and definition.get(name) for name in NOT_REBUILT}
    return Named(
        made, key, {name: text for name, text in texts.items() if text is not None or definition is None}
    )


def declared(connection: psycopg.Connection[Any], handlers: Iterable[Handler]) -> list[Declared]:
    """Return the client's handlers, and further ones that the database knows: their code is elsewhere, or gone."""
    rows = connection.execute(statement("definitions")).fetchall()
    tables: dict[TableName, Table] = {}
    ours = [_declared(connection, registered_as(each, rows), each, tables) for each in handlers]
    named = {(each.table, each.handler.column, each.handler.status) for each in ours}
    others = [
        _declared(connection, table, rebuilt(table, status, column, definition), tables)
        for table, column, status, definition in rows
        if definition is not None and (table, column, status) not in named
    ]
    return [*ours, *others]


def registered_as(handler: Handler, rows: Iterable[tuple[Any, ...]]) -> str:
    """Return the name of the table by which a handler was registered, once: that of one that is gone tells no schema.

    Args:
        handler: which.
        rows: of each registered one the table, the column, the status, and what else is known.
    """
    own = handler.column, handler.status
    names = [row[0] for row in rows if row[1:3] == own and is_named(row[0], handler.table)]
    return names[0] if len(names) == 1 else str(handler.table)


def as_registered(connection: psycopg.Connection[Any]) -> tuple[list[Handler], list[str], list[str]]:
    """Return the handlers as workers have registered them last, whether they fit their tables or not.

    Beside them the names of those whose `where` or `order_by` is not in them; and of those that an older version has
    registered, without a definition.
    """
    rows = connection.execute(statement("definitions")).fetchall()
    found = [(rebuilt(table, status, column, known), known) for table, column, status, known in rows if known]
    unread = [f"{each.table}:{each.label}" for each, known in found if any(map(known.get, NOT_REBUILT))]
    return [each for each, _ in found], unread, [f"{row[0]}:{row[2]}" for row in rows if not row[3]]


def _declared(
    connection: psycopg.Connection[Any],
    table: str,
    handler: Handler,
    tables: dict[TableName, Table],
    *,
    look: bool = True,
) -> Declared:
    try:
        try:
            with connection.transaction():  # in the caller's, what Postgres refuses would end that
                binding = bind(connection, handler, look=look, known=tables)
        except psycopg.errors.LockNotAvailable:  # its own texts cannot be read there now
            binding = bind(connection, _bare(handler), look=look, known=tables)
    except ConfigurationError:  # its table does not exist yet, or no longer, or is a different one
        return Declared(table, handler)
    return Declared(str(binding.table), handler, binding)
