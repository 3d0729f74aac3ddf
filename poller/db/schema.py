"""Checks poller's own schema in a database: its version and its owner. `migration` creates it."""

from __future__ import annotations

from typing import Any

import psycopg

from poller.db.statements import statement
from poller.errors import DatabaseError

NEWEST = "0024"


def version(connection: psycopg.Connection[Any]) -> str | None:
    """Return the version of poller's schema in this database, or None if it has none.

    Raises:
        DatabaseError: the role may not look at it, or should not (`refuse_strangers`).
    """
    refuse_strangers(connection)
    try:
        row = connection.execute(statement("schema_version"), {}).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    except psycopg.errors.InsufficientPrivilege:
        msg = (
            f"the role {connection.info.user} may not use the schema poller; "
            "grant it what the README lists under 'Least privilege'"
        )
        raise DatabaseError(msg) from None
    return row and row[0]


def refuse_strangers(connection: psycopg.Connection[Any], *, migrates: bool = False) -> None:
    """Refuse a schema that an untrusted role owns or may add to: its contents run with our rights.

    Args:
        connection: nothing of the schema was used on it yet.
        migrates: we are about to create or change it, so it must be ours.

    Raises:
        DatabaseError: what it is, and whose.
    """
    row = connection.execute(statement("untrusted_objects"), {"migrates": migrates}).fetchone()
    if row is not None:
        msg = (
            f"{row[0]} belongs to {row[1]}, who is neither this role, the database's owner nor a superuser, and could "
            "run anything with this role's rights; act as that role, or drop it"
        )
        raise DatabaseError(msg)


def require(connection: psycopg.Connection[Any]) -> None:
    """Make sure that the schema exists in the version that this poller knows.

    Raises:
        DatabaseError: it is missing, older or newer; the text says what to run.
    """
    found = version(connection)
    if found is None:
        msg, reason = "this database has no schema poller yet", "no_schema"
    elif found < NEWEST:
        msg, reason = f"poller's schema is at {found} and this version needs {NEWEST}", "old_schema"
    elif found > NEWEST:
        msg, reason = (
            f"poller's schema is at {found}, newer than this version knows ({NEWEST}); update poller",
            "",
        )
    else:
        return
    raise DatabaseError(msg, reason)
