"""Handlers that run in processes of their own, or by an executor of the user's: what a worse day costs."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import resource
import signal
import sys
import threading
import time
from concurrent.futures import Executor as Futures
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, resource_tracker, set_start_method, spawn
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tenacity import retry_if_exception_type, wait_fixed

from poller import Context, Fail, PollerError, Retry, Row, Run, Snooze, Transition, fixed_rate, handler, shell
from poller.errors import ConfigurationError
from poller.executor import processes as elsewhere
from poller.executor import remote_call
from poller.executor.executor import Executor
from poller.model.context import token_of
from poller.registry import load
from poller.store.binding import bind
from poller.testing import Engine
from tests.engines import do_nothing
from tests.harness import wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller import Handler, Job
    from poller.store.lease import Result
    from poller.testing import Done
    from tests.claiming import NewWorker
    from tests.harness import Project

BAD = 3  # the row that does it


@pytest.fixture
def url(url: str) -> str:
    """A database with five tasks."""
    with psycopg.connect(url) as db:
        db.execute("create table task (id int primary key, status text, pid int, note text)")
        db.execute("insert into task select i, 'pending' from generate_series(1, 5) as i")
    return url


def made(function: Any, **options: Any) -> Handler:
    """Register one of this module's functions."""
    plain = {"status": "pending", "to": "normal", "executor": "process", "wait": wait_fixed(600)}
    return handler("task", **{**plain, **options})(function)


def run(url: str, step: Handler | Job, concurrency: int = 1) -> list[Done]:
    """Run the tasks."""
    with Engine(url, step, concurrency=concurrency) as engine:
        return engine.run_due()


def others_moved(db: psycopg.Connection[Any], done: list[Done]) -> Done:
    """Make sure that all rows but the bad one moved on; return what became of that."""
    statuses = dict(db.execute("select id, status from task order by id").fetchall())
    assert statuses == {1: "normal", 2: "normal", BAD: "pending", 4: "normal", 5: "normal"}
    [bad] = [each for each in done if each.became != "moved"]
    assert bad.key == str(BAD)
    return bad


# --- what a handler may do to its process ---------------------------------------------------------------


def write_pid(_: Row) -> Transition:
    return Transition("normal", pid=os.getpid())


def test_a_handler_runs_in_another_process_which_is_used_again(url: str, db: psycopg.Connection[Any]) -> None:
    """One for each slot; it ends with the engine."""
    run(url, made(write_pid))
    [(pid,)] = db.execute("select distinct pid from task").fetchall()
    assert pid != os.getpid()
    wait_until("the child has ended", lambda: not Path(f"/proc/{pid}").exists())


def choose_how_to_start(row: Row) -> None:
    """Do what packages do when they are imported, and what works once in a process."""
    if row.id == 1:
        set_start_method("spawn")


def test_a_package_may_say_how_processes_are_started(url: str) -> None:
    """As it does in the worker: that its child was started in some way is of no account."""
    assert {(each.became, each.error) for each in run(url, made(choose_how_to_start))} == {("moved", None)}


def crash(row: Row) -> None:
    if row.id == BAD:
        os.kill(os.getpid(), signal.SIGSEGV)


def test_a_segfault_costs_its_own_row(url: str, db: psycopg.Connection[Any]) -> None:
    """The others go on in a new process; the row is tried again by its policy."""
    bad = others_moved(db, run(url, made(crash)))
    assert (bad.became, bad.attempt, bad.error) == ("retrying", 1, "its process died: killed by SIGSEGV")


def leave(row: Row) -> None:
    if row.id == BAD:
        os._exit(7)


def test_an_exit_costs_its_own_row(url: str, db: psycopg.Connection[Any]) -> None:
    """With its status."""
    assert others_moved(db, run(url, made(leave))).error == "its process died: exit status 7"


def spin(row: Row) -> None:
    """Hold the interpreter for a very long time, in one call of C code."""
    if row.id == BAD:
        re.match(r"(a|aa)+$", "a" * 60 + "b")


def test_what_holds_the_interpreter_is_killed_at_its_timeout(url: str, db: psycopg.Connection[Any]) -> None:
    """No thread could be; and it costs its own row."""
    started = time.monotonic()
    bad = others_moved(db, run(url, made(spin, timeout="500ms")))
    assert bad.error == "timed out after 0.5s"
    assert time.monotonic() - started < 20


