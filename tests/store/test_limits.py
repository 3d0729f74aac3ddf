"""Limits over the fleet: how many rows are in flight, how many are begun within a time, and whose turn it is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Row, Snooze, handler
from poller.db import statements
from poller.errors import ConfigurationError
from poller.executor.executor import Executor
from poller.model.outcome import Became, Outcome
from poller.model.rate import Rate
from poller.store.binding import Binding, bind
from poller.testing import Engine
from tests.engines import do_nothing, moves
from tests.harness import wait_until

if TYPE_CHECKING:
    from poller.store.claims import Claimed
    from poller.store.lease import Result
    from tests.claiming import HandWorker, NewWorker
    from tests.conftest import Alter

GATE = 4712  # an advisory lock at which a claim is made to wait


@pytest.fixture(autouse=True)
def table(db: psycopg.Connection[Any]) -> None:
    """A table of thirty pending rows, of three owners in turn."""
    db.execute("create table thing (id int primary key, status text, owner text, part int)")
    db.execute(
        "insert into thing select i, 'pending', chr(97 + i % 3), i % 2 from generate_series(1, 30) as i"
    )
    db.execute(
        "create function at_gate() returns boolean language plpgsql as $$"
        f" begin perform pg_advisory_xact_lock_shared({GATE}); return true; end $$"
    )


def bound(db: psycopg.Connection[Any], **options: Any) -> Binding:
    """Bind a handler with these options."""
    return bind(db, moves("thing", **options))


def claim(worker: HandWorker, limit: int = 100) -> Claimed:
    """Claim fresh rows."""
    return worker.claims.claim(worker.binding, worker.id, limit)


def retry(worker: HandWorker, limit: int = 100) -> Claimed:
    """Claim rows whose next attempt is due."""
    return worker.claims.claim_retries(worker.binding, worker.id, limit)


def keys(claimed: Claimed) -> list[int]:
    """Return the rows of a claim."""
    return [int(task.key) for task in claimed.tasks]


# --- limit ---------------------------------------------------------------------------------------------


def test_no_more_are_in_flight_than_the_limit(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Whoever claims them; and as many again as come back. What keeps a claim from more, ends with an outcome."""
    one, two = join(bound(db, limit=7)), join(bound(db, limit=7))
    first = claim(one, 5)
    second = claim(two, 5)
    assert (len(first.tasks), len(second.tasks)) == (5, 2)
    third = claim(one)
    assert (third.tasks, third.again_in, third.until_settled) == ([], None, True)
    one.settle(first.tasks[:3])
    assert len(claim(two).tasks) == 3


