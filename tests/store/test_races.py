"""The races that the engine's comments speak of, each provoked, and each guard taken away once to see it matter."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import handler
from poller.db.connection import Link
from poller.db.statements import array
from poller.model.outcome import Became, Outcome
from poller.services import claim_cursor, claimer
from poller.store.binding import Binding, bind
from poller.store.claims import Claims
from poller.testing import Engine
from tests import gates
from tests.claiming import heartbeat
from tests.engines import moves
from tests.gates import AT_GATE, GATE, unlock, wait_at_gate
from tests.harness import PATIENCE, wait_until

if TYPE_CHECKING:
    from poller.store.lease import Task
    from tests.claiming import NewWorker

GUARD = "c.handler_id = take.handler and c.lease"  # of the second look


pytestmark = pytest.mark.usefixtures("settled_by")  # each race is run with either statement that settles


def _work(row: Any) -> None: ...


@pytest.fixture
def table(db: psycopg.Connection[Any]) -> None:
    """A table of three pending rows."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 3)")


@pytest.fixture
def binding(db: psycopg.Connection[Any], table: None) -> Binding:
    return bind(db, handler("thing", status="pending", to="normal")(_work))


@pytest.fixture
def slow_binding(db: psycopg.Connection[Any], table: None) -> Binding:
    """The same handler, whose claim waits at the gate after its snapshot is taken."""
    db.execute(
        "create function at_gate(boolean) returns boolean language plpgsql as $$"
        f" begin perform pg_advisory_xact_lock_shared({GATE}); return $1; end $$"
    )
    where = "at_gate(current_setting('application_name') <> 'nobody')"
    return bind(db, handler("thing", status="pending", to="normal", where=where)(_work))


def _claim_with_an_old_snapshot(
    join: NewWorker, slow: Binding, quick: Binding, gate: psycopg.Connection[Any], then: Any = None
) -> tuple[list[Task], list[Task]]:
    """Let one worker claim, and another whose snapshot is older lock the same rows afterwards."""
    late, early = join(slow), join(quick)
    late_tasks: list[Task] = []
    thread = threading.Thread(target=lambda: late_tasks.extend(late.claim()))
    thread.start()
    wait_at_gate(gate)
    early_tasks = early.claim()
    if then is not None:
        then(early, early_tasks)
    unlock(gate)
    thread.join(30)
    return early_tasks, late_tasks


def test_g2_a_claim_with_an_old_snapshot_takes_nothing_that_is_claimed(
    join: NewWorker, slow_binding: Binding, binding: Binding, gate: psycopg.Connection[Any]
) -> None:
    """The second look sees the claim that the first look's snapshot could not."""
    early, late = _claim_with_an_old_snapshot(join, slow_binding, binding, gate)
    assert len(early) == 3
    assert late == []


def test_g2_control_without_the_second_look_the_rows_are_claimed_twice(
    join: NewWorker,
    slow_binding: Binding,
    binding: Binding,
    gate: psycopg.Connection[Any],
    db: psycopg.Connection[Any],
) -> None:
    """Take the guard away and the race of the test above is lost: so the test provokes it."""
    row = db.execute("select pg_get_functiondef('poller.take'::regproc)").fetchone()
    assert row is not None
    assert GUARD in row[0]
    db.execute(row[0].replace(GUARD, "false and c.lease"))
    early, late = _claim_with_an_old_snapshot(join, slow_binding, binding, gate)
    assert {task.key for task in early} == {task.key for task in late} == {"1", "2", "3"}


def test_g2_leases_that_need_no_second_look_hide_no_newer_one(
    db: psycopg.Connection[Any],
    join: NewWorker,
    slow_binding: Binding,
    binding: Binding,
    gate: psycopg.Connection[Any],
) -> None:
    """A worker has seen a lease of another, which then takes a second one during its claim."""
    late, early = join(slow_binding), join(binding)
    assert len(early.claim(1)) == 1
    unlock(gate)
    [task] = late.claim(1)  # it sees that one, and its own
    assert task.key == "2"
    gates.close(gate)
    late_tasks: list[Task] = []
    thread = threading.Thread(target=lambda: late_tasks.extend(late.claim()))
    thread.start()
    wait_at_gate(gate)
    assert [task.key for task in early.claim()] == ["3"]
    unlock(gate)
    thread.join(30)
    assert late_tasks == []
    assert db.execute("select count(*) from poller.claim").fetchone() == (3,)


