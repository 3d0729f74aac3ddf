"""The fleet's numbers: what is counted, that totals never go backwards, and that nothing stays for ever."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.sql import SQL

from poller import Client, fixed_delay, handler
from poller.client.counts import along_indexes
from poller.client.gauges import FleetGauges
from poller.client.gauges_due import _planned
from poller.db import embedded_programs, migration
from poller.db.connection import DatabaseLocation, reachable
from poller.store.binding import bind_all
from poller.store.liveness import register_handlers
from poller.testing import Engine
from tests.command_line import hold, known, make_tenants, trouble, value
from tests.engines import fail, moves
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.client.gauges import Gauge
    from poller.model.handler import Handler

Connection = psycopg.Connection[Any]
OLD = "2 minutes"


@fixed_delay("1h")
def tidy() -> None:
    """Succeed."""


@pytest.fixture
def own(url: str) -> Iterator[Connection]:
    """A connection as a supervisor's service has it."""
    with reachable(DatabaseLocation(url), "gauges") as connection:
        yield connection


def measure(own: Connection, *handlers: Handler) -> dict[str, float]:
    """Measure the fleet anew, as a supervisor with these handlers does; return the numbers by name and labels."""
    own.execute("update poller.gauge set at = poller.now() - %s::interval", [OLD])
    bindings = bind_all(own, handlers)
    register_handlers(own, bindings)
    fleet = FleetGauges(bindings)
    assert fleet.refresh(own)
    return named(fleet.read(own))


def named(found: list[Gauge] | tuple[Gauge, ...]) -> dict[str, float]:
    """Return numbers by their names, and the last of their labels in order."""
    return {
        " ".join([each.name, *(each.labels[key] for key in sorted(each.labels))]): each.value
        for each in found
    }


def restore(url: str, into: str) -> None:
    """Dump a database, and restore it into another."""
    programs = embedded_programs.newest()
    dump = subprocess.run([programs / "pg_dump", url], check=True, capture_output=True)
    subprocess.run([programs / "psql", "-Xq", into], input=dump.stdout, check=True, capture_output=True)


def totals(found: dict[str, float]) -> dict[str, float]:
    """Return the counters alone."""
    return {name: number for name, number in found.items() if "_total" in name}


# --- what is due ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [True, False], ids=["along an index", "without one"])
def test_what_is_due_is_in_no_other_state(own: Connection, db: Connection, *, index: bool) -> None:
    """Each row is in one state; a retry whose time has come is due and waits, as the commands have it."""
    make_tenants(db, *["pending"] * 8, "normal")
    if index:
        db.execute("create index on tenants (id) where status = 'pending'")
        db.execute("update tenants set created_at = now() - interval '1 hour' where id = 7")
    number = known(db, "public.tenants", "pending")
    for key, state in {"1": "parked", "2": "waiting", "3": "snoozed", "4": "waiting"}.items():
        trouble(db, number, key, state)
    db.execute("update poller.attempt set next_at = now() - interval '1 day' where key = '4'")
    hold(db, number, "5", "6")
    db.execute("update poller.worker set handlers = array[%s::integer]", [number])
    found = measure(own, moves("tenants"))
    states = {
        name: found[f"{name} pending public.tenants"] for name in ("due", "in_flight", "waiting", "parked")
    }
    assert states == {"due": 3, "in_flight": 2, "waiting": 3, "parked": 1}
    assert found["oldest_due_seconds pending public.tenants"] == pytest.approx(86400, rel=0.01)
    db.execute(
        "delete from poller.attempt where key = '4'; update tenants set status = 'normal' where id in (4, 8)"
    )
    found = measure(own, moves("tenants"))
    assert found["due pending public.tenants"] == 1
    if index:
        assert found["oldest_due_seconds pending public.tenants"] == pytest.approx(3600, rel=0.01)


def test_conditions_count_and_many_are_not_counted(own: Connection, db: Connection) -> None:
    """Of more than ten thousand, 10,001 are told; a table that is locked costs its own numbers only."""
    db.execute(
        "create table many (id int primary key, status text not null default 'pending', at timestamptz)"
    )
    db.execute("create index on many (id) where status = 'pending'")
    db.execute(
        "insert into many select i, 'pending', now() - interval '5 s' from generate_series(1, 12000) as i"
    )
    make_tenants(db, "pending", "pending")
    db.execute("update many set at = now() + interval '1 day' where id <= 11000")
    timed, odd = moves("many", due="at"), moves("tenants", where="id % 2 = 1")
    found = measure(own, timed, odd)
    assert found["due pending public.tenants"] == 1
    assert found["due pending public.many"] <= 1000, "of the first 10,001 rows in the order of the claims"
    assert measure(own, moves("many"))["due pending public.many"] == 10_001
    number = value(db, "select id from poller.handler where table_name = 'public.many'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, next_at, error, visit)"
        " select %s, i::text, 'parked', 1, now(), 'no', gen_random_uuid() from generate_series(1, 4000) as i",
        [number],
    )
    found = measure(own, moves("many"))
    assert found["due pending public.many"] == 8000, "those in trouble at the head are passed over"
    assert "oldest_due_seconds pending public.many" not in found, "but not all of them, to find the first"
    with db.transaction():
        db.execute("lock table many")
        found = measure(own, timed, odd)
    assert found["due pending public.tenants"] == 1
    assert "due pending public.many" not in found


