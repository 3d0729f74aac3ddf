"""What a dead worker held: begun again in halves, until the row that kills its worker is alone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, Context, Row, handler
from poller.db import migration
from poller.db.connection import Link, connect
from poller.model.answers import Crashed
from poller.model.outcome import Became
from poller.services import sweeper
from poller.services.suspects import SINGLE_WAIT_SECONDS
from poller.services.sweeper import Sweeper
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from poller.store.outcomes import of_error, released
from poller.testing import Engine
from tests.claiming import heartbeat
from tests.engines import column, moves
from tests.fleet.test_fleet import NOTE, claims, make_rows, ran, statuses
from tests.harness import Project, wait_until, workers_of
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.store.lease import Task
    from tests.claiming import HandWorker, NewWorker

BEGUN_AGAIN = 15.0  # seconds; five, and room for a loaded machine


def _work(row: Any) -> None: ...


@pytest.fixture
def killed(db: psycopg.Connection[Any], url: str, join: NewWorker) -> Callable[[HandWorker], None]:
    """Has a worker be dead, and what it held taken back."""

    def kill(worker: HandWorker) -> None:
        db.execute("update poller.worker set died_at = poller.now() where id = %s", [worker.id])
        Sweeper(worker.link, [worker.binding]).sweep()

    return kill


def retries(worker: HandWorker, most: int = 1000, single_waits: float | None = 0.0) -> list[Task]:
    """Claim rows whose next attempt is due."""
    claimed = worker.claims.claim_retries(worker.binding, worker.id, most, single_waits=single_waits)
    return claimed.tasks


# --- a killed worker's rows ---------------------------------------------------------------------------


# How a deploy gives rows another `during`: what it does to the table, and the handler's.
RENAMED = {
    "the rows": ("update thing set status = 'working' where status = 'busy'", "working"),
    "a label": ("alter type mood rename value 'busy' to 'working'", "working"),
    "no label": (
        "alter table thing alter status drop default, alter status type mood2 using 'pending'",
        None,
    ),
}


@pytest.mark.fault("F1", "F20")
@pytest.mark.parametrize("renamed", RENAMED)
@pytest.mark.parametrize("by", ["sweep", "release"])
def test_g1_rows_whose_during_a_deploy_has_renamed_are_taken_back(
    db: psycopg.Connection[Any], url: str, join: NewWorker, renamed: str, by: str
) -> None:
    """In the rows, or as a label of their type: they show what the new program's handler says, or their status again."""
    change, during = RENAMED[renamed]
    db.execute("create type mood as enum ('pending', 'busy', 'normal')")
    db.execute("create type mood2 as enum ('pending', 'normal')")
    kind = "text" if renamed == "the rows" else "mood"
    db.execute(f"create table thing (id int primary key, status {kind} not null default 'pending')".encode())
    db.execute("insert into thing values (1), (2)")
    old = handler("thing", status="pending", to="normal", attempts=9, during="busy")(_work)
    new = handler("thing", status="pending", to="normal", attempts=9, during=during)(_work)
    worker = join(bind(db, old))
    assert len(worker.claim()) == 2
    db.execute(change.encode())
    if by == "sweep":
        bound = bind(worker.link.connection, new)
        register_handlers(db, [bound])
        db.execute("update poller.worker set died_at = poller.now()")
        Sweeper(worker.link, [bound]).sweep()
    else:
        assert Client(url, [new]).release("thing:pending").rows == 2
    assert (claims(db), statuses(db)) == (0, {"pending": 2})


@pytest.mark.fault("F1", "F20")
@pytest.mark.parametrize(
    "durings", [("busy", "busy"), ("busy", None), ("busy", "working"), (None, "busy")], ids=str
)
@pytest.mark.parametrize("by", ["sweep", "release"])
def test_g1_rows_are_taken_back_by_programs_that_have_another_during(
    db: psycopg.Connection[Any], url: str, join: NewWorker, durings: tuple[str | None, str | None], by: str
) -> None:
    """The lease says which one the row shows; the attempt counts, and the next is at the same visit."""
    make_rows(db, 2)
    old, new = (
        handler("thing", status="pending", to="normal", attempts=9, during=during)(_work)
        for during in durings
    )
    worker = join(bind(db, old))
    [first, _] = worker.claim()
    assert statuses(db) == {durings[0] or "pending": 2}
    db.execute("update thing set status = 'elsewhere' where id = 2")  # a person's write stands
    if by == "sweep":
        bound = bind(db, new)
        register_handlers(db, [bound])
        db.execute("update poller.worker set died_at = poller.now()")
        Sweeper(worker.link, [bound]).sweep()
    else:
        assert Client(url, [new]).release("thing:pending").rows == 2
    assert statuses(db) == {"pending": 1, "elsewhere": 1}
    found = db.execute("select attempt, visit::text from poller.attempt where key = '1'").fetchall()
    assert found == [(1, first.lease.id)]
    assert claims(db) == 0


