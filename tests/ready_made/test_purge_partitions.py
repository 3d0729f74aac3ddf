"""`purge` of a table that is partitioned by the age of its rows: whole partitions are dropped."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from poller.db import tables
from poller.db.connection import connect
from poller.model.table_name import TableName
from poller.ready_made import old_rows, partitions, ranges
from poller.ready_made.retention_report import StoppedError
from tests.command_line import value
from tests.maintained import (
    DAYS,
    PurgeRun,
    a_role,
    keys,
    make_partitions,
    purge_audit,
    relations,
    retention,
    run,
)

WATCH = "create function f() returns trigger language plpgsql as 'begin return old; end';"
YOUNG = [20, 40, 60, 80, 100, 120, 140, 160, 180]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_whole_partitions_are_dropped_and_the_others_purged_by_rows(
    db: psycopg.Connection[Any], url: str, kind: str
) -> None:
    """Those that lie before the cut-off, by name; the one across it keeps its young rows."""
    make_partitions(db, kind)

    done = run(purge_audit(), url)

    assert relations(db) == {"mixed", "young"}
    assert done.partitions == ["public.oldest", "public.older"]
    assert keys(db) in (YOUNG, YOUNG[:-1])
    assert "dropped 2 partitions: public.oldest, public.older" in done.line()


def test_beside_a_default_partition_they_are_dropped_too(db: psycopg.Connection[Any], url: str) -> None:
    """In one step, since Postgres cannot detach concurrently there; the default is purged by rows."""
    make_partitions(db, default=True)
    db.execute("insert into audit values (9000, now() - interval '9000 days')")

    done = run(purge_audit(), url)

    assert relations(db) == {"mixed", "young", "rest"}
    assert done.partitions == ["public.oldest", "public.older"]
    assert 9000 not in keys(db)


def test_a_partition_that_is_partitioned_itself_is_dropped_with_its_own(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Age alone decides, however its rows are spread."""
    make_partitions(db)
    db.execute(
        "create table part (like audit) partition by hash (id);"
        "create table part_0 partition of part for values with (modulus 1, remainder 0);"
        "alter table audit attach partition part for values from ('2000-01-01') to ('2001-01-01');"
        "insert into audit values (1, '2000-07-01')"
    )

    assert run(purge_audit(), url).partitions == ["public.part", "public.oldest", "public.older"]
    assert "part" not in relations(db)


def test_with_a_condition_no_partition_is_dropped(db: psycopg.Connection[Any], url: str) -> None:
    """It may spare rows."""
    make_partitions(db)

    done = run(purge_audit(where="id <> 300"), url)

    assert relations(db) == set(DAYS)
    assert done.partitions == []
    assert [key for key in keys(db) if key > 200] == [300]


@pytest.mark.parametrize(
    ("ddl", "reason"),
    [
        (
            "create table note (a int, b timestamptz, constraint about foreign key (a, b) references audit)",
            "foreign keys refer to them",
        ),
        (
            WATCH + "create trigger watch before delete on audit for each row execute function f()",
            "the trigger watch wants to see each row deleted",
        ),
        (
            WATCH + "create trigger watch after delete on oldest for each statement execute function f()",
            "the trigger watch wants to see each row deleted",
        ),
    ],
    ids=["foreign key", "trigger", "trigger of the partition"],
)
def test_what_stands_against_dropping_is_said_and_the_rows_go(
    db: psycopg.Connection[Any], url: str, ddl: str, reason: str
) -> None:
    """One by one."""
    make_partitions(db)
    db.execute(ddl.encode())

    done = run(purge_audit(), url)

    assert f"partitions that are wholly old are purged row by row, since {reason}" in done.notes
    assert "oldest" in relations(db)
    assert max(keys(db)) <= 180


def test_rows_that_foreign_keys_need_are_kept_in_partitions(db: psycopg.Connection[Any], url: str) -> None:
    """And reported by the name of the key as the user gave it."""
    make_partitions(db)
    db.execute(
        "create table note (a int, b timestamptz, constraint about foreign key (a, b) references audit)"
    )
    db.execute("insert into note select id, created_at from audit where id in (20, 300)")

    done = run(purge_audit(), url)

    assert done.kept == {"about": 1}
    assert 300 in keys(db)


