"""Pausing handlers over a whole fleet, draining workers: real processes, stopped and resumed under load."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client
from tests.fleet.test_fleet import NOTE, claims, is_alive, make_rows, ran, statuses
from tests.harness import Project, wait_until, workers_of
from tests.servers import cluster

if TYPE_CHECKING:
    from tests.harness import Process

STEADY = (
    NOTE
    + """
@handler("thing", status="pending", to="normal")
def work(row):
    note(row)
    time.sleep(SECONDS)
"""
)
OTHER = """
@handler("other", status="pending", to="normal")
def aside(row):
    pass
"""
TICKING = """
from poller import fixed_rate

@fixed_rate("200ms")
def tick():
    pass
"""


def now(db: psycopg.Connection[Any]) -> float:
    """Return the time by the database's clock: it is this host's."""
    row = db.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
    assert row is not None
    return float(row[0])


def begun_after(project: Project, at: float) -> list[tuple[str, int, float]]:
    """Return what began later than that."""
    return [each for each in ran(project) if each[2] > at]


def tree(fleet: Process) -> list[int]:
    """Return the processes of a supervisor: itself, and its workers."""
    children = Path(f"/proc/{fleet.pid}/task/{fleet.pid}/children").read_text()
    return [fleet.pid, *map(int, children.split())]


@pytest.mark.fault("F73")
@pytest.mark.alone
@pytest.mark.parametrize("whom", ["the supervisor", "its workers too"])
def test_no_attempt_begins_a_second_after_a_pause_over_three_supervisors(
    project: Project, db: psycopg.Connection[Any], url: str, whom: str
) -> None:
    """Under load, one of them stopped meanwhile; what is queued in its worker neither. Nothing is lost at resume.

    Slots of jobs go on.
    """
    make_rows(db, 6000)
    project.handlers(STEADY.replace("SECONDS", "0.03") + TICKING)
    fleets = [project.start("run", "--workers", "1") for _ in range(3)]
    wait_until("all three work", lambda: len({pid for _, pid, _ in ran(project)}) == 3)
    stopped = tree(fleets[0]) if whom == "its workers too" else [fleets[0].pid]
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGSTOP)

    paused = Client(url).pause("thing:pending")
    acknowledged = time.time()
    assert (paused.changed, paused.name) == (True, "thing:pending")
    time.sleep(2.5)  # the very thing that is measured
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    wait_until("what was in flight has ended", lambda: claims(db) == 0)
    slots = db.execute("select count(*) from poller.run where job = 'tick'").fetchone()
    time.sleep(1.5)

    # A thread may have been stopped when it had taken its row, and before the handler's first line: one for each slot.
    taken = 8 if whom == "its workers too" else 0
    assert len(begun_after(project, acknowledged + 1)) <= taken
    assert statuses(db)["pending"] > 0, "the load was too small"
    later = db.execute("select count(*) from poller.run where job = 'tick'").fetchone()
    assert slots is not None
    assert later is not None
    assert later[0] >= slots[0] + 4
    rest = "select id from thing where status = 'pending' order by id offset 1000"
    db.execute(f"delete from thing where id in ({rest})")  # the load is no longer needed
    kept = sum(statuses(db).values())

    resumed_at = time.time()
    assert Client(url).resume("thing").changed
    wait_until("the next one begins", lambda: begun_after(project, resumed_at))
    assert ran(project)[-1][2] - resumed_at < 3
    wait_until("all are done", lambda: statuses(db) == {"normal": kept}, 120)
    assert len({key for key, _, _ in ran(project)}) == kept
    doubled = len(ran(project)) - kept
    assert doubled == 0, f"{doubled} rows were begun twice, though none had failed"


@pytest.mark.fault("F73")
@pytest.mark.alone
def test_a_worker_that_had_stood_still_begins_nothing_of_what_waits_until_it_has_asked(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """It may have missed a pause, and learns of it by its next look, which takes long here."""
    make_rows(db, 3000)
    project.handlers(STEADY.replace("SECONDS", "0.03"))
    fleet = project.start("run", "--workers", "1")
    wait_until("it is at work", lambda: len(ran(project)) > 50)
    stopped = tree(fleet)
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGSTOP)
    Client(url).pause("thing:pending")

    asks = "select from pg_stat_activity where application_name like 'poller claimer%' and wait_event_type = 'Lock'"
    with psycopg.connect(url) as other:
        other.execute("lock table poller.handler in access exclusive mode")
        time.sleep(1)  # until it has stood still for long enough to know
        goes_on = time.time()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        wait_until("it asks", lambda: db.execute(asks).rowcount)
        time.sleep(1)  # in which it could begin all that waits
        begun = begun_after(project, goes_on)
    assert len(begun) <= 8, "one for each slot: a thread may have been stopped when it had taken its row"
    wait_until("what waited is given back", lambda: claims(db) == 0)


@pytest.mark.fault("F73")
@pytest.mark.alone
@pytest.mark.parametrize("options", ["", ", transactional=True", ", batch=5"])
def test_a_pause_takes_effect_within_a_second_where_rows_are_slow_and_queued(
    project: Project, db: psycopg.Connection[Any], url: str, options: str
) -> None:
    """A handler that has become slow has many rows waiting in each worker: they are given back, uncounted.

    So are those that share a transaction, or a call, with the one that runs.
    """
    make_rows(db, 500)
    project.handlers(
        NOTE
        + f"""
