"""The event loop goes on, whatever coroutine handlers do to it (guarantee 11)."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Context, Fail, Snooze, job
from poller.executor import event_loop
from poller.testing import Engine
from tests.engines import column, moves, run
from tests.harness import wait_until

if TYPE_CHECKING:
    from poller import Row
    from tests.harness import Project


@pytest.fixture
def url(url: str) -> str:
    """A database with ten tasks."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text not null)")
        db.execute("insert into task select i, 'pending' from generate_series(1, 10) as i")
    return url


@pytest.fixture
def db(url: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


async def leave_a_task() -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    asyncio.create_task(later())  # noqa: RUF006 - that it is left behind is the point
    await asyncio.sleep(0.01)


async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


async def leave_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0.01)


async def close_the_loop() -> None:
    asyncio.get_running_loop().close()


@pytest.mark.fault("F52")
@pytest.mark.parametrize("harm", [leave_a_task, stop_the_loop, leave_in_a_callback])
def test_g11_a_loop_that_was_ended_goes_on(url: str, harm: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is said; the rows of the others, and its own, end."""

    async def step(row: Row) -> None:
        if row.id == 3:
            await harm()
        await asyncio.sleep(0.01)

    assert [each.became for each in run(url, moves("task", step))] == ["moved"] * 10
    assert any(
        "the event loop was" in line and line.endswith("restarted the loop") for line in caplog.messages
    )


@pytest.mark.fault("F52")
def test_g11_to_close_the_loop_is_a_failure(url: str) -> None:
    """Python refuses it while it runs."""

    async def step(row: Row) -> None:
        if row.id == 3:
            await close_the_loop()

    done = {each.key: each.became for each in run(url, moves("task", step, attempts=1))}
    assert done == {str(number): "parked" if number == 3 else "moved" for number in range(1, 11)}


@pytest.mark.fault("F52")
def test_g11_a_task_factory_that_raises_is_a_failure(url: str) -> None:
    """Of the rows that it was to begin, on one slot."""

    def factory(*_: Any, **__: Any) -> Any:
        raise SystemExit

    async def step(row: Row) -> None:
        if row.id == 3:
            asyncio.get_running_loop().set_task_factory(factory)

    with Engine(url, moves("task", step, attempts=1), concurrency=1) as engine:
        assert [each.became for each in engine.run_due()] == ["moved"] * 3 + ["parked"] * 7


@pytest.mark.fault("F52")
def test_g11_who_blocks_the_loop_times_out_and_the_others_lose_no_attempt(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are given back; and the worker is to be replaced at once."""
    monkeypatch.setattr(event_loop, "LOGGED_AFTER_SECONDS", 0.6)
    blocked: list[int] = []

    async def step(row: Row) -> None:
        if row.id == 3 and not blocked:
            blocked.append(row.id)
            await asyncio.sleep(0.1)  # until the others wait, too
            time.sleep(3)  # noqa: ASYNC251 - that it blocks is the point
        await asyncio.sleep(0.3)

    with Engine(url, moves("task", step, timeout="1500ms"), concurrency=10) as engine:
        done = engine.run_due()
    failed = [(each.key, each.attempt) for each in done if each.became == "retrying"]
    assert failed == [("3", 1)]
    assert {each.attempt for each in done if each.became == "released"} == {0}
    moved = {each.key: each.attempt for each in done if each.became == "moved" and each.key != "3"}
    assert moved == {str(number): 1 for number in range(1, 11) if number != 3}
    assert any(
        "has blocked the event loop for" in line and "task:pending:3" in line for line in caplog.messages
    )


@pytest.mark.fault("F52")
def test_a_worker_whose_loop_is_blocked_is_replaced(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its other coroutine rows go on within the time of the blocked one, not after it."""
    project.handlers("""
        import asyncio, time

        @handler("task", status="pending", to="normal", timeout="3s", attempts=1)
        async def step(row):
            if row.id == 3:
                await asyncio.sleep(0.2)
                time.sleep(600)
            await asyncio.sleep(0.5)
    """)
    process = project.start("run", "--workers", "1", "--concurrency", "10")
    wait_until(
        "all but one are moved", lambda: len(column(db, "select id from task where status = 'normal'")) == 9
    )
    assert column(db, "select key from poller.attempt where state = 'parked'") == ["3"]
    assert "restarting" in process.log or "takes its place" in process.log


async def raise_in_a_group(error: BaseException, *others: BaseException) -> None:
    """Raise it in a task of a group within a group."""

    async def one(raised: BaseException) -> None:
        raise raised

    async with asyncio.TaskGroup() as outer:

        async def inner() -> None:
            async with asyncio.TaskGroup() as group:
                for each in (error, *others):
                    group.create_task(one(each))

        outer.create_task(inner())


@pytest.mark.parametrize(
    ("errors", "became", "said"),
    [
        ([Snooze("1h")], "snoozed", None),
        ([Fail("no")], "parked", "no"),
        ([ValueError("bad")], "retrying", "ValueError: bad (test_event_loop.py:"),
        (
            [ValueError("bad"), KeyError("worse")],
            "retrying",
            "ExceptionGroup: unhandled errors in a TaskGroup",
        ),
    ],
    ids=["snooze", "fail", "error", "errors"],
)
def test_what_a_task_of_a_group_raises_alone_is_what_the_handler_raises(
    url: str, errors: list[BaseException], became: str, said: str | None
) -> None:
    """An answer is an answer, and an error has its own class and place."""

    async def step(_: Any) -> None:
        await raise_in_a_group(*errors)

    done = run(url, moves("task", step))

    assert [each.became for each in done] == [became] * 10
    assert all((each.error or "").startswith(said or "") for each in done)


@pytest.mark.parametrize(
    ("errors", "kept", "left_out"),
    [
        ([ValueError("bad")], ["in one", "ValueError: bad"], "ExceptionGroup"),
        ([ValueError("bad"), KeyError("worse")], ["| ", "ValueError: bad", "KeyError: 'worse'"], "Snooze"),
        ([Snooze("1h")], [], "File"),
    ],
    ids=["error", "errors", "snooze"],
)
def test_what_the_tasks_of_a_jobs_group_raise_is_kept_with_its_run(
    url: str, db: psycopg.Connection[Any], errors: list[BaseException], kept: list[str], left_out: str
) -> None:
    """Where each was raised; that there was a group says nothing."""

    @job()
    async def nightly() -> None:
        await raise_in_a_group(*errors)

    with Engine(url, nightly) as engine:
        engine.trigger(nightly)
        engine.run_due()

    [output] = column(db, "select output from poller.run")
    assert [each for each in kept if each not in output] == []
    assert left_out not in output


def test_a_snooze_from_a_group_snoozes_the_whole_batch_at_once(url: str) -> None:
    """As a bare one does: the batch is not called again in halves."""
    calls: list[int] = []

    async def step(rows: list[Any]) -> None:
        calls.append(len(rows))
        await raise_in_a_group(Snooze("1h"))

    done = run(url, moves("task", step, batch=100))

    assert [each.became for each in done] == ["snoozed"] * 10
    assert calls == [10]


def snooze_in_a_group(_: Any) -> None:
    """Snooze from within a loop of its own."""
    asyncio.run(raise_in_a_group(Snooze("1h")))


def snooze_in_a_transaction(_: Row, ctx: Context) -> None:
    """The same where the row's transaction is at hand."""
    assert ctx.connection is not None
    snooze_in_a_group(None)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (snooze_in_a_group, {}),
        (snooze_in_a_group, {"executor": "process"}),
        (snooze_in_a_group, {"batch": 4}),
        (snooze_in_a_group, {"batch": 4, "executor": "process"}),
        (snooze_in_a_transaction, {"transactional": True}),
    ],
    ids=["thread", "process", "batch", "batch in a process", "transactional"],
)
def test_what_a_group_raises_alone_is_so_wherever_the_handler_runs(
    url: str, function: Any, options: dict[str, Any]
) -> None:
    """A loop of the handler's own is not poller's."""
    done = run(url, moves("task", function, **options))
    assert [(each.became, each.error) for each in done] == [("snoozed", None)] * 10