def test_many_handlers_are_asked_about_by_few_statements_that_are_planned_once(
    own: Connection, db: Connection
) -> None:
    """From the first round on, of some of them each: an analysed table has no other statement planned anew."""
    make_tenants(db, *["pending"] * 3)
    db.execute("create index on tenants (status, id)")
    many = [moves("tenants", status=status) for status in ("pending", *map(str, range(69)))]
    bindings = bind_all(own, many)
    register_handlers(own, bindings)
    fleet = FleetGauges(bindings)
    for _ in range(3):
        db.execute("update poller.gauge set at = poller.now() - %s::interval", [OLD])
        assert fleet.refresh(own)
    asked = "select generic_plans + custom_plans from pg_prepared_statements where statement like '%%~h%%'"
    assert [row[0] for row in own.execute(asked)] == [3, 3, 3]
    found = named(fleet.read(own))
    assert (found["due pending public.tenants"], found["due 68 public.tenants"]) == (3, 0)


def test_the_clock_is_read_once_for_a_handlers_rows(own: Connection, db: Connection) -> None:
    """For each of sixty thousand, as its filter would have it, that took four fifths of a round."""
    make_tenants(db, "pending")
    db.execute("create index on tenants (id) where status = 'pending'")
    bindings = bind_all(own, [moves("tenants", due="created_at")])
    register_handlers(own, bindings)
    with along_indexes(own):
        asked = _planned(own, bindings[0])
        assert asked is not None
        limits = dict.fromkeys((f"most_{bindings[0].id}", f"head_{bindings[0].id}"), 10)
        planned = own.execute(SQL("explain {}").format(asked), limits).fetchall()
    filters = [line for (line,) in planned if "Filter: " in line and "created_at <=" in line]
    assert len(filters) == 2
    assert not [line for line in filters if "now()" in line]


def test_a_handler_that_nobody_runs_any_more_goes_away(url: str, own: Connection, db: Connection) -> None:
    """Its gauges do, within a minute; its totals stay. One of another program is counted by what it has registered."""
    make_tenants(db, *["pending"] * 3, *["closing"] * 2)
    first, second = moves("tenants"), moves("tenants", status="closing", to="closed")
    measure(own, first, second)
    elsewhere = named(Client(url).gauges().items)
    assert elsewhere["due pending public.tenants"] == 3, "nobody has a turn before the numbers are old"
    db.execute("update poller.gauge set at = poller.now() - %s::interval", [OLD])
    assert named(Client(url).gauges().items)["due closing public.tenants"] == 2, (
        "by a process without its code"
    )

    number = value(db, "select id from poller.handler where status = 'pending'")
    hold(db, number)
    db.execute("update poller.worker set handlers = array[%s::integer]", [number])
    found = measure(own, first)
    assert found["due pending public.tenants"] == 3
    assert not [name for name in found if "closing" in name and "_total" not in name]


def test_rows_of_a_condition_are_counted_by_those_who_have_its_code(own: Connection, db: Connection) -> None:
    """Others, who would count without it, leave their numbers alone, though it is time to measure."""
    make_tenants(db, *["pending"] * 4)
    assert measure(own, moves("tenants", where="id % 2 = 1"))["due pending public.tenants"] == 2
    db.execute("update poller.gauge set at = poller.now() - interval '20 seconds'")
    others = FleetGauges()
    assert others.refresh(own)
    assert named(others.read(own))["due pending public.tenants"] == 2


def test_what_cannot_be_told_costs_its_own_numbers_only(own: Connection, db: Connection) -> None:
    """Of a handler whose rows in trouble cannot be counted, and of jobs, whose totals another session has locked."""
    make_tenants(db, "pending", "closing")
    first, second = moves("tenants"), moves("tenants", status="closing", to="closed")
    measure(own, first, second)
    number = value(db, "select id from poller.handler where status = 'closing'")
    hold(db, number, "2")
    db.execute("update poller.worker set handlers = array(select id from poller.handler)")
    db.execute(
        "create or replace function poller.digest(key text) returns text immutable language plpgsql"
        " as 'begin if key = ''2'' then raise ''slow''; end if; return key; end'"
    )
    trouble(db, number, "1", "parked")
    with db.transaction():
        db.execute("lock table poller.run_total in access exclusive mode")
        found = measure(own, first, second)
    assert found["due pending public.tenants"] == 1
    assert found["rows_total moved closing public.tenants"] == 0, "totals are of another statement"
    assert "workers alive" in found
    assert not [name for name in found if name.startswith(("runs_", "job_", "parked closing", "due closing"))]


