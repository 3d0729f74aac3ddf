"""Whether a supervisor lives, and whether it is ready: what probes ask, answered without asking the database.

The model. It lives while its main thread comes by, and no service has been at one round for longer than any statement,
any cut of the network and any wait for a lock takes: so also while the database is away, and while it stops. It is ready
when its database answers, poller's schema is there, each database has a worker that has begun, and it does not stop.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.fleet.site import Site

MAIN_SECONDS = 10.0  # the main thread comes by every two seconds, and at the end waits for five
ROUND_SECONDS = 120.0  # a statement may take 60, and a connection that has gone silent 15 more


class Vitals:
    """What a supervisor's threads show of themselves; any thread may ask.

    Attributes:
        stops: it was told to stop, or ends.
    """

    def __init__(self) -> None:
        self.stops = False
        self._sites: Sequence[Site] = ()
        self._came_by: float | None = None

    def begin(self, sites: Sequence[Site]) -> None:
        """Note that the services run."""
        self._sites = sites

    def come_by(self) -> None:
        """Note that the main thread comes by."""
        self._came_by = monotonic()

    def standing_still(self) -> list[str]:
        """Return the loops that do not go on; before they have begun, none."""
        is_main_late = self._came_by is not None and monotonic() - self._came_by > MAIN_SECONDS
        loops = [
            each.name
            for site in self._sites
            for each in site.loops
            if each.stands_still(ROUND_SECONDS) and each not in site.slow_loops
        ]
        return [*(["poller main"] if is_main_late else []), *dict.fromkeys(loops)]

    def unready(self) -> list[str]:
        """Return the checks that fail."""
        checks = {
            "database": all(site.is_connected for site in self._sites) and bool(self._sites),
            "schema": all(site.has_schema for site in self._sites) and bool(self._sites),
            "workers": all(site.has_worker for site in self._sites) and bool(self._sites),
            "draining": not self.stops and not any(site.is_drained for site in self._sites),
        }
        return [name for name, holds in checks.items() if not holds]
