"""`make chaos`, or `python -m tests.chaos --minutes 10`: the soak, its audit and its figures."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from poller import schema
from tests.chaos import load
from tests.chaos.audit import audit
from tests.chaos.faults import LEASE, Chaos
from tests.faults.proxy import Proxy
from tests.harness import Project
from tests.servers import cluster

if TYPE_CHECKING:
    from tests.chaos.audit import Findings

BETWEEN = 0.7  # seconds between two faults, about
QUIET = 120.0  # seconds that all may take to end, once there are no more faults
# How soon each kind must have healed, at the 99th percentile: seconds.
TARGETS = {
    "kill a worker": 1.0,
    "kill a supervisor": 1.0 + 0.2,
    "stop a worker": LEASE + 2.0,
    "restart Postgres": 5.0,
}


def main() -> int:
    """Run it, print what came of it; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long there are faults (10)")
    parser.add_argument("--rows", type=int, default=220_000, help="how many rows are fed meanwhile (220000)")
    parser.add_argument("--json", type=Path, help="also write it here")
    parser.add_argument("--svg", type=Path, help="and a picture of it here")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster() as server,
        Proxy(server.url) as wire,
        Project(Path(folder), server.url) as project,
    ):
        chaos = Chaos(server, project, wire)
        struck, findings = soak(chaos, project, options.minutes * 60, options.rows)
    console = Console(record=True)
    console.print(_of_findings(findings))
    console.print(_of_recovery(chaos))
    if options.svg:
        console.save_svg(str(options.svg), title="poller: a soak")
    if options.json:
        found = {**asdict(findings), "recovery": chaos.recovery, "struck": struck}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(not findings.promises_hold)


def soak(chaos: Chaos, project: Project, seconds: float, rows: int) -> tuple[Counter[str], Findings]:
    """Feed and strike for so many seconds, wait until all is quiet, and audit."""
    schema.migrate(project.url)
    with psycopg.connect(project.url, autocommit=True) as db:
        db.execute(load.SCHEMA)
    project.handlers(load.HANDLERS)
    chaos.start()
    struck: Counter[str] = Counter()
    fed = 0
    began = time.monotonic()
    strike_at = began + 3.0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("striking", total=seconds)
        while (passed := time.monotonic() - began) < seconds:
            fed += _feed(project, int(rows * passed / seconds) - fed)
            if time.monotonic() >= strike_at:
                struck[chaos.strike()] += 1
                strike_at = time.monotonic() + BETWEEN
            progress.update(task, completed=passed)
            time.sleep(0.05)
        progress.update(task, description="waiting until all is quiet")
        chaos.wait()
        chaos.start()
        _wait_until_quiet(project)
    statuses = chaos.stop()
    assert set(statuses) <= {0, -signal.SIGTERM}, (
        f"a supervisor ended with {statuses}"
    )  # one may just have begun
    with psycopg.connect(project.url, autocommit=True) as db:
        return struck, audit(db, sorted(project.folder.glob("ledger-*")))


def _feed(project: Project, rows: int) -> int:
    """Add rows, if they are worth it and the server is there; return how many."""
    if rows < load.OWNERS:
        return 0
    try:
        with psycopg.connect(project.url, autocommit=True) as db, db.transaction():
            load.feed(db, rows)
    except psycopg.Error:
        return 0
    return rows


def _wait_until_quiet(project: Project) -> None:
    """Wait until no row is pending and none is held; the audit tells if that never comes."""
    pending = " or ".join(f"exists (select from {table} where status = 'pending')" for table in load.TABLES)
    until = time.monotonic() + QUIET
    while time.monotonic() < until:
        with psycopg.connect(project.url, autocommit=True) as db:
            if db.execute(f"select {pending}").fetchone() == (False,):
                return
        time.sleep(0.1)


def _of_findings(findings: Findings) -> Table:
    table = Table(title="audit", show_header=False)
    for name, value in asdict(findings).items():
        if name != "faults":
            table.add_row(name.replace("_", " "), f"{value:,}")
    return table


def _of_recovery(chaos: Chaos) -> Table:
    table = Table("fault", "times", "p50", "p99", "target", title="seconds to heal")
    for kind, times in sorted(chaos.recovery.items()):
        low, high = _percentiles(times)
        target = TARGETS.get(kind)
        shown = "" if target is None else f"{target:g}{' ✓' if high <= target else ' missed'}"
        table.add_row(kind, str(len(times)), f"{low:.2f}", f"{high:.2f}", shown)
    return table


def _percentiles(times: list[float]) -> tuple[float, float]:
    if len(times) < 2:
        return times[0], times[0]
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


if __name__ == "__main__":
    sys.exit(main())