def test_numbers_of_a_clock_that_was_set_back_are_measured_anew(own: Connection, db: Connection) -> None:
    """They are in the future, and so neither shown nor taken for fresh; what is counted then is counted."""
    make_tenants(db, "pending")
    measure(own, moves("tenants"))
    number = value(db, "select id from poller.handler where table_name = 'public.tenants'")
    count = "insert into poller.tally (minute, handler_id, worker_id, moved) values (now(), %s, %s, 5)"
    db.execute(count, [number, 1])
    own.execute("set poller.clock_offset = '1 day'")
    FleetGauges().roll(own)
    assert FleetGauges().refresh(own)
    own.execute("reset poller.clock_offset")
    db.execute(count, [number, 2])
    fleet = FleetGauges()
    assert fleet.wants(fleet.read(own))
    assert fleet.read(own) == []
    assert fleet.refresh(own)
    assert named(fleet.read(own))["rows_total moved pending public.tenants"] == 10
    assert value(db, "select count(*) from poller.gauge where at > now() + interval '1 minute'") == 0


# --- totals --------------------------------------------------------------------------------------------------------


def test_totals_go_on_over_purges_of_all_that_they_were_counted_from(
    url: str, own: Connection, db: Connection
) -> None:
    """Minutes that are old and added already, minutes that are new, history and runs: whatever is deleted."""
    make_tenants(db, *["pending"] * 10)
    broken = handler("tenants", status="broken", to="normal", attempts=2)(fail)
    cut = (
        "delete from poller.tally; delete from poller.move; delete from poller.event; delete from poller.run"
    )
    with Engine(url, moves("tenants"), broken, tidy) as engine:

        def work() -> dict[str, float]:
            db.execute("update tenants set status = 'pending' where status <> 'broken'")
            engine.run_due()
            return totals(measure(own, moves("tenants"), broken))

        first = work()
        assert first["rows_total moved pending public.tenants"] == 10
        assert first["runs_total tidy succeeded"] == 1
        own.execute("set poller.clock_offset = '3 hours'")  # so that these minutes are over, and added up
        FleetGauges().roll(own)
        FleetGauges().roll(own)
        assert value(db, "select sum(moved) from poller.row_total") == 11, "a run has moved, too"
        assert totals(measure(own, moves("tenants"), broken)) == first
        own.execute("reset poller.clock_offset")
        db.execute(cut)
        assert totals(measure(own, moves("tenants"), broken)) == first

        db.execute("update tenants set status = 'broken' where id = 1")
        engine.advance("3h")
        second = work()
        assert second["rows_total moved pending public.tenants"] == 19
        assert second["rows_total retried broken public.tenants"] == 1
        assert second["runs_total tidy succeeded"] == 2
        assert totals(measure(own, moves("tenants"), broken)) == second
        db.execute(cut)
        assert totals(measure(own, moves("tenants"), broken)) == second
        engine.advance("1d")
        last = work()
        assert last["rows_total parked broken public.tenants"] == 1
        assert all(last[name] >= number for name, number in second.items())


def test_minutes_that_are_purged_while_they_are_added_up_are_counted_once(
    url: str, own: Connection, db: Connection
) -> None:
    """Whoever comes first: the other waits for it, and sees what it has done."""
    number = known(db, "public.tenants", "pending")
    insert = "insert into poller.tally (minute, handler_id, worker_id, moved) values (now() - %s::interval, %s, 1, 5)"
    for age in ("3 hours", "1 minute"):
        db.execute(insert, [age, number])
    total = "select sum(moved) from poller.row_total"
    with psycopg.connect(url) as purge:
        purge.execute("delete from poller.tally")
        own.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            FleetGauges().roll(own)
        purge.commit()
    FleetGauges().roll(own)
    assert value(db, total) == 10

    db.execute("delete from poller.row_total")
    db.execute(insert, ["2 hours", number])
    with own.transaction():
        FleetGauges().roll(own)
        impatient = psycopg.connect(url, options="-c lock_timeout=100ms")
        with impatient as purge, pytest.raises(psycopg.errors.LockNotAvailable):
            purge.execute("delete from poller.tally")
    assert value(db, total) == 5
    db.execute("delete from poller.tally")
    assert value(db, total) == 5


