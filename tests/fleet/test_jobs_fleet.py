"""Jobs as their users run them: real fleets on a real Postgres, judged by what `poller.run` says."""

from __future__ import annotations

import ast
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import poller
from tests.harness import Process, Project, wait_until, workers_of
from tests.times import TIMES

if TYPE_CHECKING:
    import psycopg

SECOND = timedelta(seconds=1)
SOAK = 6.0 * TIMES

# What the jobs of these tests begin with.
HEAD = """
import asyncio, json, logging, os, pathlib, sys, time
from tenacity import wait_fixed
from poller import Run, cron, fixed_delay, fixed_rate
from poller.jobs.job import job

def note(**what):
    with open("ran.txt", "a") as file:
        file.write(json.dumps(what, default=str) + "\\n")

def wait_for(name, patience=30):
    until = time.monotonic() + patience
    while not pathlib.Path(name).exists() and time.monotonic() < until:
        time.sleep(0.01)
"""


class Line(NamedTuple):
    """A row of `poller.run`."""

    id: int
    planned_at: datetime
    status: str
    attempt: int
    started_at: Any
    finished_at: Any
    error: str | None
    output: str | None
    done: float | None
    total: float | None


def runs(db: psycopg.Connection[Any], job: str) -> list[Line]:
    """Return a job's runs in the order of their slots."""
    question = (
        "select id, planned_at, status, attempt, started_at, finished_at, error, output, done, total"
        " from poller.run where job = %s order by planned_at"
    )
    return [Line(*row) for row in db.execute(question, [job])]


def wait_for_run(db: psycopg.Connection[Any], job: str, *statuses: str) -> Line:
    """Return the first run of a job that has one of the statuses, once there is one."""
    found = wait_until(
        f"a run of {job} has {' or '.join(statuses)}",
        lambda: [line for line in runs(db, job) if line.status in statuses],
    )
    return found[0]  # type: ignore[no-any-return]


def trigger(db: psycopg.Connection[Any], *jobs: str) -> None:
    """Enter a run of each of some jobs, as `poller trigger` does."""
    for job in jobs:
        db.execute("insert into poller.run (job, function) values (%s, %s)", [job, job])


def notes(project: Project) -> list[dict[str, Any]]:
    """Return what the jobs have written down, outside the database."""
    path = project.folder / "ran.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def start(project: Project, db: psycopg.Connection[Any], code: str, *arguments: str) -> Process:
    """Start a fleet with these jobs, and wait until it has a worker."""
    project.handlers(HEAD + code)
    fleet = project.start("run", "--poll", "200ms", *arguments)
    wait_until("a worker is there", lambda: workers_of(db) or fleet.popen.poll() is not None)
    assert fleet.popen.poll() is None, fleet.log
    return fleet


# --- the three kinds, and overlap --------------------------------------------------------------------------

# Runs of 1.7 s each second, by both clocks, under each policy; and with half a second after each finish.
KINDS = """
def work(run: Run):
    run.cancelled.wait(1.7)

for overlap in ("allow", "skip", "queue", "replace"):
    globals()[f"cron_{overlap}"] = cron("* * * * * *", name=f"cron {overlap}", overlap=overlap)(work)
    globals()[f"rate_{overlap}"] = fixed_rate("1s", name=f"rate {overlap}", overlap=overlap)(work)
delay = fixed_delay("500ms", name="delay")(work)
"""
LENGTH = 1.7


@pytest.fixture
def kinds(project: Project, db: psycopg.Connection[Any]) -> dict[str, list[Line]]:
    """The runs of all these jobs after some ten seconds of a fleet, by job."""
    start(project, db, KINDS, "--concurrency", "64")
    wait_until("it is under way", lambda: len(runs(db, "delay")) > 1)
    wait_until("five runs after another", lambda: len([r for r in runs(db, "delay") if r.finished_at]) >= 5)
    names = [
        f"{kind} {overlap}" for kind in ("cron", "rate") for overlap in ("allow", "skip", "queue", "replace")
    ]
    return {name: runs(db, name) for name in (*names, "delay")}


def overlapping(lines: list[Line]) -> int:
    """Count the runs that began before one with an earlier slot had ended."""
    ran = [line for line in lines if line.started_at]
    return sum(
        any(other.finished_at is None or other.finished_at > line.started_at for other in ran[:number])
        for number, line in enumerate(ran)
    )


