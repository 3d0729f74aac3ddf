"""Retries that cannot be taken are put off, so that they hide no others; what others have made of them since stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from poller import handler
from poller.db.connection import Link
from poller.store.binding import Binding, bind
from poller.store.claims import Claims
from tests.engines import column, do_nothing
from tests.harness import wait_until
from tests.maintained import beside

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.claiming import NewWorker
    from tests.conftest import Alter

BARRIER = 4711
WAITS = f"select 1 from pg_locks where locktype = 'advisory' and objid = {BARRIER} and not granted"


@pytest.fixture
def failed(db: psycopg.Connection[Any], join: NewWorker) -> Binding:
    """A handler that remembers row 1, whose next attempt is due."""
    db.execute("create table thing (id int primary key, status text, ready boolean default true)")
    db.execute("insert into thing values (1, 'pending')")
    binding = bind(
        db, handler("thing", status="pending", to="normal", during="working", where="ready")(do_nothing)
    )
    worker = join(binding)
    worker.fail(worker.claim())
    db.execute("update thing set status = 'pending'")
    return binding


def _tidy_across(
    url: str, db: psycopg.Connection[Any], binding: Binding, alter: Alter, meanwhile: Callable[[], None]
) -> None:
    """Tidy, and do something between the moment of its first look (its snapshot) and what it does about it."""
    is_due = "a.next_at <= poller.now()"
    alter("tidy_retries", is_due, f"{is_due} and (select count(*) from pg_advisory_xact_lock({BARRIER})) = 1")
    link = Link(url, "tidies")
    db.execute("select pg_advisory_lock(%s)", [BARRIER])
    with beside(lambda: Claims(link).tidy_retries(binding)) as tidied:
        try:
            wait_until("it has looked", lambda: db.execute(WAITS).fetchone())
            meanwhile()
        finally:
            db.execute("select pg_advisory_unlock(%s)", [BARRIER])
        tidied()
    link.close()


def test_g6_a_retry_that_was_claimed_since_the_look_keeps_its_attempts(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, alter: Alter
) -> None:
    """The row was on hold then, and has come back: its second attempt is under way."""
    worker = join(failed)
    db.execute("update thing set status = 'on_hold'")

    def comes_back() -> None:
        db.execute("update thing set status = 'pending'")
        assert worker.retries() == [("1", 2)]

    _tidy_across(url, db, failed, alter, comes_back)
    assert db.execute("select attempt, next_at <= poller.now() from poller.attempt").fetchall() == [(1, True)]
    assert column(db, "select status from thing") == ["working"]


def test_g6_a_wait_that_was_written_since_the_look_stands(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, alter: Alter
) -> None:
    """The row was not due then; it has been tried since, and is to be tried again at once."""
    worker = join(failed)
    db.execute("update thing set ready = false")

    def fails_again() -> None:
        db.execute("update thing set ready = true")
        tasks = worker.claims.claim_retries(failed, worker.id, 10).tasks
        worker.fail(tasks)
        db.execute("update thing set status = 'pending'")

    _tidy_across(url, db, failed, alter, fails_again)
    assert worker.retries() == [("1", 3)]


def test_g6_an_order_to_retry_that_was_given_since_the_look_stands(
    url: str, db: psycopg.Connection[Any], join: NewWorker, failed: Binding, alter: Alter
) -> None:
    """A person has made the row due, and said `poller retry`: it does not wait for a minute."""
    worker = join(failed)
    db.execute("update thing set ready = false")

    def is_put_back() -> None:
        db.execute("update thing set ready = true")
        db.execute("update poller.attempt set state = 'waiting', attempt = 0, next_at = poller.now()")

    _tidy_across(url, db, failed, alter, is_put_back)
    assert worker.retries() == [("1", 1)]


def test_g6_a_row_that_another_handler_shows_in_work_is_left_to_it(
    db: psycopg.Connection[Any], join: NewWorker, failed: Binding
) -> None:
    """Both have the same `during`; what nobody shows in work is taken back, and due."""
    second = bind(db, handler("thing", status="second", to="normal", during="working")(do_nothing))
    others = join(second)
    db.execute("update thing set status = 'second'")
    tasks = others.claim()
    tidying = join(failed).claims
    tidying.tidy_retries(failed)
    assert column(db, "select status from thing") == ["working"]
    others.fail(tasks)
    db.execute("update thing set status = 'working'")
    db.execute("update poller.attempt set next_at = poller.now()")
    tidying.tidy_retries(failed)
    assert column(db, "select status from thing") == ["pending"]


@pytest.mark.parametrize(
    "change",
    ["update thing set ready = false", "update thing set status = 'on_hold'", "delete from thing"],
    ids=["where", "status", "gone"],
)
def test_a_retry_that_cannot_be_taken_is_looked_at_again_in_a_minute(
    db: psycopg.Connection[Any], join: NewWorker, failed: Binding, change: str
) -> None:
    """Whether its visit has ended is the forgetter's to find out."""
    db.execute(change)  # type: ignore[call-overload]
    join(failed).claims.tidy_retries(failed)
    waits = "select round(extract(epoch from next_at - poller.now()) / 10) from poller.attempt"
    assert column(db, waits) == [6]


def test_a_row_that_waits_hides_none_behind_it(
    db: psycopg.Connection[Any], join: NewWorker, failed: Binding
) -> None:
    """A claim of one fresh row brings the next, not the first, which is taken when its time has come."""
    db.execute("update poller.attempt set next_at = poller.now() + interval '1 hour'")
    db.execute("insert into thing values (2, 'pending')")
    assert [task.key for task in join(failed).claim(1)] == ["2"]


def test_a_retry_that_can_be_taken_is_left_alone(
    db: psycopg.Connection[Any], join: NewWorker, failed: Binding
) -> None:
    """Due as it is."""
    worker = join(failed)
    worker.claims.tidy_retries(failed)
    assert worker.retries() == [("1", 2)]


def test_g6_a_row_that_row_security_hides_keeps_its_attempts(
    url: str, db: psycopg.Connection[Any], failed: Binding
) -> None:
    """It may be another role's work: it is not taken for gone."""
    name = f"tidies_{uuid4().hex[:8]}"
    db.execute("alter table thing enable row level security; create policy hidden on thing using (false)")
    db.execute(
        f"create role {name}; grant usage on schema poller, public to {name};"  # type: ignore[call-overload]
        f"grant all on all tables in schema poller, public to {name}"
    )
    link = Link(url, "tidies")
    link.connection.execute(f"set role {name}")  # type: ignore[call-overload]
    Claims(link).tidy_retries(failed)
    link.close()
    assert column(db, "select attempt from poller.attempt") == [1]
    db.execute(f"drop owned by {name}; drop role {name}")  # type: ignore[call-overload]


def test_g6_a_row_that_shows_its_during_keeps_its_attempts(
    db: psycopg.Connection[Any], join: NewWorker, failed: Binding
) -> None:
    """It is at the same visit, as one is whose worker has just died."""
    db.execute("update thing set status = 'working'")
    join(failed).claims.tidy_retries(failed)
    assert column(db, "select attempt from poller.attempt") == [1]
