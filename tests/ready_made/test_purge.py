"""`purge`: old rows go, in small batches, and nothing else does, whatever happens meanwhile."""

from __future__ import annotations

import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from poller import PollerError
from poller.db.connection import connect
from poller.ready_made import old_rows, purge_run, ranges
from poller.ready_made.retention_report import StoppedError
from tests.command_line import value
from tests.engines import column
from tests.harness import wait_until
from tests.maintained import (
    PurgeRun,
    beside,
    keys,
    make_audit,
    make_partitions,
    make_slow,
    other_sessions,
    purge_audit,
    retention,
    run,
    wait_for_batch,
)

if TYPE_CHECKING:
    from tests.harness import Project

# --- which rows go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [True, False], ids=["by an index", "by blocks"])
def test_old_rows_are_deleted_and_no_others(db: psycopg.Connection[Any], url: str, *, index: bool) -> None:
    """A row without a time is never old."""
    make_audit(db, old=2500, young=3, index=index)
    db.execute("insert into audit values (0, 'x', null)")

    done = run(purge_audit(), url)

    assert keys(db) == [0, 2501, 2502, 2503]
    assert done.rows == 2500
    assert done.line() == "deleted 2,500 rows of public.audit"


def test_the_databases_clock_tells_what_is_old(db: psycopg.Connection[Any], url: str) -> None:
    """Moved by 23 hours, it makes rows old that are young by this process' clock."""
    make_audit(db, old=2, young=2)
    db.execute(f"alter database {db.info.dbname} set poller.clock_offset = '23 hours'".encode())

    assert run(purge_audit(older_than="36h"), url).rows == 4


@pytest.mark.fault("F65")
@pytest.mark.parametrize(("offset", "side"), [("400 days 1 hour", "400d ahead of"), ("-3 days", "behind")])
def test_g8_a_purge_refuses_a_clock_that_is_a_day_off(
    db: psycopg.Connection[Any], url: str, offset: str, side: str
) -> None:
    """By a clock that ran ahead, young rows are old: nothing is deleted, and the run says why."""
    make_audit(db, old=2, young=2)
    db.execute(f"alter database {db.info.dbname} set poller.clock_offset = '{offset}'".encode())

    with pytest.raises(PollerError, match=f"the database's clock is .*{side}"):
        run(purge_audit(), url)
    assert len(keys(db)) == 4


def test_what_grows_old_during_a_run_is_the_next_runs(db: psycopg.Connection[Any], url: str) -> None:
    """The cut-off is fixed once; else a purge of what comes in quickly might never end."""
    make_audit(db, old=3, young=1)

    def add(run: PurgeRun, _: float) -> None:
        db.execute("update audit set created_at = now() - interval '180 days' + interval '1 s' where id = 4")
        db.execute(f"alter database {db.info.dbname} set poller.clock_offset = '1 hour'".encode())

    purge_audit(batch=1)(PurgeRun(url, add))

    assert keys(db) == [4]
    assert run(purge_audit(), url).rows == 1


def test_nothing_of_pollers_own_is_needed(empty_url: str) -> None:
    """A purge works in a database that was never migrated."""
    with psycopg.connect(empty_url, autocommit=True) as db:
        make_audit(db, old=2)

        assert run(purge_audit(), empty_url).rows == 2


def test_a_time_without_zone_is_read_in_the_databases(db: psycopg.Connection[Any], url: str) -> None:
    """What `localtimestamp` has written there: hours apart from UTC."""
    db.execute(f"alter database {db.info.dbname} set timezone = 'Pacific/Kiritimati'".encode())  # UTC+14
    db.execute("create table audit (id int primary key, created_at timestamp)")
    db.execute(
        "insert into audit select n, now() at time zone 'Pacific/Kiritimati' - interval '180 days'"
        " + n * interval '5 min'"
        " from (values (-1), (1)) as n (n)"
    )

    run(purge_audit(), url)

    assert keys(db) == [1]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize("is_partitioned", [False, True], ids=["by rows", "by partitions"])
