"""Transactional handlers: what they write and the move of their row commit together, or not at all."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from poller import Context, Fail, PollerError, Row, Snooze, Transition, handler
from poller.executor import shared_transactions
from tests.engines import moves
from tests.executor.together import run, transactional

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.fixture
def url(url: str) -> str:
    """A database with a task, and a ledger that takes each once and nothing below nought."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text, note text)")
        db.execute("insert into task values (0, 'pending')")
        db.execute("create table ledger (task int primary key, amount int check (amount >= 0))")
    return url


def write(ctx: Context, row: Row, amount: int = 1) -> None:
    """Write to the ledger, in the transaction of the row."""
    ctx.connection.execute(
        text("insert into ledger values (:task, :amount)"), {"task": row.id, "amount": amount}
    )


def ledger(db: psycopg.Connection[Any]) -> list[int]:
    """Return the tasks in the ledger."""
    return [row[0] for row in db.execute("select task from ledger order by task")]


def in_status(db: psycopg.Connection[Any], status: str) -> list[int]:
    """Return the tasks that have a status."""
    return [
        row[0] for row in db.execute("select id from task where status = %s and id > 0 order by id", [status])
    ]


def test_g5_the_writes_and_the_move_commit_together(db: psycopg.Connection[Any], url: str) -> None:
    """All rows of a claim share one transaction: nothing of it is seen until its end."""
    seen: list[tuple[int, list[int], list[int]]] = []

    def step(row: Row, ctx: Context) -> Transition:
        write(ctx, row)
        seen.append((row.id, ledger(db), in_status(db, "normal")))
        return Transition("normal", note="done")

    done = run(url, transactional(step))

    assert [(each.became, each.to) for each in done] == [("moved", "normal")] * 5
    assert seen == [(number, [], []) for number in range(1, 5 + 1)]
    assert ledger(db) == in_status(db, "normal") == [1, 2, 3, 4, 5]
    assert db.execute("select distinct note from task where id > 0").fetchall() == [("done",)]
    assert db.execute("select count(*), count(distinct xmin::text) from task where id > 0").fetchone() == (
        5,
        1,
    )


def test_g5_a_handler_that_fails_takes_nobodys_writes_along(db: psycopg.Connection[Any], url: str) -> None:
    """Its savepoint is rolled back and its attempt counted; the others commit, itself at its next attempt."""
    before: list[list[int]] = []

    def step(row: Row, ctx: Context) -> None:
        write(ctx, row)
        if row.id == 3 and ctx.attempt == 1:
            raise ValueError("not yet")
        before.append(ledger(db))

    done = run(url, transactional(step), hours=1)

    assert [each.became for each in done] == ["moved", "moved", "retrying", "moved", "moved", "moved"]
    assert before == [[], [], [], [], [1, 2, 4, 5]]
    assert ledger(db) == in_status(db, "normal") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("swallowed", [False, True])
def test_g5_an_error_of_the_database_fails_the_one_handler(
    db: psycopg.Connection[Any], url: str, *, swallowed: bool
) -> None:
    """Also where the handler catches it and goes on, since nothing more can be written in that transaction."""

    def step(row: Row, ctx: Context) -> None:
        try:
            write(ctx, row, amount=-1 if row.id == 3 else 1)
        except IntegrityError:
            if not swallowed:
                raise

    done = run(url, transactional(step, attempts=2), hours=9)

    assert [each.became for each in done if each.key == "3"] == ["retrying", "parked"]
    assert ledger(db) == in_status(db, "normal") == [1, 2, 4, 5]


def test_the_session_writes_in_the_same_transaction(db: psycopg.Connection[Any], url: str) -> None:
    """What it has been given is flushed; its commit() ends a savepoint, and no more."""

    def step(row: Row, ctx: Context) -> None:
        ctx.session.execute(text("insert into ledger values (:task, 1)"), {"task": row.id})
        ctx.session.commit()
        assert ledger(db) == []
        if row.id == 3:
            raise Fail("rolled back")

    run(url, transactional(step, on_failure="lost"))

    assert ledger(db) == in_status(db, "normal") == [1, 2, 4, 5]
    assert in_status(db, "lost") == [3]


def test_every_answer_works_as_in_other_handlers(db: psycopg.Connection[Any], url: str) -> None:
    """Statuses, columns, snoozes, failures."""

    def step(row: Row, ctx: Context) -> Any:
        write(ctx, row)
        if row.id == 1:
            raise Snooze("1h")
        if row.id == 2:
            raise Fail("no")
        return {3: "other", 4: Transition("normal", note="4"), 5: "nowhere"}[row.id]

    done = run(url, transactional(step, to=("normal", "other"), attempts=1))

    assert [each.became for each in done] == ["snoozed", "parked", "moved", "moved", "parked"]
    assert ledger(db) == [3, 4]


def test_a_handler_without_context_runs_in_the_transaction_too(db: psycopg.Connection[Any], url: str) -> None:
    """It holds the row's lock: nobody else can change the row meanwhile, but a child row can refer to it."""
    held: list[str] = []

    @handler("task", status="pending", to="normal", transactional=True)
    def step(row: Row) -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("set lock_timeout = '10ms'")
            other.execute("insert into child values (%s)", [row.id])
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("update task set note = 'x' where id = %s", [row.id])
        held.append(row.key)

    db.execute("create table child (task int references task)")

    assert [each.became for each in run(url, step)] == ["moved"] * 5
    assert len(held) == 6


