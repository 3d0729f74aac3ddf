"""One look at the whole fleet, again and again: what it tells, and what it costs."""

from __future__ import annotations

import select
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.sql import SQL, Identifier

from poller import Client
from poller.client import counts
from poller.client import overview as overviews
from poller.client.one_round import OneRound, Question
from poller.client.overview import RESTS
from poller.db.search_path import AS_USERS, OWN
from poller.errors import ConfigurationError, DatabaseError
from poller.testing import Engine
from tests.client.watching import watched as watching
from tests.command_line import trouble, value
from tests.engines import moves
from tests.harness import PATIENCE, wait_until
from tests.web.fleets import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.client.overview import Overview

TABLES = 10
LOOKS = 5  # statements of a look, besides one for each table


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that poller's own connections execute."""
    from poller.db.connection import _NamedCursor  # noqa: PLC0415 - of this fixture alone

    found: list[str] = []
    plain = _NamedCursor.execute

    def execute(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        found.append(query if isinstance(query, str) else query.as_string(cursor))
        return plain(cursor, query, *arguments, **options)

    monkeypatch.setattr(_NamedCursor, "execute", execute)
    return found


def rows_of(seen: Overview) -> dict[str, dict[str, int]]:
    """Return the rows of each status of each table; rates change by the moment."""
    return {each.machine.table: {line.status: line.rows for line in each.statuses} for each in seen.machines}


def ten_tables(url: str, db: psycopg.Connection[Any]) -> None:
    """Have twenty handlers of ten tables be known."""
    handlers = []
    for number in range(TABLES):
        name = f"t{number}"
        db.execute(SQL("create table {} (id int primary key, status text not null)").format(Identifier(name)))
        db.execute(
            SQL("insert into {} select g, 'new' from generate_series(1, 30) g").format(Identifier(name))
        )
        handlers += [moves(name, status="new", to="seen"), moves(name, status="seen", to="done")]
    with Engine(url, *handlers) as engine:
        engine.run_due()


def test_a_look_tells_of_the_whole_fleet(url: str, db: psycopg.Connection[Any]) -> None:
    """Statuses with their rows as `status` has them, handlers, workers, and what was done when."""
    fleet(url, db)
    with Client(url).watch() as eye:
        [watched] = eye.look().machines
    lines = {each.status: each for each in watched.statuses}
    assert watched.fault is None
    assert {each.status for each in watched.machine.statuses} <= {*lines}
    assert (lines["normal"].rows, lines["closing"].rows) == (5, 5)
    assert (lines["closing"].in_flight, lines["closing"].waiting, lines["closing"].parked) == (1, 1, 1)
    handlers = {each.status: each for each in watched.handlers}
    assert handlers["pending"].function.endswith("do_nothing")
    assert handlers["closing"].to == ("closed", "kept")


def test_what_is_paused_is_seen_at_the_next_look(url: str, db: psycopg.Connection[Any]) -> None:
    """And what has changed meanwhile."""
    fleet(url, db)
    client = Client(url)
    with client.watch() as eye:
        assert not any(each.paused for each in eye.look().machines[0].handlers)
        client.pause("tenants:closing", "1h")
        db.execute("delete from tenants where status = 'normal'")
        [watched] = eye.look().machines
    assert [each.status for each in watched.handlers if each.paused] == ["closing"]
    assert {each.status: each.rows for each in watched.statuses}["normal"] == 0


@pytest.mark.parametrize("is_large", [False, True])
def test_a_look_is_a_statement_a_table_and_five(
    url: str,
    db: psycopg.Connection[Any],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_large: bool,
) -> None:
    """However many handlers there are; what else has to be found out holds for a minute."""
    ten_tables(url, db)
    if is_large:
        db.execute("create index on t3 (status)")
        monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 0.1)
    with Client(url).watch() as eye:
        first = eye.look()
        asked.clear()
        second = eye.look()
    large = TABLES - 1 if is_large else 0  # tables of which no index tells anything are not asked at all
    assert len(asked) == LOOKS + TABLES - large, asked
    assert rows_of(second) == rows_of(first)
    assert [each.rows for each in second.machines[3].statuses] == [0, 0, 30]


