"""A handler that forks: what comes back from it is not a second worker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from poller import Context, Transition
from poller.executor.forked import STATUS
from poller.testing import Engine
from tests.engines import column, moves, run

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from poller import Row


def fork() -> Transition:
    """Fork; the parent tells how its child ended, which goes on like itself."""
    child = os.fork()
    if child == 0:
        return Transition("normal")
    until = monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and monotonic() < until:
        sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Transition("normal", child=None)
    return Transition("normal", child=os.waitstatus_to_exitcode(ended[1]))


def plain(_: Any) -> Transition:
    """Fork on a thread, in a process, or for a batch."""
    return fork()


def transactional(_: Any, ctx: Context) -> Transition:
    """Fork within a transaction."""
    assert ctx.connection is not None
    return fork()


async def awaited(_: Any) -> Transition:
    """Fork on the event loop."""
    return fork()


@pytest.mark.fault("F52")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (plain, {}),
        (plain, {"batch": 2}),
        (plain, {"executor": "process"}),
        (transactional, {"transactional": True}),
        (awaited, {}),
    ],
    ids=["thread", "batch", "process", "transactional", "coroutine"],
)
def test_g2_a_process_that_a_handler_has_forked_does_not_go_on_as_a_worker(
    url: str, db: psycopg.Connection[Any], function: Any, options: dict[str, Any]
) -> None:
    """It ends where the handler does: it had the queue and the connections of its parent."""
    db.execute("create table task (id int primary key, status text, child int)")
    db.execute("insert into task select i, 'pending' from generate_series(1, 2) as i")

    done = run(url, moves("task", function, **options))

    assert [each.became for each in done] == ["moved", "moved"]
    assert column(db, "select child from task") == [STATUS, STATUS]


@pytest.mark.fault("F52")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_g2_a_process_that_a_coroutine_has_forked_runs_no_other_coroutine(
    url: str, db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """It has a copy of the event loop, which would go on at its first await, with all that waits there."""
    db.execute("create table task (id int primary key, status text, child int)")
    db.execute("insert into task select i, 'pending' from generate_series(1, 3) as i")
    ledger = tmp_path / "ledger"

    async def step(row: Row) -> Transition:
        if row.id > 1:
            await asyncio.sleep(0.2)
            with ledger.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return Transition("normal")
        await asyncio.sleep(0.05)  # until the others wait, too
        child = os.fork()
        until = monotonic() + 2
        while child == 0 and monotonic() < until:  # noqa: ASYNC110 - a fork has no event to wait for
            await asyncio.sleep(0)
        if child == 0:
            os._exit(0)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return Transition("normal", child=os.waitstatus_to_exitcode(status))

    with Engine(url, moves("task", step), concurrency=3) as engine:
        assert [each.became for each in engine.run_due()] == ["moved"] * 3
    assert ledger.read_text().split() == [str(os.getpid())] * 2
    assert column(db, "select child from task where id = 1") == [STATUS]


def test_a_forked_process_that_ends_itself_ends_as_it_says(url: str, db: psycopg.Connection[Any]) -> None:
    """Its parent may ask for its exit status."""
    db.execute("create table task (id int primary key, status text, child int)")
    db.execute("insert into task values (1, 'pending')")

    def leaves(_: Any) -> Transition:
        child = os.fork()
        if child == 0:
            sys.exit(3)
        return Transition("normal", child=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    run(url, moves("task", leaves))
    assert column(db, "select child from task") == [3]
