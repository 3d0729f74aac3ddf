"""The application behind the screens: it keeps the last answers, and asks for new ones.

Threads: one looks (`LookThread`); each question or order of a person has one of its own. They hand over what they have
by messages, and what is shown is touched by the application's own loop alone. None of them is waited for at the end: an
order that is under way is told to stop between two batches, and what it had not committed is undone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from textual.app import App
from textual.message import Message

from poller.client.client import Client
from poller.errors import PollerError
from poller.errors_in_words import reason
from poller.telemetry.printable import one_line
from poller.tui.looks import (
    LOOK_SECONDS,
    LOOK_SHARE,
    Away,
    Fault,
    Looker,
    LookResult,
    LookThread,
    ScreenClients,
)
from poller.tui.orders import Under, number

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from poller.client.answers import Page
    from poller.client.database import DatabaseLocation
    from poller.client.known_handlers import Source
    from poller.tui.listing import ScreenList
    from poller.tui.looks import Panel

T = TypeVar("T")

VIA = "top"  # the face, as orders are written down with it
LATE_SECONDS = 2.0  # seconds for which a look may be missing
SHOWN_RATES = 30  # looks whose rates are shown as bars


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the screen looks, and in whose name it orders.

    Attributes:
        place: the database.
        title: its name, for people.
        package: the handlers, if their code is here.
        person: who orders.
        said: makes an error of poller's into a line for people.
        note: a line that is shown as long as there is nothing else to say.
    """

    place: DatabaseLocation
    title: str
    package: Source = None
    person: str | None = None
    said: Callable[[PollerError], str] = str
    note: str = ""


class LookEnded(Message):
    """A look has ended."""

    def __init__(self, seen: LookResult | Away) -> None:
        super().__init__()
        self.seen = seen


class Told(Message):
    """A thread has something for the application's loop to do."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self.do = do


class AskingApp(App[None]):
    """Asks the client, and keeps the answers, which the screens show.

    Args:
        setting: where it looks, and in whose name it orders.
        looks: what looks.

    Attributes:
        zone: in which times are told; None is the local one.
        picture: the last look.
        why: the database cannot be asked; empty if it can.
        rates: of the last looks.
        under: the order under way.
        progress: how far that has come.
    """

    def __init__(self, setting: Setting, looks: Looker) -> None:
        super().__init__(ansi_color="NO_COLOR" in os.environ)
        self.animation_level = "none"
        self.setting = setting
        self.looking = LookThread(looks, lambda seen: self.post_message(LookEnded(seen)))
        self.zone: tzinfo | None = UTC
        self.picture: LookResult | None = None
        self.why = ""
        self.rates: deque[float] = deque(maxlen=SHOWN_RATES)
        self.under: Under | None = None
        self.progress = ""
        self._answers: dict[str, Page[Any] | Fault] = {}

    def on_unmount(self) -> None:
        """Stop looking; an order under way ends after its current batch."""
        self.looking.stop()
        if self.under is not None:
            self.under.stop.set()

    def show(self) -> None:
        """Have the screens show what was seen last."""
        raise NotImplementedError

    # --- looks ------------------------------------------------------------------------------------

    def want(self, *panels: Panel) -> None:
        """Look at these panels from now on, and at once."""
        self._answers = {each.name: self._answers[each.name] for each in panels if each.name in self._answers}
        self.looking.want(*panels)

    def answer_to(self, listing: ScreenList) -> Page[Any] | Fault | None:
        """Return what was seen last of a list; None if it has not been asked for yet."""
        return self._answers.get(listing.panel.name)

    @property
    def late(self) -> float | None:
        """The age of the picture in seconds, if it is too old."""
        if self.picture is None:
            return None
        age = time.monotonic() - self.picture.seen
        expected = max(LOOK_SECONDS, LOOK_SHARE * self.picture.seconds)
        return age if self.why or age > expected + LATE_SECONDS else None

    def on_look_ended(self, message: LookEnded) -> None:
        """Show what was seen."""
        seen = message.seen
        if isinstance(seen, Away):
            self.why = seen.why
        else:
            self.why, self.picture = "", seen
            self._answers |= seen.answers
            self.rates.append(seen.totals.done_per_minute)
        self.show()

    # --- questions and orders ---------------------------------------------------------------------

    def asked(self) -> ScreenClients:
        """Return the client for a person's questions and orders, which opens a connection for each call."""

        def client(handlers: Source) -> Client:
            return Client(self.setting.place, handlers, via=VIA, person=self.setting.person)

        package = self.setting.package
        return ScreenClients(client(package), client, has_code=package is not None)

    def ask(
        self,
        question: Callable[[ScreenClients], T],
        then: Callable[[T], object],
        failed: Callable[[str], object],
    ) -> None:
        """Ask on a thread of its own.

        Args:
            question: what is asked.
            then: is called with the answer, by the application's loop.
            failed: is called with the reason why there is none.
        """

        def run() -> None:
            try:
                answer = question(self.asked())
            except PollerError as error:
                why = one_line(self.setting.said(error))
                self.post_message(Told(lambda: failed(why)))
            except psycopg.Error as error:
                why_not = one_line(reason(error))
                self.post_message(Told(lambda: failed(why_not)))
            except Exception as error:  # noqa: BLE001 - it is raised where it ends the screen
                self.post_message(Told(partial(_raise, error)))
            else:
                self.post_message(Told(lambda: then(answer)))

        threading.Thread(target=run, name="poller asks", daemon=True).start()

    def on_told(self, message: Told) -> None:
        """Do what a thread has asked for."""
        message.do()

    def progressed(self, rows: int) -> None:
        """Show how many rows an order has reached; any thread calls it."""
        self.post_message(Told(lambda: self._show_progress(f"{number(rows)} so far; Esc stops")))

    def has_ended(self) -> None:
        """Show that no order is under way any more."""
        self.under = None
        self._show_progress("")

    def _show_progress(self, said: str) -> None:
        self.progress = said if self.under is not None else ""
        self.show()


def _raise(error: Exception) -> None:
    raise error
