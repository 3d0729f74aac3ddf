"""Runs the workers of one host: starts them, replaces the dead, sweeps for them, and stops them in order.

The only module that wires everything. A supervisor holds no state that matters: kill it with its workers and
start another anywhere. Its workers end with it (see `child`), and other supervisors sweep what they held.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import asdict
from time import monotonic, sleep
from typing import TYPE_CHECKING

import psycopg

from poller import agenda, registry, schema
from poller.binding import Binding, bind_all, explain
from poller.database import Link, opener, reachable
from poller.drain import Drain
from poller.housekeeping import housekeeping
from poller.job import refuse_namesakes
from poller.run import handler_of
from poller.scheduler import Scheduler
from poller.service import Loop
from poller.store import Store
from poller.sweeper import Sweeper
from poller.telemetry import event, problem
from poller.worker import RETIRED

if TYPE_CHECKING:
    from poller.config import RunOptions
    from poller.database import Place
    from poller.job import Job

TICK = 0.1
LONG_ENOUGH = 10.0  # seconds after which a worker's death is not held against the next one
RESTART_FIRST, RESTART_MOST = 0.1, 30.0
KILL_AFTER = 4.0  # seconds past the grace time


class Supervisor:
    """The workers of one host.

    Args:
        place: the database.
        options: as given to `poller run`.
    """

    def __init__(self, place: Place, options: RunOptions) -> None:
        self._place = place
        self._options = options
        self._id = uuid.uuid4()
        self._children: list[Child] = []
        self._signals = 0

    def run(self) -> int:
        """Work until told to stop, or until nothing is due with `--drain`. Returns the exit status.

        Raises:
            PollerError: it cannot start; nothing was changed.
        """
        bindings, jobs = self._prepare()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._count_signal)
        sweeper = Sweeper(Store(Link(self._place.url, "sweeper")), bindings)
        sweeping = Loop("sweeper", sweeper.run_once, sweeper.recover)
        scheduler = Scheduler(Link(self._place.url, "scheduler"), jobs)
        planning = Loop("scheduler", scheduler.run_once, scheduler.recover)
        able = {job.name for job in jobs if job.may_run_on(self._options.labels)}
        worked_on = [each for each in bindings if each.handler.name is None or each.handler.name in able]
        drain = Drain(Store(Link(self._place.url, "watcher")), worked_on, drain=self._options.drain)
        drain.begin()
        self._children = [Child(self._order()) for _ in range(self._options.workers)]
        sweeping.start()
        if not self._options.drain:  # it would have no end
            planning.start()
        while not self._signals and not drain.is_over():
            self._replace_the_dead(sweeper, sweeping)
            sleep(TICK)
        planning.stop()
        self._stop_children()
        self._last_sweep(sweeper, sweeping)
        return drain.end()

    def _prepare(self) -> tuple[list[Binding], list[Job]]:
        """Hold handlers and jobs against the database, and bring poller's own schema up to date."""
        handlers, own = registry.load(self._options.handlers, self._options.only)
        jobs = [*own, housekeeping]
        refuse_namesakes(jobs)
        with reachable(self._place, "start") as connection:
            bindings = bind_all(connection, handlers)
            if self._options.migrate:
                schema.migrate(self._place.url)
            schema.require(connection)
            for binding in bindings:
                explain(connection, binding)
            agenda.check(connection, jobs)
            agenda.declare(connection, jobs)
            opens = opener(self._place.url)
            bindings += bind_all(connection, [handler_of(job, opens) for job in jobs])
        link = Link(self._place.url, "start")
        Store(link).register_handlers(bindings)
        link.close()
        for what, those in (("handlers", handlers), ("jobs", own)):
            if those:
                event(f"{what}: {', '.join(map(str, those))}")
        return bindings, jobs

    def _order(self) -> str:
        """Return what a worker is told on its standard input (a password must not stand in its title)."""
        order = {
            **asdict(self._options),
            "url": self._place.url,
            "supervisor": str(self._id),
            "pythonpath": os.environ.get("PYTHONPATH"),
        }
        return json.dumps(order)

    def _count_signal(self, *_: object) -> None:
        self._signals += 1

    # --- while it runs -----------------------------------------------------------------------------

    def _replace_the_dead(self, sweeper: Sweeper, sweeping: Loop) -> None:
        for child in self._children:
            if not child.has_ended():
                continue
            if child.noticed_at is None:
                child.notice()
                sweeper.child_died(self._id, child.pid)
                sweeping.wake()
            if monotonic() >= child.restart_at:
                child.start(self._order())

    # --- stopping ----------------------------------------------------------------------------------

    def _stop_children(self) -> None:
        """Pass on the signals; kill what is left some seconds after the grace time."""
        event("stopping: no more claims; handlers may finish", grace=f"{self._options.grace:g}s")
        passed_on = 0
        kill_at = monotonic() + self._options.grace + KILL_AFTER
        while any(not child.has_ended() for child in self._children):
            while passed_on < max(1, min(self._signals, 2)):
                passed_on += 1
                for child in self._children:
                    child.signal(signal.SIGTERM)
            if monotonic() >= kill_at:
                for child in self._children:
                    child.signal(signal.SIGKILL)
            sleep(TICK / 5)

    def _last_sweep(self, sweeper: Sweeper, sweeping: Loop) -> None:
        """Take back at once what a killed worker of ours still held, if the database is there."""
        sweeping.stop()
        sweeping.join(1.0)
        for child in self._children:
            if child.process.returncode != 0:
                sweeper.child_died(self._id, child.pid)
        if sweeping.is_alive():
            return
        try:
            sweeper.run_once()
        except psycopg.Error as error:
            problem(f"the last sweep failed: {str(error).splitlines()[0]}; another supervisor will sweep")


class Child:
    """A worker process, and when to start another in its place."""

    def __init__(self, order: str) -> None:
        self._quick_deaths = 0
        self.start(order)

    def start(self, order: str) -> None:
        """Start a process and give it its order; the pipe stays open for as long as we live."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "poller.child"],
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,  # Ctrl-C in a terminal is for the supervisor to pass on
        )
        assert self.process.stdin is not None  # noqa: S101 - asked for above
        self.process.stdin.write(order.encode() + b"\n")
        self.process.stdin.flush()
        self._started_at = monotonic()
        self.noticed_at: float | None = None
        self.restart_at = 0.0

    @property
    def pid(self) -> int:
        """The process id of the worker that runs, or ran last."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.process.poll() is not None

    def notice(self) -> None:
        """Take note that the process has ended, and decide when to start another."""
        self.noticed_at = monotonic()
        status = self.process.returncode
        if status == RETIRED:
            self.restart_at = self.noticed_at
            return
        lived = self.noticed_at - self._started_at
        self._quick_deaths = 0 if lived > LONG_ENOUGH else self._quick_deaths + 1
        delay = min(RESTART_MOST, RESTART_FIRST * 2**self._quick_deaths)
        self.restart_at = self.noticed_at + delay
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        problem(f"a worker process ended with {how}; starting another in {delay:.1f}s", pid=self.pid)

    def signal(self, number: int) -> None:
        """Send the process a signal, if it has not ended."""
        if not self.has_ended():
            self.process.send_signal(number)
