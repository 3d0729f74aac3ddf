"""Acts on many rows: each on a thread of its own, while a page shows how far it is.

The model. The client carries an order out in batches of a thousand rows; each is committed with what the order has
reached so far among the actions. Here is only what a page tells meanwhile, and the event that ends an act after its
current batch. An act that is under way already is not begun again: who confirms it a second time sees that one.

What may be trusted: the database, for what was done. The desk forgets what it knows when it ends; it tells acts to end
before, and waits for them a moment. A batch that is not finished then is undone by the database, with its entry.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from poller.client.refusals import NothingSelectedError
from poller.errors import PollerError
from poller.web.faults import Refused, said
from poller.web.progress import Progress, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.web.act import Act

    CarryOut = Callable[["Progress"], str | None]

KEPT = 100  # acts that have ended and are shown still
BROKEN = "The desk has a fault, which its log tells."

_threads: set[threading.Thread] = set()


@dataclass(slots=True)
class UnderWay:
    """An act that is under way, or has been.

    Attributes:
        number: of its page.
        act: what is done.
        person: who has confirmed it.
        most: how many rows were confirmed; None if they were not counted.
        began_at: when.
        said: what came of it; None while it goes on.
    """

    number: int
    act: Act
    person: str
    most: int | None
    began_at: datetime
    progress: Progress = field(default_factory=Progress)
    ended_at: datetime | None = None
    said: str | None = None

    @property
    def is_stopped(self) -> bool:
        """It was told to end."""
        return self.progress.stop.is_set()


class ActsUnderWay:
    """The acts of a desk that have a thread; used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(int(time()))  # so that an old page shows no other act after a restart
        self._known: dict[int, UnderWay] = {}

    def begin(self, act: Act, person: str, most: int | None, carry_out: CarryOut) -> UnderWay:
        """Begin an act, unless the same is under way; return that."""
        with self._lock:
            if (known := self.of(act)) is not None:
                return known
            made = UnderWay(next(self._numbers), act, person, most, datetime.now(UTC))
            self._known[made.number] = made
            self._forget()
        thread = threading.Thread(target=_run, args=(made, carry_out), name="desk act", daemon=True)
        _threads.add(thread)
        thread.start()
        return made

    def of(self, act: Act) -> UnderWay | None:
        """Return the same act, if it goes on."""
        return next((each for each in self.now() if each.act == act), None)

    def get(self, number: int) -> UnderWay | None:
        """Return an act by its number."""
        return self._known.get(number)

    def now(self) -> list[UnderWay]:
        """Return those that go on."""
        with self._lock:
            return [each for each in self._known.values() if each.ended_at is None]

    def _forget(self) -> None:
        ended = [number for number, each in self._known.items() if each.ended_at is not None]
        for number in ended[: max(0, len(ended) - KEPT)]:
            del self._known[number]


def _run(made: UnderWay, carry_out: CarryOut) -> None:
    text = BROKEN
    try:
        with stoppable(made.progress):
            text = carry_out(made.progress) or ""
    except NothingSelectedError as error:  # of a move it tells what the table has said
        text = "No row could be moved." if made.act.name == "move" else f"{error}."
    except (PollerError, Refused) as error:
        text = f"{said(error)}."
    finally:
        made.said, made.ended_at = text, datetime.now(UTC)
        _threads.discard(threading.current_thread())


def wait_for_all(seconds: float) -> None:
    """Wait until those that have a thread have ended, but not for longer."""
    until = monotonic() + seconds
    for thread in list(_threads):
        thread.join(max(0.0, until - monotonic()))
