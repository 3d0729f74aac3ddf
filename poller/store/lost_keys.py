"""Keys that no row can have any more, since a migration has given the table's key another type or other columns.

By such a key nothing can be looked up: one of them, in a lease or remembered for a retry, would fail each claim of its
handler, and each look at what has moved on. The row is gone, under that key at least: what is known of it is dropped.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.statements import array, statement
from poller.telemetry.bus import emit
from poller.telemetry.events import KeysDropped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.binding import Binding

SECONDS = 1.0  # for one search; what it leaves is found by the next, as long as it fails something
# What Postgres raises for a text that is no value of a type: a domain's constraints have a class of their own.
UNREADABLE = (psycopg.DataError, psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)


def drop_lost_keys(connection: psycopg.Connection[Any], binding: Binding, after: str = "") -> int:
    """Drop what a handler knows of rows by keys that its table's key cannot be; return how many keys.

    Args:
        connection: of poller's own.
        binding: the handler, bound to its table as it is now.
        after: a digest, from which on what is remembered is looked at.
    """
    asked = {"handler": binding.id, "after": after}
    row = connection.execute(statement("known_keys"), asked).fetchone()
    keys = lost(connection, binding, list(dict.fromkeys(row[0] if row else ())))
    drop(connection, binding, keys)
    return len(keys)


def lost(
    connection: psycopg.Connection[Any], binding: Binding, keys: Sequence[str], until: float | None = None
) -> list[str]:
    """Return those keys that the table's key cannot be, as many as are found in time: they are told apart by halves.

    Args:
        connection: in autocommit mode.
        binding: the handler.
        keys: which may be some.
        until: when to end (monotonic); after `SECONDS` by default.
    """
    until = monotonic() + SECONDS if until is None else until
    if not keys or monotonic() > until:
        return []
    try:
        connection.execute(binding.read_keys, {"keys": array(keys)})
    except UNREADABLE:
        if len(keys) == 1:
            return list(keys)
        middle = len(keys) // 2
        return [
            key for half in (keys[:middle], keys[middle:]) for key in lost(connection, binding, half, until)
        ]
    return []


def drop(connection: psycopg.Connection[Any], binding: Binding, keys: Sequence[str]) -> None:
    """Give up the leases of keys, forget what is remembered by them, and say so."""
    if keys:
        connection.execute(statement("drop_keys"), {"handler": binding.id, "keys": array(keys)})
        emit(KeysDropped(**binding.named, rows=len(keys), key=keys[0]))
