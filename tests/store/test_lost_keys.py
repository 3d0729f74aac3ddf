"""A migration gives a table's key another type or other columns while poller knows rows by the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Context, Retry
from poller.db.connection import Link
from poller.services.forgetter import Forgetter
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from poller.store.lost_keys import drop_lost_keys, lost
from poller.testing import Engine
from tests.command_line import trouble
from tests.engines import column, moves
from tests.faults.audit import leased, make_rows
from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

UUID = "44d0a4c3-5f0f-4a5e-8f3a-0a35d8d2b1aa"
# The key before, the change, keys of before that are none afterwards, and one that is.
CHANGES = {
    "uuid": ("int", "alter column id type uuid using gen_random_uuid()", ["1", "2"], UUID),
    "narrower": ("bigint", "alter column id type smallint", ["70000", "-70000"], "7"),
    "number": ("text", "alter column id type int using 0", ["abc", "", "1.5"], "7"),
    "several": (
        "text",
        "drop constraint thing_pkey, add primary key (id, status)",
        ["abc", "{"],
        '["a", "pending"]',
    ),
    "domain": ("int", "alter column id type positive", ["-5", "0"], "7"),
    "enum": ("mood", "alter column id type mood2 using 'good'", ["bad"], "good"),
}


@pytest.fixture
def moods(db: psycopg.Connection[Any]) -> None:
    """Types that lose a label."""
    db.execute("create type mood as enum ('good', 'bad'); create type mood2 as enum ('good')")
    db.execute("create domain positive as int check (value > 0)")


@pytest.mark.fault("F22")
@pytest.mark.usefixtures("moods")
@pytest.mark.parametrize("change", CHANGES)
def test_g11_what_is_remembered_by_keys_that_are_none_any_more_is_dropped(
    url: str, db: psycopg.Connection[Any], change: str
) -> None:
    """Whatever holds it; else nothing of the handler would be claimed again, or forgotten."""
    kind, altered, gone, stays = CHANGES[change]
    db.execute(f"create table thing (id {kind} primary key, status text not null default 'pending')".encode())
    db.execute(f"alter table thing {altered}".encode())
    db.execute("insert into thing (id) values (%s)", ["a" if change == "several" else stays])
    link = Link(url, "forgetter")
    binding = bind(link.connection, moves("thing"))
    register_handlers(db, [binding])
    for key in (*gone, stays):
        trouble(db, binding.id, key, "waiting")
    assert lost(link.connection, binding, [*gone, stays]) == gone
    Forgetter(link, [binding]).pass_once()
    assert column(db, "select key from poller.attempt") == [stays]
    db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'there', 1, 1, '{}', '30s')"
    )
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys, claimed_at)"
        " select %s, max(id), %s, now() - interval '1 minute' from poller.worker",
        [binding.id, [*gone, stays]],
    )
    assert drop_lost_keys(link.connection, binding) == len(gone)
    assert column(db, "select keys from poller.claim") == [[stays]]
    link.close()


@pytest.mark.fault("F22")
def test_g11_a_retry_by_a_key_that_is_none_any_more_keeps_no_other_waiting(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Nor are the others taken one at a time from then on."""
    db.execute("create table thing (id text primary key, status text not null default 'pending')")
    db.execute("insert into thing values ('abc')")

    def work(row: Any, ctx: Context) -> None:
        if row.id == "abc" or ctx.attempt == 1:
            raise Retry("1s", "not yet")

    one = moves("thing", work, attempts=9)
    with Engine(url, one) as engine:
        engine.run_due()
    db.execute("delete from thing; alter table thing alter column id type int using id::int")
    db.execute("insert into thing values (1), (2)")
    with Engine(url, one) as engine:
        for _ in range(3):
            engine.run_due()
            engine.advance("10s")
    assert column(db, "select status from thing") == ["normal", "normal"]
    assert column(db, "select key from poller.attempt") == []


@pytest.mark.fault("F22")
def test_g11_rows_in_flight_whose_keys_are_none_any_more_are_given_up(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Their table was replaced by one with another key: its rows are claimed within seconds, and nothing is held."""
    make_rows(db, 20)
    project.handlers(leased(0.3))
    fleet = project.start("run", "--workers", "1", "--concurrency", "4")
    wait_until("they are under way", lambda: db.execute("select from poller.claim").rowcount)
    db.execute(
        "create table other (id uuid primary key default gen_random_uuid(), status text not null default 'pending')"
    )
    db.execute("insert into other (status) select 'pending' from generate_series(1, 20)")
    with db.transaction():
        db.execute("alter table thing rename to old; alter table other rename to thing")
    wait_until(
        "all of the new one is done",
        lambda: db.execute("select from thing where status = 'normal'").rowcount == 20,
    )
    wait_until("nothing is held", lambda: not db.execute("select from poller.claim").rowcount)
    assert column(db, "select key from poller.attempt") == []
    assert fleet.log.count("cannot be any more") <= 3


WAITING = """
import os, time
@handler("thing", status="pending", to="normal")
def work(row):
    while row.id == "abc" and not os.path.exists("on"):
        time.sleep(0.01)
"""


@pytest.mark.fault("F22")
@pytest.mark.parametrize("rows", [0, 5])
def test_g11_a_row_in_flight_whose_key_is_none_any_more_holds_up_no_other(
    project: Project, db: psycopg.Connection[Any], rows: int
) -> None:
    """While its handler runs others are claimed; its result is dropped, though no claim has met its key."""
    db.execute("create table thing (id text primary key, status text not null default 'pending')")
    db.execute("insert into thing values ('abc')")
    project.handlers(WAITING)
    project.start("run", "--workers", "1")
    wait_until("it is under way", lambda: db.execute("select from poller.claim").rowcount)
    db.execute("delete from thing; alter table thing alter column id type int using id::int")
    db.execute("insert into thing select generate_series(1, %s)", [rows])
    done = "select from thing where status = 'normal'"
    wait_until("the others are done", lambda: db.execute(done).rowcount == rows)
    (project.folder / "on").touch()
    wait_until("nothing is held", lambda: not db.execute("select from poller.claim").rowcount)
    assert db.execute("select from poller.attempt").rowcount == 0
