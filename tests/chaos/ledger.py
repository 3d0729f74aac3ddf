"""The ledger outside the database: what handlers noted of their calls, read from the files of their processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(slots=True)
class NotedCall:
    """One call of a handler for one row.

    Attributes:
        table: whose row.
        key: of the row.
        visit: `ctx.key`.
        attempt: `ctx.attempt`.
        pid: of the worker that made it.
        began: when, by the clock that all processes of the machine share (monotonic).
        began_at: when (Unix time).
        ended: when it ended (monotonic); None if its process was killed.
        ended_at: when it ended (Unix time).
        outcome: "answer", or the name of what it raised.
    """

    table: str
    key: int
    visit: str
    attempt: int
    pid: int
    began: float
    began_at: float
    ended: float | None = None
    ended_at: float | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class NotedRun:
    """One run of a job."""

    job: str
    slot: int
    attempt: int


def read(folder: Path) -> tuple[list[NotedCall], list[NotedRun]]:
    """Return what the files in a project's folder say; a last line that a kill has cut is left out."""
    calls: dict[str, NotedCall] = {}
    runs: list[NotedRun] = []
    for path in sorted(folder.glob("ledger-*")):
        for parts in _lines(path):
            match parts:
                case ["begin", call, table, key, visit, attempt, pid, began, at]:
                    calls[call] = NotedCall(
                        table, int(key), visit, int(attempt), int(pid), float(began), float(at)
                    )
                case ["end", call, outcome, ended, at]:
                    one = calls[call]
                    one.ended, one.ended_at, one.outcome = float(ended), float(at), outcome
                case ["run", job, slot, attempt, _, _]:
                    runs.append(NotedRun(job, int(slot), int(attempt)))
    return list(calls.values()), runs


def _lines(path: Path) -> Iterator[list[str]]:
    for line in path.read_text().splitlines():
        yield line.split("\t")
