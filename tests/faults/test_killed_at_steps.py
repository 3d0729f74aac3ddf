"""A process is killed, or stopped beyond its lease, at each step of claim, start, handler, settle and commit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poller.runtime.failpoints import VARIABLE
from tests.commands import is_alive
from tests.faults.audit import audit, began, leased, make_rows, transactional, wait_until_done
from tests.harness import wait_until, workers_of
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.harness import Process, Project

ROWS = 60
MANY = 500  # quick ones, so that they are settled many at once
CLAIM = ("claim taken", "claim committed")  # of a handler at a limit; any other's claim is one statement
LEASE = ("claim committed", "settle begins", "settle committed")
TRANSACTION = ("claim committed", "transaction settled", "transaction committed")
# A lease that ends with its worker is retried in one of its own.
RETRY = ("retry taken", "retry committed")


def limited() -> str:
    """Return a handler of which few rows are in flight at a time."""
    return leased().replace("attempts=20", "attempts=20, limit=50")


KINDS = pytest.mark.parametrize(
    ("handlers", "steps"),
    [(leased, LEASE), (transactional, TRANSACTION), (limited, CLAIM)],
    ids=["leased", "transactional", "limited"],
)


def _arm(action: str, *files: Path) -> dict[str, str]:
    """Return the environment in which the step that each file is named for is armed."""
    return {VARIABLE: ";".join(f"{file.name}={action}@{file}" for file in files)}


def _run_until(
    project: Project, db: psycopg.Connection[Any], steps: list[Path], armed: Callable[[], Process]
) -> None:
    """Run an armed fleet beside another one until each step has been come by; add rows meanwhile.

    It may be a supervisor that comes by one: its sweeper settles, too.
    """
    project.start("run", "--workers", "2", "--lease", "2s")
    fleet = armed()

    def come_by() -> bool:
        nonlocal fleet
        if fleet.popen.poll() is not None:
            fleet = armed()
        db.execute(
            "insert into thing select i + (select max(id) from thing) from generate_series(1, 20) as i"
        )
        time.sleep(0.1)
        return all(file.exists() for file in steps)

    wait_until("all steps have been come by", come_by)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.fault("F1", "F31")
@KINDS
def test_g1_workers_killed_at_each_step_lose_nothing_and_double_nothing(
    project: Project, db: psycopg.Connection[Any], handlers: Callable[[], str], steps: tuple[str, ...]
) -> None:
    """The first to come to a step is gone, right there."""
    make_rows(db, MANY)
    project.handlers(handlers())
    killed = [project.folder / step for step in steps]
    _run_until(project, db, killed, lambda: project.start("run", "--workers", "4", **_arm("kill", *killed)))
    wait_until_done(db)
    audit(project, db, effects=handlers is transactional)


@pytest.mark.fault("F3", "F10", "F31")
@KINDS
def test_g3_workers_stopped_at_each_step_beyond_their_leases_change_nothing_afterwards(
    project: Project, db: psycopg.Connection[Any], handlers: Callable[[], str], steps: tuple[str, ...]
) -> None:
    """They wake up when others have done their rows; what they do then is fenced off.

    Some were stopped within a transaction, and hold the locks of their rows until their sessions are ended.
    """
    make_rows(db, MANY)
    project.handlers(handlers())
    stopped = [project.folder / step for step in steps]
    workers = str(len(steps) + 1)
    _run_until(
        project,
        db,
        stopped,
        lambda: project.start("run", "--workers", workers, "--lease", "2s", **_arm("stop", *stopped)),
    )
    asleep = {pid for _, pid in workers_of(db) if _is_stopped(pid)}
    assert asleep
    wait_until("they are declared dead", lambda: not asleep & {pid for _, pid in workers_of(db)})
    wait_until_done(db)
    for pid in [*asleep, *(each.pid for each in project.processes)]:
        os.kill(pid, signal.SIGCONT)
    # One whose handler does not stop in time ends itself instead, and another takes its place.
    wait_until(
        "all have joined anew",
        lambda: asleep - {pid for _, pid in workers_of(db)} <= {pid for pid in asleep if not is_alive(pid)},
    )
    wait_until_done(db)
    audit(project, db, effects=handlers is transactional)


@pytest.mark.fault("F1")
@pytest.mark.parametrize("step", one_in(2, RETRY))
def test_g6_a_worker_killed_while_it_claims_a_retry_counts_that_attempt(
    project: Project, db: psycopg.Connection[Any], step: str
) -> None:
    """One that had not been committed counts for nothing; one that had, as an attempt."""
    make_rows(db, 5)
    project.handlers(leased(more="if ctx.attempt == 1: raise Retry(0, 'once')"))
    killed = project.folder / step
    fleet = project.start("run", "--workers", "2", **_arm("kill", killed))
    wait_until("a worker was killed", lambda: "ended with signal SIGKILL" in fleet.log)
    wait_until_done(db)
    assert {row for row, _, _, _ in began(project)} == set(range(1, 6))
    crashed = db.execute("select count(*) from poller.history where error like '%worker died%'").fetchone()
    assert crashed is not None
    assert (crashed[0] > 0) == (step == "retry committed")


@pytest.mark.fault("F4")
@pytest.mark.parametrize("step", one_in(3, ["sweep settled", "sweep declared", "sweep looked"]))
def test_g1_a_supervisor_killed_while_it_sweeps_leaves_the_rest_to_another(
    project: Project, db: psycopg.Connection[Any], step: str
) -> None:
    """A fleet of two supervisors; a worker dies, and then the one that takes back what it held."""
    make_rows(db, ROWS)
    project.handlers(leased(0.05))
    armed = project.folder / step
    first = project.start("run", "--workers", "1", "--lease", "5s", **_arm("kill", armed))
    second = project.start("run", "--workers", "1", "--lease", "5s", **_arm("kill", armed))
    wait_until("rows are being handled", lambda: len(began(project)) > 5)
    victim = began(project)[-1][2]
    os.kill(victim, signal.SIGKILL)
    wait_until("a sweeper was killed", armed.exists)
    wait_until(
        "one of them is gone", lambda: first.popen.poll() is not None or second.popen.poll() is not None
    )
    wait_until_done(db)
    audit(project, db)


@pytest.mark.fault("F4")
def test_g3_a_sweeper_that_wakes_up_after_the_row_was_settled_changes_nothing(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It has read what a dead worker held; another takes that back, and it is done, before it goes on."""
    make_rows(db, ROWS)
    project.handlers(leased(0.02))
    held = project.folder / "sweep looked"
    project.start("run", "--workers", "1", "--lease", "5s", **_arm("hold", held))
    wait_until("rows are being handled", lambda: len(began(project)) > 2)
    os.kill(began(project)[-1][2], signal.SIGKILL)
    wait_until("the sweeper has looked", held.exists)
    project.start("run", "--workers", "1", "--lease", "5s")
    wait_until_done(db)
    before = db.execute("select * from poller.history order by at, key").fetchall()
    held.with_name("sweep looked.go").touch()
    wait_until("it has gone on", lambda: "took back" in project.processes[0].log)
    assert db.execute("select * from poller.history order by at, key").fetchall() == before
    audit(project, db)


@pytest.mark.fault("F37")
@pytest.mark.parametrize("step", ["plan entered", "plan committed"])
def test_g7_a_planner_killed_at_any_step_fires_each_slot_once(
    project: Project, db: psycopg.Connection[Any], step: str
) -> None:
    """Before the commit the slot is another's; after it, nobody's."""
    project.handlers(
        """
from poller import Run, cron
import time

@cron("* * * * * *", misfire="all", grace="1h")
def tick(run: Run):
    with open("ticks.txt", "a") as file:
        file.write(run.planned_at.isoformat() + "\\n")
"""
    )
    killed = project.folder / step
    project.start("run", **_arm("kill", killed))
    wait_until("the planner was killed", lambda: project.processes[0].popen.poll() is not None)
    project.start("run")
    ticks = project.folder / "ticks.txt"
    wait_until("five have run", lambda: ticks.exists() and len(ticks.read_text().splitlines()) >= 5)
    slots = [row[0] for row in db.execute("select planned_at from poller.run where job = 'tick' order by 1")]
    assert len(slots) == len(set(slots)), "each slot is one run"
    assert (slots[-1] - slots[0]).total_seconds() == len(slots) - 1, "and none is left out"