def test_who_is_not_the_owner_purges_by_rows(db: psycopg.Connection[Any], url: str) -> None:
    """The grants for rows are enough."""
    make_partitions(db)

    with a_role(db, url, "select, update, delete on audit") as as_role:
        done = run(purge_audit(), as_role)

    assert done.notes == [
        "partitions that are wholly old are purged row by row, since only their owner may drop them"
    ]
    assert relations(db) == set(DAYS)
    assert max(keys(db)) <= 180


def test_partitions_with_row_security_are_purged_by_rows(db: psycopg.Connection[Any], url: str) -> None:
    """What the policy hides is not deleted, though its owner could drop all of it; the run says why."""
    make_partitions(db)
    with a_role(db, url, "usage, create on schema public") as owner:
        name = owner.rpartition("%3D")[2]
        for table in ("audit", *DAYS):
            db.execute(f"alter table {table} owner to {name}".encode())
        db.execute("alter table audit enable row level security, force row level security")
        db.execute("create policy most on audit using (id <> 300)")

        done = run(purge_audit(), owner)

        assert done.partitions == []
        assert "row level security may hide rows of them" in done.line()
        assert 300 in keys(db)
        assert keys(db) in ([*YOUNG, 300], [*YOUNG[:-1], 300])
        db.execute("drop policy most on audit")


@pytest.mark.parametrize("default", [False, True])
def test_g2_a_partition_with_rows_in_hand_is_not_dropped(
    db: psycopg.Connection[Any], url: str, *, default: bool
) -> None:
    """Its other rows go, and the next run drops it."""
    make_partitions(db, default=default)
    db.execute("insert into poller.handler (table_name, status) values ('public.audit', 's')")
    db.execute(
        "insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
        " values (gen_random_uuid(), 'h', 1, 1, '{}', '30 s')"
    )
    db.execute(
        "insert into poller.claim (handler_id, worker_id, keys)"
        " select h.id, w.id, array[%s] from poller.handler as h, poller.worker as w",
        [key_of(db, 400)],
    )

    done = run(purge_audit(), url)

    assert done.held == 1
    assert 400 in keys(db)
    assert "handlers hold some of its rows" in done.line()
    db.execute("delete from poller.claim")
    run(purge_audit(), url)
    assert 400 not in keys(db)


def key_of(db: psycopg.Connection[Any], row: int) -> str:
    """Return the key of a row as a handler would hold it."""
    table = tables.describe(db, TableName(None, "audit"))
    question = sql.SQL("select {} from audit as t where id = {}").format(table.key_text(), sql.Literal(row))
    with db.transaction():
        db.execute("set local timezone = 'UTC'")
        return str(db.execute(question).fetchone()[0])  # type: ignore[index]


def test_what_depends_on_a_partition_keeps_it_empty(db: psycopg.Connection[Any], url: str) -> None:
    """Its rows are gone all the same, and each run says why it is there still."""
    make_partitions(db)
    db.execute("create view seen as select * from oldest")

    for _ in range(2):
        done = run(purge_audit(), url)
        assert any("public.oldest cannot be dropped" in note for note in done.notes)

    assert relations(db) == {"oldest", "mixed", "young"}
    assert value(db, "select count(*) from oldest") == 0


