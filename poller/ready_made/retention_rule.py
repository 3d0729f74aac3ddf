"""The fixed part of `purge` and `age_out`: which rows of a table are old, and what becomes of them. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from poller.duration import words
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.model.table_name import TableName

LARGEST_BATCH_ROWS = 100_000  # rows
OLDEST_SECONDS = 36_525 * 86_400.0  # a hundred years, as for schedules; anything older is a mistake


class StatusChange(NamedTuple):
    """From which status to which a row goes once it is old."""

    column: str
    status: str
    to: str


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Which rows of a table are old, and what becomes of them. Durations are seconds.

    Attributes:
        table: the table.
        column: the timestamp or date that tells a row's age; a row without one is never old.
        older_than: how old a row must be.
        where: a further condition on the table's own columns, or None.
        move: the status that old rows get; None deletes them.
        batch: how many rows one transaction takes at the most.
        pause: how long to wait between two of them.
    """

    table: TableName
    column: str
    older_than: float
    where: str | None
    move: StatusChange | None
    batch: int
    pause: float

    def __str__(self) -> str:
        """Return what it does, in words: `deletes the rows of audit whose created_at is older than 180d`."""
        what = "deletes the rows" if self.move is None else f"moves the {self.move.status} rows"
        to = "" if self.move is None else f" to {self.move.to}"
        return f"{what} of {self.table} whose {self.column} is older than {words(self.older_than)}{to}"


def check_options(rule: RetentionRule) -> None:
    """Refuse what cannot work, whatever the database says.

    Raises:
        ConfigurationError: with the reason.
    """
    names = {"column": rule.column, "where": "true" if rule.where is None else rule.where}
    if rule.move is not None:
        names["status_column"] = rule.move.column
        if rule.move.status == rule.move.to:
            msg = f"to is {rule.move.to!r}, the status the rows already have"
            raise ConfigurationError(msg)
    for option, text in names.items():
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            msg = f"{option} must be a string, got {text!r}"
            raise ConfigurationError(msg)
    if not 0 < rule.older_than <= OLDEST_SECONDS:
        msg = f"older_than must be more than 0s and at most 36525d, got {rule.older_than:g}s"
        raise ConfigurationError(msg)
    if rule.pause > OLDEST_SECONDS:
        msg = f"pause must be at most 36525d, got {rule.pause:g}s"
        raise ConfigurationError(msg)
    if (
        isinstance(rule.batch, bool)
        or not isinstance(rule.batch, int)
        or not 1 <= rule.batch <= LARGEST_BATCH_ROWS
    ):
        msg = f"batch must be a number from 1 to {LARGEST_BATCH_ROWS}, got {rule.batch!r}"
        raise ConfigurationError(msg)
