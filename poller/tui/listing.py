"""What a list on the screen is made of: a question, columns, what opens behind a line, and the orders for it.

A list holds `MOST_LINES` lines. Where there are more, it says so; what is looked for beyond them is found by its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.tui.columns import DIM, ListColumn, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from poller.client.answers import Page
    from poller.tui.details import Detail
    from poller.tui.looks import Panel
    from poller.tui.orders import ChosenRows, DraftOrder

MOST_LINES = 200  # lines
BAR_CELLS = 20  # cells
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Shown:
    """A page as it is shown: its lines, the time of the look, and the zone in which times are told."""

    lines: Sequence[Any]
    now: datetime
    zone: tzinfo | None = None


def _nothing(_: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class ScreenList:
    """A list on the screen.

    Attributes:
        title: its name.
        panel: asks for it.
        columns: makes its columns for what is seen.
        empty: is told where there are no lines.
        name_of: tells a line from others, so that the cursor stays with it.
        heading: what stands above the lines that have it in common.
        opens: the list, or the detail, behind a line.
        acts: the orders for a line, by their keys.
        moves: the rows of a line that may be moved to another status.
    """

    title: str
    panel: Panel
    columns: Callable[[Shown], Sequence[ListColumn]]
    empty: str
    name_of: Callable[[Any], str]
    heading: Callable[[Any], str | None] = _nothing
    opens: Callable[[Any], ScreenList | Detail | None] = _nothing
    acts: Mapping[str, Callable[[Any], DraftOrder | None]] = field(default_factory=dict)
    moves: Callable[[Any], ChosenRows | None] = _nothing


def bar(rows: int, most: int, width: int = BAR_CELLS) -> str:
    """Return how many rows there are beside the most, as a bar; a few are seen beside very many."""
    if not rows or not most:
        return ""
    eighths = max(1, round(8 * width * rows / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def some(tone: str, name: str) -> Callable[[Any], str]:
    """Return what gives a number its tone; zero is dim."""
    return lambda line: tone if getattr(line, name) else DIM


def handler_of(line: Any) -> str:
    """Return the name of a line's handler."""
    return f"{short(line.table)}:{line.status}"


def replaced(page: Page[Any], kept: Sequence[Any], *, more: bool) -> Page[Any]:
    """Return a page with some of its items."""
    return type(page)(tuple(kept), page.next or "more" if more else None, page.as_of, page.exact)
