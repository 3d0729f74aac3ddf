"""Looks again and again, on a thread of its own: one look a tick, however many panels it fills.

The model. What is on the screen is what is asked for (`want`), and nothing else. A look is a few questions on one
connection that reads only and soon gives up; what one question meets, a locked table say, is told in its panel, and the
others are filled. The next look comes after `LOOK_SECONDS`, or twenty times what the last one took, if that is longer: a
screen takes a twentieth of one backend at the most. Where the database is away the look before stays, and is asked for
again after growing pauses.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from poller.client.client import Client
from poller.errors import DatabaseError, PollerError
from poller.errors_in_words import reason
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from poller.client.answers import Page
    from poller.client.database import LookingConnection
    from poller.client.known_handlers import Source
    from poller.client.totals import Totals

LOOK_SECONDS = 2.0  # seconds from the beginning of a look to the next
LOOK_SHARE = 20  # a look may take one part in so many of the time
PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds between two looks at a database that is away; the last is repeated
END_SECONDS = 0.5  # seconds that the thread has for its end


class ScreenClients:
    """The clients that panels and orders ask.

    Args:
        client: of the database.
        has_code: it knows the handlers' code; else they are shown as workers have registered them last.
        counting: makes a client of the same database that knows other handlers.
    """

    def __init__(self, client: Client, counting: Callable[[Source], Client], *, has_code: bool) -> None:
        self.client = client
        self._counting = counting
        self.has_code = has_code

    @property
    def machines(self) -> Client:
        """The client for what needs to know the handlers."""
        return self.client if self.has_code else self._counting(self.client.registered())


@dataclass(frozen=True, slots=True)
class Panel:
    """A question, and the name under which its answer is found in a picture."""

    name: str
    ask: Callable[[ScreenClients], Page[Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a panel has no answer."""

    why: str


@dataclass(frozen=True, slots=True)
class LookResult:
    """What one look has seen.

    Attributes:
        totals: of the whole fleet.
        answers: of the panels, by their names.
        seconds: what it took.
        seen: when it was taken, by the monotonic clock.
    """

    totals: Totals
    answers: Mapping[str, Page[Any] | Fault]
    seconds: float
    seen: float


@dataclass(frozen=True, slots=True)
class Away:
    """The database cannot be asked, and why."""

    why: str


class Looker:
    """Looks at a database, on one connection.

    Args:
        connection: to look by.
        package: the handlers, if their code is here.
        said: makes an error of poller's into a line for people.
    """

    def __init__(
        self, connection: LookingConnection, package: Source, said: Callable[[PollerError], str] = str
    ) -> None:
        self.connection = connection
        self._package = package
        self._said = said

    def look(self, panels: Sequence[Panel]) -> LookResult | Away:
        """Look once at the totals and some panels."""
        began = time.monotonic()
        try:
            asked = self._asked()
            totals = asked.client.totals()
            answers = {each.name: self._answer(each, asked) for each in panels}
        except DatabaseError as error:
            return Away(one_line(str(error.data.get("plain") or self._said(error))))
        except psycopg.Error as error:
            return Away(one_line(reason(error)))
        seen = time.monotonic()
        return LookResult(totals, answers, seen - began, seen)

    def first(self, *panels: Panel) -> LookResult:
        """Look once, where there is no look before that could be shown instead.

        Raises:
            DatabaseError: the database cannot be asked.
        """
        self._asked().client.totals()
        seen = self.look(panels)
        if isinstance(seen, Away):
            raise DatabaseError(seen.why)
        return seen

    def _asked(self) -> ScreenClients:
        def client(handlers: Source) -> Client:
            return Client(self.connection, handlers)

        return ScreenClients(client(self._package), client, has_code=self._package is not None)

    def _answer(self, panel: Panel, asked: ScreenClients) -> Page[Any] | Fault:
        """Return what a panel shows, or why it shows nothing.

        Raises:
            psycopg.Error: the connection has broken.
        """
        try:
            return panel.ask(asked)
        except PollerError as error:
            return Fault(one_line(self._said(error)))
        except psycopg.Error as error:
            if not self.connection.is_open:
                raise
            return Fault(one_line(reason(error)))
        except Exception as error:  # noqa: BLE001 - a panel costs itself only
            return Fault(one_line(f"{type(error).__name__}: {error}"))


class LookThread:
    """Looks on a thread of its own, until it is stopped.

    Args:
        looks: what looks.
        hear: is called, by that thread, with each picture, and each time that there is none.
    """

    def __init__(self, looks: Looker, hear: Callable[[LookResult | Away], object]) -> None:
        self._looks = looks
        self._hear = hear
        self._wanted: tuple[Panel, ...] = ()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller looks", daemon=True)

    def start(self) -> None:
        """Begin to look, once a panel is wanted."""
        self._thread.start()

    def want(self, *panels: Panel) -> None:
        """Look at these panels from now on, and at once."""
        self._wanted = panels
        self.wake()

    def wake(self) -> None:
        """Look at once: something has changed."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread. A question that is being asked ends by itself soon, or with this process."""
        self._stopped.set()
        self._woken.set()

    def join(self) -> None:
        """Wait for its end, for a moment."""
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        failed = 0
        self._woken.wait()  # until a panel is wanted
        while not self._stopped.is_set():
            self._woken.clear()
            seen = self._looks.look(self._wanted)
            if self._stopped.is_set():
                break
            self._hear(seen)
            if isinstance(seen, Away):
                pause, failed = PAUSES[min(failed, len(PAUSES) - 1)], failed + 1
            else:
                pause, failed = max(LOOK_SECONDS, LOOK_SHARE * seen.seconds) - seen.seconds, 0
            self._woken.wait(pause)
        self._looks.connection.close()
