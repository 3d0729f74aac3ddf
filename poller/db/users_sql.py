"""Prepares the SQL that a program's author wrote (`where`, `order_by`) for use in poller's statements.

Those find their names in `pg_catalog` alone (`search_path`). A text that needs no more is used as it is. Any other, and
any about a table with a type whose operators are elsewhere (citext, say), is resolved once, by the users' path:
Postgres itself writes it out with the schema of each function, operator and type. If it uses an object that belongs to
an untrusted role (planted in a schema of that path), the text is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import errors, sql
from psycopg.rows import tuple_row

from poller.db.search_path import AS_USERS, SET_OWN
from poller.db.statements import statement, trusted
from poller.errors import ConfigurationError
from poller.errors_in_words import reason

if TYPE_CHECKING:
    from poller.db.tables import Table

_VIEW = "pg_temp.poller_text"
_FORMS = {
    "where": 'select ({text}\n) as "~text" from {table} as t',
    "order_by": 'select 1 as "~text" from {table} as t order by {text}',
}
# A text that closes a bracket which it has not opened fits into one kind of bracket at most.
_FRAMES = {
    "where": ("select ({text}\n)", "select array[{text}\n]"),
    "order_by": ("select array_agg(1 order by {text}\n)", "select 1 order by {text}"),
}
_SYSTEM = re.compile(r"\b(tableoid|ctid|xmin|xmax|cmin|cmax)\b", re.IGNORECASE)
_whole: set[tuple[str, str]] = set()  # texts that have been found to be whole
_UNKNOWN = (
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.UndefinedTable,
    errors.AmbiguousFunction,
    errors.InvalidSchemaName,
)


class Texts(NamedTuple):
    """SQL of a program's author: a condition on a row `t`, and an order of rows `t`."""

    where: str | None = None
    order_by: str | None = None


def resolved(connection: psycopg.Connection[Any], table: Table, texts: Texts) -> Texts:
    """Return texts that mean the same in poller's statements as in their author's.

    Raises:
        ConfigurationError: a text uses an object of an untrusted owner, or this role cannot resolve it; or it is not
            whole, or has a parameter.
    """
    given = {option: text for option, text in texts._asdict().items() if text is not None}
    return Texts(**{option: _resolved(connection, table, option, text) for option, text in given.items()})


def refuse_system_columns(connection: psycopg.Connection[Any], table: Table, where: str) -> None:
    """Refuse a condition on columns that rows have by themselves: it is also asked of rows that were read before.

    Raises:
        ConfigurationError: naming the column.
    """
    if not _SYSTEM.search(where):
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    form = "explain select ({text}\n) from (select {columns} from {table}) as t"
    question = sql.SQL(form).format(text=trusted(where), columns=columns, table=table.identifier)
    try:
        with connection.transaction(force_rollback=True), psycopg.Cursor(connection) as cursor:
            cursor.execute(sql.SQL("select {}").format(AS_USERS))
            cursor.execute(question, {}, binary=True)
    except errors.UndefinedColumn as error:
        named = _SYSTEM.search(error.diag.message_primary or "")
        if named is not None:
            msg = f"where={where!r} uses {named[0]}, which is no column of the user's; leave it out"
            raise ConfigurationError(msg) from None
    except psycopg.Error:
        pass  # something else is wrong with it; the claim reports that


def _refuse_broken(connection: psycopg.Connection[Any], option: str, text: str) -> None:
    """Refuse a text that is not whole: in its place it would mean something else, `true) or (true` say.

    Raises:
        ConfigurationError: with Postgres' reason.
    """
    if (option, text) in _whole:
        return
    for frame in _FRAMES[option]:
        question = sql.SQL("explain {}").format(sql.SQL(frame).format(text=trusted(text)))
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(question, {}, binary=True)  # one statement
        except errors.SyntaxError as error:
            msg = f"{option}={text!r} cannot stand by itself: {reason(error)}; write it whole"
            raise ConfigurationError(msg) from None
        except psycopg.Error:
            pass  # it has no table here
    _whole.add((option, text))


def _resolved(connection: psycopg.Connection[Any], table: Table, option: str, text: str) -> str:
    _refuse_broken(connection, option, text)
    try:
        return _looked_up(connection, table, option, text)
    except (errors.ProtocolViolation, errors.UndefinedParameter):
        msg = f"{option}={text!r} has a parameter such as $1, for which there is no value; write the value"
        raise ConfigurationError(msg) from None


def _looked_up(connection: psycopg.Connection[Any], table: Table, option: str, text: str) -> str:
    question = sql.SQL(_FORMS[option]).format(text=trusted(text), table=table.identifier)
    is_plain = _is_known(connection, question)
    if is_plain and not any(column.comparison for column in table.columns.values()):
        return text
    try:
        with connection.transaction(force_rollback=True):
            definition, stranger = _written_out(connection, table, question)
    except errors.InsufficientPrivilege as error:
        if is_plain:
            return text
        msg = (
            f"{option}={text!r} uses names that are not in pg_catalog, and this role may not look them up: "
            f"{error.diag.message_primary}; write them with their schema, operators as operator(schema.=), "
            "or grant temporary"
        )
        raise ConfigurationError(msg) from None
    except errors.UndefinedParameter:
        raise
    except (psycopg.ProgrammingError, psycopg.DataError):
        return text  # not valid SQL for this table; the claim reports that
    if stranger is None:
        return _text_of(option, definition)
    if is_plain:
        return text
    msg = (
        f"{option}={text!r} uses {stranger[0]}, which belongs to {stranger[1]}, who could run anything with this "
        "role's rights; write the name with its schema if it is meant, or drop it"
    )
    raise ConfigurationError(msg)


def _is_known(connection: psycopg.Connection[Any], question: sql.Composed) -> bool:
    """Tell whether `pg_catalog` has all names that are written without a schema."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(SET_OWN)
            connection.execute(sql.SQL("explain {}").format(question), {}, binary=True)  # one statement
    except _UNKNOWN:
        return False
    except (psycopg.ProgrammingError, psycopg.DataError):
        return True  # something else is wrong with it; the claim reports that
    return True


def _written_out(
    connection: psycopg.Connection[Any], table: Table, question: sql.Composed
) -> tuple[str, tuple[str, str] | None]:
    """Return a query as Postgres understands it, and an object that it uses of an untrusted owner, with that owner.

    It is parsed under the users' path, and not run.
    """
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(sql.SQL("select {}").format(AS_USERS))
        cursor.execute(sql.SQL("create temporary view poller_text as {}").format(question), {}, binary=True)
        cursor.execute(SET_OWN)
        row = cursor.execute(f"select pg_get_viewdef('{_VIEW}'::regclass)").fetchone()
        asked = {"view": _VIEW, "table": table.oid}
        stranger = cursor.execute(statement("text_owners"), asked).fetchone()
    return ("" if row is None else str(row[0])), stranger


def _text_of(option: str, definition: str) -> str:
    """Return the text within the definition of its view."""
    if option == "where":
        return definition.strip().removeprefix("SELECT ").rpartition(' AS "~text"')[0]
    return definition.partition("ORDER BY ")[2].rstrip("; \n")
