"""The primary key of a table gets more columns, or a table inherits from it, while a fleet is at work.

The statements of before would still succeed: by a key that several rows share by now. No row is moved that was not
handled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.db import migration
from poller.testing import Engine
from tests.engines import moves
from tests.harness import wait_until
from tests.times import one_in

if TYPE_CHECKING:
    from tests.harness import Project

TABLE = """
create table thing (id int primary key, tenant text not null default 'a', status text not null default 'pending')
"""
WIDER = "alter table thing drop constraint thing_pkey, add primary key (id, tenant)"

SEEN = """
import asyncio, os, time
def see(row):
    with open("seen", "a") as log:
        log.write(f"{row.id}{row.tenant}\\n")
    if row.tenant == "b":
        raise Fail("b is bad")
    while row.id == 1 and not os.path.exists("on"):
        time.sleep(0.01)
"""
MODES = {
    "thread": "def work(row): see(row)",
    "coroutine": "async def work(row): await asyncio.to_thread(see, row)",
    "process": "def work(row): see(row)",
    "batch": "def work(rows):\n    for row in rows: see(row)",
    "transactional": "def work(row): see(row)",
    "during": "def work(row): see(row)",
}
OPTIONS = {
    "process": ", executor='process'",
    "batch": ", batch=1000",
    "transactional": ", transactional=True",
    "during": ", during='busy'",
}


def handlers(mode: str) -> str:
    """Return a handler that notes which rows it has seen, and waits at the first."""
    options = OPTIONS.get(mode, "")
    attempts = ", attempts=1" if mode != "batch" else ""
    return f'{SEEN}\n@handler("thing", status="pending", to="normal"{attempts}{options})\n{MODES[mode]}\n'


def seen(project: Project) -> list[str]:
    """Return the rows that the handler was called with, in order."""
    path = project.folder / "seen"
    return path.read_text().split() if path.exists() else []


def shows(db: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the statuses of the rows."""
    return dict(db.execute("select id || tenant, status from thing").fetchall())


@pytest.mark.fault("F23")
@pytest.mark.parametrize("mode", one_in(3, MODES))
def test_g1_rows_that_share_what_was_the_key_are_handled_each(
    project: Project, db: psycopg.Connection[Any], mode: str
) -> None:
    """The fleet is idle when the key gets another column; one that fails takes no other with it."""
    db.execute(TABLE.encode())
    project.handlers(handlers(mode))
    project.start("run", "--workers", "1")
    db.execute("insert into thing values (7)")
    wait_until("it works", lambda: shows(db) == {"7a": "normal"})
    db.execute(WIDER.encode())
    db.execute("insert into thing values (20, 'a'), (20, 'b'), (20, 'c'), (21, 'b'), (21, 'a')")
    if mode == "batch":
        db.execute("delete from thing where tenant = 'b'")
    done = {"7a": "normal", "20a": "normal", "20c": "normal", "21a": "normal"}
    bad = {} if mode == "batch" else {"20b": "pending", "21b": "pending"}
    wait_until("those that can be are done", lambda: shows(db) == done | bad)
    wait_until("nothing is held", lambda: not db.execute("select from poller.claim").rowcount)
    assert sorted(seen(project)) == sorted(done | bad), "each of them once"
    parked = "select key::jsonb ->> 1 from poller.attempt where state = 'parked'"
    assert {row[0] for row in db.execute(parked)} <= {"b"}


@pytest.mark.fault("F23")
@pytest.mark.parametrize("mode", one_in(3, MODES))
def test_g1_what_is_in_flight_when_the_key_changes_moves_no_other_row(
    project: Project, db: psycopg.Connection[Any], mode: str
) -> None:
    """Its result is for the key of before, which is none any more: it is done again, and its namesake is handled."""
    db.execute(TABLE.encode())
    db.execute("insert into thing values (1)")
    project.handlers(handlers(mode))
    project.start("run", "--workers", "1")
    wait_until("it is under way", lambda: seen(project) == ["1a"])
    if mode == "transactional":  # its transaction has the table's lock: the change waits for it
        db.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.execute(WIDER.encode())
        return
    db.execute(WIDER.encode())
    db.execute("insert into thing values (1, 'c')")
    (project.folder / "on").touch()
    if mode == "during":
        wait_until("the other is done", lambda: shows(db)["1c"] == "normal")
        return
    wait_until("both are done", lambda: shows(db) == {"1a": "normal", "1c": "normal"})
    assert sorted(seen(project)) == ["1a", "1a", "1c"]


@pytest.mark.fault("F23")
def test_g1_rows_of_a_table_that_inherits_are_not_taken(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """The handler rests with the reason, until the inheritance has ended."""
    db.execute(TABLE.encode())
    project.handlers(handlers("thread"))
    fleet = project.start("run", "--workers", "1")
    db.execute("insert into thing values (7)")
    wait_until("it works", lambda: shows(db) == {"7a": "normal"})
    db.execute("create table heir (primary key (id)) inherits (thing)")
    db.execute("insert into heir values (20, 'a')")
    db.execute("insert into thing values (20, 'c')")
    wait_until("it is said", lambda: "another table inherits from it" in fleet.log)
    assert seen(project) == ["7a"]
    db.execute("alter table heir no inherit thing")
    wait_until("its own is done", lambda: shows(db) == {"7a": "normal", "20c": "normal"}, timeout=60)


@pytest.mark.parametrize("table", ["ordinary", "partitioned", "with heirs once", "includes"])
def test_g1_a_key_that_has_not_changed_is_not_taken_for_another(
    url: str, db: psycopg.Connection[Any], table: str
) -> None:
    """Renamed columns and tables, rebuilt indexes, and heirs of before are no other key."""
    migration.migrate(url)
    partitioned = " partition by list (tenant)" if table == "partitioned" else ""
    key = "id, tenant" if partitioned else "id"
    included = " include (status)" if table == "includes" else ""
    db.execute(
        "create table thing (id int, tenant text default 'a', status text not null default 'pending',"
        f" primary key ({key}){included}){partitioned}".encode()
    )
    if partitioned:
        db.execute("create table part partition of thing default")
    if table == "with heirs once":
        db.execute("create table heir () inherits (thing); drop table heir")
    with Engine(url, moves("thing")) as engine:
        for number, change in enumerate(
            (
                "reindex table thing",
                "alter table thing rename to other; alter table other rename to thing",
                "alter table thing rename column id to number; alter table thing rename column number to id",
                "analyze thing",
            )
        ):
            for one in filter(None, change.split("; ")):
                db.execute(one.encode())
            db.execute("insert into thing (id) values (%s)", [number])
            assert len(engine.run_due()) == 1
