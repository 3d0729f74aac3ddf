"""What a drain says while it waits, and what it does not wait for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import handler, subscribe
from poller.db.connection import Link
from poller.model.outcome import Became, Outcome
from poller.services import drain
from poller.services.drain import Drain
from poller.store.binding import bind
from poller.telemetry.events import DrainLeftKept, DrainLeftOnHold, DrainWaits
from tests.engines import moves

if TYPE_CHECKING:
    from tests.claiming import NewWorker


@handler("thing", status="pending", to="normal")
def work(row: Any) -> None: ...


def test_a_drain_says_what_it_waits_for_and_not_for_what_it_may_never_change(
    join: NewWorker, url: str, db: psycopg.Connection[Any], role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is locked, or that nobody takes; what row security keeps from it is left, with exit status 1."""
    db.execute("create table thing (id int primary key, status text not null)")
    db.execute("insert into thing values (1, 'pending'), (2, 'pending')")
    db.execute(
        "alter table thing enable row level security; create policy look on thing for select using (true);"
        "create policy change on thing for update using (id <> 2) with check (true)"
    )
    db.execute(f"grant select, update on thing to {role}")
    db.execute(f"grant all on all tables in schema poller to {role}")
    monkeypatch.setattr(drain, "QUIET_SECONDS", 0.0)
    known = bind(db, work)
    join(known)
    heard: list[Any] = []
    as_role = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"
    with contextlib.closing(Link(as_role, "drain")) as link, contextlib.ExitStack() as stack:
        stack.callback(subscribe(heard.append))
        draining = Drain(link, [known], drain=True)

        def waits() -> list[str]:
            heard.clear()
            draining.run_once()
            assert not draining.is_over
            return [each.why for each in heard if isinstance(each, DrainWaits)]

        draining.run_once()
        assert waits() == ["no worker takes them"]
        with psycopg.connect(url) as person:
            person.execute("select from thing where id = 1 for update")
            assert waits() == ["another transaction has them locked"]
        db.execute("update thing set status = 'normal' where id = 1")
        draining.run_once()
        assert draining.is_over
        assert draining.end() == 1
    [left] = [each for each in heard if isinstance(each, DrainLeftKept)]
    assert (left.handler, left.rows) == ("public.thing:pending", 1)


HOLDS = {
    "where": ({"where": "not on_hold"}, "update thing set on_hold = true where id = 1"),
    "due": ({"due": "due_at"}, "update thing set due_at = now() + interval '1 day' where id = 1"),
    "another status": ({}, "update thing set status = 'elsewhere' where id = 1"),
}


@pytest.mark.parametrize("tidied", [False, True], ids=["in backoff", "put off"])
@pytest.mark.parametrize("what", HOLDS)
def test_a_drain_does_not_wait_for_a_row_that_has_failed_and_was_put_on_hold(
    join: NewWorker, url: str, db: psycopg.Connection[Any], what: str, tidied: Any
) -> None:
    """As for one that is on hold and has not failed: it ends, says what it leaves, and nothing has ended in failure."""
    db.execute(
        "create table thing (id int primary key, status text not null default 'pending',"
        " on_hold bool not null default false, due_at timestamptz not null default now())"
    )
    db.execute("insert into thing values (1)")
    options, hold = HOLDS[what]
    known = bind(db, moves("thing", **options))
    worker = join(known)
    heard: list[Any] = []
    with contextlib.closing(Link(url, "drain")) as link, contextlib.ExitStack() as stack:
        stack.callback(subscribe(heard.append))
        draining = Drain(link, [known], drain=True)
        draining.run_once()
        worker.settle(worker.claim(), Outcome(Became.RETRYING, delay=60.0, attempt=1, error="no"))
        draining.run_once()
        assert not draining.is_over  # it waits for another attempt
        db.execute(hold)  # type: ignore[call-overload]
        if tidied:
            db.execute("update poller.attempt set next_at = poller.now()")
            worker.claims.tidy_retries(known)
        draining.run_once()
        assert draining.is_over
        assert draining.end() == 0
    [left] = [each for each in heard if isinstance(each, DrainLeftOnHold)]
    assert (left.handler, left.rows) == ("public.thing:pending", 1)


def test_a_drain_says_that_nobody_takes_a_row_whose_next_attempt_is_due(
    join: NewWorker, url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for that row, and not in silence."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing values (1)")
    monkeypatch.setattr(drain, "QUIET_SECONDS", 0.0)
    known = bind(db, work)
    worker = join(known)
    worker.fail(worker.claim())
    heard: list[Any] = []
    with contextlib.closing(Link(url, "drain")) as link, contextlib.ExitStack() as stack:
        stack.callback(subscribe(heard.append))
        draining = Drain(link, [known], drain=True)
        draining.run_once()
        draining.run_once()
        assert not draining.is_over
    assert [each.why for each in heard if isinstance(each, DrainWaits)] == ["no worker takes them"]
