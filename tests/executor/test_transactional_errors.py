"""What an error means in a transaction is judged by whether its connection lives, not by its class (guarantee 11)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from poller import Context, Row, Transition
from poller.executor import batching
from poller.testing import Engine
from tests.engines import column, moves
from tests.executor import together
from tests.executor.together import transactional

if TYPE_CHECKING:
    from poller.testing import Done

COUNT = 8


pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.fixture
def url(url: str) -> str:
    """A database with a task, and a ledger that takes each any number of times."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text not null, note text)")
        db.execute("insert into task values (0, 'pending')")
        db.execute("create table ledger (task int)")
    return url


@pytest.fixture
def db(url: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def write(row: Row, ctx: Context) -> None:
    """Write to the ledger, in the transaction of the row."""
    ctx.connection.execute(text("insert into ledger values (:task)"), {"task": row.id})


def run(url: str, step: Any, **options: Any) -> list[Done]:
    """Run eight tasks that share a transaction."""
    return together.run(url, transactional(step, **options), COUNT)


def assert_only_the_third_has_failed(db: psycopg.Connection[Any], done: list[Done]) -> None:
    """Hold that the others have moved at their first attempt, exactly once."""
    others = [number for number in range(1, COUNT + 1) if number != 3]
    assert {each.key: (each.became, each.attempt) for each in done if each.became != "moved"} == {
        "3": ("retrying", 1)
    }
    assert {each.attempt for each in done} == {1}
    assert column(db, "select task from ledger order by task") == others
    assert column(db, "select id from task where status = 'normal' and id > 0 order by id") == others


@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    "state", ["55000", "08006", "57014", "40001", "53100", "57P01", "0A000", "XX000", "42P01"]
)
def test_g11_a_trigger_chooses_the_class_and_costs_its_own_row_only(
    db: psycopg.Connection[Any], url: str, state: str
) -> None:
    """The row that is refused alone has failed its attempt; its neighbours lose none."""
    db.execute(f"""
        create function refuse() returns trigger language plpgsql as $$
        begin
            if new.id = 3 then raise exception 'not before the payment' using errcode = '{state}'; end if;
            return new;
        end $$;
        create trigger refuse before update on task for each row execute function refuse()""")
    done = run(url, write)
    assert_only_the_third_has_failed(db, done)
    [error] = column(db, "select error from poller.attempt")
    assert "the transaction was rolled back: not before the payment" in error


def test_g11_a_trigger_that_needs_a_table_which_is_gone(db: psycopg.Connection[Any], url: str) -> None:
    """It is not the task's table."""
    db.execute("""
        create function note() returns trigger language plpgsql as $$
        begin insert into nowhere values (1); return null; end $$;
        create trigger note after update on task for each row when (new.id = 3) execute function note()""")
    assert_only_the_third_has_failed(db, run(url, write))


def test_g11_a_fault_of_the_whole_statement_counts_for_nobody(db: psycopg.Connection[Any], url: str) -> None:
    """It heals when its cause goes: no attempt is counted, nothing is written twice."""
    db.execute("""
        create function refuse() returns trigger language plpgsql as $$
        begin
            if exists (select from broken) then raise exception 'closed for today'; end if; return null;
        end $$;
        create table broken (); insert into broken default values;
        create trigger refuse before update of note on task for each statement execute function refuse()""")

    def step(row: Row, ctx: Context) -> Transition:
        write(row, ctx)
        return Transition("normal", note="done")

    db.execute("insert into task select i, 'pending' from generate_series(1, %s) as i", [COUNT])
    with Engine(url, moves("task", step, transactional=True, attempts=1), concurrency=1) as engine:
        first = engine.run_due()
        db.execute("delete from broken")
        engine.advance("1m")
        then = engine.run_due()
    assert {(each.became, each.attempt) for each in first} == {("snoozed", 0)}
    assert {(each.became, each.attempt) for each in then} == {("moved", 1)}
    assert column(db, "select task from ledger order by task") == list(range(COUNT + 1))


def test_g11_a_column_that_never_was_is_the_rows_failure(db: psycopg.Connection[Any], url: str) -> None:
    """It is the handler that named it."""

    def step(row: Row, ctx: Context) -> Transition:
        if row.id == 3:
            return Transition("normal", missing=1)
        write(row, ctx)
        return Transition("normal")

    assert_only_the_third_has_failed(db, run(url, step))


def kill_own_session(ctx: Context) -> None:
    ctx.connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))


def test_g11_a_session_that_breaks_costs_the_neighbours_nothing(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Each is attempted anew, alone; the row whose handler breaks it again has failed."""

    def step(row: Row, ctx: Context) -> None:
        write(row, ctx)
        if row.id == 3:
            kill_own_session(ctx)

    assert_only_the_third_has_failed(db, run(url, step))


def test_g5_a_session_that_breaks_once_costs_nobody_an_attempt(db: psycopg.Connection[Any], url: str) -> None:
    """An outage is nobody's fault."""
    broken: list[int] = []

    def step(row: Row, ctx: Context) -> None:
        write(row, ctx)
        if row.id == 3 and not broken:
            broken.append(row.id)
            db.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where datname = current_database() and state = 'idle in transaction'"
            )

    done = run(url, step)
    assert [(each.became, each.attempt) for each in done] == [("moved", 1)] * COUNT
    assert column(db, "select task from ledger order by task") == list(range(1, COUNT + 1))


def test_g5_those_that_share_a_timeout_keep_their_key(db: psycopg.Connection[Any], url: str) -> None:
    """They are attempted anew under the same lease, so that what is done elsewhere is done once; and by one thread."""
    stop = threading.Event()
    calls: list[tuple[int, str]] = []
    alone: list[threading.Thread] = []

    def step(row: Row, ctx: Context) -> None:
        calls.append((row.id, ctx.key))
        write(row, ctx)
        if row.id == 3 and ctx.attempt == 1:
            alone.append(threading.current_thread())
            stop.wait(20)

    done = run(url, step, timeout="500ms")
    stop.set()
    alone[0].join(20)
    assert [(each.key, each.became) for each in done if each.became != "moved"] == [("3", "retrying")]
    assert {each.attempt for each in done if each.key != "3"} == {1}
    others = [each for each in calls if each[0] != 3]
    assert len(set(others)) == COUNT - 1
    assert sorted(number for number, _ in others) == [1, 1, 2, 2, *range(4, COUNT + 1)]


def test_a_transaction_locks_no_more_rows_than_fit(db: psycopg.Connection[Any], url: str) -> None:
    """What it locks, it handles: what was learnt of the time that one takes decides how many."""
    db.execute("insert into task select i, 'pending' from generate_series(100, 299) as i")
    asked: list[int] = []
    lock = transaction_lock(asked)

    def step(row: Row, ctx: Context) -> None:
        write(row, ctx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("poller.executor.transaction.Transaction.lock", lock)
        patch.setattr(batching, "LONGEST_SECONDS", 0.1)
        run(url, step)
    handled = COUNT + 200
    assert sum(asked) <= 2 * handled
    assert column(db, "select count(*)::int from ledger") == [handled]


def transaction_lock(asked: list[int]) -> Any:
    """Return what locks rows as ever, and notes how many."""
    from poller.executor.transaction import Transaction  # noqa: PLC0415 - it takes SQLAlchemy to import

    plain = Transaction.lock

    def lock(self: Transaction, tasks: Any) -> Any:
        asked.append(len(tasks))
        return plain(self, tasks)

    return lock