def test_a_domain_over_a_time_is_one(
    db: psycopg.Connection[Any], url: str, kind: str, *, is_partitioned: bool
) -> None:
    """Also one over another, whose constraint no cut-off needs to meet."""
    db.execute(f"create domain day_and_time as {kind} check (value > '2020-01-01')".encode())
    db.execute("create domain written as day_and_time")
    if is_partitioned:
        make_partitions(db, "written")
    else:
        db.execute("create table audit (id int primary key, created_at written)")
        db.execute(
            "insert into audit select n, now() - n * interval '20 days' from generate_series(1, 20) as n"
        )
        db.execute("create index on audit (created_at)")
    before = len(keys(db))
    young = column(db, "select id from audit where created_at > now() - interval '190 days' order by id")

    run(purge_audit(older_than="190d"), url)

    assert keys(db) == young
    assert 0 < len(young) < before


def test_a_day_is_old_once_all_of_it_is(db: psycopg.Connection[Any], url: str) -> None:
    """A date says nothing of the hour."""
    db.execute("create table audit (id int primary key, created_at date)")
    db.execute(
        "insert into audit select n, (now() at time zone 'UTC')::date - n from generate_series(178, 182) as n"
    )

    run(purge_audit(), url)

    assert keys(db) == [178, 179, 180]


@pytest.mark.parametrize(
    "where",
    [
        "kind like '100%%%s'",
        "kind = '100% it''s %s'",
        "kind <> 'x' -- not those, and not what is 50% %(older)s",
        "kind = 'no' or kind <> 'x'",
        "t.kind <> 'x'",
        "array[kind] <> '{x}'",
    ],
)
def test_a_condition_is_taken_as_it_is_written(db: psycopg.Connection[Any], url: str, where: str) -> None:
    """Percent signs, quotes, comments, braces and OR; and young rows stay even so."""
    make_audit(db, old=2, young=1)
    db.execute(b"update audit set kind = '100% it''s %s' where id > 1")

    done = run(purge_audit(where=where), url)

    assert (done.rows, keys(db)) == (1, [1, 3])


@pytest.mark.parametrize(
    ("columns", "key", "row"),
    [
        ("a uuid", "a", "gen_random_uuid()"),
        ("a text", "a", "'it''s {\"a\", b}\\' || n || chr(10)"),
        ("a int, b text", "a, b", "n % 3, 'b\"' || n"),
        ("a timestamptz, b numeric", "b, a", "now() + n * interval '1us', n / 7.0"),
        ("a bytea", "a", "('\\x00' || lpad(n::text, 6, '0'))::bytea"),
        ("a float8, b bool", "b, a", "n / 3.0, n > 7"),
        ("a char(9), b text[]", "a, b", "n, array[null, '\"']"),
    ],
    ids=lambda each: each.replace(" ", "_"),
)
def test_any_key_will_do(db: psycopg.Connection[Any], url: str, columns: str, key: str, row: str) -> None:
    """Whatever its type, or its types."""
    db.execute(f"create table audit ({columns}, created_at timestamptz, primary key ({key}))".encode())
    age = "now() - case when n < 20 then interval '200 days' else interval '1 day' end"
    db.execute(f"insert into audit select {row}, {age} from generate_series(0, 29) as n".encode())

    assert run(purge_audit(batch=7), url).rows == 20
    assert value(db, "select count(*) from audit") == 10


def test_names_may_be_hostile(db: psycopg.Connection[Any], url: str) -> None:
    """Quotes, dots, percent signs, braces and words of SQL in names of tables, columns, keys and schemas."""
    schema, table, key, column = 'a"b', "%s; drop table x.y", "locked", '"~key" % {due}'
    child = "select"
    create = sql.SQL(
        "create schema {schema}; create table {table} ({key} int primary key, {column} timestamptz);"
        "create table {child} ({column} int constraint {column} references {table});"
        "insert into {table} select n, now() - interval '1 day' * n from generate_series(179, 184) as n;"
        "insert into {child} values (182)"
    )
    db.execute(
        create.format(
            schema=sql.Identifier(schema),
            table=sql.Identifier(schema, table),
            child=sql.Identifier(schema, child),
            key=sql.Identifier(key),
            column=sql.Identifier(column),
        )
    )

    done = run(purge_audit(table=f'"a""b"."{table}"', column=column), url)

    assert (done.rows, done.kept) == (4, {column: 1})
    left = db.execute(
        sql.SQL("select {key} from {table} order by 1").format(
            key=sql.Identifier(key), table=sql.Identifier(schema, table)
        )
    )
    assert left.fetchall() == [(179,), (182,)]


