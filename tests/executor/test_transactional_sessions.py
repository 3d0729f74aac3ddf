"""A transactional session that cannot be opened is waited for: told once, without haste, and at no row's cost."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from poller.errors import PollerError
from poller.testing import Engine
from tests.engines import column, moves
from tests.harness import wait_until
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from poller import Context, Row
    from tests.harness import Project

REFUSED = "transactional sessions: permission denied for view pg_settings; trying again"


@pytest.fixture
def role(db: psycopg.Connection[Any]) -> Iterator[str]:
    """A role that owns nothing, and may do what a worker does on the tables `task` and `plain`."""
    name = f"sessions_{uuid4().hex[:8]}"
    db.execute("create table task (id int primary key, status text not null default 'pending')")
    db.execute("create table plain (like task including all)")
    db.execute(
        f"create role {name} login; grant usage on schema poller, public to {name};"  # type: ignore[call-overload]
        f"grant select, insert, update, delete on all tables in schema poller, public to {name}"
    )
    try:
        yield name
    finally:
        db.execute(f"drop owned by {name}; drop role {name}")  # type: ignore[call-overload]


@pytest.fixture
def as_role(url: str, role: str, db: psycopg.Connection[Any]) -> str:
    """The URL of the database for that role."""
    return make_conninfo(url, user=role, password=db.info.password)


@contextlib.contextmanager
def refused(db: psycopg.Connection[Any]) -> Iterator[None]:
    """No role but its owner may read what is set in a session, as opening one does."""
    db.execute("revoke select on pg_catalog.pg_settings from public")
    try:
        yield
    finally:
        db.execute("grant select on pg_catalog.pg_settings to public")


def sessions(db: psycopg.Connection[Any]) -> int:
    """Return how many sessions this database has had."""
    db.execute("select pg_stat_clear_snapshot()")
    [number] = column(db, "select sessions from pg_stat_database where datname = current_database()")
    return int(number)


@pytest.mark.parametrize("options", one_in(2, ["", ", batch=10"]), ids=["rows", "batches"])
def test_g11_sessions_that_cannot_be_opened_are_waited_for(
    project: Project, db: psycopg.Connection[Any], as_role: str, options: str
) -> None:
    """Without haste, told once, and healed by itself: no row has lost an attempt, and other handlers go on."""
    project.url = as_role
    project.handlers(
        f"""
@handler("task", status="pending", to="normal", transactional=True, attempts=1{options})
def work(row): ...

@handler("plain", status="pending", to="normal")
def other(row): ...
"""
    )
    running = project.start("run", "--workers", "1", "--concurrency", "4")
    done = "select count(*) from plain where status = 'normal'"
    db.execute("insert into plain values (1)")
    wait_until("all other sessions are open", lambda: column(db, done) == [1])
    with refused(db):
        # One is opened when a worker starts.
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'poller run %'"
        )
        before = sessions(db)
        db.execute("insert into task select i from generate_series(1, 300) i")
        running.wait_for_log(REFUSED)
        time.sleep(3)  # in which thousands were opened
        assert sessions(db) - before < 30
        db.execute("insert into plain values (2)")
        wait_until("others go on", lambda: column(db, done) == [2])
        assert column(db, "select count(*) from task where status = 'pending'") == [300]
    wait_until(
        "all is done", lambda: column(db, "select count(*) from task where status = 'normal'") == [300]
    )
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert column(db, "select distinct attempt from poller.history where from_status = 'pending'") == [1]
    assert running.log.count(REFUSED) == 1
    running.wait_for_log("transactional sessions: works again")


def test_g11_where_few_sessions_may_be_opened_the_rows_share_them(
    db: psycopg.Connection[Any], role: str, as_role: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As many handlers run as there are sessions; the others wait for one that is free, and no row comes to harm."""
    lock, now, most = threading.Lock(), [0], [0]

    def work(row: Row, ctx: Context) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    handler = moves("task", work, transactional=True, attempts=1)
    with Engine(as_role, handler, concurrency=4) as engine:
        open_now = "select count(*) from pg_stat_activity where usename = %s"
        [used] = db.execute(open_now, [role]).fetchone() or (0,)
        db.execute(f"alter role {role} connection limit {used + 2}")  # type: ignore[call-overload]
        db.execute("insert into task select i from generate_series(1, 100) i")
        done = engine.run_due()
    assert [(each.became, each.attempt) for each in done] == [("moved", 1)] * 100
    assert most[0] <= 2
    said = [each.getMessage() for each in caplog.records if "transactional sessions" in each.getMessage()]
    assert len(said) <= 1, said


def test_an_engine_of_tests_says_why_no_session_can_be_opened(
    db: psycopg.Connection[Any], as_role: str
) -> None:
    """It does not go round, nor take it for an idle moment."""
    with Engine(as_role, moves("task", transactional=True)) as engine:
        db.execute("insert into task values (1)")
        with refused(db), pytest.raises(PollerError, match="permission denied for view pg_settings"):
            engine.run_due()
        assert [(each.became, each.attempt) for each in engine.run_due()] == [("moved", 1)]


def test_statements_of_poller_are_planned_once_and_a_handlers_as_it_likes(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Their plans do for all values, from the first transaction on."""
    db.execute("create table task (id int primary key, status text not null default 'pending')")
    db.execute("insert into task select generate_series(1, 100)")
    seen: list[tuple[str, int]] = []
    mode = "select current_setting('plan_cache_mode')"
    plans = "select sum(generic_plans - 100 * custom_plans) from pg_prepared_statements"
    ours = f"{plans} where strpos(statement, 'poller') > 0"

    def work(row: Row, ctx: Context) -> None:
        if row.id in {1, 2, 100}:
            seen.append(tuple(ctx.connection.exec_driver_sql(each).scalar() for each in (mode, ours)))  # type: ignore[arg-type]

    with Engine(url, moves("task", work, transactional=True), concurrency=1) as engine:
        engine.run_due()
    assert [mode for mode, _ in seen] == ["auto"] * 3
    assert 0 < seen[0][1] < seen[-1][1]
