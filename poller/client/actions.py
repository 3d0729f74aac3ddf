"""The log of people's orders: who, when, through which face, and what each reached."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from poller.client.answers import aside
from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import psycopg

PAUSE_SECONDS = 0.05  # between two looks at rows that others have locked
BATCH_ROWS = 1000  # rows that one statement of an order reaches


@dataclass(frozen=True, slots=True)
class Action:
    """An order that has been carried out.

    Attributes:
        at: when, by the database's clock.
        actor: the database's role; behind it in parentheses the person, where the face knows one.
        via: the face: `cli`, `top`, `desk`, `api` or `python`.
        action: the name of the client's method.
        target: the selector, job, run or table that it was given.
        affected: how many rows, jobs, runs or tables it changed.
        id: its number.
        filter: the keys given beside the selector.
        detail: further details: the status that rows were moved to, or how long a pause lasts.
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

    @property
    def meant(self) -> str:
        """What it was given, in one line: the target, the keys beside it, and further details."""
        return " ".join([self.target, *(self.filter or ()), *([self.detail] if self.detail else ())])


@dataclass(frozen=True, slots=True)
class Author:
    """Who orders: through which face, and which person if the face knows one."""

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
        """Log an order in the transaction that carries it out, and return its number."""
        asked = {"via": self.via, "person": self.person, "action": action, "target": str(target)}
        filtered = array(keys) if keys else None
        beside = {"filter": filtered, "detail": detail, "affected": affected}
        row = connection.execute(statement("enter_action"), asked | beside).fetchone()
        assert row is not None  # noqa: S101 - it was entered
        return int(row[0])


class Batches:
    """Carries an order out in batches, each in its own transaction, and logs what it has reached so far.

    Args:
        connection: in autocommit mode; in the caller's transaction the batches are part of that.
        enter: writes the order down with how many rows it has reached, and returns its number.
        progress: called after each batch with how many rows have been reached.
        stop: once it is set, the order ends after the current batch.
        most: the order ends once it has reached so many rows; None: it reaches all.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        enter: Callable[[int], int],
        progress: Callable[[int], object] | None = None,
        stop: threading.Event | None = None,
        most: int | None = None,
    ) -> None:
        self._connection = connection
        self._enter = enter
        self._progress = progress
        self._stop = stop or threading.Event()
        self._most = most
        self._number: int | None = None
        self._batch = 0
        self.rows = 0

    @property
    def is_stopped(self) -> bool:
        """Whether the order was told to stop."""
        return self._stop.is_set()

    @property
    def room(self) -> int:
        """How many rows the next batch may reach."""
        return BATCH_ROWS if self._most is None else min(BATCH_ROWS, self._most - self.rows)

    @property
    def is_over(self) -> bool:
        """Whether no further batch is to be carried out."""
        return self.is_stopped or self.room <= 0

    @contextlib.contextmanager
    def next(self) -> Iterator[None]:
        """Carry out a batch and log it: both or neither."""
        self._batch, number = 0, self._number
        with self._connection.transaction():
            yield
            if self._batch and number is None:
                number = self._enter(self._batch)
            elif self._batch:
                more = {"id": number, "affected": self._batch}
                self._connection.execute(statement("add_to_action"), more)
        self._number = number  # a deferred constraint may refuse the batch at its commit
        self.rows += self._batch
        if self._batch and self._progress is not None:
            self._progress(self.rows)

    def reached(self, rows: int) -> None:
        """Record how many rows the current batch has reached."""
        self._batch = rows

    def pause(self) -> None:
        """Wait a moment for others to release locks, or until told to stop."""
        self._stop.wait(PAUSE_SECONDS)


def actions(
    connection: psycopg.Connection[Any], after: int | None = None, limit: int | None = None
) -> list[Action]:
    """Return the orders that were carried out, the newest first; only those before this number, if given."""
    with connection.cursor(row_factory=class_row(Action)) as cursor:
        return cursor.execute(statement("actions"), {"after": after, "limit": limit}).fetchall()


def may_order(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the role may give orders for rows and workers."""
    row = connection.execute(statement("may_order"), {}).fetchone()
    return bool(row and row[0])


def may_enter(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether orders can be logged here: a purge needs neither poller's schema nor rights in it."""
    row = connection.execute(statement("may_enter_action"), {}).fetchone()
    return bool(row and row[0])
