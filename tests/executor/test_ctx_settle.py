"""`ctx.settle`: the handler's own transaction moves its row, so that its writes and the move are one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from psycopg import IsolationLevel
from psycopg.adapt import Dumper, Loader
from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
from psycopg.types.json import set_json_loads
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from poller import Context, Fail, PollerError, Retry, Row, Snooze, subscribe
from poller.errors import SettleError
from poller.telemetry.events import Event, FailedAfterMove
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


class Django:
    """As much of Django's wrapper of a connection as is looked at: it opens one when it is asked to."""

    connection: psycopg.Connection[Any] | None = None

    def __init__(self, url: str) -> None:
        self._url = url

    def ensure_connection(self) -> None:
        self.connection = psycopg.connect(self._url, cursor_factory=Bound, row_factory=dict_row)


class Bound(psycopg.ClientCursor[Any]):
    """A cursor of the user's, that takes no names."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> Any:  # type: ignore[override]
        assert not isinstance(params, dict)
        return super().execute(query, params)


def with_django(url: str, ctx: Context) -> None:
    wrapper = Django(url)
    ctx.settle(wrapper, "normal", note="done")
    assert wrapper.connection is not None
    with wrapper.connection as connection:
        connection.execute(WRITE)


def foreign(**options: Any) -> Write:
    """Return what settles on a connection that its owner has set up for their own queries."""

    def write(url: str, ctx: Context) -> None:
        with psycopg.connect(url, **options) as connection:
            set_json_loads(lambda text: text, connection)
            connection.adapters.register_loader("text", Shouting)
            connection.adapters.register_dumper(str, Whispering)
            connection.adapters.register_dumper(int, Whispering)
            ctx.settle(connection, "normal", note="done")
            connection.cursor(row_factory=dict_row).execute(WRITE)

    return write


class Shouting(Loader):
    """A loader of the user's."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


class Whispering(Dumper):
    """A dumper of the user's."""

    def dump(self, obj: Any) -> bytes:
        return f"~{obj}~".encode()


class Record:
    """What a user has rows made into."""

    def __init__(self, **columns: Any) -> None:
        self.__dict__.update(columns)


def with_orm_in_scope(url: str, ctx: Context) -> None:
    session = scoped_session(sessionmaker(engine_of(url)))
    session.execute(sqlalchemy.text(WRITE))
    ctx.settle(session, "normal", note="done")
    session.commit()
    session.remove()


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


@pytest.mark.parametrize(
    "write",
    [
        with_psycopg,
        with_core,
        with_core_and_nothing_before,
        with_orm,
        with_orm_in_scope,
        with_django,
        foreign(row_factory=dict_row),
        foreign(row_factory=namedtuple_row),
        foreign(row_factory=class_row(Record)),
        foreign(row_factory=scalar_row),
        foreign(cursor_factory=psycopg.RawCursor),
        foreign(cursor_factory=psycopg.ClientCursor),
        foreign(cursor_factory=Bound, row_factory=dict_row),
    ],
)
def test_g5_the_writes_and_the_move_commit_together(
    db: psycopg.Connection[Any], url: str, write: Write
) -> None:
    """With psycopg, SQLAlchemy and Django, whatever their owner has set up on them; it is recorded as any move is."""

    def step(_: Row, ctx: Context) -> None:
        write(url, ctx)

    [done] = run(url, moves("task", step))

    assert (done.became, done.to, done.error) == ("moved", "normal", None)
    assert task(db) == ("normal", "done")
    assert ledger(db) == [1]
    assert db.execute("select verdict, to_status from poller.history").fetchall() == [("moved", "normal")]
    assert db.execute("select count(*) from poller.claim").fetchone() == (0,)


# --- connections that are awaited -----------------------------------------------------------------------


async def with_psycopg_awaited(url: str, ctx: Context) -> None:
    connect = psycopg.AsyncConnection.connect(
        url, row_factory=dict_row, cursor_factory=psycopg.AsyncRawCursor
    )
    async with await connect as connection:
        set_json_loads(lambda text: text, connection)
        await connection.execute(WRITE)
        await ctx.settle(connection, "normal", note="done")


async def with_core_awaited(url: str, ctx: Context) -> None:
    async with awaited_engine_of(url).begin() as connection:
        await connection.exec_driver_sql(WRITE)
        await ctx.settle(connection, "normal", note="done")


async def with_core_awaited_and_nothing_before(url: str, ctx: Context) -> None:
    async with awaited_engine_of(url).connect() as connection:
        await ctx.settle(connection, "normal", note="done")
        await connection.exec_driver_sql(WRITE)
        await connection.commit()


