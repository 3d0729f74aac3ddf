"""One look at the fleet for all viewers of the desk.

The model. A thread looks every two seconds, while somebody has looked at a page within the last fifteen, and takes a
twentieth of the time at the most. A page is made from what it found last; where nobody has looked for long, the first
one waits for a new look. After an act the next page waits for a look, too.

What may be trusted: what is shown is as old as it says. If the database is away, the last look stays, with the reason.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from poller.errors import PollerError
from poller.web.faults import Refused, said
from poller.web.shared import Shared

if TYPE_CHECKING:
    from poller.client.client import Client
    from poller.client.overview import Beside, Overview, Watch

EVERY = 2.0  # seconds between two looks
SHARE = 20  # a look may take one part in so many of the time, as long as there is one in ten seconds
WATCHED = 15.0  # seconds without a page after which the thread stops looking
SLOWLY = 10.0  # seconds between two looks at what changes less: jobs, causes of trouble, acts
GLANCE = 0.25  # seconds after which it is noticed that the server has gone away
PATIENCE = 3.0  # seconds that a page waits for a look
LINES = 100  # jobs that are looked at, by their names
FEW = 5  # next runs and last acts


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen last.

    Attributes:
        overview: None if nothing was seen yet.
        fault: why the last look failed; None if it did not.
        reason: of the fault, as `PollerError` has it.
        number: of the look.
        made: what was made of it to be shown, once for all who see it.
    """

    overview: Overview | None = None
    beside: Beside | None = None
    fault: str | None = None
    reason: str = ""
    number: int = 0
    made: Shared = field(default_factory=Shared, compare=False, repr=False)


class Snapshot:
    """What was seen last, and the thread that looks; used by any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._seen = Seen()
        self._took = float("-inf")  # when
        self._watched_until = float("-inf")
        self._thread: threading.Thread | None = None
        self._wanted = 0  # the number of the look that pages wait for
        self._is_hurried = False

    def seen(self) -> Seen:
        """Return the last look; it is a moment old if other viewers use it, too."""
        with self._changed:
            self._watched_until = monotonic() + WATCHED
            if monotonic() - self._took > SLOWLY:
                self._wanted = self._seen.number + 1
            self._start()
            self._changed.wait_for(lambda: self._seen.number >= self._wanted, PATIENCE)
            return self._seen

    def refresh(self) -> None:
        """Look again before the next page, since an order may have changed something."""
        with self._changed:
            self._wanted, self._is_hurried = self._seen.number + 2, True  # one may be on its way
            self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Look again and again, as long as any viewer asks for it."""
        eye = _Eye(self._client)
        try:  # a fault of the desk's own ends the thread: the next who looks starts another
            while self._goes_on():
                began = monotonic()
                seen = eye.look(anew=self._is_hurried)
                self._show(seen)
                self._pause((monotonic() - began) * SHARE, eye)
        finally:
            eye.close()

    def _goes_on(self) -> bool:
        with self._changed:
            if monotonic() < self._watched_until:
                return True
            self._thread = None  # whoever looks from now on starts another
            return False

    def _show(self, seen: Seen) -> None:
        with self._changed:
            number = self._seen.number + 1
            if seen.overview is None:
                seen = Seen(self._seen.overview, self._seen.beside, seen.fault, seen.reason)
            self._took = monotonic()
            self._seen = Seen(seen.overview, seen.beside, seen.fault, seen.reason, number)
            self._is_hurried = self._wanted > number
            self._changed.notify_all()

    def _pause(self, seconds: float, eye: _Eye) -> None:
        """Wait for the next look; not to its end, if the server is heard to go away."""
        until = monotonic() + max(EVERY, min(seconds, SLOWLY))
        with self._changed:
            while not self._is_hurried and not eye.is_cut() and monotonic() < until:
                self._changed.wait(min(GLANCE, max(0.0, until - monotonic())))


class _Eye:
    """Looks, on a connection that is opened when it is needed; belongs to one thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watch: Watch | None = None
        self._beside: Beside | None = None
        self._beside_until = float("-inf")

    def look(self, *, anew: bool) -> Seen:
        """Return what is seen, or why nothing is."""
        try:
            self._watch = self._watch or self._client.watch()
            overview = self._watch.look(anew=anew)
            if anew or monotonic() >= self._beside_until:
                self._beside, self._beside_until = self._watch.beside(LINES, FEW), monotonic() + SLOWLY
        except (PollerError, Refused) as error:
            self.close()
            return Seen(fault=said(error), reason=getattr(error, "reason", ""))
        return Seen(overview, self._beside)

    def is_cut(self) -> bool:
        """Tell whether the server has closed the connection, or no longer answers."""
        return self._watch is not None and self._watch.is_cut()

    def close(self) -> None:
        """Close the connection."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
