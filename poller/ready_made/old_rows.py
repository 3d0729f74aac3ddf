"""Binds a rule to its table: fixes the instant before which rows are old, and composes every statement about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from poller.db import tables
from poller.db.connection import UNPLANNABLE, why_unplannable
from poller.db.search_path import AS_USERS
from poller.db.statements import statement, trusted
from poller.db.users_sql import Texts, resolved
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poller.db.tables import Column, Table
    from poller.ready_made.retention_rule import RetentionRule

_TRUE = sql.SQL("true")


@dataclass(frozen=True)
class Stale:
    """A rule and its table.

    Attributes:
        rule: the rule.
        table: its table.
        cut_off: the instant before which rows are old, as text of the column's type.
        foreign_keys: those that may need rows of the table, as `foreign_keys.sql` returns them.
        knows_handlers: poller's own schema exists, and shows which rows handlers hold.
        where: the rule's, as it stands in statements.
        may_forget: the role may also make handlers forget rows.
    """

    rule: RetentionRule
    table: Table
    cut_off: str
    foreign_keys: Sequence[Any] = ()
    knows_handlers: bool = False
    where: str | None = None
    may_forget: bool = False

    @cached_property
    def due(self) -> sql.Composed:
        """The condition on a row `t` to be old, with the rule's other conditions."""
        return every(self.old, *self._status, *self._where)

    @cached_property
    def batch(self) -> sql.Composed:
        """The statement that works on the rows whose keys are `%(keys)s`."""
        parts: dict[str, sql.Composable] = {
            "due": self.due,
            "in_hand": self._in_hand,
            "is_asked": self.table.is_key('o."~key"'),
            "is_listed": self.table.is_key('"~listed"."~key"'),
            "is_locked": self.table.is_key('"~locked"."~key"'),
        }
        move = self.rule.move
        if move is None:
            return self._statement("purge_batch", needed=self._needed, **parts)
        same = self.table.columns[move.column].same_status
        known = {
            "has_its_rows": self.table.has_its_rows(),
            "status_column": sql.Literal(move.column),
            "is_from": same(sql.SQL("h.status"), sql.Literal(move.status)),
            "is_to": same(sql.SQL("h.status"), sql.Literal(move.to)),
        }
        return self._statement(
            "age_out_batch",
            status=sql.Identifier(move.column),
            ages=every(*self._status),
            forgotten=statement("forget_moved", **known)
            if self.knows_handlers and self.may_forget
            else sql.SQL(""),
            to_status=sql.Literal(move.to),
            **parts,
        )

    def is_in_hand(self, partition: sql.Identifier) -> sql.Composed:
        """Return the query whether handlers hold rows of a partition."""
        return statement(
            "partition_in_hand",
            handled=sql.Literal(str(self.table)),
            partition=partition,
            is_held=self.table.is_key("k.key"),
        )

    @cached_property
    def count(self) -> sql.Composed:
        """The count of the rows that are old, and of those that foreign keys need."""
        return self._statement("count_stale", users=self._users, due=self.due, needed=self._needed)

    @cached_property
    def estimate(self) -> sql.Composed:
        """The query for the planner's estimate of old rows."""
        return self._statement("estimate_stale", due=self.due)

    @property
    def bound(self) -> sql.Composed:
        """The cut-off, as a value of the column's type."""
        return self.instant(self.cut_off)

    @property
    def driving(self) -> Iterator[sql.Composed]:
        """The conditions under which an index may give the rows, the most selective first."""
        if self._where:
            yield self.due
        if self._status:
            yield every(self.old, *self._status)
        yield every(self.old)

    def drives(self, driving: sql.Composable) -> sql.Composed:
        """Return the query whether an index gives the rows under a condition, in the column's order."""
        return self._statement("index_drives", driving=driving, column=sql.Identifier(self.rule.column))

    def stretch_end(self, driving: sql.Composable, after: sql.Composable) -> sql.Composed:
        """Return the query for the end of the range of the column that begins after another."""
        column = sql.Identifier(self.rule.column)
        return self._statement("stretch_end", users=self._users, driving=driving, after=after, column=column)

    def listing(self, stretch: sql.Composable) -> sql.Composed:
        """Return the query for the keys of the old rows in a stretch."""
        return self._statement(
            "old_keys", users=self._users, key=self.table.key_text(), stretch=stretch, due=self.due
        )

    def instant(self, text: str) -> sql.Composed:
        """Return a value of the column's type, or of what its domain is over."""
        column = self.table.columns[self.rule.column]
        return sql.SQL("{}::{}").format(sql.Literal(text), trusted(column.time or column.type))

    @property
    def column(self) -> sql.Identifier:
        """The column of a row `t` that tells its age."""
        return sql.Identifier("t", self.rule.column)

    @property
    def old(self) -> sql.Composed:
        """The condition on a row `t` to be old by its age alone."""
        return sql.SQL("{} < {}").format(self.column, self.bound)

    @property
    def _status(self) -> list[sql.Composed]:
        move = self.rule.move
        if move is None:
            return []
        column = self.table.columns[move.column]
        return [column.equal(sql.Identifier("t", move.column), sql.Literal(move.status))]

    @property
    def _users(self) -> sql.SQL:
        """The start of a query: if it may run users' functions, these use the users' path."""
        return AS_USERS if self.rule.where or self.foreign_keys else self.table.users

    @property
    def _where(self) -> list[sql.Composed]:
        # The new line: a comment at its end must not swallow what follows.
        return [sql.SQL("({}\n)").format(trusted(self.where))] if self.where else []

    @property
    def _in_hand(self) -> sql.Composable:
        """Those of the keys `a."~keys"` that handlers hold."""
        if not self.knows_handlers:
            return sql.SQL("array[]::text[]")
        return sql.SQL("""poller.in_hand({}, coalesce(a."~keys", array[]::text[]))""").format(
            sql.Literal(str(self.table))
        )

    @property
    def _needed(self) -> sql.Composable:
        """The name of the foreign key that needs a row `t`, or null."""
        branches = [
            statement(
                "needing_foreign_key",
                there=_is_of(each.only_of) if each.only_of else _TRUE,
                child=sql.Identifier(each.schema, each.table),
                same=every(*(self._equal(*pair) for pair in zip(each.referring, each.referred, strict=True))),
                other=self._other if each.of_itself else _TRUE,
                constraint=sql.Literal(each.name),
            )
            for each in self.foreign_keys
        ]
        if not branches:
            return sql.SQL("null::text")
        return sql.SQL("case {} end").format(sql.SQL(" ").join(branches))

    @property
    def _other(self) -> sql.Composed:
        """The condition that a row `c` of the same table is a different one: a row that references itself may go."""
        return sql.SQL("not ({})").format(every(*(self._equal(name, name) for name in self.table.key)))

    def _equal(self, child: str, parent: str) -> sql.Composed:
        return self.table.columns[parent].equal(sql.Identifier("c", child), sql.Identifier("t", parent))

    def _statement(self, name: str, **parts: sql.Composable) -> sql.Composed:
        return statement(name, table=self.table.identifier, **parts)


