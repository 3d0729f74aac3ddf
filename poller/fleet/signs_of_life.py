"""The signs of life that the supervisor's main thread gives: to probes, to a heartbeat file, to systemd.

All of them only while every loop goes on (`Vitals`): what stands still shows no sign, and its watcher restarts it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.fleet.service_manager import ServiceManager
from poller.fleet.vitals import Vitals
from poller.fleet.worker_process import LOOK_SECONDS
from poller.telemetry.heartbeat_file import HeartbeatFile, path
from poller.telemetry.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.fleet.site import Site

LEAST_SECONDS = 0.05  # between two signs, however impatient the service manager


class SignsOfLife:
    """What the main thread gives when it comes by; the main thread calls it.

    Args:
        heartbeat_file: where the heartbeat is written, if not at its usual place.

    Attributes:
        every_seconds: how often the main thread has to come by.
    """

    def __init__(self, heartbeat_file: str | None) -> None:
        self.vitals = Vitals()
        self._manager = ServiceManager()
        self._heartbeat = HeartbeatFile(path(heartbeat_file))
        self._trouble = Outage("heartbeat file")
        self._give_at = 0.0
        self._sites: Sequence[Site] = ()
        watchdog = self._manager.watchdog_seconds
        self.every_seconds = max(
            LEAST_SECONDS, min(LOOK_SECONDS, LOOK_SECONDS if watchdog is None else watchdog / 3)
        )

    def begin(self, sites: Sequence[Site]) -> None:
        """Say that all services have begun."""
        self._sites = sites
        self.vitals.begin(sites)
        self._manager.tell("READY=1")

    def give(self) -> None:
        """Give signs, if it is time and all loops go on."""
        self.vitals.come_by()
        if monotonic() < self._give_at or self.vitals.standing_still():
            return
        self._give_at = monotonic() + self.every_seconds / 2
        self._manager.tell("WATCHDOG=1", f"STATUS={self._status()}")
        try:
            self._heartbeat.write("stopping" if self.vitals.stops else "running")
            self._trouble.is_over()
        except OSError as error:
            self._trouble.goes_on(error)

    def stop(self) -> None:
        """Say that it stops."""
        self.vitals.stops = True
        self._manager.tell("STOPPING=1", "STATUS=stopping")

    def end(self) -> None:
        """Take the heartbeat away."""
        self._heartbeat.remove()

    def _status(self) -> str:
        children = [child for site in self._sites for child in site.children]
        up = sum(child.is_up for child in children)
        state = "stopping, " if self.vitals.stops else ""
        return f"{state}{up} of {len(children)} workers up"