@handler("thing", status="pending", to="normal"{options})
def work(given):
    rows = given if isinstance(given, list) else [given]
    for row in rows:
        note(row)
    time.sleep(max(0.001 if row.id <= 300 else 0.7 for row in rows))
"""
    )
    project.start("run", "--workers", "1", "--concurrency", "2")
    wait_until("it has become slow", lambda: len(ran(project)) > 302)
    Client(url).pause("thing")
    acknowledged = time.time()
    wait_until("nothing is held", lambda: claims(db) == 0, 10)
    assert begun_after(project, acknowledged + 1) == []
    assert db.execute("select count(*) from poller.attempt").fetchone() == (0,)


@pytest.mark.fault("F73")
@pytest.mark.alone
def test_a_pause_holds_over_a_restart_of_postgres(tmp_path: Any) -> None:
    """It was acknowledged, so it holds: for those that were cut off, and for those that start anew."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 2000)
        project.handlers(STEADY.replace("SECONDS", "0.03"))
        project.start("run", "--workers", "2")
        wait_until("it is under way", lambda: len(ran(project)) > 50)
        Client(server.url).pause("thing")
        acknowledged = time.time()
        server.restart("immediate")
        project.start("run", "--workers", "1")
        time.sleep(4)
        assert begun_after(project, acknowledged + 1) == []
        Client(server.url).resume("thing")
        wait_until("they go on", lambda: begun_after(project, acknowledged + 1))


