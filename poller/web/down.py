"""Draws a machine as a list for a narrow screen: statuses one below the other, and moves in the margin beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poller.drawing.layout import Sizes, lay_out
from poller.web.drawn import PADDING, Drawing, Move, Numbers, shortened, without_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poller.client.graph import Edge, Machine
    from poller.client.overview import Watched
    from poller.web.drawn import Status

WIDTH, HEIGHT, GAP = 330.0, 56.0, 24.0
LANE, RADIUS = 11.0, 7.0  # between two lines in the margin; of their corners
SEAM, LEFT = 6.0, 4.0
PORT = 9.0  # between two lines at one status
LABEL = 44  # characters of what stands below a status
LEVEL = 1.0  # all statuses of a column are of one width: only their order is taken over


@dataclass(slots=True)
class _Arc:
    """A move from one place in the list to another; `lane` counts from the list outwards."""

    edge: Edge
    begin: int
    end: int
    lane: int = 0

    @property
    def rows(self) -> tuple[int, int]:
        """The places that it passes, the upper first."""
        return min(self.begin, self.end), max(self.begin, self.end)


def down(watched: Watched) -> Drawing:
    """Return a machine from top to bottom."""
    machine, numbers = without_retries(watched.machine), Numbers(watched)
    order = _order(machine)
    arcs = _in_lanes([_Arc(each, order[each.from_], order[each.to]) for each in machine.edges])
    left = LEFT + LANE * (1 + max((each.lane for each in arcs), default=0)) + SEAM
    statuses = tuple(_at(numbers.status(name), row, left) for name, row in order.items())
    moves = (*_moves(arcs, numbers, statuses, left), *_labels(arcs, numbers, statuses))
    return Drawing("down", WIDTH, len(order) * (HEIGHT + GAP) - GAP + 4, statuses, moves, -2)


def _order(machine: Machine) -> Mapping[str, int]:
    """Return the place of each status: column by column of the picture that goes from left to right."""
    boxes = lay_out(machine, Sizes(lambda _: LEVEL)).boxes
    ordered = sorted(boxes, key=lambda each: (each.x, each.y))
    return {each.node.status: row for row, each in enumerate(ordered)}


def _in_lanes(arcs: list[_Arc]) -> list[_Arc]:
    """Give each arc the innermost lane that no shorter one takes where it passes."""
    placed: list[_Arc] = []
    for arc in sorted(arcs, key=lambda each: each.rows[1] - each.rows[0]):
        top, bottom = arc.rows
        taken = {each.lane for each in placed if each.rows[0] < bottom and top < each.rows[1]}
        arc.lane = next(lane for lane in range(len(arcs)) if lane not in taken)
        placed.append(arc)
    return arcs


def _at(status: Status, row: int, left: float) -> Status:
    return replace(status, x=left, y=row * (HEIGHT + GAP), width=WIDTH - left - 1, height=HEIGHT)


def _moves(arcs: Sequence[_Arc], numbers: Numbers, statuses: Sequence[Status], left: float) -> Iterator[Move]:
    """Yield the moves: each leaves below the middle of its status, and arrives above that of the next."""
    leaving, arriving = [0] * len(statuses), [0] * len(statuses)
    for arc in arcs:
        out, into = leaving[arc.begin], arriving[arc.end]
        leaving[arc.begin], arriving[arc.end] = out + 1, into + 1
        begin = statuses[arc.begin].y + HEIGHT - 12 - min(out, 2) * PORT
        end = statuses[arc.end].y + 12 + min(into, 2) * PORT
        x = left - SEAM - LANE * (arc.lane + 0.5)
        yield replace(numbers.move(arc.edge), path=_path(left, x, begin, end), name="", rate="")


def _labels(arcs: Sequence[_Arc], numbers: Numbers, statuses: Sequence[Status]) -> Iterator[Move]:
    """Yield a text below each status that rows leave: by which handler, to which status, how many a minute."""
    for row, status in enumerate(statuses):
        moves = [(numbers.move(each.edge), statuses[each.end].name) for each in arcs if each.begin == row]
        names = [each.name for each, _ in moves if each.name and each.kind == "move"]
        rates = [f"{each.rate} to {name}" for each, name in moves if each.rate]
        text = " ".join([*names[:1], ", ".join(rates)]).strip()
        if text:
            y = status.y + HEIGHT + 16
            yield Move(path="", kind="label", said="", name=shortened(text, LABEL), x=status.x + PADDING, y=y)


def _path(left: float, x: float, begin: float, end: float) -> str:
    """Return a path out to a lane, along it, and back."""
    bend = RADIUS if end > begin else -RADIUS
    return (
        f"M{left:.1f} {begin:.1f}H{x + RADIUS:.1f}Q{x:.1f} {begin:.1f} {x:.1f} {begin + bend:.1f}"
        f"V{end - bend:.1f}Q{x:.1f} {end:.1f} {x + RADIUS:.1f} {end:.1f}H{left - 2:.1f}"
    )