@pytest.mark.parametrize("step", ["_detach", "_drop_empty"])
def test_a_purge_that_dies_between_two_steps_is_resumed(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No row is left in a table that nobody knows, and the next drops what is left of the partition."""
    make_partitions(db)
    _die_at(monkeypatch, step)
    with pytest.raises(KeyboardInterrupt):
        run(purge_audit(), url)
    assert "oldest" in relations(db)
    assert value(db, "select count(*) from oldest") == 0
    monkeypatch.undo()

    done = run(purge_audit(), url)

    assert relations(db) == {"mixed", "young"}
    assert set(done.partitions) == {"public.oldest", "public.older"}


def test_a_table_that_was_filled_again_is_not_dropped(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever did that had a reason."""
    make_partitions(db)
    _die_at(monkeypatch, "_drop_empty")
    with pytest.raises(KeyboardInterrupt):
        run(purge_audit(), url)
    monkeypatch.undo()
    db.execute("insert into oldest values (1, now() - interval '350 days')")

    done = run(purge_audit(), url)

    assert "oldest" in relations(db)
    assert "public.oldest cannot be dropped: it has rows again" in done.notes


def test_a_partition_that_others_detach_is_theirs(db: psycopg.Connection[Any], url: str) -> None:
    """They may want to keep it."""
    make_partitions(db)
    db.execute("alter table audit detach partition oldest")

    assert run(purge_audit(), url).partitions == ["public.older"]
    assert value(db, "select count(*) from oldest") == 5


def test_a_partition_in_use_is_left_to_a_later_run(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is kept waiting for long; its rows are purged where that can be, and the rest goes on."""
    monkeypatch.setattr(partitions, "BRIEFLY", "50ms")
    monkeypatch.setattr(partitions, "PAUSE_SECONDS", 0.01)
    make_partitions(db)
    with psycopg.connect(url) as reader:
        reader.execute("select from oldest")
        done = run(purge_audit(), url)

    assert done.notes == ["public.oldest is in use, and is dropped by a later run"]
    assert done.partitions == ["public.older"]
    assert max(keys(db)) <= 180
    assert run(purge_audit(), url).partitions == ["public.oldest"]


@pytest.mark.thorough
def test_a_detachment_that_somebody_holds_up_is_finished_by_a_later_run(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the table does not notice; the rows are gone already."""
    monkeypatch.setattr(partitions, "PATIENTLY", "100ms")
    make_partitions(db)
    with psycopg.connect(url) as reader:
        reader.execute("select from young")
        reader.execute("select from audit where created_at > now() - interval '50 days'")
        done = run(purge_audit(), url)
        assert "public.oldest is in use, and is dropped by a later run" in done.notes
        assert max(keys(db)) <= 180

    assert run(purge_audit(), url).partitions == ["public.oldest", "public.older"]
    assert relations(db) == {"mixed", "young"}


def test_a_cancelled_run_stops_between_partitions(db: psycopg.Connection[Any], url: str) -> None:
    """As between batches."""
    make_partitions(db)
    told = PurgeRun(url)
    count = 0

    class Soon(type(told.cancelled)):  # type: ignore[misc]
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal count
            count += 1
            return count > 2 or super().wait(timeout)

    told.cancelled = Soon()
    with pytest.raises(StoppedError, match=r"dropped 1 partition: public\.oldest"):
        purge_audit()(told)

    assert relations(db) == {"older", "mixed", "young"}


def test_a_table_partitioned_otherwise_is_purged_by_rows(db: psycopg.Connection[Any], url: str) -> None:
    """By key, or by more than the column."""
    db.execute(
        "create table audit (id int, created_at timestamptz, primary key (id, created_at))"
        " partition by range (created_at, id);"
        "create table part partition of audit for values from ('2000-01-01', 0) to ('2001-01-01', 0);"
        "insert into audit values (1, '2000-01-02'), (2, '2000-02-03')"
    )

    done = run(purge_audit(), url)

    assert (done.rows, done.partitions) == (2, [])
    assert "part" in relations(db)


@pytest.mark.parametrize("index", [True, False], ids=["by an index", "by blocks"])
def test_young_partitions_are_not_even_read(db: psycopg.Connection[Any], url: str, *, index: bool) -> None:
    """Whether or not there is an index; the advice is one that Postgres makes for a partitioned table."""
    make_partitions(db)
    if index:
        advice = retention(purge_audit()).advice(db)
        assert advice == 'CREATE INDEX ON "public"."audit" ("created_at")'
        db.execute(advice.encode())
        assert retention(purge_audit()).advice(db) is None
    with connect(url, "test") as connection:
        made = old_rows.bind(connection, retention(purge_audit()).rule)
        for stretch in ranges.stretches(connection, made):
            plan = connection.execute(sql.SQL("explain {}").format(made.listing(stretch)), {}).fetchall()
            assert "young" not in str(plan)
            assert "oldest" in str(plan)


def test_a_dry_run_names_what_would_be_dropped(db: psycopg.Connection[Any], url: str) -> None:
    """And counts the rows of these, too."""
    make_partitions(db)

    assert retention(purge_audit()).count(db) in (11, 12)
    assert relations(db) == set(DAYS)


def _die_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(partitions, step, die)
