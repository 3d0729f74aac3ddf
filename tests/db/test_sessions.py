"""What poller's sessions rely on, whatever the defaults of the database are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from poller import Context, Row, Run, Snooze, Transition, job
from poller.db import migration, schema
from poller.db.connection import DatabaseLocation, OwnConnection, connect, reachable
from poller.db.statements import statement
from poller.errors import DatabaseError
from poller.testing import Engine
from tests.engines import column, fail, moves, run
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

NEW_YORK = "America/New_York"
NOON = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - a time of the database's


@pytest.fixture
def default(db: psycopg.Connection[Any]) -> Callable[[str, str], None]:
    """Sets a default of the test's database."""

    def set_default(name: str, value: str) -> None:
        form = "alter database {} set {} = {}"
        db.execute(sql.SQL(form).format(sql.Identifier(db.info.dbname), sql.Identifier(name), value))
        db.execute(sql.SQL("set {} = {}").format(sql.Identifier(name), value))

    return set_default


@pytest.fixture
def new_york(db: psycopg.Connection[Any], default: Callable[[str, str], None]) -> psycopg.Connection[Any]:
    """A database in New York, and a table whose trigger and default note the time of day there."""
    default("timezone", NEW_YORK)
    db.execute(
        "create table task (id int primary key, status text, at timestamp, zoned timestamptz, seen timestamp)"
    )
    db.execute(
        "create function note() returns trigger language plpgsql as"
        " $$ begin new.seen := localtimestamp; return new; end $$"
    )
    db.execute("create trigger note before update on task for each row execute function note()")
    db.execute("insert into task values (1, 'pending', localtimestamp)")
    db.execute("create table visit (at timestamp default localtimestamp)")
    return db


def is_now(db: psycopg.Connection[Any], rows: str) -> list[bool]:
    """Tell of each time without zone whether it was the time of day in New York within the last minutes."""
    return column(
        db, f"select abs(extract(epoch from localtimestamp - it.at)) < 300 from ({rows}) as it (at)"
    )


@pytest.mark.fault("F11")
def test_what_users_code_calls_now_is_the_databases_time_of_day(
    new_york: psycopg.Connection[Any], url: str
) -> None:
    """A trigger, a condition, a transactional handler and a run's connection read the clock in the database's zone."""
    new_york.execute("insert into task values (2, 'pending', localtimestamp + interval '1 hour')")

    def visit(_: Row, ctx: Context) -> None:
        ctx.connection.execute(text("insert into visit default values"))

    @job()
    def look(run: Run) -> None:
        with run.connect() as connection:
            connection.execute("insert into visit default values")

    task = moves("task", visit, transactional=True, where="at <= localtimestamp")
    with Engine(url, task, look) as engine:
        engine.trigger(look)
        assert sorted(done.key for done in engine.run_due() if done.table == "public.task") == ["1"]

    assert is_now(new_york, "select seen from task where id = 1") == [True]
    assert is_now(new_york, "select at from visit") == [True, True]


@pytest.mark.fault("F11")
def test_times_are_set_as_the_databases_clock_shows_them(new_york: psycopg.Connection[Any], url: str) -> None:
    """An instant for a column without zone is not stored as some other zone's time of day; nor the reverse."""
    tokyo = timezone(timedelta(hours=9))
    instant = datetime(2026, 1, 1, 17, tzinfo=UTC).astimezone(tokyo)
    run(url, moves("task", lambda _: Transition("normal", at=instant, zoned=NOON)))

    assert column(new_york, "select at from task") == [NOON]
    assert column(new_york, "select zoned = '2026-01-01 17:00+00' from task") == [True]


@pytest.mark.fault("F11")
@pytest.mark.parametrize("key", ["at", "at, id"])
def test_the_text_of_an_instant_in_a_key_is_that_of_utc(
    db: psycopg.Connection[Any], default: Callable[[str, str], None], url: str, key: str
) -> None:
    """Whatever the zone of the session that writes it: so that all of a fleet, old or new, know the row."""
    default("timezone", NEW_YORK)
    db.execute("create table task (at timestamptz, id int default 1, status text default 'pending')")
    db.execute(f"alter table task add primary key ({key})")
    db.execute(
        "insert into task (at) values ('2026-07-01 12:00:00.5+02'), ('infinity'), ('0044-03-15 12:00+00 BC')"
    )

    run(url, moves("task", fail))

    db.execute("set timezone = 'UTC'")
    texts = column(db, "select key from poller.attempt")
    form = "jsonb_build_array(at, id)::text" if "id" in key else "at::text"
    assert sorted(texts) == sorted(column(db, f"select {form} from task"))
    assert {done.became for done in run(url, moves("task", where="at is not null"))} == set()  # they wait


