"""One database that a supervisor serves: its workers on this host, and the services beside them.

The sweeper, the planner, the forgetter and the drain are each a loop of the supervisor's process, on a link of its own.
The sites of several databases share only signals.
"""

from __future__ import annotations

import contextlib
import uuid
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from poller.alerts import subjects
from poller.alerts.alerting import Alerting
from poller.db import migration, schema
from poller.db.connection import Link, opener, reachable
from poller.errors import PollerError
from poller.fleet.gauge_keeper import GaugeKeeper
from poller.fleet.worker_order import WorkerOrder
from poller.fleet.worker_process import WorkerProcess
from poller.jobs import job_store
from poller.jobs.run import handler_of
from poller.ready_made.housekeeping import jobs_of_site
from poller.services.drain import Drain
from poller.services.forgetter import LOCK_TIMEOUT, Forgetter
from poller.services.listener import Listener
from poller.services.loop import Loop
from poller.services.scheduler import SPACING_SECONDS, Scheduler
from poller.services.sweeper import Sweeper
from poller.store.binding import Binding, bind_all
from poller.store.binding_again import names_of
from poller.store.claim_plan import plan_claim
from poller.store.liveness import register_handlers
from poller.targets.settings import AlertSettings
from poller.telemetry import log
from poller.telemetry.bus import emit
from poller.telemetry.events import SweepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poller.client.gauges import Gauge
    from poller.db.connection import DatabaseLocation
    from poller.fleet.options import FleetOptions
    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.telemetry.metrics_gathered import Gathered

LAST_WORDS_SECONDS = 0.3  # for the last round of each loop
SLOW_SECONDS = 5.0  # without an answer after which the database counts as away


