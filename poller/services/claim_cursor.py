"""Where the next look for one handler's rows starts, and when it happens.

The model. Rows in trouble (waiting, parked) keep their status, and each look from the top walks over them. So a claim
continues where the last one ended, and looks from the top are rationed to a twentieth of the time. In between, looks
continue from the last row, so that rows added at the end are seen. With `order_by` each look starts at the top, since
the first row is always wanted; so does each look with `per_key`, whose rows must wait for the ones before them.

A row may arrive between the last look from the top and the query for the last key. So each notification of new rows
(`came`) triggers another look from the top, as soon as that is affordable.

Threads. The claimer's thread writes every field. Threads that write results increment `settled` and `came`, and set
`held_until` and `retry_at` to 0: the claimer must not miss that, so a claim remembers the counts from before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.store.claims import Claimed

SHARE = 20  # looks from the top may take 1/SHARE of the time
QUICK_SECONDS = 0.005  # a look this short need not be rationed
FIRST_MISS_SECONDS = 0.005  # until a claim that brought nothing is repeated; doubles after each further one
FIRST_WAIT_SECONDS = 1.0  # until a handler that has failed is tried again; doubles after each further failure


@dataclass(slots=True)
class Cursor:
    """How far a handler's claims have come.

    Attributes:
        after: the last key looked at; the next look continues past it.
        at_end: nothing was found past it: the next look begins at the top, if it is time.
        top_at: when a look from the top is affordable again (monotonic).
        held_until: when a handler whose table is broken, or which is at a limit, is looked at again (monotonic).
        until_settled: an outcome of the handler ends that hold, too.
        retry_at: when to look again for retries, after none could be taken (monotonic).
        fresh_at: when to ask again for fresh rows, after a claim brought none of what was due (monotonic).
        misses: how many claims in a row have brought none.
        settled: how many times outcomes of the handler have been written.
        came: how many times rows are known to have arrived at its status.
        seen: the value of `came` before the last look from the top; if `came` is greater, another look is wanted.
        failures: how many looks or claims have failed in a row.
        at_claim: the last failure was a claim, so a look that works proves nothing.
        logged: the reason that was logged last.
    """

    after: str | None = None
    at_end: bool = True
    top_at: float = 0.0
    held_until: float = 0.0
    until_settled: bool = False
    retry_at: float = 0.0
    fresh_at: float = 0.0
    misses: int = 0
    settled: int = 0
    came: int = 0
    seen: int = 0
    failures: int = 0
    at_claim: bool = False
    logged: str = ""

    # --- on the claimer's thread --------------------------------------------------------------------

    def key(self, *, goes_on: bool) -> str | None:
        """Return the key to continue from, or None for the top: always None for handlers that do not continue."""
        if not goes_on:
            return None
        return None if self.at_end and monotonic() >= self.top_at else self.after

    def advance(self, claimed: Claimed) -> None:
        """Move past the rows that a claim has looked at."""
        self.after = claimed.last or self.after
        self.at_end = not claimed.full

    def rest(self, seconds: float, came: int) -> bool:
        """Note that a look from the top found less than it asked for, and delay the next one in proportion to its cost.

        Args:
            seconds: how long the look took.
            came: the value of `came` before the look.

        Returns:
            whether looks should continue from the last row until then.
        """
        self.at_end, self.seen = True, came
        self.top_at = monotonic() + SHARE * seconds
        return seconds > QUICK_SECONDS

    def hold(self, claimed: Claimed, settled: int, poll: float) -> bool:
        """Hold the handler while a fleet-wide limit allows no more of its rows; return whether it is held.

        Args:
            claimed: the result of a claim.
            settled: the count from before that claim, so that an outcome written since is not missed.
            poll: seconds after which it is looked at again in any case.
        """
        if claimed.again_in is None and not claimed.until_settled:
            return False
        self.until_settled = claimed.until_settled
        self.held_until = monotonic() + (poll if claimed.again_in is None else claimed.again_in)
        if claimed.until_settled and self.settled != settled:
            self.held_until = 0.0
        return True

    def miss(self, most_seconds: float) -> None:
        """Note a claim that brought nothing, and delay the next look."""
        wait = min(most_seconds, FIRST_MISS_SECONDS * 2 ** min(self.misses, 10))
        self.fresh_at, self.misses = monotonic() + wait, self.misses + 1

    def look_again(self, *, is_due: bool) -> None:
        """Note what a look after a claim that brought nothing has found."""
        self.fresh_at, self.misses = 0.0, self.misses if is_due else 0

    def put_aside(self, why: str, most_seconds: float, *, at_claim: bool) -> tuple[Cursor, float]:
        """Return a cursor that holds the handler for a growing delay, and that delay in seconds."""
        wait = min(most_seconds, FIRST_WAIT_SECONDS * 2 ** min(self.failures, 10))
        aside = Cursor(
            held_until=monotonic() + wait, failures=self.failures + 1, at_claim=at_claim, logged=why
        )
        return aside, wait

    def start_over(self) -> None:
        """Make the next look begin at the top, whatever that costs."""
        self.at_end, self.top_at, self.held_until, self.retry_at, self.fresh_at = True, 0.0, 0.0, 0.0, 0.0

    # --- on any thread ------------------------------------------------------------------------------

    def notice(self) -> None:
        """Note a notification of new rows."""
        self.came += 1
        self.fresh_at = 0.0
        if self.until_settled:
            self.held_until = 0.0

    def free(self) -> bool:
        """Note that outcomes of the handler have been written; return whether a limit had held it."""
        self.settled += 1
        if not self.until_settled:
            return False
        self.held_until = 0.0
        return True
