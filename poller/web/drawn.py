"""A state machine as it is drawn at the desk: what stands in its statuses and on its moves.

It is drawn twice: from left to right (`across`), and as a list from top to bottom for a narrow screen (`down`). A number
that is not known is left out; words and marks tell a state, never a colour alone. A retry is not a move here: the status
has a mark that counts the rows that are tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poller.drawing.layout import columns_of
from poller.telemetry.printable import one_line
from poller.web.rendering import word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from poller.client.graph import Edge, Machine
    from poller.client.overview import Edges, Watched
    from poller.client.status import StatusLine

# Lengths are pixels of an SVG whose text is of 13 pixels, and of 11.5 where it is small.
LETTER, SMALL = 8.2, 7.4  # of the widest fonts that Linux falls back to
ICON, BETWEEN, PADDING = 15.0, 10.0, 14.0
AGE = 7 * SMALL  # "64m ago"
SHORT = 3  # columns
LONGEST = 22  # characters of a status's name
LABEL = 18  # characters of a function's name on its move


@dataclass(frozen=True, slots=True)
class Mark:
    """How many rows of a status are in some state: an icon and a number.

    Attributes:
        kind: flight, waiting, parked or paused.
        x: where it begins, from the left side of its status.
    """

    kind: str
    text: str
    x: float


@dataclass(frozen=True, slots=True)
class Status:
    """A status as it is drawn.

    Attributes:
        status: as the column has it; `name`: as there is room for it.
        count: how many rows show it, "" if that is not known.
        oldest: since when the first in line is there, of a status that a handler takes.
        said: all of it, to be read aloud.
    """

    status: str
    name: str
    count: str
    marks: tuple[Mark, ...]
    oldest: datetime | None
    is_taken: bool
    is_paused: bool
    said: str
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def least_width(self) -> float:
        """How wide it has to be for what it says."""
        above = (columns_of(self.name) + columns_of(self.count)) * LETTER + BETWEEN
        beneath = self.marks[-1].x + width_of(self.marks[-1]) if self.marks else PADDING
        return max(above + 2 * PADDING, beneath + (BETWEEN + AGE if self.oldest else 0.0) + PADDING)


@dataclass(frozen=True, slots=True)
class Move:
    """A move as it is drawn: its path, the status that it leads to, and what stands on it, where."""

    path: str
    kind: str
    to: str
    name: str = ""
    rate: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A machine in one direction; `top` is where its picture begins."""

    direction: str
    width: float
    height: float
    statuses: tuple[Status, ...]
    moves: tuple[Move, ...]
    top: float = 0.0

    @property
    def is_short(self) -> bool:
        """Tell whether there is room for another one beside it."""
        return len({each.x for each in self.statuses}) <= SHORT


class Numbers:
    """What is known of a machine, as texts for its picture."""

    def __init__(self, watched: Watched) -> None:
        self._lines = {each.status: each for each in watched.statuses}
        self._handlers = {each.status: each for each in watched.handlers}
        self._held = dict(self._during(watched.machine)) | self._handlers

    def status(self, name: str) -> Status:
        """Return a status with all that it says, not yet at its place."""
        line, handler = self._lines.get(name), self._handlers.get(name)
        shown, is_paused = word(one_line(name)), handler is not None and handler.paused
        return Status(
            status=name,
            name=shortened(shown, LONGEST),
            count=rows(line),
            marks=tuple(_marks(line, is_paused=is_paused)),
            oldest=line.oldest if line and handler else None,
            is_taken=handler is not None,
            is_paused=is_paused,
            said=_said_of(shown, line, is_paused=is_paused),
        )

    def move(self, edge: Edge) -> Move:
        """Return a move with what it says, not yet at its place.

        The name of a handler stands where its rows leave; how many they are, where they arrive.
        """
        handler = self._held.get(edge.from_) if edge.kind == "move" else None
        done = 0.0 if handler is None else handler.done_to.get(edge.to, 0.0)
        leaves = handler is not None and handler.status == edge.from_
        name = one_line(handler.function.rpartition(".")[2]) if handler and leaves else ""
        return Move(
            path="",
            kind=edge.kind,
            to=one_line(edge.to),
            name={"failure": "on failure", "seen": "undeclared"}.get(edge.kind, shortened(name, LABEL)),
            rate=rate(done) if done else "",
        )

    def _during(self, machine: Machine) -> Iterator[tuple[str, Edges]]:
        """Yield the statuses that rows show while they are leased, each with its handler."""
        for edge in machine.edges:
            handler = self._handlers.get(edge.from_)
            if edge.kind == "move" and handler is not None and edge.to not in handler.to:
                yield edge.to, handler


def without_retries(machine: Machine) -> Machine:
    """Return a machine without the moves that lead back to an earlier try."""
    return replace(machine, edges=tuple(each for each in machine.edges if each.kind != "retry"))


def rows(line: StatusLine | None) -> str:
    """Return how many rows show a status."""
    return "" if line is None else f"{'' if line.exact else '≈ '}{line.rows:,}"


def rate(value: float) -> str:
    """Return a number of rows a minute."""
    return f"{value:,.0f}/min" if value >= 10 else f"{value:.1f}/min"  # noqa: PLR2004 - as people read it


def shortened(text: str, most: int) -> str:
    """Return a text that has so many characters at the most."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def width_of(mark: Mark) -> float:
    """Return how wide a mark is."""
    return ICON + len(mark.text) * SMALL


def _marks(line: StatusLine | None, *, is_paused: bool) -> Iterator[Mark]:
    found = [("paused", "paused")] if is_paused else []
    if line is not None:
        counts = (("flight", line.in_flight), ("waiting", line.waiting), ("parked", line.parked))
        found += [(kind, f"{count:,}") for kind, count in counts if count]
    x = PADDING
    for kind, text in found:
        yield (made := Mark(kind, text, x))
        x += width_of(made) + BETWEEN


def _said_of(name: str, line: StatusLine | None, *, is_paused: bool) -> str:
    parts = [f"{name}: {rows(line)} rows" if line else f"{name}: not counted"]
    if line is not None:
        counts = (("in flight", line.in_flight), ("waiting", line.waiting), ("parked", line.parked))
        parts += [f"{count:,} {state}" for state, count in counts if count]
    return ", ".join(parts + ["paused"] * is_paused)
