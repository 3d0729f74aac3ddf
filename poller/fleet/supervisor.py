"""Runs the workers of one host: starts them, replaces the dead, sweeps for them, and stops them in order.

It may serve several databases: each has workers of its own, and is as if it were alone; only signals are common.

The only module that wires everything. A supervisor holds no state that matters: kill it with its workers and
start another anywhere. Its workers end with it (see `worker_main`), and other supervisors sweep what they held.
"""

from __future__ import annotations

import contextlib
import signal
import uuid
from time import monotonic, sleep
from typing import TYPE_CHECKING

import psycopg

from poller import registry
from poller.db import schema
from poller.db.connection import Link, opener, reachable
from poller.errors import PollerError
from poller.fleet.signals import reap_orphans, requests
from poller.fleet.worker_order import WorkerOrder
from poller.fleet.worker_process import LOOK, WorkerProcess
from poller.jobs import job_store
from poller.jobs.job import refuse_namesakes
from poller.jobs.run import handler_of
from poller.ready_made.housekeeping import housekeeping, jobs_of_site
from poller.runtime.bell import Bell
from poller.services.drain import Drain
from poller.services.forgetter import LOCK_TIMEOUT, Forgetter
from poller.services.listener import Listener
from poller.services.loop import Loop, at_most, within
from poller.services.scheduler import Scheduler
from poller.services.sweeper import Sweeper
from poller.store.binding import Binding, bind_all, explain
from poller.store.liveness import register_handlers
from poller.telemetry.bus import emit
from poller.telemetry.events import FleetSilenced, FleetStarted, FleetStopping, SweepFailed
from poller.telemetry.log import hear_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poller.db.connection import Place
    from poller.fleet.options import RunOptions
    from poller.jobs.job import Job
    from poller.model.handler import Handler

TICK = 0.1  # seconds between two looks at a drain, or at a worker that is to be replaced
KILL_AFTER = 1.1  # seconds past the grace time: what a worker needs for its last words, and some
LAST_WORDS = 0.3  # seconds for our own; more, up to `MOST_WORDS`, while the grace time and a little last
MOST_WORDS = 5.0
BEYOND = 3.0  # seconds past all that after which the process ends, whatever holds it


class Supervisor:
    """The workers of one host, for one database or several.

    Args:
        places: the databases; the first one is the jobs' own.
        options: as given to `poller run`.
    """

    def __init__(self, places: Sequence[Place], options: RunOptions) -> None:
        several = len(places) > 1
        self._options = options
        self._sites = [Site(each, options, is_first=each is places[0], several=several) for each in places]
        self._bell = Bell()

    def run(self) -> int:
        """Work until told to stop, or until nothing is due with `--drain`. Returns the exit status.

        Raises:
            PollerError: it cannot start; nothing was changed.
        """
        handlers, jobs = registry.load(self._options.handlers, self._options.only)
        hear_others()
        refuse_namesakes([*jobs, housekeeping])
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
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it rings: that is all
        for site in self._sites:
            site.start(on_begin=self._bell.ring)
        while not requests.count and not all(site.is_over for site in self._sites):
            for site in self._sites:
                site.look_after_workers()
            reap_orphans([child.pid for child in self._children()])
            self._bell.wait(TICK if any(site.is_changing for site in self._sites) else LOOK)
        with at_most(self._options.grace + KILL_AFTER + MOST_WORDS + BEYOND, status=1):
            return self._stop()

    def _children(self) -> list[WorkerProcess]:
        return [child for site in self._sites for child in site.children]

    def _stop(self) -> int:
        """Stop planning, then the workers, and say what was done; return the exit status."""
        for site in self._sites:
            site.stop_planning()
        ends = monotonic() + self._options.grace + 1.4
        self._stop_children(self._children())
        seconds = min(MOST_WORDS, max(LAST_WORDS, ends - monotonic()))
        statuses: list[int] = []
        if not within(seconds, lambda: statuses.extend(site.end() for site in self._sites)):
            emit(FleetSilenced(lost=False))
            return int(self._options.drain)
        return max(statuses, default=0)

    def _stop_children(self, children: list[WorkerProcess]) -> None:
        """Pass on the requests; kill what is left some seconds after the grace time."""
        emit(FleetStopping(grace_seconds=self._options.grace))
        for child in children:
            child.stop()
        asked = 1
        kill_at = monotonic() + self._options.grace + KILL_AFTER
        while any(not child.has_ended() for child in children):
            if requests.count > asked:
                asked = requests.count
                for child in children:
                    child.stop_at_once()
            if monotonic() >= kill_at:
                for child in children:
                    child.kill()
            sleep(TICK / 5)