def a_minute_later(monkeypatch: pytest.MonkeyPatch, minutes: int = 1) -> None:
    """Have what holds for a minute be over."""
    monkeypatch.setattr(overviews, "monotonic", lambda: monotonic() + minutes * 60.5)


def test_how_tables_are_counted_is_planned_once_in_five_minutes(
    url: str, db: psycopg.Connection[Any], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute it is only asked whether there are other handlers: planning is most of what a desk would ask."""
    ten_tables(url, db)
    with Client(url).watch() as eye:
        first = eye.look()
        asked.clear()
        a_minute_later(monkeypatch)
        assert rows_of(eye.look()) == rows_of(first)
        assert len(asked) <= LOOKS + TABLES + 3, asked
        db.execute("create table later (id int primary key, status text not null)")
        db.execute("insert into later select n, 'new' from generate_series(1, 3) as n")
        with Engine(url, moves("later", status="new", to="done")):
            pass
        a_minute_later(monkeypatch, 2)
        assert rows_of(eye.look())["public.later"] == {"new": 3, "done": 0}
        asked.clear()
        a_minute_later(monkeypatch, 7)
        eye.look()
    assert any("explain" in each for each in asked)


def test_a_plan_holds_though_workers_start(
    url: str, db: psycopg.Connection[Any], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says so in the definitions of its handlers, once a minute."""
    ten_tables(url, db)
    with Client(url).watch() as eye:
        eye.look()
        db.execute(
            "update poller.handler set definition = definition || jsonb_build_object('seen_at', poller.now())"
        )
        asked.clear()
        a_minute_later(monkeypatch)
        eye.look()
    assert not any("explain" in each for each in asked)


def test_a_plan_that_fails_is_made_anew_within_a_minute(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that took too long while a status grew beyond its room: no row is told as none meanwhile."""
    db.execute("create table t (id int primary key, status text not null)")
    db.execute("insert into t select n, 'new' from generate_series(1, 3000) as n")
    db.execute("create index on t (status)")
    monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 0.1)
    with Engine(url, moves("t", status="new", to="done")):
        pass

    def fails(*_: Any) -> None:
        raise psycopg.errors.QueryCanceled

    def found(eye: Any) -> dict[str, int]:
        return rows_of(eye.look())["public.t"]

    with Client(url).watch() as eye:
        assert found(eye) == {"new": 3000, "done": 0}
        db.execute("insert into t select n, 'new' from generate_series(3001, 9000) as n")
        with monkeypatch.context() as patch:
            patch.setattr(counts.StatusCounter, "together", fails)
            [machine] = eye.look().machines
        assert machine.fault
        assert machine.statuses == ()
        a_minute_later(monkeypatch)
        assert found(eye) == {"new": 9000, "done": 0}


def test_a_large_table_is_estimated_anew_each_minute(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has become few is counted, and statuses that people have made since are shown."""
    db.execute("create table t (id int primary key, status text not null)")
    db.execute(
        "insert into t select n, case when n <= 15000 then 'done' else 'new' end from generate_series(1, 15010) as n"
    )
    db.execute("create index on t (status)")
    db.execute("alter table t set (autovacuum_enabled = false)")
    db.execute("analyze t")
    monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 0.1)
    with Engine(url, moves("t", status="new", to="done")):
        pass
    with Client(url).watch() as eye:
        [before] = eye.look().machines
        db.execute("update t set status = 'lost' where id <= 12000")
        db.execute("analyze t")
        [unseen] = eye.look().machines
        a_minute_later(monkeypatch)
        [after] = eye.look().machines
    assert {each.status: (each.rows, each.exact) for each in before.statuses} == {
        "new": (10, True),
        "done": (15000, False),
    }
    assert {each.status: each.exact for each in unseen.statuses} == {"new": True, "done": False}
    found = {each.status: (each.rows, each.exact) for each in after.statuses}
    assert found["done"] == (3000, True)
    assert not found["lost"][1]
    assert found["lost"][0] == pytest.approx(12000, rel=0.1)


def test_a_look_is_one_round_trip(url: str, db: psycopg.Connection[Any], asked: list[str]) -> None:
    """All is sent before the first answer is there; no question is asked twice, and none is parsed under users' path."""
    ten_tables(url, db)
    with ThreadPoolExecutor(1) as pool, Client(url).watch() as eye, psycopg.connect(url) as other:
        before = rows_of(eye.look())
        eye._connection.execute("set lock_timeout = '1min'")
        other.execute("lock table poller.claim in access exclusive mode")  # which the first one reads
        asked.clear()
        look = pool.submit(eye.look)
        wait_until("all are sent", lambda: len(asked) == LOOKS + TABLES)
        assert not look.done()
        other.rollback()
        assert rows_of(look.result()) == before
        assert len(asked) == LOOKS + TABLES
        users, path = (
            Question(sql.Composed([SQL("select "), AS_USERS])),
            Question(SQL("show search_path") + SQL("")),
        )
        refused = Question(SQL("select 1 / 0") + SQL(""))
        answers = OneRound(eye._connection, [users, refused, path])
        assert answers.rows(path) == [(OWN,)]
        with pytest.raises(psycopg.errors.DivisionByZero):
            answers.rows(refused)


def test_questions_of_a_round_that_are_refused_are_not_logged(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However many, and whenever the answers come: a server's words may quote what was asked for."""
    query = SQL("select 1 / 0") + SQL("")

    def questions() -> Iterator[Question]:
        for _ in range(3):
            yield Question(query)
            select.select([eye._connection.fileno()], [], [], PATIENCE)  # its refusal has come

    with Client(url).watch() as eye:
        OneRound(eye._connection, questions())
        assert OneRound(eye._connection, []).rows(Question(SQL("select 7") + SQL(""))) == [(7,)]
    assert caplog.messages == []


def test_the_causes_of_trouble_are_asked_for_when_there_are_others(
    url: str, db: psycopg.Connection[Any], asked: list[str]
) -> None:
    """While nothing fails, what changes less is four statements: the jobs, which are next, these, and the acts."""
    fleet(url, db)
    with Client(url).watch() as eye:
        eye.look()
        before = {each.error: each.rows for each in eye.beside(100, 5).groups}
        eye.look()
        asked.clear()
        assert {each.error: each.rows for each in eye.beside(100, 5).groups} == before == {"ValueError": 2}
        assert len([each for each in asked if not each.startswith("select set_config")]) == 4, asked
        trouble(db, value(db, "select id from poller.handler where status = 'closing'"), "9")
        eye.look()
        assert {each.error: each.rows for each in eye.beside(100, 5).groups} == {**before, "error of 9": 1}


def test_the_rows_in_trouble_of_a_handler_that_has_many_are_counted_anew_after_an_order_or_a_while(
    url: str, db: psycopg.Connection[Any], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them takes a statement of its own, and a look comes every two seconds."""
    ten_tables(url, db)
    number = value(db, "select min(id) from poller.handler")
    for key in range(300):
        trouble(db, number, str(key))

    def parked(overview: Overview) -> list[int]:
        return [handler.parked for each in overview.machines for handler in each.handlers if handler.parked]

    with Client(url).watch() as eye:
        assert parked(eye.look()) == [300]
        trouble(db, number, "300")
        asked.clear()
        assert parked(eye.look()) == [300]
        assert len(asked) == LOOKS + TABLES, asked
        assert parked(eye.look(anew=True)) == [301]
        trouble(db, number, "301")
        monkeypatch.setattr(overviews, "monotonic", lambda: monotonic() + overviews.COUNTS_HOLD)
        assert parked(eye.look()) == [302]


def test_a_look_writes_nothing_and_waits_for_nobody_for_long(url: str, db: psycopg.Connection[Any]) -> None:
    """Its session cannot, whatever its statements were to do."""
    fleet(url, db)
    with Client(url, via="desk").watch() as eye:
        eye.look()
        [(name, state)] = db.execute(
            "select application_name, backend_xid from pg_stat_activity"
            " where application_name = 'poller desk' and leader_pid is null and datname = current_database()"
        ).fetchall()
        shown = {
            each: eye._connection.execute(f"show {each}").fetchone()[0]  # type: ignore[index]
            for each in ("default_transaction_read_only", "statement_timeout", "lock_timeout", "search_path")
        }
    assert (name, state) == ("poller desk", None)
    assert shown["default_transaction_read_only"] == "on"
    assert (shown["statement_timeout"], shown["lock_timeout"]) == ("2s", "250ms")
    mine = (
        "select from pg_stat_activity where application_name = 'poller desk' and datname = current_database()"
    )
    wait_until("its backend has ended", lambda: not db.execute(mine).rowcount)


def test_a_table_that_is_locked_costs_the_others_nothing(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and is left alone for a while; then it is there again. So from the first look on, and later."""
    ten_tables(url, db)
    client = Client(url)
    with client.watch() as eye, psycopg.connect(url) as other:
        before = eye.look()
        other.execute("lock table t4 in access exclusive mode")
        faults = {each.machine.table: each.fault for each in eye.look().machines if each.fault}
        assert faults == {"public.t4": "another session has its table locked"}
        with client.watch() as late:
            seen = {each.machine.table: each for each in late.look().machines}
            assert [name for name, each in seen.items() if each.fault] == ["public.t4"]
            assert seen["public.t5"].statuses
        other.rollback()
        monkeypatch.setattr(
            "poller.client.overview.monotonic", lambda: eye._machines[4].rests_until + RESTS / 100
        )
        assert rows_of(eye.look()) == rows_of(before)


def test_a_table_that_is_gone_or_forbidden_is_told(url: str, db: psycopg.Connection[Any]) -> None:
    """Its handlers are known still."""
    ten_tables(url, db)
    with Client(url).watch() as eye:
        eye.look()
        db.execute("drop table t1")
        gone = eye.look().machines[1]
    with Client(url).watch() as eye:
        anew = eye.look().machines[1]
    assert gone.fault == "its table has changed, or is gone"
    assert anew.fault == "its table does not fit its handlers, or is not there"
    assert anew.machine.edges == gone.machine.edges


def test_a_database_that_goes_away_is_told(url: str, db: psycopg.Connection[Any]) -> None:
    """In one line; and so is one without poller's schema."""
    with Client(url, via="desk").watch() as eye:
        eye.look()
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'poller desk'"
        )
        with pytest.raises(DatabaseError, match="went away"):
            eye.look()
    db.execute("drop schema poller cascade")
    with Client(url).watch() as eye, pytest.raises(DatabaseError, match="no schema poller yet"):
        eye.look()


def test_no_statement_of_a_look_goes_through_many_rows(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table that is large: by an index as far as it counts, without one not at all."""
    db.execute("create table big (id int primary key, status text not null)")
    db.execute(
        "insert into big select g, case when g % 10 = 0 then 'new' else 'done' end from generate_series(1, 150000) g"
    )
    db.execute("analyze big")
    monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 1000.0)
    with Engine(url, moves("big", status="new", to="done")):
        pass
    for index in ("select", "create index on big (status)"):
        db.execute(index)
        with Client(url).watch() as eye, watching() as seen:
            eye.look()
            [watched] = eye.look().machines
            rows = {each.status: (each.rows, each.exact) for each in watched.statuses}
        assert seen.most[0] <= 12_000, seen.most[1]
        assert not rows["new"][1]
        assert rows["new"][0] == pytest.approx(15_000, rel=0.1)
        assert rows["done"][0] == pytest.approx(135_000, rel=0.1)


def test_a_client_of_a_connection_cannot_watch(db: psycopg.Connection[Any]) -> None:
    """It has but the caller's."""
    with pytest.raises(ConfigurationError, match="make the client from a URL"):
        Client(db).watch()
