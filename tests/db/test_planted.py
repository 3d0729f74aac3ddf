"""What others have planted in a schema of the path is never called: poller's statements find Postgres' own names."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine

from poller import (
    Context,
    Fail,
    Retry,
    Row,
    Snooze,
    Transition,
    age_out,
    fixed_delay,
    fixed_rate,
    handler,
    purge,
)
from poller import schedule as enter_schedule
from poller.testing import Engine
from tests.engines import do_nothing
from tests.harness import Project
from tests.planted import called, plant
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Connection = psycopg.Connection[Any]

TABLES = """
create type mood as enum ('pending', 'busy', 'normal', 'failed');
create domain shop as varchar(20);
create table task (id varchar(20) primary key, status varchar(20) not null default 'pending',
                   owner varchar(10), kind varchar(10) default 'a', due_at timestamptz default now() - interval '1 hour',
                   created_at timestamptz not null default now() - interval '100 days', note varchar(50));
create table piece (shop shop, no smallint, tag char(4), status mood not null default 'pending',
                    created_at timestamp not null default now(), primary key (shop, no, tag));
create table named (id name primary key, status char(10) not null default 'pending');
create table old (id uuid primary key default gen_random_uuid(), status varchar(10) default 'active',
                  login_at date not null);
create table child (old_id uuid references old);
create table note (id varchar(20));
create table log (at date primary key) partition by range (at);
create table log_old partition of log for values from ('2000-01-01') to ('2001-01-01');
create table log_new partition of log for values from ('2001-01-01') to ('2200-01-01');
insert into log values ('2000-02-02'), (current_date);
insert into task (id, owner) select 'k' || i, 'o' || i % 3 from generate_series(1, 40) as i;
insert into piece select 'here', i, 'x' from generate_series(1, 20) as i;
insert into named select 'n' || i from generate_series(1, 20) as i;
insert into old (login_at) select current_date - 400 from generate_series(1, 5);
"""

CODE = """
from poller import age_out, fixed_delay, job, purge
@handler("task", status="pending", to="normal", during="busy", attempts=2)
def one(row):
    if row.id == "k1":
        raise RuntimeError("no")
    print("done")
@handler("piece", status="pending", to="normal", per_key="shop", where="no > 0", order_by="no desc")
def two(row): pass
@handler("named", status="pending", to="normal", transactional=True)
def three(row, ctx):
    ctx.connection.exec_driver_sql("insert into note values ('x')")
@fixed_delay("1h")
def hourly(): print("hello")
@job(after="hourly")
def after(): pass
cleans = purge("old", column="login_at", older_than="300d", schedule=fixed_delay("1h"))
ages = age_out("task", column="created_at", older_than="90d", status="normal", to="aged", schedule=fixed_delay("1h"))
"""
COMMANDS = (
    ["migrate"],
    ["check"],
    ["run", "--drain", "--workers", "2"],
    ["status"],
    ["status", "--json"],
    ["failures"],
    ["failures", "--json"],
    ["history", "task", "k1"],
    ["history", "piece", '["here", 1, "x   "]'],
    ["handlers"],
    ["jobs"],
    ["runs"],
    ["workers"],
    ["retry", "task"],
    ["release", "task"],
    ["trigger", "hourly"],
    ["jobs", "add", "more", "hourly", "--every", "1h"],
    ["pause", "hourly"],
    ["resume", "hourly"],
    ["next", "* * * * *"],
    ["purge", "old", "--column", "login_at", "--older-than", "300d", "--dry-run"],
    ["purge", "old", "--column", "login_at", "--older-than", "300d"],
    ["purge", "log", "--column", "at", "--older-than", "300d"],
    ["jobs", "remove", "more"],
    ["migrate", "--triggers"],
    ["run", "--drain"],
)


@pytest.fixture(scope="module")
def planted(server: str) -> Iterator[str]:
    """A database in whose `public` everybody may create, and somebody has."""
    name = f"poller_mallory_{uuid.uuid4().hex[:8]}"
    with fresh_database(server) as url:
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(TABLES)
            db.execute(f"create role {name}; grant create on schema public to public")
            assert plant(db, name) > 2000
        yield url
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"drop owned by {name} cascade")
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"drop role {name}")


@pytest.fixture
def empty_url(server: str, planted: str) -> Iterator[str]:
    """A copy of it, without poller's schema."""
    with fresh_database(server, template=planted) as url:
        yield url


@pytest.fixture
def mallory(empty_url: str) -> Iterator[Connection]:
    """A session that looks what was called, and calls nothing itself."""
    with psycopg.connect(empty_url, autocommit=True) as db:
        db.execute("set search_path = pg_catalog")
        yield db


