"""`make chaos`, or `python -m tests.chaos --minutes 10`: the soak, its audit and its figures.

`--only KIND…` has only faults of these kinds come; their names are those of the table of recovery.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from poller.db import migration
from tests.chaos import load
from tests.chaos.audit import FIGURES, audit
from tests.chaos.faults import KINDS, LEASE, WORKERS, Chaos
from tests.chaos.watch import StateWatch
from tests.faults.proxy import Proxy
from tests.harness import Project, wait_until, workers_of
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.audit import Findings

    Connect = Callable[[], psycopg.Connection[Any]]

BETWEEN = 0.55  # seconds between two faults, about
BEGUN_WITHIN = 120.0  # seconds, on a busy machine; a fleet that has not begun is hurt by nothing
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
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=tuple(KINDS), metavar="KIND", help="of faults"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the order in which they come (7)")
    parser.add_argument("--keep", type=Path, help="copy logs and ledgers here")
    parser.add_argument("--json", type=Path, help="also write it here")
    parser.add_argument("--svg", type=Path, help="and a picture of it here")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster() as server,
        Proxy(load.as_role(server.url)) as wire,
        Project(Path(folder), load.as_role(server.url)) as project,
    ):
        chaos = Chaos(server, project, wire, options.only, options.seed)
        struck, findings = soak(chaos, server.url, options.minutes * 60, options.rows)
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
    console = Console(record=True)
    console.print(f"{struck.total()} faults")
    console.print(_of_findings(findings))
    console.print(_of_recovery(chaos))
    if options.svg:
        console.save_svg(str(options.svg), title="poller: a soak")
    if options.json:
        found = {**asdict(findings), "recovery": chaos.recovery, "struck": struck}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(not findings.promises_hold)


def soak(chaos: Chaos, url: str, seconds: float, rows: int) -> tuple[Counter[str], Findings]:
    """Feed and strike for so many seconds, wait until all is quiet, and audit.

    Args:
        chaos: what strikes, and whom.
        url: the server, for one who may do anything.
        seconds: that there are faults.
        rows: fed meanwhile.

    Returns:
        how often each kind of fault struck, and what was found.
    """
    connect = partial(psycopg.connect, url, autocommit=True, connect_timeout=5)
    with connect() as db:
        load.make_role(db)
        migration.migrate(chaos.project.url)
        load.make_tables(db)
    chaos.project.handlers(load.handlers())
    chaos.start()
    with connect() as db:
        wait_until("all workers are there", lambda: len(workers_of(db)) == WORKERS, BEGUN_WITHIN)
    with StateWatch(connect) as watch:
        struck = _strike(chaos, connect, seconds, rows)
        chaos.wait()
        chaos.start()
        _wait_until_quiet(connect)
    statuses = chaos.stop()
    with connect() as db:
        findings = audit(db, chaos.project.folder, chaos.struck_pids)
    for promise, broken in watch.breaches.items():
        findings.find("breaches", [f"{each} {promise}" for each in broken])
    findings.find("not_undone", chaos.trouble)
    # One may just have begun.
    findings.find("not_stopped", [f"with {each}" for each in statuses if each not in (0, -signal.SIGTERM)])
    findings.looks, findings.oldest = watch.looks, max(watch.oldest.values(), default=0.0)
    return struck, findings


def _strike(chaos: Chaos, connect: Connect, seconds: float, rows: int) -> Counter[str]:
    struck: Counter[str] = Counter()
    fed = 0
    began = time.monotonic()
    strike_at = began + 1.0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("striking", total=seconds)
        while (passed := time.monotonic() - began) < seconds:
            fed += _feed(connect, int(rows * passed / seconds) - fed)
            if time.monotonic() >= strike_at:
                struck[chaos.strike()] += 1
                strike_at = max(strike_at + BETWEEN, time.monotonic() + BETWEEN / 4)
            progress.update(task, completed=passed)
            time.sleep(0.05)
        progress.update(task, description="waiting until all is quiet")
    return struck


def _feed(connect: Connect, rows: int) -> int:
    """Add rows, if they are worth it; a table that is not there just now gets none. Return how many."""
    if rows < load.OWNERS:
        return 0
    with contextlib.suppress(psycopg.Error), connect() as db:
        db.execute(
            "set lock_timeout = '200ms'; set application_name = 'feed'; set synchronous_commit = local"
        )
        return load.feed(db, rows)
    return 0


def _wait_until_quiet(connect: Connect) -> None:
    """Wait until no row is due or waits, and none is held for long; the audit tells if that never comes."""
    parked = "select a.key from poller.attempt as a, poller.handler as h where h.id = a.handler_id and state = 'parked'"
    pending = " or ".join(
        f"exists (select from {table} where status in ('pending', 'working')"
        f" and id::text not in ({parked} and h.table_name like '%{table}'))"
        for table in load.TABLES
    )
    until = time.monotonic() + QUIET
    while time.monotonic() < until:
        with contextlib.suppress(psycopg.Error), connect() as db:
            held = "exists (select from poller.claim where claimed_at < now() - interval '3 seconds')"
            if db.execute(f"select {pending} or {held}".encode()).fetchone() == (False,):
                return
        time.sleep(0.2)


def _of_findings(findings: Findings) -> Table:
    table = Table("", "", "such as", title="audit")
    for name, value in asdict(findings).items():
        if name != "faults":
            style = "" if name in FIGURES else "bold red" if value else "green"
            examples = "; ".join(findings.faults.get(name, [])[:3])
            table.add_row(name.replace("_", " "), f"{value:,.0f}", examples, style=style)
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
