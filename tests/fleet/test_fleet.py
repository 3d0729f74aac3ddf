"""A fleet as its users run it: real processes, killed, stopped and cut off, on a real Postgres."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.harness import Project, cpu_seconds, wait_until, workers_of
from tests.servers import cluster
from tests.times import one_in

# What the handlers of these tests write down: outside the database, so that no rollback hides it.
NOTE = """
import os, time

def note(row, what="ran"):
    with open("ran.txt", "a") as file:
        file.write(f"{what} {row.key} {os.getpid()} {time.time()}\\n")
"""


def ran(project: Project, what: str = "ran") -> list[tuple[str, int, float]]:
    """Return (key, pid, time) of what the handlers have written down."""
    path = project.folder / "ran.txt"
    text = path.read_text() if path.exists() else ""
    parts = [line.split() for line in text.rpartition("\n")[0].splitlines()]  # the last may be half written
    return [(key, int(pid), float(at)) for each, key, pid, at in parts if each == what]


def make_rows(db: psycopg.Connection[Any], count: int) -> None:
    """Make the table `thing` with so many pending rows."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("create index on thing (id) where status = 'pending'")
    db.execute("insert into thing select generate_series(1, %s)", [count])


def statuses(db: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many rows of `thing` have which status."""
    return dict(db.execute("select status, count(*) from thing group by 1").fetchall())


def claims(db: psycopg.Connection[Any]) -> int:
    """Return how many rows are leased."""
    row = db.execute("select coalesce(sum(cardinality(keys)), 0) from poller.claim").fetchone()
    assert row is not None
    return int(row[0])


def is_alive(pid: int) -> bool:
    """Tell whether a process is there (a zombie that nobody has waited for is not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- draining ---------------------------------------------------------------------------------------


def test_a_drain_handles_each_of_20000_rows_exactly_once(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Four workers, all rows end at normal, exit 0."""
    make_rows(db, 20_000)
    project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
    done = project.run("run", "--workers", "4", "--drain")
    assert done.returncode == 0, done.stderr
    assert statuses(db) == {"normal": 20_000}
    assert Counter(key for key, _, _ in ran(project)) == {str(key): 1 for key in range(1, 20_001)}
    assert db.execute("select count(*) from poller.history").fetchone() == (20_000,)


@pytest.mark.parametrize("on_failure", [None, "broken"])
def test_a_drain_ends_with_1_after_exactly_the_attempts_of_rows_that_fail(
    project: Project, db: psycopg.Connection[Any], on_failure: str | None
) -> None:
    """Rows that always fail are parked, or at on_failure, after their attempts; the others are done."""
    make_rows(db, 300)
    project.handlers(
        NOTE
        + f"""
from tenacity import wait_fixed
@handler('thing', status='pending', to='normal', attempts=3, wait=wait_fixed(0.2), on_failure={on_failure!r})
def work(row):
    note(row)
    if row.id % 100 == 0:
        raise ValueError("always")
"""
    )
    done = project.run("run", "--workers", "2", "--drain")
    assert done.returncode == 1, done.stderr
    assert statuses(db) == {"normal": 297, on_failure or "pending": 3}
    tried = Counter(key for key, _, _ in ran(project))
    assert {key: n for key, n in tried.items() if n > 1} == {"100": 3, "200": 3, "300": 3}
    parked = db.execute("select count(*) from poller.attempt where state = 'parked'").fetchone()
    assert parked == (0 if on_failure else 3,)


# --- guarantee 1: nothing is lost -------------------------------------------------------------------

SLOW = (
    NOTE
    + """
@handler('thing', status='pending', to='normal')
def work(row):
    note(row)
    time.sleep(0.4)
    note(row, "ended")
"""
)


@pytest.mark.fault("F1")
@pytest.mark.alone
def test_g1_the_rows_of_a_killed_worker_are_taken_up_by_others_within_a_second(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """kill -9 of one of four workers in the midst of its handlers."""
    make_rows(db, 60)
    project.handlers(SLOW)
    project.start("run", "--workers", "4", "--concurrency", "2")
    wait_until("every worker has begun", lambda: len({pid for _, pid, _ in ran(project)}) == 4)
    victim = ran(project)[-1][1]
    os.kill(victim, signal.SIGKILL)
    killed_at = time.time()
    begun = {key for key, pid, _ in ran(project) if pid == victim}
    lost = begun - {key for key, pid, _ in ran(project, "ended") if pid == victim}
    assert lost
    again = wait_until(
        "its rows are begun again",
        lambda: (
            (found := {key: at for key, pid, at in ran(project) if pid != victim and key in lost}).keys()
            == lost
            and found
        ),
    )
    assert max(again.values()) - killed_at < 1.0
    wait_until("all rows are done", lambda: statuses(db) == {"normal": 60})


def test_g1_a_fleet_killed_whole_goes_on_where_it_was(project: Project, db: psycopg.Connection[Any]) -> None:
    """kill -9 of the supervisor with its workers; another is started, and nothing is lost."""
    make_rows(db, 400)
    project.handlers(SLOW.replace("0.4", "0.02"))
    fleet = project.start("run", "--workers", "3")
    wait_until("some are done", lambda: statuses(db).get("normal", 0) > 50)
    for pid in [fleet.pid, *(pid for _, pid in workers_of(db))]:
        os.kill(pid, signal.SIGKILL)
    fleet.wait()
    started_at = time.monotonic()
    done = project.run("run", "--workers", "3", "--drain")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started_at < 15
    assert statuses(db) == {"normal": 400}
    crashed = db.execute("select count(*) from poller.history where verdict = 'retrying'").fetchone()
    assert crashed is not None
    assert crashed[0] > 0


@pytest.mark.fault("F5")
@pytest.mark.parametrize("how", one_in(3, ["kill", "stop for 10 s", "restart"]))
def test_g1_the_fleet_outlives_postgres(tmp_path: Path, how: str) -> None:
    """Postgres is killed, stopped for 10 s, or restarted during a drain: the fleet goes on by itself."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 1500)
        project.handlers(SLOW.replace("0.4", "0.01"))
        fleet = project.start("run", "--workers", "2", "--drain")
        wait_until("it is under way", lambda: len(ran(project)) > 200)
        if how == "kill":
            server.kill()
            server.start()
        elif how == "restart":
            server.restart("immediate")
        else:
            server.stop("immediate")
            time.sleep(10)
            server.start()
        assert fleet.wait(60) == 0, fleet.log
        assert "Traceback" not in fleet.log
        with psycopg.connect(server.url, autocommit=True) as db:
            assert statuses(db) == {"normal": 1500}
            assert claims(db) == 0


def test_the_longest_times_that_are_taken_work(project: Project, db: psycopg.Connection[Any]) -> None:
    """A week of grace, lease and poll overflows no clock and no wait."""
    make_rows(db, 1)
    project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
    longest = "7d"
    fleet = project.start("run", "--grace", longest, "--lease", longest, "--poll", longest)
    wait_until("the row has moved", lambda: statuses(db) == {"normal": 1})
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert "Error" not in fleet.log


def test_g1_workers_end_with_their_supervisor(project: Project, db: psycopg.Connection[Any]) -> None:
    """kill -9 of the supervisor alone: its workers give their rows back and end; no orphan is left."""
    make_rows(db, 50)
    project.handlers(SLOW)
    fleet = project.start("run", "--workers", "3")
    workers = wait_until("three workers", lambda: len(found := workers_of(db)) == 3 and found)
    wait_until("they work", lambda: len(ran(project)) > 3)
    os.kill(fleet.pid, signal.SIGKILL)
    fleet.wait()
    wait_until("they have ended", lambda: not any(is_alive(pid) for _, pid in workers), 10)
    assert claims(db) == 0


def test_a_worker_that_dies_is_replaced(project: Project, db: psycopg.Connection[Any]) -> None:
    """The supervisor starts another in its place."""
    make_rows(db, 0)
    project.handlers(SLOW)
    project.start("run", "--workers", "2")
    before = wait_until("two workers", lambda: len(found := workers_of(db)) == 2 and found)
    os.kill(before[0][1], signal.SIGKILL)
    wait_until(
        "two again, one of them new",
        lambda: len(after := workers_of(db)) == 2 and before[0] not in after,
    )


# --- guarantees 3 and 4: fenced, compare and set ------------------------------------------------------


def test_g3_a_worker_stopped_for_longer_than_its_lease_changes_nothing_afterwards(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """SIGSTOP past the lease: others do its rows; continued, it moves nothing and begins nothing old."""
    make_rows(db, 1)
    project.handlers(SLOW.replace("0.4", "1.0"))
    project.start("run", "--workers", "1", "--lease", "2s")
    [(_, zombie)] = wait_until("one worker", lambda: workers_of(db))
    wait_until("it has begun", lambda: ran(project))
    os.kill(zombie, signal.SIGSTOP)
    project.start("run", "--workers", "1", "--lease", "2s")
    wait_until("another has done the row", lambda: statuses(db) == {"normal": 1})
    db.execute("update thing set status = 'by hand'")
    before = db.execute("select * from poller.history order by at, key").fetchall()
    os.kill(zombie, signal.SIGCONT)
    wait_until("the zombie's handler has ended", lambda: zombie in [p for _, p, _ in ran(project, "ended")])
    wait_until("it has registered anew", lambda: zombie in [pid for _, pid in workers_of(db)])
    assert db.execute("select * from poller.history order by at, key").fetchall() == before
    assert statuses(db) == {"by hand": 1}


def test_g4_a_status_edited_by_hand_during_the_handler_stays(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The person's edit stands, and the outcome is recorded as superseded."""
    make_rows(db, 1)
    project.handlers(SLOW)
    project.start("run")
    wait_until("the handler runs", lambda: ran(project))
    db.execute("update thing set status = 'by hand'")
    verdict = wait_until(
        "the outcome is recorded", lambda: db.execute("select verdict from poller.history").fetchall()
    )
    assert verdict == [("superseded",)]
    assert statuses(db) == {"by hand": 1}


# --- guarantee 6: a row that kills its worker ---------------------------------------------------------


@pytest.mark.fault("F19")
def test_g6_a_row_that_kills_its_worker_is_parked_while_1000_beside_it_are_done(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its company is halved until it is alone; then it has its attempts, and takes no other row along."""
    make_rows(db, 1001)
    project.handlers(
        NOTE
        + """
from tenacity import wait_fixed
@handler('thing', status='pending', to='normal', attempts=3, wait=wait_fixed(0.1))
def work(row):
    if row.id == 500:
        note(row)
        os.kill(os.getpid(), 9)
"""
    )
    done = project.run("run", "--workers", "2", "--drain")
    assert done.returncode == 1, done.stderr
    assert statuses(db) == {"normal": 1000, "pending": 1}
    assert 3 <= len(ran(project)) <= 3 + 11, "1001 can be halved so often"
    parked = db.execute("select key, attempt from poller.attempt where state = 'parked'").fetchall()
    assert parked == [("500", 3)]


@pytest.mark.parametrize("status", one_in(5, [5, 0, 1, 3, 4]))
def test_g6_no_status_that_a_handler_ends_its_worker_with_means_anything(
    project: Project, db: psycopg.Connection[Any], status: int
) -> None:
    """A worker that was told to end, or is to be replaced at once, says so by its pipe."""
    make_rows(db, 6)
    project.handlers(
        NOTE
        + f"""
from tenacity import wait_fixed
@handler('thing', status='pending', to='normal', attempts=2, wait=wait_fixed(0))
def work(row):
    if row.id == 2:
        os._exit({status})
"""
    )
    done = project.run("run", "--workers", "1", "--concurrency", "2", "--drain")
    assert done.returncode == 1, done.stderr
    assert statuses(db) == {"normal": 5, "pending": 1}
    assert f"a worker process ended with status {status}; starting another" in done.stderr
    assert db.execute("select key, attempt, state from poller.attempt").fetchall() == [("2", 2, "parked")]


def test_g6_slow_bystanders_of_a_row_that_kills_its_worker_all_end(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """With two attempts only, rows that were in flight beside the killer are not parked with it."""
    make_rows(db, 24)
    project.handlers(
        NOTE
        + """
from tenacity import wait_fixed
@handler('thing', status='pending', to='normal', attempts=2, wait=wait_fixed(0.1))
def work(row):
    note(row)
    time.sleep(0.1)
    if row.id == 5:
        os.kill(os.getpid(), 9)
"""
    )
    done = project.run("run", "--workers", "2", "--drain", "--concurrency", "4")
    assert done.returncode == 1, done.stderr
    assert statuses(db) == {"normal": 23, "pending": 1}
    assert 2 <= [key for key, _, _ in ran(project)].count("5") <= 2 + 5, "24 can be halved so often"


# --- timeouts -----------------------------------------------------------------------------------------


@pytest.mark.fault("F2")
@pytest.mark.alone
def test_a_handler_that_does_not_stop_is_given_back_on_time_and_its_process_replaced(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The row fails at its timeout though the code goes on; the others are done; another process comes."""
    make_rows(db, 20)
    project.handlers(
        NOTE
        + """
@handler('thing', status='pending', to='normal', attempts=1, timeout="500ms")
def work(row):
    note(row)
    while row.id == 3:
        time.sleep(0.1)
"""
    )
    project.start("run")
    [(_, first)] = wait_until("one worker", lambda: workers_of(db))
    wait_until(
        "row 3 is parked", lambda: db.execute("select from poller.attempt where state = 'parked'").rowcount
    )
    began = next(at for key, _, at in ran(project) if key == "3")
    assert time.time() - began < 2
    wait_until("the others are done", lambda: statuses(db) == {"normal": 19, "pending": 1})
    wait_until(
        "another process has taken over",
        lambda: (now := workers_of(db)) and first not in [pid for _, pid in now],
    )
    wait_until("the first has ended", lambda: not is_alive(first))
    row = db.execute("select error from poller.attempt").fetchone()
    assert row is not None
    assert row[0].startswith("timed out after 0.5s")


# --- stopping -----------------------------------------------------------------------------------------


@pytest.mark.fault("F39")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_handlers_finish_and_exits_0(
    project: Project, db: psycopg.Connection[Any], number: int
) -> None:
    """No more claims, what runs ends, nothing stays leased, no worker stays in the list."""
    make_rows(db, 500)
    project.handlers(SLOW)
    fleet = project.start("run", "--workers", "2")
    wait_until("handlers run", lambda: len(ran(project)) > 8)
    fleet.signal(number)
    assert fleet.wait(10) == 0, fleet.log
    begun, ended = ran(project), ran(project, "ended")
    assert sorted(key for key, *_ in begun) == sorted(key for key, *_ in ended)
    assert statuses(db)["normal"] == len(begun)
    assert claims(db) == 0
    assert db.execute("select count(*) from poller.worker").fetchone() == (0,)


def test_what_does_not_finish_within_the_grace_time_is_given_back(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Its attempt counts, and it is due at once for others."""
    make_rows(db, 3)
    project.handlers(SLOW.replace("0.4", "60"))
    fleet = project.start("run", "--grace", "500ms")
    wait_until("handlers run", lambda: len(ran(project)) == 3)
    fleet.signal(signal.SIGTERM)
    assert fleet.wait(6) == 0, fleet.log
    assert claims(db) == 0
    left = db.execute("select state, attempt, next_at <= poller.now() from poller.attempt").fetchall()
    assert left == [("waiting", 1, True)] * 3


def test_a_second_signal_stops_at_once(project: Project, db: psycopg.Connection[Any]) -> None:
    """The grace time is cut short; the rows are given back all the same."""
    make_rows(db, 3)
    project.handlers(SLOW.replace("0.4", "60"))
    fleet = project.start("run")
    wait_until("handlers run", lambda: len(ran(project)) == 3)
    fleet.signal(signal.SIGTERM)
    fleet.wait_for_log("stopping")
    fleet.signal(signal.SIGTERM)
    assert fleet.wait(6) == 0, fleet.log
    assert claims(db) == 0


@pytest.mark.fault("F39")
@pytest.mark.alone
def test_a_stop_is_bounded_where_the_database_is_gone(tmp_path: Path) -> None:
    """With Postgres away for good, the fleet still ends within the grace time and some seconds."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 100)
        project.handlers(SLOW.replace("0.4", "0.1"))
        fleet = project.start("run", "--workers", "2", "--grace", "1s")
        wait_until("it is under way", lambda: len(ran(project)) > 20)
        server.stop("immediate")
        fleet.signal(signal.SIGTERM)
        assert fleet.wait(10) == 0, fleet.log
        assert "Traceback" not in fleet.log


# --- waking ---------------------------------------------------------------------------------------------


def _latencies(project: Project, db: psycopg.Connection[Any], count: int) -> list[float]:
    """Insert rows one by one, each once the last has begun; return insert to handler start, in seconds."""
    return [_latency(project, db, key) for key in range(1, count + 1)]


def _latency(project: Project, db: psycopg.Connection[Any], key: int) -> float:
    db.execute("insert into thing values (%s)", [key])
    inserted_at = time.time()
    wait_until("it has begun", lambda: len(ran(project)) == key)
    latency = ran(project)[-1][2] - inserted_at
    wait_until("it has ended", lambda: statuses(db) == {"normal": key})
    return latency


@pytest.mark.alone
def test_with_triggers_an_idle_fleet_takes_a_row_within_milliseconds(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The median from the insert's commit to the handler's first line has a single digit in milliseconds."""
    make_rows(db, 0)
    project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
    assert project.run("migrate", "--triggers").returncode == 0
    project.start("run", "--workers", "4", "--poll", "60s")
    wait_until("four workers", lambda: len(workers_of(db)) == 4)
    time.sleep(0.5)
    assert statistics.median(_latencies(project, db, 20)) < 0.010


@pytest.mark.alone
def test_g1_without_triggers_a_row_is_taken_within_the_poll_interval(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Nothing tells the fleet; it looks."""
    make_rows(db, 0)
    project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
    project.start("run", "--workers", "2", "--poll", "400ms")
    wait_until("two workers", lambda: len(workers_of(db)) == 2)
    assert max(_latencies(project, db, 5)) < 0.4 * 1.1 + 0.2


# --- several at once ------------------------------------------------------------------------------------


def test_the_steps_of_a_chain_do_not_wait_for_a_poll(project: Project, db: psycopg.Connection[Any]) -> None:
    """Five statuses, one after the other, in much less than one interval."""
    make_rows(db, 2)
    project.handlers(
        NOTE
        + """
def step(status, to):
    @handler("thing", status=status, to=to)
    def work(row):
        note(row, status)
        time.sleep(0.1)

    return work

first, second, third = step("pending", "a"), step("a", "b"), step("b", "c")
fourth, fifth = step("c", "d"), step("d", "normal")
"""
    )
    project.start("run", "--workers", "1", "--poll", "60s")
    started = "select count(*) from thing where status = 'normal'"
    wait_until("all have come to the end", lambda: db.execute(started).fetchone() == (2,))


@pytest.mark.parametrize("options", one_in(2, ["", ", limit=1", ", per_key='status'", ", rate='1/1h'"]))
@pytest.mark.parametrize("retries", [False, True], ids=["fresh", "retries"])
def test_a_worker_that_can_take_no_more_does_not_spin(
    project: Project, db: psycopg.Connection[Any], options: str, *, retries: bool
) -> None:
    """All slots are taken, or a limit is reached, and more is due; others come in and are announced."""
    make_rows(db, 100)
    project.handlers(
        NOTE
        + f"""
@handler("thing", status="pending", to="normal"{options})
def work(row):
    note(row)
    time.sleep(60)
"""
    )
    project.start("run", "--workers", "1", "--concurrency", "2", "--grace", "0s")
    wait_until("it works", lambda: ran(project))
    if retries:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, visit)"
            " select h.id, i::text, 'waiting', 1, gen_random_uuid()"
            " from poller.handler as h, generate_series(50, 60) as i where h.table_name = 'public.thing'"
        )
    [(_, pid)] = workers_of(db)
    before = cpu_seconds(pid)
    for number in range(8):
        db.execute("insert into thing values (%s, 'other')", [1000 + number])
        db.execute("notify poller")
        time.sleep(0.25)
    assert cpu_seconds(pid) - before < 0.6, "of two seconds"


@pytest.mark.thorough
def test_what_a_handler_starts_sees_the_users_own_environment(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A worker's search path for modules is its own, and not for the programs that handlers start."""
    db.execute("create table task (id int primary key, status text, seen text)")
    db.execute("insert into task values (1, 'pending')")
    project.handlers("""
        import subprocess

        @handler("task", status="pending", to="normal")
        def look(row):
            asked = ["sh", "-c", "echo ${PYTHONPATH-none}"]
            return Transition("normal", seen=subprocess.check_output(asked, text=True).strip())
    """)

    for given, expected in ({"PYTHONPATH": "/some/where"}, "/some/where"), ({"PYTHONPATH": ""}, ""):
        db.execute("update task set status = 'pending'")
        assert project.run("run", "--drain", **given).returncode == 0
        assert db.execute("select seen from task").fetchall() == [(expected,)]


def test_two_supervisors_that_start_at_once_migrate_once(tmp_path: Path, empty_url: str) -> None:
    """Neither fails, and both work."""
    with Project(tmp_path, empty_url) as project, psycopg.connect(empty_url, autocommit=True) as db:
        make_rows(db, 0)
        project.handlers(SLOW)
        for _ in range(3):
            project.start("run")
        ready = "select count(*) from poller.worker"
        wait_until(
            "three workers",
            lambda: (
                db.execute("select to_regclass('poller.worker')").fetchone() != (None,)
                and db.execute(ready).fetchone() == (3,)
            ),
        )


@pytest.mark.fault("F24")
def test_leases_of_handlers_that_a_process_does_not_know_are_left_alone(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """In a rolling deploy the sweeper leaves what it cannot judge to a process that can."""
    make_rows(db, 1)
    db.execute("create table other (id int primary key, status text default 'pending')")
    project.handlers("@handler('other', status='pending', to='normal')\ndef work(row): ...")
    db.execute(
        "with w as (insert into poller.worker (supervisor, host, pid, slots, handlers, lease, died_at)"
        " values (gen_random_uuid(), 'gone', 1, 1, '{}', '1s', now()) returning id),"
        " h as (insert into poller.handler (table_name, status) values ('public.thing', 'pending') returning id)"
        " insert into poller.claim (handler_id, worker_id, keys) select h.id, w.id, '{1}' from h, w"
    )
    assert project.run("run", "--drain").returncode == 0
    assert claims(db) == 1