@pytest.mark.parametrize("index", [True, False], ids=["by an index", "by blocks"])
def test_each_old_row_is_looked_at_once(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch, *, index: bool
) -> None:
    """However the table is cut into stretches, and however many rows share an instant."""
    monkeypatch.setattr(ranges, "STRETCH_ROWS", 7)
    monkeypatch.setattr(ranges, "STRETCH_BLOCKS", 2)
    chance = random.Random(7)
    make_audit(db, old=0, index=index)
    ages = [(n, f"{chance.choice([170, 175, 181, 182, 190])} days") for n in range(2000)]
    with db.cursor() as cursor:
        cursor.executemany("insert into audit values (%s, repeat('x', 100), now() - %s::interval)", ages)
    young = [n for n, age in ages if age < "18"]

    told = PurgeRun(url)
    done = purge_audit(batch=3)(told)

    assert done.rows == done.seen == 2000 - len(young)
    assert keys(db) == young


# --- what it is for the others ----------------------------------------------------------------------------


def test_a_batch_is_one_transaction_of_so_many_rows(db: psycopg.Connection[Any], url: str) -> None:
    """Nobody waits for more than that."""
    make_audit(db, old=1000)
    _log_deletes(db)

    run(purge_audit(batch=64), url)

    sizes = [row[0] for row in db.execute("select count(*) from gone group by xact").fetchall()]
    assert (sum(sizes), max(sizes)) == (1000, 64)


