"""What a measurement says, line by line: ours, what stands beside it, their ratio, and whether the target is met."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HALF = 6  # characters of a bar up to the target


@dataclass(frozen=True)
class Target:
    """What is to be reached, by the ratio if there is one, else by our own figure."""

    kind: Literal["≥", "≤"]
    value: float

    def __str__(self) -> str:
        return f"{self.kind} {self.value:g}"

    def is_met(self, reached: float) -> bool:
        """Tell whether a figure reaches it."""
        return reached >= self.value if self.kind == "≥" else reached <= self.value


@dataclass(frozen=True)
class Line:
    """One thing that was measured.

    Attributes:
        what: in words.
        ours: the median of our figures.
        unit: what these are counted in.
        beside: the median of what they are compared with, if anything.
        ratio: the median of the ratios within the rounds, if so.
        target: what is to be reached; None if the figure is only stated.
    """

    what: str
    ours: float
    unit: str
    beside: float | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def judged(self) -> float:
        """What is held against the target."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return self.target.is_met(self.judged) if self.target else None


def compared(
    what: str, unit: str, mine: Sequence[float], theirs: Sequence[float], target: Target | None = None
) -> Line:
    """Return the line of figures that stand beside others, one of each a round."""
    ratio = median(one / other for one, other in zip(mine, theirs, strict=True))
    return Line(what, median(mine), unit, median(theirs), ratio, target)


@dataclass(frozen=True)
class Measured:
    """What one measurement has found.

    Attributes:
        lines: the figures.
        raw: all that was measured, for programs.
        table: more for people, if there is more to see.
    """

    lines: list[Line]
    raw: dict[str, Any] = field(default_factory=dict)
    table: Table | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it all."""
        return {"lines": [{**asdict(each), "met": each.met} for each in self.lines], **self.raw}


def table(found: dict[str, Measured]) -> Table:
    """Return the table of all lines; the target is at the middle of each bar."""
    shown = Table(title="poller beside what is written by hand (medians; the bar's middle is the target)")
    shown.add_column("", max_width=38)
    for heading in ("ours", "beside"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("unit", no_wrap=True)
    shown.add_column("ratio", justify="right", no_wrap=True)
    shown.add_column("", width=2 * HALF, no_wrap=True)
    shown.add_column("target", no_wrap=True)
    shown.add_column("met", no_wrap=True)
    for measured in found.values():
        _add(shown, measured.lines)
        shown.add_section()
    return shown


def _add(shown: Table, lines: Iterable[Line]) -> None:
    for each in lines:
        shown.add_row(
            each.what,
            _figure(each.ours),
            _figure(each.beside),
            each.unit,
            "" if each.ratio is None else f"{each.ratio:.2f}",
            _bar(each),
            "stated" if each.target is None else str(each.target),
            "" if each.met is None else Text("yes", "green") if each.met else Text("no", "bold red"),
        )


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _bar(line: Line) -> Text:
    """Draw what was reached, with the target, or a ratio of one, at the middle."""
    middle = line.target.value if line.target else 1.0
    if line.target is None and line.ratio is None:
        return Text()
    filled = round(min(2.0, line.judged / middle) * HALF)
    style = "cyan" if line.met is None else "green" if line.met else "red"
    return Text.assemble(("█" * filled, style), ("·" * (2 * HALF - filled), "dim"))