@pytest.mark.fault("F48")
@pytest.mark.alone
def test_g1_hundreds_of_rows_of_a_killed_worker_are_begun_again_at_once_and_share_leases(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Quick rows wait by the hundred in the worker that is killed; they are not tried again one by one."""
    make_rows(db, 3000)
    project.handlers(
        NOTE
        + """
@handler('thing', status='pending', to='normal')
def work(row):
    if row.id <= 1000:
        return  # so quick, on any machine, that many more wait in the worker
    note(row)
    while not os.path.exists("gate"):
        time.sleep(0.02)
"""
    )
    project.start("run", "--workers", "1")
    wait_until(
        # how many, its claims have learnt from the quick ones: on a machine that stood still meanwhile it is fewer
        "it holds many that it cannot end",
        lambda: claims(db) > 300 and statuses(db)["normal"] >= 1000,
    )
    [(worker, pid)] = workers_of(db)
    os.kill(pid, signal.SIGSTOP)
    held = {key for keys in column(db, "select keys from poller.claim") for key in keys}
    (project.folder / "gate").touch()
    os.kill(pid, signal.SIGKILL)
    again = wait_until(
        "they have begun again",
        lambda: held <= {key for key, other, _ in ran(project) if other != pid},
        BEGUN_AGAIN,
    )
    assert again
    wait_until("all are done", lambda: statuses(db) == {"normal": 3000})
    taken = column(
        db, f"select distinct lease from poller.history where worker_id <> {worker} and verdict = 'moved'"
    )
    assert len(taken) < len(held) / 10
    counted = "select max(attempt) from poller.history where verdict = 'retrying'"
    assert column(db, counted) == [1], "one attempt each"


@pytest.mark.fault("F58")
@pytest.mark.alone
@pytest.mark.parametrize(
    ("attempts", "options"),
    [(1, ""), (3, ""), (1, ", batch=20"), (2, ", batch=20"), (1, ", transactional=True"), (1, ", limit=16")],
    ids=[
        "one attempt",
        "three",
        "one, in batches",
        "two, in batches",
        "one, in transactions",
        "one, limited",
    ],
)
def test_g6_a_row_that_kills_its_worker_costs_the_others_one_attempt_at_most(
    project: Project, db: psycopg.Connection[Any], attempts: int, options: str
) -> None:
    """It is parked after its attempts, and few deaths more than it takes to halve the company it was in."""
    make_rows(db, 200)
    project.handlers(
        NOTE
        + f"""
from tenacity import wait_fixed

@handler('thing', status='pending', to='normal', attempts={attempts}, wait=wait_fixed(0){options})
def work(rows):
    for row in rows if isinstance(rows, list) else [rows]:
        time.sleep(0.005)
        if row.id == 77:
            note(row)
            os.kill(os.getpid(), 9)
"""
    )
    fleet = project.start("run", "--workers", "2", "--drain", "--concurrency", "8")
    assert fleet.wait(90) == 1, fleet.log
    assert statuses(db) == {"normal": 199, "pending": 1}
    parked = db.execute("select key, attempt from poller.attempt").fetchall()
    assert parked == [("77", attempts)]
    most = "select coalesce(max(attempt), 1) from poller.history where verdict = 'moved'"
    assert column(db, most) <= [min(2, attempts)], "what they lost is one attempt, and never the last"
    first = 1 if attempts > 1 else 0  # is counted in company
    assert len(ran(project)) <= attempts - first + 8 + 2, "halving 200"


# --- halves -------------------------------------------------------------------------------------------


@pytest.mark.fault("F48", "F58")
def test_g6_suspects_are_claimed_in_halves_and_cost_one_attempt(
    db: psycopg.Connection[Any], join: NewWorker, killed: Callable[[HandWorker], None]
) -> None:
    """With two attempts, the killer is narrowed down by crash after crash; the others have lost one."""
    make_rows(db, 64)
    step = bind(db, handler("thing", status="pending", to="normal", attempts=2)(_work))
    worker = join(step)
    worker.claim(100)
    killed(worker)
    sizes, cleared = [], 0
    worker = join(step)
    while tasks := retries(worker):
        assert {task.attempt for task in tasks} == {2}
        assert len({task.lease.id for task in tasks}) == 1
        if "7" in [task.key for task in tasks]:
            sizes.append(len(tasks))
            killed(worker)
            worker = join(step)
        else:
            cleared += worker.settle(tasks)
    assert sizes == [32, 16, 8, 4, 2, 1]
    parked = db.execute("select key, attempt from poller.attempt where state = 'parked'").fetchall()
    assert (cleared, parked) == (63, [("7", 2)])


def test_g6_a_row_alone_in_its_worker_pays_for_each_crash(
    db: psycopg.Connection[Any], join: NewWorker, killed: Callable[[HandWorker], None]
) -> None:
    """Nothing else can have killed it; with one attempt it is parked at once."""
    make_rows(db, 1)
    step = bind(db, handler("thing", status="pending", to="normal", attempts=1)(_work))
    worker = join(step)
    worker.claim()
    killed(worker)
    assert db.execute("select state, attempt from poller.attempt").fetchall() == [("parked", 1)]


def test_g6_rows_beside_suspects_are_suspects_of_their_own(
    db: psycopg.Connection[Any], join: NewWorker, killed: Callable[[HandWorker], None]
) -> None:
    """Whichever of them has killed the worker: the old suspects go on in halves, the others begin to."""
    make_rows(db, 8)
    step = bind(db, handler("thing", status="pending", to="normal", attempts=1)(_work))
    first = join(step)
    first.claim()
    db.execute("insert into thing select generate_series(11, 16)")
    killed(first)
    second = join(step)
    assert len(retries(second)) == 4
    assert len(second.claim()) == 6
    killed(second)
    companies = Counter(column(db, "select company from poller.attempt"))
    assert companies == {8: 4, 4: 4, 10: 6}
    third = join(step)
    assert [task.company for task in retries(third)] == [10] * 5, "the largest company first"


def test_g11_a_suspect_that_a_person_has_locked_hides_no_other(
    db: psycopg.Connection[Any], url: str, join: NewWorker, killed: Callable[[HandWorker], None]
) -> None:
    """Nor any row whose attempt has failed otherwise."""
    make_rows(db, 3)
    step = bind(db, handler("thing", status="pending", to="normal", wait=lambda _: 0.0)(_work))
    worker = join(step)
    worker.fail(worker.claim(1))
    worker.claim(2)
    killed(worker)
    other = join(step)
    with psycopg.connect(url) as person:
        person.execute("select from thing where id in (2, 3) for update")
        assert [task.key for task in retries(other)] == ["1"]
        assert retries(other) == []
    assert [task.key for task in retries(other)] in (["2"], ["3"])


def test_g6_a_row_that_has_crashed_alone_waits_for_a_worker_that_holds_nothing(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """But not for ever: where all are busy, it is taken beside others."""
    make_rows(db, 1)
    step = bind(db, handler("thing", status="pending", to="normal")(_work))
    worker = join(step)
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, visit)"
        " values (%s, '1', 'waiting', 2, 2, 1, gen_random_uuid())",
        [step.id],
    )
    assert retries(worker, single_waits=SINGLE_WAIT_SECONDS) == []
    assert retries(worker, single_waits=None) == []
    db.execute("update poller.attempt set next_at = poller.now() - interval '6 seconds'")
    assert retries(worker, single_waits=None) == []
    assert [task.key for task in retries(worker, single_waits=SINGLE_WAIT_SECONDS)] == ["1"]


def test_g11_nothing_is_claimed_beside_suspects_until_their_outcomes_are_written(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Were their worker to die now, rows beside them would be suspected, too."""
    make_rows(db, 6)
    with Engine(url, moves("thing"), concurrency=4) as engine:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, visit)"
            " select h.id, i::text, 'waiting', 1, 1, 4, gen_random_uuid()"
            " from poller.handler as h, generate_series(1, 4) as i where h.table_name = 'public.thing'"
        )
        for held, left in (2, 4), (2, 2), (2, 0):
            for _ in range(3):
                engine._claimer.start_over()
                engine._claimer.run_once()
                wait_until("they have run", lambda: not engine._executor.busy)
                assert claims(db) == held
            engine._settler.flush()
            assert statuses(db).get("pending", 0) == left