def test_nothing_planted_is_called_by_any_command(
    mallory: Connection, empty_url: str, tmp_path: Path
) -> None:
    """Neither by one, nor by the fleet that `run` starts."""
    with Project(tmp_path, empty_url) as project:
        project.handlers(CODE)
        for arguments in COMMANDS:
            done = project.run(*arguments)
            assert called(mallory) is None, f"poller {arguments} has called {called(mallory)}: {done.stderr}"
            assert "planted:" not in done.stdout + done.stderr
            assert done.returncode in (0, 1, 3), (arguments, done.stderr)
    for table, moved in {"task": 39, "piece": 20, "named": 20}.items():
        question = f"select count(*) from public.{table} where status::text = 'normal'"
        assert mallory.execute(question.encode()).fetchone() == (moved,), "they did their work"
    assert mallory.execute("select count(*) from public.old").fetchone() == (0,)
    assert mallory.execute("select pg_catalog.to_regclass('public.log_old')").fetchone() == (None,)


def outcome_of(row: Row) -> Transition | None:
    """Return one, or raise it, by the number of a row: each kind there is."""
    number = int(row.id[1:])
    if number % 5 == 1:
        why = "not yet"
        raise Snooze("10m") if number % 2 else Retry("10m", why)
    if number % 5 == 2:
        why = "never"
        raise Fail(why)
    if number % 5 == 3:
        raise ValueError(number)
    return Transition("normal", note="fine") if number % 5 == 4 else None


WAYS = {
    "plain": {"attempts": 2},
    "during": {"during": "busy", "attempts": 2, "on_failure": "failed"},
    "where": {"where": "kind = 'a' and owner like 'o%%' and length(id) > 1", "order_by": "owner desc, id"},
    "due": {"due": "due_at", "history": "failures"},
    "limit": {"limit": 3},
    "rate": {"rate": "100/1s"},
    "per_key": {"per_key": "owner"},
    "per_two_keys": {"per_key": ("owner", "kind"), "per_key_limit": 2, "during": "busy"},
    "transactional": {"transactional": True, "attempts": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_planted_is_called_by_a_handler_of_any_kind(
    mallory: Connection, empty_url: str, way: str
) -> None:
    """Whatever becomes of its rows."""
    options: dict[str, Any] = {"status": "pending", "to": "normal", **WAYS[way]}
    handled = handler("task", **options)(outcome_of)
    with Engine(empty_url, handled) as engine:
        for _ in range(2):
            engine.run_due()
            engine.advance("1h")

    assert called(mallory) is None
    assert mallory.execute("select from public.task where status = 'normal'").rowcount > 0
    assert mallory.execute("select from poller.event where error like '%planted:%'").rowcount == 0


@pytest.mark.parametrize("table", ["piece", "named"])
def test_nothing_planted_is_called_whatever_the_types_of_a_key(
    mallory: Connection, empty_url: str, table: str
) -> None:
    """Domains, enums, char(n) and names among them, in a batch and in transactions."""
    batch = handler(table, status="pending", to="normal", batch=5)(do_nothing)
    once = handler(table, status="normal", to="failed", transactional=True)(do_nothing)
    with Engine(empty_url, batch, once) as engine:
        engine.run_due()

    assert called(mallory) is None
    assert mallory.execute(f"select from public.{table} where status = 'failed'").rowcount == 20


def test_nothing_planted_is_called_on_a_connection_of_the_users(mallory: Connection, empty_url: str) -> None:
    """Neither by `ctx.settle` nor by `schedule`, and its path is afterwards what it was."""
    pool = create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://"), use_native_hstore=False)
    paths = []

    @fixed_rate("1h")
    def hourly() -> None:
        """Do nothing."""

    @handler("task", status="pending", to="normal")
    def settle(row: Row, ctx: Context) -> None:
        with psycopg.connect(empty_url) as connection:
            connection.execute("insert into note values (%s)", [row.id])
            ctx.settle(connection, "normal", note="there")
            enter_schedule(connection, hourly, at=None, when="@every 2h", name=f"of {row.id}")
            paths.append(connection.execute("show search_path").fetchone())
            connection.execute("insert into note values (%s)", [row.id])

    with Engine(empty_url, settle, hourly) as engine:
        engine.run_due()
    with psycopg.connect(empty_url, autocommit=True) as connection:
        enter_schedule(connection, hourly, when="@every 2h", name="by itself")
        paths.append(connection.execute("show search_path").fetchone())
    with pool.begin() as connection:
        enter_schedule(connection, "hourly", when="@every 3h", name="by itself")
    pool.dispose()

    assert called(mallory) is None
    assert {path for (path,) in paths if path} == {'"$user", public'}
    assert mallory.execute("select from public.note").rowcount == 80
    assert mallory.execute("select from public.task where status = 'normal'").rowcount == 40


def test_nothing_planted_is_called_by_jobs(mallory: Connection, empty_url: str) -> None:
    """Purges and `age_out` among them, and those that fail."""
    gone = purge(
        "old", column="login_at", older_than="300d", where="status = 'active'", schedule=fixed_delay("1h")
    )
    aged = age_out(
        "task", column="created_at", older_than="90d", status="pending", to="aged", schedule=fixed_delay("1h")
    )

    @fixed_delay("1h", attempts=2)
    def fails() -> None:
        raise ValueError

    with Engine(empty_url, gone, aged, fails) as engine:
        for _ in range(3):
            engine.advance("2h")
            engine.run_due()

    assert called(mallory) is None
    assert mallory.execute("select from public.old").rowcount == 0
    assert mallory.execute("select from public.task where status = 'aged'").rowcount == 40
