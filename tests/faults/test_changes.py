"""What people do to a table, and to poller's schema, while handlers are at work: edit, delete, rename, alter, drop."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.faults.audit import audit, began, leased, make_rows, transactional, wait_until_done
from tests.harness import Project, wait_until, workers_of
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = pytest.mark.parametrize("handlers", [leased, transactional])
GATE = 4713  # an advisory lock at which handlers wait

WAITS = """
def wait(row):
    import psycopg
    with psycopg.connect(os.environ["GATE_URL"], autocommit=True) as gate:
        open(f"waits-{row.id}", "w").close()
        gate.execute("select pg_advisory_lock_shared(4713)")
"""


def _waiting(handlers: Callable[[], str]) -> str:
    return (
        handlers()
        .replace("    note(row, ctx)\n", "    note(row, ctx)\n    wait(row)\n")
        .replace("@handler", WAITS + "\n@handler")
    )


@pytest.fixture
def gate(db: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Holds the gate shut at which handlers wait."""
    with psycopg.connect(db.info.dsn, autocommit=True) as holder:
        holder.execute(f"select pg_advisory_lock({GATE})")
        yield holder


def _start(project: Project, db: psycopg.Connection[Any], handlers: str, rows: int) -> None:
    """Have rows in work, each waiting at the gate."""
    make_rows(db, rows)
    project.handlers(handlers)
    project.start("run", "--concurrency", "4", GATE_URL=project.url)
    wait_until("a handler waits", (project.folder / "waits-1").exists)


@pytest.mark.fault("F20")
@pytest.mark.parametrize("status", ["normal", "held"])
def test_g4_what_a_person_writes_during_the_handler_stands(
    project: Project, db: psycopg.Connection[Any], gate: psycopg.Connection[Any], status: str
) -> None:
    """To the same status as the handler's, or another: it was somebody else's move."""
    _start(project, db, _waiting(leased), 1)
    db.execute("update thing set status = %s", [status])
    gate.execute("select pg_advisory_unlock_all()")
    question = "select verdict from poller.history"
    assert wait_until("it is recorded", lambda: db.execute(question).fetchall()) == [("superseded",)]
    assert db.execute("select status from thing").fetchall() == [(status,)]


