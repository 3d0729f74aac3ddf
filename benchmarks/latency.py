"""How soon an idle fleet picks a row up: from the return of the insert's commit to the handler's first line.

One worker, which triggers wake. Beside it a bare LISTEN loop, with the lease statements of `by_hand`. Inserts come
one at a time, each 10 to 40 ms after the last one was picked up. A chain of five handlers is timed alike, to the
first line of the fifth.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks import by_hand, by_hand_listening
from benchmarks.lines import Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.processes import ROOT, at_work, fleet, module
from benchmarks.race import create_table, ready
from benchmarks.report import percentile
from benchmarks.reports import SOCKET, Reports, statuses
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Command
    from benchmarks.progress import Teller
    from tests.servers import Cluster

HANDLERS = "benchmarks.handling.steps"
CHAIN = 5  # handlers
PAUSE = (0.010, 0.040)  # seconds
WARM_UP = 20  # inserts that do not count
INSERT = "insert into item (payload) values ('payload') returning id"


@dataclass(frozen=True)
class LatencySize:
    """How many rounds, each with so many inserts for each contestant."""

    rounds: int = 5
    inserts: int = 300


@dataclass
class Delays:
    """Percentiles in milliseconds, one a round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def add(self, delays: list[float]) -> None:
        """Add a round, given in seconds."""
        self.p50.append(percentile(delays, 0.5) * 1000)
        self.p99.append(percentile(delays, 0.99) * 1000)


def measure(server: Cluster, size: LatencySize, teller: Teller) -> Measured:
    """Take turns: the bare loop, our fleet, our chain."""
    floor, picked_up, chained = Delays(), Delays(), Delays()
    teller.expect(3 * size.rounds)
    for number in range(size.rounds):
        for what, delays, steps in (
            ("by hand", floor, 0),
            ("poller", picked_up, 1),
            ("chain", chained, CHAIN),
        ):
            with teller.step(f"round {number + 1}: {what}"):
                delays.add(_round(server.url, size.inserts, steps))
    lines = [
        compared("pick-up, p50", "ms", picked_up.p50, floor.p50, Target("≤", 1.5)),
        compared("pick-up, p99", "ms", picked_up.p99, floor.p99, Target("≤", 3.0)),
        compared(
            f"a chain of {CHAIN} statuses, p50, to a pick-up",
            "ms",
            chained.p50,
            picked_up.p50,
            Target("≤", 4.0),
        ),
    ]
    raw = {"by_hand": asdict(floor), "poller": asdict(picked_up), "chain": asdict(chained)}
    return Measured(lines, {"size": asdict(size), "ms": raw})


def _round(server_url: str, inserts: int, steps: int) -> list[float]:
    """Return the delays of a chain of so many steps of ours, or by hand with none, in seconds."""
    with fresh_database(server_url) as url, _reports() as (reports, path):
        environment = {SOCKET: str(path), "BENCHMARK_STEPS": str(steps)}
        with psycopg.connect(url, autocommit=True) as db:
            command = _prepare(db, url, environment) if steps else _by_hand(db, url, environment)
            session = "poller claimer" if steps else by_hand.NAME
            with at_work([command]) as crew:
                crew.wait("ready", lambda: ready(db, session) == 1)
                delays = [_delay(db, reports) for _ in range(WARM_UP + inserts)]
                crew.finish(told=True)
    return delays[WARM_UP:]


@contextlib.contextmanager
def _reports() -> Iterator[tuple[Reports, Path]]:
    with tempfile.TemporaryDirectory(prefix="poller-benchmark-") as folder:
        path = Path(folder, "socket")
        with contextlib.closing(Reports(path)) as reports:
            yield reports, path


def _by_hand(db: psycopg.Connection[Any], url: str, environment: dict[str, str]) -> Command:
    create_table(db, "item")
    db.execute(by_hand.SCHEMA.encode())
    db.execute(by_hand_listening.SCHEMA.encode())
    return module("benchmarks.by_hand_listening", url, environment=environment)


def _prepare(db: psycopg.Connection[Any], url: str, environment: dict[str, str]) -> Command:
    """Make the table with the indexes that are advised, and the triggers; return our fleet."""
    create_table(db, "item")
    for status in statuses(int(environment["BENCHMARK_STEPS"]))[1:]:
        db.execute(f"create index on item (id) where status = '{status}'".encode())
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "poller", "migrate", "--triggers", "--handlers", HANDLERS, "--database", url],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return fleet(url, 1, handlers=HANDLERS, environment=environment)


def _delay(db: psycopg.Connection[Any], reports: Reports) -> float:
    """Insert a row, and return the seconds until its last handler began."""
    time.sleep(random.uniform(*PAUSE))  # noqa: S311 - any will do
    row = db.execute(INSERT).fetchone()
    began = time.monotonic()
    assert row is not None  # noqa: S101 - it returns one
    return reports.wait(row[0]) - began


MEASUREMENT = Measurement(measure, LatencySize(), LatencySize(rounds=1, inserts=100))
