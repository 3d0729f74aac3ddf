"""The soak and the shutdowns in short; `make chaos` and `python -m tests.chaos.shutdowns` run them in full."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from poller import schema
from tests.chaos import load
from tests.chaos.__main__ import soak
from tests.chaos.faults import Chaos
from tests.chaos.shutdowns import stop_once
from tests.faults.proxy import Proxy
from tests.harness import Project
from tests.servers import cluster

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

SECONDS = float(os.environ.get("POLLER_SOAK_SECONDS", "60"))


@pytest.mark.alone
def test_g1_g2_g3_g5_g7_a_soak_of_kills_stops_and_cuts_breaks_no_promise(tmp_path: Path) -> None:
    """Three supervisors, mixed load, a fault about every second; and every kind of fault heals."""
    with (
        cluster() as server,
        Proxy(server.url) as wire,
        Project(tmp_path, server.url) as project,
    ):
        chaos = Chaos(server, project, wire)
        struck, findings = soak(chaos, project, SECONDS, int(SECONDS * 400))
    assert findings.promises_hold, findings
    assert findings.rows > SECONDS * 300
    assert struck.total() > SECONDS / 3
    for kind, times in chaos.recovery.items():
        assert max(times) < 15, (kind, times)


@pytest.mark.fault("F39")
def test_a_fleet_that_is_stopped_at_random_moments_ends_in_time_and_leaves_nothing(
    tmp_path: Path, url: str, db: psycopg.Connection[object]
) -> None:
    """Some with the network gone silent, some asked twice."""
    schema.migrate(url)
    db.execute(load.SCHEMA)
    draw = random.Random(1)
    with Proxy(url) as wire, Project(tmp_path, wire.url) as project:
        project.handlers(load.HANDLERS)
        wrong = [stop_once(project, db, wire, draw) for _ in range(6)]
    # That it takes no longer than it may is measured alone: here, others run beside it.
    assert [each for all_of_it in wrong for each in all_of_it if not each.startswith("it took")] == []
