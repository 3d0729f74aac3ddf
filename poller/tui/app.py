"""The application: its screens, the keys that hold everywhere, and the way in and out of the terminal."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from poller.telemetry.printable import one_line
from poller.tui import details
from poller.tui.asking import AskingApp
from poller.tui.dialogs import Choice, Find, Keys, name_of
from poller.tui.main_screen import MainScreen
from poller.tui.ordering import Ordering
from poller.tui.orders import ChosenRows
from poller.tui.run_lists import runs_of

if TYPE_CHECKING:
    from textual.binding import BindingType

    from poller.client.answers import Page
    from poller.client.find import Found
    from poller.tui.asking import Setting
    from poller.tui.details import Detail
    from poller.tui.listing import ScreenList
    from poller.tui.looks import Looker

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KEYS = (
    ("Tab ← →, 1-9", "the lists; also g and the first letter of the name"),
    ("j k ↓ ↑", "the line below, above; PgDn PgUp Home End"),
    ("Enter", "what stands behind the line"),
    ("Esc", "back; or stop an order between two batches, or forget what is chosen"),
    ("x", "choose a row of a handler, and others with it"),
    ("r", "retry rows in trouble: a handler's, a cause's, one, or those chosen"),
    ("p", "pause, or resume, a handler or a job"),
    ("l", "release rows from the workers that hold them"),
    ("m", "move rows to another status"),
    ("t", "trigger a job now"),
    ("c", "cancel a run"),
    ("D", "drain a worker"),
    ("C", "check the handlers and jobs against the database"),
    ("/", "find a row by its key, a run, a job, a handler"),
    ("z", "times in UTC, or in the local zone"),
    ("d", "dark, or light"),
    ("?", "these keys"),
    ("q", "leave"),
)


class Top(AskingApp):
    """The live screen.

    Args:
        setting: where it looks, and in whose name it orders.
        looks: what looks.
    """

    TITLE = "poller"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", key_display="/"),
        Binding("C", "check", "Check", show=False),
        Binding("z", "zone", "Zone"),
        Binding("d", "switch_theme", "Theme", show=False),
        Binding("question_mark", "keys", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c,ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, setting: Setting, looks: Looker) -> None:
        super().__init__(setting, looks)
        self._main = MainScreen()

    def on_mount(self) -> None:
        """Show the lists, and begin to look."""
        self.push_screen(self._main)
        self.looking.start()
        self.set_interval(1.0, self._tell_age)

    def _fatal_error(self) -> None:
        """End after an error of its own, which is raised again once the terminal is as it was.

        Textual would show the values of local variables, and a URL's password may be among those.
        """
        self._close_messages_no_wait()

    def show(self) -> None:
        """Have the lists show what was seen last; a detail asks by itself."""
        self._main.show()

    def _tell_age(self) -> None:
        if self.late is not None:
            self.show()

    # --- keys -------------------------------------------------------------------------------------

    def action_zone(self) -> None:
        """Tell times in UTC, or in the local zone."""
        self.zone = None if self.zone is UTC else UTC
        self.show()
        if isinstance(self.screen, Ordering):
            self.screen.has_changed()

    def action_switch_theme(self) -> None:
        """Be dark, or light."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_keys(self) -> None:
        """Show the keys."""
        self.push_screen(Keys(KEYS))

    def action_check(self) -> None:
        """Show what is wrong with the handlers and jobs."""
        if self.screen is self._main:
            self._main.open(details.of_check())

    def action_find(self) -> None:
        """Ask for a word, and open what it means."""

        def look_for(word: str | None) -> None:
            if word:
                self.ask(
                    lambda asked: asked.client.find(word), lambda page: self._found(word, page), self._fail
                )

        self.push_screen(Find(), look_for)

    def _found(self, word: str, page: Page[Found]) -> None:
        left = "; ".join(page.faults)
        if not page.items:
            told = f"nothing is called {word}, and no row has that key{'; ' if left else ''}{left}"
            self.notify(one_line(told), markup=False)
            return
        if left:
            self.notify(one_line(left), severity="warning", markup=False)
        if len(page.items) == 1:
            self._show_found(page.items[0])
        else:
            names = [name_of(each) for each in page.items]
            self.push_screen(Choice(f"{one_line(word)} may be", names), lambda at: self._choose(page, at))

    def _choose(self, page: Page[Found], at: int | None) -> None:
        if at is not None:
            self._show_found(page.items[at])

    def _show_found(self, found: Found) -> None:
        while self.screen is not self._main:
            self.pop_screen()
        self._main.open(opened(found))

    def _fail(self, why: str) -> None:
        self.notify(why, severity="error", markup=False)


def opened(found: Found) -> ScreenList | Detail:
    """Return the list or the detail of what was found."""
    match found.kind:
        case "row":
            return details.of_row(
                ChosenRows(str(found.table), str(found.status), found.key, column=found.column)
            )
        case "handler":
            return details.of_handler(found)
        case "run":
            return details.of_run(found.run or 0, str(found.job))
        case _:
            return runs_of(str(found.job))


def run(setting: Setting, looks: Looker) -> None:
    """Show the screen until a person leaves it, or a signal asks this process to end."""
    asyncio.run(_run(setting, looks))


async def _run(setting: Setting, looks: Looker) -> None:
    top = Top(setting, looks)
    loop = asyncio.get_running_loop()
    for number_ in ENDING:
        loop.add_signal_handler(number_, top.exit)
    await top.run_async()
    top.looking.join()
    if top._exception is not None:  # noqa: SLF001 - Textual has kept it, and does not raise it
        raise top._exception  # noqa: SLF001 - as above