def test_batches_that_take_long_become_smaller(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cascade or a trigger may be slow; the locks are to be short all the same."""
    monkeypatch.setattr(purge_run, "LONG_BATCH_SECONDS", 0.05)
    make_audit(db, old=60)
    _log_deletes(db, "perform pg_sleep(0.01);")

    run(purge_audit(batch=32), url)

    sizes = db.execute("select count(*) from gone group by xact order by xact").fetchall()
    assert [size for (size,) in sizes][:4] == [32, 16, 8, 4]


def test_writers_are_not_blocked(db: psycopg.Connection[Any], url: str) -> None:
    """One that gives up after a second of waiting gets through, on old rows and on young, all the time."""
    make_audit(db, old=40_000, young=1000)
    ended = threading.Event()

    def write() -> int:
        with psycopg.connect(url, autocommit=True, options="-c lock_timeout=1s") as writer:
            written, chance = 0, random.Random(1)
            while not ended.is_set():
                key = chance.randrange(39_000, 41_000)
                writer.execute("update audit set kind = kind where id = %s", [key])
                writer.execute("insert into audit values (%s, 'x', now())", [100_000 + written])
                written += 1
            return written

    with beside(write) as written:
        done = run(purge_audit(pause="1ms"), url)
        ended.set()

    assert written() > 10
    assert done.rows + done.locked == 40_000


def test_rows_that_others_hold_are_left_and_counted(db: psycopg.Connection[Any], url: str) -> None:
    """They are the next run's; nobody waits for anybody."""
    make_audit(db, old=100)
    with psycopg.connect(url) as holder:
        holder.execute("select from audit where id in (3, 50) for key share")
        done = run(purge_audit(), url)
        assert (done.rows, done.locked, keys(db)) == (98, 2, [3, 50])
        assert "left 2 rows that others hold to the next run" in done.line()

    assert run(purge_audit(), url).rows == 2


def test_a_cascade_that_meets_a_lock_gives_up_soon(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the row whose child is locked is left."""
    monkeypatch.setattr(purge_run, "LOCK_TIMEOUT", "20ms")
    make_audit(db, old=50)
    db.execute("create table detail (audit_id bigint primary key references audit on delete cascade)")
    db.execute("insert into detail select id from audit")
    with psycopg.connect(url) as holder:
        holder.execute("select from detail where audit_id = 20 for update")
        done = run(purge_audit(), url)

    assert (done.rows, done.locked, keys(db)) == (49, 1, [20])


def test_a_row_that_becomes_young_meanwhile_stays(db: psycopg.Connection[Any], url: str) -> None:
    """The condition is looked at again under the row's lock."""
    make_audit(db, old=20)

    def touch(_: PurgeRun, done: float) -> None:
        if done == 5:
            db.execute("update audit set created_at = now() where id in (7, 8)")

    done = purge_audit(batch=5)(PurgeRun(url, touch))

    assert (done.rows, done.locked, keys(db)) == (18, 0, [7, 8])


def test_a_row_that_becomes_young_between_look_and_lock_stays(db: psycopg.Connection[Any], url: str) -> None:
    """Even if the statement's own snapshot shows it as old."""
    make_audit(db, old=3)
    make_slow(db)

    with beside(lambda: run(purge_audit(where="slow(id)"), url)) as done:
        wait_for_batch(db)
        db.execute("update audit set created_at = now() where id = 2")

    assert (done().rows, keys(db)) == (2, [2])


# --- how it ends ------------------------------------------------------------------------------------------


def test_a_purge_that_is_killed_is_resumed(project: Project, db: psycopg.Connection[Any], url: str) -> None:
    """By whoever comes next: what is deleted is gone, nothing else is, and nothing is locked."""
    make_audit(db, old=20_000, young=10)
    options = ("--column", "created_at", "--older-than", "180d", "--batch", "100", "--pause", "10ms")
    process = project.start("purge", "audit", *options)
    wait_until("some rows are gone", lambda: value(db, "select count(*) from audit") < 19_000)

    process.signal(signal.SIGKILL)
    process.wait()

    wait_until("its session has ended", lambda: not other_sessions(db))
    left = value(db, "select count(*) from audit")
    assert 10 < left < 19_000
    assert left % 100 == 10  # no batch by halves
    assert run(purge_audit(), url).rows == left - 10
    assert keys(db) == list(range(20_001, 20_011))


def test_a_cancelled_run_stops_after_its_batch(db: psycopg.Connection[Any], url: str) -> None:
    """And says what it has done."""
    make_audit(db, old=1000)

    with pytest.raises(StoppedError, match="stopped; deleted 300 rows") as stopped:
        purge_audit(batch=100)(PurgeRun(url, lambda run, done: run.cancelled.set() if done >= 300 else None))

    assert stopped.value.done.rows == 300
    assert len(keys(db)) == 700


def test_a_pause_ends_at_once_when_the_run_is_cancelled(db: psycopg.Connection[Any], url: str) -> None:
    """Shutdown does not wait for it."""
    make_audit(db, old=10)
    told = PurgeRun(url, lambda run, _: threading.Timer(0.1, run.cancelled.set).start())
    began = time.monotonic()

    with pytest.raises(StoppedError):
        purge_audit(batch=5, pause="1h")(told)

    assert time.monotonic() - began < 10
    assert len(keys(db)) == 5


def test_a_run_that_is_cancelled_already_does_nothing(db: psycopg.Connection[Any], url: str) -> None:
    """Not even one batch."""
    make_audit(db, old=10)
    told = PurgeRun(url)
    told.cancelled.set()

    with pytest.raises(StoppedError):
        purge_audit()(told)

    assert len(keys(db)) == 10


def test_a_lost_connection_ends_the_run_and_loses_nothing(db: psycopg.Connection[Any], url: str) -> None:
    """What is done stays done; the rest is the next run's."""
    make_audit(db, old=100)

    def cut(_: PurgeRun, done: float) -> None:
        if done == 30:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'poller test' and datname = current_database()"
            )

    with pytest.raises(psycopg.OperationalError):
        purge_audit(batch=10)(PurgeRun(url, cut))

    assert len(keys(db)) == 70
    assert run(purge_audit(), url).rows == 70


def test_a_table_that_vanishes_ends_the_run(db: psycopg.Connection[Any], url: str) -> None:
    """It is not taken for rows that are refused."""
    make_audit(db, old=100)

    with pytest.raises(psycopg.errors.UndefinedTable):
        purge_audit(batch=10)(PurgeRun(url, lambda _, done: done and db.execute("drop table audit")))


def test_progress_is_told_in_rows(db: psycopg.Connection[Any], url: str) -> None:
    """Against an estimate that never falls behind, and is right at the end."""
    make_audit(db, old=50, young=5)
    told = PurgeRun(url)

    purge_audit(batch=20)(told)

    assert [done for done, _ in told.told] == [0, 20, 40, 50, 50]
    assert all(total is not None and total >= done for done, total in told.told)
    assert told.told[-1] == (50, 50)


# --- rows that must stay ----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["no action", "restrict", "no action deferrable initially deferred"])
@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])
def test_rows_that_foreign_keys_need_are_kept_and_reported(
    db: psycopg.Connection[Any], url: str, action: str, *, indexed: bool
) -> None:
    """With the name of the key; the others go."""
    make_audit(db, old=1000)
    action = f"on delete {action}" if action != "no action deferrable initially deferred" else action[10:]
    db.execute(
        f"create table note (id int primary key, audit_id bigint, constraint about foreign key (audit_id)"
        f" references audit {action})".encode()
    )
    db.execute("insert into note select n, n * 10 from generate_series(1, 40) as n")
    if indexed:
        db.execute("create index on note (audit_id)")

    done = run(purge_audit(batch=300), url)

    assert keys(db) == [n * 10 for n in range(1, 41)]
    assert (done.rows, done.kept) == (960, {"about": 40})
    assert "kept 40 rows that about needs" in done.line()


