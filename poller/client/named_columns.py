"""Finds what settings name of users' tables, and the database does not have."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from poller.db.statements import array, statement
from poller.model.table_name import dotted
from poller.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import psycopg


def missing(connection: psycopg.Connection[Any], named: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Yield a line for each table, and each column of one, that there is not: what it may have meant.

    Args:
        connection: where to ask.
        named: columns by their table, which may be named without its schema: then one in any schema will do.
    """
    names = {each for table in named for each in (table, table.rpartition(".")[2])}
    rows = connection.execute(statement("columns_of"), {"names": array([*names])}).fetchall()
    there = {dotted(schema, table): columns for schema, table, columns in rows}
    for table, columns in named.items():
        alike = [known for full, known in there.items() if table in {full, full.rpartition(".")[2]}]
        if not alike:
            yield f"there is no table {table!r}; {_tables(connection, table)}"
            continue
        known = dict.fromkeys(each for columns_ in alike for each in columns_)
        yield from (_column(table, each, [*known]) for each in columns if each not in known)


def _tables(connection: psycopg.Connection[Any], table: str) -> str:
    every = [row[0] for row in connection.execute(statement("tables_like"), {}).fetchall()]
    near = ", ".join(nearest(table.rpartition(".")[2], every))
    return f"this database has {near}" if near else "this database has no tables yet"


def _column(table: str, column: str, known: list[str]) -> str:
    near = difflib.get_close_matches(column, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"table {table} has no column {column!r}; {hint}it has {', '.join(known)}"