def test_g6_two_rows_that_have_crashed_alone_are_never_in_one_worker(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they have waited: were it to die, either might have killed it."""
    monkeypatch.setattr("poller.services.suspects.TRIAL_SECONDS", 0.0)  # as if they took long
    make_rows(db, 2)
    with Engine(url, moves("thing"), concurrency=4) as engine:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, visit, next_at)"
            " select h.id, i::text, 'waiting', 1, 2, 1, gen_random_uuid(), poller.now() - interval '1 hour'"
            " from poller.handler as h, generate_series(1, 2) as i where h.table_name = 'public.thing'"
        )
        for left in (1, 0):
            for _ in range(3):
                engine._claimer.start_over()
                engine._claimer.run_once()
                wait_until("it has run", lambda: not engine._executor.busy)
                assert claims(db) == 1
            engine._settler.flush()
            assert statuses(db).get("pending", 0) == left


@pytest.mark.parametrize("suspected", [False, True])
def test_a_run_of_a_job_pays_for_a_crash_in_any_company(*, suspected: bool) -> None:
    """It has begun, and half of it may be done: one attempt is one attempt."""
    crash = Crashed("died", company=9, alone=False, suspected=suspected)
    row = handler("thing", status="pending", to="normal", attempts=1)(_work)
    run = handler("thing", status="pending", to="normal", attempts=1)(_work)
    run.name = "nightly"
    assert of_error(row, crash, 1).verdict is Became.RETRYING
    assert of_error(row, crash, 1).attempt == 0
    assert of_error(run, crash, 1).verdict is Became.PARKED


# --- one visit, one key -------------------------------------------------------------------------------


@pytest.mark.fault("F2")
def test_g5_all_attempts_at_one_visit_have_the_same_key_whatever_ended_one(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows share the transaction of one that takes too long: it is rolled back, and their handlers run again."""
    monkeypatch.setattr("poller.executor.batching.LONGEST_SECONDS", 60.0)
    monkeypatch.setattr("poller.services.claim_size.HORIZON_SECONDS", 60.0)
    make_rows(db, 0)
    keys: dict[Any, list[str]] = {}

    def work(row: Row, ctx: Context) -> None:
        tried = keys.setdefault(row.key, [])
        tried.append(ctx.key)
        while row.id == 3 and len(tried) == 1 and not ctx.cancelled.is_set():
            time.sleep(0.01)

    step = moves("thing", work, transactional=True, timeout="500ms")
    with Engine(url, step, concurrency=1) as engine:
        db.execute("insert into thing values (0)")
        engine.run_due()
        db.execute("insert into thing select generate_series(1, 5)")
        engine.run_due()
        engine.advance("1h")
        engine.run_due()
    assert statuses(db) == {"normal": 6}
    assert len(keys[1]) == len(keys[2]) == 2, "they have run again"
    assert {key: len(set(tried)) for key, tried in keys.items()} == dict.fromkeys(keys, 1)


def test_a_row_that_is_given_back_after_its_handler_ran_is_no_failure(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """Its visit is remembered; nothing is said of it."""
    make_rows(db, 1)
    worker = join(bind(db, handler("thing", status="pending", to="normal")(_work)))
    [task] = worker.claim()
    worker.settle([task], released(worker.binding.handler, task.attempt, begun=True))
    assert db.execute("select state, attempt, visit::text from poller.attempt").fetchall() == [
        ("waiting", 0, task.lease.id)
    ]
    [again] = retries(worker)
    assert (again.visit, again.attempt) == (task.lease.id, 1)
    worker.settle([again])
    assert column(db, "select count(*) from poller.attempt") == [0]


# --- who is dead --------------------------------------------------------------------------------------


# It is about to declare a worker dead whose beat waits for its commit, and holds the lock of its row.
WAITS = "select from pg_stat_activity where application_name = 'poller sweeper' and wait_event_type = 'Lock'"


@pytest.mark.fault("F56")
@pytest.mark.alone
def test_g1_while_commits_stall_no_worker_is_dead(tmp_path: Path) -> None:
    """A standby that is waited for is away for longer than the lease; the rows in flight keep their only attempt."""
    with cluster() as server, Project(tmp_path, server.url) as project:  # noqa: SIM117 - each is long enough
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 8)
            project.handlers(
                NOTE
                + """
@handler('thing', status='pending', to='normal', attempts=1)
def work(row):
    note(row)
    time.sleep(2)
"""
            )
            fleet = project.start("run", "--workers", "2", "--concurrency", "2", "--lease", "3s")
            wait_until("they work", lambda: len(ran(project)) == 4)
            db.execute("insert into thing select generate_series(11, 18)")
            db.execute("alter system set synchronous_standby_names = 'nobody'")
            db.execute("select pg_reload_conf()")
            until = (
                time.monotonic() + 14.0
            )  # the lease, twice what a sweeper waits before it believes in a lapse
            while time.monotonic() < until and not db.execute(WAITS).rowcount:
                time.sleep(0.1)
            db.execute("alter system reset synchronous_standby_names")
            db.execute("select pg_reload_conf()")
            wait_until("all are done", lambda: statuses(db) == {"normal": 16})
            assert "is dead" not in fleet.log
            assert "declared dead" not in fleet.log
            assert column(db, "select count(*) from poller.attempt") == [0]


@pytest.mark.fault("F56")
def test_a_beat_is_answered_while_commits_stall() -> None:
    """So its worker goes on trusting its leases, and nobody has to find out why it is silent."""
    stalled = "select from pg_stat_activity where wait_event = 'SyncRep'"
    with (
        cluster() as server,
        psycopg.connect(server.url, autocommit=True) as db,
        ThreadPoolExecutor(2) as run,
    ):
        migration.migrate(server.url)
        link = Link(server.url, "beat")
        beat = heartbeat(link, lease=60.0)
        beat.run_once()  # registers, which does wait
        db.execute("alter system set synchronous_standby_names = 'nobody'")
        db.execute("select pg_reload_conf()")
        try:
            run.submit(_commit, server.url)
            wait_until("commits stall", lambda: db.execute(stalled).rowcount)
            before = beat.trusted_until()
            beat.hurry()
            run.submit(beat.run_once).result(BEGUN_AGAIN)
            assert beat.trusted_until() > before
        finally:
            db.execute("alter system reset synchronous_standby_names")
            db.execute("select pg_reload_conf()")
            link.close()


def _commit(url: str) -> None:
    with psycopg.connect(url) as db:
        db.execute("create table waits ()")


@pytest.fixture
def living(db: psycopg.Connection[Any], url: str, join: NewWorker) -> tuple[Link, Sweeper, HandWorker]:
    """A sweeper, and a worker that has beaten just now."""
    make_rows(db, 3)
    worker = join(bind(db, handler("thing", status="pending", to="normal")(_work)))
    link = Link(url, "sweeper")
    return link, Sweeper(link, [worker.binding]), worker


def died(db: psycopg.Connection[Any]) -> list[Any]:
    """Return whether workers have been declared dead."""
    return column(db, "select died_at is not null from poller.worker")


@pytest.mark.fault("F17", "F56")
def test_g8_a_clock_that_is_set_forward_makes_nobody_dead(
    db: psycopg.Connection[Any], living: tuple[Link, Sweeper, HandWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All heartbeats lie far back at once; workers are given the time to beat by the new clock."""
    link, sweeping, worker = living
    monkeypatch.setattr(sweeper, "PATIENCE_SECONDS", 0.3)

    def beaten(ago: str) -> None:
        db.execute(
            "update poller.worker set heartbeat_at = now() - %s::interval where id = %s", [ago, worker.id]
        )

    beaten("1 hour")
    sweeping.run_once()
    assert died(db) == [False], "it has just connected"
    beaten("0 s")
    time.sleep(0.4)
    link.connection.execute("set poller.clock_offset = '1 hour'")
    sweeping.run_once()
    assert died(db) == [False]
    beaten("-1 hour")
    time.sleep(0.4)
    sweeping.run_once()
    assert died(db) == [False]
    beaten("0 s")
    sweeping.run_once()
    assert died(db) == [True], "a heartbeat that has lapsed while all was quick counts"
    link.close()


@pytest.mark.fault("F48")
def test_g11_a_locked_table_keeps_no_other_rows_from_being_taken_back(
    db: psycopg.Connection[Any], url: str, join: NewWorker
) -> None:
    """A person's lock on one table: what the dead held of others is taken back, and the rest when it is free."""
    make_rows(db, 3)
    db.execute("create table other (id int primary key, status text not null default 'pending')")
    db.execute("insert into other select generate_series(1, 3)")
    locked = bind(db, handler("thing", status="pending", to="normal")(_work))
    free = bind(db, handler("other", status="pending", to="normal")(_work))
    for step in locked, free:
        worker = join(step)
        assert len(worker.claim()) == 3
        db.execute("update poller.worker set died_at = poller.now() where id = %s", [worker.id])
    link = Link(url, "sweeper")
    sweeping = Sweeper(link, [locked, free])
    with psycopg.connect(url) as person:
        person.execute("lock table thing in access exclusive mode")
        for _ in range(3):
            sweeping.run_once()
        assert column(db, "select distinct handler_id from poller.claim") == [locked.id]
    sweeping._left_out.clear()
    sweeping.run_once()
    assert claims(db) == 0
    link.close()


@pytest.mark.fault("F11")
def test_sessions_end_when_poller_ends_them(url: str, db: psycopg.Connection[Any]) -> None:
    """Whatever the database's defaults say of idle sessions, and of long transactions where the server knows that."""
    names = column(
        db, "select name from pg_settings where name in ('idle_session_timeout', 'transaction_timeout')"
    )
    assert "idle_session_timeout" in names
    for name in names:
        db.execute(f"alter database \"{db.info.dbname}\" set {name} = '4s'")
    with connect(url, "test") as connection:
        for name in names:
            assert connection.execute(f"show {name}").fetchone() == ("0",)


# --- the database is away -----------------------------------------------------------------------------


@pytest.mark.fault("F5")
@pytest.mark.alone
def test_g1_a_worker_that_dies_while_postgres_is_away_works_soon_after_it_is_back(tmp_path: Path) -> None:
    """Its successor waits for the database, rather than dying again and again, each time for longer."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 2)
        project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
        fleet = project.start("run", "--workers", "1")
        wait_until("it works", lambda: len(ran(project)) == 2)
        pid = ran(project)[0][1]
        server.stop("immediate")
        os.kill(pid, signal.SIGKILL)
        fleet.wait_for_log("; trying again")
        time.sleep(8.0)
        assert fleet.log.count("a worker process ended") == 1, fleet.log
        server.start()
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute("insert into thing values (3)")
            wait_until("it works again", lambda: len(ran(project)) == 3, 10)
        assert "Traceback" not in fleet.log


@pytest.mark.parametrize("how", ["the supervisor dies", "it is told to stop"])
def test_g1_a_worker_that_waits_for_the_database_ends_when_it_is_to(tmp_path: Path, how: str) -> None:
    """With its supervisor, or at a signal."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            make_rows(db, 1)
        project.handlers(NOTE + "@handler('thing', status='pending', to='normal')\ndef work(row): note(row)")
        fleet = project.start("run", "--workers", "1", "--grace", "1s")
        wait_until("it works", lambda: ran(project))
        server.stop("immediate")
        os.kill(ran(project)[0][1], signal.SIGKILL)
        fleet.wait_for_log("; trying again")
        fleet.signal(signal.SIGKILL if how == "the supervisor dies" else signal.SIGTERM)
        status = fleet.wait(20)
        assert status == (-signal.SIGKILL if how == "the supervisor dies" else 0)
        wait_until("no process has that folder", lambda: not _in(tmp_path))


def _in(folder: Path) -> list[str]:
    """Return the worker processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text()
            if "poller.fleet.worker_main" in command and (process / "cwd").readlink() == folder:
                found.append(process.name)
    return found
