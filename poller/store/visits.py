"""The forgetter's statements: what poller remembers of rows between their attempts.

An instance belongs to one thread, since its link does. The methods raise psycopg's errors as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.db.statements import array, statement
from poller.runtime.failpoints import reach

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from poller.db.connection import Link
    from poller.store.binding import Binding

FORGET_BATCH = 1000  # remembered rows in one look (stray_attempts.sql)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The result of a look at remembered rows.

    Attributes:
        rows: how many were forgotten.
        last: the digest to continue from; None if there are no more.
    """

    rows: int
    last: str | None


class Visits:
    """The statements of a forgetter, on one link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def remembering(
        self, handlers: Iterable[int], supervisor: UUID
    ) -> tuple[float, list[tuple[int, int, int]]]:
        """Return the clock, in seconds, and the handlers that remember rows.

        Each has its id, how many other supervisors know it, and how many of these come before this one.
        """
        asked = {"handlers": array(handlers), "supervisor": supervisor}
        row = self.link.connection.execute(statement("remembering"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        return row[0], [(handler, others, before) for handler, others, before in row[1]]

    def forget_strays(self, binding: Binding, after: str) -> Forgotten:
        """Look at the next rows that a handler remembers, and forget those that are gone or show another status."""
        connection = self.link.connection
        with connection.transaction():
            asked: dict[str, Any] = {"handler": binding.id, "after": after}
            row = connection.execute(binding.stray_attempts, asked).fetchone()
            assert row is not None  # noqa: S101 - a select without from has one row
            last, looked, strays, _ = row
            reach("strays locked")
            asked = {"handler": binding.id, "keys": array(strays)}
            rows = connection.execute(binding.forget, asked).rowcount if strays else 0
            reach("strays forgotten")
        return Forgotten(rows, last if looked == FORGET_BATCH else None)
