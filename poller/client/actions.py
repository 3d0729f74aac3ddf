"""What people have ordered, as it is written down: who, when, by which face, and what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from poller.client.answers import aside
from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg


@dataclass(frozen=True, slots=True)
class Action:
    """An order that was carried out.

    Attributes:
        at: when, by the database's clock.
        actor: the database's role; behind it in parentheses the person, where the face knows one.
        via: the face: `cli` or `python`.
        action: the order, as the client's method is called.
        target: the selector, job, run or table that it was given.
        affected: how many rows, jobs, runs or tables it changed.
        id: its number.
        filter: the keys that were named beside the selector.
        detail: what was ordered beside that: the status that rows were moved to, or how long a pause lasts.
    """

    at: datetime
    actor: str
    via: str
    action: str
    target: str
    affected: int
    id: int = aside()
    filter: list[str] | None = aside()  # noqa: RUF009 - a field without a default
    detail: str | None = aside()


@dataclass(frozen=True, slots=True)
class Author:
    """Who orders: by which face, and which person if the face knows one."""

    via: str
    person: str | None

    def enter(  # noqa: PLR0913 - what makes a line of the list
        self,
        connection: psycopg.Connection[Any],
        action: str,
        target: object,
        affected: int,
        keys: Sequence[str] = (),
        *,
        detail: str | None = None,
    ) -> int:
        """Write down an order that was carried out on this connection; return its number. Both are there, or neither."""
        asked = {"via": self.via, "person": self.person, "action": action, "target": str(target)}
        filtered = array(keys) if keys else None
        beside = {"filter": filtered, "detail": detail, "affected": affected}
        row = connection.execute(statement("enter_action"), asked | beside).fetchone()
        return row[0] if row else 0


def actions(
    connection: psycopg.Connection[Any], after: int | None = None, limit: int | None = None
) -> list[Action]:
    """Return the orders that were carried out, the newest first; those before one of this number."""
    with connection.cursor(row_factory=class_row(Action)) as cursor:
        return cursor.execute(statement("actions"), {"after": after, "limit": limit}).fetchall()


def may_enter(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether orders can be written down here: a purge needs neither poller's schema nor rights in it."""
    row = connection.execute(statement("may_enter_action"), {}).fetchone()
    return bool(row and row[0])
