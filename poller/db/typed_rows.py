"""Builds an object from each row of poller's own statements, by the names of its columns.

By name, since by position two columns of one type that swap places in a statement are silently exchanged.
Claims and settles, with thousands of rows a second, use tuples: there each position is read where it is selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from psycopg.rows import kwargs_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg

    from poller.db.statements import Statement

T = TypeVar("T")


def all_rows(
    connection: psycopg.Connection[Any], question: Statement, asked: Mapping[str, Any], make: Callable[..., T]
) -> list[T]:
    """Return what `make` builds from each row of a statement's result; it is given the columns by name."""
    with connection.cursor(row_factory=kwargs_row(make)) as cursor:
        return cursor.execute(question, asked).fetchall()


def only_row(
    connection: psycopg.Connection[Any], question: Statement, asked: Mapping[str, Any], make: Callable[..., T]
) -> T:
    """Return what `make` builds from the row of a statement that always returns exactly one."""
    [made] = all_rows(connection, question, asked, make)
    return made