class Site:
    """One database, with the workers here that serve it, the sweeper and the planner.

    Args:
        location: of the database.
        options: as given to `poller run`.
        is_first: whether jobs belong to it, except those that every database has.
        several: whether there are other databases, so that log lines name theirs.
        gathered: takes what its workers have gathered of their work.

    Attributes:
        label: the database, if there are several.
        loops: the services beside the workers, once they are started.
        has_schema: poller's own schema is there.
    """

    def __init__(
        self,
        location: DatabaseLocation,
        options: FleetOptions,
        gathered: Gathered,
        *,
        is_first: bool,
        several: bool,
    ) -> None:
        self._location = location
        self._options = options
        self._is_first = is_first
        self._gathered = gathered
        self.label = location.name if several else ""
        self._logged = {"database": self.label} if self.label else {}
        self._id = uuid.uuid4()
        self._bindings: list[Binding] = []
        self._jobs: list[Job] = []
        self.children: list[WorkerProcess] = []
        self.loops: list[Loop] = []
        self.has_schema = False
        self._keeper: GaugeKeeper | None = None

    def check(self, handlers: list[Handler]) -> None:
        """Check handlers against the database.

        Raises:
            PollerError: a handler does not fit, or the database is not suitable.
        """
        with self._named(), reachable(self._location, "start") as connection:
            schema.refuse_strangers(connection)
            self._bindings = bind_all(connection, handlers)

    def prepare(self, handlers: list[Handler], jobs: list[Job]) -> None:
        """Bring poller's own schema up to date, and register handlers and jobs in it.

        Raises:
            PollerError: a handler or job does not fit.
        """
        self._jobs = jobs_of_site(jobs, is_first=self._is_first)
        with self._named(), reachable(self._location, "start") as connection:
            if self._options.migrate:
                migration.migrate(self._location.url)
            schema.require(connection)
            self._bindings = bind_all(connection, handlers)
            for binding in self._bindings:
                plan_claim(connection, binding)
            job_store.check(connection, self._jobs)
            job_store.declare(connection, self._jobs)
            job_store.set_back(connection)
            opens = opener(self._location.url)
            self._bindings += bind_all(connection, [handler_of(job, opens) for job in self._jobs])
        link = Link(self._location.url, "start")
        register_handlers(link.connection, self._bindings)
        link.close()
        self._alerting = self._prepared_alerts()
        self.has_schema = True

    def start(self, on_begin: Callable[[], None]) -> None:
        """Start the services beside the workers, without waiting for the database, which may be silent.

        Args:
            on_begin: called when it is time to start the workers.
        """
        url, drains = self._location.url, self._options.drain
        listener = Listener(Link(url, "listener"), self._look)
        self._listening = Loop(
            "listener", listener.run_once, listener.recover, sleep=listener.sleep, logged=self._logged
        )
        self._sweeper = Sweeper(Link(url, "sweeper"), self._bindings, self._id, listener.hears)
        self._sweeping = Loop("sweeper", self._sweeper.run_once, self._sweeper.recover, logged=self._logged)
        forgetter = Forgetter(Link(url, "forgetter", lock_timeout=LOCK_TIMEOUT), self._bindings, self._id)
        self._forgetting = Loop("forgetter", forgetter.run_once, forgetter.recover, logged=self._logged)
        self._scheduler = Scheduler(Link(url, "scheduler"), self._jobs, listener.hears, self._id)
        self._planning = Loop(
            "scheduler",
            self._scheduler.run_once,
            self._scheduler.recover,
            spacing=SPACING_SECONDS,
            logged=self._logged,
        )
        able = {job.name for job in self._jobs if job.may_run_on(self._options.labels)}
        worked_on = [each for each in self._bindings if not each.handler.is_job or each.handler.name in able]
        self._drain = Drain(
            Link(url, "watcher"), worked_on, drain=drains, label=self.label, on_begin=on_begin
        )
        self._watching = Loop("watcher", self._drain.run_once, self._drain.recover, logged=self._logged)
        self._keeper = GaugeKeeper(
            Link(url, "gauges", lock_timeout=LOCK_TIMEOUT),
            self._bindings,
            listener.hears,
            exports=self._options.listen is not None,
        )
        self._keeping = Loop("gauges", self._keeper.run_once, self._keeper.recover, logged=self._logged)
        self.loops = [self._listening, self._sweeping, self._forgetting, self._watching]
        if not drains:  # new runs would keep a drain from ending, and it has a progress bar of its own
            self.loops += [self._planning, self._keeping]
            if self._alerting is not None:
                self.loops.append(self._telling)
        for loop in self.loops:
            loop.start()

    @property
    def is_connected(self) -> bool:
        """Whether the database answers: the service that listens hears at once when it goes away."""
        return bool(self.loops) and not (
            self._listening.is_failing or self._listening.is_busy_for(SLOW_SECONDS)
        )

    @property
    def slow_loops(self) -> list[Loop]:
        """Loops whose round may take as long as it likes: one that measures; before a drain, its look at all rows."""
        return [self._keeping] if self._drain.has_begun else [self._keeping, self._watching]

    @property
    def has_worker(self) -> bool:
        """Whether a worker here is up."""
        return any(child.is_up for child in self.children)

    @property
    def is_drained(self) -> bool:
        """Whether all workers here were told to end."""
        return bool(self.children) and all(child.drains for child in self.children)

    @property
    def gauges(self) -> Sequence[Gauge]:
        """The fleet's numbers, as they were read last."""
        return () if self._keeper is None else self._keeper.gauges

    @property
    def is_over(self) -> bool:
        """Whether a drain has nothing left to do here, or all workers were told to end and have ended."""
        return self._drain.is_over or (bool(self.children) and all(each.is_drained for each in self.children))

    @property
    def is_changing(self) -> bool:
        """Whether the supervisor must look often: for a drain, or a worker to be replaced."""
        waits = (child.noticed_at is not None and not child.is_drained for child in self.children)
        return self._options.drain or any(waits)

    def look_after_workers(self) -> None:
        """Start the workers when it is time, and replace each one that has ended."""
        if self._drain.has_begun and not self.children:
            self.children = [
                WorkerProcess(self._options.lease, self._gathered) for _ in range(self._options.workers)
            ]
            for child in self.children:
                child.start(self._order(child))
        for child in self.children:
            if not child.has_ended():
                child.end_if_it_hangs()
                continue
            if child.noticed_at is None:
                child.notice()
                self._sweeper.child_died(child.pid)
                self._sweeping.wake()
            if monotonic() >= child.restart_at:
                child.start(self._order(child))

    def _look(self, tables: frozenset[str]) -> None:
        """Wake the service that a change concerns: the planner only if it leads."""
        if "worker" in tables:
            self._sweeping.wake()
        if "job" in tables and self._scheduler.leads:
            self._planning.wake()
        if "handler" in tables:
            self._watching.wake()
        if "gauge" in tables and self._keeper is not None:
            self._keeper.hear()
            self._keeping.wake()

    def _prepared_alerts(self) -> Alerting | None:
        """Have runs leave signals for their alerts, if anybody is to be told of anything, and the fleet goes on."""
        if self._options.drain or not subjects.is_asked_for(self._options.alerts, self._jobs):
            return None
        told = subjects.Subjects(self._options.alerts or AlertSettings(), self._jobs, self._bindings)
        link = Link(self._location.url, "alerts")
        made = Alerting(link, told, beats=self._is_first, database=self.label)
        made.prepare()
        link.close()
        self._telling = Loop(
            "alerts", made.run_once, made.recover, spacing=SPACING_SECONDS, logged=self._logged
        )
        made.wake = self._telling.wake
        return made

    @property
    def is_sending(self) -> bool:
        """Whether a message of its alerts is on its way, and can be written down once it has arrived."""
        return self._alerting is not None and self._alerting.is_sending and not self._telling.is_failing

    def stop_planning(self) -> None:
        """Stop the listener, the planner, the forgetter and the keeper of the fleet's numbers; have no more told."""
        self._keeping.stop()
        self._keeper = None  # what it has read grows old
        self._listening.stop()
        self._forgetting.stop()
        self._planning.stop()
        if self._alerting is not None:
            self._alerting.end()

    def _sweep_at_last(self) -> None:
        """Rescue at once the rows that killed workers of this site still held, if the database answers."""
        self._sweeping.stop()
        self._sweeping.join(LAST_WORDS_SECONDS)
        for child in self.children:
            if not child.ended_well():
                self._sweeper.child_died(child.pid)
        if self._sweeping.is_alive():
            return
        try:
            while self._sweeper.run_once() == 0.0:  # one dead worker a round
                pass
        except psycopg.Error as error:
            emit(SweepFailed(error=str(error).splitlines()[0]))

    def end(self) -> int:
        """Sweep once more, and log what was done; return 1 if a drain left rows parked or failed, else 0."""
        self._watching.stop()
        self._watching.join(LAST_WORDS_SECONDS)
        if self._alerting is not None:
            self._telling.stop()
            self._telling.join(LAST_WORDS_SECONDS)
        with log.about(self._logged):
            self._sweep_at_last()
        return self._drain.end()

    def _order(self, child: WorkerProcess) -> WorkerOrder:
        """Return the order for a worker's next process."""
        return WorkerOrder(
            options=self._options,
            supervisor=self._id,
            url=self._location.url,
            database=self._location.name,
            is_first=self._is_first,
            logged=self._logged,
            tables=names_of(self._bindings),
            replaces=child.pid,
        )

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Add the database's name to errors."""
        try:
            yield
        except PollerError as error:
            if not self.label:
                raise
            msg = f"database {self.label}: {error}"
            raise type(error)(msg, error.reason, **error.data) from error
