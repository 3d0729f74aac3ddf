"""Lays out the statuses and moves of a machine in a picture: from left to right, as rows move.

The model (Sugiyama, Tagawa and Toda 1981, in its plainest form). Moves that lead back to where the search came from are
reversed, so that there is no cycle. Each status stands in the column after the last one that leads to it. A move
across several columns gets a bend in each column between, which takes a place there as a status does. Within a column
connected places are brought together: each place moves to the mean of its neighbours', a few times from left to right
and back.

The same machine always gets the same layout: statuses stay where people have seen them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import east_asian_width

from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.client.graph import Edge, Machine, Node

# Lengths are pixels of an SVG whose text is of 13 pixels.
CHARACTER = 7.6
HEIGHT = 44.0
LEAST_WIDTH = 72.0
ACROSS, DOWN = 64.0, 26.0  # between columns, and between the places of one
MARGIN = 24.0
LOOP = 26.0  # how far a loop rises above its status
MOST_APART = 12.0  # between two lines at one side of a status
SWEEPS = 4


class Sizes(NamedTuple):
    """How large the parts of a picture are.

    Attributes:
        width: of a status's box.
        height: of any box.
        across: between columns.
        down: between the places of one.
    """

    width: Callable[[Node], float]
    height: float = HEIGHT
    across: float = ACROSS
    down: float = DOWN


@dataclass(frozen=True, slots=True)
class Box:
    """A status in the picture; x and y are those of its upper left corner."""

    node: Node
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """A move in the picture: the points that it goes through; the arrow's head is at the last."""

    edge: Edge
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A machine in the picture, and its size."""

    machine: Machine
    boxes: tuple[Box, ...]
    lines: tuple[Arrow, ...]
    width: float
    height: float


@dataclass(slots=True, eq=False)
class _Place:
    """A place in a column: of a status, or of a bend of a move."""

    column: int
    node: Node | None = None
    before: list[_Place] = field(default_factory=list)
    after: list[_Place] = field(default_factory=list)
    row: float = 0.0


def texts(node: Node) -> list[str]:
    """Return the lines of text in a status's box: its name, and the number of its rows if known."""
    name = one_line(node.status)
    return [name] if node.rows is None else [name, f"{'' if node.exact else '≈ '}{node.rows:,}"]


def title(machine: Machine) -> str:
    """Return what stands above a machine: its table, and its column if that has another name than most."""
    name = one_line(machine.table)
    return name if machine.column == "status" else f"{name} ({one_line(machine.column)})"


def numbered(number: int, machine: Machine) -> dict[str, str]:
    """Return a name for each status that any language takes: of the machine's number and its own."""
    return {each.status: f"m{number}s{at}" for at, each in enumerate(machine.statuses)}