def test_g2_a_lease_in_another_order_is_looked_into_whatever_its_last_key(
    db: psycopg.Connection[Any], join: NewWorker, binding: Binding
) -> None:
    """As a program that is being replaced may have it; the claim that goes on has seen it, and trusts its first look."""
    backwards = bind(db, handler("thing", status="pending", to="normal", order_by="id desc")(_work))
    theirs, ours = join(backwards), join(binding)
    assert [task.key for task in theirs.claim(2)] == ["3", "2"]
    assert [task.key for task in ours.claim()] == ["1"]
    assert db.execute("select keys, sorted from poller.claim order by sorted").fetchall() == [
        (["3", "2"], False),
        (["1"], True),
    ]
    assert ours.claims.claim(binding, ours.id, 10, after="2").tasks == []


@pytest.mark.parametrize("retried", [False, True], ids=["fresh", "retries"])
@pytest.mark.parametrize("options", [{}, {"limit": 9}], ids=str)
def test_g11_a_row_that_leaves_its_partition_during_a_claim_holds_up_no_other(
    db: psycopg.Connection[Any],
    join: NewWorker,
    gate: psycopg.Connection[Any],
    options: dict[str, Any],
    retried: Any,
) -> None:
    """Postgres fails the whole statement, which skips rows that are locked; the claim is tried again at once."""
    db.execute(
        "create table parted (id int, place text, status text not null default 'pending', primary key (id, place))"
        " partition by list (place); create table a partition of parted for values in ('a');"
        "create table b partition of parted for values in ('b');"
        "insert into parted select i, 'a' from generate_series(1, 3) as i"
    )
    worker = join(bind(db, moves("parted", where=AT_GATE, **options)))
    if retried:
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, visit)"
            " select %s, jsonb_build_array(id, place)::text, 'waiting', 1, gen_random_uuid() from parted",
            [worker.binding.id],
        )
    claim = worker.claims.claim_retries if retried else worker.claims.claim
    with ThreadPoolExecutor() as pool:
        claimed = pool.submit(claim, worker.binding, worker.id, 10)
        wait_at_gate(gate)
        db.execute("update parted set place = 'b' where id = 2")
        unlock(gate)
        keys = {task.key for task in claimed.result(PATIENCE).tasks}
    assert keys == {'[1, "a"]', '[3, "a"]', *([] if retried else ['[2, "b"]'])}


def test_a_claim_does_not_wait_for_a_row_that_somebody_edits(
    db: psycopg.Connection[Any], join: NewWorker, binding: Binding
) -> None:
    """It takes the others."""
    with psycopg.connect(db.info.dsn) as person:
        person.execute("update thing set status = 'pending' where id = 1")
        worker = join(binding)
        worker.link.connection.execute("set lock_timeout = '100ms'")
        assert [task.key for task in worker.claim()] == ["2", "3"]


def test_g2_a_claim_of_retries_with_an_old_snapshot_takes_none_that_is_claimed(
    join: NewWorker, slow_binding: Binding, binding: Binding, gate: psycopg.Connection[Any]
) -> None:
    """As with fresh rows: the second look sees what the first one's snapshot could not."""
    late, early = join(slow_binding), join(binding)
    early.fail(early.claim())
    found: list[Task] = []

    def claim() -> None:
        found.extend(late.claims.claim_retries(slow_binding, late.id, 10).tasks)

    thread = threading.Thread(target=claim)
    thread.start()
    wait_at_gate(gate)
    taken = early.claims.claim_retries(binding, early.id, 10).tasks
    unlock(gate)
    thread.join(30)
    assert len(taken) == 3
    assert found == []


def test_a_worker_claims_nothing_that_it_holds_itself_when_it_begins_at_the_top_again(
    join: NewWorker, binding: Binding
) -> None:
    """Its own leases are among those that it has seen."""
    worker = join(binding)
    assert [task.key for each in (1, 1, 10, 10) for task in worker.claim(each)] == ["1", "2", "3"]
    assert worker.claims.claim(binding, worker.id, 10, after="1").tasks == []


def test_g2_a_claim_with_an_old_snapshot_takes_no_row_that_has_failed_meanwhile(
    join: NewWorker, slow_binding: Binding, binding: Binding, gate: psycopg.Connection[Any]
) -> None:
    """A row that was claimed and failed since the snapshot waits for its next attempt, and is counted."""
    _, late = _claim_with_an_old_snapshot(
        join, slow_binding, binding, gate, then=lambda worker, tasks: worker.fail(tasks)
    )
    assert late == []