def hog(row: Row) -> None:
    """Allocate without bound, up to a bound for the sake of this machine."""
    if row.id == BAD:
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
        hoard = []
        while True:
            hoard.append(bytearray(2**26))


@pytest.mark.thorough
def test_a_handler_that_allocates_without_bound_costs_its_own_row(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Its process is the first that the kernel ends for want of memory: here a limit stands for that."""
    bad = others_moved(db, run(url, made(hog)))
    assert "MemoryError" in str(bad.error) or "its process died" in str(bad.error)


def tell_score(_: Row) -> Transition:
    return Transition("normal", note=Path("/proc/self/oom_score_adj").read_text().strip())


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux has it")
def test_the_kernel_ends_it_before_others(url: str, db: psycopg.Connection[Any]) -> None:
    """Its worker, and Postgres."""
    run(url, made(tell_score))
    assert db.execute("select distinct note from task").fetchall() == [("1000",)]


def test_an_idle_process_gives_its_memory_back(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without work."""
    monkeypatch.setattr(elsewhere, "IDLE_SECONDS", 0.0)
    with Engine(url, made(write_pid), concurrency=1) as engine:
        db.execute("update task set status = 'later' where id > 1")
        engine.run_due()
        db.execute("update task set status = 'pending' where id = 2")
        engine.run_due()
    pids = db.execute("select pid from task where id <= 2").fetchall()
    assert len(set(pids)) == 2


# --- what it is given, and what it answers --------------------------------------------------------------


class FussyError(Exception):
    """Cannot be unpickled: it wants two arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def answer(row: Row) -> Any:
    match row.id:
        case 1:
            return Transition("normal", note=f"{row['status']} {row.key}")
        case 2:
            raise Snooze("1h")
        case 3:
            raise Fail("no")
        case 4:
            raise FussyError(1, 2)
    return threading.Lock()


def test_every_answer_works_as_on_a_thread(url: str, db: psycopg.Connection[Any]) -> None:
    """What cannot be sent is that attempt's failure."""
    done = {each.key: each for each in run(url, made(answer))}
    assert [done[key].became for key in "12345"] == ["moved", "snoozed", "parked", "retrying", "retrying"]
    assert db.execute("select note from task where id = 1").fetchone() == ("pending 1",)
    assert done["3"].error == "no"
    assert re.fullmatch(r"FussyError: 1 and 2 \(test_processes\.py:\d+\)", str(done["4"].error))
    assert "pickle" in str(done["5"].error)


def fail_twice(row: Row) -> None:
    if row.id == 1:
        raise KeyError("worth another attempt")
    if row.id == 2:
        raise ValueError("not worth it")


def test_the_policy_sees_the_error_itself(url: str) -> None:
    """Its type, and where it was raised."""
    done = {each.key: each for each in run(url, made(fail_twice, retry=retry_if_exception_type(LookupError)))}
    assert (done["1"].became, done["2"].became) == ("retrying", "parked")
    assert re.fullmatch(r"ValueError: not worth it \(test_processes\.py:\d+\)", str(done["2"].error))


def write_context(_: Row, ctx: Context) -> Transition:
    with pytest.raises(PollerError, match="does not work in another process"):
        ctx.settle(None, "normal")
    return Transition("normal", note=f"{ctx.key} {ctx.token} {ctx.attempt} {ctx.deadline.isoformat()}")


def test_the_context_goes_along(url: str, db: psycopg.Connection[Any]) -> None:
    """But for what is bound to the worker."""
    run(url, made(write_context))
    row = db.execute("select note from task where id = 1").fetchone()
    assert row is not None
    key, token, attempt, deadline = row[0].split()
    assert token == token_of(key)
    assert key.startswith("public.task:pending:1:")
    assert attempt == "1"
    assert "T" in deadline


def wait_for_cancel(row: Row, ctx: Context) -> Transition:
    Path(row.note).touch()
    return Transition("normal", note=str(ctx.cancelled.wait(30)))


def test_it_is_told_to_stop(url: str, db: psycopg.Connection[Any], join: NewWorker, tmp_path: Path) -> None:
    """`ctx.cancelled` is set there as well."""
    started = tmp_path / "started"
    db.execute("update task set note = %s where id = 1", [str(started)])
    worker = join(bind(db, made(wait_for_cancel)))
    results: list[Result] = []
    executor = Executor(slots=1, report=results.extend)
    executor.submit(worker.claim(1))
    wait_until("it has started", started.exists)
    executor.cancel()
    wait_until("it has stopped", lambda: results)
    executor.close()
    assert results[0].outcome.columns == {"note": "True"}


@pytest.mark.fault("F53")
@pytest.mark.parametrize("how", ["lease lost", "lease in doubt", "stopped at once"])
def test_g3_a_lease_that_ends_while_a_process_starts_begins_no_handler(
    db: psycopg.Connection[Any], join: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A process takes a second to start; others may have the row by then. No attempt is counted."""
    note = tmp_path / "begun"
    db.execute("update task set note = %s where id = 1", [str(note)])
    worker = join(bind(db, made(touch)))
    trusted = [float("inf")]
    results: list[Result] = []
    executor = Executor(slots=1, report=results.extend, trusted_until=lambda: trusted[0])
    load = elsewhere.Child.load

    def late(child: elsewhere.Child, module: str) -> None:
        load(child, module)
        if how == "lease lost":
            executor.forget()
        elif how == "stopped at once":
            executor.watchdog.interrupt()
        else:
            trusted[0] = 0.0

    monkeypatch.setattr(elsewhere.Child, "load", late)
    executor.submit(worker.claim(1))
    wait_until("it is given back", lambda: results)
    executor.close()
    assert not note.exists()
    assert worker.settlements.settle(results).became == ["released"]
    assert db.execute("select count(*) from poller.attempt where attempt > 0").fetchone() == (0,)


def touch(row: Row) -> None:
    Path(row.note).touch()


def crash_among(rows: list[Row]) -> None:
    for row in rows:
        crash(row)


def test_a_batch_that_crashes_is_tried_again_in_halves(url: str, db: psycopg.Connection[Any]) -> None:
    """Until the row that does it has crashed its process alone."""
    assert "SIGSEGV" in str(others_moved(db, run(url, made(crash_among, batch=10))).error)


# --- jobs ------------------------------------------------------------------------------------------------


def say_where(run: Run) -> None:
    sys.stdout.write(f"in {os.getpid()}\n")
    run.logger.warning("careful")
    run.progress(1, 2)
    with pytest.raises(PollerError, match="does not work in another process"):
        run.connect()


def run_of(db: psycopg.Connection[Any], job: str) -> Any:
    """Return (status, output, done, total, error) of a job's only run."""
    return db.execute(
        "select status, output, done, total, error from poller.run where job = %s", [job]
    ).fetchone()


def test_a_job_may_run_there_too(url: str, db: psycopg.Connection[Any]) -> None:
    """What it prints and logs is kept with its run, and how far it has come."""
    run(url, fixed_rate("1h", executor="process")(say_where))
    status, output, done, total, error = run_of(db, "say_where")
    assert (status, done, total, error) == ("succeeded", 1.0, 2.0, None)
    assert f"in {os.getpid()}\n" not in output
    assert re.match(r"in \d+\n", output)
    assert "careful" in output


def say_and_crash() -> None:
    sys.stdout.write("before\n")
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGSEGV)


def test_what_a_job_has_said_before_its_process_died_is_kept(url: str, db: psycopg.Connection[Any]) -> None:
    """It is told now and then."""
    run(url, fixed_rate("1h", executor="process")(say_and_crash))
    status, output, _, _, error = run_of(db, "say_and_crash")
    assert (status, output, error) == ("failed", "before\n", "its process died: killed by SIGSEGV")


def spin_for_ever() -> None:
    re.match(r"(a|aa)+$", "a" * 60 + "b")


def test_a_job_that_holds_the_interpreter_is_killed_at_its_timeout(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """As a row's handler is."""
    run(url, fixed_rate("1h", executor="process", timeout="500ms")(spin_for_ever))
    assert run_of(db, "spin_for_ever")[0] == "failed"
    assert run_of(db, "spin_for_ever")[4] == "timed out after 0.5s"


def test_a_job_may_be_given_to_an_executor_of_the_users(url: str, db: psycopg.Connection[Any]) -> None:
    """Its output comes back with its answer."""
    run(url, fixed_rate("1h", executor="tests.executor.test_processes:processes")(say_where))
    assert run_of(db, "say_where")[0] == "succeeded"
    assert run_of(db, "say_where")[1].startswith("in ")


def test_a_ready_made_job_runs_in_its_worker() -> None:
    """A command has a process of its own anyway, and a purge is the database's work."""
    with pytest.raises(ConfigurationError, match="make it a function of a module"):
        shell("a", "true", executor="process")


# --- an executor of the user's --------------------------------------------------------------------------

MADE: list[Futures] = []


def threads() -> Futures:
    MADE.append(ThreadPoolExecutor(2))
    return MADE[-1]


def processes() -> Futures:
    MADE.append(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
    return MADE[-1]


def closed_at_first() -> Futures:
    """Give one that has been shut down, as a client whose cluster has gone; and then one that works."""
    MADE.append(ThreadPoolExecutor(2))
    if len(MADE) == 1:
        MADE[0].shutdown()
    return MADE[-1]


def nonsense() -> Any:
    return "no executor"


NOT_CALLABLE = 5


def test_an_executor_of_the_users_runs_it(url: str, db: psycopg.Connection[Any]) -> None:
    """It is made once."""
    MADE.clear()
    run(url, made(write_pid, executor="tests.executor.test_processes:threads"), concurrency=2)
    assert len(MADE) == 1
    assert db.execute("select distinct status, pid from task").fetchall() == [("normal", os.getpid())]


def test_an_executor_that_breaks_is_made_anew(url: str, db: psycopg.Connection[Any]) -> None:
    """What was in it has failed, and is tried again by the policy."""
    MADE.clear()
    bad = others_moved(db, run(url, made(crash, executor="tests.executor.test_processes:processes")))
    assert str(bad.error).startswith("the executor failed: ")
    assert len(MADE) == 2


def test_an_executor_that_takes_no_calls_is_made_anew(url: str, db: psycopg.Connection[Any]) -> None:
    """The first call has failed for it; the others find the new one."""
    MADE.clear()
    done = run(url, made(do_nothing, executor="tests.executor.test_processes:closed_at_first"))
    assert [each.became for each in done].count("moved") == 4
    assert str(done[0].error).startswith("the executor failed: cannot schedule new futures")
    assert len(MADE) == 2


def sleep_long(row: Row) -> None:
    if row.id == BAD:
        time.sleep(6)


def test_what_cannot_be_cancelled_is_left_alone_at_its_timeout(url: str, db: psycopg.Connection[Any]) -> None:
    """Its slot is free again at once, and whatever comes of it is not heard."""
    step = made(sleep_long, executor="tests.executor.test_processes:threads", timeout="300ms")
    started = time.monotonic()
    bad = others_moved(db, run(url, step))
    assert bad.error == "timed out after 0.3s"
    assert time.monotonic() - started < 5


def test_a_factory_that_gives_no_executor_is_the_attempts_failure(url: str) -> None:
    """It may well be for want of a cluster, so it is tried again."""
    done = run(url, made(do_nothing, executor="tests.executor.test_processes:nonsense"))
    assert {each.became for each in done} == {"retrying"}
    assert "returns str; it must return a concurrent.futures.Executor" in str(done[0].error)


def test_a_process_is_not_ended_for_a_call_that_is_over() -> None:
    """It may be making another's by then: the watchdog had decided, and was slower than the handler."""
    children = elsewhere.Children()
    with children.one() as first:
        first.child.load("os")
    first.end()
    with children.one() as second:
        assert second.child is first.child
        second.child.load("re")
        second.end()
        assert not second.child.is_alive
    children.trim(float("inf"))


# --- a real worker --------------------------------------------------------------------------------------


def test_nothing_of_it_outlives_its_worker(project: Project, db: psycopg.Connection[Any], url: str) -> None:
    """Not even what holds the interpreter: the kernel ends it."""
    project.handlers("""
        import os, re
        from pathlib import Path

        @handler("task", status="pending", to="normal", executor="process", where="id = 1", attempts=9)
        def work(row):
            Path("pid.txt").write_text(str(os.getpid()))
            re.match(r"(a|aa)+$", "a" * 60 + "b")
    """)
    project.start("run", "--workers", "1")
    path = project.folder / "pid.txt"
    child = int(wait_until("it runs", lambda: path.exists() and path.read_text()))
    [(_, worker)] = workers_of(db)
    os.kill(worker, signal.SIGKILL)
    wait_until("the child has ended", lambda: not Path(f"/proc/{child}").exists())


def test_a_worker_stops_in_time_whatever_its_children_do(
    project: Project, db: psycopg.Connection[Any], url: str
) -> None:
    """It kills them, and their rows are due again; the log has no traceback."""
    project.handlers("""
        import os, re
        from pathlib import Path

        @handler("task", status="pending", to="normal", executor="process", where="id = 1")
        def work(row):
            Path("pid.txt").write_text(str(os.getpid()))
            re.match(r"(a|aa)+$", "a" * 60 + "b")
    """)
    process = project.start("run", "--workers", "1", "--grace", "1s")
    path = project.folder / "pid.txt"
    child = int(wait_until("it runs", lambda: path.exists() and path.read_text()))
    started = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert time.monotonic() - started < 6
    wait_until("the child has ended", lambda: not Path(f"/proc/{child}").exists())
    assert "Traceback" not in process.log
    assert db.execute("select count(*) from poller.claim").fetchone() == (0,)


def test_an_import_is_not_the_handlers_time(project: Project, db: psycopg.Connection[Any], url: str) -> None:
    """A new process imports the handlers before the clock of its first call starts."""
    project.handlers("""
        import multiprocessing, time

        if multiprocessing.parent_process():
            time.sleep(1)

        @handler("task", status="pending", to="normal", executor="process", timeout="900ms", attempts=1)
        def work(row): ...
    """)
    assert project.run("run", "--workers", "1", "--concurrency", "1", "--drain").returncode == 0


# --- options --------------------------------------------------------------------------------------------


async def coroutine(_: Row) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (do_nothing, {"executor": "fork"}, "executor must be 'thread', 'process' or 'module:factory'"),
        (do_nothing, {"executor": None}, "executor must be 'thread', 'process' or 'module:factory'"),
        (do_nothing, {"transactional": True}, "a transactional handler runs in its worker"),
        (coroutine, {}, "a coroutine function runs in its worker"),
        (lambda _: None, {}, "make it a function of a module"),
    ],
    ids=["kind", "none", "transactional", "coroutine", "lambda"],
)
def test_what_cannot_run_elsewhere_is_refused(function: Any, options: dict[str, Any], reason: str) -> None:
    """When it is registered."""
    with pytest.raises(ConfigurationError, match=reason):
        made(function, **options)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("executor='no.such:thing')\ndef work(row): ...", "cannot be found: No module named 'no'"),
        ("executor='os:no_such')\ndef work(row): ...", "has no attribute 'no_such'"),
        ("executor='os:curdir')\ndef work(row): ...", "is str; it must be a function"),
        ("executor='process')\ndef work(row): ...\nother, work = work, 5", "another 'work'"),
    ],
    ids=["module", "name", "kind", "function"],
)
def test_what_cannot_be_found_elsewhere_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    """With the place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"far_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(
        f"from poller import handler\n@handler('task', status='pending', to='normal', {code}\n"
    )
    with pytest.raises(ConfigurationError, match=rf"{name}\.py:\d+ \(work\): .*{reason}"):
        load(name)


def test_a_factory_whose_module_fails_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, whatever it raises."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "no_cluster.py").write_text("raise OSError('no cluster\\nhere')")
    with pytest.raises(
        ConfigurationError, match=r"cannot be imported: OSError: no cluster here \(no_cluster\.py:1\)"
    ):
        remote_call.check(made(do_nothing, executor="no_cluster:executor"))


def test_a_process_that_never_gets_ready_does_not_keep_its_slot(
    url: str, db: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import of the handlers hangs there: the attempt times out, and with the engine the process ends."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("poller.executor.executor.READY_SECONDS", 1.0)
    (tmp_path / "hanging.py").write_text(
        "import multiprocessing, os, pathlib, time\n"
        "if multiprocessing.parent_process():\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(3600)\n"
        "def work(row): ...\n"
    )
    db.execute("delete from task where id > 1")
    [done] = run(url, made(importlib.import_module("hanging").work, timeout="500ms"))
    assert done.became == "retrying"
    assert str(done.error).startswith("timed out after")
    child = int(
        wait_until("it has begun", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    )
    wait_until("the child has ended", lambda: not Path(f"/proc/{child}").exists())


def test_answers_can_be_sent() -> None:
    """The classes that are answers can be sent as they are."""
    for each in (Retry("5s", "why"), Snooze("5s"), Fail("no"), Transition("x", a=1)):
        again = remote_call.unpacked(pickle.dumps((True, each, None, {})), None)
        assert str(again) == str(each)
        assert getattr(again, "delay", None) == getattr(each, "delay", None)
        assert getattr(again, "columns", None) == getattr(each, "columns", None)


# --- processes that do not start ----------------------------------------------------------------------


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[Path]:
    """What processes are started with: it fails while the file beside it exists."""
    script, broken = tmp_path / "python", tmp_path / "broken"
    script.write_text(
        f'#!/bin/sh\necho x >> {tmp_path}/starts\n[ ! -e {broken} ] && exec {sys.executable} "$@"\nexit 126\n'
    )
    script.chmod(0o755)
    before = spawn.get_executable()
    resource_tracker.ensure_running()  # with what works: of one that dies Python warns, and these warnings are errors
    spawn.set_executable(str(script))
    try:
        yield broken
    finally:
        spawn.set_executable(before)


def test_g11_a_process_that_does_not_start_costs_no_attempt(
    project: Project, db: psycopg.Connection[Any], interpreter: Path
) -> None:
    """Its host can make none, say: tried again without haste, told once, and healed by itself; other handlers go on."""
    interpreter.touch()
    db.execute("create table plain (id int primary key, status text)")
    project.handlers(
        f"""
