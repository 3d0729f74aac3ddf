"""A state machine as it is drawn at the desk: with the layout of `poller.drawing`, and numbers laid upon it.

Twice: from left to right, and from top to bottom for a narrow screen. A number that is not known is left out; a state is
told by words and marks, never by a colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.drawing.layout import CHARACTER, Sizes, columns_of, lay_out, transposed
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poller.client.graph import Edge, Node
    from poller.client.overview import Edges, Watched
    from poller.client.status import StatusLine
    from poller.drawing.layout import Arrow, Box, Picture

LONGEST = 22  # characters of a name in its box
LABEL = 18  # characters of a function's name on its move
HEIGHT = 66.0
ACROSS, DOWN = 148.0, 30.0
NARROW = Sizes(lambda _: 62.0, height=136.0, across=44.0, down=12.0)


@dataclass(frozen=True, slots=True)
class Status:
    """A status as it is drawn.

    Attributes:
        count: how many rows show it, "" if that is not known.
        marks: what is in flight, waiting and parked, as short texts; `trouble`: a mark of parked rows.
        said: all of it, to be read aloud.
    """

    name: str
    x: float
    y: float
    width: float
    height: float
    count: str
    marks: str
    trouble: str
    is_taken: bool
    is_paused: bool
    status: str
    said: str


@dataclass(frozen=True, slots=True)
class Move:
    """A move as it is drawn: its path, and where its two lines of text stand."""

    path: str
    kind: str
    said: str
    name: str = ""
    rate: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A machine in one direction."""

    direction: str
    width: float
    height: float
    statuses: tuple[Status, ...]
    moves: tuple[Move, ...]


def drawings(watched: Watched) -> tuple[Drawing, Drawing]:
    """Return a machine from left to right, and from top to bottom."""
    lines = {each.status: each for each in watched.statuses}
    handlers = {each.status: each for each in watched.handlers}
    across = lay_out(watched.machine, Sizes(lambda node: _width(node, lines), HEIGHT, ACROSS, DOWN))
    return (
        _drawing("across", across, lines, handlers),
        _drawing("down", transposed(lay_out(watched.machine, NARROW)), lines, handlers),
    )


def rows(line: StatusLine | None) -> str:
    """Return how many rows show a status."""
    return "" if line is None else f"{'' if line.exact else '≈ '}{line.rows:,}"


def rate(value: float) -> str:
    """Return a number of rows a minute."""
    return f"{value:,.0f}/min" if value >= 10 else f"{value:.1f}/min"  # noqa: PLR2004 - as people read it


def _drawing(
    direction: str, picture: Picture, lines: Mapping[str, StatusLine], handlers: Mapping[str, Edges]
) -> Drawing:
    statuses = tuple(
        _status(each, lines.get(each.node.status), handlers.get(each.node.status)) for each in picture.boxes
    )
    moves = tuple(_moves(picture, direction, handlers))
    return Drawing(direction, picture.width, picture.height, statuses, moves)


def _status(box: Box, line: StatusLine | None, handler: Edges | None) -> Status:
    name = one_line(box.node.status)
    in_flight, waiting, parked = (line.in_flight, line.waiting, line.parked) if line else (0, 0, 0)
    marks = [f"▶ {in_flight:,}"] * bool(in_flight) + [f"↻ {waiting:,}"] * bool(waiting)
    is_paused = handler is not None and handler.paused
    said = [f"{name}:", f"{rows(line) or 'not counted'} rows"]
    said += [f", {in_flight:,} in flight"] * bool(in_flight) + [f", {waiting:,} waiting"] * bool(waiting)
    said += [f", {parked:,} parked"] * bool(parked) + [", paused"] * is_paused
    return Status(
        name=shortened(name, min(LONGEST, int((box.width - 16) / CHARACTER))),
        x=box.x,
        y=box.y,
        width=box.width,
        height=box.height,
        count=rows(line),
        marks="  ".join((["⏸ paused"] if is_paused else []) + marks),
        trouble=f"⚠ {parked:,}" if parked else "",
        is_taken=handler is not None,
        is_paused=is_paused,
        status=box.node.status,
        said=" ".join(said).replace(" ,", ","),
    )


def _moves(picture: Picture, direction: str, handlers: Mapping[str, Edges]) -> Iterator[Move]:
    """Yield the moves; the name of a handler stands on its first one."""
    named: set[str] = set()
    held = {each.status: each for each in handlers.values()} | {
        during: each for each in handlers.values() for during in _during(picture, each)
    }
    for line in picture.lines:
        edge = line.edge
        handler = held.get(edge.from_) if edge.kind == "move" else None
        text = ""
        if handler is not None and handler.status not in named and edge.from_ == handler.status:
            named.add(handler.status)
            text = shortened(one_line(handler.function.rpartition(".")[2]), LABEL)
        done = 0.0 if handler is None else handler.done_to.get(edge.to, 0.0)
        x, y = _middle(line.points)
        is_across = direction == "across"
        yield Move(
            path=_path(line, is_across=is_across),
            kind=edge.kind,
            said=_said(edge),
            name=text if is_across else "",
            rate=rate(done) if done else "",
            x=x,
            y=y,
        )


def _during(picture: Picture, handler: Edges) -> list[str]:
    """Return the status that a handler's rows show while they are leased."""
    begun = [
        each.to for each in picture.machine.edges if each.from_ == handler.status and each.kind == "move"
    ]
    return [each for each in begun if each not in handler.to]


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the middle of the first part of a path."""
    (x, y), (to_x, to_y) = points[:2]
    return (x + to_x) / 2, (y + to_y) / 2


def _path(line: Arrow, *, is_across: bool) -> str:
    """Return a path that leaves and enters each point in the direction of the picture."""
    if line.edge.from_ == line.edge.to:
        begin, *control = (f"{x:.1f} {y:.1f}" for x, y in line.points)
        return f"M{begin}C{' '.join(control)}"
    (x, y), *rest = line.points
    parts = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        one, two = ((x + to_x) / 2, y), ((x + to_x) / 2, to_y)
        if not is_across:
            one, two = (x, (y + to_y) / 2), (to_x, (y + to_y) / 2)
        parts.append(f"C{one[0]:.1f} {one[1]:.1f} {two[0]:.1f} {two[1]:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(parts)


def _said(edge: Edge) -> str:
    words = {
        "move": "moves to",
        "failure": "goes, out of attempts, to",
        "retry": "is tried again as",
        "seen": "went, undeclared, to",
    }
    return f"{one_line(edge.from_)} {words[edge.kind]} {one_line(edge.to)}"


def _width(node: Node, lines: Mapping[str, StatusLine]) -> float:
    line = lines.get(node.status)
    texts = [shortened(one_line(node.status), LONGEST), rows(line)]
    if line is not None:
        marks = [f"▶ {line.in_flight:,}"] * bool(line.in_flight) + [f"↻ {line.waiting:,}"] * bool(
            line.waiting
        )
        texts.append("  ".join([*marks, *([f"⚠ {line.parked:,}"] if line.parked else [])]))
    return max(112.0, max(map(columns_of, texts)) * CHARACTER + 28)


def shortened(text: str, most: int) -> str:
    """Return a text that has so many characters at the most."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