def test_a_claim_with_an_old_snapshot_takes_no_row_that_has_moved_meanwhile(
    join: NewWorker, slow_binding: Binding, binding: Binding, gate: psycopg.Connection[Any]
) -> None:
    """Postgres looks at the row's newest version under the lock, and the status no longer fits."""
    _, late = _claim_with_an_old_snapshot(
        join, slow_binding, binding, gate, then=lambda worker, tasks: worker.settle(tasks)
    )
    assert late == []


def test_g6_a_retry_that_failed_again_meanwhile_is_counted_from_there(
    join: NewWorker, binding: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks at a retry another worker has it and fails: the count read is the last."""
    one, two = join(binding), join(binding)
    one.fail(one.claim(1))
    real = one.link.connection.cursor

    def let_the_other_in_first(**options: Any) -> Any:
        monkeypatch.undo()
        other = two.claims.claim_retries(binding, two.id, 1).tasks
        assert [task.attempt for task in other] == [2]
        two.fail(other)
        return real(**options)

    # The transaction has begun, but its first statement has not: its row lock comes after the other's.
    monkeypatch.setattr(one.link.connection, "cursor", let_the_other_in_first)
    tasks = one.claims.claim_retries(binding, one.id, 1).tasks
    assert [task.attempt for task in tasks] == [3]


@pytest.mark.fault("F4")
def test_g3_an_outcome_whose_lease_was_swept_changes_nothing(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """A worker that lost its lease cannot move the row, count an attempt or write history."""
    worker = join(binding)
    tasks = worker.claim()
    db.execute("delete from poller.claim")
    assert worker.settle(tasks) == 0
    assert worker.fail(tasks) == 0
    assert db.execute("select distinct status from thing").fetchall() == [("pending",)]
    for name in ("attempt", "history", "tally"):
        assert db.execute(f"select count(*) from poller.{name}").fetchone() == (0,)


def test_g3_a_settle_that_waits_for_a_sweep_finds_its_lease_gone(
    join: NewWorker, url: str, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """The fence holds also when the lease is taken while settling waits for it."""
    worker = join(binding)
    tasks = worker.claim()
    counted: list[int] = []
    with psycopg.connect(url) as sweeper:
        sweeper.execute("delete from poller.claim")
        thread = threading.Thread(target=lambda: counted.append(worker.settle(tasks)))
        thread.start()
        wait_until(
            "the settle waits for the lease",
            lambda: (
                db.execute(
                    "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
                ).rowcount
            ),
        )
        sweeper.commit()
        thread.join(30)
    assert counted == [0]
    assert db.execute("select distinct status from thing").fetchall() == [("pending",)]


def test_g3_settling_twice_counts_once(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """After an unknown commit the batch is written again: what was written is no longer held."""
    worker = join(binding)
    tasks = worker.claim()
    assert worker.settle(tasks) == 3
    assert worker.settle(tasks) == 0
    assert db.execute("select count(*) from poller.history").fetchone() == (3,)


def test_g4_a_status_that_somebody_else_changed_stands(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """Compare and set: the edit stays, and the outcome is recorded as superseded."""
    worker = join(binding)
    tasks = worker.claim()
    db.execute("update thing set status = 'by hand' where id = 2")
    db.execute("delete from thing where id = 3")
    worker.settle(tasks)
    assert db.execute("select id, status from thing order by id").fetchall() == [
        (1, "normal"),
        (2, "by hand"),
    ]
    verdicts = db.execute("select key, verdict from poller.history order by key").fetchall()
    assert verdicts == [("1", "moved"), ("2", "superseded"), ("3", "gone")]
    assert db.execute("select count(*) from poller.claim").fetchone() == (0,)


def test_g4_a_failure_says_nothing_of_a_row_that_was_edited(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """A failed attempt at a row that somebody moved on leaves nothing to retry."""
    worker = join(binding)
    tasks = worker.claim()
    db.execute("update thing set status = 'by hand' where id = 2")
    worker.fail(tasks)
    keys = db.execute("select key from poller.attempt order by key").fetchall()
    assert keys == [("1",), ("3",)]


def test_part_of_a_lease_is_settled_and_the_rest_stays_held(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """One slow row keeps no other's result waiting, nor hides a row that is set to pending again."""
    worker, other = join(binding), join(binding)
    tasks = worker.claim()
    worker.settle(tasks[:1])
    assert db.execute("select keys from poller.claim").fetchall() == [(["2", "3"],)]
    db.execute("update thing set status = 'pending' where id = 1")
    assert [task.key for task in other.claim()] == ["1"]
    assert worker.settle(tasks[1:]) == 2


def test_g9_an_insert_into_a_child_table_is_never_blocked_by_a_claim(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """Row locks are FOR NO KEY UPDATE: a foreign key's check passes while a claim's transaction is open."""
    db.execute("create table child (thing int references thing)")
    worker = join(binding)
    with worker.link.connection.transaction():
        assert len(worker.claim()) == 3
        db.execute("set lock_timeout = '1s'")
        db.execute("insert into child values (1)")


def test_claims_settles_and_sweeps_never_deadlock(
    join: NewWorker, db: psycopg.Connection[Any], binding: Binding
) -> None:
    """Many threads claim, move, fail and lose leases over few rows; Postgres counts no deadlock."""
    db.execute("insert into thing select generate_series(4, 40)")
    errors: list[Exception] = []

    def work(seed: int) -> None:
        worker = join(binding)
        try:
            for turn in range(60):
                tasks = (
                    worker.claim(7) if turn % 3 else worker.claims.claim_retries(binding, worker.id, 7).tasks
                )
                if (turn + seed) % 4 == 0:
                    worker.settlements.forfeit(task.lease.id for task in tasks)
                elif tasks:
                    worker.settle(tasks, Outcome(Became.RETRYING, to="pending", delay=0.0, error="no"))
                worker.claims.tidy_retries(binding)
        except Exception as error:  # noqa: BLE001 - told to the test below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    deadlocks = db.execute("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks.fetchone() == (0,)


def test_no_array_is_mistaken_for_another(db: psycopg.Connection[Any]) -> None:
    """Keys with every character that means something in an array literal come through."""
    keys = ["", "NULL", "null", '"', "\\", "{", "}", ",", " ", "a\nb", "é", "{a,b}", '\\"']
    row = db.execute("select %s::text[]", [array(keys)]).fetchone()
    assert row == (keys,)


def test_g6_two_suspects_are_never_in_one_worker_until_the_first_ones_outcome_is_written(
    url: str, db: psycopg.Connection[Any], table: None
) -> None:
    """It has run, but if its worker died now it would count as its attempt: the other one is not to see to that."""
    with Engine(url, moves("thing"), concurrency=1) as engine:
        db.execute("delete from thing where id = 3")
        db.execute(
            "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, visit)"
            " select h.id, t.id::text, 'waiting', 2, 2, 1, gen_random_uuid()"
            " from poller.handler as h, thing as t where h.table_name = 'public.thing'"
        )
        looking = engine._claimer
        claimed = "select coalesce(sum(cardinality(keys)), 0) from poller.claim"
        for left in (1, 0):
            for _ in range(3):
                looking.start_over()
                looking.run_once()
                wait_until("it has run", lambda: not engine._executor.busy)
                assert db.execute(claimed).fetchone() == (1,)
            engine._settler.flush()
            assert db.execute("select count(*) from thing where status = 'pending'").fetchone() == (left,)


def test_a_row_that_comes_between_a_look_and_the_last_key_is_not_passed_over(
    url: str, db: psycopg.Connection[Any], table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look begins after it; but whoever announced it has another one made from the top, and soon."""
    db.execute("update thing set status = 'normal'")
    plain = Claims.last_key

    def racing(claims: Claims, bound: Binding) -> str | None:
        db.execute("insert into thing values (4) on conflict do nothing")
        return plain(claims, bound)

    monkeypatch.setattr(claim_cursor, "QUICK_SECONDS", -1.0)  # ask for the last key after each look
    monkeypatch.setattr(claim_cursor, "SHARE", 1e6)  # no second look from the top by itself
    monkeypatch.setattr(Claims, "last_key", racing)
    with Engine(url, moves("thing")) as engine:
        looking = engine._claimer
        monkeypatch.setattr(looking._looks, "poll", 60.0)
        while (delay := looking.run_once()) < 1.0:  # a claim that brought nothing is looked into once more
            time.sleep(delay)
        assert delay > 50.0, "it has passed it over"
        (cursor,) = looking._looks.cursors.values()
        cursor.top_at = time.monotonic() + 0.2
        looking.notice()
        while not engine._work_off():
            delay = looking.run_once()
            assert delay < 5
            time.sleep(delay)
    assert db.execute("select status from thing where id = 4").fetchone() == ("normal",)


def test_what_else_is_due_is_asked_soon_however_many_rows_are_expected(
    url: str, db: psycopg.Connection[Any], table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the moment in which handlers begin; but rows that come without end keep no other handler waiting."""
    asked: list[bool] = []
    may_end = threading.Event()
    plain = Claims.peek

    def peek(claims: Claims, *of: Any) -> Any:
        asked.append(True)
        return plain(claims, *of)

    monkeypatch.setattr(Claims, "peek", peek)

    def work(_: Any) -> None:
        may_end.wait(10)

    with Engine(url, moves("thing", work)) as engine:
        looking = engine._claimer
        assert looking.run_once() == claimer.MOMENT_SECONDS
        until = time.monotonic() + 5
        rounds = 1
        while not asked:
            assert engine._executor.busy, "it has been given rows"
            may_end.set()
            assert engine._work_off()
            may_end.clear()
            db.execute("insert into thing select max(id) + 1 from thing")
            looking.notice()
            looking.run_once()
            rounds += 1
            assert time.monotonic() < until
        may_end.set()
        assert rounds > 1


@pytest.mark.parametrize("key", ["id", "id, site"])
def test_g2_keys_are_compared_in_the_order_of_their_own_collation(
    db: psycopg.Connection[Any], join: NewWorker, key: str
) -> None:
    """A claim that goes on leaves out what others hold past its place: by the table's order, not the database's."""
    if not db.execute("select from pg_collation where collname = 'und-x-icu'").rowcount:
        pytest.skip("this server has no collation that differs from its default")
    db.execute('create table thing (id text collate "und-x-icu", site int, status text not null)')
    db.execute(f"alter table thing add primary key ({key})")  # type: ignore[call-overload]
    db.execute("""insert into thing select id, 1, 'pending' from unnest('{a,B}'::text[]) as id""")
    binding = bind(db, handler("thing", status="pending", to="normal")(_work))
    one, other = join(binding), join(binding)
    first = one.claims.claim(binding, one.id, 1)
    assert [task.values[1] for task in first.tasks] == ["a"]
    [rest] = other.claim()
    assert rest.values[1] == "B"
    one.claims._seen[binding].append(rest.lease.id)  # as if the claim had come after the other one
    assert one.claims.claim(binding, one.id, 10, first.last).tasks == []


def test_g2_a_lease_of_others_may_be_in_any_order(
    db: psycopg.Connection[Any], join: NewWorker, binding: Binding
) -> None:
    """Theirs is a program that has the handler with another `order_by`, say: each of its keys is left out."""
    backwards = bind(db, handler("thing", status="pending", to="normal", order_by="id desc")(_work))
    one, other = join(binding), join(backwards)
    first = one.claims.claim(binding, one.id, 1)
    assert [task.key for task in first.tasks] == ["1"]
    assert [task.key for task in other.claim()] == ["3", "2"]
    [theirs] = db.execute("select lease::text from poller.claim where worker_id = %s", [other.id]).fetchall()
    one.claims._seen[binding].extend(theirs)  # as if the claim had come after the other one
    assert one.claims.claim(binding, one.id, 10, "2").tasks == []


def test_g2_the_claim_that_goes_on_names_the_collation_of_the_key(db: psycopg.Connection[Any]) -> None:
    """Of either side of each comparison between texts."""
    db.execute('create collation reversed from "C"')
    db.execute("create table thing (id text collate reversed primary key, status text)")
    binding = bind(db, handler("thing", status="pending", to="normal")(_work))
    asked = binding.claim_next.as_string(db)
    assert asked.count("::text collate public.reversed") == 5
    assert "collate" not in binding.claim_first.as_string(db)


def test_g1_a_worker_that_leaves_waits_for_its_claim_under_way(
    url: str, db: psycopg.Connection[Any], binding: Binding, join: NewWorker
) -> None:
    """It is declared dead with what it holds; Postgres has no foreign key to defend, and logs no error."""
    join(binding)  # numbers the handler
    beat = heartbeat(Link(url, "test"), [binding])
    beat.join()
    number = beat.worker
    with psycopg.connect(url) as claiming:
        claiming.execute(
            "insert into poller.claim (handler_id, worker_id, keys) values (%s, %s, '{1}')",
            [binding.id, number],
        )
        with ThreadPoolExecutor(1) as pool:
            left = pool.submit(beat.leave)
            wait_until("it waits", lambda: db.execute("select 1 from pg_locks where not granted").fetchone())
            claiming.commit()
            left.result(30)
    died = db.execute("select died_at is not null from poller.worker where id = %s", [number]).fetchone()
    assert died == (True,)
