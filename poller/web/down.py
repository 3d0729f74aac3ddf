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

WIDTH = 330.0
HIGH, LOW = 56.0, 38.0  # a status of two lines, and of one
GAP, APART = 24.0, 10.0  # below a status: with a text, and without
LANE, RADIUS = 11.0, 7.0  # between two lines in the margin; of their corners
SEAM, LEFT = 6.0, 4.0
PORT = 9.0  # between the first line at a status and all others
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
    texts = [_text([numbers.move(each.edge) for each in arcs if each.begin == row]) for row in order.values()]
    statuses = tuple(_placed([numbers.status(name) for name in order], texts, left))
    moves = (*_moves(arcs, numbers, statuses, left), *_labels(texts, statuses))
    return Drawing("down", WIDTH, statuses[-1].y + statuses[-1].height + 4, statuses, moves, -2)


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


def _text(moves: Sequence[Move]) -> str:
    """Return what stands below a status that these moves leave: by which handler, how many a minute, to where."""
    names = [each.name for each in moves if each.name and each.kind == "move"]
    rates = [f"{each.rate} to {each.to}" for each in moves if each.rate]
    return shortened(" ".join([*names[:1], ", ".join(rates)]).strip(), LABEL)


def _placed(statuses: Sequence[Status], texts: Sequence[str], left: float) -> Iterator[Status]:
    y = 0.0
    for status, text in zip(statuses, texts, strict=True):
        height = HIGH if status.marks or status.oldest else LOW
        yield replace(status, x=left, y=y, width=WIDTH - left - 1, height=height)
        y += height + (GAP if text else APART)


def _moves(arcs: Sequence[_Arc], numbers: Numbers, statuses: Sequence[Status], left: float) -> Iterator[Move]:
    """Yield the moves: each leaves below the middle of its status, and arrives above that of the next."""
    leaving, arriving = [0] * len(statuses), [0] * len(statuses)
    for arc in arcs:
        out, into = leaving[arc.begin], arriving[arc.end]
        leaving[arc.begin], arriving[arc.end] = out + 1, into + 1
        begin = statuses[arc.begin].y + statuses[arc.begin].height - 10 - min(out, 1) * PORT
        end = statuses[arc.end].y + 10 + min(into, 1) * PORT
        x = left - SEAM - LANE * (arc.lane + 0.5)
        yield replace(numbers.move(arc.edge), path=_path(left, x, begin, end), name="", rate="")


def _labels(texts: Sequence[str], statuses: Sequence[Status]) -> Iterator[Move]:
    for text, status in zip(texts, statuses, strict=True):
        if text:
            x, y = status.x + PADDING, status.y + status.height + 16
            yield Move(path="", kind="label", to="", name=text, x=x, y=y)


def _path(left: float, x: float, begin: float, end: float) -> str:
    """Return a path out to a lane, along it, and back."""
    out, down = x - left, RADIUS if end > begin else -RADIUS
    return (
        f"M{left:.0f} {begin:.0f}h{out + RADIUS:.0f}q{-RADIUS:.0f} 0 {-RADIUS:.0f} {down:.0f}"
        f"v{end - begin - 2 * down:.0f}q0 {down:.0f} {RADIUS:.0f} {down:.0f}h{-out - RADIUS - 2:.0f}"
    )
