"""`ctx.settle`: the handler's own transaction moves its row, so that its writes and the move are one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from poller import Context, PollerError, Row
from poller.errors import SettleError
from tests.engines import moves, run, run_to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str, Context], None]

WRITE = "insert into ledger values (1)"


@pytest.fixture
def url(url: str) -> str:
    """A database with one account to settle, and a ledger."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text, note text)")
        db.execute("create table ledger (amount int); insert into task values (1, 'pending')")
    return url


def with_psycopg(url: str, ctx: Context) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(WRITE)
        ctx.settle(connection, "normal", note="done")


def with_core(url: str, ctx: Context) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(WRITE)
        ctx.settle(connection, "normal", note="done")


def with_core_and_nothing_before(url: str, ctx: Context) -> None:
    with engine_of(url).connect() as connection:
        ctx.settle(connection, "normal", note="done")
        connection.exec_driver_sql(WRITE)
        connection.commit()


def with_orm(url: str, ctx: Context) -> None:
    with Session(engine_of(url)) as session:
        session.execute(sqlalchemy.text(WRITE))
        ctx.settle(session, "normal", note="done")
        session.commit()


def engine_of(url: str) -> sqlalchemy.Engine:
    """Return an engine as users make them."""
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sqlalchemy.pool.NullPool
    )


def ledger(db: psycopg.Connection[Any]) -> list[int]:
    """Return what the handlers have written."""
    return [row[0] for row in db.execute("select amount from ledger")]


def task(db: psycopg.Connection[Any]) -> tuple[Any, ...] | None:
    """Return the row."""
    return db.execute("select status, note from task").fetchone()


@pytest.mark.parametrize("write", [with_psycopg, with_core, with_core_and_nothing_before, with_orm])
def test_g5_the_writes_and_the_move_commit_together(
    db: psycopg.Connection[Any], url: str, write: Write
) -> None:
    """With psycopg and with SQLAlchemy; the row is moved once, and recorded as any move is."""

    def step(_: Row, ctx: Context) -> None:
        write(url, ctx)

    [done] = run(url, moves("task", step))

    assert (done.became, done.to, done.error) == ("moved", "normal", None)
    assert task(db) == ("normal", "done")
    assert ledger(db) == [1]
    assert db.execute("select verdict, to_status from poller.history").fetchall() == [("moved", "normal")]
    assert db.execute("select count(*) from poller.claim").fetchone() == (0,)


def test_g5_what_is_rolled_back_is_a_failed_attempt(db: psycopg.Connection[Any], url: str) -> None:
    """Neither the writes nor the move are there; the next attempt does both."""

    def step(_: Row, ctx: Context) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(WRITE)
            ctx.settle(connection, "normal")
            if ctx.attempt == 1:
                connection.rollback()

    done = run_to_the_end(url, moves("task", step))

    assert [(each.became, each.error) for each in done] == [
        ("retrying", "RuntimeError: ctx.settle was called, but not committed"),
        ("moved", None),
    ]
    assert ledger(db) == [1]


def test_g5_an_error_after_the_commit_changes_nothing(db: psycopg.Connection[Any], url: str) -> None:
    """The row has been moved, and stays so."""

    def step(_: Row, ctx: Context) -> None:
        with_psycopg(url, ctx)
        raise ValueError("too late")

    [done] = run(url, moves("task", step))

    assert done.became == "moved"
    assert task(db) == ("normal", "done")


def test_g4_a_status_that_was_edited_meanwhile_rolls_back(db: psycopg.Connection[Any], url: str) -> None:
    """`settle` raises, so that the handler's writes go with the move that there cannot be."""

    def step(_: Row, ctx: Context) -> None:
        db.execute("update task set status = 'held'")
        with pytest.raises(SettleError, match="somebody else has changed its status; roll back"):
            with_psycopg(url, ctx)
        raise ValueError("rolled back")

    [done] = run(url, moves("task", step))

    assert done.became == "superseded"
    assert task(db) == ("held", None)
    assert ledger(db) == []


def test_g3_who_has_lost_the_lease_cannot_move_the_row(db: psycopg.Connection[Any], url: str) -> None:
    """The fence holds in the handler's transaction as everywhere."""

    def step(_: Row, ctx: Context) -> None:
        if not lost:
            lost.append(ctx.key)
            db.execute("delete from poller.claim")
            with_psycopg(url, ctx)
        assert (task(db), ledger(db)) == (("pending", None), [])

    lost: list[str] = []
    late, moved = run(url, moves("task", step))

    assert (late.became, moved.became) == ("late", "moved")
    assert late.error is not None
    assert "the lease has ended; roll back" in late.error


@pytest.mark.parametrize(
    ("connection", "status", "says"),
    [
        (None, "normal", "ctx.settle needs a connection of psycopg 3"),
        (sqlalchemy.create_engine("sqlite://"), "normal", "got Engine"),
        (sqlalchemy.create_engine("sqlite://").connect(), "normal", "Connection on sqlite+pysqlite"),
        (None, "elsewhere", "'elsewhere'; it may return 'normal'"),
    ],
)
def test_g10_what_cannot_be_settled_is_said(url: str, connection: Any, status: str, says: str) -> None:
    """In one line, and nothing was changed."""

    def step(_: Row, ctx: Context) -> None:
        with pytest.raises(PollerError) as caught:
            ctx.settle(connection, status)
        assert says in str(caught.value)

    assert [each.became for each in run(url, moves("task", step))] == ["moved"]
