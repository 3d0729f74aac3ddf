"""Counts rows of users' tables at a cost that does not grow with them.

The model. A small table is counted whole. In a larger one the rows of each status are counted along an index, up
to a limit; with more rows, or no index, the planner's estimate stands in. Whether a query goes along an index is
not guessed from the catalogue: Postgres plans it, and it is executed only if its plan reads no row that it does
not return.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from poller.db.tables import Table

MOST_COUNTED_ROWS = 10_000  # rows that are counted; for more there is an estimate
UP_TO = {"most": MOST_COUNTED_ROWS + 1}
_UNKNOWN = sql.SQL("null")
LARGEST_SCAN_COST = 100_000.0  # the planner's cost of reading a table; mostly dead rows cost that, too

# A plan of these nodes alone, without a filter, returns each row that it reads.
_STREAMS = frozenset(
    (
        "Limit",
        "Result",
        "Append",
        "Merge Append",
        "Subquery Scan",
        "Index Scan",
        "Index Only Scan",
        "Seq Scan",
    )
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows have a status; the earliest value that they have in each of the columns asked for, if it is known.

    Attributes:
        exact: they were counted; else `rows` is the planner's estimate.
    """

    rows: int
    exact: bool
    oldest: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Postgres' statistics of a column: its frequent values, and when they were gathered; None if a part has none."""

    values: tuple[str, ...]
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Branch:
    """What can be asked about the rows of a status, each at a cost that is bounded.

    Attributes:
        counted: how many there are, up to so many; None if no index tells.
        heads: the first of them in each of the timestamp columns that an index tells.
    """

    status: str
    counted: sql.Composed | None
    heads: Mapping[str, sql.Composed]

    def part(self) -> sql.Composed:
        """Return it as a part of `count_statuses.sql`."""
        return statement(
            "count_of_status",
            status=sql.Literal(self.status),
            counted=self.counted or _UNKNOWN,
            oldest=next(iter(self.heads.values()), _UNKNOWN),
        )


def together(branches: Iterable[Branch]) -> sql.Composed | None:
    """Return the query for all that can be asked about some statuses; None if that is nothing."""
    parts = [each.part() for each in branches]
    return statement("count_statuses", branches=sql.SQL(" union all ").join(parts)) if parts else None


def few(rows: Sequence[Any], ages: Sequence[str]) -> dict[str | None, Count] | None:
    """Return the counts by the answer to the query of `StatusCounter.whole`, or None if there are too many rows."""
    if rows and rows[0][2] > MOST_COUNTED_ROWS:
        return None
    return {row[0]: Count(row[1], exact=True, oldest=known_ages(ages, row[3:])) for row in rows}


