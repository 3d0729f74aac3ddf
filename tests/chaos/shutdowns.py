"""`python -m tests.chaos.shutdowns --times 200`: a fleet under load is told to stop at moments drawn at random.

Some with the network gone silent, some asked twice. Each time it must end within the grace time and two seconds,
leave no process and no traceback, and, where the database could be reached, no row leased. Where it was asked once, no
handler is interrupted: all end within the grace time.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.progress import track

from poller.db import migration
from tests.chaos import load
from tests.chaos.faults import children
from tests.faults.proxy import Proxy
from tests.harness import Project
from tests.servers import cluster

if TYPE_CHECKING:
    from tests.harness import Process

GRACE = 3.0  # seconds: enough for four handlers' processes to start on two cores
MARGIN = 2.0
LEASED = "select from poller.claim as c, poller.worker as w where w.id = c.worker_id and w.pid = any(%s)"


def prepare(project: Project, url: str) -> None:
    """Make what the fleet works on; `url` is that of one who may do anything."""
    migration.migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        load.make_role(db)
        load.make_tables(db)
    project.handlers(load.handlers())


def stop_once(
    project: Project, db: psycopg.Connection[Any], wire: Proxy, draw: random.Random, grace: float = GRACE
) -> list[str]:
    """Start a fleet, stop it at some moment, and return what was wrong with that."""
    wire.forwards = True
    load.feed(db, 5000)
    fleet = project.start("run", "--workers", "2", "--grace", f"{grace:g}s")
    # Before that, Python may still be importing, and tells of a Ctrl-C in its own way.
    fleet.wait_for_log("handlers:")
    time.sleep(draw.uniform(0.0, 2.2))
    pids = [fleet.pid, *children(fleet.pid)]
    silent = draw.random() < 0.25
    wire.forwards = not silent
    number = draw.choice([signal.SIGTERM, signal.SIGINT])
    began = time.monotonic()
    fleet.signal(number)
    if twice := draw.random() < 0.3:
        time.sleep(draw.uniform(0.0, 0.3))
        fleet.signal(number)
    wrong = _wrong(fleet, pids, began, grace)
    # Those of a fleet that was stopped in silence before this one are swept in time, or end.
    if not silent and db.execute(LEASED, [pids]).rowcount:
        wrong.append("a row is leased")
    if not silent and not twice and "interrupted:" in fleet.log:
        wrong.append("a handler was interrupted")
    if wrong:
        Console(stderr=True, markup=False).print(*wrong, fleet.log, sep="\n")
    return wrong


def _wrong(fleet: Process, pids: list[int], began: float, grace: float) -> list[str]:
    wrong = []
    try:
        status = fleet.wait(20)
    except subprocess.TimeoutExpired:
        wrong.append("it hung")
        fleet.signal(signal.SIGKILL)
        status = 0
    took = time.monotonic() - began
    if took > grace + MARGIN:
        wrong.append(f"it took {took:.1f} s")
    if status not in (0, 130, 143, -signal.SIGINT, -signal.SIGTERM):
        wrong.append(f"exit status {status}")
    if "Traceback" in fleet.log:
        wrong.append("a traceback")
    if any(Path(f"/proc/{pid}").exists() for pid in pids):
        wrong.append("a process is left")
    return wrong


def main() -> int:
    """Stop so many times; print what was wrong, and return 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.shutdowns", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    found: Counter[str] = Counter()
    draw = random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster() as server,
        Proxy(server.url) as wire,
        Project(Path(folder), wire.url) as project,
        psycopg.connect(server.url, autocommit=True) as db,
    ):
        prepare(project, server.url)
        for _ in track(range(options.times), "stopping", console=Console(stderr=True)):
            found.update(stop_once(project, db, wire, draw))
    Console().print(f"stopped {options.times} times; wrong: {dict(found) or 'nothing'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