@pytest.mark.fault("F11")
def test_times_of_a_run_are_read_in_utc(
    new_york: psycopg.Connection[Any],
    url: str,
) -> None:
    """Its key, which names its slot, is the same wherever it runs."""
    slots: list[datetime] = []

    @job()
    def look(run: Run) -> None:
        slots.append(run.planned_at)

    with Engine(url, look) as engine:
        engine.trigger(look)
        engine.run_due()

    assert [slot.utcoffset() for slot in slots] == [timedelta(0)]


@pytest.mark.fault("F11")
def test_arrays_with_nulls_and_quoted_names_of_types_change_nothing(
    db: psycopg.Connection[Any], default: Callable[[str, str], None], url: str
) -> None:
    """What a row lacks is null, not the text NULL; a date is a date though names are quoted."""
    default("array_nulls", "off")
    default("quote_all_identifiers", "on")
    db.execute("create table task (id int primary key, status text, day date, notes jsonb)")
    db.execute("insert into task select i, 'pending', current_date, '[]' from generate_series(1, 3) as i")

    def step(row: Row) -> Transition:
        if row.id == 1:
            raise Snooze("1d")
        return Transition("normal", notes=["a"]) if row.id == 2 else Transition("normal")

    run(url, moves("task", step, due="day"))

    assert column(db, "select status from task order by id") == ["pending", "normal", "normal"]
    assert column(db, "select notes from task order by id") == [[], ["a"], []]
    assert column(db, "select error from poller.attempt") == [None]


@pytest.mark.fault("F11")
def test_texts_are_texts_whatever_encoding_a_url_names(url: str) -> None:
    """In SQL_ASCII a driver gives bytes, in LATIN1 it cannot send what is beyond it."""
    for encoding in ("SQL_ASCII", "LATIN1"):
        location = DatabaseLocation(f"{url}&client_encoding={encoding}")
        with reachable(location) as own, connect(location.url, "test") as handlers:
            assert [each.execute("select %s::text", ["✓"]).fetchone() for each in (own, handlers)] == [
                ("✓",)
            ] * 2


@pytest.mark.fault("F11")
def test_g10_a_database_in_which_strings_mean_something_else_is_refused(
    default: Callable[[str, str], None], url: str
) -> None:
    """As they did before Postgres 9.1: functions of the schema would be read so, too, whoever calls them."""
    default("standard_conforming_strings", "off")
    with pytest.raises(DatabaseError, match="standard_conforming_strings is off"):
        reachable(DatabaseLocation(url))


def test_the_question_what_is_due_is_not_compiled(url: str) -> None:
    """It is asked anew at each look: compiling it would take seconds, for nothing."""
    with connect(url, "test", kind=OwnConnection) as own, connect(url, "test") as handlers:
        assert own.execute("show jit").fetchone() == ("off",)
        default = handlers.execute("select reset_val from pg_settings where name = 'jit'").fetchone()
        assert handlers.execute("show jit").fetchone() == default


@pytest.mark.fault("F11")
def test_a_migration_has_a_session_of_its_own(empty_url: str) -> None:
    """Two begin at once, whose snapshots would be older than what the first has made; a limit of time would end it."""
    with psycopg.connect(empty_url, autocommit=True) as db:
        for setting in (
            "default_transaction_isolation = 'repeatable read'",
            "statement_timeout = '10min'",
            "lock_timeout = '9min'",
        ):
            db.execute(f"alter database {db.info.dbname} set {setting}".encode())
        db.execute("""
            create table seen as select '' as statements, '' as locks;
            create function note() returns event_trigger language plpgsql as $$ begin
            insert into public.seen
            select pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('lock_timeout'); end $$;
            create event trigger note on ddl_command_end when tag in ('CREATE SCHEMA') execute function note()""")

        with ThreadPoolExecutor(2) as threads:
            found = [each.result() for each in [threads.submit(migration.migrate, empty_url) for _ in "12"]]

        assert sorted(found, key=str) == [schema.NEWEST, None]
        assert set(db.execute("select * from seen where statements <> ''")) == {("0", "9min")}


def test_a_migration_that_loses_its_session_ends_with_one_error(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nothing left to roll back, and no traceback of having tried."""
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'poller migrate'"
    with psycopg.connect(empty_url) as other, ThreadPoolExecutor(1) as threads:
        assert other.execute(statement("migration_lock")).fetchone() == (True,)
        running = threads.submit(migration.migrate, empty_url)
        with psycopg.connect(empty_url, autocommit=True) as db:
            wait_until("its session is ended", lambda: db.execute(ended.encode()).rowcount == 1)
        with pytest.raises(psycopg.OperationalError):
            running.result()
    assert [each.name for each in caplog.records if each.name.startswith("sqlalchemy")] == []