class StatusCounter:
    """Counts the rows of one table by one status column, on a connection in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any], table: Table, column: str) -> None:
        self._connection = connection
        self._table = table
        self._column = table.columns[column]
        self._status = StatusColumn(table, column)

    def of_few(self, ages: Sequence[str]) -> dict[str | None, Count] | None:
        """Return the counts of all statuses in the table, or None if it is too large for that.

        Args:
            ages: timestamp columns, of which the earliest value is returned, too.
        """
        question = self.whole(ages)
        if question is None:
            return None
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(statement("no_parallel_plans"))
            return self.counted(question, ages)

    def whole(self, ages: Sequence[str]) -> sql.Composed | None:
        """Return the query that counts all statuses, or None if the table is too large for that."""
        whole = statement("rows_of_status", shows=sql.SQL("true"), **self._names())
        if plan(self._connection, whole, {})["Total Cost"] > LARGEST_SCAN_COST:
            return None
        named = [(sql.Identifier(f"age_{at}"), sql.Identifier("t", name)) for at, name in enumerate(ages)]
        question = statement(
            "count_small",
            **self._names(),
            status=sql.Identifier(self._column.name),
            ages=sql.SQL("").join(sql.SQL(", {} as {}").format(age, name) for name, age in named),
            oldest=sql.SQL("").join(
                sql.SQL(", (min(s.{0}) filter (where isfinite(s.{0})))::timestamptz").format(name)
                for name, _ in named
            ),
        )
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(statement("no_parallel_plans"))
            is_bounded = self._status.is_bounded(self._connection, question, UP_TO)
        return question if is_bounded else None

    def counted(self, question: sql.Composed, ages: Sequence[str]) -> dict[str | None, Count] | None:
        """Return the counts of all statuses by the query of `whole`, or None if there are too many rows by now."""
        return few(self._connection.execute(question, UP_TO).fetchall(), ages)

    def of(
        self, status: str | None, ages: Mapping[str, Iterable[sql.Composable]], users: sql.SQL | None = None
    ) -> Count:
        """Return the count of a status.

        Args:
            status: the status; None for rows that have none.
            ages: timestamp columns, and the orders in which the first row of the status tells the earliest value.
            users: the start of the query, if not the table's.
        """
        with along_indexes(self._connection):
            branch = self.branch(status, ages, users)
            counted = self._value(branch.counted)
            heads = {age: self._value(question) for age, question in branch.heads.items()}
        oldest = {age: at for age, at in heads.items() if at is not None}
        if counted is not None and counted <= MOST_COUNTED_ROWS:
            return Count(counted, exact=True, oldest=oldest)
        return Count(max(self.estimate(status), counted or 0), exact=False, oldest=oldest)

    def branch(
        self,
        status: str | None,
        ages: Mapping[str, Iterable[sql.Composable]],
        users: sql.SQL | None = None,
        limit: str = "most",
    ) -> Branch:
        """Return what can be asked about a status along indexes, on a connection that looks along them.

        Args:
            status: the status.
            ages: as for `of`.
            users: as for `of`.
            limit: the name of the parameter with how many are counted.
        """
        named = {"shows": self._shows(status), **self._names()}
        if users is not None:
            named["users"] = users
        question = statement("count_status", **named, most=sql.Placeholder(limit))
        counted = self._bounded(question, {limit: MOST_COUNTED_ROWS + 1})
        heads = {age: self._head(age, orders, named) for age, orders in ages.items()}
        return Branch(status or "", counted, {age: each for age, each in heads.items() if each is not None})

    def together(
        self, branches: Iterable[Branch], limits: Mapping[str, int]
    ) -> dict[str, tuple[int | None, datetime | None]]:
        """Return how many rows statuses have, and the age of their first, by one statement.

        Args:
            branches: one for each status.
            limits: how many of each are counted, by the names of their parameters.
        """
        question = together(branches)
        rows = [] if question is None else self._connection.execute(question, limits).fetchall()
        return {row[0]: row[1:] for row in rows}

    def estimate_all(self) -> int:
        """Return the planner's estimate of all rows."""
        return self._estimate(sql.SQL("true"))

    def estimate(self, status: str | None) -> int:
        """Return the planner's estimate of the rows that have a status, or that have none."""
        return self._estimate(self._shows(status))

    def _estimate(self, shows: sql.Composable) -> int:
        question = statement("rows_of_status", shows=shows, **self._names())
        return int(plan(self._connection, question, {})["Plan Rows"])

    def statistics(self) -> Statistics:
        """Return what the statistics say of the status column."""
        asked = {"table": self._table.oid, "column": self._column.name}
        row = self._connection.execute(statement("statistics"), asked).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return Statistics(tuple(row[0]), row[1])

    def _head(
        self, age: str, orders: Iterable[sql.Composable], named: Mapping[str, sql.Composable]
    ) -> sql.Composed | None:
        questions = (
            statement("head_time", age=sql.Identifier(age), order=order, **named) for order in orders
        )
        return next((each for each in questions if self._bounded(each, {}) is not None), None)

    def _bounded(self, question: sql.Composed, asked: Mapping[str, Any]) -> sql.Composed | None:
        """Return a query, or None if it would read rows that it does not return."""
        return question if self._status.is_bounded(self._connection, question, asked) else None

    def _value(self, question: sql.Composed | None) -> Any:
        row = None if question is None else self._connection.execute(question, UP_TO).fetchone()
        return row and row[0]

    def _shows(self, status: str | None) -> sql.Composed:
        column = sql.Identifier("t", self._column.name)
        if status is None:
            return sql.SQL("{} is null").format(column)
        return self._column.equal(column, sql.Literal(status))

    def _names(self) -> dict[str, sql.Composable]:
        return {"table": self._table.identifier, "users": self._table.users}


