"""What a retention job needs of its run, and its report: how many rows went, and which were left, for which reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from poller.model.answers import Interrupted

if TYPE_CHECKING:
    import logging
    from contextlib import AbstractContextManager

    import psycopg

MOST_ALONE_ROWS = 100  # rows that are tried alone in a run


class StopSignal(Protocol):
    """An event that tells a run to stop."""

    def __bool__(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is to stop, for so many seconds at most; return whether it is."""
        ...


class RetentionRun(Protocol):
    """The part of a `Run` that a rule needs; the client has its own."""

    @property
    def cancelled(self) -> StopSignal:
        """Whether to stop."""
        ...

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """A logger for errors."""
        ...

    def tell(self, line: str) -> None:
        """Report what was done: it is kept with the run, whatever the log's level."""
        ...

    def progress(self, done: float, total: float | None = None) -> None:
        """Report how many rows are done; the total is an estimate."""
        ...

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Open a connection in autocommit mode, for the rule alone."""
        ...


class StoppedError(Interrupted):
    """The run was told to stop between two batches; its next attempt, or the next run, does the rest.

    Attributes:
        done: what was done until then.
    """

    def __init__(self, done: RetentionReport) -> None:
        super().__init__(f"stopped; {done.line()}")
        self.done = done


@dataclass
class RetentionReport:
    """What a run has done.

    Attributes:
        table: the table, with its schema.
        verb: what became of old rows: `deleted`, or `moved`.
        rows: how many.
        locked: how many were left because another session had them, or dependent rows, locked.
        held: how many were left because handlers hold them.
        kept: how many were left because a foreign key needs them, by its name.
        refused: how many were left because a trigger or a constraint refused them, by its message.
        untried: how many were left beside others that were refused, after too many of those.
        partitions: the partitions that were dropped.
        notes: further remarks, a line each.
    """

    table: str
    verb: str
    rows: int = 0
    locked: int = 0
    held: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    untried: int = 0
    partitions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many rows were looked at."""
        return (
            self.rows
            + self.locked
            + self.held
            + sum(self.kept.values())
            + sum(self.refused.values())
            + self.untried
        )

    def line(self) -> str:
        """Return all of it in one line."""
        parts = [f"{self.verb} {_rows(self.rows)} of {self.table}"]
        if self.partitions:
            parts.append(
                f"dropped {_plural(len(self.partitions), 'partition')}: {', '.join(self.partitions)}"
            )
        if self.locked:
            parts.append(f"left {_rows(self.locked)} that others hold to the next run")
        if self.held:
            parts.append(f"left {_rows(self.held)} that handlers have in hand to the next run")
        parts += [f"kept {_rows(many)} that {key} needs" for key, many in _most(self.kept)]
        parts += [f"{_rows(many)} refused: {why}" for why, many in _most(self.refused)[:5]]
        if self.untried:
            parts.append(
                f"left {_rows(self.untried)} beside refused ones, as more than {MOST_ALONE_ROWS} were refused"
            )
        return "; ".join([*parts, *self.notes])


def _rows(many: int) -> str:
    return _plural(many, "row")


def _plural(many: int, what: str) -> str:
    return f"{many:,} {what}" + ("" if many == 1 else "s")


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: -each[1])
