"""Partitions that somebody refuses to have emptied, detached or dropped: each costs itself only."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.ready_made import partitions
from tests.command_line import value
from tests.harness import wait_until
from tests.maintained import DAYS, keys, make_partitions, purge_audit, relations, run

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSE = "create function refuse() returns {} language plpgsql as $$ begin {} end $$"
OBJECTS = {
    "ddl_command_end": "pg_event_trigger_ddl_commands()",
    "sql_drop": "pg_event_trigger_dropped_objects()",
}


@contextlib.contextmanager
def an_event_trigger(db: psycopg.Connection[Any], event: str, tag: str, body: str) -> Iterator[None]:
    """Make an event trigger, until the end of the block."""
    db.execute(REFUSE.format("event_trigger", body).encode())
    db.execute(
        f"create event trigger refuse on {event} when tag in ('{tag}') execute function refuse()".encode()
    )
    try:
        yield
    finally:
        db.execute("drop event trigger refuse")


def refuse_oldest(event: str) -> str:
    """Return the body of an event trigger that refuses what is done to the partition `oldest`."""
    return (
        f"if exists (select from {OBJECTS[event]} as o where o.object_identity = 'public.oldest')"
        " then raise 'not here'; end if;"
    )


@pytest.mark.parametrize("state", ["raise_exception", "insufficient_privilege", "57014", "53200"])
def test_a_trigger_on_truncate_keeps_its_partition_only(
    db: psycopg.Connection[Any], url: str, state: str
) -> None:
    """Whatever class of error it chooses; its rows go one by one, and the other partitions as a whole."""
    make_partitions(db)
    body = f"raise 'not here' using errcode = '{state}';"
    db.execute(REFUSE.format("trigger", body).encode())
    db.execute("create trigger refuse before truncate on oldest execute function refuse()")

    done = run(purge_audit(), url)

    assert done.notes == ["public.oldest cannot be dropped: not here"]
    assert done.partitions == ["public.older"]
    assert (done.rows >= 5, max(keys(db)) <= 180) == (True, True)
    assert run(purge_audit(), url).notes == done.notes


@pytest.mark.parametrize("event", ["ddl_command_start", "ddl_command_end"])
def test_partitions_that_may_not_be_marked_are_purged_by_rows(
    db: psycopg.Connection[Any], url: str, event: str
) -> None:
    """None is emptied without its mark: what is left of it would be nobody's."""
    make_partitions(db)
    body = "raise 'not here';" if event == "ddl_command_start" else refuse_oldest(event)

    with an_event_trigger(db, event, "COMMENT", body):
        done = run(purge_audit(), url)

    assert "public.oldest cannot be dropped: not here" in done.notes
    assert done.partitions == ([] if event == "ddl_command_start" else ["public.older"])
    assert max(keys(db)) <= 180


def test_partitions_that_may_not_be_detached_stay_empty(db: psycopg.Connection[Any], url: str) -> None:
    """All of them are emptied at once, and dropped when they may be."""
    make_partitions(db)

    with an_event_trigger(db, "ddl_command_start", "ALTER TABLE", "raise 'not here';"):
        done = run(purge_audit(), url)
        assert done.notes == [f"public.{name} cannot be dropped: not here" for name in ("oldest", "older")]
        assert value(db, "select count(*) from older") == 0

    assert run(purge_audit(), url).partitions == ["public.oldest", "public.older"]


