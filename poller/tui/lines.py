"""The widget of a list: a head, lines under headings, and a cursor that stays with its line when the list changes.

Several lines may be chosen: they are known by their names, and stay chosen for as long as they are in the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from poller.tui.columns import BAD, DIM, PLAIN, as_text, cells, cut, fitted, heads
from poller.tui.listing import Shown
from poller.tui.looks import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from textual import events
    from textual.binding import BindingType
    from textual.geometry import Size

    from poller.client.answers import Page
    from poller.tui.columns import Layout
    from poller.tui.listing import ScreenList

HEAD_LINES = 1  # lines above the list
CHOSEN, GUTTER = "•", 1  # what stands before a line that is chosen with others; cells for it


class Lines(Widget, can_focus=True):
    """A list, of which one line is chosen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lines--head",
        "lines--heading",
        "lines--cursor",
        "lines--good",
        "lines--warn",
        "lines--bad",
        "lines--dim",
    }
    DEFAULT_CSS = """
    Lines {
        height: 1fr;
        padding: 0 1 0 0;
        & > .lines--head { text-style: bold dim; }
        & > .lines--heading { color: $text-primary; text-style: bold; }
        & > .lines--cursor { background: $surface-lighten-2; text-style: bold; }
        &:focus > .lines--cursor { background: $primary 40%; text-style: bold; }
        &:nocolor > .lines--cursor { text-style: reverse; }
        & > .lines--good { color: $text-success; }
        & > .lines--warn { color: $text-warning; }
        & > .lines--bad { color: $text-error; }
        & > .lines--dim { text-style: dim; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+f", "turn(1)", "Page down", show=False),
        Binding("pageup,ctrl+b", "turn(-1)", "Page up", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end,G", "move(1000000)", "Last", show=False),
    ]

    class Chosen(Message):
        """Another line is chosen, or the chosen one has changed."""

    class Opened(Message):
        """The chosen line is to be opened."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - as Textual has it
        super().__init__(id=id, classes=classes)
        self.listing: ScreenList | None = None
        self.answer: Page[Any] | Fault | None = None
        self.zone: tzinfo | None = None
        self._rows: list[str | int] = []  # a heading, or the index of a line
        self._layout: Layout | None = None
        self._cursor = 0
        self._top = 0
        self._several: set[str] = set()  # names of the lines that are chosen together

    # --- what it shows ----------------------------------------------------------------------------

    def show(self, listing: ScreenList, answer: Page[Any] | Fault | None, zone: tzinfo | None) -> None:
        """Show an answer to a listing's question; None: it has not been answered yet."""
        chosen = self.chosen if listing is self.listing else None
        if listing is not self.listing:
            self._several.clear()
        before = None if chosen is None else listing.name_of(chosen)
        self.listing, self.answer, self.zone = listing, answer, zone
        if before is None:
            self._cursor = self._top = 0
        else:
            names = [listing.name_of(each) for each in self.lines]
            self._cursor = (
                names.index(before) if before in names else min(self._cursor, max(0, len(names) - 1))
            )
        self._several &= {listing.name_of(each) for each in self.lines}
        self._lay_out()
        if self.can_focus:
            self.post_message(self.Chosen())

    @property
    def lines(self) -> Sequence[Any]:
        """The lines of the list."""
        return () if self.answer is None or isinstance(self.answer, Fault) else self.answer.items

    @property
    def chosen(self) -> Any:
        """The line under the cursor; None where there are no lines."""
        return self.lines[self._cursor] if self.lines else None

    @property
    def position(self) -> str:
        """Where the cursor is, and of how many lines."""
        if not self.lines or self.answer is None or isinstance(self.answer, Fault):
            return ""
        more = "+" if self.answer.next is not None else ""
        several = f"{len(self._several)} chosen  " if self._several else ""
        return f"{several}{self._cursor + 1}/{len(self.lines)}{more}"

    @property
    def several(self) -> list[Any]:
        """The lines that are chosen together, in the order of the list; none where only the cursor's is."""
        return [each for each in self.lines if self._called(each) in self._several]

    def choose_too(self) -> None:
        """Have the cursor's line be chosen together with others, or not any more; go on to the next."""
        self._several ^= {self._called(self.chosen)}
        self.action_move(1)

    def choose_one(self) -> None:
        """Have no line be chosen but the cursor's."""
        self._several.clear()
        self._choose(self._cursor)

    def _called(self, line: Any) -> str:
        assert self.listing is not None  # noqa: S101 - it has lines
        return self.listing.name_of(line)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - as Textual has it
        """Return how many lines it would take."""
        return HEAD_LINES + max(1, len(self._rows))

    def on_resize(self) -> None:
        """Fit the columns into the new width."""
        self._lay_out()

    def _lay_out(self) -> None:
        before = len(self._rows)
        lines, self._rows, self._layout = self.lines, [], None
        if (
            self.listing is not None
            and lines
            and not isinstance(self.answer, Fault)
            and self.answer is not None
        ):
            seen = Shown(lines, self.answer.as_of, self.zone)
            self._layout = fitted(self.listing.columns(seen), lines, self._width)
            self._rows = list(_under_headings(self.listing, lines))
        self._scroll()
        self.refresh(layout=len(self._rows) != before)

    # --- the cursor -------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor by so many lines."""
        self._choose(self._cursor + by)

    def action_turn(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self._choose(self._cursor + by * max(1, self._height - 1))

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked; open it if it was clicked twice."""
        at = self._top + event.get_content_offset_capture(self).y - HEAD_LINES
        row = self._rows[at] if 0 <= at < len(self._rows) else None
        if isinstance(row, int):
            self._choose(row)
            if event.chain > 1:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self) -> None:
        """Move on."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """Move back."""
        self.action_move(-3)

    def _choose(self, at: int) -> None:
        if self.lines:
            self._cursor = max(0, min(at, len(self.lines) - 1))
            self._scroll()
            self.refresh()
            self.post_message(self.Chosen())

    @property
    def _height(self) -> int:
        return max(1, self.content_size.height - HEAD_LINES)

    def _scroll(self) -> None:
        """Bring the cursor, and the heading above it if that is next, into view."""
        if not self._rows:
            self._top = 0
            return
        at = self._rows.index(self._cursor)
        first = at - 1 if at and isinstance(self._rows[at - 1], str) else at
        self._top = max(min(self._top, first), at - self._height + 1)
        self._top = max(0, min(self._top, len(self._rows) - self._height))

    # --- how it looks -----------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Return a line of the widget."""
        made = [Segment(self._gutter(y), self._style(PLAIN)), *self._segments(y)]
        return Strip(made).adjust_cell_length(self.content_size.width, self.rich_style)

    def _gutter(self, y: int) -> str:
        at = self._top + y - HEAD_LINES
        row = (
            self._rows[at] if y >= HEAD_LINES and at < len(self._rows) and self._layout is not None else None
        )
        is_chosen = isinstance(row, int) and self._called(self.lines[row]) in self._several
        return CHOSEN if is_chosen else " " * GUTTER

    @property
    def _width(self) -> int:
        return self.content_size.width - GUTTER

    def _segments(self, y: int) -> list[Segment]:
        if self._layout is None:
            return [Segment(text, self._style(tone)) for text, tone in self._instead(y)]
        if y < HEAD_LINES:
            return [Segment("  ".join(heads(self._layout)), self._style("head"))]
        at = self._top + y - HEAD_LINES
        if at >= len(self._rows):
            return []
        row = self._rows[at]
        if isinstance(row, str):
            return [Segment(cut(row, self._width), self._style("heading"))]
        return self._line(row)

    def _line(self, at: int) -> list[Segment]:
        assert self._layout is not None  # noqa: S101 - there are lines
        behind = self._style("cursor") if at == self._cursor and self.can_focus else self._style(PLAIN)
        gap, made = Segment("  ", behind), list[Segment]()
        for cell in cells(self._layout, self.lines[at]):
            made += [gap] if made else []
            made.append(Segment(cell.text, behind + self._tone(cell.tone)))
        rest = self._width - sum(each.cell_length for each in made)
        return [*made, Segment(" " * max(0, rest), behind)]

    def _instead(self, y: int) -> Iterator[tuple[str, str]]:
        """Yield what stands where the lines would be, if there are none."""
        if y != HEAD_LINES or self.listing is None:
            return
        width = self._width
        if isinstance(self.answer, Fault):
            yield cut(self.answer.why, width), BAD
        elif self.answer is None:
            yield "looking …", DIM
        else:
            yield cut(self.listing.empty, width), DIM

    def _style(self, name: str) -> Style:
        if name == "cursor":
            return self.get_component_rich_style("lines--cursor")
        return self.rich_style + self._tone(name)

    def _tone(self, name: str) -> Style:
        """Return what a tone changes of the style beneath it: all is dim where the picture is old."""
        shown = DIM if self.has_class("-late") else name
        return self.get_component_rich_style(f"lines--{shown}", partial=True) if shown else Style.null()


def _under_headings(listing: ScreenList, lines: Sequence[Any]) -> Iterator[str | int]:
    above: str | None = None
    for at, line in enumerate(lines):
        heading = listing.heading(line)
        if heading is not None and heading != above:
            yield as_text(heading)
            above = heading
        yield at