def test_a_row_that_is_tried_again_is_in_flight_too(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Its place is not kept while it waits."""
    worker = join(bound(db, limit=2))
    worker.fail(claim(worker).tasks)
    assert len(claim(worker).tasks) == 2
    assert retry(worker).tasks == []
    db.execute("delete from poller.claim")
    assert len(retry(worker).tasks) == 2


def _claim_at_the_gate(
    url: str, db: psycopg.Connection[Any], join: NewWorker, **options: Any
) -> tuple[Claimed, Claimed]:
    """Let one claim wait in the midst of it, its rows looked at, and another come meanwhile."""
    slow = join(bound(db, where="at_gate()", order_by="id desc", **options))
    quick = join(bound(db, **options))
    found: list[Claimed] = []
    with psycopg.connect(url, autocommit=True) as gate:
        gate.execute(f"select pg_advisory_lock({GATE})")
        thread = threading.Thread(target=lambda: found.append(claim(slow, 7)))
        thread.start()
        question = "select from pg_locks where locktype = 'advisory' and objid = %s and not granted"
        wait_until("a claim is at the gate", lambda: gate.execute(question, [GATE]).rowcount > 0)
        second = claim(quick, 7)
    thread.join(30)
    return found[0], second


@pytest.mark.parametrize("options", [{"limit": 7}, {"rate": "7/1m"}, {"per_key": "owner"}], ids=str)
def test_g6_claims_of_one_handler_do_not_overlap(
    url: str, db: psycopg.Connection[Any], join: NewWorker, options: dict[str, Any]
) -> None:
    """The second one neither counts what the first has not committed, nor waits for it: it looks again at once."""
    first, second = _claim_at_the_gate(url, db, join, **options)
    assert len(first.tasks) == (3 if "per_key" in options else 7)
    assert second.tasks == []
    assert second.again_in is not None
    assert second.again_in < 0.1


def test_g6_control_without_the_lock_the_limit_is_exceeded(
    url: str, db: psycopg.Connection[Any], join: NewWorker, alter: Alter
) -> None:
    """Each counts without the other."""
    alter(
        "claim_alone",
        "for no key update skip locked",
        "",
    )
    first, second = _claim_at_the_gate(url, db, join, limit=7)
    assert len(first.tasks) + len(second.tasks) > 7


def test_who_is_stopped_in_a_claim_loses_it(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Or the handler would rest for as long as the server cares to wait."""
    worker = join(bound(db, limit=1))
    with worker.link.connection.transaction():
        worker.link.connection.execute(statements.statement("claim_alone"), {"handler": worker.binding.id})
        row = worker.link.connection.execute("show idle_in_transaction_session_timeout").fetchone()
    assert row == ("5s",)


# --- rate ----------------------------------------------------------------------------------------------


def test_no_more_are_begun_in_a_time_than_the_rate(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """However quickly they are done, and whoever begins them; the time to the next is said."""
    one, two = join(bound(db, rate="7/1m")), join(bound(db, rate="7/1m"))
    one.settle(claim(one, 5).tasks)
    two.settle(claim(two, 5).tasks)
    assert db.execute("select count(*) from thing where status = 'normal'").fetchone() == (7,)
    third = claim(one)
    assert third.tasks == []
    assert third.again_in is not None
    assert 58 < third.again_in < 60.3
    assert not third.until_settled


def test_the_window_of_a_rate_slides(url: str, db: psycopg.Connection[Any]) -> None:
    """It is not a calendar minute: what was begun a minute ago makes room, one by one."""
    begun: list[float] = []
    clock = 0.0
    step = moves("thing", lambda _: begun.append(clock), rate="10/65s")
    with Engine(url, step, concurrency=100) as engine:
        db.execute("update thing set status = 'later' where id > 4")
        for _ in range(14):
            engine.run_due()
            engine.advance("10s")
            clock += 10
            db.execute("update thing set status = 'pending' where status = 'later'")
    assert begun == [0.0] * 4 + [10.0] * 6 + [70.0] * 4 + [80.0] * 6


def test_a_row_that_would_begin_late_is_given_back(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Else many rows, claimed long ago, could begin together with new ones."""
    worker = join(bound(db, rate="7/1s"))
    results: list[Result] = []
    executor = Executor(
        slots=4, report=results.extend, trusted_until=lambda: 0.0 if waiting.is_set() else float("inf")
    )
    waiting = threading.Event()
    waiting.set()
    executor.submit(claim(worker).tasks)
    threading.Event().wait(worker.binding.handler.rate.slack * 2)  # type: ignore[union-attr]
    waiting.clear()
    wait_until("all are reported", lambda: len(results) == 7)
    executor.close()
    assert {result.outcome.verdict for result in results} == {Became.RELEASED}


def test_old_starts_are_forgotten(url: str, db: psycopg.Connection[Any]) -> None:
    """Their table stays as small as the window is."""
    with Engine(url, moves("thing", rate="2/1m"), concurrency=2) as engine:
        for _ in range(15):
            engine.run_due()
            engine.advance("2m")
    assert db.execute("select count(*) from thing where status = 'normal'").fetchone() == (30,)
    row = db.execute("select count(*) from poller.start").fetchone()
    assert row is not None
    assert row[0] <= 3


# --- per_key -------------------------------------------------------------------------------------------


def test_rows_of_a_key_are_claimed_one_at_a_time_in_order(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """The first of each; the next once that is settled, and the others meanwhile."""
    one, two = join(bound(db, per_key="owner")), join(bound(db, per_key="owner"))
    first = claim(one)
    assert keys(first) == [1, 2, 3]
    none = claim(two)
    assert (none.tasks, none.until_settled) == ([], True)
    one.settle([first.tasks[1]])
    assert keys(claim(two)) == [5]


def test_so_many_of_a_key_at_a_time(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """`per_key_limit`: those in flight take the first places."""
    worker = join(bound(db, per_key="owner", per_key_limit=2))
    first = claim(worker, 4)
    assert keys(first) == [1, 2, 3, 4]
    assert keys(claim(worker)) == [5, 6]
    worker.settle(first.tasks[:1])
    assert keys(claim(worker)) == [7]


def test_a_key_may_be_of_several_columns_and_null_is_none(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """Rows without a key hold back nobody."""
    db.execute("update thing set owner = null where id in (1, 7, 13)")
    worker = join(bound(db, per_key=["owner", "part"]))
    assert keys(claim(worker)) == [1, 2, 3, 4, 5, 6, 7, 13, 19]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", ("1.0", "1.00")),
        ("double precision", ("-0", "0")),
        ("interval", ("24:00", "1 day")),
        ("jsonb", ("[1.0]", "[1.00]")),
        ("json", ("1", "1")),
        ("bit varying", ("101", "101")),
        ("never_null", ("a", "a")),
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [["owner"], ["owner", "part"]])
def test_values_that_are_equal_are_one_key_however_they_are_written(
    db: psycopg.Connection[Any], join: NewWorker, kind: str, values: tuple[str, str], columns: list[str]
) -> None:
    """Equal as the type has it; a type that has no equality is compared as text."""
    db.execute("delete from thing where id > 2")
    db.execute("create domain never_null as text check (value is not null)")
    old = "'a'" if kind == "never_null" else "null"
    db.execute(f"alter table thing alter owner type {kind} using {old}, alter part drop not null")
    db.execute("update thing set part = 1, owner = (case id when 1 then %s else %s end)::" + kind, values)
    worker = join(bound(db, per_key=columns))
    assert keys(claim(worker)) == [1]
    assert keys(claim(worker)) == []


def test_the_order_is_the_handlers(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Within a key, and among the keys."""
    worker = join(bound(db, per_key="owner", order_by="id desc"))
    assert keys(claim(worker)) == [30, 29, 28]


def test_a_key_with_very_many_rows_hides_no_other(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """Whether it is busy, or has its turn: 5,000 rows of it come before the others."""
    db.execute("insert into thing select -i, 'pending', 'hot', 0 from generate_series(1, 5000) as i")
    worker = join(bound(db, per_key="owner"))
    assert keys(claim(worker)) == [-5000]
    assert keys(claim(worker)) == [1, 2, 3]


def test_a_row_that_waits_for_its_next_attempt_holds_its_successors(
    db: psycopg.Connection[Any], join: NewWorker
) -> None:
    """Else they would be out of order; a row that is parked holds nobody any more."""
    worker = join(bound(db, per_key="owner"))
    first = claim(worker).tasks
    later = Outcome(Became.RETRYING, delay=600.0, attempt=1, error="no")
    snoozed = Outcome(Became.SNOOZED, delay=600.0, attempt=0)
    parked = Outcome(Became.PARKED, attempt=1, error="no")
    for task, outcome in zip(first, (later, snoozed, parked), strict=True):
        worker.settle([task], outcome)
    assert keys(claim(worker)) == [6]


def test_unless_it_is_told_not_to(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """`in_order=False`: one at a time, but whichever."""
    worker = join(bound(db, per_key="owner", in_order=False))
    later = Outcome(Became.RETRYING, delay=600.0, attempt=1, error="no")
    worker.settle(claim(worker).tasks, later)
    assert keys(claim(worker)) == [4, 5, 6]


def test_a_retry_waits_for_its_turn(db: psycopg.Connection[Any], join: NewWorker) -> None:
    """One that was put back by hand, say, while another of its key is in flight; the first in order goes first."""
    worker = join(bound(db, per_key="owner"))
    parked = Outcome(Became.PARKED, attempt=1, error="no")
    worker.settle(claim(worker).tasks, parked)
    worker.settle(claim(worker).tasks, parked)
    in_flight = claim(worker, 1)
    assert keys(in_flight) == [7]
    db.execute(
        "update poller.attempt set state = 'waiting', next_at = next_at - make_interval(secs => key::int)"
    )
    assert keys(retry(worker)) == [2, 3]
    worker.settle(in_flight.tasks)
    assert keys(retry(worker)) == [1]


def test_each_key_is_handled_in_order_whatever_happens(url: str) -> None:
    """Failures, snoozes, batches: what came of the rows of a key stands in their order."""
    done: list[tuple[str, int]] = []
    tried: set[int] = set()

    def step(rows: list[Row]) -> list[Any]:
        assert len({row.owner for row in rows}) == len(rows)
        answers: list[Any] = []
        for row in rows:
            first = row.id not in tried
            tried.add(row.id)
            if first and row.id % 4 == 0:
                answers.append(ValueError("not yet"))
            elif first and row.id % 5 == 0:
                answers.append(Snooze("1m"))
            else:
                answers.append(None)
                done.append((row.owner, row.id))
        return answers

    with Engine(url, moves("thing", step, per_key="owner", batch=10)) as engine:
        for _ in range(40):
            engine.run_due()
            engine.advance("10m")
    assert len(done) == 30
    for owner in "abc":
        mine = [row for each, row in done if each == owner]
        assert mine == sorted(mine)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("batch", [1, 10])
def test_limits_go_together_with_all_else(
    url: str, db: psycopg.Connection[Any], batch: int, *, transactional: bool
) -> None:
    """What is due, a condition, an order, batches, transactions: only what may be taken is, and in its order."""
    db.execute("alter table thing add at timestamptz default now() - interval '1h'")
    db.execute("update thing set at = now() + interval '1d' where id = 20")
    done: list[list[Row]] = []
    step = moves(
        "thing",
        lambda given: done.append(given if batch > 1 else [given]),
        where="part = 0",
        order_by="id desc",
        due="at",
        per_key="owner",
        limit=2,
        rate="100/1m",
        batch=batch,
        transactional=transactional,
    )
    with Engine(url, step) as engine:
        engine.run_due()
    rows = [row for given in done for row in given]
    assert sorted(row.id for row in rows) == [each for each in range(2, 31, 2) if each != 20]
    assert all(len({row.owner for row in given}) == len(given) <= 2 for given in done)
    for owner in "abc":
        mine = [row.id for row in rows if row.owner == owner]
        assert mine == sorted(mine, reverse=True)


# --- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 0}, "limit must be a whole number from 1"),
        ({"limit": True}, "limit must be a whole number from 1"),
        ({"limit": "7"}, "limit must be a whole number from 1"),
        ({"per_key_limit": 2}, "per_key_limit and in_order need a per_key"),
        ({"in_order": False}, "per_key_limit and in_order need a per_key"),
        ({"per_key": "owner", "in_order": 0}, "in_order must be True or False"),
        ({"per_key": "owner", "per_key_limit": 0}, "per_key_limit must be a whole number from 1"),
        ({"per_key": ""}, "per_key must be the name of a column"),
        ({"per_key": [1]}, "per_key must be the name of a column"),
        ({"rate": "often"}, "rate must be rows in a time, like '100/1m'"),
        ({"rate": 5}, "rate must be rows in a time, like '100/1m'"),
        ({"rate": "0/1m"}, "the rows of a rate must be a whole number from 1"),
        ({"rate": "1/0s"}, "the time of a rate must be at least 0.1s"),
        ({"rate": "1/year"}, "is not a duration"),
    ],
    ids=str,
)
def test_a_limit_that_cannot_be_is_refused(options: dict[str, Any], reason: str) -> None:
    """In one line, with the place."""
    with pytest.raises(ConfigurationError, match=rf"engines\.py:\d+ .*: .*{reason}"):
        handler("thing", status="pending", to="normal", **options)(do_nothing)


def test_a_key_that_the_table_does_not_have_is_refused(db: psycopg.Connection[Any]) -> None:
    """At start-up, with the columns that it has."""
    with pytest.raises(ConfigurationError, match=r"no column 'tenant' \(per_key\); it has id, status"):
        bound(db, per_key=["owner", "tenant"])


@pytest.mark.parametrize(
    ("text", "rate"), [("100/1m", Rate(100, 60.0)), ("5/s", Rate(5, 1.0)), (" 1 / 1h30m ", Rate(1, 5400.0))]
)
def test_a_rate_is_rows_in_a_time(text: str, rate: Rate) -> None:
    """As people write it."""
    made = handler("thing", status="pending", to="normal", rate=text)(do_nothing)
    assert made.rate == rate
