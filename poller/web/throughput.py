"""What handlers have done over time, as a picture of stacked bars, with the same numbers as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from poller.client.performance import Performance, Span

WIDE, TALL = 720.0, 120.0
KINDS = ("moved", "failed", "parked")  # from the ground upwards
TICKS = 6
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar: how many of a kind."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    said: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture.

    Attributes:
        most: what the height stands for.
        ticks: where times stand beneath, and which.
        rows: the spans in which something was done, the newest first.
        said: all of it, in a sentence.
    """

    pieces: tuple[Piece, ...]
    most: int
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[Span, ...]
    said: str


def chart(found: Performance) -> Chart:
    """Return the picture of what was done."""
    most = max(1, *(each.moved + each.failed + each.parked for each in found.spans))
    sums = [(kind, sum(getattr(each, kind) for each in found.spans)) for kind in KINDS]
    step = WIDE / len(found.spans)
    ticks = [
        (number * step, _time(each.at, found))
        for number, each in enumerate(found.spans)
        if number % -(-len(found.spans) // TICKS) == 0
    ]
    return Chart(
        pieces=tuple(_pieces(found, most, step)),
        most=most,
        ticks=tuple(ticks),
        rows=tuple(each for each in reversed(found.spans) if each.moved or each.failed or each.parked),
        said=", ".join(f"{count:,} {kind}" for kind, count in sums),
    )


def _pieces(found: Performance, most: int, step: float) -> Iterator[Piece]:
    for number, each in enumerate(found.spans):
        said = ", ".join(f"{getattr(each, kind):,} {kind}" for kind in KINDS if getattr(each, kind))
        top = TALL
        for kind in KINDS:
            count = getattr(each, kind)
            if count:
                height = max(1.0, TALL * count / most)
                top -= height
                yield Piece(
                    kind, number * step, max(0.0, top), step * 0.8, height, f"{_time(each.at, found)}: {said}"
                )


def _time(at: datetime, found: Performance) -> str:
    return f"{at:%a %H:%M}" if found.seconds * len(found.spans) > DAY else f"{at:%H:%M}"
