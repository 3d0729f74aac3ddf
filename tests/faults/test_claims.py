"""What a claim may meet: large rows, unreadable ones, locked tables, the loss of its registration, a stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db.connection import Link
from poller.executor import attempt
from poller.executor.executor import Executor
from poller.fleet.worker import Worker, WorkerOptions
from poller.services.claimer import Claimer
from poller.services.postponed import Postponed
from poller.store.binding import CLAIM_BYTES, Binding, bind, bind_all
from poller.store.claims import Claims, DeclaredDeadError
from poller.store.liveness import register_handlers
from tests.claiming import heartbeat
from tests.engines import column, moves, run, run_to_the_end
from tests.gates import AT_GATE, unlock, wait_at_gate
from tests.harness import PATIENCE, Project, wait_until
from tests.servers import create_encoded
from tests.times import TIMES, one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller import Handler
    from poller.store.lease import Result
    from tests.claiming import NewWorker

HANDLERS = "import time\n"
WAITS = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
def thing(db: psycopg.Connection[Any]) -> None:
    """A table of eight pending rows."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 8)")


# --- F49: bytes ---------------------------------------------------------------------------------------

LARGE = {
    "bytea": "repeat('x', 2000000)::bytea",
    "text that compresses well": "repeat('a', 10000000)",
    "jsonb that compresses well": "to_jsonb(repeat('a', 10000000))",
    "text stored as it is": "(select string_agg(md5(j::text), '') from generate_series(1, 60000) as j)",
}


@pytest.mark.fault("F49")
@pytest.mark.parametrize("what", one_in(4, LARGE))
@pytest.mark.parametrize("retried", [False, True], ids=["fresh", "retries"])
def test_a_claim_brings_no_more_than_so_many_bytes(
    db: psycopg.Connection[Any], join: NewWorker, what: str, retried: Any
) -> None:
    """Though they stand behind a thousand small ones, and nothing was known of them; the rest comes with the next."""
    db.execute("create table thing (id int primary key, status text not null default 'pending', body text)")
    kind = "bytea" if what == "bytea" else "jsonb" if "jsonb" in what else "text"
    db.execute(f"alter table thing alter column body type {kind} using null")  # type: ignore[call-overload]
    db.execute("insert into thing select generate_series(1, 100)")
    db.execute(f"insert into thing select i, 'pending', {LARGE[what]} from generate_series(101, 140) as i")  # type: ignore[call-overload]
    worker = join(bind(db, moves("thing")))
    if retried:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, visit)"
            " select %s, id::text, 'waiting', 1, gen_random_uuid() from thing",
            [worker.binding.id],
        )
    seen: list[int] = []
    while len(seen) < 140:
        claimed = (
            worker.claims.claim_retries(worker.binding, worker.id, 1000)
            if retried
            else worker.claims.claim(worker.binding, worker.id, 1000)
        )
        bodies = [task.values[3] for task in claimed.tasks if task.values[3] is not None]
        assert sum(map(len, bodies)) <= 2 * CLAIM_BYTES
        assert claimed.full == (len(seen) + len(claimed.tasks) < 140) or len(claimed.tasks) == 1000
        assert claimed.tasks
        seen += [int(task.key) for task in claimed.tasks]
    assert sorted(seen) == list(range(1, 141))


