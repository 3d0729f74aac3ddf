"""Handlers on a Dask cluster: the worker holds the leases, Dask's workers run the handlers, and some of those die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.harness import Project

pytest.importorskip("distributed", reason="the extra `dask` is not installed")

ROWS, KILLS = 400, 3

# Ends when its standard input closes, so with the test, whatever becomes of that.
CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=4, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    cluster.close()
"""
HANDLERS = """
import os, time
from concurrent.futures import Executor
from distributed import Client

def cluster() -> Executor:
    return Client(os.environ["SCHEDULER"]).get_executor()

@handler("thing", status="pending", to="normal", executor="handlers:cluster", timeout="20s", attempts=9)
def work(row, ctx):
    time.sleep(0.02)
    with open("ran.txt", "a") as file:
        file.write(f"{row.id} {os.getpid()} {ctx.attempt}\\n")
    return Transition("normal", note=ctx.key)
"""


@pytest.fixture
def scheduler(project: Project) -> Iterator[str]:
    """The address of a cluster of two Dask workers, which can import the project's handlers."""
    project.handlers(HANDLERS)
    (project.folder / "cluster.py").write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, "cluster.py"],
        cwd=project.folder,
        env=project.environment(PYTHONPATH=str(project.folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert cluster.stdout is not None
    yield cluster.stdout.readline().strip()
    cluster.communicate(timeout=30)


def _ran(project: Project) -> list[tuple[int, int]]:
    """Return (row, pid) of each call."""
    path = project.folder / "ran.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(row), int(pid)) for row, pid, _ in map(str.split, lines)]


def _has_run(project: Project, calls: int) -> bool:
    return len(_ran(project)) > calls


@pytest.mark.thorough
def test_nothing_is_lost_when_dask_loses_workers(
    project: Project, db: psycopg.Connection[Any], scheduler: str
) -> None:
    """Dask runs a lost call again, or it fails and is an ordinary retry: each row moves on once."""
    db.execute("create table thing (id int primary key, status text default 'pending', note text)")
    db.execute("insert into thing select generate_series(1, %s)", [ROWS])
    fleet = project.start("run", "--workers", "1", "--concurrency", "16", SCHEDULER=scheduler)
    for calls in range(60, 60 * (KILLS + 1), 60):
        wait_until("some have run", partial(_has_run, project, calls), timeout=60)
        _, victim = random.choice(_ran(project)[-20:])
        os.kill(victim, signal.SIGKILL)
    left = "select count(*) from thing where status = 'pending'"
    wait_until("all are done", lambda: db.execute(left).fetchone() == (0,), timeout=60)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert "Traceback" not in fleet.log
    assert len({pid for _, pid in _ran(project)}) > 2, "on Dask's workers, and on those that took the places"
    assert set(Counter(row for row, _ in _ran(project))) == set(range(1, ROWS + 1))
    moved = "select count(*), count(distinct key) from poller.history where verdict = 'moved'"
    assert db.execute(moved).fetchone() == (ROWS, ROWS)
