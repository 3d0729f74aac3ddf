"""`python -m benchmarks.purge`: what a purge does to those who write beside it.

A table has 3,000,000 rows, a third of them old, and an index on their age. Writers go on all the time at a
fixed rate: each transaction inserts a row and updates a young one. Beside them runs a purge, for some
seconds; then it is held for as long between two of its batches, and so on, until all old rows are gone.
Thus each window with the purge has one without it beside it, and what befalls the machine befalls both.
What is compared is how long a transaction took.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import random
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psycopg
from rich.console import Console

from benchmarks import report
from poller.db.connection import connect
from poller.ready_made.retention import purge
from tests.servers import cluster, fresh_database

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

RESULTS = Path(__file__).parent / "results"
SCHEMA = """
create table audit (
    id         bigint generated always as identity primary key,
    actor      integer not null,
    payload    text not null,
    created_at timestamptz not null default now()
);
"""
FILL = """
insert into audit (actor, payload, created_at)
select n, repeat(md5(n::text), 4), now() - interval '270 days' + n * (interval '270 days' / %(rows)s)
  from generate_series(1, %(rows)s) as n
"""
INSERT = "insert into audit (actor, payload) values (%s, repeat('x', 128))"
UPDATE = "update audit set payload = 'y' || payload where id = %s"


@dataclass
class Windows:
    """Latencies in milliseconds, of the transactions that began in each window."""

    without: list[list[float]] = field(default_factory=list)
    beside: list[list[float]] = field(default_factory=list)

    def ratio(self, share: float) -> float:
        """Return the median over the pairs of windows: a percentile beside the purge to that without it."""
        pairs = zip(self.beside, self.without, strict=True)
        return median(
            report.percentile(busy, share) / report.percentile(quiet, share) for busy, quiet in pairs
        )


def main() -> None:
    """Purge beside writers, and print what came of it."""
    options = _options()
    with cluster() as server, fresh_database(server.url) as url:
        about = report.machine(server.url)
        _fill(url, options.rows)
        windows, seconds, gone = _measure(url, options)
    _show(windows, seconds, gone, options)
    if options.json:
        file = RESULTS / options.json
        file.parent.mkdir(parents=True, exist_ok=True)
        ratios = {name: windows.ratio(share) for name, share in (("p50", 0.5), ("p99", 0.99))}
        file.write_text(json.dumps({"machine": about, "ratios": ratios, **asdict(windows)}) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.purge", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="in the table, a third of them old")
    parser.add_argument("--writers", type=int, default=4, help="how many write at a time")
    parser.add_argument("--rate", type=float, default=50.0, help="transactions a second of each")
    parser.add_argument("--window", type=float, default=5.0, help="seconds with the purge, and without")
    parser.add_argument("--batch", type=int, default=1000, help="as of `poller purge`")
    parser.add_argument("--pause", default="50ms", help="as of `poller purge`")
    parser.add_argument("--json", metavar="FILE", help=f"also write it here, below {RESULTS}")
    return parser.parse_args()


def _fill(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(FILL, {"rows": rows})
        connection.execute("create index on audit (created_at)")
        connection.execute("vacuum analyze audit")
        connection.execute("checkpoint")


def _measure(url: str, options: argparse.Namespace) -> tuple[Windows, float, int]:
    """Return what was measured, how long the purge ran, and how many rows it deleted."""
    ours, theirs = multiprocessing.Pipe()
    ended, gate = multiprocessing.Event(), multiprocessing.Event()
    writers = multiprocessing.Process(target=_write, args=(url, options, ended, theirs))
    purging = multiprocessing.Process(target=_purge, args=(url, options, gate))
    writers.start()
    purging.start()
    times: list[tuple[float, float, float]] = []
    time.sleep(options.window)
    while purging.is_alive():
        began = time.monotonic()
        time.sleep(options.window)
        turned = time.monotonic()
        gate.set()
        purging.join(options.window)
        gate.clear()
        times.append((began, turned, time.monotonic()))
    ended.set()
    done: list[tuple[float, float]] = ours.recv()
    writers.join()
    windows = Windows(
        [[took for at, took in done if began <= at < turned] for began, turned, _ in times],
        [[took for at, took in done if turned <= at < finished] for _, turned, finished in times],
    )
    return windows, sum(finished - turned for _, turned, finished in times), _gone(url, options.rows)


class GatedRun:
    """A run that goes on only while the gate is open."""

    def __init__(self, url: str, gate: Event) -> None:
        self.cancelled = Gate(gate)
        self.logger = logging.getLogger("benchmark")
        self.progress = lambda *_: None
        self.connect = lambda: connect(url, "purge")


class Gate:
    """Never set, but it keeps whoever asks until it is open."""

    def __init__(self, gate: Event) -> None:
        self._gate = gate

    def __bool__(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds, once the gate is open."""
        self._gate.wait()
        time.sleep(timeout or 0.0)
        return False


def _purge(url: str, options: argparse.Namespace, gate: Event) -> None:
    """Purge once, while the gate is open."""
    job = purge("audit", column="created_at", older_than="180d", batch=options.batch, pause=options.pause)
    job(GatedRun(url, gate))


def _gone(url: str, rows: int) -> int:
    """Return how many of the first rows are there no more."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from audit where id <= %s", [rows]).fetchone()
    return rows - int(row[0]) if row else 0


def _write(url: str, options: argparse.Namespace, ended: Event, answer: Connection) -> None:
    """Write until told to end; answer with when each transaction began, and the milliseconds it took."""
    done: list[tuple[float, float]] = []
    threads = [
        threading.Thread(target=_write_one, args=(url, options, ended, done, number))
        for number in range(options.writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.send(done)


def _write_one(
    url: str, options: argparse.Namespace, ended: Event, done: list[tuple[float, float]], number: int
) -> None:
    chance = random.Random(number)  # noqa: S311 - the same each time
    next_at = time.monotonic() + number / options.writers / options.rate
    with psycopg.connect(url) as connection:
        while not ended.is_set():
            time.sleep(max(0.0, next_at - time.monotonic()))
            began = time.monotonic()
            connection.execute(INSERT, [number])
            connection.execute(UPDATE, [chance.randrange(options.rows // 3 + 1, options.rows)])
            connection.commit()
            # From when it was due: one that waits holds up those behind it, and they count as well.
            done.append((next_at, (time.monotonic() - next_at) * 1000))
            next_at = max(next_at + 1 / options.rate, began - 1.0)


def _show(windows: Windows, seconds: float, gone: int, options: argparse.Namespace) -> None:
    say = Console(soft_wrap=True, highlight=False).print
    say(f"purged {gone:,} of {options.rows:,} rows in {seconds:.0f} s, {gone / seconds:,.0f} a second;")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        quiet, busy = (
            report.percentile([each for window in kind for each in window], share)
            for kind in (windows.without, windows.beside)
        )
        times = f"{windows.ratio(share):.2f} times as the median of {len(windows.beside)} pairs of windows"
        say(
            f"{name} of a write: {quiet:.2f} ms without it, {busy:.2f} ms beside it; "
            f"{busy / quiet:.2f} times over all, {times}"
        )


if __name__ == "__main__":
    main()
