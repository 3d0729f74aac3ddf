"""The screen of a detail: what stands behind a line, looked at again and again for as long as it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from poller.tui.columns import as_text
from poller.tui.ordering import ORDERS, Ordering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from poller.tui.details import Detail, Section
    from poller.tui.orders import ChosenRows, DraftOrder


class DetailScreen(Ordering):
    """Shows a detail."""

    DEFAULT_CSS = """
    DetailScreen > #title { height: 1; padding: 0 1; background: $panel; text-style: bold; }
    DetailScreen > VerticalScroll { padding: 1 2; }
    DetailScreen > VerticalScroll.-late { text-style: dim; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "leave", "Back", key_display="Esc"),
        *ORDERS,
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, detail: Detail) -> None:
        super().__init__()
        self.detail = detail
        self.parts: Sequence[Section] = ()
        self._asking = False

    def compose(self) -> ComposeResult:
        """Make the title and what is below it."""
        yield Static(id="title", markup=False)
        with VerticalScroll():
            yield Static(Content("looking …"), id="parts", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#title", Static).update(Content(as_text(self.detail.title)))
        self.query_one(VerticalScroll).focus()
        self.look()
        self.set_interval(self.detail.every, self.look)

    def look(self) -> None:
        """Look, unless a look is under way."""
        if self._asking:
            return
        self._asking = True
        zone = self.top.zone
        self.top.ask(lambda asked: self.detail.ask(asked, zone), self._show, self._tell)

    def _show(self, parts: Sequence[Section]) -> None:
        self._asking = False
        if not self.is_attached:
            return
        before, self.parts = self.parts, parts
        scroll = self.query_one(VerticalScroll)
        is_at_end = self.detail.ends and (not before or scroll.is_vertical_scroll_end)
        scroll.remove_class("-late")
        if parts != before:
            self.query_one("#parts", Static).update(content_of(parts))
        if is_at_end:
            scroll.scroll_end(animate=False)

    def _tell(self, why: str) -> None:
        """Keep what was seen last, greyed, with the reason why there is nothing newer."""
        self._asking = False
        if self.is_attached:
            self.query_one(VerticalScroll).add_class("-late")
            self.query_one("#title", Static).update(
                Content.assemble(as_text(self.detail.title), (f"  {why}", "$text-error"))
            )

    def order_for(self, key: str) -> DraftOrder | None:
        """Return the order that a key stands for."""
        make = self.detail.acts.get(key)
        return None if make is None else make()

    def rows_to_move(self) -> ChosenRows | None:
        """Return the rows that may be moved."""
        return self.detail.moves

    def has_changed(self) -> None:
        """Look at once: an order was carried out, or another zone is shown."""
        self.look()

    def action_leave(self) -> None:
        """Go back; or stop the order under way."""
        if not self.stops_order():
            self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def content_of(parts: Sequence[Section]) -> Content:
    """Return the parts of a detail as they are shown; nothing in them is markup."""
    made: list[Any] = []
    for part in parts:
        made += [(f"{part.title}\n", "bold $text-primary")] if part.title else []
        width = max((len(name) for name, _ in part.pairs), default=0)
        for name, value in part.pairs:
            made += [(f"{name:<{width}}  ", "dim"), f"{value}\n"]
        made += [f"{line}\n" for line in part.lines]
        made.append("\n")
    return Content.assemble(*made)
