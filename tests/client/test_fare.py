"""How handlers fare: what is due and for how long, what is done and fails, and how long an attempt takes."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, handler
from poller.ready_made.housekeeping import housekeeping
from poller.store.settlements import SAMPLE
from poller.testing import Engine
from tests.command_line import hold, known, make_tenants, objects, trouble, value
from tests.engines import moves, run

if TYPE_CHECKING:
    import psycopg

    from poller import Handler
    from poller.client.status import HandlerLine
    from tests.harness import Project


def line_of(url: str, function: Handler) -> HandlerLine:
    """Return how a handler fares."""
    [line] = Client(url, [function]).handlers().items
    return line


# --- due ---------------------------------------------------------------------------------------------------


def test_what_is_due_waits_for_nothing_but_a_worker(url: str, db: psycopg.Connection[Any]) -> None:
    """Neither parked, nor snoozed, nor in backoff, nor in flight; a retry that is due is."""
    make_tenants(db, *["pending"] * 7, "normal")
    number = known(db, "public.tenants", "pending")
    trouble(db, number, "1", "parked")
    trouble(db, number, "2", "waiting")
    trouble(db, number, "3", "snoozed")
    trouble(db, number, "4", "waiting")
    db.execute("update poller.attempt set next_at = now() - interval '1 day' where key = '4'")
    hold(db, number, "5")
    found = line_of(url, moves("tenants"))
    assert (found.due, found.due_exact, found.in_flight) == (3, True, 1)
    assert found.oldest_due == value(db, "select next_at from poller.attempt where key = '4'")
    db.execute("delete from poller.attempt where key = '4'")
    db.execute("update tenants set created_at = now() - id * interval '1 hour'")
    found = line_of(url, moves("tenants"))
    assert found.oldest_due == value(db, "select created_at from tenants where id = 7")


def test_rows_in_trouble_of_a_handler_whose_code_is_gone_are_counted(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """They are in `failures` still, so they must be in `status`, beside the rows that show its status."""
    make_tenants(db, "old", "old", "old", "pending")
    number = known(db, "public.tenants", "old")
    trouble(db, number, "1", "parked")
    trouble(db, number, "2", "waiting")
    hold(db, number, "3")
    known(db, "public.tenants", "pending")
    asked = Client(url, [moves("tenants")])
    asked.pause("tenants:old")
    lines = {each.status: each for each in asked.status().items}
    old, pending = lines["old"], lines["pending"]
    assert (old.rows, old.parked, old.waiting, old.in_flight, old.paused) == (3, 1, 1, 1, True)
    assert (pending.rows, pending.parked, pending.in_flight, pending.paused) == (1, 0, 0, False)


def test_a_condition_and_a_due_time_count(url: str, db: psycopg.Connection[Any]) -> None:
    """What they leave out is not due; what is waits since its own time."""
    make_tenants(db, *["pending"] * 5)
    db.execute(
        "alter table tenants add at timestamptz default now() + interval '1 day', add state int default 1"
    )
    db.execute("update tenants set at = now() - id * interval '1 minute' where id <= 3")
    db.execute("update tenants set state = 2 where id = 3")
    found = line_of(url, moves("tenants", due="at", where="state = 1"))
    assert (found.due, found.oldest_due) == (2, value(db, "select at from tenants where id = 2"))


def test_a_condition_that_fails_for_a_row_fails_no_listing(url: str, db: psycopg.Connection[Any]) -> None:
    """What is due is an estimate then."""
    make_tenants(db, *["pending"] * 5)
    db.execute("alter table tenants add secret text default 'no number'")
    found = line_of(url, moves("tenants", where="secret::int > 0"))
    assert (found.due_exact, found.oldest_due) == (False, None)


def test_where_rows_have_no_time_a_retry_tells_since_when_it_is_due(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Of the others nothing is known, unless the server tracks commits; parked ones count for nothing."""
    db.execute("create table bare (id int primary key, status text not null)")
    db.execute("insert into bare select i, 'pending' from generate_series(1, 4) as i")
    number = known(db, "public.bare", "pending")
    trouble(db, number, "1", "parked")
    trouble(db, number, "2", "waiting")
    db.execute("update poller.attempt set next_at = now() - interval '1 hour'")
    found = line_of(url, moves("bare"))
    assert (found.due, found.oldest_due) == (
        3,
        value(db, "select next_at from poller.attempt where key = '2'"),
    )


