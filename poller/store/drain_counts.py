"""Counts of what a fleet holds and has done, for `Drain`.

An instance belongs to one thread, since its link does. The methods raise psycopg's errors as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from psycopg.errors import LockNotAvailable

from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows, only_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import sql

    from poller.db.connection import Link
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """Counts: what the fleet holds now, and what it has done since some minute."""

    in_flight: int
    waiting: int
    moved: int
    failed: int
    parked: int


@dataclass(frozen=True, slots=True)
class PausedHandler:
    """A handler's pause: since when, by whom, and until when; None if it has no end."""

    handler_id: int
    since: datetime
    by: str | None
    until: datetime | None


class Obstacle(Enum):
    """What keeps a handler's due rows from being taken, in words."""

    LOCK = "another transaction has them locked"
    ROW_SECURITY = "row security shows them to this role, and keeps it from changing them"
    UNKNOWN = "no worker takes them"


class DrainCounter:
    """The statements of a drain, on one link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        row = self.link.connection.execute("select poller.now()").fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return cast("datetime", row[0])

    def fleet(self, bindings: Sequence[Binding], since: datetime) -> FleetCounts:
        """Return the rows in flight and waiting, and the sums of the minute counts from that of `since` on."""
        asked = {
            "handlers": array(binding.id for binding in bindings),
            "since": since.replace(second=0, microsecond=0),
        }
        return only_row(self.link.connection, statement("fleet"), asked, FleetCounts)

    def paused(self, bindings: Sequence[Binding]) -> dict[int, PausedHandler]:
        """Return the pause of each handler, by its id, that is paused now."""
        asked = {"handlers": array(binding.id for binding in bindings)}
        found = all_rows(self.link.connection, statement("paused"), asked, PausedHandler)
        return {each.handler_id: each for each in found}

    def left_alone(self, bindings: Sequence[Binding]) -> tuple[int, int]:
        """Count the rows that are parked, and those that are snoozed."""
        asked = {"handlers": array(binding.id for binding in bindings)}
        row = self.link.connection.execute(statement("left_alone"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        return row[0], row[1]

    def is_awaited(self, bindings: Sequence[Binding]) -> bool:
        """Tell whether a row of these handlers waits for another attempt that it will get as it is."""
        return any(self._answer(each.waits_for_attempt) for each in self._waiting(bindings))

    def on_hold(self, bindings: Sequence[Binding]) -> dict[Binding, int]:
        """Count the rows of each handler that have failed and are not due for now, where it has any."""
        counts = {each: self._answer(each.count_on_hold) for each in self._waiting(bindings)}
        return {each: rows for each, rows in counts.items() if rows}

    def _waiting(self, bindings: Sequence[Binding]) -> list[Binding]:
        asked = {"handlers": array(binding.id for binding in bindings)}
        found = {handler for (handler,) in self.link.connection.execute(statement("waiting_handlers"), asked)}
        return [each for each in bindings if each.id in found]

    def obstacle(self, binding: Binding) -> Obstacle:
        """Tell why no worker takes a handler's rows, which are due, as far as that can be known."""
        if binding.handler.is_job:
            return Obstacle.UNKNOWN
        try:
            found = self.link.connection.execute(binding.kept_back, {}).fetchone()
        except LockNotAvailable:
            return Obstacle.LOCK
        is_hidden = found is None and binding.table.row_security
        return Obstacle.ROW_SECURITY if is_hidden else Obstacle.UNKNOWN

    def count_due(self, bindings: Sequence[Binding]) -> int:
        """Count the rows that are due and not parked."""
        return sum(self._answer(each.count_due) for each in bindings)

    def _answer(self, question: sql.Composed) -> Any:
        row = self.link.connection.execute(question, {}).fetchone()
        assert row is not None  # noqa: S101 - it is one value
        return row[0]
