"""Describes a user's table from the catalogue, and finds what makes it unfit for a handler.

A handler names a table, columns and statuses; here they meet the real ones, before anything runs.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import postgres, sql
from psycopg.rows import namedtuple_row

from poller.db.connection import OwnConnection, role_of
from poller.db.search_path import AS_USERS
from poller.db.statements import array, statement, trusted
from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.model.table_name import dotted
from poller.spelling import columns_there, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poller.db.statements import Statement
    from poller.model.handler import Handler
    from poller.model.table_name import TableName

_ORDINARY = ("r", "p")
_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "i": "an index",
    "S": "a sequence",
}
# What `jsonb ->>` gives back as it was; an array, say, would come back as JSON's.
_PLAIN_IN_JSON = frozenset(
    (
        *("smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean"),
        *("text", "character varying", "bpchar", "uuid"),
        *("date", "timestamp with time zone", "timestamp without time zone"),
    )
)
# The same texts as in a session whose zone is UTC.
_INSTANT = "regexp_replace(({} at time zone 'UTC')::text, '^([^ ]+ [^ ]+)', E'\\\\1+00')"
_INSTANT_IN_JSON = "regexp_replace(to_jsonb({} at time zone 'UTC') #>> '{{}}', '(T[^ ]+)', E'\\\\1+00:00')"
_TIMESTAMPTZ = postgres.types["timestamptz"].oid
# Numbers in the catalogue, whose texts are names: with their schema only where the path does not find them.
_REGISTERED = "class collation config dictionary namespace oper operator proc procedure role type"
_REGCLASS = postgres.types["regclass"].oid
_BY_PATH = frozenset(postgres.types[f"reg{each}"].oid for each in _REGISTERED.split())
_TAKEN_LITERALLY = ("text", "character varying", "smallint", "integer", "bigint", "boolean")
_TIMES = {
    _TIMESTAMPTZ: "timestamp with time zone",
    postgres.types["timestamp"].oid: "timestamp without time zone",
    postgres.types["date"].oid: "date",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How to compare values of a type whose operators are not in `pg_catalog` (citext, say), as its indexes do.

    Attributes:
        schema: of the operators.
        type: that they take, to cast to: this selects exactly these operators, not one planted beside them.
        equal: the name of the one.
        greater: the name of the other.
    """

    schema: str
    type: str
    equal: str
    greater: str

    def of(self, name: str, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return two values, compared by one of the operators."""
        form = sql.SQL("({left})::{type} operator({schema}.{name}) ({right})::{type}")
        schema = sql.Identifier(self.schema)
        return form.format(left=left, right=right, type=trusted(self.type), schema=schema, name=trusted(name))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `type` without its length (to cast to), `full_type` with it; `collation` quoted, if not its type's.

    `code` is the number of the type that the driver sees: of a domain, that which it is made of. `settable`, `readable`:
    the role that asks may update it, or read it. `comparison`: if it is not that of `pg_catalog`, which the path gives.
    `nullable`: it may be null, as far as its own constraint says. `virtual`: it is computed whenever it is read.
    `words`: the cast by which texts are compared as its values are, if those that differ may be equal (citext, char(n),
    a collation); no text fails at it.
    """

    name: str
    type: str
    full_type: str
    generated: bool
    collation: str | None
    labels: tuple[str, ...] | None
    code: int = 0
    settable: bool = True
    comparison: Comparison | None = None
    readable: bool = True
    nullable: bool = False
    virtual: bool = False
    words: str | None = None

    def same_status(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return the condition that two texts name the same status."""
        if self.words is None:
            return sql.SQL("{} = {}").format(left, right)
        return self.equal(left + trusted(self.words), right + trusted(self.words))

    @property
    def time(self) -> str | None:
        """The type of the times that it holds, also under a domain; None if it holds none."""
        return _TIMES.get(self.code)

    def equal(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return the condition that two of its values are equal."""
        if self.comparison is not None:
            return self.comparison.of(self.comparison.equal, left, right)
        return sql.SQL("{} = {}").format(left, right)

    def comparable(self, value: sql.Composable) -> sql.Composed:
        """Return a value of it as Postgres' plain operators take it: enums' take no domain over one."""
        if self.comparison is None or self.comparison.type == self.type:
            return sql.SQL("{}").format(value)
        return sql.SQL("({}::{})").format(value, trusted(self.comparison.type))

    def differs(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return the condition that a value of it, or null, differs from one that is not null."""
        if self.comparison is not None:
            return sql.SQL("({}) is not true").format(self.equal(left, right))
        return sql.SQL("{} is distinct from {}").format(left, right)

    def greater(self, left: sql.Composable, right: sql.Composable) -> sql.Composed:
        """Return the condition that one of its values comes after another."""
        if self.comparison is not None:
            return self.comparison.of(self.comparison.greater, left, right)
        return sql.SQL("{} > {}").format(left, right)


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK constraint on one column alone."""

    name: str
    expression: str
    column: str


@dataclass(frozen=True)
class Table:
    """A table, its columns by name, its primary key's columns in order, and the zone of times without one.

    That is the database's own: what `localtimestamp` and `now()` write into such a column there. Of a table that is
    only looked at, no right to change anything is asked. `readable`: the role that asks may read all of it,
    what is not a column of the user's included. `kin`: the tables that have rows in common with it, by name:
    those that it is a partition of, and its own partitions.
    """

    oid: int
    schema: str
    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]
    checks: tuple[Check, ...]
    row_security: bool
    zone: str
    looked_at: bool = False
    readable: bool = True
    is_partitioned: bool = False
    key_numbers: str = ""  # those of the key's columns, and of what its index includes
    kin: tuple[str, ...] = ()

    def __str__(self) -> str:
        return dotted(self.schema, self.name)

    @property
    def identifier(self) -> sql.Identifier:
        """The table, quoted and with its schema."""
        return sql.Identifier(self.schema, self.name)

    @property
    def users(self) -> sql.SQL:
        """The start of a query on it: functions in the table's policies use the users' path."""
        return AS_USERS if self.row_security else sql.SQL("true")

    @property
    def is_keyed(self) -> sql.Composed:
        """The condition that the table has the same key as when it was described; it raises if that is not so."""
        return statement(
            "is_keyed",
            regclass=sql.Literal(self.identifier.as_string()),
            key_numbers=sql.Literal(self.key_numbers),
            is_partitioned=sql.Literal(self.is_partitioned),
        )

    def has_its_rows(self) -> sql.Composed:
        """Return the condition on a handler `h`, in poller's own table, to be of this table or of one of its kin."""
        names = [sql.Literal(each) for each in (str(self), *self.kin)]
        form = "h.table_name = {}" if len(names) == 1 else "h.table_name = any (array[{}])"
        return sql.SQL(form).format(sql.SQL(", ").join(names))

    def key_text(self) -> sql.Composed:
        """Return the key of a row `t` as text: its own form, or a JSON array if it is composite."""
        columns = self._key_columns()
        if len(columns) == 1:
            return self._text_of(self.key[0], columns[0])
        parts = [
            self._in_json(name, column)
            if self.columns[name].type in _PLAIN_IN_JSON
            else self._text_of(name, column)
            for name, column in zip(self.key, columns, strict=True)
        ]
        return sql.SQL("jsonb_build_array({})::text").format(sql.SQL(", ").join(parts))

    def _text_of(self, name: str, column: sql.Composable) -> sql.Composed:
        """Return a column of the key as text, the same whatever the zone and the search path of the session."""
        code = self.columns[name].code
        form = _INSTANT if code == _TIMESTAMPTZ else "{}::oid::text" if code in _BY_PATH else "{}::text"
        return sql.SQL(form).format(column)

    def _in_json(self, name: str, column: sql.Composable) -> sql.Composable:
        is_instant = self.columns[name].code == _TIMESTAMPTZ
        return sql.SQL(_INSTANT_IN_JSON).format(column) if is_instant else column

    def key_columns(self) -> sql.Composable:
        """Return the key's columns of a row `t`, to be found among what `key_claimed` selects."""
        columns = zip(self.key, self._key_columns(), strict=True)
        return _tuple(
            [each + sql.SQL("::text") if self.columns[name].comparison else each for name, each in columns]
        )

    def key_claimed(self, text: str) -> sql.Composed:
        """Return the columns of the key in the SQL expression `text`, a row's own, for a SELECT."""
        parts = zip(self.key, self._key_parts(text), self.key_casts(text), strict=True)
        return sql.SQL(", ").join(
            sql.SQL(plain) if self.columns[name].comparison else cast for name, plain, cast in parts
        )

    def is_key(self, text: str) -> sql.Composable:
        """Return the condition on a row `t` to have the key in the SQL expression `text`."""
        columns, values = self._key_columns(), self.key_casts(text)
        if self._is_compared_plainly:
            return sql.SQL("{} = {}").format(_tuple(columns), _tuple(values))
        parts = zip(self.key, columns, values, strict=True)
        return sql.SQL(" and ").join(self.columns[name].equal(*pair) for name, *pair in parts)

    def is_after(self, text: str, of: str | None = None, *, before: bool = False) -> sql.Composable:
        """Return the condition on a row `t`, or on the key in the expression `of`, to come after the key in `text`.

        Args:
            text: an SQL expression for the key.
            of: another, in the place of the row.
            before: to come before it.
        """
        left = self._key_columns() if of is None else self._key_ordered(of)
        right = self._key_ordered(text)
        if self._is_compared_plainly:
            return sql.SQL("{} < {}" if before else "{} > {}").format(_tuple(left), _tuple(right))
        condition: sql.Composable = sql.SQL("false")
        for name, *pair in reversed(list(zip(self.key, left, right, strict=True))):
            column = self.columns[name]
            condition = sql.SQL("({} or ({} and {}))").format(
                column.greater(*(reversed(pair) if before else pair)), column.equal(*pair), condition
            )
        return condition

    def is_after_within(
        self, column: str, value: sql.Composable, text: str, *, before: bool = False
    ) -> sql.Composable:
        """Return the condition on a row `t` to come after a key, in the order of a column and then the key.

        Args:
            column: the first of the order, which has a plain comparison.
            value: what the column of that row is.
            text: an SQL expression for the key.
            before: to come before it.
        """
        left = [sql.Identifier("t", column), *self._key_columns()]
        right = [value, *self._key_ordered(text)]
        return sql.SQL("{} < {}" if before else "{} > {}").format(_tuple(left), _tuple(right))

    def is_plain(self, column: str) -> bool:
        """Tell whether a column, and the key, are compared by operators of `pg_catalog`."""
        return self._is_compared_plainly and self.columns[column].comparison is None

    @property
    def _is_compared_plainly(self) -> bool:
        return not any(self.columns[name].comparison for name in self.key)

    def _key_ordered(self, text: str) -> list[sql.Composable]:
        """Return the parts of a key, to be compared with others in the order of the key."""
        collations = [self.columns[name].collation for name in self.key]
        parts = zip(self.key_casts(text), collations, strict=True)
        return [each + trusted(f" collate {name}") if name else each for each, name in parts]

    def key_casts(self, text: str) -> list[sql.Composable]:
        """Return the parts of the key in the SQL expression `text`, each cast to its column's type."""
        columns = [self.columns[name] for name in self.key]
        # A cast of a text to regclass takes a number for a name; the type's own input does not.
        parts = zip(columns, self._key_parts(text), strict=True)
        read = [f"regclassin(textout({part}))" if each.code == _REGCLASS else part for each, part in parts]
        return [trusted_cast(part, each.type) for part, each in zip(read, columns, strict=True)]

    def _key_parts(self, text: str) -> list[str]:
        if len(self.key) == 1:
            return [text]
        return [f"({text}::jsonb ->> {at})" for at in range(len(self.key))]

    def _key_columns(self) -> list[sql.Composable]:
        return [sql.Identifier("t", name) for name in self.key]


def trusted_cast(text: str, to: str) -> sql.Composable:
    """Return `text::to`; both come from this program or the catalogue, never from a user's data."""
    return sql.SQL("{}::{}").format(sql.SQL(text), trusted(to))


def _tuple(parts: Sequence[sql.Composable]) -> sql.Composable:
    if len(parts) == 1:
        return parts[0]
    return sql.SQL("({})").format(sql.SQL(", ").join(parts))


@contextlib.contextmanager
def described_once(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let each table that is looked at be described once, for questions that are asked together in a moment."""
    if not isinstance(connection, OwnConnection):
        yield
        return
    connection.described = {}
    try:
        yield
    finally:
        connection.described = None


def describe(connection: psycopg.Connection[Any], name: TableName, *, look: bool = False) -> Table:
    """Return a table as the catalogue has it; while tables are `described_once`, as it was a moment ago.

    Args:
        connection: where to ask.
        name: the table's.
        look: it will only be read.

    Raises:
        ConfigurationError: as `_describe`.
    """
    known: dict[TableName, Table] | None = getattr(connection, "described", None) if look else None
    if known is None:
        return _describe(connection, name, look=look)
    if name not in known:
        known[name] = _describe(connection, name, look=look)
    return known[name]


def _describe(connection: psycopg.Connection[Any], name: TableName, *, look: bool) -> Table:
    """Return a table as the catalogue has it.

    Args:
        connection: where to ask.
        name: the table's.
        look: it will only be read.

    Raises:
        ConfigurationError: the table does not exist, is not a table, is distributed by Citus, has no primary key, or
            the role that asks may not read it, or update it.
    """
    role = role_of(connection)  # what may fail would end the caller's transaction
    try:
        [[oid]] = connection.execute(*find_table(connection, name)).fetchall()
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            found: Any = cursor.execute(statement("table"), {"tables": array([oid])}).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        schema = sql.Identifier(name.schema or "").as_string(connection)
        may = _grant(connection, name, role, look=look)
        msg = f"the role {role} may not use the schema {schema}; run: grant usage on schema {schema} to {role}; {may}"
        raise ConfigurationError(msg) from None
    return described(connection, name, found, look=look)


def find_table(connection: psycopg.Connection[Any], name: TableName) -> tuple[Statement, dict[str, str]]:
    """Return the question for a table's number, and what it is asked with."""
    return statement("find_table"), {"name": _quoted(connection, name)}


def described(
    connection: psycopg.Connection[Any], name: TableName, found: Any, *, look: bool = False
) -> Table:
    """Return a table by what the catalogue has answered to `table.sql`: a row, or None.

    Raises:
        ConfigurationError: as `describe`.
    """
    if found is None:
        msg = f"there is no table {name}{_suggestion(connection, name)}"
        raise ConfigurationError(msg)
    if found.relkind not in _ORDINARY:
        msg = f"{name} is {_KINDS.get(found.relkind, 'not a table')}; a handler needs a table"
        raise ConfigurationError(msg)
    if found.has_citus and _is_distributed(connection, found.oid):
        msg = (
            f"table {name} is distributed by Citus over several servers, where SKIP LOCKED does not hold; "
            "poller needs a table that is local to the coordinator"
        )
        raise ConfigurationError(msg)
    if not found.key:
        msg = f"table {name} has no primary key, which poller needs to tell its rows apart; add one"
        raise ConfigurationError(msg)
    if found.heirs:
        msg = (
            f"table {name} is inherited by {', '.join(found.heirs)}, whose rows may have the same keys, so that "
            "poller could not tell them apart; make it a partitioned table, or end the inheritance with no inherit"
        )
        raise ConfigurationError(msg)
    if not (found.may_select and (look or found.may_update)):
        what = "read" if look else "read and update"
        role = role_of(connection)
        msg = f"the role {role} may not {what} {name}; run: {_grant(connection, name, role, look=look)}"
        raise ConfigurationError(msg)
    if found.rules:
        msg = (
            f"table {name} has the rule {found.rules[0]} on updates, which Postgres does not apply to "
            "poller's statements; replace it with a trigger"
        )
        raise ConfigurationError(msg)
    return Table(
        oid=found.oid,
        schema=found.nspname,
        name=found.relname,
        columns={each["name"]: _column(each) for each in found.columns},
        key=tuple(found.key),
        checks=tuple(Check(**each) for each in found.checks or ()),
        row_security=found.relrowsecurity,
        zone=found.zone,
        looked_at=look,
        readable=found.may_select_all,
        is_partitioned=found.relkind == "p",
        key_numbers=found.key_numbers,
        kin=tuple(dotted(*each) for each in found.kin or ()),
    )


def _quoted(connection: psycopg.Connection[Any], name: TableName) -> str:
    parts = (name.schema, name.name) if name.schema else (name.name,)
    return sql.Identifier(*parts).as_string(connection)


def _grant(connection: psycopg.Connection[Any], name: TableName, role: str, *, look: bool) -> str:
    rights = "select" if look else "select, update"
    return f"grant {rights} on {_quoted(connection, name)} to {role}"


def _is_distributed(connection: psycopg.Connection[Any], oid: int) -> bool:
    row = connection.execute(statement("is_distributed"), {"oid": oid}).fetchone()
    return row is not None and bool(row[0])


def _column(found: dict[str, Any]) -> Column:
    labels = found["labels"]
    return Column(
        found["name"],
        found["type"],
        found["full_type"],
        found["generated"],
        found["collation"],
        None if labels is None else tuple(labels),
        found["code"],
        found["settable"],
        comparison=found["comparison"] and Comparison(**found["comparison"]),
        readable=found["readable"],
        nullable=found["nullable"],
        virtual=found["virtual"],
        words=found["words"],
    )


def _suggestion(connection: psycopg.Connection[Any], name: TableName) -> str:
    rows = connection.execute(statement("tables_like"), {}).fetchall()
    names = ", ".join(nearest(name.name, [row[0] for row in rows]))
    return f"; this database has {names}" if names else "; this database has no tables yet"


def check(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> None:
    """Check a handler's columns and statuses against its table.

    Raises:
        ConfigurationError: the first of the `faults`.
    """
    for fault in faults(connection, handler, table):
        raise ConfigurationError(fault)


def faults(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> Iterator[str]:
    """Yield each reason why a table is unfit for a handler, one line each.

    A column is missing or of the wrong type, or the status column would not take one of the handler's
    statuses; the line says which, and what it takes.
    """
    looks: list[Callable[[], object]] = [
        partial(_check_column, connection, handler, table),
        partial(_check_due, handler, table),
    ]
    looks += [partial(_existing, table, name, "per_key") for name in handler.per_key]
    looks += [partial(_existing, table, handler.trace, "trace")] if isinstance(handler.trace, str) else []
    if handler.entity is not None:
        codes = {name: each.code for name, each in table.columns.items()}
        looks.append(partial(handler.entity.reader, codes))
    if handler.column in table.columns:
        column = table.columns[handler.column]
        looks += [partial(check_status, connection, table, column, each) for each in handler.reachable]
        looks.append(partial(_check_leaves, connection, handler, table))
    for look in looks:
        try:
            look()
        except ConfigurationError as error:
            yield str(error)


def status_column(connection: psycopg.Connection[Any], table: Table, name: str) -> Column:
    """Return the status column of a table.

    Raises:
        ConfigurationError: there is no column of that name, or it cannot be written.
    """
    column = _existing(table, name, "the status column")
    if column.generated:
        msg = f"{table}.{column.name} is a generated column, so no handler can move it"
        raise ConfigurationError(msg)
    if not (column.settable or table.looked_at):
        named = sql.Identifier(column.name).as_string()
        role, on = role_of(connection), table.identifier.as_string()
        msg = f"the role {role} may not update {table}.{column.name}; run: grant update ({named}) on {on} to {role}"
        raise ConfigurationError(msg)
    return column


def _check_column(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> None:
    column = status_column(connection, table, handler.column)
    if handler.during is not None and column.name in table.key:
        msg = f"{table} is keyed by its {column.name}, so that a row which shows {handler.during!r} would be "
        msg += "another row; leave out during"
        raise ConfigurationError(msg)


def _check_due(handler: Handler, table: Table) -> None:
    if handler.due is None:
        return
    due = _existing(table, handler.due, "due")
    if due.time is None:
        msg = f"due names {table}.{due.name}, which is {due.type}; it must be a timestamp"
        raise ConfigurationError(msg)


def _existing(table: Table, name: str, what: str) -> Column:
    try:
        return table.columns[name]
    except KeyError:
        msg = f"table {table} has no column {name!r} ({what}); {columns_there(name, table.columns)}"
        raise ConfigurationError(msg) from None


def _check_leaves(connection: psycopg.Connection[Any], handler: Handler, table: Table) -> None:
    """Check that the statuses of a handler differ, or its rows would go round, or look done before they are."""
    for one, other in equal_statuses(connection, table.columns[handler.column], handler.reachable):
        if handler.status == one:
            msg = (
                f"{table}.{handler.column} takes {one!r} and {other!r} for the same status, so that the handler's rows "
                "would not leave it; let them differ"
            )
            raise ConfigurationError(msg)
        if handler.during == one:  # it stands before the others
            msg = (
                f"{table}.{handler.column} takes during={one!r} and {other!r} for the same status: rows in progress and "
                "rows that are done would look alike; let them differ"
            )
            raise ConfigurationError(msg)


def equal_statuses(
    connection: psycopg.Connection[Any], column: Column, statuses: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs of statuses, differently written, that a column takes for the same one."""
    if column.type in _TAKEN_LITERALLY and column.collation is None:
        return []
    one, other = (_collated(f"{each}.label", column) for each in ("one", "other"))
    question = statement("equal_statuses", is_equal=column.equal(one, other))
    try:
        return connection.execute(question, {"statuses": list(statuses)}).fetchall()
    except psycopg.Error:
        return []  # one is not of the type, or the type has no equality: other checks tell


def _collated(text: str, column: Column) -> sql.Composed:
    collation = f" collate {column.collation}" if column.collation else ""
    return trusted_cast(text, column.type) + trusted(collation)


def check_status(connection: psycopg.Connection[Any], table: Table, column: Column, status: str) -> None:
    """Ask Postgres itself whether the column takes the status, by its type and by its CHECKs."""
    checks = [check for check in table.checks if check.column == column.name]
    asked = [sql.SQL("coalesce(({}), true)").format(trusted(each.expression)) for each in checks]
    question = statement(
        "accepts_status",
        column=sql.Identifier(column.name),
        value=sql.Literal(status),
        type=trusted(column.full_type),
        checks=sql.SQL("array[{}]::boolean[]").format(sql.SQL(", ").join(asked)),
    )
    try:
        answer = connection.execute(question, {}).fetchone()
    except psycopg.DataError as error:
        takes = f"; it takes {', '.join(column.labels)}" if column.labels else f" ({reason(error)})"
        msg = f"{table}.{column.name} ({column.full_type}) cannot hold the status {status!r}{takes}"
        raise ConfigurationError(msg) from None
    except psycopg.IntegrityError as error:
        msg = f"{table}.{column.name} cannot hold the status {status!r}: {reason(error)}"
        raise ConfigurationError(msg) from None
    except psycopg.ProgrammingError:
        return  # a function in a CHECK finds its names by the users' path: it is checked when the status is written
    kept, allowed = answer or (False, [])
    if not kept:
        msg = f"{table}.{column.name} ({column.full_type}) cannot store the status {status!r} unchanged"
        raise ConfigurationError(msg)
    for each, ok in zip(checks, allowed, strict=True):
        if not ok:
            msg = (
                f"{table}.{column.name} cannot hold the status {status!r}: "
                f"its CHECK {each.name} requires {each.expression}"
            )
            raise ConfigurationError(msg)
