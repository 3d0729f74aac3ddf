"""What an idle fleet costs: statements, CPU, memory.

Four workers with twenty handlers and twenty nightly jobs. CPU is that of the supervisor, its workers, and their
backends. Statements are counted after that in the server's log, which is on for it; a BEGIN and a COMMIT are one each.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg

from benchmarks import noop, proc
from benchmarks.lines import Line, Measured, Target
from benchmarks.measurement import Measurement
from benchmarks.processes import at_work, fleet
from benchmarks.race import PLAIN, Track, create_table, ready
from tests.servers import fresh_database

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.processes import Crew
    from benchmarks.progress import Teller
    from tests.servers import Cluster

WORKERS = 4
PORTIONS = 10
SESSIONS = "select pid from pg_stat_activity where application_name like 'poller%'"
LOGGED = re.compile(r"^(poller \w+)[^|]*\|LOG:  (?:statement|execute [^:]*): (.*)$")


@dataclass(frozen=True)
class IdleSize:
    """Seconds of settling in, seconds that are measured, and the rows that are drained to see what memory does."""

    settling: float = 20.0
    seconds: float = 30.0
    memory_rows: int = 1_000_000


@dataclass(frozen=True)
class Idleness:
    """What an idle fleet did: statements a second, by session and text; share of a core; memory of each worker."""

    statements: dict[str, float]
    core: float
    memory: list[proc.Memory]


def measure(server: Cluster, size: IdleSize, teller: Teller) -> Measured:
    """Watch an idle fleet, and then a worker that is busy."""
    teller.expect(1 + PORTIONS)
    with teller.step(f"idle for {size.settling + 2 * size.seconds:.0f} s"):
        idle = _idle(server, size)
    memory = _busy(server.url, size.memory_rows, teller)
    return Measured(
        _lines(idle, memory, size),
        {"size": asdict(size), "idle": asdict(idle), "memory": [asdict(each) for each in memory]},
    )


def _lines(idle: Idleness, memory: list[proc.Memory], size: IdleSize) -> list[Line]:
    total = sum(idle.statements.values())
    largest = max(each.rss for each in idle.memory)
    before, after = memory[1].rss, memory[-1].rss
    rows, first = f"{size.memory_rows:,}", f"{size.memory_rows // PORTIONS:,}"
    return [
        Line("idle fleet of 4, statements", total, "1/s", target=Target("≤", 2.0)),
        Line("idle fleet of 4, of a core", idle.core * 100, "%", target=Target("≤", 0.5)),
        Line("a worker at start, largest RSS", largest, "MiB", target=Target("≤", 60.0)),
        Line("a worker at start, largest PSS", max(each.pss for each in idle.memory), "MiB"),
        Line(f"RSS after {rows} rows, to {first}", after, "MiB", before, after / before, Target("≤", 1.05)),
    ]


def _idle(server: Cluster, size: IdleSize) -> Idleness:
    log = server.folder / ".poller" / "postgres.log"
    environment = {"BENCHMARK_HOUR": str((datetime.now(UTC).hour + 12) % 24)}
    with fresh_database(server.url) as url, psycopg.connect(url, autocommit=True) as db:
        create_table(db, "item")
        command = fleet(url, WORKERS, handlers="benchmarks.handling.idle", environment=environment)
        with at_work([command]) as crew:
            crew.wait("ready", lambda: ready(db, "poller claimer") == WORKERS)
            memory = [proc.memory(pid) for pid in _workers(crew)]
            time.sleep(size.settling)
            at, used = time.monotonic(), _cpu(db, crew)
            time.sleep(size.seconds)
            core = (_cpu(db, crew) - used) / (time.monotonic() - at)
            with Logging(db, log) as logging:
                at = logging.begin()
                time.sleep(size.seconds)
                statements, seconds = logging.counted(), time.monotonic() - at
            crew.finish(told=True)
    return Idleness({text: many / seconds for text, many in statements.most_common()}, core, memory)


def _busy(server_url: str, rows: int, teller: Teller) -> list[proc.Memory]:
    """Have one worker drain rows in portions. Returns its memory at start, and after each of them."""
    with fresh_database(server_url) as url, psycopg.connect(url, autocommit=True) as db:
        create_table(db, "item")
        with at_work([fleet(url, 1, handlers=noop.__name__)]) as crew:
            crew.wait("ready", lambda: ready(db, "poller claimer") == 1)
            found = [proc.memory(*_workers(crew))]
            for number in range(PORTIONS):
                with teller.step(f"portion {number + 1} of {rows:,} rows"):
                    track = Track(db, PLAIN)
                    track.open_gate(rows // PORTIONS)
                    crew.wait("done", track.is_over)
                    found.append(proc.memory(*_workers(crew)))
            crew.finish(told=True)
    return found


def _workers(crew: Crew) -> list[int]:
    return [worker for pid in crew.pids for worker in proc.children(pid)]


def _cpu(db: psycopg.Connection[Any], crew: Crew) -> float:
    """Return the CPU seconds that the fleet and its backends have used."""
    backends = [pid for (pid,) in db.execute(SESSIONS).fetchall()]
    return proc.cpu_seconds([*crew.pids, *_workers(crew), *backends])


class Logging:
    """The server's log of statements, while it is entered."""

    def __init__(self, db: psycopg.Connection[Any], file: Path) -> None:
        self._db = db
        self._file = file
        self._from = 0

    def __enter__(self) -> Self:
        self._db.execute("alter system set log_line_prefix = '%a|'")
        self._db.execute("alter system set log_statement = 'all'")
        self._db.execute("select pg_reload_conf()")
        return self

    def __exit__(self, *_: object) -> None:
        self._db.execute("alter system reset log_statement")
        self._db.execute("alter system reset log_line_prefix")
        self._db.execute("select pg_reload_conf()")

    def begin(self) -> float:
        """Count from now on. Returns when that is, by the monotonic clock."""
        self._from = self._file.stat().st_size
        return time.monotonic()

    def counted(self) -> Counter[str]:
        """Return how often each statement was executed, by its session's name and first line."""
        with self._file.open(errors="replace") as file:
            file.seek(self._from)
            found = (LOGGED.match(line) for line in file)
            return Counter(f"{match[1]}: {match[2]}" for match in found if match)


MEASUREMENT = Measurement(measure, IdleSize(), IdleSize(settling=10.0, seconds=15.0, memory_rows=200_000))
