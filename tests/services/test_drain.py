"""What a drain says while it waits, and what it does not wait for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from poller import handler, subscribe
from poller.db.connection import Link
from poller.services import drain
from poller.services.drain import Drain
from poller.store.binding import bind
from poller.telemetry.events import DrainLeftKept, DrainWaits

if TYPE_CHECKING:
    import pytest

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