@pytest.mark.fault("F49")
def test_a_row_that_is_larger_than_a_claim_comes_alone(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Or it would never come."""
    db.execute("create table thing (id int primary key, status text not null default 'pending', body text)")
    db.execute("insert into thing select i, 'pending', repeat('a', 50000000) from generate_series(1, 2) as i")
    worker = join(bind(db, moves("thing")))
    assert [[task.key for task in worker.claim()] for _ in range(3)] == [["1"], ["2"], []]


@pytest.mark.fault("F49")
def test_rows_that_wait_or_are_to_be_written_are_in_memory_too(url: str, db: psycopg.Connection[Any]) -> None:
    """However quick the handler: what is held never comes to more than a claim may, and one row a slot."""
    db.execute("create table thing (id int primary key, status text not null default 'pending', body bytea)")
    db.execute(
        "insert into thing select i, 'pending', repeat('x', 2000000)::bytea from generate_series(1, 60) as i"
    )
    most = 0

    def look(_: Any) -> None:
        nonlocal most
        row = db.execute("select sum(cardinality(keys)) from poller.claim").fetchone()
        assert row is not None
        most = max(most, row[0])

    done = run(url, moves("thing", look))
    assert len(done) == 60
    assert most <= 8


@pytest.mark.fault("F49")
@pytest.mark.usefixtures("thing")
@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.OutOfMemory("out of memory"),
        psycopg.errors.QueryCanceled("timeout"),
        psycopg.errors.SerializationFailure("moved to another partition"),  # again and again
        MemoryError(),
    ],
)
def test_after_a_claim_that_was_too_much_rows_are_claimed_one_by_one(
    url: str,
    db: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """And it is said; then two at a time, and so on."""
    db.execute("insert into thing select generate_series(9, 40)")
    plain, limits = Claims.claim, []

    def claim(claims: Claims, binding: Binding, worker: int, limit: int, *args: Any, **options: Any) -> Any:
        limits.append(limit)
        if len(limits) == 1:
            raise error
        return plain(claims, binding, worker, limit, *args, **options)

    monkeypatch.setattr(Claims, "claim", claim)
    assert len(run(url, moves("thing"))) == 40
    assert limits[1:4] == [1, 2, 4]
    assert "one at a time" in caplog.text


# --- F51: what cannot be read -------------------------------------------------------------------------


@pytest.mark.fault("F51")
def test_a_row_that_the_server_cannot_send_fails_alone(server: str) -> None:
    """Its encoding has no such character: its attempts fail, with the reason, and its neighbours move."""
    name = f"poller_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        create_encoded(admin, name, "win1252")
    try:
        url = psycopg.conninfo.make_conninfo(server, dbname=name)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(
                "create table thing (id int primary key, status text not null default 'pending', body text)"
            )
            db.execute("insert into thing select i, 'pending', 'x' from generate_series(1, 20) as i")
            db.execute("update thing set body = chr(129) where id = 7")
            for options in ({}, {"during": "initialising"}, {"transactional": True}):
                done = run_to_the_end(url, moves("thing", attempts=2, **options))
                assert sorted(int(each.key) for each in done if each.became == "moved") == [
                    each for each in range(1, 21) if each != 7
                ]
                bad = [each for each in done if each.became != "moved"]
                assert [(each.key, each.became) for each in bad] == [("7", "retrying"), ("7", "parked")]
                assert "0x81" in str(bad[0].error)
                db.execute("delete from poller.attempt")
                db.execute("update thing set status = 'pending'")
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"drop database {name} with (force)")  # type: ignore[call-overload]


@pytest.mark.fault("F51")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"during": "busy"},
        {"transactional": True},
        {"transactional": True, "during": "busy"},
        {"batch": 10},
        {"batch": 10, "transactional": True},
        {"per_key": "id", "limit": 5},
    ],
    ids=str,
)
def test_g11_a_row_whose_virtual_column_cannot_be_computed_fails_alone(
    url: str, db: psycopg.Connection[Any], options: dict[str, Any]
) -> None:
    """The server computes it when the row is read, and refuses: fresh or retried, it stops no neighbour."""
    if db.info.server_version < 180_000:
        pytest.skip("before Postgres 18 generated columns are stored")
    db.execute(
        "create table thing (id int primary key, status text not null default 'pending', n int,"
        " share int generated always as (100 / n) virtual)"
    )
    db.execute("insert into thing select i, 'pending', i % 7 from generate_series(1, 10) as i")
    done = run_to_the_end(url, moves("thing", attempts=2, **options))
    assert sorted(int(each.key) for each in done if each.became == "moved") == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    bad = [each for each in done if each.became != "moved"]
    assert [(each.key, each.became) for each in bad] == [("7", "retrying"), ("7", "parked")]
    assert "division by zero" in str(bad[0].error)


# --- F53, F54: the registration -----------------------------------------------------------------------


def _claimer(link: Link, binding: Binding, executor: Executor, worker: Any, **options: Any) -> Claimer:
    return Claimer(
        link=link,
        bindings=[binding],
        executor=executor,
        worker=worker,
        mean_seconds={},
        give_back=lambda _: None,
        held=list,
        unwritten=lambda: 0,
        postponed=Postponed(link, lambda *_: None, lambda *_: None),
        poll=60.0,
        **options,
    )


@pytest.mark.fault("F53")
def test_g3_what_is_claimed_while_the_registration_is_lost_is_not_begun(
    thing: None, db: psycopg.Connection[Any], join: NewWorker, gate: psycopg.Connection[Any]
) -> None:
    """Its answer comes under the old id, when the worker has another: it is nobody's here, and told to nobody."""
    calls: list[Any] = []
    results: list[Result] = []
    worker = join(bind(db, moves("thing", calls.append, where=AT_GATE)))
    registered = [worker.id, worker.id + 1000]
    executor = Executor(slots=4, report=results.extend)
    claimer = _claimer(worker.link, worker.binding, executor, lambda: registered[0])
    thread = threading.Thread(target=claimer.run_once)
    thread.start()
    wait_at_gate(gate)
    registered.pop(0)
    claimer.forget()
    unlock(gate)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    executor.close()
    assert (executor.waiting, calls, results) == (0, [], [])


@pytest.mark.fault("F54")
@pytest.mark.parametrize("how", ["update poller.worker set died_at = now()", "delete from poller.worker"])
def test_g3_a_worker_that_was_declared_dead_claims_nothing(
    thing: None, db: psycopg.Connection[Any], join: NewWorker, how: str
) -> None:
    """Neither fresh rows nor retries; it is told so, and no lease is left that would count as an attempt."""
    worker = join(bind(db, moves("thing")))
    worker.fail(worker.claim(4))
    db.execute(how)  # type: ignore[call-overload]
    with pytest.raises(DeclaredDeadError):
        worker.claim()
    with pytest.raises(DeclaredDeadError):
        worker.claims.claim_retries(worker.binding, worker.id, 10)
    assert column(db, "select lease from poller.claim") == []


@pytest.mark.fault("F54")
def test_g3_a_worker_that_is_declared_dead_during_its_claim_claims_nothing(
    thing: None, db: psycopg.Connection[Any], join: NewWorker, gate: psycopg.Connection[Any]
) -> None:
    """It is asked within the claim, after the rows are locked."""
    worker = join(bind(db, moves("thing", where=AT_GATE)))
    found: list[BaseException] = []

    def claim() -> None:
        try:
            worker.claim()
        except DeclaredDeadError as error:
            found.append(error)

    thread = threading.Thread(target=claim)
    thread.start()
    wait_at_gate(gate)
    db.execute("update poller.worker set died_at = now()")
    unlock(gate)
    thread.join(PATIENCE)
    assert len(found) == 1
    assert column(db, "select lease from poller.claim") == []


@pytest.mark.fault("F54")
def test_g1_a_worker_that_learns_of_its_death_by_a_claim_registers_anew(
    thing: None, project: Project, db: psycopg.Connection[Any]
) -> None:
    """Long before its next beat, and no row loses an attempt by it."""
    db.execute("update thing set status = 'later'")
    project.handlers(
        HANDLERS
        + "@handler('thing', status='pending', to='normal', attempts=1)\ndef work(row): time.sleep(1.5)"
    )
    fleet = project.start("run", "--workers", "1", "--concurrency", "8", "--lease", "60s")
    fleet.wait_for_log("is ready")
    db.execute("update poller.worker set died_at = now()")
    db.execute("update thing set status = 'pending'")
    moved = "select from thing where status = 'normal'"
    wait_until("all rows are moved", lambda: db.execute(moved).rowcount == 8, timeout=15)
    assert column(db, "select state from poller.attempt") == []
    assert fleet.log.count("is ready") == 2


def test_a_heartbeat_that_was_answered_late_does_not_undo_what_a_claim_has_found() -> None:
    """The beat was sent before the death, and its answer read after the claim's."""
    beat = heartbeat(Link("", "none"))
    beat.worker = 7
    beat._trust(time.monotonic())
    assert beat.trusted_until() > time.monotonic()
    beat.deny(7)
    beat._trust(time.monotonic())
    assert beat.trusted_until() == 0.0
    beat.worker = 8
    assert beat.trusted_until() > time.monotonic()


@pytest.mark.fault("F54")
@pytest.mark.parametrize("asks", ["deny", "hurry", "stop"])
def test_a_beat_that_is_asked_for_while_another_is_under_way_follows_it(
    db: psycopg.Connection[Any], url: str, asks: str
) -> None:
    """The one under way may have been sent before what the asker knows: its answer must not put off the next."""
    lost: list[str] = []
    beat = heartbeat(Link(url, "test"), lease=60.0, on_lost=lambda: lost.append("lost"))
    beat.run_once()
    beat.run_once()
    beat.hurry()
    with psycopg.connect(url) as other:
        other.execute("select from poller.worker for update")
        thread = threading.Thread(target=beat.run_once)
        thread.start()
        wait_until("the beat waits", lambda: db.execute(WAITS).rowcount)
        beat.deny(beat.worker or 0) if asks == "deny" else getattr(beat, asks)()
    thread.join(PATIENCE)
    db.execute("update poller.worker set died_at = now()")
    assert beat.run_once() == 0.0
    assert lost == ["lost"]
    beat.run_once()
    assert beat.worker == 2
    beat._link.close()


# --- F55: a stop --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _working(url: str, *handlers: Handler, grace: float = 30.0) -> Iterator[Worker]:
    """A worker in this process; its `run` is the caller's, since it must have the main thread."""
    link = Link(url, "test")
    bindings = bind_all(link.connection, handlers)
    register_handlers(link.connection, bindings)
    link.close()
    options = WorkerOptions(supervisor=uuid.uuid4(), slots=4, lease=30.0, poll=1.0, grace=grace)
    worker = Worker(url, bindings, options)
    try:
        yield worker
    finally:
        signal.set_wakeup_fd(-1)
        _clear_up(worker)


def _clear_up(worker: Worker) -> None:
    """Close what the end of its process would have closed."""
    loops = (worker._claiming, worker._settling, worker._beating, worker._reporting)
    for loop in loops:
        loop.stop()
        worker._settler.wake()
        loop.join(PATIENCE)
        loop._recover()
    for bell in (worker._bell, *(loop._bell for loop in loops)):
        os.close(bell._in)
        os.close(bell._out)


@pytest.mark.fault("F55")
def test_g6_what_a_claim_brings_after_a_stop_is_given_back_uncounted(
    thing: None, url: str, db: psycopg.Connection[Any], gate: psycopg.Connection[Any]
) -> None:
    """It is under way when the stop comes: none of its rows is begun, nor interrupted."""
    calls: list[Any] = []

    def stop() -> None:
        wait_at_gate(gate)
        worker.stop()
        wait_until("it stops", lambda: worker._executor.draining)
        unlock(gate)

    def work(row: Any) -> None:
        calls.append(row)
        time.sleep(0.5)

    with _working(url, moves("thing", work, attempts=1, where=AT_GATE)) as worker:
        thread = threading.Thread(target=stop)
        thread.start()
        assert not worker.run()
        thread.join(PATIENCE)
    assert calls == []
    assert column(db, "select status from thing group by 1") == ["pending"]
    assert column(db, "select state from poller.attempt") == []
    assert column(db, "select lease from poller.claim") == []


@pytest.mark.fault("F55")
@pytest.mark.parametrize("kind", one_in(3, ["thread", "coroutine", "batch"]))
def test_g6_no_handler_is_interrupted_by_a_stop_within_its_grace(
    thing: None, url: str, db: psycopg.Connection[Any], kind: str
) -> None:
    """At whatever moment that comes: each row is done, or as if it had never been claimed."""
    draw = random.Random(9)

    def work(_: Any) -> None:
        time.sleep(0.02)

    async def work_async(_: Any) -> None:
        await asyncio.sleep(0.02)

    function: Any = work_async if kind == "coroutine" else work
    options: dict[str, Any] = {"batch": 3} if kind == "batch" else {}
    step = moves("thing", function, attempts=1, **options)
    for _ in range(60):
        db.execute("update thing set status = 'pending'")
        db.execute("notify poller")
        with _working(url, step) as worker:
            timer = threading.Timer(draw.uniform(0.0, 0.12), worker.stop)
            timer.start()
            assert not worker.run()
            timer.join()
        assert column(db, "select error from poller.attempt") == []
        assert column(db, "select lease from poller.claim") == []


@pytest.mark.fault("F55")
def test_g6_a_task_on_its_way_from_the_queue_to_its_handler_is_waited_for(
    thing: None, url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has left the queue and does not run yet, at the very moment of the stop."""
    plain, at_the_door, may_go = attempt.begin, threading.Event(), threading.Event()

    def begin(*args: Any) -> Any:
        at_the_door.set()
        may_go.wait(PATIENCE)
        return plain(*args)

    def stop() -> None:
        at_the_door.wait(PATIENCE)
        worker.stop()
        threading.Event().wait(0.3)  # long enough for a worker that does not wait to have passed by
        may_go.set()

    db.execute("delete from thing where id > 1")
    monkeypatch.setattr(attempt, "begin", begin)
    with _working(url, moves("thing", lambda _: time.sleep(0.1), attempts=1)) as worker:
        thread = threading.Thread(target=stop)
        thread.start()
        assert not worker.run()
        thread.join(PATIENCE)
    assert column(db, "select status from thing") == ["normal"]


@pytest.mark.fault("F55")
def test_g6_a_real_fleet_that_is_stopped_interrupts_nobody(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """By a signal, at moments drawn at random after an insert that its claims answer, which take a while."""
    db.execute(
        "create table thing (id int generated always as identity primary key, status text default 'pending')"
    )
    project.handlers(
        HANDLERS
        + """
@handler('thing', status='pending', to='normal', attempts=1, where='(select pg_sleep(0.1)) is not null')
def work(row): time.sleep(0.25)
"""
    )
    draw = random.Random(3)
    for _ in range(2 * TIMES):
        fleet = project.start("run", "--workers", "2", "--concurrency", "4", "--grace", "30s")
        wait_until("both are ready", lambda fleet=fleet: fleet.log.count("is ready") == 2)
        db.execute("insert into thing (status) select 'pending' from generate_series(1, 8)")
        db.execute("notify poller")
        time.sleep(draw.uniform(0.0, 0.25))
        fleet.signal(signal.SIGTERM)
        assert fleet.wait() == 0
        assert "interrupted" not in fleet.log
        assert column(db, "select lease from poller.claim") == []
    assert column(db, "select error from poller.attempt") == []


# --- F57: one table's trouble -------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.fault("F57")
def test_a_table_that_somebody_has_locked_holds_up_no_other(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Rows of other tables are taken within a poll meanwhile; it is said once; and it goes on when it is free."""
    for table in "abcde":
        db.execute(f"create table {table} (id int primary key, status text not null default 'pending')")  # type: ignore[call-overload]
    project.handlers(
        "".join(
            f"\n@handler('{each}', status='pending', to='normal')\ndef {each}(row): pass\n"
            for each in "abcde"
        )
    )
    fleet = project.start("run", "--workers", "1")
    fleet.wait_for_log("is ready")
    slowest = 0.0
    with psycopg.connect(db.info.dsn) as person:
        person.execute("lock table a in access exclusive mode")
        for number in range(16):
            began = time.monotonic()
            table = "bcde"[number % 4]
            db.execute(f"insert into {table} values ({number})")  # type: ignore[call-overload]
            done = f"select from {table} where id = {number} and status = 'normal'"
            wait_until(f"row {number} is done", lambda done=done: db.execute(done).rowcount)
            slowest = max(slowest, time.monotonic() - began)
        person.execute("insert into a values (1)")
    done = "select from a where status = 'normal'"
    wait_until("the locked one goes on", lambda: db.execute(done).rowcount, timeout=10)
    assert slowest < 3.5, f"{slowest:.1f} s"  # a poll of one second, and a loaded machine
    assert fleet.log.count("public.a:pending: canceling statement due to lock timeout") <= 1


@pytest.mark.fault("F57")
@pytest.mark.parametrize(
    ("breaks", "heals"),
    [
        ("alter table a rename column status to sttus", "alter table a rename column sttus to status"),
        ("revoke select on a from worker", "grant select on a to worker"),
        ("revoke update on a from worker", "grant update on a to worker"),
    ],
)
def test_a_table_that_is_out_of_order_for_a_second_is_so_for_a_few(
    server: str, project: Project, db: psycopg.Connection[Any], breaks: str, heals: str
) -> None:
    """It is tried again after a second, not after half a minute; others do not notice."""
    role = f"worker_{uuid.uuid4().hex[:8]}"
    breaks, heals = (each.replace("worker", role) for each in (breaks, heals))
    db.execute("create table a (id int primary key, status text not null default 'pending')")
    db.execute("create table b (id int primary key, status text not null default 'pending')")
    db.execute(f"create role {role} login superuser")  # type: ignore[call-overload]
    try:
        project.url = psycopg.conninfo.make_conninfo(project.url, user=role)
        project.handlers(
            "".join(
                f"\n@handler('{each}', status='pending', to='normal')\ndef {each}(row): pass\n"
                for each in "ab"
            )
        )
        if "alter" not in breaks:
            db.execute(f"alter role {role} nosuperuser")  # type: ignore[call-overload]
            db.execute(f"grant all on schema poller, public to {role}")  # type: ignore[call-overload]
            db.execute(f"grant all on all tables in schema poller, public to {role}")  # type: ignore[call-overload]
            db.execute(f"grant all on all sequences in schema poller to {role}")  # type: ignore[call-overload]
        fleet = project.start("run", "--workers", "1", "--no-migrate")
        fleet.wait_for_log("is ready")
        db.execute(breaks)  # type: ignore[call-overload]
        db.execute("insert into a (id) values (1); insert into b (id) values (1)")
        wait_until("it is said", lambda: "a:pending" in fleet.log)
        moved = "select from {} where status = 'normal'"
        wait_until("the other is moved", lambda: db.execute(moved.format("b")).rowcount, timeout=10)  # type: ignore[call-overload]
        db.execute(heals)  # type: ignore[call-overload]
        wait_until("it is moved", lambda: db.execute(moved.format("a")).rowcount, timeout=10)  # type: ignore[call-overload]
        assert "Traceback" not in fleet.log
        fleet.end()
    finally:
        db.execute(f"drop owned by {role}")  # type: ignore[call-overload]
        db.execute(f"drop role {role}")  # type: ignore[call-overload]


@pytest.mark.fault("F57")
def test_a_class_that_a_trigger_has_chosen_says_nothing_of_the_connection(
    thing: None, url: str, db: psycopg.Connection[Any]
) -> None:
    """`during` is refused for one row, with an error that is usually the network's, or an operator's: it fails alone."""
    for state in ("08006", "57014", "25006", "53100", "55000"):
        db.execute(
            "create or replace function refuse() returns trigger language plpgsql as"
            f" $$ begin raise exception 'not before the payment' using errcode = '{state}'; end $$"
        )
        db.execute(
            "create or replace trigger refuse before update on thing for each row"
            " when (new.id = 3 and new.status = 'busy') execute function refuse()"
        )
        done = run_to_the_end(url, moves("thing", attempts=1, during="busy"))
        assert sorted(each.key for each in done if each.became == "moved") == list("1245678")
        [bad] = [each for each in done if each.became == "parked"]
        assert bad.key == "3"
        assert "not before the payment" in str(bad.error)
        db.execute("delete from poller.attempt")
        db.execute("update thing set status = 'pending'")
