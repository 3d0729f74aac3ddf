"""Keeps the fleet's numbers of one database at hand, and measures them when it is this supervisor's turn.

Between two measurements it sleeps: the supervisor that measures tells the others, which read the numbers then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.client.gauges import PERIOD_SECONDS, FleetGauges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.client.gauges import Gauge
    from poller.db.connection import Link
    from poller.store.binding import Binding

AGAIN_SECONDS = 1.0  # after which numbers that another supervisor is measuring are read
UNHEARD_SECONDS = 5.0  # between two looks while no notification would come


class GaugeKeeper:
    """The fleet's numbers, as they were read last.

    Args:
        link: of its own.
        bindings: the handlers whose code is here.
        hears: returns whether notifications arrive, which wake it.

    Attributes:
        gauges: the numbers; none after a failure.
    """

    def __init__(self, link: Link, bindings: Sequence[Binding], hears: Callable[[], bool]) -> None:
        self._link = link
        self._fleet = FleetGauges(bindings)
        self._hears = hears
        self.gauges: Sequence[Gauge] = ()

    def run_once(self) -> float:
        """Read the numbers, measured anew if they are old. Returns the seconds until they are."""
        hears = self._hears()
        self._fleet.refresh(self._link.connection)
        self.gauges = self._fleet.read(self._link.connection)
        ages = [each.age for each in self.gauges if each.name == "workers"]
        left = PERIOD_SECONDS - max(ages, default=PERIOD_SECONDS)
        return max(AGAIN_SECONDS, left if hears else min(left, UNHEARD_SECONDS))

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()
        self.gauges = ()
