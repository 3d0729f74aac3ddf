"""Runs the workers of one host: starts them, replaces dead ones, rescues their rows, and stops them in order.

It may serve several databases: each has its own workers and runs as if it were alone; only signals are shared.

Each database is a `Site`. A supervisor holds no state that matters: kill it with its workers and start another anywhere.
Its workers end with it (see `worker_main`), and other supervisors rescue their rows.
"""

from __future__ import annotations

import signal
from time import monotonic, sleep
from typing import TYPE_CHECKING, NoReturn

from poller import registry
from poller.fleet.listening import Door
from poller.fleet.signals import reap_orphans, requests
from poller.fleet.signs_of_life import SignsOfLife
from poller.fleet.site import LAST_WORDS_SECONDS, Site
from poller.jobs.job import refuse_namesakes
from poller.lazy import lazy
from poller.ready_made.housekeeping import housekeeping
from poller.runtime.bell import Bell
from poller.runtime.failpoints import reach
from poller.services.loop import at_most, leave, within
from poller.targets.checking import require_targets
from poller.telemetry.bus import emit, subscribe
from poller.telemetry.events import FleetSilenced, FleetStarted, FleetStopping
from poller.telemetry.log import hear_others
from poller.telemetry.metrics_gathered import Gathered

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from poller.db.connection import DatabaseLocation
    from poller.fleet import exported
    from poller.fleet.options import FleetOptions
    from poller.fleet.worker_process import WorkerProcess
else:  # it needs the extra
    exported = lazy("poller.fleet.exported")

TICK_SECONDS = 0.1  # between two looks at a drain, or at a worker to be replaced
KILL_AFTER_SECONDS = 1.1  # past the grace time: the time a worker needs for its last writes, and some more
MOST_WORDS_SECONDS = (
    5.0  # for the last writes, within the grace time and a little more; `LAST_WORDS_SECONDS` in any case
)
BEYOND_SECONDS = 3.0  # past all that after which the process exits by force


def supervise(
    locations: Sequence[DatabaseLocation], options: FleetOptions, listener: socket.socket | None = None
) -> NoReturn:
    """Run a fleet until it is told to stop, and end the process with its exit status.

    Args:
        locations: of the databases; the first one is the jobs' own.
        options: as given to `poller run`.
        listener: where probes and scrapes are answered.

    Raises:
        PollerError: it cannot start.
    """
    leave(Supervisor(locations, options, listener).run())


class Supervisor:
    """The workers of one host, for one database or several.

    Args:
        locations: of the databases; the first one is the jobs' own.
        options: as given to `poller run`.
        listener: where probes and scrapes are answered.
    """

    def __init__(
        self,
        locations: Sequence[DatabaseLocation],
        options: FleetOptions,
        listener: socket.socket | None = None,
    ) -> None:
        several = len(locations) > 1
        self._options = options
        gathered = Gathered()
        self._sites = [
            Site(each, options, gathered, is_first=each is locations[0], several=several)
            for each in locations
        ]
        self._bell = Bell()
        self._signs = SignsOfLife(options.heartbeat_file)
        if listener is not None:
            subscribe(gathered.hear)
            door = Door(listener, self._signs.vitals, lambda: exported.samples(self._sites, gathered))
            door.start()

    def run(self) -> int:
        """Work until told to stop, or until nothing is due with `--drain`. Returns the exit status.

        Raises:
            PollerError: it cannot start; nothing was changed.
        """
        handlers, jobs = registry.load(self._options.handlers, self._options.only, self._options.without)
        hear_others()
        refuse_namesakes([*jobs, housekeeping])
        require_targets(self._options.alerts, handlers, jobs)
        for site in self._sites:
            site.check(handlers)
        for site in self._sites:
            site.prepare(handlers, jobs)
        for what, those in (("handlers", handlers), ("jobs", jobs)):
            if those:
                emit(FleetStarted(kind=what, names=tuple(map(str, those))))
        requests.listen()
        requests.count_only()
        self._bell.ring_at_signals()
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to ring the bell
        for site in self._sites:
            site.start(on_begin=self._bell.ring)
        self._signs.begin(self._sites)
        while not requests.count and not all(site.is_over for site in self._sites):
            for site in self._sites:
                site.look_after_workers()
            reap_orphans([child.pid for child in self._children()])
            self._signs.give()
            reach("supervisor looks")
            is_changing = any(site.is_changing for site in self._sites)
            self._bell.wait(TICK_SECONDS if is_changing else self._signs.every_seconds)
        with at_most(
            self._options.grace + KILL_AFTER_SECONDS + MOST_WORDS_SECONDS + BEYOND_SECONDS, status=1
        ):
            status = self._stop()
            self._signs.end()
            return status

    def _children(self) -> list[WorkerProcess]:
        return [child for site in self._sites for child in site.children]

    def _stop(self) -> int:
        """Stop planning, then the workers, and log what was done; return the exit status."""
        self._signs.stop()
        for site in self._sites:
            site.stop_planning()
        ends = monotonic() + self._options.grace + 1.4
        self._stop_children(self._children())
        seconds = min(MOST_WORDS_SECONDS, max(LAST_WORDS_SECONDS, ends - monotonic()))
        statuses: list[int] = []
        if not within(seconds, lambda: statuses.extend(site.end() for site in self._sites)):
            emit(FleetSilenced(lost=False))
            return int(self._options.drain)
        return max(statuses, default=0)

    def _is_sending(self, until: float) -> bool:
        """Whether a message is on its way that is to be waited for: until then, unless there was a second request."""
        return requests.count <= 1 and monotonic() < until and any(site.is_sending for site in self._sites)

    def _stop_children(self, children: list[WorkerProcess]) -> None:
        """Pass on the requests; kill the remaining workers some seconds after the grace time.

        What is being sent is waited for within the grace time: else the next supervisor would send it again.
        """
        emit(FleetStopping(grace_seconds=self._options.grace))
        for child in children:
            child.stop()
        asked = 1
        ends = monotonic() + self._options.grace
        kill_at = ends + KILL_AFTER_SECONDS
        while any(not child.has_ended() for child in children) or self._is_sending(ends):
            if requests.count > asked:
                asked = requests.count
                for child in children:
                    child.stop_at_once()
            if monotonic() >= kill_at:
                for child in children:
                    child.kill()
            self._signs.give()
            sleep(TICK_SECONDS / 5)
