"""The screen with the lists: tabs, a list that may lead to another, and beside it what there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from poller.telemetry.printable import one_line
from poller.tui import head
from poller.tui.columns import BAD, DIM, GOOD, PLAIN, WARN, as_text, cut
from poller.tui.detail_screen import DetailScreen, content_of
from poller.tui.details import Detail, Section, pairs_of
from poller.tui.lines import Lines
from poller.tui.listing import ScreenList
from poller.tui.looks import Fault
from poller.tui.ordering import ORDERS, Ordering
from poller.tui.orders import together
from poller.tui.row_lists import HANDLERS, STATUS, TROUBLE
from poller.tui.run_lists import NEXT
from poller.tui.tabs import ACTIONS, TABS

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.geometry import Size

    from poller.tui.orders import ChosenRows, DraftOrder

BELOW = (HANDLERS, TROUBLE, NEXT, ACTIONS)  # what stands below the statuses, if there is room
TALL_LINES, WIDE_CELLS = 36, 132  # from so many lines, and so many cells on, there is room for more
STYLES = {PLAIN: "", DIM: "dim", GOOD: "$text-success", WARN: "$text-warning", BAD: "$text-error"}


class Tab(Static):
    """The name of a list; a click chooses it."""

    def __init__(self, at: int, listing: ScreenList) -> None:
        title = listing.title
        super().__init__(Content.assemble((title[0], "underline"), title[1:]), id=f"tab-{at}", markup=False)
        self._at = at

    def on_click(self) -> None:
        """Choose the list."""
        self.screen.action_tab(self._at)  # type: ignore[attr-defined]  # the main screen has it


class MainScreen(Ordering):
    """The lists."""

    DEFAULT_CSS = """
    MainScreen > #head { height: 2; padding: 0 1; }
    MainScreen > #tabs { height: 1; background: $panel; }
    MainScreen Tab { width: auto; padding: 0 1; color: $text-muted; }
    MainScreen Tab:hover { background: $primary 30%; }
    MainScreen Tab.-chosen { background: $primary; color: $text; text-style: bold; }
    MainScreen Tab.-chosen:nocolor { text-style: reverse; }
    MainScreen > #path { height: 1; padding: 0 1; color: $text-muted; }
    MainScreen #list { width: 1fr; }
    MainScreen #aside { display: none; width: 34%; max-width: 80; border-left: vkey $panel; padding: 0 1; }
    MainScreen > #below { display: none; height: 1fr; }
    MainScreen #below Lines { width: 1fr; border-top: solid $panel; border-title-color: $text-primary; }
    MainScreen #below-handlers { height: auto; max-height: 40%; }
    MainScreen.-wide #aside { display: block; }
    MainScreen.-tall > #body { height: auto; max-height: 50%; }
    MainScreen.-tall > #below { display: block; }
    MainScreen.-tall #list { height: auto; min-height: 8; }
    MainScreen.-tall #aside { height: auto; max-height: 100%; }
    MainScreen.-tall.-narrow #below-handlers, MainScreen.-tall.-narrow #below-next { display: none; }
    MainScreen.-tall.-narrow #below-actions { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="↵"),
        Binding("escape,backspace", "back", "Back", key_display="Esc"),
        Binding("x", "choose", "Choose"),
        *ORDERS,
        Binding("tab,right", "turn(1)", "Next tab", show=False),
        Binding("shift+tab,left", "turn(-1)", "Tab before", show=False),
        *(Binding(str(at + 1), f"tab({at})", each.title, show=False) for at, each in enumerate(TABS)),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.at = 0  # the tab
        self.path: list[ScreenList] = [TABS[0]]  # the list of the tab, and those opened behind its lines
        self._goes = False  # g was pressed
        self._held: tuple[Section, ...] = ()  # what the chosen line holds, as it is shown
        self._keys: tuple[object, ...] = ()  # what decides which keys are shown

    def compose(self) -> ComposeResult:
        """Make what is always there."""
        yield Static(id="head", markup=False)
        with Horizontal(id="tabs"):
            yield from (Tab(at, each) for at, each in enumerate(TABS))
        yield Static(id="path", markup=False)
        with Horizontal(id="body"):
            yield Lines(id="list")
            with VerticalScroll(id="aside", can_focus=False):
                yield Static(id="chosen", markup=False)
        with Vertical(id="below"):
            yield _beside(HANDLERS)
            with Horizontal():
                yield from map(_beside, (TROUBLE, NEXT, ACTIONS))
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the first tab."""
        self.query_one("#list").focus()
        self._enter()

    # --- what it shows ----------------------------------------------------------------------------

    @property
    def listing(self) -> ScreenList:
        """The list that is shown."""
        return self.path[-1]

    @property
    def lines(self) -> Lines:
        """Its widget."""
        return self.query_one("#list", Lines)

    @property
    def _shown(self) -> tuple[ScreenList, ...]:
        if not self.has_class("-tall"):
            return (self.listing,)
        return (self.listing, *(BELOW if self.has_class("-wide") else (TROUBLE,)))

    def on_resize(self, event: events.Resize) -> None:
        """Show what there is room for."""
        self._make_room(event.size)

    def _make_room(self, size: Size) -> None:
        before = self._shown
        self.set_class(size.width >= WIDE_CELLS, "-wide")
        self.set_class(size.width < WIDE_CELLS, "-narrow")
        self.query_one(Footer).compact = size.width < WIDE_CELLS
        self.set_class(size.height >= TALL_LINES and self.listing is STATUS, "-tall")
        if self._shown != before:
            self._want()

    def _want(self) -> None:
        self.top.want(*(each.panel for each in self._shown))
        self.show()

    def show(self) -> None:
        """Show the picture that there is, and how old it is."""
        if not self.is_mounted or not self.query("#list"):  # a look may end while the screen is taken apart
            return
        top = self.top
        late = top.late
        for each in self.query(Lines):
            each.set_class(late is not None, "-late")
        for listing in self._shown:
            lines = (
                self.lines
                if listing is self.listing
                else self.query_one(f"#below-{listing.panel.name}", Lines)
            )
            lines.show(listing, top.answer_to(listing), top.zone)
        self.tell_age()

    def tell_age(self) -> None:
        """Show which database it is, and how old the picture."""
        top = self.top
        totals = top.picture.totals if top.picture is not None else None
        rates = tuple(top.rates) if self.size.width >= WIDE_CELLS else ()
        first = head.first(top.setting.title, totals, top.zone, top.late, top.why)
        pieces = [*first, head.LinePiece("\n"), *head.second(totals, rates)]
        self.query_one("#head", Static).update(
            Content.assemble(*((each.text, STYLES[each.tone]) for each in pieces)), layout=False
        )

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Tell where the cursor is, and what its line holds."""
        event.stop()
        self._tell_place()
        chosen, answer = self.lines.chosen, self.lines.answer
        parts: tuple[Section, ...] = ()
        if chosen is not None and answer is not None and not isinstance(answer, Fault):
            parts = (Section("", pairs_of(chosen, answer.as_of, self.top.zone)),)
        if self.has_class("-wide") and parts != self._held:
            self._held = parts
            self.query_one("#chosen", Static).update(content_of(parts))
        self._tell_keys()

    def _tell_keys(self) -> None:
        """Show the keys anew if others do something now: that takes longer than all else on the screen."""
        orders = tuple(key for key in "rptclD" if self.order_for(key) is not None)
        others = (
            self.rows_to_move() is not None,
            self.lines.chosen is not None,
            bool(self.lines.several),
            len(self.path),
        )
        if (orders, *others) != self._keys:
            self._keys = (orders, *others)
            self.refresh_bindings()

    def _tell_place(self) -> None:
        place = self.lines.position
        path = " ▸ ".join(as_text(each.title) for each in self.path[1:])
        answer = self.lines.answer
        faults = () if answer is None or isinstance(answer, Fault) else answer.faults
        said = self.top.progress or path or one_line("; ".join(faults)) or self.top.setting.note
        width = self.size.width - 2 - len(place)
        shown = cut(said, width - 1)
        self.query_one("#path", Static).update(Content(f"{shown:<{width}}{place}"), layout=False)

    # --- where one goes ---------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Go where `g` and a letter lead; stop an order under way rather than go back."""
        if event.key == "escape" and self.stops_order():
            event.stop()
        elif self._goes:
            self._goes = False
            at = next((at for at, each in enumerate(TABS) if each.title[0].lower() == event.character), None)
            if at is not None:
                self.action_tab(at)
            event.stop()
            event.prevent_default()
        elif event.key == "g":
            self._goes = True
            event.stop()

    def action_tab(self, at: int) -> None:
        """Choose a tab."""
        self.at, self.path = at, [TABS[at]]
        self._enter()

    def action_turn(self, by: int) -> None:
        """Choose the tab beside."""
        self.action_tab((self.at + by) % len(TABS))

    def action_open(self) -> None:
        """Open what stands behind the chosen line."""
        if self.lines.chosen is not None:
            self.open(self.listing.opens(self.lines.chosen))

    def on_lines_opened(self) -> None:
        """Open what stands behind the line that was clicked."""
        self.action_open()

    def open(self, found: ScreenList | Detail | None) -> None:
        """Show a list, or a detail."""
        if isinstance(found, ScreenList):
            self.path.append(found)
            self._enter()
        elif found is not None:
            self.top.want()
            self.top.push_screen(DetailScreen(found), self._come_back)

    def _come_back(self, _: Any) -> None:
        self._want()

    def action_back(self) -> None:
        """Go back to the list before."""
        if self.lines.several:
            self.lines.choose_one()
        elif len(self.path) > 1:
            self.path.pop()
            self._enter()

    def _enter(self) -> None:
        for at, each in enumerate(self.query(Tab)):
            each.set_class(at == self.at, "-chosen")
        self._make_room(self.size)
        self._want()

    # --- orders -----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something now; others are not shown."""
        if action == "open":
            return self.is_mounted and self.lines.chosen is not None
        if action == "back":
            return len(self.path) > 1 or (self.is_mounted and bool(self.lines.several))
        if action == "choose":
            return self._row is not None
        return super().check_action(action, parameters)

    def order_for(self, key: str) -> DraftOrder | None:
        """Return the order for the chosen line that a key stands for."""
        make = self.listing.acts.get(key)
        if make is None or not self.is_mounted or self.lines.chosen is None:
            return None
        return make(self._several or self.lines.chosen)

    def rows_to_move(self) -> ChosenRows | None:
        """Return the rows of the chosen line, if they may be moved."""
        chosen = self.lines.chosen if self.is_mounted else None
        return None if chosen is None else self._several or self.listing.moves(chosen)

    @property
    def _several(self) -> ChosenRows | None:
        """The rows that are chosen together."""
        rows = [self.listing.moves(each) for each in self.lines.several]
        return together([each for each in rows if each is not None]) if rows else None

    @property
    def _row(self) -> ChosenRows | None:
        """The row of the cursor's line, if that is one."""
        chosen = self.lines.chosen if self.is_mounted else None
        found = None if chosen is None else self.listing.moves(chosen)
        return None if found is None or found.key is None else found

    def action_choose(self) -> None:
        """Choose the cursor's row together with others, or not any more; an order is for one handler's."""
        row, several = self._row, self._several
        if row is None:
            return
        if several is not None and several.handler != row.handler:
            self.notify(f"those chosen are of {one_line(several.handler)}: Esc forgets them", markup=False)
            return
        self.lines.choose_too()

    def has_changed(self) -> None:
        """Look at once."""
        self.lines.choose_one()
        self.top.looking.wake()
        self.show()


def _beside(listing: ScreenList) -> Lines:
    """Return the widget of a list that is there to be seen only."""
    made = Lines(id=f"below-{listing.panel.name}")
    made.can_focus = False
    made.border_title = Content(listing.title)
    return made
