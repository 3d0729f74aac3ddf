"""Keys that no row can have any more, since a migration has given the table's key another type or other columns.

By such a key nothing can be looked up: one of them, in a lease or remembered for a retry, would fail each claim of its
handler, and each look at what has moved on. The row is gone, under that key at least: what is known of it is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.statements import array, statement
from poller.telemetry.bus import emit
from poller.telemetry.events import KeysDropped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.binding import Binding


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


def lost(connection: psycopg.Connection[Any], binding: Binding, keys: Sequence[str]) -> list[str]:
    """Return those keys that the table's key cannot be; they are told from the others by halves."""
    if not keys:
        return []
    try:
        with connection.transaction():
            connection.execute(binding.read_keys, {"keys": array(keys)})
    except psycopg.DataError:
        if len(keys) == 1:
            return list(keys)
        middle = len(keys) // 2
        return [key for half in (keys[:middle], keys[middle:]) for key in lost(connection, binding, half)]
    return []


def drop(connection: psycopg.Connection[Any], binding: Binding, keys: Sequence[str]) -> None:
    """Give up the leases of keys, forget what is remembered by them, and say so."""
    if keys:
        connection.execute(statement("drop_keys"), {"handler": binding.id, "keys": array(keys)})
        emit(KeysDropped(**binding.named, rows=len(keys), key=keys[0]))