@pytest.mark.alone
def test_a_pause_that_no_worker_hears_of_holds_for_the_next_claim(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Behind a pooler, say: here it is written without a word. What is queued is a tenth of a second of work."""
    make_rows(db, 3000)
    project.handlers(STEADY.replace("SECONDS", "0.03"))
    project.start("run", "--workers", "2")
    wait_until("it is under way", lambda: len(ran(project)) > 50)
    db.execute("update poller.handler set paused_at = poller.now() where table_name = 'public.thing'")
    at = time.time()
    time.sleep(3.5)
    assert begun_after(project, at + 2) == []
    assert statuses(db)["pending"] > 0, "the load was too small"
    db.execute("update poller.handler set paused_at = null where table_name = 'public.thing'")
    resumed_at = time.time()
    wait_until("they go on", lambda: begun_after(project, resumed_at), 4)


def test_g8_a_pause_with_an_end_is_over_by_the_database_clock(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """Nobody has to resume, and nobody is told: the next look finds that it has ended."""
    make_rows(db, 1)
    project.handlers(STEADY.replace("SECONDS", "0"))
    fleet = project.start("run")
    wait_until("the first is done", lambda: len(ran(project)) == 1)
    ended = project.run("pause", "thing:pending", "--for", "3s")
    assert ended.stdout.startswith("paused public.thing:pending: no worker claims their rows until 20")
    db.execute("update thing set status = 'pending'")
    row = db.execute(
        "select extract(epoch from paused_until)::float8 from poller.handler where paused_at is not null"
    )
    [(until,)] = row.fetchall()
    wait_until("it is done again", lambda: len(ran(project)) == 2)
    assert until < ran(project)[-1][2] < until + 5
    fleet.wait_for_log("public.thing:pending: resumed", 15)


def test_a_paused_job_with_an_end_goes_on_by_itself(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """From then on: slots that came meanwhile are not made up for."""
    project.handlers(TICKING)
    project.start("run")
    runs = "select count(*) from poller.run where job = 'tick' and status = 'succeeded'"
    wait_until("it runs", lambda: db.execute(runs).fetchall()[0][0] > 0)
    until = Client(url).pause("tick", "2s").until
    paused = "select from poller.job where name = 'tick' and paused_at is not null"
    wait_until("it goes on", lambda: not db.execute(paused).rowcount)
    wait_until(
        "a run of later", lambda: db.execute(f"{runs} and planned_at > %s", [until]).fetchall()[0][0] > 0
    )
    missed = "select count(*) from poller.run where planned_at between %s - interval '1.5 s' and %s"
    assert db.execute(missed, [until, until]).fetchall() == [(0,)]


def test_a_drain_does_not_wait_for_what_is_paused_and_says_so(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Neither for rows that are due, nor for such as wait for another attempt; the log says who has paused them."""
    make_rows(db, 7)
    db.execute("create table other (id int primary key, status text not null default 'pending')")
    db.execute("insert into other select generate_series(1, 3)")
    project.handlers(STEADY.replace("SECONDS", "0") + OTHER)
    assert project.run("run", "--drain").returncode == 0
    db.execute("update thing set status = 'pending'")
    db.execute("update other set status = 'pending'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, visit)"
        " select id, '7', 'waiting', 1, 'no', gen_random_uuid() from poller.handler where table_name = 'public.thing'"
    )
    assert project.run("pause", "thing").returncode == 0

    drained = project.run("run", "--drain")

    assert drained.returncode == 0, drained.stderr
    assert db.execute("select distinct status from other").fetchall() == [("normal",)]
    assert statuses(db) == {"pending": 7}
    assert "draining: 3 rows are due" in drained.stderr
    assert "left alone: 7 rows of public.thing:pending, which is paused by " in drained.stderr
    assert "public.thing:pending: paused by " in drained.stderr


def test_status_and_handlers_say_what_is_paused(project: Project, db: psycopg.Connection[Any]) -> None:
    """And who wants it so."""
    make_rows(db, 1)
    project.handlers(STEADY.replace("SECONDS", "0") + OTHER)
    db.execute("create table other (id int primary key, status text not null)")
    project.run("run", "--drain")
    project.run("pause", "thing", "--for", "1h")
    listed = project.run("handlers")
    assert "paused" in listed.stdout
    assert "ends in 60m" in listed.stdout or "ends in 59m" in listed.stdout
    assert "other" in listed.stdout
    shown = [line for line in project.run("status").stdout.splitlines() if line.endswith("paused")]
    assert [line.split()[:2] for line in shown] == [["public.thing", "pending"]]


# --- workers ------------------------------------------------------------------------------------------


def test_a_worker_that_drains_ends_when_it_is_empty_and_is_not_replaced(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """What it had begun it ends; what waits in it goes to others, uncounted."""
    make_rows(db, 60)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal")
def work(row):
    note(row)
    time.sleep(0.5)
    note(row, "ended")
"""
    )
    fleet = project.start("run", "--workers", "2", "--concurrency", "2")
    workers = wait_until("two workers", lambda: len(found := workers_of(db)) == 2 and found)
    wait_until("both work", lambda: len({pid for _, pid, _ in ran(project)}) == 2)
    number, pid = workers[0]

    done = project.run("workers", "drain", str(number))

    asked_at = time.time()
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["draining", "worker"]), done
    wait_until("it has ended", lambda: not is_alive(pid), 10)
    assert [each for each in ran(project) if each[1] == pid and each[2] > asked_at + 1] == []
    begun, ended = (sum(each[1] == pid for each in ran(project, what)) for what in ("ran", "ended"))
    assert begun == ended
    wait_until("the other has done the rest", lambda: statuses(db) == {"normal": 60})
    assert len(ran(project)) == 60
    assert [each for each, _ in workers_of(db)] == [workers[1][0]]
    assert fleet.popen.poll() is None
    assert f"worker {number} drains" in fleet.log
    [line] = Client(url).actions().items
    assert (line.action, line.target, line.affected) == ("drain", str(number), 1)


@pytest.mark.fault("F74")
def test_a_worker_that_drains_is_not_replaced_by_a_supervisor_that_hears_of_it_late(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It is stopped, and there is no room for a sign: the worker has nothing left, and waits until it is heard."""
    make_rows(db, 1)
    project.handlers(
        NOTE
        + """
import sys

@handler("thing", status="pending", to="normal")
def work(row):
    note(row)
    while not os.path.exists("filled"):
        time.sleep(0.01)
    try:
        while True:
            os.write(int(sys.argv[2]), b"." * 4096)
    except BlockingIOError:
        note(row, "full")
    while not os.path.exists("ended"):
        time.sleep(0.01)
"""
    )
    fleet = project.start("run", "--workers", "1")
    wait_until("it works", lambda: ran(project))
    [(number, pid)] = workers_of(db)
    fleet.signal(signal.SIGSTOP)
    try:
        (project.folder / "filled").touch()
        wait_until("there is no room", lambda: ran(project, "full"))
        assert project.run("workers", "drain", str(number)).returncode == 0
        (project.folder / "ended").touch()
        wait_until("it has given all back", lambda: not workers_of(db))
        assert statuses(db) == {"normal": 1}
        assert is_alive(pid)
    finally:
        fleet.signal(signal.SIGCONT)
    wait_until("it has ended", lambda: not is_alive(pid))
    wait_until("so has the fleet, of which it was the last", lambda: fleet.popen.poll() is not None)
    assert workers_of(db) == []


def test_a_worker_that_drains_has_its_grace_when_it_is_stopped(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """From the request to stop on, not from the drain: its handlers are told, and may end."""
    make_rows(db, 1)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal", attempts=1)
def work(row, ctx):
    note(row)
    ctx.cancelled.wait(60)
    time.sleep(1)
"""
    )
    fleet = project.start("run", "--grace", "4s")
    wait_until("it works", lambda: len(ran(project)) == 1)
    assert project.run("workers", "drain", str(workers_of(db)[0][0])).returncode == 0
    fleet.wait_for_log("drains")
    time.sleep(4.5)  # the grace time, counted from the drain
    assert statuses(db) == {"pending": 1}
    fleet.popen.send_signal(signal.SIGTERM)
    assert fleet.popen.wait(30) == 0
    assert statuses(db) == {"normal": 1}


def test_a_host_that_drains_ends_with_all_its_workers(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its supervisor, too: there is nothing left for it to do."""
    make_rows(db, 0)
    project.handlers(STEADY.replace("SECONDS", "0"))
    fleet = project.start("run", "--workers", "2")
    wait_until("two workers", lambda: len(workers_of(db)) == 2)
    [(host,)] = db.execute("select distinct host from poller.worker").fetchall()
    assert project.run("workers", "drain", host).returncode == 0
    assert fleet.wait(15) == 0
    assert workers_of(db) == []


@pytest.mark.fault("F74")
def test_a_worker_that_is_killed_while_it_drains_is_not_replaced(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its supervisor knows of it before it ends."""
    make_rows(db, 1)
    project.handlers(
        NOTE
        + """
@handler("thing", status="pending", to="normal")
def work(row):
    note(row)
    time.sleep(60 if row.id == 1 else 0)
"""
    )
    fleet = project.start("run", "--workers", "2")
    wait_until("it runs", lambda: ran(project))
    [(_, pid, _)] = ran(project)
    [number] = [each for each, known in workers_of(db) if known == pid]
    project.run("workers", "drain", str(number))
    fleet.wait_for_log(f"worker {number} drains")
    os.kill(pid, signal.SIGKILL)
    wait_until("the other takes the row", lambda: len(ran(project)) == 2)
    assert len(workers_of(db)) == 1
    wait_until("it is reaped", lambda: len(tree(fleet)) == 2)


@pytest.mark.fault("F74")
def test_a_worker_that_was_declared_dead_before_it_heard_of_its_drain_drains_when_it_is_back(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """It comes back under another number: the drain is the process's."""
    make_rows(db, 0)
    project.handlers(STEADY.replace("SECONDS", "0"))
    fleet = project.start("run", "--workers", "2")
    number, pid = wait_until("two workers", lambda: len(found := workers_of(db)) == 2 and found)[0]
    os.kill(pid, signal.SIGSTOP)
    assert [each.worker for each in Client(url).drain(number)] == [number]
    db.execute("update poller.worker set died_at = now() where id = %s", [number])
    os.kill(pid, signal.SIGCONT)
    wait_until("it has ended", lambda: not is_alive(pid))
    assert fleet.log.count("is ready") == 3, "it was back"
    assert len(workers_of(db)) == 1
    wait_until("it is reaped", lambda: len(tree(fleet)) == 2)


@pytest.mark.fault("F74")
def test_a_worker_that_is_killed_before_it_hears_of_its_drain_is_replaced_by_none(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The process that is started in its place ends at once; of a host, too."""
    make_rows(db, 0)
    project.handlers(STEADY.replace("SECONDS", "0"))
    fleet = project.start("run", "--workers", "2")
    [(host,)] = (
        wait_until("two workers", lambda: len(workers_of(db)) == 2)
        and db.execute("select distinct host from poller.worker").fetchall()
    )
    for _, pid in workers_of(db):
        os.kill(pid, signal.SIGSTOP)
    assert project.run("workers", "drain", host).returncode == 0
    for _, pid in workers_of(db):
        os.kill(pid, signal.SIGKILL)
    assert fleet.wait(20) == 0
    assert workers_of(db) == []


def test_whom_no_worker_is_there_to_drain(project: Project, db: psycopg.Connection[Any]) -> None:
    """Is answered with no, and with what there is."""
    ended = project.run("workers", "drain", "7")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "no live worker has the number 7; no worker is alive\n"
    assert (
        project.run("workers", "drain", "db").stderr
        == "no live worker runs on a host db; no worker is alive\n"
    )


def test_a_run_leaves_out_what_it_is_told_to(project: Project, db: psycopg.Connection[Any]) -> None:
    """In its workers, too: they load the handlers themselves."""
    make_rows(db, 3)
    db.execute("create table other (id int primary key, status text not null default 'pending')")
    db.execute("insert into other select generate_series(1, 3)")
    project.handlers(STEADY.replace("SECONDS", "0") + OTHER)
    assert project.run("run", "--drain", "--except", "thing:pending").returncode == 0
    assert db.execute("select distinct status from other").fetchall() == [("normal",)]
    assert statuses(db) == {"pending": 3}
    assert project.run("run", "--drain", "--except", "other").returncode == 0
    assert statuses(db) == {"normal": 3}
