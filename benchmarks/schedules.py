"""What many schedules cost to plan, to look at and to show; and what many supervisors cost beside one.

The first is measured on one planner's connection, a round after the other. For the second, fleets of one worker each run
the same jobs, each of them once a second, and the statements are counted in the server's log.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.idle import Logging
from benchmarks.lines import Line, Measured, Target
from benchmarks.measurement import Measurement
from benchmarks.processes import at_work, fleet
from benchmarks.race import ready
from poller import Client, job
from poller.db import migration
from poller.db.connection import Link
from poller.db.statements import array
from poller.jobs import job_store
from poller.services.scheduler import Scheduler
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.progress import Teller
    from tests.servers import Cluster

PAGE = 100  # jobs
LOOKS = 20
FLEETS = (1, 8)  # supervisors


@dataclass(frozen=True)
class SchedulesSize:
    """How many schedules there are, how many of them are due; how many jobs run each second, watched for how long."""

    schedules: int = 100_000
    due: int = 20_000
    jobs: int = 27
    seconds: float = 20.0


@dataclass(frozen=True)
class Many:
    """What many schedules cost: slots planned a second, milliseconds of a look when nothing is due and of a page."""

    slots: float
    look: float
    page: float


@job(name="plain")
def plain() -> None:
    """What all of the schedules run."""


def measure(server: Cluster, size: SchedulesSize, teller: Teller) -> Measured:
    """Plan many schedules, then watch fleets of one supervisor and of many."""
    teller.expect(1 + len(FLEETS))
    with teller.step(f"{size.schedules:,} schedules"):
        many = _planned(server.url, size)
    statements = {}
    for supervisors in FLEETS:
        with teller.step(f"{size.jobs} runs a second, supervisors: {supervisors}"):
            statements[supervisors] = _statements(server, supervisors, size)
    one, eight = (statements[each] for each in FLEETS)
    lines = [
        Line(f"{size.schedules:,} schedules, planned", many.slots, "slots/s", target=Target("≥", 2000.0)),
        Line(f"{size.schedules:,} schedules, a look", many.look, "ms", target=Target("≤", 5.0)),
        Line(f"{size.schedules:,} schedules, a page of jobs", many.page, "ms", target=Target("≤", 100.0)),
        Line(
            f"{size.jobs} runs/s, {FLEETS[1]} supervisors beside one", eight, "statements/s", one, eight / one
        ),
    ]
    return Measured(lines, {"size": asdict(size), "many": asdict(many), "statements": statements})


def _planned(server_url: str, size: SchedulesSize) -> Many:
    with fresh_database(server_url) as url, psycopg.connect(url, autocommit=True) as db:
        migration.migrate(url)
        job_store.declare(db, [plain])
        db.execute(
            "insert into poller.job (name, function, schedule, declared, next_at)"
            " select 's' || i, 'plain', '0 * * * *', false,"
            "        date_trunc('hour', now()) + case when i <= %s then interval '0' else interval '2 hours' end"
            "   from generate_series(1, %s) as i",
            [size.due, size.schedules],
        )
        db.execute("vacuum analyze poller.job")
        link = Link(url, "benchmark")
        scheduler = Scheduler(link, [plain])
        began = time.perf_counter()
        while scheduler.run_once() == 0:
            pass
        slots = size.due / (time.perf_counter() - began)
        known = array(["plain"])
        look = _milliseconds(lambda: job_store.look(link.connection, known, "{}", "benchmark"))
        link.close()
        client = Client(url)
        page = _milliseconds(lambda: client.jobs(limit=PAGE))
        return Many(slots, look, page)


def _milliseconds(work: Callable[[], Any]) -> float:
    """Return how long something takes, as the median of some times."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def _statements(server: Cluster, supervisors: int, size: SchedulesSize) -> float:
    """Return how many statements a second fleets execute that run the same jobs."""
    log = server.folder / ".poller" / "postgres.log"
    with fresh_database(server.url) as url, psycopg.connect(url, autocommit=True) as db:
        migration.migrate(url)
        command = fleet(
            url, 1, handlers="benchmarks.handling.each_second", environment={"BENCHMARK_JOBS": str(size.jobs)}
        )
        with at_work([command] * supervisors) as crew:
            crew.wait("ready", lambda: ready(db, "poller claimer") == supervisors)
            time.sleep(size.seconds / 4)
            with Logging(db, log) as logging:
                began = logging.begin()
                time.sleep(size.seconds)
                counted, seconds = logging.counted(), time.monotonic() - began
            crew.finish(told=True)
    return counted.total() / seconds


MEASUREMENT = Measurement(measure, SchedulesSize(), SchedulesSize(due=5_000, seconds=8.0))
