"""Each attempt begins clean: nothing that one has set reaches another (guarantee 11)."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.adapt import Loader
from psycopg.rows import dict_row, tuple_row
from psycopg.types.json import set_json_loads
from sqlalchemy import text

from poller import Context, Row, fixed_rate
from poller.testing import Engine
from tests.engines import column, moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.testing import Done
    from tests.harness import Project

COUNT = 12
tenant: ContextVar[int | None] = ContextVar("tenant", default=None)
mark: ContextVar[Any] = ContextVar("mark")


@pytest.fixture
def url(url: str) -> str:
    """A database with tasks of the tenants one, two and none in turn, and a table of notes for each."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text not null, tenant text)")
        db.execute("create table note (task int)")
        for name in ("one", "two"):
            db.execute(f"create schema {name}; create table {name}.note (task int)")
        db.execute(
            "insert into task select i, 'pending', (array['one', 'two', null])[1 + mod(i, 3)]"
            " from generate_series(1, %s) as i",
            [COUNT],
        )
    return url


@pytest.fixture
def db(url: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def run(url: str, step: Any, **options: Any) -> list[Done]:
    """Run all tasks on one thread, so that one follows the other."""
    with Engine(url, moves("task", step, **options), concurrency=1) as engine:
        return engine.run_due()


# --- contexts ------------------------------------------------------------------------------------------


def seen_by(row: Row) -> int | None:
    """Return what an attempt finds, and set it."""
    found = tenant.get()
    tenant.set(row.id)
    return found


@pytest.mark.parametrize("mode", ["thread", "coroutine", "batch", "transactional"])
def test_a_context_variable_ends_with_the_attempt(url: str, mode: str) -> None:
    """The next one on that thread, or started by its end, finds it unset."""
    seen: list[int | None] = []

    def plain(row: Row) -> None:
        seen.append(seen_by(row))

    async def coroutine(row: Row) -> None:
        seen.append(seen_by(row))
        await asyncio.sleep(0)

    def batch(rows: list[Row]) -> None:
        seen.append(seen_by(rows[0]))

    steps = {"thread": plain, "coroutine": coroutine, "batch": batch, "transactional": plain}
    options = {"batch": {"batch": 2}, "transactional": {"transactional": True}}
    done = run(url, steps[mode], **options.get(mode, {}))
    assert [each.became for each in done] == ["moved"] * COUNT
    assert seen == [None] * (COUNT // 2 if mode == "batch" else COUNT)


class Marked:
    """What an attempt keeps in its context."""


@pytest.mark.parametrize("mode", ["thread", "coroutine", "batch", "transactional"])
def test_what_an_attempt_has_set_goes_when_it_ends(url: str, mode: str) -> None:
    """Nothing of it waits for the garbage collector: that would cost each row a tenth of the time, and its memory."""
    left: list[weakref.ref[Marked]] = []

    def plain(_: Any) -> None:
        mark.set(marked := Marked())
        left.append(weakref.ref(marked))

    async def coroutine(row: Row) -> None:
        plain(row)
        await asyncio.sleep(0)

    options = {"batch": {"batch": 2}, "transactional": {"transactional": True}}
    step = coroutine if mode == "coroutine" else plain
    gc.collect()
    gc.disable()
    try:
        with Engine(url, moves("task", step, **options.get(mode, {})), concurrency=1) as engine:
            engine.run_due()
            assert len(left) == (COUNT // 2 if mode == "batch" else COUNT)
            assert sum(each() is not None for each in left) <= 1, "the last one may be held by its thread"
    finally:
        gc.enable()


def fail_if_set(row: Row) -> None:
    """Fail in a process that has run another row."""
    assert seen_by(row) is None


def test_a_context_variable_ends_with_the_attempt_in_a_process(url: str) -> None:
    """The process is used again, its context is not."""
    assert [each.became for each in run(url, fail_if_set, executor="process")] == ["moved"] * COUNT


def test_what_handlers_print_never_lands_in_a_run(
    url: str, db: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """An async job sleeps while async handlers print, and leaves a task that prints after its end."""
    ended = asyncio.Event()

    async def step(row: Row) -> None:
        print(f"handler {row.id}")  # noqa: T201
        ended.set()
        await asyncio.sleep(0.01)

    async def late() -> None:
        await ended.wait()
        await asyncio.sleep(0.05)
        print("left behind")  # noqa: T201

    @fixed_rate("1h")
    async def job() -> None:
        print("job begins")  # noqa: T201
        asyncio.create_task(late())  # noqa: RUF006 - that it is left behind is the point
        await ended.wait()
        print("job ends")  # noqa: T201

    with Engine(url, moves("task", step), job, concurrency=4) as engine:
        engine.run_due()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.2), engine._executor._coroutines.loop._loop).result(
            30
        )  # type: ignore[union-attr]
    assert column(db, "select output from poller.run") == ["job begins\njob ends\n"]
    out = capsys.readouterr().out
    assert "left behind" in out
    assert out.count("handler ") == COUNT


# --- standard input ------------------------------------------------------------------------------------


def test_standard_input_is_at_its_end(project: Project, db: psycopg.Connection[Any]) -> None:
    """For a thread, a process and what they start: nobody waits for a person who is not there."""
    project.handlers("""
        import subprocess

        def read(row):
            try:
                input()
            except EOFError:
                return "normal" if subprocess.run(["cat"], capture_output=True, check=True).stdout == b"" else "odd"

        @handler("task", status="pending", to=("normal", "odd"), where="id % 2 = 0", timeout="30s", attempts=1)
        def in_a_thread(row):
            return read(row)

        @handler("task", status="other", to=("normal", "odd"), executor="process", timeout="30s", attempts=1)
        def in_a_process(row):
            return read(row)
    """)
    db.execute("delete from task where id > 4")
    db.execute("update task set status = 'other' where id % 2 = 1")
    done = project.run("run", "--drain")
    assert done.returncode == 0, done.stderr
    assert column(db, "select distinct status from task") == ["normal"]


# --- sessions of transactional handlers ----------------------------------------------------------------

overheard: list[str] = []  # by the handlers that a row has left on its connection


class Shouting(Loader):
    """Reads text as a program may wish to, for one row."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


SETTINGS = [
    "set local search_path = {}",
    "set search_path = {}",
    "select set_config('search_path', '{}', true)",
    "do $$ begin set local search_path = {}; end $$",
]


@pytest.mark.fault("F63")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.usefixtures("unhurried")
def test_g5_a_search_path_ends_with_its_row(url: str, db: psycopg.Connection[Any], setting: str) -> None:
    """A row without a tenant writes into no tenant's schema, and what is poller's is found."""

    def step(row: Row, ctx: Context) -> None:
        if row.tenant:
            ctx.connection.execute(text(setting.format(row.tenant)))
        ctx.connection.execute(text("insert into note values (:task)"), {"task": row.id})

    assert [each.became for each in run(url, step, transactional=True)] == ["moved"] * COUNT
    for schema, remainder in (("one", 0), ("two", 1), ("public", 2)):
        expected = [number for number in range(1, COUNT + 1) if number % 3 == remainder]
        assert column(db, f"select task from {schema}.note order by 1") == expected


def use_role(connection: Any) -> None:
    connection.execute(text("set local role restricted"))


def use_setting(connection: Any) -> None:
    connection.execute(text("select set_config('app.tenant', 'one', true)"))
    connection.execute(text("set statement_timeout = '200ms'"))


def use_temporary_table(connection: Any) -> None:
    connection.execute(text("create temporary table claim (id int) on commit drop"))
    connection.execute(text("create temporary table kept (id int)"))


def use_cursor(connection: Any) -> None:
    connection.execute(text("declare c cursor with hold for select 1"))
    connection.execute(text("listen elsewhere"))


def use_prepared(connection: Any) -> None:
    connection.execute(text("prepare mine as select 1"))


def use_constraints(connection: Any) -> None:
    connection.execute(text("set constraints all immediate"))


def use_lock(connection: Any) -> None:
    connection.execute(text("select pg_advisory_lock(1)"))


def use_factories(connection: Any) -> None:
    connection.connection.driver_connection.row_factory = dict_row
    connection.connection.driver_connection.cursor_factory = psycopg.ClientCursor


def use_driver(connection: Any) -> None:
    """Change whatever psycopg lets one change of a connection in a transaction."""
    driver = connection.connection.driver_connection
    driver.server_cursor_factory = psycopg.RawServerCursor
    driver.prepare_threshold, driver.prepared_max = None, 0
    driver.add_notice_handler(lambda _: overheard.append("notice"))
    driver.add_notify_handler(lambda _: overheard.append("notify"))
    set_json_loads(lambda _: "changed", driver)
    driver.adapters.register_loader("text", Shouting)
    connection.info["tenant"] = "one"


def use_detached(connection: Any) -> None:
    connection.detach()
    connection.execute(text("insert into note values (0)"))


def use_schemas(connection: Any) -> None:
    connection.execution_options(schema_translate_map={None: "one"})


def leave_a_savepoint(connection: Any) -> None:
    connection.begin_nested()


USES = [
    use_role,
    use_setting,
    use_temporary_table,
    use_cursor,
    use_prepared,
    use_constraints,
    use_lock,
    use_factories,
    use_driver,
    use_detached,
    use_schemas,
    leave_a_savepoint,
]

STATE = """
select current_user, current_setting('app.tenant', true), current_setting('statement_timeout'),
       (select count(*) from pg_class where relpersistence = 't' and relkind = 'r'),
       (select count(*) from pg_cursors where is_holdable), (select count(*) from pg_listening_channels()),
       (select count(*) from pg_prepared_statements where from_sql),
       (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
"""


def state_of(connection: Any) -> list[Any]:
    """Return what a handler finds on its connection in this process; have the server say something, too."""
    driver = connection.connection.driver_connection
    connection.execute(text("do $$ begin raise notice 'heard'; perform pg_notify('poller', 'x'); end $$"))
    json = connection.connection.cursor().execute("""select '{"a": 1}'::json""").fetchone()
    return [
        driver.server_cursor_factory,
        (driver.row_factory, driver.prepare_threshold, driver.prepared_max),
        dict(connection.info),
        (json, list(overheard)),
        driver.autocommit,
    ]


PRISTINE = [psycopg.ServerCursor, (tuple_row, 5, 100), {}, (({"a": 1},), []), False]


@pytest.mark.fault("F63")
@pytest.mark.parametrize("use", USES)
@pytest.mark.usefixtures("unhurried")
def test_g5_what_a_row_sets_in_the_session_ends_with_it(
    url: str, db: psycopg.Connection[Any], use: Any
) -> None:
    """Neither the next row finds it, nor the next transaction, nor what poller itself writes."""
    db.execute(
        "do $$ begin create role restricted; exception when duplicate_object then null; end $$;"
        "create table child (task int references task (id) deferrable initially deferred)"
    )
    seen: list[Any] = []

    def step(row: Row, ctx: Context) -> None:
        if ctx.attempt == 1:  # an odd row uses it, an even one looks
            if row.id % 2:
                use(ctx.connection)
                return
            found = ctx.connection.execute(text(STATE)).one()
            seen.append((found[0], found[1] or None, *found[2:]))
            assert ctx.connection.get_execution_options() == {}
            assert state_of(ctx.connection) == PRISTINE
            ctx.connection.execute(text("insert into child values (:task)"), {"task": 1000 + row.id})
            ctx.connection.execute(text("insert into task values (:task, 'made')"), {"task": 1000 + row.id})

    done = run(url, step, transactional=True)
    assert [each.became for each in done] == ["moved"] * COUNT, [each.error for each in done]
    assert set(seen) == {("postgres", None, "0", 0, 0, 0, 0, 0)}
    assert len(seen) == COUNT // 2


@pytest.mark.fault("F63")
@pytest.mark.parametrize("way", ["connection.commit", "connection.rollback", "commit", "/* x */ ROLLBACK"])
@pytest.mark.usefixtures("unhurried")
def test_g5_who_ends_the_transaction_ends_nobody_elses_work(
    url: str, db: psycopg.Connection[Any], way: str
) -> None:
    """It is refused before it is done: the others' writes and moves commit together."""

    def step(row: Row, ctx: Context) -> None:
        ctx.connection.execute(text("insert into note values (:task)"), {"task": row.id})
        if row.id == 5:
            if way.startswith("connection."):
                getattr(ctx.connection, way.removeprefix("connection."))()
            ctx.connection.execute(text(way))

    done = run(url, step, transactional=True, attempts=1)
    expected = [number for number in range(1, COUNT + 1) if number != 5]
    assert column(db, "select task from note order by 1") == expected
    assert column(db, "select id from task where status = 'normal' order by 1") == expected
    [error] = [each.error for each in done if each.became == "parked"]
    assert "must not end its transaction" in str(error)


def _driver_of(connection: Any) -> Any:
    return connection.connection.driver_connection


def leave_a_with(connection: Any) -> None:
    with _driver_of(connection) as driver:
        driver.execute("select")


CLOSINGS: dict[str, Callable[[Any], object]] = {
    "invalidate": lambda connection: connection.invalidate(),
    "close": lambda connection: connection.close(),
    "close the pool's": lambda connection: connection.connection.close(),
    "close the driver's": lambda connection: _driver_of(connection).close(),
    "commit the pool's": lambda connection: connection.connection.commit(),
    "commit the driver's": lambda connection: _driver_of(connection).commit(),
    "roll the driver's back": lambda connection: _driver_of(connection).rollback(),
    "leave the driver's with": leave_a_with,
    "detach and commit": lambda connection: (connection.detach(), connection.commit()),
    "finish libpq's": lambda connection: _driver_of(connection).pgconn.finish(),
}


@pytest.mark.fault("F63")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.usefixtures("unhurried")
def test_g5_who_closes_the_connection_costs_only_its_own_row(
    url: str, db: psycopg.Connection[Any], batch: int
) -> None:
    """It fails, with the reason; the others' writes and moves commit together, once."""
    db.execute("insert into task select i, 'pending' from generate_series(%s, 20) as i", [COUNT + 1])
    ways = dict(zip(range(2, 21, 2), CLOSINGS, strict=True))

    def step(given: Any, ctx: Context) -> None:
        rows = [given] if batch == 1 else given
        for row in rows:
            ctx.connection.execute(text("insert into note values (:task)"), {"task": row.id})
        way = next((ways[row.id] for row in rows if row.id in ways), None)
        if way:
            CLOSINGS[way](ctx.connection)

    done = run(url, step, transactional=True, attempts=1, batch=batch)
    failed = {ways[int(each.key)]: each.error for each in done if each.became == "parked"}
    assert set(failed) == set(CLOSINGS)
    for way, error in failed.items():
        assert "a transactional handler must not" in str(error), way
    assert column(db, "select task from note order by 1") == list(range(1, 21, 2))
    assert column(db, "select id from task where status = 'normal' order by 1") == list(range(1, 21, 2))


def test_each_thread_of_a_worker_is_clean(url: str) -> None:
    """Whatever order threads take rows in."""
    seen: list[int | None] = []

    def step(row: Row) -> None:
        seen.append(seen_by(row))
        threading.Event().wait(0.001)

    with Engine(url, moves("task", step), concurrency=4) as engine:
        engine.run_due()
    assert seen == [None] * COUNT
