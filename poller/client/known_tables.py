"""Finds the tables that handlers are known for, in two round trips: whether the handlers fit them is not asked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import namedtuple_row

from poller.client.handler_lookup import registered_as
from poller.client.one_round import OneRound, Question
from poller.client.row_queries import RowQueries
from poller.db import tables
from poller.db.statements import array, statement
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from poller.db.tables import Table
    from poller.model.handler import Handler
    from poller.model.table_name import TableName


@dataclass(frozen=True, slots=True)
class KnownTable:
    """The table of a handler, as the database names it, and the column and the status that the handler takes.

    Attributes:
        described: None if it is not there, or is not to be looked at.
    """

    name: str
    column: str
    status: str
    described: Table | None


def known_tables(connection: psycopg.Connection[Any], handlers: Iterable[Handler]) -> list[KnownTable]:
    """Return the tables of the client's handlers, and of further ones that the database knows.

    Args:
        connection: in autocommit mode, or in the caller's transaction.
        handlers: the client's.
    """
    known = [each for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)]
    there = [(each.table, each.column, each.status) for each in known]
    ours = [(registered_as(each, there), each.column, each.status) for each in handlers]
    found = described(connection, {table_name(table) for table, *_ in (*ours, *there)})
    made: dict[tuple[str, str, str], KnownTable] = {}
    for table, column, status in (*ours, *there):
        own = found.get(table_name(table))
        name = table if own is None else str(own)
        made.setdefault((name, column, status), KnownTable(name, column, status, own))
    return [*made.values()]


def described(connection: psycopg.Connection[Any], names: Iterable[TableName]) -> Mapping[TableName, Table]:
    """Return those tables that are there and may be looked at."""
    numbers = _numbers(connection, names)
    asked = {"tables": array([*numbers.values()])}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        answers: list[Any] = cursor.execute(statement("table"), asked).fetchall()
    rows, found = {row.oid: row for row in answers}, {}
    for name, number in numbers.items():
        with contextlib.suppress(ConfigurationError):  # a view by now, say
            found[name] = tables.described(connection, name, rows.get(number), look=True)
    return found


def _numbers(connection: psycopg.Connection[Any], names: Iterable[TableName]) -> dict[TableName, int]:
    """Return the numbers of the tables that are there, in schemas that may be used."""
    asked = {name: Question(*tables.find_table(connection, name)) for name in names}
    answers, found = OneRound(connection, asked.values()), {}
    for name, question in asked.items():
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            [[number]] = answers.rows(question)
            if number is not None:
                found[name] = number
    return found
