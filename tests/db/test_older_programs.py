"""Old workers beside the newest schema: all that a program of an earlier version names is there, and means the same.

A deploy replaces workers one by one, and the first new one migrates. What an old one asks for stands in its own
statements, of which the writes are repeated here as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, handler
from poller.db import migration
from poller.testing import Engine
from tests.command_line import value

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = psycopg.Connection[Any]
OLD = "0014"  # the last revision before pauses, definitions, causes and totals

FUNCTIONS = {  # that its statements, and the triggers of users' tables, call: arguments and result
    "delay_of": ("schedule text", "interval"),
    "digest": ("key text", "text"),
    "in_hand": ("handled text, asked text[]", "text[]"),
    "now": ("", "timestamp with time zone"),
    "refuse_status": ("shown text", "void"),
    "run_moves": ("", "trigger"),
    "run_succeeded": ("", "trigger"),
    "take": (
        (
            "handler integer, worker bigint, keys text[], seen uuid[], sorted boolean, "
            "OUT lease uuid, OUT ours text[], OUT claimed_at timestamp with time zone, OUT known uuid[]"
        ),
        "record",
    ),
    "tell_supervisors": ("", "trigger"),
    "wake": ("", "trigger"),
}
SIGNATURES = """
select p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid)
  from pg_proc as p where p.pronamespace = 'poller'::regnamespace
"""
COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull and not a.atthasdef and a.attidentity = ''
  from pg_class as c join pg_attribute as a on a.attrelid = c.oid
 where c.relnamespace = 'poller'::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
"""
CONSTRAINTS = """
select k.conrelid::regclass::text, pg_get_constraintdef(k.oid) from pg_constraint as k
 where k.connamespace = 'poller'::regnamespace and k.contype in ('p', 'u', 'c', 'f')
"""


@pytest.fixture
def old(empty_url: str) -> Iterator[Connection]:
    """A database whose schema is the old one."""
    migration.migrate(empty_url, OLD)
    with psycopg.connect(empty_url, autocommit=True) as db:
        yield db


def columns(db: Connection) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return each column's type, and whether an INSERT must give it a value."""
    return {(table, name): (kind, needed) for table, name, kind, needed in db.execute(COLUMNS).fetchall()}


def test_its_tables_keep_their_columns_and_ask_for_no_others(old: Connection, empty_url: str) -> None:
    """Of the same types; an INSERT that knows none of the new ones goes through, and no CHECK or key is against it."""
    before, keys = columns(old), set(old.execute(CONSTRAINTS).fetchall())
    migration.migrate(empty_url)
    after = columns(old)
    assert {each: after.get(each) for each in before} == before
    known = {table for table, _ in before}
    new = {each for each in after if each not in before and each[0] in known}
    assert new, "or nothing is shown by this"
    assert not {each for each in new if after[each][1]}
    assert {
        each for each in old.execute(CONSTRAINTS).fetchall() if each[0].removeprefix("poller.") in known
    } == keys


def test_its_functions_are_there_with_their_arguments(db: Connection) -> None:
    """What one of them returns is read by its name."""
    found = {name: (given, result) for name, given, result in db.execute(SIGNATURES).fetchall()}
    assert {name: found.get(name) for name in FUNCTIONS} == FUNCTIONS
    lease, ours, _, known = db.execute(
        "select t.lease, t.ours, t.claimed_at, t.known from poller.take(1, 1, array['1'], array[]::uuid[], true) as t"
    ).fetchall()[0]
    assert (lease, ours, known) == (None, None, None), "there is no such worker"


def test_what_it_writes_is_taken_and_orders_of_today_hold_for_it(url: str, db: Connection) -> None:
    """It registers, claims, is paused, fails at a row, moves the others, and leaves."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 3)")
    with Engine(url, handler("thing", status="pending", to="normal")(lambda _: None)):
        pass
    number = value(db, "select id from poller.handler where table_name = 'public.thing'")
    worker = value(
        db,
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'old', 1, 8, array[%s]::integer[], make_interval(secs => 30)) returning id",
        number,
    )
    take = "select lease from poller.take(%s, %s, array['1', '2', '3'], array[]::uuid[], true)"
    Client(url).pause("thing")
    assert value(db, take, number, worker) is None
    Client(url).resume("thing")
    lease = value(db, take, number, worker)
    assert lease is not None
    asked = {"handler": number, "worker": worker, "lease": lease}
    db.execute(
        "update poller.worker set heartbeat_at = poller.now(), stopping_at = null where id = %(worker)s",
        asked,
    )
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, visit, first_at)"
        " values (%(handler)s, '1', 'waiting', 1, 'ValueError: no (a.py:1)', %(lease)s, now())",
        asked,
    )
    db.execute(
        "insert into poller.event"
        "       (handler_id, key, verdict, from_status, to_status, attempt, seconds, error, worker_id, lease)"
        " values (%(handler)s, '1', 'retrying', 'pending', null, 1, 0.1, 'ValueError: no (a.py:1)',"
        "         %(worker)s, %(lease)s)",
        asked,
    )
    db.execute(
        "insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds)"
        " values (%(handler)s, 'pending', 'normal', %(worker)s, %(lease)s, array['2', '3'], array[0.1, 0.1]::real[])",
        asked,
    )
    for _ in range(2):
        db.execute(
            "insert into poller.tally as y (minute, handler_id, worker_id, moved)"
            " values (date_trunc('minute', poller.now()), %(handler)s, %(worker)s, 2)"
            " on conflict (minute, handler_id, worker_id) do update set moved = y.moved + excluded.moved",
            asked,
        )
    db.execute("delete from poller.claim where lease = %(lease)s", asked)
    asks = Client(url)
    [failure] = asks.failures().items
    assert (failure.key, failure.error) == ("1", "ValueError: no (a.py:1)")
    assert [each.error for each in asks.failure_groups().items] == ["ValueError"]
    assert [each.verdict for each in asks.history("thing", "2").items] == ["moved"]
    assert asks.retry("thing:1").rows == 1
    [told] = asks.drain(worker)
    assert told.worker == worker
    assert value(db, take, number, worker) is None
    db.execute("delete from poller.worker where id = %(worker)s", asked)
