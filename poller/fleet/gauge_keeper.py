"""Keeps the fleet's numbers of one database at hand, and measures them when it is this supervisor's turn.

Between two measurements it sleeps: the supervisor that measures tells the others, and those that export the numbers read
them then.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.client.gauges import PERIOD_SECONDS, FleetGauges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.client.gauges import Gauge
    from poller.db.connection import Link
    from poller.store.binding import Binding

AGAIN_SECONDS = 1.0  # after which numbers that another supervisor is measuring are read
LATE_SECONDS = 2.0  # that the supervisor which measured last has, before another one does
UNHEARD_SECONDS = 5.0  # between two looks while no notification would come


class GaugeKeeper:
    """The fleet's numbers, as they were read last.

    Args:
        link: of its own.
        bindings: the handlers whose code is here.
        hears: returns whether notifications arrive (`hear`).
        exports: whether the numbers are read for more than their age.

    Attributes:
        gauges: the numbers; none after a failure.
    """

    def __init__(
        self, link: Link, bindings: Sequence[Binding], hears: Callable[[], bool], *, exports: bool
    ) -> None:
        self._link = link
        self._fleet = FleetGauges(bindings)
        self._hears = hears
        self._exports = exports
        self._heard_at = float("-inf")  # that they were measured (monotonic)
        self._leads = False  # it measured last
        self.gauges: Sequence[Gauge] = ()

    def hear(self) -> None:
        """Note that a supervisor has measured; the next round follows."""
        self._heard_at = monotonic()

    def run_once(self) -> float:
        """Read the numbers, measured anew if they are old. Returns the seconds until they are."""
        hears = self._hears()
        if not self._exports and monotonic() - self._heard_at < AGAIN_SECONDS:
            return PERIOD_SECONDS + (0.0 if self._leads else LATE_SECONDS)
        connection = self._link.connection
        found = self._fleet.read(connection)
        if self._fleet.wants(found):
            self._leads = self._fleet.refresh(connection)
            found = self._fleet.read(connection)
        self.gauges = found
        ages = [each.age for each in found if each.name == "workers"]
        left = PERIOD_SECONDS - max(ages, default=PERIOD_SECONDS) + (0.0 if self._leads else LATE_SECONDS)
        return max(AGAIN_SECONDS, left if hears else min(left, UNHEARD_SECONDS))

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()
        self.gauges = ()