async def with_orm_awaited(url: str, ctx: Context) -> None:
    async with AsyncSession(awaited_engine_of(url)) as session:
        await ctx.settle(session, "normal", note="done")
        await session.execute(sqlalchemy.text(WRITE))
        await session.commit()


async def with_orm_in_run_sync(url: str, ctx: Context) -> None:
    async with AsyncSession(awaited_engine_of(url)) as session:
        await session.execute(sqlalchemy.text(WRITE))
        await session.run_sync(lambda inner: ctx.settle(inner, "normal", note="done"))
        await session.commit()


async def with_core_in_run_sync(url: str, ctx: Context) -> None:
    async with awaited_engine_of(url).begin() as connection:
        await connection.run_sync(lambda inner: ctx.settle(inner, "normal", note="done"))
        await connection.exec_driver_sql(WRITE)


def awaited_engine_of(url: str) -> AsyncEngine:
    """Return a user's own async engine, on the test's database."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=lambda: psycopg.AsyncConnection.connect(url),
        poolclass=sqlalchemy.pool.NullPool,
    )


AWAITED = [
    with_psycopg_awaited,
    with_core_awaited,
    with_core_awaited_and_nothing_before,
    with_orm_awaited,
    with_orm_in_run_sync,
    with_core_in_run_sync,
]


@pytest.mark.parametrize("write", AWAITED)
def test_g5_a_coroutine_settles_in_its_own_transaction(
    db: psycopg.Connection[Any], url: str, write: Callable[[str, Context], Any]
) -> None:
    """`await ctx.settle(…)` on a connection that is awaited, or as ever in SQLAlchemy's `run_sync`."""

    async def step(_: Row, ctx: Context) -> None:
        await write(url, ctx)

    [done] = run(url, moves("task", step))

    assert (done.became, done.to, done.error) == ("moved", "normal", None)
    assert task(db) == ("normal", "done")
    assert ledger(db) == [1]


def test_g5_what_a_coroutine_rolls_back_is_a_failed_attempt(db: psycopg.Connection[Any], url: str) -> None:
    """Neither the write nor the move is there."""

    async def step(_: Row, ctx: Context) -> None:
        async with AsyncSession(awaited_engine_of(url)) as session:
            await session.execute(sqlalchemy.text(WRITE))
            await ctx.settle(session, "normal")

    [done] = run(url, moves("task", step))

    assert (done.became, done.error) == (
        "retrying",
        "ctx.settle was called, but not committed",
    )
    assert (task(db), ledger(db)) == (("pending", None), [])


@pytest.mark.filterwarnings("ignore:coroutine")
def test_g5_what_is_not_awaited_is_a_failed_attempt(db: psycopg.Connection[Any], url: str) -> None:
    """It would be a move without the writes that belong to it."""

    async def step(_: Row, ctx: Context) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(WRITE)
            ctx.settle(connection, "normal")

    [done] = run(url, moves("task", step))

    assert (done.became, done.error) == ("retrying", "ctx.settle was called, but not awaited")
    assert task(db) == ("pending", None)


def test_g4_an_edit_meanwhile_is_told_to_who_awaits(db: psycopg.Connection[Any], url: str) -> None:
    """So that the transaction is rolled back."""

    async def step(_: Row, ctx: Context) -> None:
        db.execute("update task set status = 'held'")
        async with awaited_engine_of(url).begin() as connection:
            await connection.exec_driver_sql(WRITE)
            await ctx.settle(connection, "normal")

    [done] = run(url, moves("task", step))

    assert done.became == "superseded"
    assert (task(db), ledger(db)) == (("held", None), [])


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
        ("retrying", "ctx.settle was called, but not committed"),
        ("moved", None),
    ]
    assert ledger(db) == [1]


def raises(error: Exception) -> Callable[[], str]:
    """Return what raises an error in place of an answer."""

    def answer() -> str:
        raise error

    return answer


@pytest.mark.parametrize("kind", ["function", "coroutine"])
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (raises(ValueError("too late")), "ValueError: too late (test_ctx_settle.py:"),
        (raises(Fail("the mail was not sent")), "the mail was not sent"),
        (raises(Retry("1s", "the mail waits")), "the mail waits"),
        (lambda: "nonsense", "ValueError: the handler returned 'nonsense'"),
        (raises(Snooze("1s")), None),
        (lambda: "normal", None),
    ],
)
def test_g5_what_fails_after_the_commit_changes_nothing_and_is_told(
    db: psycopg.Connection[Any], url: str, kind: str, answer: Callable[[], str], says: str | None
) -> None:
    """The row has been moved, and stays so; the log and subscribers hear of the error."""
    heard: list[FailedAfterMove] = []

    def hear(event: Event) -> None:
        heard.extend([event] if isinstance(event, FailedAfterMove) else [])

    def step(_: Row, ctx: Context) -> str:
        with_psycopg(url, ctx)
        return answer()

    async def awaited(row: Row, ctx: Context) -> str:
        await with_psycopg_awaited(url, ctx)
        return answer()

    end = subscribe(hear)
    try:
        [done] = run(url, moves("task", awaited if kind == "coroutine" else step))
    finally:
        end()

    assert (done.became, done.to) == ("moved", "normal")
    assert task(db)[0] == "normal"
    assert [each.error[: len(says or "")] for each in heard] == ([] if says is None else [says])
    assert [(each.key, each.to, each.attempt) for each in heard] == [("1", "normal", 1)] * len(heard)
    assert done.error == (heard[0].error if heard else None)