@contextlib.contextmanager
def along_indexes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let queries be planned along indexes, where possible; the settings are restored."""
    with connection.transaction(force_rollback=True):
        connection.execute(statement("along_indexes"))
        yield


@contextlib.contextmanager
def writing_along_indexes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let writing statements go along indexes; their writes stay, and the caller's settings are restored."""
    with connection.cursor(row_factory=dict_row) as cursor:
        before = cursor.execute(statement("scan_settings"), {}).fetchone()
    assert before is not None  # noqa: S101 - a select without from has one row
    connection.execute(statement("set_scans"), dict.fromkeys(before, "off"))
    yield
    connection.execute(statement("set_scans"), before)


def plan(
    connection: psycopg.Connection[Any], question: sql.Composed, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return Postgres' plan for a query, without executing it."""
    row = connection.execute(sql.SQL("explain (format json) {}").format(question), asked).fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN answers
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


@dataclass(frozen=True, slots=True)
class StatusColumn:
    """The status column of a table, by which its rows are searched; what it knows of indexes holds as long as it."""

    table: Table
    name: str
    _leads: dict[tuple[frozenset[str], str | None], bool] = field(default_factory=dict, repr=False)

    def is_bounded(
        self,
        connection: psycopg.Connection[Any],
        question: sql.Composed,
        asked: Mapping[str, Any],
        beside: str | None = None,
    ) -> bool:
        """Tell whether a query reads only rows that it returns, so that its limit bounds it.

        Below the limit of its plan nothing is filtered or gathered; and an index in which the status is looked for
        begins with it; or with it and the column `beside`, which is looked for, too.
        """
        limited = _below_limit(plan(connection, question, asked))
        if limited is None or not all(map(_is_stream, limited)):
            return False
        names = frozenset(name for each in limited for name in _searched(each))
        if (names, beside) not in self._leads:
            self._leads[names, beside] = self._is_leading(connection, names, beside)
        return self._leads[names, beside]

    def _is_leading(
        self, connection: psycopg.Connection[Any], indexes: Iterable[str], beside: str | None
    ) -> bool:
        about = {"table": self.table.oid, "names": array(indexes)}
        if beside is not None:
            about |= {"columns": array([self.name, beside])}
            return connection.execute(statement("not_leading_two"), about).fetchone() is None
        about |= {"column": self.name}
        return connection.execute(statement("not_leading"), about).fetchone() is None


def _below_limit(node: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    below: Sequence[Mapping[str, Any]] = node.get("Plans", ())
    if node["Node Type"] == "Limit":
        return below
    return _below_limit(below[0]) if len(below) == 1 else None


def _is_stream(node: Mapping[str, Any]) -> bool:
    return (
        node["Node Type"] in _STREAMS and "Filter" not in node and all(map(_is_stream, node.get("Plans", ())))
    )


def _searched(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the indexes that a plan searches by a condition, rather than scans."""
    if "Index Cond" in node:
        yield node["Index Name"]
    for each in node.get("Plans", ()):
        yield from _searched(each)


def known_ages(names: Iterable[str], values: Iterable[datetime | None]) -> dict[str, datetime]:
    """Return the known times, by their columns."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