class Site:
    """One database, with the workers here that serve it, the sweeper and the planner.

    Args:
        place: the database.
        options: as given to `poller run`.
        is_first: it is the one that jobs belong to, but for those that every database has.
        several: there are others, so that lines say which one they are about.
    """

    def __init__(self, place: Place, options: RunOptions, *, is_first: bool, several: bool) -> None:
        self._place = place
        self._options = options
        self._is_first = is_first
        self._label = place.name if several else ""
        self._id = uuid.uuid4()
        self._bindings: list[Binding] = []
        self._jobs: list[Job] = []
        self.children: list[WorkerProcess] = []

    def check(self, handlers: list[Handler]) -> None:
        """Hold handlers against the database.

        Raises:
            PollerError: one does not fit, or the database will not do.
        """
        with self._named(), reachable(self._place, "start") as connection:
            schema.refuse_strangers(connection)
            self._bindings = bind_all(connection, handlers)

    def prepare(self, handlers: list[Handler], jobs: list[Job]) -> None:
        """Bring poller's own schema up to date, and make handlers and jobs known in it.

        Raises:
            PollerError: one does not fit.
        """
        self._jobs = jobs_of_site(jobs, is_first=self._is_first)
        with self._named(), reachable(self._place, "start") as connection:
            if self._options.migrate:
                schema.migrate(self._place.url)
            schema.require(connection)
            self._bindings = bind_all(connection, handlers)
            for binding in self._bindings:
                explain(connection, binding)
            job_store.check(connection, self._jobs)
            job_store.declare(connection, self._jobs)
            job_store.set_back(connection)
            opens = opener(self._place.url)
            self._bindings += bind_all(connection, [handler_of(job, opens) for job in self._jobs])
        link = Link(self._place.url, "start")
        register_handlers(link.connection, self._bindings)
        link.close()

    def start(self, on_begin: Callable[[], None]) -> None:
        """Start what goes on beside the workers; nothing here waits for the database, which may be silent.

        Args:
            on_begin: called when it is time for the workers.
        """
        url, drains = self._place.url, self._options.drain
        listener = Listener(Link(url, "listener"), self._look)
        self._listening = Loop("listener", listener.run_once, listener.recover, sleep=listener.sleep)
        self._sweeper = Sweeper(Link(url, "sweeper"), self._bindings, self._id, listener.hears)
        self._sweeping = Loop("sweeper", self._sweeper.run_once, self._sweeper.recover)
        forgetter = Forgetter(Link(url, "forgetter", lock_timeout=LOCK_TIMEOUT), self._bindings, self._id)
        self._forgetting = Loop("forgetter", forgetter.run_once, forgetter.recover)
        self._scheduler = Scheduler(Link(url, "scheduler"), self._jobs, listener.hears, self._id)
        self._planning = Loop("scheduler", self._scheduler.run_once, self._scheduler.recover)
        able = {job.name for job in self._jobs if job.may_run_on(self._options.labels)}
        worked_on = [each for each in self._bindings if not each.handler.is_job or each.handler.name in able]
        self._drain = Drain(
            Link(url, "watcher"), worked_on, drain=drains, label=self._label, on_begin=on_begin
        )
        self._watching = Loop("watcher", self._drain.run_once, self._drain.recover)
        for loop in (self._listening, self._sweeping, self._forgetting, self._watching):
            loop.start()
        if not drains:  # it would have no end
            self._planning.start()

    @property
    def is_over(self) -> bool:
        """Whether a drain has had nothing left to do here; it does not look again after that."""
        return self._drain.is_over

    @property
    def is_changing(self) -> bool:
        """Whether there is something to look at: a drain, or a worker that is to be replaced."""
        return self._options.drain or any(child.noticed_at is not None for child in self.children)

    def look_after_workers(self) -> None:
        """Start the workers when it is time, and another in the place of each that has ended."""
        if self._drain.has_begun and not self.children:
            self.children = [WorkerProcess(self._options.lease) for _ in range(self._options.workers)]
            for child in self.children:
                child.start(self._order())
        for child in self.children:
            if not child.has_ended():
                child.end_if_it_hangs()
                continue
            if child.noticed_at is None:
                child.notice()
                self._sweeper.child_died(child.pid)
                self._sweeping.wake()
            if monotonic() >= child.restart_at:
                child.start(self._order())

    def _look(self, told: frozenset[str]) -> None:
        """Have the sweeper look if a worker has come, and the planner if a job has changed and it leads the planning."""
        if "worker" in told:
            self._sweeping.wake()
        if "job" in told and self._scheduler.leads:
            self._planning.wake()

    def stop_planning(self) -> None:
        """Plan no more runs, and make no more passes."""
        self._listening.stop()
        self._forgetting.stop()
        self._planning.stop()

    def _sweep_at_last(self) -> None:
        """Take back at once what a killed worker of ours still held, if the database is there."""
        self._sweeping.stop()
        self._sweeping.join(LAST_WORDS)
        for child in self.children:
            if not child.ended_well:
                self._sweeper.child_died(child.pid)
        if self._sweeping.is_alive():
            return
        try:
            while self._sweeper.run_once() == 0.0:  # one dead worker a round
                pass
        except psycopg.Error as error:
            emit(SweepFailed(error=str(error).splitlines()[0]))

    def end(self) -> int:
        """Sweep once more, and say what was done; return 1 if a drain left rows parked or failed, else 0."""
        self._watching.stop()
        self._watching.join(LAST_WORDS)
        self._sweep_at_last()
        return self._drain.end()

    def _order(self) -> WorkerOrder:
        """Return what a worker is told."""
        return WorkerOrder(
            options=self._options,
            supervisor=self._id,
            url=self._place.url,
            database=self._place.name,
            is_first=self._is_first,
            logged={"database": self._label} if self._label else {},
        )

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say of an error which database it is about."""
        try:
            yield
        except PollerError as error:
            if not self._label:
                raise
            msg = f"database {self._label}: {error}"
            raise type(error)(msg) from error
