"""How many rows of a handler the whole fleet may claim now: by its limit, its rate, and the turns of its keys.

The queries run in the transaction of the claim, under a lock of the handler: two claimers that count at the same time
would claim too many rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from poller.db.statements import statement

if TYPE_CHECKING:
    from poller.db.connection import Borrowed, Link
    from poller.store.binding import Binding

SLACK_SHRINKS = 0.98  # with each claim, once it has grown
LONGEST_SLACK_SECONDS = 60.0
OTHERS_TURN_SECONDS = (0.002, 0.02)  # to wait, at random, while another worker claims


@dataclass(frozen=True, slots=True)
class Room:
    """How many rows of a handler may be claimed now.

    Attributes:
        rows: their number.
        again_in: if `rows` is 0: the seconds after which to look again.
        until_settled: whether an outcome of the handler may change that earlier.
    """

    rows: int
    again_in: float | None = None
    until_settled: bool = False


class Limits:
    """The limits of handlers, as one claimer queries them."""

    def __init__(self, link: Link | Borrowed) -> None:
        self._link = link
        # Seconds within which rows of a rate begin, where that takes longer than the rate's own slack.
        self._slack: dict[Binding, float] = {}

    def room(self, binding: Binding, limit: int) -> Room:
        """Return how many of `limit` rows the handler's limits allow; other claimers wait meanwhile."""
        handler = binding.handler
        if not handler.is_limited:
            return Room(limit)
        connection = self._link.connection
        row = connection.execute(statement("claim_alone"), {"handler": binding.id}).fetchone()
        if row is None or not row[0]:
            return Room(0, again_in=random.uniform(*OTHERS_TURN_SECONDS))  # noqa: S311 - to part, not to hide
        if handler.limit is None and handler.rate is None:
            return Room(limit)
        asked = {
            "handler": binding.id,
            "limit": handler.limit,
            "rate": handler.rate and handler.rate.rows,
            "window": handler.rate.window if handler.rate else 0.0,
        }
        row = connection.execute(statement("limit_room"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        by_limit, by_rate, again_in = row
        rows = min(each for each in (limit, by_limit, by_rate) if each is not None)
        if by_rate is not None and by_rate <= 0:
            return Room(rows, again_in=max(0.0, again_in))
        return Room(rows, until_settled=True)

    def write_started(self, binding: Binding, rows: int) -> float:
        """Record that rows begin, if the handler has a rate; return by when (monotonic) they must have begun."""
        rate = binding.handler.rate
        if rate is None or not rows:
            return float("inf")
        slack = self._slack.get(binding, rate.slack)
        self._slack[binding] = max(rate.slack, slack * SLACK_SHRINKS)
        asked = {"handler": binding.id, "rows": rows, "window": rate.window, "slack": slack}
        # Before the database reads its clock: what begins within the slack of this does so of that.
        sent = monotonic()
        self._link.connection.execute(statement("record_starts"), asked)
        return sent + slack

    def give_more_slack(self, binding: Binding) -> float:
        """Double the time in which rows of a handler with a rate must begin after their claim; return it in seconds."""
        rate = binding.handler.rate
        least = 0.0 if rate is None else rate.slack
        slack = min(LONGEST_SLACK_SECONDS, 2 * max(least, self._slack.get(binding, 0.0)))
        self._slack[binding] = slack
        return slack
