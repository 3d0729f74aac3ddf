"""Lists the handlers that have limits, and how much of each the whole fleet has used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from poller.db.statements import statement

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A handler with limits, as a worker has registered them last.

    Attributes:
        limit: how many of its rows may be in flight; None for any number.
        per_key: the columns whose equal values are handled one at a time, or `per_key_limit` of them.
        rate: how many rows may begin within `window` seconds; None for any number.
        begun: how many have begun within the window; None without a rate.
        next_in: the seconds until the first of those leaves the window; None if there is none.
    """

    table: str
    status: str
    limit: int | None
    in_flight: int
    per_key: list[str]
    per_key_limit: int | None
    rate: int | None
    window: float | None
    begun: int | None
    next_in: float | None


def limits(connection: psycopg.Connection[Any]) -> list[LimitLine]:
    """Return a line for each handler that has a limit, a rate or turns by key."""
    with connection.cursor(row_factory=class_row(LimitLine)) as cursor:
        return cursor.execute(statement("limits"), {}).fetchall()