def test_a_detachment_that_is_refused_at_its_end_is_not_in_the_way_of_rows(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Postgres detaches no other before it is finished: their rows go one by one."""
    make_partitions(db)

    with an_event_trigger(db, "ddl_command_end", "ALTER TABLE", "raise 'not here';"):
        for _ in range(2):
            done = run(purge_audit(), url)
            assert done.notes == ["public.oldest cannot be dropped: not here"]
            assert max(keys(db)) <= 180

    assert run(purge_audit(), url).partitions == ["public.oldest", "public.older"]


def test_a_partition_that_may_not_be_dropped_stays_detached_and_empty(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Each run says so, drops the others, and purges the rows; at last it may be dropped."""
    make_partitions(db)

    with an_event_trigger(db, "sql_drop", "DROP TABLE", refuse_oldest("sql_drop")):
        for dropped in (["public.older"], []):
            done = run(purge_audit(), url)
            assert (done.notes, done.partitions) == (["public.oldest cannot be dropped: not here"], dropped)
            assert max(keys(db)) <= 180

    assert relations(db) == {"oldest", "mixed", "young"}
    assert run(purge_audit(), url).partitions == ["public.oldest"]


def test_beside_a_default_partition_too(db: psycopg.Connection[Any], url: str) -> None:
    """There it is dropped in one step; if that is refused, it keeps its place, and its rows go one by one."""
    make_partitions(db, default=True)

    with an_event_trigger(db, "sql_drop", "DROP TABLE", refuse_oldest("sql_drop")):
        done = run(purge_audit(), url)

    assert (done.notes, done.partitions) == (["public.oldest cannot be dropped: not here"], ["public.older"])
    assert max(keys(db)) <= 180


@pytest.mark.parametrize("tag", ["COMMENT", "ALTER TABLE", "DROP TABLE"])
def test_event_triggers_find_names_by_the_users_path(db: psycopg.Connection[Any], url: str, tag: str) -> None:
    """Theirs are users' functions, as triggers on truncate are."""
    make_partitions(db)
    db.execute("create table seen (tag text)")

    with an_event_trigger(db, "ddl_command_end", tag, "insert into seen values (tg_tag);"):
        assert run(purge_audit(), url).partitions == ["public.oldest", "public.older"]

    assert value(db, "select count(*) from seen") == 2


def begin_to_detach(db: psycopg.Connection[Any], url: str, name: str) -> None:
    """Leave a partition on its way: the second half of its detachment is given up."""
    db.execute("set lock_timeout = '50ms'")
    with psycopg.connect(url) as reader:
        reader.execute("select from audit")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.execute(f"alter table audit detach partition {name} concurrently".encode())


def test_a_partition_that_others_began_to_detach_is_theirs(db: psycopg.Connection[Any], url: str) -> None:
    """It keeps its rows; until it is gone, Postgres detaches no other, and their rows go one by one."""
    make_partitions(db)
    begin_to_detach(db, url, "oldest")

    done = run(purge_audit(), url)

    assert done.partitions == []
    assert value(db, "select count(*) from oldest") == 5
    assert value(db, "select count(*) from pg_inherits where inhdetachpending") == 1
    assert max(keys(db)) <= 180


def test_a_partition_on_its_way_goes_before_older_ones(db: psycopg.Connection[Any], url: str) -> None:
    """These would wait for it in each run."""
    make_partitions(db)
    mark = partitions.MARK.format("public.audit")
    db.execute(f"truncate older; comment on table older is '{mark}'".encode())
    begin_to_detach(db, url, "older")

    assert run(purge_audit(), url).partitions == ["public.older", "public.oldest"]


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
def test_what_ends_the_run_is_no_partitions_refusal(
    db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A cancel, or a session that is lost, while it waits for a partition."""
    monkeypatch.setattr(partitions, "BRIEFLY", "30s")
    make_partitions(db)
    waiting = (
        "select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^(lock|truncate) table'"
    )

    def end_it() -> None:
        wait_until("it waits", lambda: db.execute(waiting).fetchone())
        db.execute(f"select {end}(pid) from ({waiting}) as w".encode())

    with psycopg.connect(url) as reader:
        reader.execute("select from oldest")
        ender = threading.Thread(target=end_it)
        ender.start()
        with pytest.raises(psycopg.OperationalError):
            run(purge_audit(), url)
        ender.join()

    assert relations(db) == set(DAYS)