def test_a_run_counts_when_it_ends_whoever_ends_it(url: str, own: Connection, db: Connection) -> None:
    """Also one that was cancelled before it began; a schedule made at run time counts for its function."""
    client = Client(url, [tidy])
    with Engine(url, tidy) as engine:
        client.add_job("tidy again", "tidy", when="@every 1h")
        cancelled = client.trigger("tidy").run
        client.cancel(cancelled)
        engine.trigger(tidy)
        engine.run_due()
        engine.advance("2h")
        engine.run_due()
        found = measure(own)
        ended = dict(db.execute("select status, count(*) from poller.run group by 1").fetchall())
        assert found["runs_total tidy cancelled"] == ended["cancelled"] == 1
        assert found["runs_total tidy succeeded"] == ended["succeeded"] >= 3
        assert not [name for name in found if "tidy again" in name]
        finished = value(
            db, "select extract(epoch from max(finished_at)) from poller.run where status = 'succeeded'"
        )
        assert found["job_last_success_timestamp_seconds tidy"] == pytest.approx(float(finished), abs=0.01)
        client.pause("tidy")
        assert (found["job_paused tidy"], measure(own)["job_paused tidy"]) == (0, 1)


def test_no_counter_goes_back_when_the_database_does(
    server: str, url: str, own: Connection, db: Connection
) -> None:
    """A dump of it counts on; and what has lived through its restore sets the totals forward, for all."""
    make_tenants(db, *["pending"] * 10)
    with Engine(url, moves("tenants"), tidy) as engine:
        db.execute("update tenants set status = 'later' where id > 4")
        db.execute("insert into poller.message_total values ('oncall', 'sent', 1)")
        engine.run_due()
        measure(own, moves("tenants"))
        with fresh_database(server) as earlier:
            restore(url, earlier)
            db.execute("update tenants set status = 'pending' where status = 'later'")
            engine.trigger(tidy)
            engine.run_due()
            db.execute("update poller.message_total set messages = 3")
            bindings = bind_all(own, [moves("tenants")])
            register_handlers(own, bindings)
            survivor = FleetGauges(bindings)
            db.execute("update poller.gauge set at = poller.now() - %s::interval", [OLD])
            assert survivor.refresh(own)
            before = totals(named(survivor.read(own)))
            assert before["rows_total moved pending public.tenants"] == 10
            with reachable(DatabaseLocation(earlier), "gauges") as restored:
                assert (
                    totals(measure(restored, moves("tenants")))["rows_total moved pending public.tenants"]
                    == 4
                )
                found = survivor.read(restored)
                assert totals(named(found)).items() <= before.items()
                assert survivor.wants(found)
                assert survivor.refresh(restored)
                restored.execute(
                    "insert into poller.tally (minute, handler_id, worker_id, moved) values (now(), %s, 9, 1)",
                    [bindings[0].id],
                )
                after = totals(measure(restored, moves("tenants")))
    moved = "rows_total moved pending public.tenants"
    assert after == {**before, moved: before[moved] + 1}


def test_what_was_counted_before_the_upgrade_is_in_the_totals(empty_url: str) -> None:
    """Minutes, what is left of purged ones, and the runs that are there."""
    migration.migrate(empty_url, "0019")
    with psycopg.connect(empty_url, autocommit=True) as db:
        number = known(db, "public.tenants", "pending")
        for age in ("3 days", "1 minute"):
            db.execute(
                "insert into poller.tally (minute, handler_id, worker_id, moved, failed)"
                " values (now() - %s::interval, %s, 1, 5, 1)",
                [age, number],
            )
        db.execute("insert into poller.total values (%s, 100, 2, 3, 4, '{}')", [number])
        db.execute("insert into poller.job (name, function, declared) values ('tidy', 'tidy', true)")
        db.execute(
            "insert into poller.run (job, function, status, finished_at) values ('tidy', 'tidy', 'failed', now())"
        )
        db.execute("create role older_worker")
        try:
            db.execute("grant select, insert, update, delete on poller.run to older_worker")
            migration.migrate(empty_url)
            granted = "select has_table_privilege('older_worker', %s, 'select, insert')"
            for table in ("gauge", "row_total", "run_total", "signal", "episode", "message_total"):
                assert value(db, granted, f"poller.{table}"), "a role that may work on runs goes on"
        finally:
            db.execute("drop owned by older_worker; drop role older_worker")
    found = totals(named(Client(empty_url).gauges().items))
    moved, failed = (found[f"rows_total {what} pending public.tenants"] for what in ("moved", "failed"))
    assert (moved, failed, found["runs_total tidy failed"]) == (110, 4, 1)