def test_where_rows_have_no_time_the_moves_since_tell_when_they_were_written(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """To the moment, if poller has moved them there; at the latest, if somebody else has written them."""
    db.execute("create table bare (id int primary key, status text not null)")
    first, second = moves("bare", to="paid"), moves("bare", status="paid", to="sent")

    insert = "insert into bare select i, 'pending' from generate_series(%s::int, %s) as i"
    with Engine(url, first) as engine:
        for step in range(9):  # many moves, all of other times
            db.execute(insert, [1 + 100 * step, 100 + 100 * step])
            engine.run_due()
            engine.advance("1m")
        db.execute("update bare set status = 'done' where id <= 400 or id > 500")
        moved = value(db, "select at from poller.move where '450' = any (keys)")
        found = Client(url, [first, second]).handlers().items[1]
        assert (found.due, found.oldest_due) == (100, moved)

        db.execute("update bare set status = 'paid' where id <= 5")
        db.execute("update bare set status = 'done' where id > 5")
        assert Client(url, [first, second]).handlers().items[1].oldest_due is None, "nothing came after it"
        db.execute(insert, [2000, 2050])
        engine.run_due()
    db.execute("update bare set status = 'done' where id >= 2000")
    found = Client(url, [first, second]).handlers().items[1]
    assert (found.due, found.oldest_due) == (5, value(db, "select max(at) from poller.move"))


# --- done, failed, and how long --------------------------------------------------------------------------------


@handler("tenants", status="pending", to=("normal", "odd"), attempts=2)
def sorts(row: Any) -> str:
    if row["id"] % 10 == 0:
        msg = "no"
        raise ValueError(msg)
    return "odd" if row["id"] % 2 else "normal"


def test_rates_tell_edges_and_failures_apart(url: str, db: psycopg.Connection[Any]) -> None:
    """Of rows that moved together as of those that moved one by one."""
    make_tenants(db, *["pending"] * 100)
    run(url, sorts)
    found = line_of(url, sorts)
    assert found.done_to.keys() == {"normal", "odd"}
    assert found.done_to["odd"] / found.done_to["normal"] == pytest.approx(50 / 40, rel=0.05)
    assert found.done_per_minute == pytest.approx(sum(found.done_to.values()), abs=0.2)
    assert 0 < found.failed_per_minute <= 10
    assert value(db, "select sum((to_statuses ->> 'odd')::int) from poller.tally") == 50
    assert value(db, "select sum((to_statuses ->> 'normal')::int) from poller.tally") == 40


def test_the_edges_are_in_the_listing(project: Project, db: psycopg.Connection[Any]) -> None:
    """Beside each status that a handler leads to, where there are several; and the contract's object."""
    make_tenants(db, *["pending"] * 4)
    project.handlers("""
        @handler("tenants", status="pending", to=("normal", "odd"))
        def sorts(row):
            return "odd" if row.id == 1 else "normal"
    """)
    assert project.run("run", "--drain").returncode == 0
    assert "normal " in project.run("handlers").stdout
    [line] = objects(project.run("handlers", "--json"))
    assert (line["function"], line["paused"], line["due"], line["oldest_due"]) == ("sorts", False, 0, None)
    assert 0 < line["p50"] <= line["p95"] < 5


def test_p50_and_p95_are_those_of_the_attempts(url: str, db: psycopg.Connection[Any]) -> None:
    """Failed ones included, rows that were given back left out."""
    make_tenants(db, *["pending"] * 20)

    def slow(row: Any) -> None:
        sleep(0.1 if row["id"] > 17 else 0.02)

    run(url, moves("tenants", slow))
    found = line_of(url, moves("tenants", slow))
    assert found.p50 is not None
    assert found.p95 is not None
    assert 0.016 < found.p50 < 0.04
    assert 0.08 < found.p95 < 0.2


def test_of_many_attempts_a_sample_is_kept(url: str, db: psycopg.Connection[Any]) -> None:
    """Of each settle, and of each minute: what it costs does not grow with the work."""
    make_tenants(db)
    db.execute("insert into tenants (id) select generate_series(1, 3000)")
    run(url, moves("tenants"))
    longest = value(db, "select max(cardinality(seconds)) from poller.tally")
    assert 1 <= longest <= 64 + SAMPLE
    assert value(db, "select sum(moved) from poller.tally") == 3000


# --- totals ------------------------------------------------------------------------------------------------


COUNTED = "select outcome, to_status, rows from poller.counted where rows > 0 order by 1, 2"


def test_no_total_goes_backwards_when_counts_are_purged(url: str, db: psycopg.Connection[Any]) -> None:
    """By poller's own housekeeping, by an older version's, or by a person: it is folded in as it goes."""
    make_tenants(db, *["pending"] * 100)
    run(url, sorts)
    before = db.execute(COUNTED).fetchall()
    assert before == [("moved", "normal", 40), ("moved", "odd", 50), ("retried", None, 10)]
    db.execute("update poller.tally set minute = minute - interval '31 days'")
    with Engine(url, housekeeping) as engine:
        engine.advance("1d")
        engine.run_due()
    assert value(db, "select count(*) from poller.tally where minute < now() - interval '30 days'") == 0
    after = db.execute(COUNTED.replace("where", "where to_status <> 'succeeded' and")).fetchall()
    assert [row for row in after if row[1]] == [row for row in before if row[1]]
    run(url, sorts)
    db.execute("update tenants set status = 'pending' where id % 10 <> 0")
    run(url, sorts)
    db.execute("delete from poller.tally")
    found = {(outcome, to): rows for outcome, to, rows in db.execute(COUNTED).fetchall()}
    assert (found["moved", "normal"], found["moved", "odd"]) == (80, 100)
    assert (
        value(db, "select sum(rows) from poller.counted where outcome = 'moved' and to_status <> 'succeeded'")
        == 180
    )
    assert value(db, "select min(rows) from poller.counted") >= 0, "nothing moved but to a status"


def test_what_an_older_version_counts_is_counted(url: str, db: psycopg.Connection[Any]) -> None:
    """It knows no statuses; its rows stand beside those that do."""
    number = known(db, "public.tenants", "pending")
    for minute in (1, 2):
        db.execute(
            "insert into poller.tally as y (minute, handler_id, worker_id, moved, failed)"
            " values (date_trunc('minute', now()) - %s * interval '1 m', %s, 1, 7, 1)"
            " on conflict (minute, handler_id, worker_id) do update set moved = y.moved + excluded.moved",
            [minute, number],
        )
    assert db.execute(COUNTED).fetchall() == [("failed", None, 2), ("moved", None, 14)]
    db.execute("delete from poller.tally where minute < now() - interval '90 s'")
    assert db.execute(COUNTED).fetchall() == [("failed", None, 2), ("moved", None, 14)]


def test_a_row_that_is_long_due_is_seen_behind_parked_ones(url: str, db: psycopg.Connection[Any]) -> None:
    """Though those come first in the order of the claims."""
    make_tenants(db, *["pending"] * 300)
    number = known(db, "public.tenants", "pending")
    for key in range(1, 300):
        trouble(db, number, str(key))
    db.execute("update tenants set created_at = now() - interval '1 day'")
    found = line_of(url, moves("tenants"))
    assert (found.due, found.oldest_due) == (1, value(db, "select created_at from tenants where id = 300"))
    assert value(db, "select now()") - found.oldest_due < timedelta(days=2)