def columns_of(text: str) -> int:
    """Return how many columns of a fixed-width font a text takes."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def lay_out(machine: Machine, sizes: Sizes | None = None) -> Picture:
    """Return a machine's picture, with the positions of its statuses and moves.

    Args:
        machine: what to draw.
        sizes: of its parts; None for boxes that hold `texts`.
    """
    columns = _columns(machine)
    places = {
        status: _Place(column, node)
        for (status, column), node in zip(columns.items(), machine.statuses, strict=True)
    }
    ways = [(each, _way(each, places)) for each in machine.edges if each.from_ != each.to]
    grid = _grid([*places.values(), *(place for _, way in ways for place in way[1:-1])])
    return _picture(machine, places, ways, grid, sizes or Sizes(_width))


def _columns(machine: Machine) -> dict[str, int]:
    """Return the column of each status: the length of the longest path to it, without the moves that lead back."""
    after: dict[str, list[str]] = {each.status: [] for each in machine.statuses}
    for edge in machine.edges:
        if edge.from_ != edge.to:
            after[edge.from_].append(edge.to)
    order = _order(after)
    at = {status: number for number, status in enumerate(order)}
    columns = dict.fromkeys(order, 0)
    for status in order:
        for following in after[status]:
            if at[following] > at[status]:
                columns[following] = max(columns[following], columns[status] + 1)
    return {each.status: columns[each.status] for each in machine.statuses}


def _order(after: dict[str, list[str]]) -> list[str]:
    """Return the statuses in topological order, except within cycles: a depth-first search, reversed."""
    entered = {status for following in after.values() for status in following}
    seen: set[str] = set()
    done: list[str] = []
    for first in sorted(
        after, key=lambda each: each in entered
    ):  # stable: statuses that no move leads to come first
        path = [] if first in seen else [(first, iter(after[first][::-1]))]
        seen.add(first)
        while path:
            status, following = path[-1]
            found = next((each for each in following if each not in seen), None)
            if found is None:
                done.append(status)
                path.pop()
            else:
                seen.add(found)
                path.append((found, iter(after[found][::-1])))
    return done[::-1]


def _way(edge: Edge, places: dict[str, _Place]) -> list[_Place]:
    """Return the places of a move from left to right, with a bend in each column between."""
    left, right = sorted((places[edge.from_], places[edge.to]), key=lambda each: each.column)
    way = [left, *(_Place(column) for column in range(left.column + 1, right.column)), right]
    for one, other in pairwise(way):
        one.after.append(other)
        other.before.append(one)
    return way


def _grid(places: Sequence[_Place]) -> list[list[_Place]]:
    """Return the places of each column from top to bottom, with connected ones brought together."""
    grid: list[list[_Place]] = [[] for _ in range(max(each.column for each in places) + 1)]
    for place in places:
        grid[place.column].append(place)
    for column in grid:
        _number(column)
    for _ in range(SWEEPS):
        for column in grid[1:]:
            _arrange(column, backwards=False)
        for column in reversed(grid[:-1]):
            _arrange(column, backwards=True)
    return grid


def _arrange(column: list[_Place], *, backwards: bool) -> None:
    def mean(place: _Place) -> float:
        beside = place.after if backwards else place.before
        return sum(each.row for each in beside) / len(beside) if beside else place.row

    column.sort(key=mean)
    _number(column)


def _number(column: Sequence[_Place]) -> None:
    """Number the places of a column, the middle at 0, so that columns of any length are centred on each other."""
    for number, place in enumerate(column):
        place.row = number - (len(column) - 1) / 2


def _picture(
    machine: Machine,
    places: dict[str, _Place],
    ways: Sequence[tuple[Edge, list[_Place]]],
    grid: Sequence[Sequence[_Place]],
    sizes: Sizes,
) -> Picture:
    height = sizes.height
    widths = [max(sizes.width(each.node) if each.node else 0.0 for each in column) for column in grid]
    lefts = [MARGIN + sum(widths[:number]) + sizes.across * number for number in range(len(grid))]
    step = height + sizes.down
    middle = MARGIN + LOOP + (max(map(len, grid)) - 1) / 2 * step + height / 2
    boxes = {
        status: Box(
            place.node,
            lefts[place.column],
            middle + place.row * step - height / 2,
            widths[place.column],
            height,
        )
        for status, place in places.items()
        if place.node is not None
    }

    ports = _ports([way for _, way in ways], height)

    def points(way: Sequence[_Place], number: int) -> list[tuple[float, float]]:
        """Return the points of a path: it leaves each place at its right, and enters the next at its left."""
        bends = [(x, middle + each.row * step) for each in way[1:-1] for x in sides(each)]
        begin = sides(way[0])[1], middle + way[0].row * step + ports[number, 0]
        end = sides(way[-1])[0], middle + way[-1].row * step + ports[number, -1]
        return [begin, *bends, end]

    def sides(place: _Place) -> tuple[float, float]:
        return lefts[place.column], lefts[place.column] + widths[place.column]

    lines = [
        Arrow(edge, tuple(points(way, number)[:: 1 if way[0] is places[edge.from_] else -1]))
        for number, (edge, way) in enumerate(ways)
    ]
    loops = [Arrow(edge, _loop(boxes[edge.from_])) for edge in machine.edges if edge.from_ == edge.to]
    width = lefts[-1] + widths[-1] + MARGIN
    return Picture(machine, tuple(boxes.values()), (*lines, *loops), width, 2 * middle - LOOP)


def _ports(ways: Sequence[Sequence[_Place]], height: float) -> dict[tuple[int, int], float]:
    """Return how far from the middle of its status each path begins (0) and ends (-1), so that none overlaps another."""
    sides: dict[tuple[_Place, int], list[int]] = {}
    for number, way in enumerate(ways):
        for end in (0, -1):
            sides.setdefault((way[end], end), []).append(number)
    ports = {}
    for (_, end), numbers in sides.items():
        beside = 1 if end == 0 else -2
        numbers.sort(key=lambda number: ways[number][beside].row)  # stable: the same order at both ends
        gap = min(MOST_APART, (height - 16) / max(1, len(numbers) - 1))
        for at, number in enumerate(numbers):
            ports[number, end] = (at - (len(numbers) - 1) / 2) * gap
    return ports


def _width(node: Node) -> float:
    return max(LEAST_WIDTH, max(columns_of(each) for each in texts(node)) * CHARACTER + 28)


def _loop(box: Box) -> tuple[tuple[float, float], ...]:
    """Return the points of a loop above a status."""
    middle = box.x + box.width / 2
    return (
        (middle - 14, box.y),
        (middle - 14, box.y - LOOP),
        (middle + 14, box.y - LOOP),
        (middle + 14, box.y),
    )
