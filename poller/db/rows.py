"""Rows of poller's own statements, each made into something by the names of its columns.

By names, since by places two columns of one type that change theirs in a statement are exchanged, and nobody notices.
Where thousands of rows are claimed and settled a second, tuples do: there each place is read where it is asked for.
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
    """Return what is made of each row that a statement answers: `make` is given its columns by their names."""
    with connection.cursor(row_factory=kwargs_row(make)) as cursor:
        return cursor.execute(question, asked).fetchall()


def only_row(
    connection: psycopg.Connection[Any], question: Statement, asked: Mapping[str, Any], make: Callable[..., T]
) -> T:
    """Return what is made of the one row of a statement that always has one."""
    [made] = all_rows(connection, question, asked, make)
    return made
