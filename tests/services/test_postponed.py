"""Guarantees 11 and 12: outcomes that cannot be written cost no other row, and what is not written is bounded."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Snooze, Transition, handler
from poller.model.outcome import Became, Outcome
from poller.services.postponed import Postponed
from poller.store.binding import bind
from poller.store.lease import Result
from poller.testing import Engine
from tests.engines import column, do_nothing, fail, moves, run
from tests.harness import wait_until
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.store.lease import Settled
    from poller.testing import Done
    from tests.claiming import NewWorker
    from tests.harness import Project

ROWS = 60
# Of each kind that says something of a server or a connection, when it is not a trigger's.
CLASSES = (
    "P0001", "08006", "0A000", "25006", "25P03", "28000", "40001", "40P01", "42501", "42703", "42P01",
    "53100", "53200", "53300", "54000", "55000", "55P03", "57014", "57P01", "58030", "XX000", "XX002",
)  # fmt: skip


def make_task(db: psycopg.Connection[Any], rows: int = ROWS, name: str = "task") -> None:
    db.execute(f"create table {name} (id int primary key, status text not null default 'pending', note text)")
    db.execute(f"insert into {name} select generate_series(1, %s)", [rows])


def add_trigger(
    db: psycopg.Connection[Any], body: str, when: str = "before update", each: str = "row"
) -> None:
    db.execute(f"""
        create function watch() returns trigger language plpgsql as $$ begin {body}; return new; end $$;
        create trigger watch {when} on task for each {each} execute function watch()""")


def became(done: list[Done]) -> dict[str, list[str]]:
    """Return the keys by what became of them."""
    kinds: dict[str, list[str]] = {}
    for each in done:
        kinds.setdefault(each.became, []).append(each.key)
    return kinds


# --- one row ---------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried apart is tried as often, after shorter waits."""
    monkeypatch.setattr("poller.services.postponed.BACKOFF_FIRST_SECONDS", 0.005)


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F44")
@pytest.mark.parametrize("when", ["before update", "after update"])
@pytest.mark.parametrize("code", one_in(3, CLASSES))
def test_g11_a_trigger_that_refuses_one_row_costs_only_that_row(
    db: psycopg.Connection[Any], url: str, code: str, when: str
) -> None:
    """Whatever class of error it raises: its attempt has failed, and its neighbours lose none."""
    make_task(db)
    add_trigger(db, f"if new.id = 7 then raise exception 'not yet' using errcode = '{code}'; end if", when)

    done = run(url, moves("task", attempts=1))

    kinds = became(done)
    assert kinds["parked"] == ["7"]
    assert sorted(map(int, kinds["moved"])) == [each for each in range(1, ROWS + 1) if each != 7]
    assert {each.attempt for each in done} == {1}
    [(error,)] = db.execute("select error from poller.attempt").fetchall()
    assert "not yet" in error


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F44")
def test_g11_a_trigger_that_writes_to_a_table_which_is_not_there_costs_only_its_row(
    db: psycopg.Connection[Any], url: str
) -> None:
    """It is not the handler's table that is gone."""
    make_task(db)
    add_trigger(db, "if new.id = 7 then insert into nowhere values (1); end if", "after update")

    kinds = became(run(url, moves("task", attempts=1)))

    assert (kinds["parked"], len(kinds["moved"])) == (["7"], ROWS - 1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F44")
@pytest.mark.parametrize("history", ["all", "failures", "off"])
@pytest.mark.parametrize("answer", ["returns", "sets", "snoozes"])
def test_g11_a_refused_row_is_never_held_whatever_its_outcome(
    db: psycopg.Connection[Any], url: str, answer: str, history: str
) -> None:
    """Where a row cannot be moved, nor shown its way back, nor given its `on_failure`, it is parked as it stands."""

    def work(row: Any) -> Any:
        if answer == "snoozes":
            raise Snooze("1h")
        return Transition("normal", note="x") if answer == "sets" else None

    make_task(db, 3)
    add_trigger(
        db, "if new.id = 2 and new.status <> 'busy' then raise exception 'no' using errcode = '57014'; end if"
    )
    done = run(url, moves("task", work, during="busy", on_failure="broken", attempts=1, history=history))

    kinds = became(done)
    assert kinds.pop("parked") == ["2"]
    assert [sorted(keys) for keys in kinds.values()] == [["1", "3"]]
    assert column(db, "select count(*) from poller.claim") == [0]


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F44")
def test_g11_a_trigger_that_sets_another_status_fails_its_row_with_the_reason(
    db: psycopg.Connection[Any], url: str
) -> None:
    """A flag "changed" on each UPDATE would make the row due again without end."""
    make_task(db, 40)
    add_trigger(db, "if new.id = 7 then new.status := 'pending'; end if")

    done = run(url, moves("task", attempts=1))

    kinds = became(done)
    assert (kinds["parked"], len(kinds["moved"])) == (["7"], 39)
    [parked] = [each for each in done if each.became == "parked"]
    assert parked.error is not None
    assert "changed the status to 'pending'" in parked.error


# --- the whole statement ---------------------------------------------------------------------------

BREAKS = {
    "a renamed column": (
        "alter table task rename column status to sttus",
        "alter table task rename column sttus to status",
    ),
    "a renamed table": ("alter table task rename to tsk", "alter table tsk rename to task"),
    "a revoked right": ("revoke update on task from {clerk}", "grant update on task to {clerk}"),
    "a right revoked on the history": (
        "revoke insert on poller.move, poller.event from {clerk}",
        "grant insert on poller.move, poller.event to {clerk}",
    ),
    "a table that is frozen": (
        (
            "create function freeze() returns trigger language plpgsql as $$ begin raise exception 'frozen'; end $$;"
            " create trigger no before update on task for each statement execute function freeze()"
        ),
        "drop trigger no on task",
    ),
    "a renamed label": (
        "alter type state rename value 'normal' to 'plain'",
        "alter type state rename value 'plain' to 'normal'",
    ),
    "a table that is locked": ("begin; lock table task in access exclusive mode", "commit"),
}


@pytest.fixture
def clerk(db: psycopg.Connection[Any], project: Project) -> Iterator[str]:
    """A role that owns nothing, as which the project's fleet runs."""
    make_task(db, 5)
    make_task(db, 0, "other")
    role = f"clerk_{db.info.dbname}"
    db.execute(f"create role {role}")
    db.execute(f"grant usage on schema poller, public to {role}")
    db.execute(f"grant all on all tables in schema poller, public to {role}")
    project.url += f"&options=-c%20role%3D{role}"
    yield role
    db.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.fault("F46")
@pytest.mark.parametrize("fault", one_in(3, BREAKS))
def test_g11_a_fault_of_the_whole_statement_counts_no_attempt_and_heals_with_its_cause(
    project: Project, db: psycopg.Connection[Any], url: str, clerk: str, fault: str
) -> None:
    """Five rows in flight, all handled once; the outcomes wait, and another table's are written meanwhile."""
    breaks, mends = (each.format(clerk=clerk) for each in BREAKS[fault])
    if "label" in fault:
        db.execute("create type state as enum ('pending', 'normal')")
        db.execute("alter table task alter status drop default, alter status type state using status::state")
    project.handlers(NOTED)
    fleet = project.start("run", "--workers", "1", "--concurrency", "8", "--no-migrate")
    wait_until("all five are in flight", lambda: len(calls(project)) == 5)

    with psycopg.connect(url, autocommit=True) as breaker:
        breaker.execute(breaks)
        (project.folder / "go").touch()
        fleet.wait_for_log("outcomes cannot be written")
        if "history" not in fault:  # which is everybody's
            db.execute("insert into other values (1)")
            wait_until(
                "the other table goes on", lambda: column(db, "select status from other") == ["normal"]
            )
        breaker.execute(mends)

    wait_until("all are moved", lambda: column(db, "select distinct status from task") == ["normal"], 10)
    assert calls(project) == sorted("12345")
    assert column(db, "select count(*) from poller.attempt") == [0]
    wait_until("nothing is held", lambda: column(db, "select count(*) from poller.claim") == [0])
    assert fleet.log.count("outcomes cannot be written") == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F46")
@pytest.mark.parametrize(
    "options",
    [{}, {"transactional": True}, {"batch": 10}, {"during": "busy"}],
    ids=["plain", "transactional", "batch", "during"],
)
def test_g11_a_column_that_may_not_be_set_costs_only_the_rows_that_set_it(
    db: psycopg.Connection[Any], url: str, options: dict[str, Any]
) -> None:
    """Those that set their status alone are moved; the reason names the column, and the grant that is missing."""
    make_task(db, 12)
    role = f"mover_{db.info.dbname}"
    db.execute(
        f"create role {role}; grant usage on schema poller, public to {role};"
        f"grant temporary on database {db.info.dbname} to {role}"
    )
    db.execute(
        f"grant all on all tables in schema poller to {role}; grant select, update (status) on task to {role}"
    )

    def answer(given: Any) -> Any:
        if isinstance(given, list):
            return [answer(each) for each in given]
        return Transition("normal", note="x") if given.id in (3, 7, 8) else "normal"

    try:
        done = run(f"{url}&options=-c%20role%3D{role}", moves("task", answer, attempts=1, **options))
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")
    kinds = became(done)
    assert sorted(kinds["parked"]) == ["3", "7", "8"]
    assert len(kinds["moved"]) == 9
    said = f'the role {role} may not update note of public.task; run: grant update ("note") on "public"."task" to {role}'
    assert [said in error for error in column(db, "select error from poller.attempt")] == [True] * 3


def test_a_lock_that_nobody_can_be_named_for_is_told_as_it_is_known(
    db: psycopg.Connection[Any], url: str, join: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease is held by whatever has locked it: a handler that settles in its own transaction is one of many."""
    make_task(db, 2)
    worker = join(bind(db, handler("task", status="pending", to="normal")(do_nothing)))
    results = [Result(task, Outcome(Became.MOVED, to="normal"), 0.0) for task in worker.claim()]
    written: list[str] = []
    told: list[Any] = []
    monkeypatch.setattr("poller.services.postponed.emit", told.append)
    postponed = Postponed(worker.link, lambda settled: written.extend(settled.became), lambda *_: None)
    with psycopg.connect(url) as person:
        person.execute("select from poller.claim for update")
        postponed.add(results)
        postponed.run_once()
    assert [each.reason for each in told] == [
        "another transaction holds the lease of 1, 2, or held such a row; they wait, others go on"
    ]
    wait_until("they are written", lambda: bool(postponed.run_once() and written))
    assert written == [Became.MOVED] * 2


@pytest.mark.fault("F46")
def test_g11_a_fault_that_heals_while_it_is_looked_into_is_held_against_no_row(
    db: psycopg.Connection[Any], join: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been tried many times by then, in vain; and the question whether all are concerned says no."""
    make_task(db, 1)
    worker = join(bind(db, handler("task", status="pending", to="normal", attempts=1)(do_nothing)))
    results = [Result(task, Outcome(Became.MOVED, to="normal"), 0.0) for task in worker.claim()]
    became: list[str] = []
    postponed = Postponed(worker.link, lambda settled: became.extend(settled.became), lambda *_: None)
    db.execute("alter table task rename status to sttus")
    postponed.add(results)
    for _ in range(3):
        time.sleep(postponed.run_once())

    rehearse = postponed._settlements.rehearse

    def mend_first(*arguments: Any) -> None:
        monkeypatch.undo()
        db.execute("alter table task rename sttus to status")
        rehearse(*arguments)

    monkeypatch.setattr(postponed._settlements, "rehearse", mend_first)
    while postponed.count:
        time.sleep(min(0.5, postponed.run_once()))
    assert (became, column(db, "select status from task")) == (["moved"], ["normal"])


NOTED = """
import pathlib, time

def until_told(row):
    with open("calls.txt", "a") as file:
        file.write(f"{row.id}\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)

@handler("task", status="pending", to="normal", attempts=1)
def first(row):
    until_told(row)

@handler("other", status="pending", to="normal", attempts=1)
def second(row):
    pass
"""


def calls(project: Project) -> list[str]:
    path = project.folder / "calls.txt"
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.mark.fault("F44")
@pytest.mark.parametrize("batch", ["", ", batch=10"], ids=["rows", "batches"])
def test_g11_a_row_whose_update_ends_the_session_fails_alone(
    project: Project, db: psycopg.Connection[Any], batch: str
) -> None:
    """As a backend does that crashes on one row: the others, and other tables, are written."""
    make_task(db, 40)
    make_task(db, 40, "other")
    db.execute("grant all on task to public")
    add_trigger(db, "if new.id = 7 then perform pg_terminate_backend(pg_backend_pid()); end if")
    project.handlers(f"""
@handler("task", status="pending", to="normal", attempts=1{batch})
def first(rows): pass

@handler("other", status="pending", to="normal", attempts=1)
def second(row): pass
""")
    project.start("run", "--workers", "1")
    left = "select id from (select id, status from task union all select id, status from other) as t"
    wait_until("the others are moved", lambda: column(db, f"{left} where status = 'pending'") == [7])
    wait_until(
        "it is parked", lambda: column(db, "select key from poller.attempt where state = 'parked'") == ["7"]
    )
    wait_until("nothing is held", lambda: column(db, "select count(*) from poller.claim") == [0])


@pytest.mark.fault("F44", "F48")
def test_g11_what_a_dead_worker_held_is_parked_even_where_its_on_failure_is_refused(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """And its place under the limit is free."""
    make_task(db, 3)
    db.execute("alter table task add check (status <> 'bad' or id <> 1)")
    project.handlers(
        """
@handler("task", status="pending", to="normal", attempts=1, limit=1, on_failure="bad")
def work(row):
    if row.id == 1:
        os._exit(9)
""".replace("\n@handler", "\nimport os\n@handler", 1)
    )
    project.start("run", "--workers", "2")
    wait_until(
        "the others go on", lambda: column(db, "select id from task where status <> 'normal'") == [1], 40
    )
    parked = "select key from poller.attempt where state = 'parked' and error like '%on_failure was refused%'"
    wait_until("it is parked", lambda: column(db, parked) == ["1"], 40)


@pytest.mark.usefixtures("hasty")
@pytest.mark.fault("F44")
@pytest.mark.parametrize(
    "options", [{}, {"transactional": True}, {"batch": 2}, {"executor": "process"}], ids=str
)
def test_g11_a_row_whose_on_failure_is_refused_goes_back_before_it_is_parked(
    db: psycopg.Connection[Any], url: str, options: dict[str, Any]
) -> None:
    """It shows its handler's status, not the `during` that no handler takes."""
    make_task(db, 2)
    db.execute("alter table task add check (status <> 'failed' or note is not null)")
    done = run(url, moves("task", fail, during="busy", on_failure="failed", attempts=1, **options))
    assert [each.became for each in done] == ["parked", "parked"]
    assert column(db, "select status from task") == ["pending", "pending"]
    assert all("on_failure was refused, too" in str(each.error) for each in done)


# --- locks -----------------------------------------------------------------------------------------


@contextmanager
def person(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection with a transaction that a person has left open; it is rolled back at the end."""
    with psycopg.connect(url, application_name="psql of a person") as connection:
        yield connection
        connection.rollback()


@pytest.mark.fault("F45")
def test_g11_a_row_that_a_person_has_locked_waits_alone(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """Its table and the others go on at once; it is said who holds the lock; it is moved when that ends."""
    make_task(db, 40)
    make_task(db, 0, "other")
    project.handlers(NOTED)
    fleet = project.start("run", "--workers", "1", "--concurrency", "40")
    wait_until("all are in flight", lambda: len(calls(project)) == 40)

    with person(url) as editor:
        editor.execute("update task set note = 'mine' where id = 7")
        (project.folder / "go").touch()
        fleet.wait_for_log("holds the lock of 7")
        db.execute("insert into task select generate_series(41, 400)")
        db.execute("insert into other select generate_series(1, 400)")
        left = "select id from (select id, status from task union all select id, status from other) as t"
        wait_until("the others go on", lambda: column(db, f"{left} where status = 'pending'") == [7], 10)
        assert "psql of a person" in fleet.log
        editor.commit()

    wait_until("it is moved", lambda: column(db, "select status from task where id = 7") == ["normal"], 5)
    assert (len(calls(project)), fleet.log.count("holds the lock")) == (400, 1)


@pytest.mark.fault("F45")
@pytest.mark.parametrize("locked", ["row", "lease"])
def test_g11_a_settle_apart_waits_for_no_lock_of_others(
    db: psycopg.Connection[Any], url: str, join: NewWorker, locked: str
) -> None:
    """What they hold is locked; all else is written, and what came too late is late, locks or not."""
    make_task(db, 4)
    worker = join(bind(db, handler("task", status="pending", to="normal")(do_nothing)))
    worker.link.connection.execute("set lock_timeout = '1s'")
    results = [Result(task, Outcome(Became.MOVED, to="normal"), 0.0) for task in worker.claim()]
    with person(url) as editor:
        lock = {"row": "task where id = 1", "lease": "poller.claim"}[locked]
        editor.execute(f"select from {lock} for update")
        became = worker.settlements.settle_each(results[:2], only_free=True).became
        assert became == (["locked", "moved"] if locked == "row" else ["locked", "locked"])
    assert worker.settlements.settle_each(results[:2], only_free=True).became == (
        ["moved", "late"] if locked == "row" else ["moved", "moved"]
    )
    assert worker.settlements.settle_each(results[1:3], only_free=True).became == ["late", "moved"]


@pytest.mark.fault("F45")
def test_g11_a_role_that_sees_little_of_other_sessions_goes_on_beside_a_lock_of_theirs(
    db: psycopg.Connection[Any], url: str, join: NewWorker, role: str
) -> None:
    """It is not shown since when they are in their transactions: it names them, and writes all but their row."""
    make_task(db, 2)
    db.execute(f"grant select, update on task to {role}; grant all on all tables in schema poller to {role}")
    db.execute(f"grant usage on all sequences in schema poller to {role}")
    worker = join(bind(db, handler("task", status="pending", to="normal")(do_nothing)))
    results = [Result(task, Outcome(Became.MOVED, to="normal"), 0.0) for task in worker.claim()]
    worker.link.connection.execute(f"set role {role}")
    written: list[Settled] = []
    postponed = Postponed(worker.link, written.append, lambda *_: None)
    with person(url) as editor:
        editor.execute("select from task where id = 1 for update")
        postponed.add(results)
        postponed.run_once()
        said = worker.settlements.who_locks(results[0].task)
    assert [each.task.key for settled in written for each in settled.results] == ["2"]
    assert postponed.count == 1
    assert said is not None
    assert said.endswith("(psql of a person)")


@pytest.mark.fault("F45")
def test_g11_a_lock_that_a_trigger_waits_for_makes_only_its_row_wait(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """Another table's row is locked, to which the trigger of one row writes."""
    make_task(db, 40)
    db.execute("create table account (id int primary key); insert into account values (1)")
    add_trigger(db, "if new.id = 7 then update account set id = id; end if", "after update")
    project.handlers(WORK)
    fleet = project.start("run", "--workers", "1")
    with person(url) as editor:
        editor.execute("update account set id = id")
        left = "select id from task where status = 'pending'"
        wait_until("the others go on", lambda: column(db, left) == [7])
        fleet.wait_for_log("that row waits")
        assert column(db, "select count(*) from poller.attempt") == [0]
        editor.commit()
    wait_until("it is moved", lambda: column(db, left) == [])


WORK = """
@handler("task", status="pending", to="normal", attempts=1)
def work(row):
    pass
"""


# --- bounds ----------------------------------------------------------------------------------------

COUNTED = """
import os

out = os.open("calls.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@handler("task", status="pending", to="normal")
def work(row):
    os.write(out, b".")
"""


@pytest.mark.fault("F47")
@pytest.mark.parametrize("slow", ["each settle", "a locked row", "nothing"])
def test_g12_what_a_worker_has_handled_and_not_written_is_bounded(
    project: Project, db: psycopg.Connection[Any], url: str, slow: str
) -> None:
    """However slow the writing is: no more than 2,000 rows, which is what a kill makes others do again."""
    make_task(db, 12_000)
    db.execute("create index on task (id) where status = 'pending'")
    if slow == "each settle":
        add_trigger(db, "perform pg_sleep(0.1)", each="statement")
    project.handlers(COUNTED)
    written = project.folder / "calls.bin"
    most = 0
    with person(url) as editor:
        if slow == "a locked row":
            editor.execute("update task set note = 'mine' where id = 5000")
        project.start("run", "--workers", "1")
        left = 1 if slow == "a locked row" else 0
        until = time.monotonic() + 30
        moved = 0
        while moved < 12_000 - left and time.monotonic() < until:
            [moved] = column(db, "select count(*) from task where status = 'normal'")
            handled = written.stat().st_size if written.exists() else 0
            [again] = column(db, "select count(*) from task where status = 'normal'")
            most = max(most, handled - again)
        assert moved == 12_000 - left
    assert 0 < most <= 2_000


BATCHES = """
import time

@handler("task", status="pending", to="normal", batch=500)
def work(rows):
    time.sleep(0.05)
"""


@pytest.mark.fault("F47")
def test_g12_the_rows_of_batches_count_one_by_one(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """What a worker holds are rows, not calls: eight slots with 500 rows each would be 4,000."""
    make_task(db, 12_000)
    project.handlers(BATCHES)
    project.start("run", "--workers", "1", "--concurrency", "8")
    most, left = 0, 1
    until = time.monotonic() + 30
    while left and time.monotonic() < until:
        [held] = column(db, "select coalesce(sum(cardinality(keys)), 0)::integer from poller.claim")
        [left] = column(db, "select count(*) from task where status = 'pending'")
        most = max(most, held)
    assert left == 0
    assert 500 < most <= 2_000


def test_the_engine_says_what_cannot_be_written(db: psycopg.Connection[Any], url: str) -> None:
    """A test of a user's ends with the reason, rather than never."""
    make_task(db, 1)

    def work(_: Any) -> None:
        db.execute("alter table task rename column status to sttus")

    with Engine(url, moves("task", work)) as engine, pytest.raises(Exception, match=r"sttus|status"):
        engine.run_due()
