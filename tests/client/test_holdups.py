"""What holds work up: full keys, sessions that wait and those they wait for, old transactions; at a bounded cost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client
from poller.db.statements import statement
from poller.testing import Engine
from tests.client.watching import BOUND, watched
from tests.command_line import hold, make_tenants, trouble, value
from tests.engines import column, moves
from tests.harness import wait_until

if TYPE_CHECKING:
    from poller.client.holdups import WaitingSession

TURNS = moves("tenants", per_key="site", per_key_limit=2, in_order=True)


@pytest.fixture
def number(url: str, db: psycopg.Connection[Any]) -> int:
    """The number of a handler that takes two rows of a site at a time."""
    make_tenants(db, *["pending"] * 6)
    db.execute("alter table tenants add site int")
    db.execute("update tenants set site = case when id < 4 then 7 when id < 6 then 8 end")
    with Engine(url, TURNS):
        pass
    return int(value(db, "select id from poller.handler"))


def test_a_key_is_full_with_the_row_in_front(url: str, db: psycopg.Connection[Any], number: int) -> None:
    """In flight, or in backoff where that holds back the others; the value only for whom it is shown."""
    hold(db, number, "2")
    assert Client(url).full_keys().items == ()
    trouble(db, number, "1", "waiting")
    trouble(db, number, "4", "parked")
    hold(db, number, "5", "6")
    [line] = Client(url).full_keys().items
    assert (line.table, line.status, line.value, line.held, line.limit) == (
        "public.tenants",
        "pending",
        None,
        2,
        2,
    )
    assert (line.front, line.why) == ("2", "in flight")
    [line] = Client(url).full_keys(show=lambda table: ["site"] if table == "public.tenants" else []).items
    assert line.value == "7"
    with db.transaction():
        db.execute("lock table tenants in access exclusive mode")
        assert Client(url, hurried=True).full_keys().items == ()


def test_g12_only_rows_in_flight_and_in_backoff_are_looked_at(
    url: str, db: psycopg.Connection[Any], number: int
) -> None:
    """Of a large table, never analysed, and of many in trouble."""
    db.execute("insert into tenants (status, site) select 'pending', 9 from generate_series(1, 30000)")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, visit)"
        " select %s, i, 'waiting', 1, gen_random_uuid() from generate_series(7, 20000) as i",
        [number],
    )
    with watched() as watch:
        [line] = Client(url).full_keys().items
        Client(url).holdups()
    assert line.held == 2000
    assert watch.most[0] <= BOUND, watch.most


def test_who_waits_is_told_with_whom_they_wait_for(url: str, db: psycopg.Connection[Any]) -> None:
    """A session of poller's; the holder with its transaction, which is the oldest."""
    make_tenants(db, "pending")
    client = Client(url, hurried=True)
    assert client.holdups().waiting == ()

    def waiting() -> tuple[WaitingSession, ...]:
        return client.holdups().waiting

    with (
        psycopg.connect(url, application_name="psql") as holder,
        psycopg.connect(url, application_name="poller 4711") as worker,
    ):
        holder.execute("lock table tenants in exclusive mode")
        thread = threading.Thread(target=worker.execute, args=["update tenants set status = 'x'"])
        thread.start()
        wait_until("it waits", lambda: waiting() != ())
        [line] = waiting()
        found = client.holdups()
        holder.rollback()
        thread.join()
        pids = holder.info.backend_pid, worker.info.backend_pid
    assert (line.pid, line.kind, line.relation) == (pids[1], "relation", "public.tenants")
    assert [(each.pid, each.application) for each in line.blockers] == [(pids[0], "psql")]
    assert line.blockers[0].query == "lock table tenants in exclusive mode"
    assert found.oldest is not None
    assert (found.oldest.pid, found.sees_all) == (pids[0], True)


def test_a_parallel_worker_of_a_query_is_not_told_as_a_session(db: psycopg.Connection[Any]) -> None:
    """It is its leader's, in whose middle the question is asked here: that one is the asker, who is left out."""
    question = (
        statement("oldest_sessions").as_string().replace(" as transaction", "").replace(" as snapshot", "")
    )
    db.execute(
        "create table large as select generate_series(1, 100000) as i;"
        "alter table large set (parallel_workers = 2); analyze large;"
        "create function asked() returns text parallel restricted language plpgsql as $f$"
        " declare oldest int; newest int; sees bool; workers int; begin"
        f" select * from ({question}) as q into oldest, newest, sees;"  # type: ignore[arg-type]
        " select count(*) from pg_stat_activity where leader_pid = pg_backend_pid() into workers;"
        " return concat_ws(' ', workers > 0, oldest, newest); end $f$;"
        "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;"
        "set parallel_leader_participation = off; set max_parallel_workers_per_gather = 2"
    )
    asked = (
        "select case when i = 1 then asked() end from large"  # whose workers wait meanwhile to send the rest
    )
    assert set(column(db, asked)) == {None, "t"}


def test_what_a_role_may_not_see_is_not_told(url: str, db: psycopg.Connection[Any]) -> None:
    """Others' statements and transactions; their locks are."""
    db.execute("create role looker login; grant usage on schema poller to looker")
    db.execute("grant select on all tables in schema poller to looker")
    db.execute("grant execute on all functions in schema poller to looker")
    try:
        make_tenants(db, "pending")
        with (
            psycopg.connect(url, application_name="poller 4711", autocommit=True) as other,
            other.transaction(),
        ):
            other.execute("select 'secret'")
            found = Client(psycopg.conninfo.make_conninfo(url, user="looker")).holdups()
    finally:
        db.execute("drop owned by looker; drop role looker")
    assert not found.sees_all
    assert "secret" not in str(found)
