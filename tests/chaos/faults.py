"""What is done to the fleet, by people and by misfortune, and how long it takes to heal."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.services.sweeper import PATIENCE_SECONDS
from tests.chaos import people
from tests.harness import workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.chaos.people import Deed
    from tests.faults.proxy import Proxy
    from tests.harness import Process, Project
    from tests.servers import Cluster

LEASE = 5.0  # seconds
FLEETS = 3
WORKERS = 2 * FLEETS
UNHEALED = 45.0  # seconds after which a fault counts as not healed
SILENCE = 1.5  # seconds
# How often each kind of misfortune comes, relative to the others; each kind of deed comes once.
MISFORTUNES = {
    "kill a worker": 3,
    "stop a worker": 2,
    "kill a supervisor": 2,
    "end a session": 3,
    "cut": 2,
    "silence": 1,
    "restart Postgres": 1,
}
KINDS = MISFORTUNES | dict.fromkeys(people.KINDS, 1)


class Chaos:
    """Three supervisors, one of them behind a wire, and the faults that befall them.

    Args:
        server: what they work on.
        project: the handlers, and the URL of the role that the fleet works as.
        wire: to the same server, as the same role.
        kinds: of faults, those that may come.
        seed: of the order in which they come.

    Attributes:
        recovery: for each kind of fault, the seconds that each one took to heal.
        struck_pids: the workers' processes that were stopped for a while, ever.
        trouble: what could not be undone.
    """

    def __init__(
        self,
        server: Cluster,
        project: Project,
        wire: Proxy,
        kinds: Collection[str] = tuple(KINDS),
        seed: int = 7,
    ) -> None:
        self._server = server
        self.project = project
        self._wire = wire
        self._fleets: list[Process | None] = [None] * FLEETS
        self._random = random.Random(seed)
        self._kinds = {kind: weight for kind, weight in KINDS.items() if kind in kinds}
        self.recovery: dict[str, list[float]] = defaultdict(list)
        self._watching: list[threading.Thread] = []
        self._restarted_at = float("-inf")
        self._stopped: set[int] = set()
        self.struck_pids: set[int] = set()
        self.trouble: list[str] = []

    def start(self) -> None:
        """Start the supervisors that do not run."""
        for at, fleet in enumerate(self._fleets):
            if fleet is None or fleet.popen.poll() is not None:
                url = self._wire.url if at == 2 else self.project.url
                self._fleets[at] = self.project.start(
                    "run", "--workers", "2", "--lease", f"{LEASE:.0f}s", POLLER_DATABASE_URL=url
                )

    def strike(self) -> str:
        """Do one thing at random; return its kind."""
        self.start()
        kind = self._random.choices(list(self._kinds), list(self._kinds.values()))[0]
        strikes: dict[str, Callable[[str], None]] = {
            "kill a worker": self._kill_worker,
            "stop a worker": self._stop_worker,
            "kill a supervisor": self._kill_supervisor,
            "end a session": self._end_session,
            "cut": self._cut,
            "silence": self._silence,
            "restart Postgres": self._restart,
        }
        with contextlib.suppress(psycopg.Error, ProcessLookupError):
            strikes.get(kind, self._have_done)(kind)
        return kind

    def wait(self) -> None:
        """Wait until all that is watched is healed, or never will be."""
        for thread in self._watching:
            thread.join(UNHEALED + 40)

    def stop(self) -> list[int]:
        """Stop the supervisors in order; return their exit statuses, SIGKILL's for one that does not end."""
        running = [each for each in self._fleets if each is not None and each.popen.poll() is None]
        for fleet in running:
            fleet.signal(signal.SIGTERM)
        return [_ended(fleet) for fleet in running]

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
        self.struck_pids.add(pid)

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
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'fleet'"
                " order by random() limit 1"
            )
        self._watch(kind, self._moves_on())

    def _cut(self, kind: str) -> None:
        self._wire.cut()
        self._watch(kind, self._moves_on())

    def _silence(self, kind: str) -> None:
        self._wire.forwards = False
        threading.Event().wait(SILENCE)
        self._wire.forwards = True
        self._cut(kind)  # what was swallowed will never come

    def _have_done(self, kind: str) -> None:
        """Have people do something; it takes seconds, and other faults come meanwhile."""
        deed = people.deed(kind, self._random)
        thread = threading.Thread(target=self._carry_out, args=(kind, deed))
        thread.start()
        self._watching.append(thread)

    def _carry_out(self, kind: str, deed: Deed) -> None:
        try:
            if people.carry_out(deed, self._connect):
                self._watch(kind, self._moves_on(deed.table))
        except psycopg.Error:
            pass  # there was no server to ask the time
        except TimeoutError as error:
            self.trouble.append(f"{kind}: {error}")

    def _restart(self, kind: str) -> None:
        self._server.restart("immediate")
        self._restarted_at = time.monotonic()
        self._watch(kind, self._moves_on())

    def _moves_on(self, table: str = "") -> Callable[[psycopg.Connection[Any]], bool]:
        """Return what tells whether the fleet has moved a row since now, of a table or any; or has nothing to move."""
        with self._connect() as db:
            now = db.execute("select clock_timestamp()").fetchone()
        assert now is not None
        # Ordered, so that an index serves: after a crash, without statistics, Postgres would read the table for each.
        moved = "select from change where at > %s and (tbl = %s or %s = '') and app like 'poller %%' order by at limit 1"
        due = sql.SQL("select from {} where status = 'pending' order by id limit 1").format(
            sql.Identifier(table or "leased")
        )
        return lambda db: (
            db.execute(moved, [now[0], table, table]).rowcount > 0 or db.execute(due).rowcount == 0
        )

    # --- healing ---

    def _watch(self, kind: str, is_healed: Callable[[psycopg.Connection[Any]], bool]) -> None:
        began = time.monotonic()

        def look() -> None:
            while time.monotonic() - began < UNHEALED:
                with contextlib.suppress(psycopg.Error), self._connect() as db:
                    while not is_healed(db) and time.monotonic() - began < UNHEALED:
                        time.sleep(0.05)
                    break
                time.sleep(0.05)
            # A lapsed lease is believed once workers have had time to come back after a restart.
            is_beside = kind == "stop a worker" and self._restarted_at > began - PATIENCE_SECONDS
            self.recovery[f"{kind} beside a restart" if is_beside else kind].append(time.monotonic() - began)

        thread = threading.Thread(target=look)
        thread.start()
        self._watching.append(thread)

    def _connect(self) -> psycopg.Connection[Any]:
        """Connect as who may do anything."""
        return psycopg.connect(self._server.url, autocommit=True, connect_timeout=5, application_name="chaos")


def _ended(fleet: Process) -> int:
    try:
        return fleet.wait(60)
    except subprocess.TimeoutExpired:
        fleet.signal(signal.SIGKILL)
        return fleet.wait()


def _holds(db: psycopg.Connection[Any], worker: int) -> bool:
    return db.execute("select from poller.claim where worker_id = %s limit 1", [worker]).rowcount > 0


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - no path of the disk's
        return [int(each) for each in file.read().split()]