def test_g5_a_timeout_after_the_commit_is_told(
    db: psycopg.Connection[Any], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the log, as a warning with its cause."""
    over = threading.Event()

    def step(_: Row, ctx: Context) -> None:
        with_psycopg(url, ctx)
        over.wait(30)

    try:
        with caplog.at_level("WARNING", logger="poller"):
            [done] = run(url, moves("task", step, timeout="0.2s"))
    finally:
        over.set()

    assert (done.became, task(db)[0]) == ("moved", "normal")
    assert "moved, then failed: " in caplog.text


def test_g4_a_status_that_was_edited_meanwhile_rolls_back(db: psycopg.Connection[Any], url: str) -> None:
    """`settle` raises, so that the handler's writes go with the move that there cannot be."""

    def step(_: Row, ctx: Context) -> None:
        db.execute("update task set status = 'held'")
        with pytest.raises(SettleError, match="another program has changed its status; roll back"):
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


@pytest.mark.parametrize("apart", [True, False], ids=["two transactions", "one"])
def test_g10_who_settles_twice_is_told_so(db: psycopg.Connection[Any], url: str, *, apart: bool) -> None:
    """The lease has ended by then, but not by itself; what was committed stands."""

    def step(_: Row, ctx: Context) -> None:
        with psycopg.connect(url) as connection:
            ctx.settle(connection, "normal")
            if apart:
                connection.commit()
            ctx.settle(connection, "normal")

    [done] = run(url, moves("task", step, attempts=1))
    said = "ctx.settle has moved it to 'normal' before, in this attempt; call it once; roll back"
    assert task(db) == (("normal" if apart else "pending"), None)
    assert said in (done.error or "")
    assert done.became == ("moved" if apart else "parked")


@pytest.mark.parametrize("apart", [True, False], ids=["two transactions", "one"])
def test_g10_a_coroutine_that_settles_twice_is_told_so(
    db: psycopg.Connection[Any], url: str, *, apart: bool
) -> None:
    """And its first move, if it was committed, is not taken for one of somebody else's."""
    told: list[str] = []

    async def step(_: Row, ctx: Context) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await ctx.settle(connection, "normal")
            if apart:
                await connection.commit()
            try:
                await ctx.settle(connection, "normal")
            except SettleError as error:
                told.append(str(error))
                raise

    [done] = run(url, moves("task", step, attempts=1))
    assert "ctx.settle has moved it to 'normal' before" in told[0]
    assert (task(db), done.became) == (("normal", None), "moved") if apart else (("pending", None), "parked")


class DjangosError(Exception):
    """Django's own class of error, of which the driver's is the cause."""


def commits_within(connection: psycopg.Connection[Any], ctx: Context) -> None:
    ctx.settle(connection, "normal")


def fails_as_django(connection: psycopg.Connection[Any], ctx: Context) -> None:
    try:
        ctx.settle(connection, "normal")
    except psycopg.Error as error:
        raise DjangosError from error


@pytest.mark.fault("F75")
@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("settle", [commits_within, fails_as_django])
def test_g11_transactions_that_meet_over_pollers_own_rows_cost_no_row_its_last_attempt(
    db: psycopg.Connection[Any], url: str, level: IsolationLevel, settle: Any
) -> None:
    """Of two that see the same lease only one can shrink it; the other row is not at fault, and comes again."""
    db.execute("insert into task values (2, 'pending')")
    both = threading.Barrier(2)

    def step(_: Row, ctx: Context) -> None:
        with psycopg.connect(url) as connection:
            connection.isolation_level = level
            connection.execute("select")
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(5 if not both.broken else 0)
            both.abort()
            settle(connection, ctx)

    done = run_to_the_end(url, moves("task", step, attempts=1))

    [met] = [each for each in done if each.became != "moved"]
    assert (met.became, met.attempt) == ("retrying", 0)
    assert db.execute("select status from task").fetchall() == [("normal",)] * 2


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
