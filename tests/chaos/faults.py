"""What is done to the fleet, and how long it takes to heal."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psycopg

from poller.sweeper import PATIENCE
from tests.harness import workers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.proxy import Proxy
    from tests.harness import Process, Project
    from tests.servers import Cluster

LEASE = 5.0  # seconds
UNHEALED = 30.0  # seconds after which a fault counts as not healed
RARE = 30.0  # faults, one of which is a restart of Postgres, on average


class Chaos:
    """Three supervisors, one of them behind a wire, and the faults that befall them.

    Attributes:
        recovery: for each kind of fault, the seconds that each one took to heal.
    """

    def __init__(self, server: Cluster, project: Project, wire: Proxy) -> None:
        self._server = server
        self._project = project
        self._wire = wire
        self._fleets: list[Process | None] = [None, None, None]
        self._random = random.Random(7)
        self.recovery: dict[str, list[float]] = defaultdict(list)
        self._watching: list[threading.Thread] = []
        self._restarted_at = float("-inf")
        self._stopped: set[int] = set()

    def start(self) -> None:
        """Start the supervisors that do not run."""
        for at, fleet in enumerate(self._fleets):
            if fleet is None or fleet.popen.poll() is not None:
                url = self._wire.url if at == 2 else self._project.url
                self._fleets[at] = self._project.start(
                    "run", "--workers", "2", "--lease", f"{LEASE:.0f}s", POLLER_DATABASE_URL=url
                )

    def strike(self) -> str:
        """Do one thing at random; return its kind."""
        self.start()
        kinds = [
            "kill a worker",
            "kill a worker",
            "stop a worker",
            "kill a supervisor",
            "end a session",
            "cut",
        ]
        kind = self._random.choice(kinds)
        if self._random.random() < 1 / RARE:
            kind = "restart Postgres"
        strikes: dict[str, Callable[[str], None]] = {
            "kill a worker": self._kill_worker,
            "stop a worker": self._stop_worker,
            "kill a supervisor": self._kill_supervisor,
            "end a session": self._end_session,
            "cut": self._cut,
            "restart Postgres": self._restart,
        }
        with contextlib.suppress(psycopg.Error, ProcessLookupError):
            strikes[kind](kind)
        return kind

    def wait(self) -> None:
        """Wait until all that is watched is healed, or never will be."""
        for thread in self._watching:
            thread.join(UNHEALED + 5)

    def stop(self) -> list[int]:
        """Stop the supervisors in order; return their exit statuses."""
        running = [each for each in self._fleets if each is not None and each.popen.poll() is None]
        for fleet in running:
            fleet.signal(signal.SIGTERM)
        return [fleet.wait(60) for fleet in running]

    # --- one by one ---

    def _victim(self, db: psycopg.Connection[Any]) -> tuple[int, int, list[str]]:
        """Choose a worker; return its id, its process and its leases."""
        workers = workers_of(db)
        if not workers:
            raise ProcessLookupError  # all of them have just been struck
        worker, pid = self._random.choice(workers)
        leases = db.execute("select lease::text from poller.claim where worker_id = %s", [worker])
        return worker, pid, [row[0] for row in leases]

    def _kill_worker(self, kind: str) -> None:
        with self._connect() as db:
            worker, pid, _ = self._victim(db)
        os.kill(pid, signal.SIGKILL)
        self._watch(kind, lambda db: not _holds(db, worker))

    def _kill_supervisor(self, kind: str) -> None:
        fleet = self._random.choice([each for each in self._fleets if each is not None])
        with self._connect() as db:
            found = db.execute(
                "select id, pid from poller.worker where died_at is null and supervisor ="
                " (select supervisor from poller.worker where pid = any(%s) and died_at is null limit 1)",
                [children(fleet.pid)],
            ).fetchall()
        mine = [worker for worker, pid in found if pid not in self._stopped]  # those heal by their leases
        fleet.signal(signal.SIGKILL)
        self._watch(kind, lambda db: not any(_holds(db, worker) for worker in mine))

    def _stop_worker(self, kind: str) -> None:
        with self._connect() as db:
            _, pid, leases = self._victim(db)
        os.kill(pid, signal.SIGSTOP)
        self._stopped.add(pid)

        def is_healed(db: psycopg.Connection[Any]) -> bool:
            question = "select from poller.claim where lease = any(%s::uuid[])"
            return not db.execute(question, [leases]).rowcount

        self._watch(kind, is_healed)
        timer = threading.Timer(LEASE + 3, self._resume, [pid])
        timer.start()
        self._watching.append(timer)

    def _resume(self, pid: int) -> None:
        self._stopped.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _end_session(self, kind: str) -> None:
        with self._connect() as db:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'poller %'"
                " order by random() limit 1"
            )
        self._watch(kind, self._moves_on())

    def _cut(self, kind: str) -> None:
        self._wire.cut()
        self._watch(kind, self._moves_on())

    def _restart(self, kind: str) -> None:
        self._server.restart("immediate")
        self._restarted_at = time.monotonic()
        self._watch(kind, self._moves_on())

    def _moves_on(self) -> Callable[[psycopg.Connection[Any]], bool]:
        with self._connect() as db:
            now = db.execute("select clock_timestamp()").fetchone()
        recorded = "select from poller.history where at > %s and verdict = 'moved' limit 1"
        return lambda db: db.execute(recorded, now).rowcount > 0

    # --- healing ---

    def _watch(self, kind: str, is_healed: Callable[[psycopg.Connection[Any]], bool]) -> None:
        began = time.monotonic()

        def look() -> None:
            while time.monotonic() - began < UNHEALED:
                with contextlib.suppress(psycopg.Error), self._connect() as db:
                    while not is_healed(db) and time.monotonic() - began < UNHEALED:
                        time.sleep(0.02)
                    break
                time.sleep(0.05)
            # A lapsed lease is believed once workers have had time to come back after a restart.
            is_beside = kind == "stop a worker" and self._restarted_at > began - PATIENCE
            self.recovery[f"{kind} beside a restart" if is_beside else kind].append(time.monotonic() - began)

        thread = threading.Thread(target=look)
        thread.start()
        self._watching.append(thread)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._project.url, autocommit=True)


def _holds(db: psycopg.Connection[Any], worker: int) -> bool:
    return db.execute("select from poller.claim where worker_id = %s limit 1", [worker]).rowcount > 0


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - no path of the disk's
        return [int(each) for each in file.read().split()]