def test_g4_a_row_that_was_edited_after_the_claim_is_not_handled(
    db: psycopg.Connection[Any], url: str
) -> None:
    """It is looked at again under its lock."""
    db.execute("""
        create function hold() returns trigger language plpgsql as $$
        begin update public.task set status = 'held' where id = 2; return null; end $$;
        create trigger hold after insert on poller.claim execute function hold()""")

    run(url, transactional(lambda row, ctx: write(ctx, row)))

    assert ledger(db) == in_status(db, "normal") == [1, 3, 4, 5]
    assert in_status(db, "held") == [2]


@pytest.mark.parametrize("clause", ["new.id = 3", "false"])
def test_a_row_whose_move_is_refused_fails_alone(db: psycopg.Connection[Any], url: str, clause: str) -> None:
    """All is rolled back, and each row is attempted anew, in a transaction of its own."""
    db.execute(f"""
        create function refuse() returns trigger language plpgsql as $$
        begin if {clause} then raise exception 'over my dead body'; end if; return new; end $$;
        create trigger refuse before update on task for each row execute function refuse()""")

    done = run(url, transactional(lambda row, ctx: write(ctx, row), attempts=2), hours=9)

    good = [1, 2, 4, 5] if clause != "false" else [1, 2, 3, 4, 5]
    assert ledger(db) == in_status(db, "normal") == good
    if clause != "false":
        errors = [each.error or "" for each in done if each.key == "3"]
        assert [each.became for each in done if each.key == "3"] == ["retrying", "parked"]
        assert all("over my dead body" in error for error in errors)


def test_g3_who_has_lost_the_lease_commits_nothing(db: psycopg.Connection[Any], url: str) -> None:
    """The fence stands at the end of the transaction."""

    def step(row: Row, ctx: Context) -> None:
        write(ctx, row)
        if not lost:
            lost.append(True)
            db.execute("delete from poller.claim")

    lost: list[bool] = []

    run(url, transactional(step))

    assert ledger(db) == in_status(db, "normal") == [1, 2, 3, 4, 5]
    assert db.execute("select count(*) from poller.history").fetchone() == (6,)


def test_a_timeout_ends_the_transaction_and_gives_the_others_back(
    db: psycopg.Connection[Any], url: str
) -> None:
    """The row that takes too long has failed an attempt; those that shared its transaction have not."""
    stop = threading.Event()

    def step(row: Row, ctx: Context) -> None:
        write(ctx, row)
        if row.id == 2 and ctx.attempt == 1:
            stop.wait(10)

    began = time.monotonic()
    done = run(url, transactional(step, timeout="300ms"), hours=9)
    stop.set()

    assert time.monotonic() - began < 8
    assert [(each.became, each.attempt) for each in done if each.key == "2"] == [
        ("retrying", 1),
        ("moved", 2),
    ]
    assert {each.attempt for each in done if each.key != "2" and each.became == "moved"} == {1}
    assert ledger(db) == in_status(db, "normal") == [1, 2, 3, 4, 5]


@pytest.mark.fault("F36")
def test_g10_a_handler_that_ends_its_transaction_is_told_not_to(
    db: psycopg.Connection[Any], url: str
) -> None:
    """It would separate what belongs together; its attempt has failed."""

    def step(_: Row, ctx: Context) -> None:
        ctx.connection.commit()

    done = run(url, transactional(step, attempts=1))

    assert [each.became for each in done] == ["parked"] * 5
    assert all("must not end its transaction" in (each.error or "") for each in done)


def test_g10_the_connection_is_lent_to_transactional_handlers_only(url: str) -> None:
    """Another handler that asks for it is told so."""

    def step(_: Row, ctx: Context) -> None:
        with pytest.raises(PollerError, match="in transactional handlers only"):
            _ = ctx.connection
        with pytest.raises(PollerError, match="in transactional handlers only"):
            _ = ctx.session

    assert {each.became for each in run(url, moves("task", step))} == {"moved"}


def test_g10_settle_is_not_for_transactional_handlers(url: str) -> None:
    """There is one way to move the row: what the handler returns."""

    def step(_: Row, ctx: Context) -> None:
        with pytest.raises(PollerError, match="moves its row by its return value"):
            ctx.settle(ctx.connection, "normal")

    assert {each.became for each in run(url, transactional(step))} == {"moved"}


def test_g10_a_transactional_coroutine_is_refused() -> None:
    """Its connection would block the event loop."""
    with pytest.raises(PollerError, match="cannot be a coroutine function"):

        @handler("task", status="pending", to="normal", transactional=True)
        async def step(row: Row) -> None: ...


def test_a_slow_handler_is_told_about(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, not for each row."""
    monkeypatch.setattr(shared_transactions, "SLOW_SECONDS", 0.01)
    run(url, transactional(lambda *_: time.sleep(0.02)))
    [line] = [each for each in caplog.messages if "held its transaction" in each]
    assert line.startswith("public.task:pending held its transaction open for 0.0s, which locks the row")


def test_a_quick_handler_is_not(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A second is a long time."""
    run(url, transactional(lambda *_: None))
    assert not [each for each in caplog.messages if "held its transaction" in each]