def lasted(line: Line) -> float:
    return (line.finished_at - line.started_at).total_seconds()  # type: ignore[no-any-return]


def waited(line: Line) -> float:
    return (line.started_at - line.planned_at).total_seconds()  # type: ignore[no-any-return]


@pytest.mark.thorough
def test_the_kinds_are_told_apart_by_when_their_runs_start_and_finish(kinds: dict[str, list[Line]]) -> None:
    """For a run longer than its period, under each overlap policy."""
    for name, lines in kinds.items():
        slots = [line.planned_at for line in lines]
        ended = [line for line in lines if line.finished_at and line.started_at]
        if name != "delay":  # cron and rate: each second a slot, whatever becomes of its run
            assert slots == [slots[0] + SECOND * number for number in range(len(slots))], name
            assert len(slots) >= 9
        if name.startswith("cron"):
            assert {slot.microsecond for slot in slots} == {0}
        if name.endswith("allow"):  # runs start at their slots, finished or not
            assert overlapping(lines) >= len(lines) - 3
            assert {line.status for line in lines} <= {"pending", "running", "succeeded"}
            assert sorted(map(waited, ended))[len(ended) // 2] < 0.9
        else:
            assert overlapping(lines) == 0, name
        if not name.endswith("replace"):
            assert all(LENGTH <= lasted(line) < LENGTH + 1.5 for line in ended), name
        if name.endswith("skip"):  # a slot that comes while one runs is left out; others start at theirs
            statuses = Counter(line.status for line in lines)
            assert statuses["skipped"] >= 3
            assert statuses["succeeded"] >= 3
            assert statuses["pending"] + statuses["running"] <= 1
            assert sorted(map(waited, ended))[len(ended) // 2] < 0.9
        if name.endswith("queue"):  # one waits for the one that runs, and starts when that has ended
            assert sum(line.status == "pending" for line in lines) <= 1
            assert sum(line.status == "skipped" for line in lines) >= 2
            pauses = sorted(
                (later.started_at - earlier.finished_at).total_seconds() for earlier, later in pairwise(ended)
            )
            assert pauses[0] >= 0
            assert pauses[len(pauses) // 2] < 0.7
        if name.endswith("replace"):  # the newest slot is what runs; the one before is told to stop
            cancelled = [line for line in lines if line.status == "cancelled"]
            assert len(cancelled) >= len(lines) - 4
            assert all(lasted(line) < LENGTH for line in cancelled if line.started_at)
            assert {line.error for line in cancelled if line.started_at} == {"cancelled"}
    delays = kinds["delay"]
    assert {line.status for line in delays} <= {"pending", "running", "succeeded"}
    for earlier, later in pairwise(delays):  # each half a second after the last finish
        assert abs((later.planned_at - earlier.finished_at).total_seconds() - 0.5) < 0.01


# --- guarantee 7: every slot once, whoever is killed ---------------------------------------------------------

JOBS = """
def work(run: Run):
    note(job=run.job, slot=run.planned_at, attempt=run.attempt, clock=time.time())
    time.sleep(0.3)

cron_ = cron("* * * * * *", name="cron", attempts=20, wait=wait_fixed(0.1))(work)
rate = fixed_rate("1s", name="rate", attempts=20, wait=wait_fixed(0.1))(work)
single = cron("* * * * * *", name="queue", overlap="queue", attempts=20, wait=wait_fixed(0.1))(work)
"""

# Shifts the clock of the processes it is loaded into; what they measure by (CLOCK_MONOTONIC) goes on.
SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    const char *shift = getenv("CLOCK_SHIFT");
    if (!failed && id == CLOCK_REALTIME && shift) now->tv_sec += atol(shift);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""
FLEETS = min(10, 4 * TIMES)  # each costs the machine a second to start


def shifted_clocks(folder: Path) -> list[dict[str, str]]:
    """Return environments whose processes have clocks that lie minutes apart; without a C compiler, all are right."""
    compiler = shutil.which("cc")
    if compiler is None:
        return [{}] * FLEETS
    (folder / "clock.c").write_text(SHIFTED_CLOCK)
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c"], check=True)
    return [
        {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str((number - FLEETS // 2) * 100)}
        for number in range(FLEETS)
    ]


@pytest.mark.fault("F37")
def test_g7_g8_every_slot_is_one_run_while_workers_and_planners_are_killed(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Several supervisors, jobs each second, clocks minutes apart: no slot is missing, and none comes twice."""
    environments = shifted_clocks(project.folder)
    project.handlers(HEAD + JOBS)
    order = ["run", "--workers", "1", "--concurrency", "4", "--poll", "200ms", "--lease", "5s"]
    fleets = [project.start(*order, **environment) for environment in environments]
    wait_until("a worker of each", lambda: len(workers_of(db)) == FLEETS, 120)
    began = clock_of(db)
    chance, killed = random.Random(7), Counter[str]()
    until = time.monotonic() + SOAK
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.2, 1.5))  # it is chance that kills
        number = chance.randrange(FLEETS)
        if chance.random() < 0.4:
            kill(fleets[number].pid)
            fleets[number].wait()
            fleets[number] = project.start(*order, **environments[number])
            killed["supervisors"] += 1
        else:
            killed["workers"] += kill(chance.choice(workers_of(db) or [(0, 0)])[1])
    ended = clock_of(db)
    jobs = ("cron", "rate", "queue")
    for job in jobs:  # the fleet goes on: what was missed is made up
        wait_until(
            f"{job} has come that far",
            lambda job=job: any(line.planned_at > ended for line in runs(db, job)),
            60,
        )
    db.execute("update poller.job set next_at = poller.now() + interval '1 day'")
    wait_until(
        "all runs have ended",
        lambda: not db.execute("select from poller.run where status in ('pending', 'running')").rowcount,
        90,
    )
    times = Counter((each["job"], datetime.fromisoformat(each["slot"])) for each in notes(project))
    for job in jobs:
        lines = [line for line in runs(db, job) if line.planned_at <= ended]
        first = lines[0].planned_at
        assert first <= began
        assert [line.planned_at for line in lines] == [
            first + SECOND * number for number in range(len(lines))
        ]
        assert lines[-1].planned_at > ended - SECOND
        assert {line.status for line in lines} <= {"succeeded", "skipped" if job == "queue" else "succeeded"}
        for line in lines:
            ran = times[job, line.planned_at]
            assert ran == 0 if line.status == "skipped" else 1 <= ran <= line.attempt
    logging.getLogger(__name__).info(
        "%d slots ran %d times, killed: %s", len(times), times.total(), dict(killed)
    )
    assert killed["workers"] >= SOAK / 8
    assert killed["supervisors"] >= 1
    if shutil.which("cc"):
        shown = [each["clock"] - datetime.fromisoformat(each["slot"]).timestamp() for each in notes(project)]
        assert max(shown) - min(shown) > 30 * (FLEETS - 1)


def clock_of(db: psycopg.Connection[Any]) -> datetime:
    [(now,)] = db.execute("select poller.now()").fetchall()
    return now  # type: ignore[no-any-return]


def kill(pid: int) -> bool:
    """Kill a process of the fleet's at once, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL) if pid else None
    except ProcessLookupError:
        return False
    return bool(pid)


@pytest.mark.fault("F17")
@pytest.mark.parametrize(
    "module",
    [
        "services/scheduler",
        "schedules/slots",
        "schedules/cron",
        "schedules/wall_clock",
        "jobs/job_store",
        "jobs/run",
        "jobs/job",
    ],
)
def test_g8_no_module_that_plans_reads_a_process_clock(module: str) -> None:
    """The database's clock decides; nothing here could ask another."""
    tree = ast.parse((Path(poller.__file__).parent / f"{module}.py").read_text())
    clocks = {"now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime"}
    modules = {"datetime", "date", "time", "dt"}
    asked = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in clocks
        and ast.unparse(node.value).rpartition(".")[2] in modules
    ]
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if "time" in {alias.name, getattr(node, "module", "")}
    ]
    assert asked == imported == []


# --- how runs end ------------------------------------------------------------------------------------------


def test_a_plain_function_that_takes_too_long_is_a_failed_run(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It is told to stop at its timeout, and its run fails then, with the reason."""
    start(
        project,
        db,
        """
@fixed_rate("1h", timeout="1s")
def slow(run: Run):
    run.cancelled.wait(20)
    note(cancelled=bool(run.cancelled))
""",
    )
    line = wait_for_run(db, "slow", "failed", "succeeded")
    assert line.status == "failed"
    assert line.error == "timed out after 1.0s"
    assert 1 <= lasted(line) < 3
    assert wait_until("it has stopped", lambda: notes(project)) == [{"cancelled": True}]


def test_a_function_that_raises_is_tried_again_as_its_policy_says(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Each attempt is counted; the last error stays with a run that failed."""
    start(
        project,
        db,
        """
@fixed_rate("1h", attempts=3, wait=wait_fixed(0.1))
def never(run: Run):
    note(job="never", attempt=run.attempt, key=run.key)
    raise ValueError(f"attempt {run.attempt}")

@fixed_rate("1h", attempts=3, wait=wait_fixed(0.1))
def second(run: Run):
    note(job="second", attempt=run.attempt, key=run.key)
    if run.attempt < 2:
        raise ValueError("not yet")

@fixed_rate("1h")
def once():
    note(job="once", attempt=1, key="")
    raise ValueError("no")
""",
    )
    never, second = wait_for_run(db, "never", "failed"), wait_for_run(db, "second", "succeeded")
    once = wait_for_run(db, "once", "failed")
    assert (never.attempt, second.attempt, once.attempt) == (3, 2, 1)
    assert str(never.error).startswith("ValueError: attempt 3")
    assert second.error is None
    tried = notes(project)
    assert Counter(each["job"] for each in tried) == {"never": 3, "second": 2, "once": 1}
    keys = {each["job"]: each["key"] for each in tried}
    assert keys["never"] == f"never:{never.planned_at.isoformat()}"
    assert len({(each["job"], each["key"]) for each in tried}) == 3


STOPPED = """
@job(attempts=2)
def kind(run: Run):
    note(job="kind", attempt=run.attempt)
    run.cancelled.wait(60)

@job(attempts=2)
def stubborn(run: Run):
    run.progress(run.attempt, 2)
    note(job="stubborn", attempt=run.attempt)
    if run.attempt == 1:
        time.sleep(60)
    wait_for("go")

@job()
def only(run: Run):
    note(job="only", attempt=run.attempt)
    time.sleep(60)

@job()
def waits(run: Run):
    note(job="waits", attempt=run.attempt)
"""


def test_runs_that_a_shutdown_interrupts_go_on_by_their_policy(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """One that stops when it is told to has ended; one that does not is tried again, if it has attempts left."""
    fleet = start(project, db, STOPPED, "--concurrency", "3", "--grace", "3s")
    wait_until("jobs are declared", lambda: db.execute("select from poller.job").rowcount >= 4)
    trigger(db, "kind", "stubborn", "only")
    wait_until("they run", lambda: len(notes(project)) == 3)
    trigger(db, "waits")
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0, fleet.log
    [kind], [stubborn], [only], [waits] = (runs(db, job) for job in ("kind", "stubborn", "only", "waits"))
    assert (kind.status, kind.attempt) == ("succeeded", 1)
    assert (stubborn.status, stubborn.attempt) == ("pending", 1)
    assert (only.status, only.attempt) == ("failed", 1)
    assert str(only.error).startswith("interrupted: the worker stopped")
    assert (waits.status, waits.attempt) == ("pending", 0)
    project.start("run", "--poll", "200ms")
    again = wait_for_run(db, "stubborn", "running")
    assert again.attempt == 2
    wait_until("its progress is seen", lambda: runs(db, "stubborn")[0].done == 2)
    (project.folder / "go").touch()
    assert wait_for_run(db, "stubborn", "succeeded").attempt == 2
    assert wait_for_run(db, "waits", "succeeded").attempt == 1
    assert len(notes(project)) == 5


def test_runs_that_were_claimed_but_had_not_begun_are_given_back_whole(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A shutdown counts no attempt for them, and what they then tell of their progress is seen."""
    code = """
@job()
def work(run: Run):
    note(id=run.id, attempt=run.attempt)
    run.progress(run.attempt)
    run.cancelled.wait(60) if not os.path.exists("second") else wait_for("go")
"""
    fleet = start(project, db, code, "--concurrency", "1", "--grace", "3s")
    wait_until(
        "the job is declared", lambda: db.execute("select from poller.job where name = 'work'").rowcount
    )
    with db.transaction():
        trigger(db, "work", "work", "work", "work")
    wait_until("one runs", lambda: notes(project))
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0, fleet.log
    assert sorted((line.status, line.attempt) for line in runs(db, "work")) == [
        ("pending", 0),
        ("pending", 0),
        ("pending", 0),
        ("succeeded", 1),
    ]
    (project.folder / "second").touch()
    project.start("run", "--poll", "200ms")
    wait_until("their progress is seen", lambda: [line.done for line in runs(db, "work")] == [1.0] * 4)
    (project.folder / "go").touch()
    wait_until("all have ended", lambda: {line.status for line in runs(db, "work")} == {"succeeded"})
    assert {line.attempt for line in runs(db, "work")} == {1}
    assert len({each["id"] for each in notes(project)}) == len(notes(project)) == 4


def test_a_fixed_delay_goes_on_after_its_worker_was_killed(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The run has failed, with its worker; the delay counts from when that was found."""
    start(
        project,
        db,
        """
@fixed_delay("500ms")
def work(run: Run):
    note(pid=os.getpid())
    if len(open("ran.txt").readlines()) == 1:
        time.sleep(60)
""",
    )
    [first] = wait_until("it runs", lambda: notes(project))
    assert kill(first["pid"])
    failed = wait_for_run(db, "work", "failed")
    following = wait_for_run(db, "work", "succeeded")
    assert "died" in str(failed.error) or "crash" in str(failed.error)
    assert abs((following.planned_at - failed.finished_at).total_seconds() - 0.5) < 0.01


# --- what runs leave behind, and are given --------------------------------------------------------------------


def test_what_runs_print_and_log_is_kept_with_each_and_not_mixed(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Two plain functions and a coroutine that write at the same time, by every way there is."""
    start(
        project,
        db,
        """
def say(run, number):
    print(run.job, "prints", number)
    sys.stderr.write(f"{run.job} errs {number}\\n")
    logging.getLogger("app").warning("%s warns %d", run.job, number)
    run.logger.info("%s informs %d", run.job, number)

def work(run: Run):
    pathlib.Path(run.job).touch()
    for name in "abc":
        wait_for(name)
    for number in range(50):
        say(run, number)
        time.sleep(0.002)

async def work_async(run: Run):
    pathlib.Path(run.job).touch()
    await asyncio.to_thread(wait_for, "a")
    await asyncio.to_thread(wait_for, "b")
    for number in range(50):
        say(run, number)
        await asyncio.sleep(0.002)

a = fixed_rate("1h", name="a")(work)
b = fixed_rate("1h", name="b")(work)
c = fixed_rate("1h", name="c")(work_async)

@fixed_rate("1h")
def dies():
    print("last words")
    raise ValueError("no")
""",
    )
    for job in "abc":
        output = wait_for_run(db, job, "succeeded").output
        assert output is not None
        said = Counter(output.splitlines())
        expected = [f"{job} prints {number}" for number in range(50)]
        expected += [f"{job} errs {number}" for number in range(50)]
        expected += [f"WARNING app: {job} warns {number}" for number in range(50)]
        expected += [f"INFO poller.handler: {job} informs {number}" for number in range(50)]
        assert said == Counter(expected)
    said = wait_for_run(db, "dies", "failed").output or ""
    assert said.startswith("last words\n")
    assert said.endswith("ValueError: no\n")  # and where it was raised


def test_how_far_a_run_has_come_is_seen_while_it_runs(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its progress, and what it has printed so far; and the last of both when it has ended."""
    start(
        project,
        db,
        """
@fixed_rate("1h")
def work(run: Run):
    run.progress(3, 10)
    print("so far")
    wait_for("go")
    run.progress(10, 10)
    print("done")

@fixed_rate("1h")
async def unsized(run: Run):
    run.progress(7)
    await asyncio.to_thread(wait_for, "go")
""",
    )
    wait_until("its progress is seen", lambda: [(r.done, r.total) for r in runs(db, "work")] == [(3.0, 10.0)])
    wait_until("the other's too", lambda: [(r.done, r.total) for r in runs(db, "unsized")] == [(7.0, None)])
    line = wait_for_run(db, "work", "running")
    assert line.output == "so far\n"
    assert line.finished_at is None
    (project.folder / "go").touch()
    line = wait_for_run(db, "work", "succeeded")
    assert (line.done, line.total, line.output) == (10.0, 10.0, "so far\ndone\n")


def test_a_run_knows_its_slot_its_attempt_and_the_success_before(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """All by the database's clock; the key is the same for each attempt, and the run's alone."""
    start(
        project,
        db,
        """
@fixed_rate("500ms", attempts=2, wait=wait_fixed(0))
def work(run: Run):
    note(id=run.id, job=run.job, slot=run.planned_at, before=run.previous_success, attempt=run.attempt,
         key=run.key, aware=run.deadline.tzinfo is not None, cancelled=bool(run.cancelled))
    if run.attempt == 1:
        raise ValueError("the second attempt succeeds")
""",
    )
    wait_until("four have succeeded", lambda: [r.status for r in runs(db, "work")].count("succeeded") >= 4)
    # Those that were due when the fleet began may all have run at once.
    known = max(line.id for line in runs(db, "work"))
    wait_until(
        "a later one has succeeded",
        lambda: any(line.id > known and line.status == "succeeded" for line in runs(db, "work")),
    )
    lines = {line.id: line for line in runs(db, "work") if line.status == "succeeded"}
    told = [each for each in notes(project) if each["id"] in lines]
    assert Counter((each["id"], each["attempt"]) for each in told) == {
        (number, attempt): 1 for number in lines for attempt in (1, 2)
    }
    for each in told:
        line = lines[each["id"]]
        assert each["job"] == "work"
        assert datetime.fromisoformat(each["slot"]) == line.planned_at
        assert each["key"] == f"work:{line.planned_at.isoformat()}"
        assert each["aware"]
        assert not each["cancelled"]
    befores = [each["before"] for each in told if each["attempt"] == 2]
    slots = {line.planned_at for line in lines.values()}
    assert befores[0] is None or datetime.fromisoformat(befores[0]) in slots
    assert any(before and datetime.fromisoformat(before) in slots for before in befores)
    for each in told:
        assert (
            each["before"] is None or datetime.fromisoformat(each["before"]) != lines[each["id"]].planned_at
        )


def test_only_a_worker_with_its_labels_runs_a_job(project: Project, db: psycopg.Connection[Any]) -> None:
    """Any fleet plans it; its run waits for a worker that has all of them."""
    code = """
@fixed_rate("1h", on=["gpu", "big"])
def picky():
    note(job="picky", pid=os.getpid())

@fixed_rate("300ms")
def easy():
    note(job="easy", pid=os.getpid())
"""
    start(project, db, code, "--labels", "gpu")
    wait_until("others have run", lambda: [r.status for r in runs(db, "easy")].count("succeeded") >= 4)
    assert [line.status for line in runs(db, "picky")] == ["pending"]
    before = {pid for _, pid in workers_of(db)}
    project.start("run", "--poll", "200ms", "--labels", "big", "--labels", "gpu", "--labels", "cold")
    wait_for_run(db, "picky", "succeeded")
    [ran] = [each["pid"] for each in notes(project) if each["job"] == "picky"]
    assert ran not in before
    assert ran in {pid for _, pid in workers_of(db)}


def test_a_chain_of_jobs_runs_in_order(project: Project, db: psycopg.Connection[Any]) -> None:
    """Each once the last has succeeded, coroutines among them."""
    start(
        project,
        db,
        """
@job()
async def extract(run: Run):
    await asyncio.sleep(0.01)
    note(job=run.job)

@job(after=extract)
def transform(run: Run):
    note(job=run.job)

@job(after=["extract", "transform"])
async def load(run: Run):
    note(job=run.job)
""",
    )
    wait_until("jobs are declared", lambda: db.execute("select from poller.job").rowcount >= 4)
    trigger(db, "extract")
    wait_for_run(db, "load", "succeeded")
    assert [each["job"] for each in notes(project)] == ["extract", "transform", "load"]