def test_many_rows_that_foreign_keys_need_cost_no_failures(db: psycopg.Connection[Any], url: str) -> None:
    """They are known before: a batch is tried once, however many of its rows must stay."""
    make_audit(db, old=3000)
    db.execute("create table note (audit_id bigint primary key references audit)")
    db.execute("insert into note select id from audit where id % 2 = 0")
    before = _rollbacks(db)

    done = run(purge_audit(), url)

    assert (done.rows, sum(done.kept.values())) == (1500, 1500)
    assert _rollbacks(db) == before


def test_composite_keys_and_several_foreign_keys_are_told_apart(
    db: psycopg.Connection[Any], url: str
) -> None:
    """A row that two of them need is counted once."""
    db.execute("create table audit (a int, b text, created_at timestamptz, primary key (a, b))")
    db.execute(
        "insert into audit select n, 'b' || n, now() - interval '1 year' from generate_series(1, 9) as n"
    )
    db.execute(
        "create table one (x text, y int, constraint first foreign key (y, x) references audit (a, b))"
    )
    db.execute(
        "create table two (x text, y int, constraint second foreign key (y, x) references audit (a, b))"
    )
    db.execute("insert into one values ('b1', 1), ('b2', 2), ('b3', null)")
    db.execute("insert into two values ('b2', 2), ('b4', 4)")

    done = run(purge_audit(), url)

    assert (done.rows, done.kept) == (6, {"first": 2, "second": 1})


def test_what_may_go_along_goes_along(db: psycopg.Connection[Any], url: str) -> None:
    """ON DELETE CASCADE and SET NULL are the table's own words."""
    make_audit(db, old=100, young=1)
    db.execute("create table part (audit_id bigint primary key references audit on delete cascade)")
    db.execute("create table note (audit_id bigint references audit on delete set null)")
    db.execute("insert into part select id from audit")
    db.execute("insert into note select id from audit")

    assert run(purge_audit(), url).rows == 100
    assert value(db, "select count(*) from part") == 1
    assert value(db, "select count(audit_id) from note") == 1


def test_what_a_cascade_cannot_delete_keeps_its_row(db: psycopg.Connection[Any], url: str) -> None:
    """Found by trying: nothing is half-deleted."""
    make_audit(db, old=200)
    db.execute("create table part (id bigint primary key references audit on delete cascade)")
    db.execute("create table note (part_id bigint constraint held references part)")
    db.execute("insert into part select id from audit")
    db.execute("insert into note values (17), (18), (150)")

    done = run(purge_audit(), url)

    assert (done.rows, done.kept) == (197, {"held": 3})
    assert keys(db) == keys(db, "part") == [17, 18, 150]


def test_a_tree_goes_from_its_leaves(db: psycopg.Connection[Any], url: str) -> None:
    """A level a run, since a row that another needs is kept; a row may need itself."""
    db.execute("create table audit (id int primary key, parent int references audit, created_at timestamptz)")
    db.execute(
        "insert into audit select n, greatest(n / 2, 1), now() - interval '1 year'"
        " from generate_series(1, 7) as n"
    )

    assert [run(purge_audit(), url).rows for _ in range(3)] == [4, 2, 1]


def test_a_child_that_is_being_added_keeps_its_row(db: psycopg.Connection[Any], url: str) -> None:
    """Its transaction has the row locked, as foreign keys have it."""
    make_audit(db, old=10)
    db.execute("create table note (audit_id bigint references audit)")
    with psycopg.connect(url) as writer:
        writer.execute("insert into note values (5)")
        done = run(purge_audit(), url)
        writer.commit()

    assert (done.rows, done.locked, keys(db)) == (9, 1, [5])


