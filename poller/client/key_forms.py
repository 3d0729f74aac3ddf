"""Finds the forms in which poller may have written a key that a person has written in a way of their own.

What poller keeps of a row it keeps by its key's text, as Postgres writes that: an uuid in small letters, an instant in
UTC, a composite key as a JSON array. A person may write the same key otherwise, and means the same row.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.client.refusals import RefusedError
from poller.client.selector import same_key
from poller.db.statements import array, statement
from poller.db.tables import describe
from poller.errors import ConfigurationError
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.db.statements import Statement
    from poller.db.tables import Table

EMPTY = '[""]'  # how a selector names the row whose key is the empty text: nothing after its last colon is an error
_JSON = ("json", "jsonb")
BATCH_ROWS = 1000  # keys that one statement asks for
# What there is in any text that Postgres reads as one, however it may be written.
_NUMBER, _UUID = re.compile(r"[0-9]"), re.compile(r"(?:[0-9A-Fa-f]-?){32}")
_LOOKS = {"smallint": _NUMBER, "integer": _NUMBER, "bigint": _NUMBER, "uuid": _UUID}
_NO_ANSWER = (psycopg.ProgrammingError, psycopg.errors.LockNotAvailable)


def read_key(table: Table, key: str) -> str:
    """Return a key as the table's statements take it.

    Raises:
        RefusedError: the table's key is composite, and this one has not as many parts.
    """
    if len(table.key) == 1:
        return "" if key == EMPTY and table.columns[table.key[0]].type not in _JSON else key
    if is_whole(table, key):
        return key
    names = ", ".join(table.key)
    msg = f"{key!r} cannot be a key of {table}: give its {len(table.key)} parts ({names}) as a JSON array"
    raise RefusedError(msg, "no_key")


def is_whole(table: Table, key: str) -> bool:
    """Tell whether a text has as many parts as the table's key: Postgres' statements look at the first of them only."""
    if len(table.key) == 1:
        return True
    try:
        parts = json.loads(key)
    except (ValueError, RecursionError):
        return False
    return isinstance(parts, list) and len(parts) == len(table.key)


def may_be_key(table: Table, key: str) -> bool:
    """Tell whether a text may be a key of a table: False, if that is plain without asking Postgres, who decides."""
    if len(table.key) > 1:
        return is_whole(table, key)
    looks = _LOOKS.get(table.columns[table.key[0]].type)
    return looks is None or looks.search(key) is not None


def key_forms(connection: psycopg.Connection[Any], table: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Return keys of a table in all forms in which they may be stored, the given ones first.

    Raises:
        RefusedError: one has not as many parts as the table's key.
    """
    try:
        with connection.transaction():
            described = describe(connection, table_name(table), look=True)
    except (ConfigurationError, psycopg.errors.LockNotAvailable):  # it is gone, or not to be looked at
        return tuple(dict.fromkeys(form for key in keys for form in same_key(key)))
    keys = [read_key(described, each) for each in keys]
    found = list(keys)
    for question in _questions(described):
        for at in range(0, len(keys), BATCH_ROWS):
            found += _asked(connection, question, keys[at : at + BATCH_ROWS])
    return tuple(dict.fromkeys(found))


def _questions(table: Table) -> Iterator[Statement]:
    names = sql.SQL(", ").join(map(sql.Identifier, table.key))
    casts = sql.SQL(", ").join(table.key_casts("k.key"))
    yield statement("key_forms", key=table.key_text(), casts=casts, names=names)
    yield statement(
        "key_forms_of_rows",
        key=table.key_text(),
        table=table.identifier,
        users=table.users,
        is_asked=table.is_key("k.key"),
    )


def _asked(connection: psycopg.Connection[Any], question: Statement, keys: Sequence[str]) -> list[str]:
    """Return what a question finds; nothing of a key that cannot be one of the table's, or if the table is locked.

    One such key is told apart from its neighbours by halves.
    """
    try:
        with connection.transaction():
            return [row[0] for row in connection.execute(question, {"keys": array(keys)}).fetchall()]
    except psycopg.DataError:
        middle = len(keys) // 2
        parts = (keys[:middle], keys[middle:]) if middle else ()
        return [form for part in parts for form in _asked(connection, question, part)]
    except _NO_ANSWER:
        return []
