"""Lays a listing out for a width: which columns fit, how wide each is, and what is cut off.

Texts are others': keys, errors, names of tables. Each is escaped here before its width is measured, so that nothing
moves the cursor, forges a line or turns text around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

GAP_CELLS = 2  # cells between two columns
ELLIPSIS = "…"
PLAIN, DIM, GOOD, WARN, BAD = "", "dim", "good", "warn", "bad"  # tones: a colour beside a word, never alone


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column of a listing.

    Attributes:
        title: its head.
        value: gives its text for a line.
        right: it holds numbers.
        rank: where not all columns fit, those with the highest are left out first; 0 is never left out.
        most: cells that it takes at the most.
        least: cells that it keeps where it may be cut off before a column is left out; 0: it may not.
        tone: gives how its text is to be seen.
    """

    title: str
    value: Callable[[Any], object]
    right: bool = False
    rank: int = 0
    most: int = 32
    least: int = 0
    tone: Callable[[Any], str] = lambda _: PLAIN


class Layout(NamedTuple):
    """The columns that fit, each with its width in cells."""

    columns: tuple[ListColumn, ...]
    widths: tuple[int, ...]


class Cell(NamedTuple):
    """The text of a cell, as wide as its column, and how it is to be seen."""

    text: str
    tone: str


def fitted(columns: Sequence[ListColumn], lines: Sequence[Any], width: int) -> Layout:
    """Return the columns that fit into a width, with theirs; columns without any text are left out."""
    wanted = {each: _wanted(each, lines) for each in columns}
    kept = [each for each in columns if wanted[each] or (each.title and not each.rank)]
    while _width(_least(each, wanted[each]) for each in kept) > width and any(each.rank for each in kept):
        kept.remove(max(reversed(kept), key=lambda each: each.rank))
    widths = [_least(each, wanted[each]) for each in kept]
    for at, each in enumerate(kept):
        spare = width - _width(widths)
        widths[at] += max(0, min(spare, max(len(each.title), wanted[each]) - widths[at]))
    return Layout(tuple(kept), tuple(widths))


def heads(layout: Layout) -> list[str]:
    """Return the heads of the columns, each as wide as its column."""
    return [_fill(each.title, width, each.right) for each, width in zip(*layout, strict=True)]


def cells(layout: Layout, line: Any) -> list[Cell]:
    """Return the cells of a line."""
    return [
        Cell(_fill(text_of(each, line), width, each.right), each.tone(line))
        for each, width in zip(*layout, strict=True)
    ]


def text_of(column: ListColumn, line: Any) -> str:
    """Return a cell's whole text, in one line and without what could act on a terminal."""
    return as_text(column.value(line))


def rate(value: float | None) -> str:
    """Return a number that is measured; a decimal beside hundreds would be noise."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.1f}"  # noqa: PLR2004 - hundreds


def short(table: str) -> str:
    """Return a table's name without the schema that need not be named."""
    return table.removeprefix("public.")


def as_text(value: object) -> str:
    """Return a value as people read it, in one line and without what could act on a terminal."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return one_line(f"{value:,}" if isinstance(value, int | float) else value)


def cut(text: str, width: int) -> str:
    """Return a text that is cut to a width, with an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS if width > 0 else ""


def _fill(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - a column's
    shown = cut(text, width)
    space = " " * (width - cell_len(shown))
    return space + shown if right else shown + space


def _wanted(column: ListColumn, lines: Sequence[Any]) -> int:
    """Return how many cells a column would take; 0 where no line has a text for it."""
    longest = max((cell_len(text_of(column, line)) for line in lines), default=0)
    return min(column.most, max(longest, len(column.title))) if longest else 0


def _least(column: ListColumn, wanted: int) -> int:
    natural = max(wanted, len(column.title))
    return min(natural, max(column.least, len(column.title))) if column.least else natural


def _width(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + GAP_CELLS * max(0, len(found) - 1)
