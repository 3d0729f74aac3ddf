"""Finds what settings name of users' tables, and the database does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.client.selector import is_spelled
from poller.db.statements import array, statement
from poller.errors import ConfigurationError
from poller.model.table_name import dotted, table_name
from poller.spelling import columns_there, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import psycopg


def missing(connection: psycopg.Connection[Any], named: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Yield a line for each table, and each column of one, that there is not: what it may have meant.

    Args:
        connection: where to ask.
        named: columns by their table, which may be named without its schema: then one in any schema will do.
    """
    rows = connection.execute(statement("columns_of"), {"names": array(map(_last, named))}).fetchall()
    there = {dotted(schema, table): columns for schema, table, columns in rows}
    for table, columns in named.items():
        alike = [known for full, known in there.items() if is_spelled(full, table)]
        if not alike:
            yield f"there is no table {table!r}; {_tables(connection, table)}"
            continue
        known = dict.fromkeys(each for columns_ in alike for each in columns_)
        for each in columns:
            if each not in known:
                yield f"table {table} has no column {each!r}; {columns_there(each, known)}"


def _tables(connection: psycopg.Connection[Any], table: str) -> str:
    every = [row[0] for row in connection.execute(statement("tables_like"), {}).fetchall()]
    near = ", ".join(nearest(_last(table), every))
    return f"this database has {near}" if near else "this database has no tables yet"


def _last(table: str) -> str:
    """Return a table's name without its schema; what is no name, as it is."""
    try:
        return table_name(table).name
    except ConfigurationError:
        return table
