"""Draws a machine from left to right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from poller.drawing.layout import Sizes, lay_out
from poller.web.drawn import SMALL, Drawing, Move, Numbers, without_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.client.overview import Watched
    from poller.drawing.layout import Arrow, Picture
    from poller.web.drawn import Status

    Point = tuple[float, float]

HEIGHT, LEAST_WIDTH = 58.0, 124.0
LEAST_ACROSS, BESIDE, DOWN = (
    72.0,
    44.0,
    26.0,
)  # between columns; of it what a label leaves; between statuses of one
LINE = 16.0  # a line of a label
MARGIN = 14.0
PLACES = (0.5, 0.4, 0.6, 0.3, 0.7)  # where on a part of a path a label may stand


class Rectangle(NamedTuple):
    """Where something is drawn."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rectangle) -> bool:
        """Tell whether another one overlaps it."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def across(watched: Watched) -> Drawing:
    """Return a machine from left to right."""
    machine, numbers = without_retries(watched.machine), Numbers(watched)
    statuses = {each.status: numbers.status(each.status) for each in machine.statuses}
    moves = [numbers.move(each) for each in machine.edges]
    gap = max(LEAST_ACROSS, *(BESIDE + _width(each) for each in moves)) if moves else LEAST_ACROSS
    sizes = Sizes(lambda node: max(LEAST_WIDTH, statuses[node.status].least_width), HEIGHT, gap, DOWN)
    picture = lay_out(machine, sizes)
    placed = tuple(
        replace(statuses[each.node.status], x=each.x, y=each.y, width=each.width, height=each.height)
        for each in picture.boxes
    )
    return _cropped(picture, placed, tuple(_labelled(picture, numbers, placed)))


def _cropped(picture: Picture, statuses: tuple[Status, ...], moves: tuple[Move, ...]) -> Drawing:
    """Return a drawing without what is empty above and below."""
    heights = [each.y for each in statuses] + [y for line in picture.lines for _, y in line.points]
    heights += [each.y + each.height for each in statuses]
    top = min(heights) - MARGIN
    return Drawing("across", picture.width, max(heights) + MARGIN - top, statuses, moves, top)


def _labelled(picture: Picture, numbers: Numbers, statuses: Sequence[Status]) -> Iterator[Move]:
    """Yield the moves, each with its label where nothing else stands, if there is such a place."""
    taken = [Rectangle(each.x, each.y, each.x + each.width, each.y + each.height) for each in statuses]
    for line in picture.lines:
        move = replace(numbers.move(line.edge), path=_path(line))
        if move.name or move.rate:
            choices = [(point, _around(move, point)) for point in _places(line)]
            free = (each for each in choices if not any(each[1].meets(other) for other in taken))
            (x, y), room = next(free, choices[0])
            taken.append(room)
            move = replace(move, x=x, y=y)
        yield move


def _width(move: Move) -> float:
    return max(len(move.name), len(move.rate)) * SMALL


def _around(move: Move, point: Point) -> Rectangle:
    """Return the room of a label: its name above the line, its rate below."""
    (x, y), half = point, _width(move) / 2
    return Rectangle(x - half, y - (LINE if move.name else 0.0), x + half, y + (LINE if move.rate else 0.0))


def _places(line: Arrow) -> Iterator[Point]:
    """Yield points on a path at which its label may stand, the best first."""
    parts = list(zip(line.points, line.points[1:], strict=False))
    for (x, y), (to_x, to_y) in parts:
        for at in PLACES:
            bend = at * at * (3 - 2 * at)  # of a curve that leaves and arrives level
            yield x + (to_x - x) * (1.5 * at - 1.5 * at**2 + at**3), y + (to_y - y) * bend


def _path(line: Arrow) -> str:
    """Return a path that leaves and enters each point level; from a status to itself, a loop."""
    if line.edge.from_ == line.edge.to:
        begin, *control = (f"{x:.0f} {y:.0f}" for x, y in line.points)
        return f"M{begin}C{' '.join(control)}"
    (x, y), *rest = [(round(x), round(y)) for x, y in line.points]
    parts = [f"M{x} {y}"]
    for to_x, to_y in rest:
        middle = (to_x - x) // 2
        parts.append(f"c{middle} 0 {middle} {to_y - y} {to_x - x} {to_y - y}")
        x, y = to_x, to_y
    return "".join(parts)
