"""Where the looks for one handler's rows go on, and when the next one is.

The model. Rows in trouble (waiting, parked) keep their status, and each look from the top walks over them. So a claim
goes on where the last one ended, and a handler is looked at from the top again only as often as that costs a twentieth
of the time. Until then looks go on from the last row there is, so that what is added at the end is seen. `order_by`
asks for the first row always, so there each look begins anew; so it does with `per_key`, whose rows have to wait for
the ones before them.

A row may come between the last look from the top and the question for the last key. Whoever says that there is
something new (`came`) has another look made from the top, as soon as that is affordable.

Threads. The claimer's writes all of a cursor. Those that write results count `settled` and `came`, and set `held_until`
and `retry_at` to 0: what they end must not be missed, so a claim remembers the counts from before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.store.claims import Claimed

SHARE = 20  # a look from the top may take one part in so many of the time
QUICK_SECONDS = 0.005  # a look this short needs no sparing
FIRST_WAIT_SECONDS = 1.0  # until a handler that has failed is tried again; twice that after each further time


@dataclass(slots=True)
class Cursor:
    """How far a handler's claims have come.

    Attributes:
        after: the last key looked at; the next look goes on past it.
        at_end: nothing was found past it: the next look begins at the top, if it is time.
        top_at: when a look from the top is affordable again (monotonic).
        held_until: when a handler whose table is broken, or which is at a limit, is looked at again (monotonic).
        until_settled: an outcome of the handler ends that, too.
        retry_at: when retries are looked for again, of which none could be taken (monotonic).
        settled: how many times outcomes of the handler have been written.
        came: how many times rows are known to have come to its status.
        seen: what that was before the last look from the top; if it is more now, another one is wanted.
        failures: how many times in a row it could not be looked at or claimed for.
        at_claim: the last of them was a claim, so that a look which works proves nothing.
        told: the reason that was told last.
    """

    after: str | None = None
    at_end: bool = True
    top_at: float = 0.0
    held_until: float = 0.0
    until_settled: bool = False
    retry_at: float = 0.0
    settled: int = 0
    came: int = 0
    seen: int = 0
    failures: int = 0
    at_claim: bool = False
    told: str = ""

    # --- on the claimer's thread --------------------------------------------------------------------

    def key(self, *, goes_on: bool) -> str | None:
        """Return the key to go on from, or None for the top; looks that do not go on begin there always."""
        if not goes_on:
            return None
        return None if self.at_end and monotonic() >= self.top_at else self.after

    def advance(self, claimed: Claimed) -> None:
        """Go on past what a claim has looked at."""
        self.after = claimed.last or self.after
        self.at_end = not claimed.full

    def rest(self, seconds: float, came: int) -> bool:
        """A look from the top found less than it asked for: the next such look waits in proportion.

        Args:
            seconds: how long the look took.
            came: how many times rows had come before it.

        Returns:
            whether looks are to go on from the last row there is until then.
        """
        self.at_end, self.seen = True, came
        self.top_at = monotonic() + SHARE * seconds
        return seconds > QUICK_SECONDS

    def hold(self, claimed: Claimed, settled: int, poll: float) -> bool:
        """Leave the handler alone for as long as a limit of the fleet allows no more of its rows; tell whether one does.

        Args:
            claimed: what a claim has brought.
            settled: the count from before that claim: an outcome that came since is not to be missed.
            poll: seconds after which it is looked at again in any case.
        """
        if claimed.again_in is None and not claimed.until_settled:
            return False
        self.until_settled = claimed.until_settled
        self.held_until = monotonic() + (poll if claimed.again_in is None else claimed.again_in)
        if claimed.until_settled and self.settled != settled:
            self.held_until = 0.0
        return True

    def put_aside(self, why: str, most_seconds: float, *, at_claim: bool) -> tuple[Cursor, float]:
        """Return the cursor of a handler that is left out, for a while that grows, and the seconds of that."""
        wait = min(most_seconds, FIRST_WAIT_SECONDS * 2 ** min(self.failures, 10))
        aside = Cursor(held_until=monotonic() + wait, failures=self.failures + 1, at_claim=at_claim, told=why)
        return aside, wait

    def start_over(self) -> None:
        """Have the next look begin at the top, whatever that costs."""
        self.at_end, self.top_at, self.held_until, self.retry_at = True, 0.0, 0.0, 0.0

    # --- on any thread ------------------------------------------------------------------------------

    def notice(self) -> None:
        """Take note that somebody says there is something new."""
        self.came += 1
        if self.until_settled:
            self.held_until = 0.0

    def free(self) -> bool:
        """Take note that outcomes of the handler have been written; tell whether a limit had kept it."""
        self.settled += 1
        if not self.until_settled:
            return False
        self.held_until = 0.0
        return True