@pytest.mark.fault("F20")
def test_g4_a_person_who_edits_a_row_in_its_transaction_waits_and_finds_it_moved(
    project: Project, db: psycopg.Connection[Any], gate: psycopg.Connection[Any]
) -> None:
    """The transactional handler holds the row's lock: nobody comes between."""
    _start(project, db, _waiting(transactional), 1)
    db.execute("set lock_timeout = '200ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        db.execute("update thing set status = 'held'")
    gate.execute("select pg_advisory_unlock_all()")
    wait_until_done(db)
    audit(project, db, effects=True)


@pytest.mark.fault("F21")
def test_g4_a_row_that_is_deleted_during_the_handler_is_gone(
    project: Project, db: psycopg.Connection[Any], gate: psycopg.Connection[Any]
) -> None:
    """Nothing brings it back, and its neighbours move on."""
    _start(project, db, _waiting(leased), 3)
    db.execute("delete from thing where id = 1")
    gate.execute("select pg_advisory_unlock_all()")
    wait_until_done(db)
    gone = db.execute("select verdict from poller.history where key = '1'").fetchall()
    assert gone == [("gone",)]
    assert db.execute("select status, count(*) from thing group by 1").fetchall() == [("normal", 2)]


@pytest.mark.fault("F22")
@pytest.mark.parametrize("change", one_in(2, ["drop table thing", "alter table thing rename to other"]))
def test_a_table_that_goes_away_during_the_handler_stops_no_other(
    project: Project, db: psycopg.Connection[Any], gate: psycopg.Connection[Any], change: str
) -> None:
    """Its leases are given up, it is said, and the handlers of other tables go on; when it is back, so is its own."""
    db.execute("create table second (id int primary key, status text not null default 'pending')")
    more = "\n@handler('second', status='pending', to='normal')\ndef other(row): pass\n"
    _start(project, db, _waiting(leased) + more, 1)
    db.execute(change)
    gate.execute("select pg_advisory_unlock_all()")
    fleet = project.processes[0]
    wait_until("it is said", lambda: "does not exist" in fleet.log)
    db.execute("insert into second values (1)")
    done = "select from second where status = 'normal'"
    wait_until("the other goes on", lambda: db.execute(done).rowcount)
    wait_until("nothing is held", lambda: not db.execute("select from poller.claim").rowcount)
    assert fleet.popen.poll() is None
    assert "Traceback" not in fleet.log


FORBIDS = {
    "in silence": "create trigger forbid before update on other for each row"
    " when (old.id = 2 and new.status = 'pending') execute function swallow()",
    "by another status": "create trigger forbid before update on other for each row"
    " when (old.id = 2 and new.status = 'pending') execute function keep()",
    "at once": "create trigger forbid before update on other for each row execute function forbid()",
    "at the commit": "create constraint trigger forbid after update on other deferrable initially deferred"
    " for each row execute function forbid()",
}


@pytest.mark.fault("F22")
@pytest.mark.parametrize("forbids", ["", *FORBIDS])
def test_rows_that_show_during_are_taken_back_if_their_table_comes_back(
    project: Project, db: psycopg.Connection[Any], gate: psycopg.Connection[Any], forbids: str
) -> None:
    """Though their leases were given up while it was away: what they show is remembered."""
    _start(project, db, _waiting(leased).replace("to=", 'during="busy", to='), 3)
    fleet = project.processes[0]
    db.execute("alter table thing rename to other")
    gate.execute("select pg_advisory_unlock_all()")
    wait_until("they are given up", lambda: not db.execute("select from poller.claim").rowcount)
    shown = "select status from other group by 1"
    assert db.execute(shown).fetchall() == [("busy",)]
    if forbids:
        db.execute(
            "create function forbid() returns trigger language plpgsql as"
            " $$ begin if old.id = 2 and new.status = 'pending' then raise 'no way back'; end if; return new; end $$;"
            "create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;"
            "create function keep() returns trigger language plpgsql as"
            " $$ begin new.status := old.status; return new; end $$;" + FORBIDS[forbids]
        )
    db.execute("alter table other rename to thing")
    done = "select from thing where status = 'normal'"
    wait_until("they are done", lambda: db.execute(done).rowcount == 3 - bool(forbids), timeout=60)
    if forbids:
        assert db.execute("select status from thing where id = 2").fetchall() == [("busy",)]
        wait_until("it is told", lambda: "parked: the way back was refused: " in fleet.log)
        assert "; it still shows 'busy'" in fleet.log
        drain = project.run("run", "--drain", "--workers", "1")
        assert "left alone: 1 parked" in drain.stderr
    assert "Traceback" not in fleet.log


UNFIT = {
    "renamed": ("alter table thing rename to other", "alter table other rename to thing"),
    "its column renamed": (
        "alter table thing rename column status to state",
        "alter table thing rename column state to status",
    ),
    "locked": ("begin; lock table thing in access exclusive mode", "rollback"),
}


@pytest.mark.fault("F22", "F46", "F57")
@pytest.mark.parametrize("what", UNFIT)
def test_g11_a_worker_that_takes_anothers_place_leaves_only_the_table_aside_that_is_unfit_by_now(
    project: Project, db: psycopg.Connection[Any], what: str
) -> None:
    """A refusal belongs to the start of the fleet; its own handler goes on once the table fits again."""
    for table in ("thing", "second"):
        db.execute(f"create table {table} (id int primary key, status text not null default 'pending')")  # type: ignore[call-overload]
    project.handlers(
        "@handler('thing', status='pending', to='normal', where='id < 100')\ndef work(row): pass\n"
        "@handler('second', status='pending', to='normal')\ndef other(row): pass\n"
    )
    project.start("run")
    [(_, first)] = wait_until("one worker", lambda: workers_of(db))
    change, back = UNFIT[what]
    with psycopg.connect(db.info.dsn, autocommit=True) as person:
        person.execute("insert into thing values (1)")
        person.execute(change)  # type: ignore[call-overload]
        os.kill(first, signal.SIGKILL)
        db.execute("insert into second values (1)")
        done = "select from second where status = 'normal'"
        wait_until("the other goes on", lambda: db.execute(done).rowcount)
        person.execute(back)  # type: ignore[call-overload]
    done = "select from thing where status = 'normal'"
    wait_until("its own is back", lambda: db.execute(done).rowcount)
    assert "cannot start" not in project.processes[0].log


@pytest.mark.fault("F23")
@KINDS
def test_a_table_that_is_altered_again_and_again_is_read_as_it_is(
    project: Project, db: psycopg.Connection[Any], handlers: Callable[[], str]
) -> None:
    """Columns come and go, and change their types, the key's too: prepared statements are made anew."""
    make_rows(db, 300)
    db.execute("alter table thing add column a int")
    project.handlers(handlers(0.01))
    project.start("run", "--workers", "2")
    for number, change in enumerate(
        (
            "add column b text default 'x'",
            "alter column a type text",
            "drop column b",
            "alter column id type bigint",
            "add column status2 text",
        )
    ):
        wait_until("it is under way", lambda number=number: len(began(project)) > 20 * number)
        db.execute(f"alter table thing {change}")
    wait_until_done(db, timeout=60)
    assert db.execute("select status, count(*) from thing group by 1").fetchall() == [("normal", 300)]
    moves = "select count(*), count(distinct key) from poller.history where verdict = 'moved'"
    assert db.execute(moves).fetchone() == (300, 300)


@pytest.mark.fault("F24")
def test_a_label_that_an_enum_does_not_have_yet_holds_up_its_own_handler_only(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It is refused at the start, in one line; once it is there, the same code runs."""
    make_rows(db, 3)
    db.execute("drop index thing_id_idx")
    db.execute("create type state as enum ('pending', 'normal')")
    db.execute(
        "alter table thing alter column status drop default, alter column status type state using status::state"
    )
    project.handlers(leased() + "\n@handler('thing', status='late', to='normal')\ndef late(row): pass\n")
    refused = project.run("run", "--drain")
    assert refused.returncode == 2
    assert "late" in refused.stderr
    assert "Traceback" not in refused.stderr
    db.execute("alter type state add value 'late'")
    done = project.run("run", "--drain")
    assert done.returncode == 0, done.stderr
    audit(project, db)


@pytest.mark.fault("F25")
def test_a_row_of_40_megabytes_is_handled_beside_small_ones(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """And none of it comes to the log."""
    make_rows(db, 50)
    db.execute("alter table thing add column body text not null default ''")
    db.execute("update thing set body = repeat('canary ', 6000000) where id = 7")
    project.handlers(leased(more="if ctx.attempt == 1 and row.id == 7: raise ValueError(len(row.body))"))
    fleet = project.start("run", "--workers", "1")
    wait_until_done(db, timeout=60)
    audit(project, db)
    assert "canary" not in fleet.log
    assert "42000000" in fleet.log


@pytest.mark.fault("F15")
def test_an_old_snapshot_slows_claims_down_but_does_not_stop_them(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Somebody keeps a transaction open for hours: dead rows stay, and are walked over."""
    make_rows(db, 20_000)
    with psycopg.connect(db.info.dsn) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select count(*) from thing")
        project.handlers(leased())
        began_at = time.monotonic()
        project.start("run", "--workers", "2")
        wait_until_done(db, timeout=60)
        assert time.monotonic() - began_at < 40
    audit(project, db)


@pytest.mark.fault("F32")
def test_a_worker_goes_on_beside_a_newer_schema_and_a_start_is_refused(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """In a rolling deploy the schema comes first: what runs is not stopped, and what is too old says so."""
    make_rows(db, 10)
    project.handlers(leased())
    fleet = project.start("run")
    wait_until_done(db)
    db.execute("update poller.alembic_version set version_num = '9999'")
    db.execute("alter table poller.event add column later text")
    db.execute("insert into thing select generate_series(11, 20)")
    wait_until_done(db)
    audit(project, db)
    assert fleet.popen.poll() is None
    refused = project.run("run", "--drain")
    assert refused.returncode == 2
    assert "9999" in refused.stderr
    assert "update poller" in refused.stderr


@pytest.mark.fault("F32")
def test_a_start_without_the_right_to_migrate_beside_an_older_schema_says_what_to_run(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Told not to migrate, it changes nothing."""
    make_rows(db, 1)
    db.execute("update poller.alembic_version set version_num = '0003'")
    project.handlers(leased())
    refused = project.run("run", "--drain", "--no-migrate")
    assert refused.returncode == 2
    assert "poller migrate" in refused.stderr
    assert db.execute("select status from thing").fetchall() == [("pending",)]


@pytest.mark.fault("F23")
def test_a_drain_ends_though_the_type_of_the_key_was_changed(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """What counts the rows that are left knows the table as it is, as what claims them does."""
    make_rows(db, 300)
    project.handlers(leased(0.02))
    fleet = project.start("run", "--drain", "--workers", "1")
    wait_until("some are done", lambda: db.execute("select from thing where status = 'normal'").rowcount > 20)
    db.execute("alter table thing alter id type text using id::text")
    assert fleet.wait(60) == 0
    assert db.execute("select from thing where status <> 'normal'").rowcount == 0


NAMED = """
import asyncio, os, time
def see(row):
    with open("seen", "a") as log:
        log.write(f"{row.id} {row.get('a', 'AAA')} {row.b} {row.status}\\n")
    time.sleep(0.002)
    while row.id == 150 and not os.path.exists("on"):
        time.sleep(0.01)
"""
BODIES = {
    "thread": ("", "def work(row): see(row)"),
    "batch": (", batch=2", "def work(rows):\n    for row in rows: see(row)"),
    "coroutine": ("", "async def work(row): await asyncio.to_thread(see, row)"),
    "process": (", executor='process'", "def work(row): see(row)"),
    "during": (", during='busy'", "def work(row): see(row)"),
    "transactional": (", transactional=True", "def work(row): see(row)"),
}


@pytest.mark.fault("F23")
@pytest.mark.parametrize("mode", one_in(3, BODIES))
@pytest.mark.parametrize("is_settled", [False, True], ids=["claims", "settles"])
def test_g1_a_row_that_waits_while_a_column_is_dropped_has_its_own_values(
    project: Project, db: psycopg.Connection[Any], mode: str, *, is_settled: bool
) -> None:
    """It was fetched with that column; the handler is bound anew while it waits for its turn."""
    db.execute(
        "create table thing (id int primary key, a text default 'AAA', b text default 'BBB',"
        " status text not null default 'pending')"
    )
    db.execute("insert into thing (id) select generate_series(1, 1000)")
    options, body = BODIES[mode]
    project.handlers(
        f"{NAMED}\n@handler('thing', status='pending', to='normal', attempts=20{options})\n{body}\n"
    )
    project.start("run", "--concurrency", "1")
    seen = project.folder / "seen"
    wait_until("one waits, others behind it", lambda: seen.exists() and "\n150 " in seen.read_text())
    if mode == "transactional":
        db.execute(
            "set lock_timeout = '50ms'"
        )  # its transaction has the table's lock until the first is done
        (project.folder / "on").touch()
        wait_until("the column is gone", lambda: _dropped(db))
    else:
        db.execute("alter table thing drop column a")
        if is_settled:
            db.execute("alter table thing alter status type varchar(20)")
        db.execute("insert into thing (id) select generate_series(1001, 1020)")
        (project.folder / "on").touch()
    wait_until_done(db, timeout=60)
    named = {line.split(maxsplit=1)[1] for line in seen.read_text().splitlines()}
    assert named <= {"AAA BBB pending", "AAA BBB busy"}


def _dropped(db: psycopg.Connection[Any]) -> bool:
    try:
        db.execute("alter table thing drop column a")
    except psycopg.errors.LockNotAvailable:
        return False
    return True