from multiprocessing import spawn
spawn.set_executable({spawn.get_executable()!r})

@handler("task", status="pending", to="normal", executor="process", attempts=1)
def work(row): ...

@handler("plain", status="pending", to="normal")
def other(row): ...
"""
    )
    running = project.start("run", "--workers", "1", "--concurrency", "4")
    running.wait_for_log("processes of handlers: ")
    starts = interpreter.with_name("starts")
    before = len(starts.read_text().split())
    time.sleep(3)  # in which hundreds would be started
    assert before < len(starts.read_text().split()) < before + 100
    db.execute("insert into plain values (1, 'pending')")
    wait_until("others go on", lambda: db.execute("select status from plain").fetchone() == ("normal",))
    assert db.execute("select from poller.attempt").fetchall() == []
    interpreter.unlink()
    moved = "select count(*) from task where status = 'normal'"
    wait_until("all is done", lambda: db.execute(moved).fetchone() == (5,))
    assert running.log.count("its process died: exit status 126; trying again") == 1
    running.wait_for_log("processes of handlers: works again")


@pytest.mark.parametrize("is_late", [False, True], ids=["", "on a busy machine"])
def test_an_engine_of_tests_says_why_no_process_starts(url: str, interpreter: Path, is_late: Any) -> None:
    """It does not go round for ever, nor end as if nothing were due where a pause is over before it asks."""
    interpreter.touch()
    with Engine(url, made(write_pid)) as engine:
        if is_late:
            claims = engine._claimer.run_once
            engine._claimer.run_once = lambda: _outlasted(engine, claims())  # type: ignore[method-assign]
        with pytest.raises(PollerError, match=r"cannot begin: .*126"):
            engine.run_due()


def _outlasted(engine: Engine, claimed: Any) -> Any:
    for each in engine._bindings:
        wait_until(
            "it may begin again", lambda each=each: engine._executor.shut_until(each) < time.monotonic()
        )  # type: ignore[misc]
    return claimed


def no_cluster() -> Any:
    """A factory whose cluster is away."""
    msg = "no scheduler answers"
    raise ConnectionError(msg)


def test_g11_an_executor_that_cannot_be_made_costs_no_attempt(url: str, db: psycopg.Connection[Any]) -> None:
    """Its cluster is away, say."""
    work = made(do_nothing, attempts=1, executor=f"{__name__}:no_cluster")
    with Engine(url, work) as engine, pytest.raises(PollerError, match="no scheduler answers"):
        engine.run_due()
    assert db.execute("select from poller.attempt").fetchall() == []
    assert db.execute("select distinct status from task").fetchall() == [("pending",)]
