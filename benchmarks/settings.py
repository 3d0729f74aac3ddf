"""The settings of `growth`: what a table has in it, and what goes on beside it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks import noop
from benchmarks.race import Setting, create_table
from poller import registry
from poller.db import migration
from poller.db.connection import Link
from poller.store.binding import bind_all
from poller.store.liveness import register_handlers
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

_FINISHED = """
insert into item (status, payload) select 'normal', 'payload ' || n from generate_series(1, %s::bigint) as n
"""
_PENDING = "insert into item (payload) select 'payload ' || n from generate_series(1, %s::bigint) as n"
_TROUBLE = """
insert into poller.attempt (handler_id, key, state, attempt, next_at, error, visit)
select %s, id::text, case when id %% 2 = 0 then 'parked' else 'waiting' end, 1,
       poller.now() + interval '1 hour', 'it failed', gen_random_uuid()
  from item
"""


@contextlib.contextmanager
def finished(server_url: str, rows: int) -> Iterator[Setting]:
    """Give a table that has so many finished rows."""
    with fresh_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as db:
            create_table(db, "item")
            db.execute(_FINISHED, [rows])
            db.execute("vacuum analyze")
        yield Setting(f"{rows:,} finished rows", template=url)


@contextlib.contextmanager
def in_trouble(server_url: str, rows: int) -> Iterator[Setting]:
    """Give a table with so many rows that are parked or wait for another attempt, a half each."""
    with fresh_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as db:
            create_table(db, "item")
            db.execute(_PENDING, [rows])
            migration.migrate(url)
            db.execute(_TROUBLE, [_handler_number(db, url)])
            db.execute("vacuum analyze")
        yield Setting(f"{rows:,} rows parked or in backoff", template=url, kept=rows)


def beside_an_old_snapshot() -> Setting:
    """Return the setting in which somebody else's transaction goes on, with a snapshot older than the rows."""
    return Setting("beside an old snapshot", beside=_old_snapshot)


def spread(tables: int) -> Setting:
    """Return the setting with so many tables; the fleet has to be told of them (`environment`)."""
    names = ("item", *(f"item_{number}" for number in range(2, tables + 1)))
    return Setting(f"spread over {tables} tables", tables=names)


def environment(setting: Setting) -> dict[str, str]:
    """Return what tells the fleet of the tables."""
    return {"BENCHMARK_TABLES": json.dumps(setting.tables)}


@contextlib.contextmanager
def _old_snapshot(url: str) -> Iterator[None]:
    with psycopg.connect(url, application_name="foreign") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select count(*) from item")
        yield


def _handler_number(db: psycopg.Connection[Any], url: str) -> int:
    """Make the handler known to the schema, as a supervisor does at its start; return its number."""
    (binding,) = bind_all(db, registry.load(noop.__name__).handlers)
    link = Link(url, "start")
    register_handlers(link.connection, [binding])
    link.close()
    return binding.id
