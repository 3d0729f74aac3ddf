"""The soak and the stops in short; `make chaos`, `python -m tests.chaos.shutdowns` and `.stops` run them in full."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chaos import faults, load, people, shutdowns
from tests.chaos.__main__ import soak
from tests.faults.proxy import Proxy
from tests.harness import Project
from tests.servers import cluster
from tests.times import TIMES

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

_LONG_GRACE = 12.0  # seconds: a handler's process takes a second of CPU to start, and others want that, too
SECONDS = 8.0 * TIMES
# What puts a handler aside takes longer to heal than this may.
KINDS = [kind for kind in faults.KINDS if kind not in people.PUTS_ASIDE]


@pytest.mark.alone
def test_g1_g2_g3_g5_g7_a_soak_of_faults_breaks_no_promise(tmp_path: Path) -> None:
    """Three supervisors, handlers of every kind, one or two faults a second; and every one of them heals."""
    with (
        cluster() as server,
        Proxy(load.as_role(server.url)) as wire,
        Project(tmp_path, load.as_role(server.url)) as project,
    ):
        chaos = faults.Chaos(server, project, wire, KINDS)
        struck, findings = soak(chaos, server.url, SECONDS, int(SECONDS * 400))
    assert findings.promises_hold, findings
    assert findings.rows > SECONDS * 200
    assert struck.total() > SECONDS / 3
    for kind, times in chaos.recovery.items():
        assert max(times) < faults.UNHEALED, (kind, times)


@pytest.mark.fault("F39")
def test_a_fleet_that_is_stopped_at_random_moments_ends_in_time_and_leaves_nothing(
    tmp_path: Path, url: str, db: psycopg.Connection[object]
) -> None:
    """Some with the network gone silent, some asked twice."""
    draw = random.Random(1)
    with Proxy(url) as wire, Project(tmp_path, wire.url) as project:
        shutdowns.prepare(project, url)
        wrong = [shutdowns.stop_once(project, db, wire, draw, _LONG_GRACE) for _ in range(5)]
    # That it takes no longer than it may is measured alone: here, others run beside it.
    assert [each for all_of_it in wrong for each in all_of_it if not each.startswith("it took")] == []


@pytest.mark.fault("F39")
def test_a_worker_that_is_stopped_at_random_moments_interrupts_no_handler_within_its_grace(
    empty_url: str,
) -> None:
    """Just after rows have come: while they are claimed, queued and begun."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.chaos.stops", "--times", "25", "--database", empty_url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "of them wrong" in ended.stdout, ended.stdout + ended.stderr
    assert "interrupted" not in ended.stdout, ended.stdout + ended.stderr