def test_rows_that_a_trigger_refuses_are_reported(db: psycopg.Connection[Any], url: str) -> None:
    """With what it said; the others go."""
    make_audit(db, old=300)
    _trigger(db, "if old.id in (7, 8, 250) then raise 'row % is evidence', old.id % 2; end if;")

    done = run(purge_audit(), url)

    assert keys(db) == [7, 8, 250]
    assert (done.rows, done.refused) == (297, {"row 0 is evidence": 2, "row 1 is evidence": 1})
    assert "2 rows refused: row 0 is evidence" in done.line()


@pytest.mark.parametrize("state", ["42501", "57014", "53200", "0A000"])
def test_a_row_that_a_trigger_refuses_costs_itself_only_whatever_class_it_chooses(
    db: psycopg.Connection[Any], url: str, state: str
) -> None:
    """Permissions, say: Postgres' own error of that class would be every row's, and ends the run."""
    make_audit(db, old=20)
    _trigger(db, f"if old.id = 7 then raise 'not this one' using errcode = '{state}'; end if;")

    done = run(purge_audit(), url)

    assert (done.rows, done.refused) == (19, {"not this one": 1})


def test_values_of_refused_rows_are_not_told(db: psycopg.Connection[Any], url: str) -> None:
    """What an error about data quotes is a row's; so the rows are counted together."""
    make_audit(db, old=300)
    _trigger(db, "if old.id in (7, 8) then perform ('SECRET' || old.id)::int; end if;")

    done = run(purge_audit(), url)

    assert done.refused == {'invalid input syntax for type integer: "…"': 2}


def test_rows_that_a_trigger_leaves_silently_are_reported(db: psycopg.Connection[Any], url: str) -> None:
    """It returned null."""
    make_audit(db, old=300)
    _trigger(db, "if old.id in (7, 8) then return null; end if;")

    done = run(purge_audit(), url)

    assert (done.rows, sum(done.refused.values()), keys(db)) == (298, 2, [7, 8])


