"""One frame as text, for scripts and pipes: the head, the statuses, and what else the first screen shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.telemetry.printable import one_line
from poller.tui import head
from poller.tui.columns import as_text, cells, fitted, heads
from poller.tui.listing import Shown
from poller.tui.looks import Fault
from poller.tui.row_lists import STATUS, TROUBLE
from poller.tui.run_lists import NEXT
from poller.tui.tabs import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from poller.tui.listing import ScreenList
    from poller.tui.looks import LookResult

PART_LINES = 5  # lines of what is shown beside the statuses
FRAME_CELLS = 200  # cells
BESIDE = (TROUBLE, NEXT, ACTIONS)
HOME = (STATUS, *BESIDE)
PANELS = tuple(each.panel for each in HOME)


def frame(database: str, picture: LookResult, zone: tzinfo | None = None) -> str:
    """Return the first screen as text, its lines no wider than `FRAME_CELLS`."""
    totals = picture.totals
    parts = [[_plain(head.first(database, totals, zone, None, "")), _plain(head.second(totals))]]
    parts += [list(_part(each, picture, zone, None if each is STATUS else PART_LINES)) for each in HOME]
    return "\n\n".join("\n".join(part) for part in parts)


def _plain(pieces: Sequence[head.LinePiece]) -> str:
    return "".join(each.text for each in pieces).rstrip()


def _part(listing: ScreenList, picture: LookResult, zone: tzinfo | None, most: int | None) -> Iterator[str]:
    answer = picture.answers[listing.panel.name]
    yield listing.title
    if isinstance(answer, Fault):
        yield f"  {answer.why}"
        return
    yield from (f"  {one_line(each)}" for each in answer.faults)
    if not answer.items:
        yield f"  {listing.empty}"
        return
    lines = answer.items[:most]
    layout = fitted(listing.columns(Shown(lines, answer.as_of, zone)), lines, FRAME_CELLS)
    yield "  " + "  ".join(heads(layout)).rstrip()
    above = None
    for line in lines:
        heading = listing.heading(line)
        if heading != above:
            yield f"  {as_text(heading)}"
            above = heading
        yield "  " + "  ".join(each.text for each in cells(layout, line)).rstrip()
    if len(lines) < len(answer.items):
        yield f"  … {len(answer.items) - len(lines)} more"
