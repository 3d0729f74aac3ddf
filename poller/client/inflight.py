"""Lists the rows in flight: those that a worker holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from poller.client.selector import Selection


@dataclass(frozen=True, slots=True)
class Held:
    """A row in flight: it runs, waits in its worker for a slot, or its result is being written.

    Attributes:
        worker: the worker's number.
        since: when the worker claimed it.
    """

    table: str
    status: str
    key: str
    worker: int
    since: datetime


def inflight(
    connection: psycopg.Connection[Any],
    chosen: Selection,
    after: Sequence[Any] | None = None,
    limit: int | None = None,
) -> list[tuple[Held, list[Any]]]:
    """Return the rows in flight, the longest in flight first, each with its place in that order."""
    since, lease, key = after or (None, None, None)
    keys = None if chosen.keys is None else array(chosen.keys)
    asked = {"handlers": array(chosen.handlers), "keys": keys, "limit": limit}
    place = {"since": since, "lease": lease, "key": key}
    rows = connection.execute(statement("inflight"), asked | place).fetchall()
    return [(Held(*row[:-1]), [row[4], row[5], row[2]]) for row in rows]