def _is_of(partitions: Iterable[str]) -> sql.Composed:
    """Return the condition that a row `t` lies in one of these partitions, given by their OIDs."""
    oids = (sql.SQL("{}::oid").format(sql.Literal(oid)) for oid in partitions)
    return sql.SQL("t.tableoid in ({})").format(sql.SQL(", ").join(oids))


def every(*conditions: sql.Composable) -> sql.Composed:
    """Return the condition that all of these hold."""
    return sql.SQL(" and ").join(conditions)


def bind(connection: psycopg.Connection[Any], rule: RetentionRule) -> Stale:
    """Bind a rule to its table, and fix the instant before which rows are old.

    Raises:
        ConfigurationError: they do not fit, or the role lacks a right.
    """
    table = tables.describe(connection, rule.table)
    column = _check_columns(connection, rule, table)
    keys: Sequence[Any] = ()
    if rule.move is None:
        keys = rows(connection, "foreign_keys", {"table": table.oid})
    knows, may_forget = connection.execute(statement("knows_handlers")).fetchone() or (False, False)
    where = resolved(connection, table, Texts(rule.where)).where
    cut_off = _cut_off(connection, rule, table, column)
    made = Stale(rule, table, cut_off, keys, knows_handlers=knows, where=where, may_forget=may_forget)
    _check_plan(connection, made)
    return made


def _check_columns(connection: psycopg.Connection[Any], rule: RetentionRule, table: Table) -> Column:
    column = _existing(table, rule.column)
    if column.time is None:
        msg = f"{table}.{column.name} is {column.full_type}; the age of a row needs a timestamp or a date"
        raise ConfigurationError(msg)
    if rule.move is not None:
        status = _existing(table, rule.move.column)
        if status.generated:
            msg = f"{table}.{status.name} is a generated column, which cannot be set"
            raise ConfigurationError(msg)
        for each in (rule.move.status, rule.move.to):
            tables.check_status(connection, table, status, each)
    return column


def _existing(table: Table, name: str) -> Column:
    try:
        return table.columns[name]
    except KeyError:
        msg = f"table {table} has no column {name!r}; it has {', '.join(table.columns)}"
        raise ConfigurationError(msg) from None


def _cut_off(connection: psycopg.Connection[Any], rule: RetentionRule, table: Table, column: Column) -> str:
    has_zone = column.time == "timestamp with time zone"
    local = sql.SQL(" at time zone {}").format(sql.Literal(table.zone))
    question = statement(
        "cut_off", type=trusted(column.time or column.type), zone=sql.SQL("") if has_zone else local
    )
    row = connection.execute(question, {"older_than": rule.older_than}).fetchone()
    return str(row[0]) if row else ""


def _check_plan(connection: psycopg.Connection[Any], made: Stale) -> None:
    """Let Postgres plan a batch: that checks the condition, the grants and the rules of the table."""
    try:
        connection.execute(sql.SQL("explain {}").format(made.batch), {"keys": "{}"})
        connection.execute(sql.SQL("explain {}").format(made.listing(_TRUE)), {})
    except UNPLANNABLE as error:
        given = f" with where={made.rule.where!r}" if made.rule.where else ""
        reason = why_unplannable(error)
        msg = f"Postgres cannot work on the old rows of {made.table}{given}: {reason}"
        raise ConfigurationError(msg) from None


def rows(connection: psycopg.Connection[Any], name: str, asked: dict[str, Any]) -> list[Any]:
    """Return the rows of a query on a table."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(statement(name), asked).fetchall())