def test_refused_rows_are_looked_for_only_so_long(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many of them a batch that is refused is left as it is, and the others still go."""
    monkeypatch.setattr(purge_run, "MOST_ALONE_ROWS", 10)
    make_audit(db, old=1000)
    _trigger(db, "if old.id <= 500 and old.id % 5 = 0 then raise 'evidence'; end if;")

    done = run(purge_audit(batch=50), url)

    assert done.refused == {"evidence": 10}
    assert (done.rows, done.untried) == (40 + 500, 450)
    assert "left 450 rows beside refused ones" in done.line()


# --- the plans --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["with statistics", "without"])
@pytest.mark.parametrize("index", [True, False], ids=["by an index", "by blocks"])
def test_no_statement_reads_the_whole_table(
    db: psycopg.Connection[Any], url: str, *, index: bool, known: bool
) -> None:
    """Of a table of 200,000 rows each sees its stretch, or its batch, by an index or a range of blocks."""
    db.execute("create table audit (id bigint primary key, kind text, created_at timestamptz)")
    db.execute("alter table audit set (autovacuum_enabled = off)")
    db.execute(
        "insert into audit select n, repeat('x', 200), now() - interval '400 days' + n * interval '2 min'"
        " from generate_series(1, 200000) as n"
    )
    if index:
        db.execute("create index audit_age on audit (created_at)")
    if known:
        db.execute("analyze audit")
    with connect(url, "test") as connection:
        made = old_rows.bind(connection, retention(purge_audit()).rule)
        walk = ranges.stretches(connection, made)
        first = next(walk)
        next(walk)
        listing = _plan(connection, made.listing(first))
        batch = _plan(connection, made.batch, keys="{" + ",".join(map(str, range(1000))) + "}")

    assert ("audit_age" if index else "Tid Range Scan") in listing, listing
    assert "Seq Scan on audit" not in listing, listing
    assert "audit_pkey" in batch, batch
    assert "Seq Scan on audit" not in batch, batch


def test_rows_of_one_instant_are_listed_once(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number does not multiply the work."""
    monkeypatch.setattr(ranges, "STRETCH_ROWS", 100)
    make_audit(db, old=0)
    db.execute(
        "insert into audit select n, 'x', date_trunc('day', now()) - (200 + n % 2) * interval '1 day'"
        " from generate_series(1, 5000) as n"
    )
    with connect(url, "test") as connection:
        made = old_rows.bind(connection, retention(purge_audit()).rule)
        assert len(list(ranges.stretches(connection, made))) == 3

    assert run(purge_audit(), url).rows == 5000


@pytest.mark.parametrize(
    ("index", "where", "serves"),
    [
        ("(created_at)", None, True),
        ("(created_at desc, kind)", "kind = 'x'", True),
        ("(kind, created_at)", "kind = 'x'", True),
        ("(created_at) where kind = 'x'", "kind = 'x'", True),
        ("(created_at) where kind = 'x'", None, False),
        ("(kind, created_at)", None, False),
        ("(kind, created_at)", "kind = 'x' and id % 2 = 0", False),
        ("using brin (created_at)", None, False),
        ("using hash (created_at)", None, False),
    ],
)
def test_an_index_is_used_if_it_gives_the_rows_in_order(
    db: psycopg.Connection[Any], url: str, index: str, where: str | None, *, serves: bool
) -> None:
    """As Postgres itself has it; else there is advice, and the blocks are walked."""
    make_audit(db, old=100, young=100, index=False)
    db.execute(f"create index on audit {index}".encode())

    advice = retention(purge_audit(where=where)).advice(db)

    assert (advice is None) == serves, advice
    if advice is not None:
        db.execute(advice.encode())
        assert retention(purge_audit(where=where)).advice(db) is None
    assert run(purge_audit(where=where), url).rows == (50 if where and "id" in where else 100)


# --- helpers ----------------------------------------------------------------------------------------------


def _trigger(db: psycopg.Connection[Any], code: str) -> None:
    """Have a trigger run before each row of `audit` is deleted."""
    db.execute(
        f"create function watch() returns trigger language plpgsql as $$ begin {code} return old; end $$;"
        "create trigger watch before delete on audit for each row execute function watch()".encode()
    )


def _log_deletes(db: psycopg.Connection[Any], code: str = "") -> None:
    """Log the transaction in which each row of `audit` is deleted."""
    db.execute("create table gone (id bigint, xact text)")
    _trigger(db, f"{code} insert into gone values (old.id, lpad(pg_current_xact_id()::text, 20));")


def _rollbacks(db: psycopg.Connection[Any]) -> int:
    wait_until("only we are connected", lambda: not other_sessions(db))
    db.execute("select pg_stat_force_next_flush()" if db.info.server_version >= 150000 else "select 1")
    return int(value(db, "select xact_rollback from pg_stat_database where datname = current_database()"))


def _plan(connection: psycopg.Connection[Any], statement: sql.Composed, **asked: Any) -> str:
    rows = connection.execute(sql.SQL("explain {}").format(statement), asked).fetchall()
    return "\n".join(row[0] for row in rows)


# --- beside handlers ------------------------------------------------------------------------------------------------


def lease(db: psycopg.Connection[Any], *held: int) -> None:
    """Have a handler of `audit` hold some rows."""
    db.execute(
        "insert into poller.handler (table_name, status) values ('public.audit', 'old') on conflict do nothing"
    )
    db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'h', 1, 1, '{}', '30 s')"
    )
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys)"
        " select h.id, (select max(id) from poller.worker), %s::text[] from poller.handler as h",
        [[str(key) for key in held]],
    )


def test_g2_rows_that_handlers_have_in_hand_are_left_and_counted(
    db: psycopg.Connection[Any], url: str
) -> None:
    """They are not deleted under the handler; the next run takes them."""
    make_audit(db, old=9)
    lease(db, 2, 5)

    done = run(purge_audit(batch=3), url)

    assert (done.rows, done.held, done.locked, done.refused) == (7, 2, 0, {})
    assert "left 2 rows that handlers have in hand to the next run" in done.line()
    assert keys(db) == [2, 5]
    db.execute("delete from poller.claim")
    assert run(purge_audit(), url).rows == 2


def test_g2_a_row_that_is_claimed_while_a_batch_waits_for_its_rows_is_left(
    db: psycopg.Connection[Any], url: str
) -> None:
    """The batch's snapshot is older than the lease; what it asks once it has locked its rows is not."""
    make_audit(db, old=3)
    make_slow(db)

    with beside(lambda: run(purge_audit(where="slow(id)"), url)) as done:
        wait_for_batch(db)
        lease(db, 1, 3)

    assert done().held == 2
    assert keys(db) == [1, 3]
