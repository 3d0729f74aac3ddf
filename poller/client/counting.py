"""Counts all rows of one status, however long that takes, and estimates the time before."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg import sql

from poller.client.counts import StatusCounter, plan
from poller.client.listed import Rows
from poller.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

ROWS_A_SECOND = 1_000_000  # that one core reads, of common rows in memory; from a disk it may be a tenth


@dataclass(frozen=True, slots=True)
class CountAhead:
    """What a count would read, and how long it may take.

    Attributes:
        rows: how many rows have the status, by the planner's estimate.
        read: how many would be read: all of the table, if no index finds the status.
        seconds: how long that may take, roughly.
    """

    table: str
    column: str
    status: str
    rows: int
    read: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ExactCount:
    """How many rows have a status, and how many seconds it took to count them."""

    table: str
    column: str
    status: str
    rows: int
    seconds: float


class Counter:
    """Counts the rows of one status.

    Raises:
        NothingSelectedError: no handler is known for the table, or it has no such status column.
        ConfigurationError: it is not there.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], table: str, status: str, column: str | None
    ) -> None:
        self._connection = connection
        rows = Rows(connection, table, ())
        self._table, self._column = rows.table, rows.column(status, column)
        self._status = status
        own = sql.Identifier("t", self._column)
        self._question = statement(
            "count_exactly",
            table=self._table.identifier,
            users=self._table.users,
            shows=self._table.columns[self._column].equal(own, sql.Literal(status)),
        )

    def ahead(self) -> CountAhead:
        """Return what the count would read, and how long it may take.

        Raises:
            psycopg.DataError: the column cannot have the status.
        """
        counts = StatusCounter(self._connection, self._table, self._column)
        rows = counts.estimate(self._status)
        found = plan(self._connection, self._question, {})
        is_read_through = any("Seq Scan" in each["Node Type"] for each in _nodes(found))
        read = max(rows, counts.estimate_all()) if is_read_through else rows
        return CountAhead(str(self._table), self._column, self._status, rows, read, read / ROWS_A_SECOND)

    def count(self, seconds: float) -> ExactCount:
        """Count all rows of the status.

        Raises:
            psycopg.errors.QueryCanceled: it takes longer than so many seconds.
            psycopg.DataError: the column cannot have the status.
        """
        began, timeout = monotonic(), f"{max(1, int(seconds * 1000))}ms"
        with self._connection.transaction():
            self._connection.execute(statement("limit_statement"), {"timeout": timeout})
            [row] = self._connection.execute(self._question, {}).fetchall()
        return ExactCount(str(self._table), self._column, self._status, row[0], monotonic() - began)


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)
