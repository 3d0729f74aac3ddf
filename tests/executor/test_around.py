"""Middleware around attempts and runs, and the attempt in progress, in every mode of a handler."""

from __future__ import annotations

import contextvars
import io
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

import poller
from poller import Row
from poller.executor.around import Around, call, in_order, surround
from poller.integrations.structlog import add_attempt
from poller.telemetry.current_attempt import Attempt, LogContext, variable
from poller.testing import Engine
from tests import around_handlers as given
from tests.engines import moves
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import psycopg

    from tests.harness import Project

AROUND = (given.outer, given.inner)
MODES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "thread": (given.work, {}),
    "coroutine": (given.coroutine, {}),
    "transactional": (given.work, {"transactional": True}),
    "transactional with its context": (given.work_in_context, {"transactional": True}),
    "process": (given.work_elsewhere, {"executor": "process"}),
}
BATCHES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "thread": (given.batch, {}),
    "coroutine": (given.coroutine_batch, {}),
    "transactional": (given.batch, {"transactional": True}),
    "process": (given.batch_elsewhere, {"executor": "process"}),
}
JOBS = {
    "thread": given.every_hour,
    "coroutine": given.every_hour_awaiting,
    "process": given.every_hour_elsewhere,
}


@pytest.fixture(autouse=True)
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What handlers and middleware have seen, wherever they ran."""
    (tmp_path / "seen").touch()
    monkeypatch.setenv(given.SEEN, str(tmp_path / "seen"))
    return given.seen


@pytest.fixture
def task(db: psycopg.Connection[Any]) -> None:
    db.execute("create table task (id int primary key, status text not null default 'pending')")
    db.execute("insert into task values (1), (2)")


# --- in every mode --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "options"), MODES.values(), ids=MODES)
def test_each_attempt_has_middleware_around_it(
    url: str, task: None, seen: Callable[[], list[str]], function: Any, options: dict[str, Any]
) -> None:
    """In order, where the handler runs; what the handler raises passes through, and stands."""
    with Engine(url, moves("task", function, **options), concurrency=1, around=AROUND) as engine:
        done = {each.key: each for each in engine.run_due()}
    assert (done["1"].became, done["2"].became) == ("moved", "retrying")
    assert "ValueError: two (around_handlers.py:" in str(done["2"].error)
    assert seen() == [
        "outer begins public.task:pending 1 1 1 None None 1",
        "inner begins True",
        "handler public.task:pending 1 1 1 None None",
        "inner ends",
        "outer ends None",
        "outer begins public.task:pending 2 1 1 None None 1",
        "inner begins True",
        "handler public.task:pending 2 1 1 None None",
        "outer failed ValueError",
    ]


@pytest.mark.parametrize(("function", "options"), BATCHES.values(), ids=BATCHES)
def test_a_batch_is_one_call(
    url: str, task: None, seen: Callable[[], list[str]], function: Any, options: dict[str, Any]
) -> None:
    """With no key, and the number of its rows."""
    with Engine(url, moves("task", function, batch=10, **options), around=AROUND) as engine:
        assert {each.became for each in engine.run_due()} == {"moved"}
    assert seen() == [
        "outer begins public.task:pending None 2 1 None None 2",
        "inner begins True",
        "handler public.task:pending None 2 1 None None",
        "inner ends",
        "outer ends None",
    ]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_each_run_has_middleware_around_it(url: str, seen: Callable[[], list[str]], job: Any) -> None:
    """The attempt names the job, and the run by its number."""
    with Engine(url, job, around=AROUND) as engine:
        [done] = engine.run_due()
    assert done.to == "succeeded"
    about = f"poller.run:pending {done.key} 1 1 {job.name} {done.key}"
    begins, inner, handler, *ends = seen()
    assert (begins, inner) == (f"outer begins {about} 1", "inner begins True")
    assert handler.startswith(f"handler {about}")
    assert ends[0] == "inner ends"


@pytest.mark.parametrize("refusing", one_in(2, [given.refusing, given.refusing_after]), ids=str)
@pytest.mark.parametrize(("function", "options"), MODES.values(), ids=MODES)
def test_what_middleware_raises_is_the_attempts_failure(
    url: str, task: None, function: Any, options: dict[str, Any], refusing: Around
) -> None:
    """Before the handler, or after it; those around it are told."""
    with Engine(url, moves("task", function, **options), around=(given.outer, refusing)) as engine:
        done = engine.run_due()
    assert {each.became for each in done} == {"retrying"}
    assert any("LookupError: refused" in str(each.error) for each in done if each.key == "1")
    assert given.seen().count("outer failed LookupError") >= 1


def test_an_error_that_middleware_swallows_stands(url: str, task: None) -> None:
    """A row whose handler raised is not moved by a tracer's mistake."""
    with Engine(url, moves("task", given.work), around=(given.swallowing,)) as engine:
        done = {each.key: each for each in engine.run_due()}
    assert done["2"].became == "retrying"
    assert "ValueError: two" in str(done["2"].error)
    assert "swallowed ValueError" in given.seen()


# --- found in the package -------------------------------------------------------------------------------

PACKAGE = """
import poller, sys

def write(word):
    sys.stderr.write(f"SEEN {word}\\n")

@poller.around
def second(attempt):
    write("second begins")
    yield
    write("second ends")

@poller.around
def first(attempt, rows):
    write(f"first begins {attempt.key}")
    yield
    write("first ends")

@handler("task", status="pending", to="normal")
def work(row):
    write(poller.current().key)
"""


def test_middleware_is_found_as_handlers_are(project: Project, db: psycopg.Connection[Any]) -> None:
    """And goes in the order of its names; not around poller's own housekeeping."""
    db.execute("create table task (id int primary key, status text not null default 'pending')")
    db.execute("insert into task values (1)")
    project.handlers(PACKAGE)
    done = project.run("run", "--drain")
    assert done.returncode == 0, done.stderr
    words = [line.partition("SEEN ")[2] for line in done.stderr.splitlines() if "SEEN " in line]
    assert words == ["first begins 1", "second begins", "1", "second ends", "first ends"]


def test_where_there_is_none_nothing_is_in_the_way() -> None:
    """The handler is the same."""
    handler = moves("task")
    assert surround(handler, ()) is handler


def test_the_first_name_of_the_first_module_is_outermost() -> None:
    assert in_order([given.outer, given.inner]) == (given.inner, given.outer)


# --- what it may be -------------------------------------------------------------------------------------


async def awaiting(attempt: Attempt) -> Any:
    yield


def plain(attempt: Attempt) -> None: ...


def nothing() -> Generator[None]:
    yield


def named(attempt: Attempt, *, rows: list[Any]) -> Generator[None]:
    yield


@pytest.mark.parametrize("function", [awaiting, plain, nothing, named, 17])
def test_what_is_no_middleware_is_refused(function: Any) -> None:
    with pytest.raises(poller.PollerError, match="must"):
        poller.around(function)


@poller.around
def silent(_: Attempt) -> Generator[None, Any]:
    if variable.name == "":
        yield


@poller.around
def twice(_: Attempt) -> Generator[None, Any]:
    yield
    yield


@pytest.mark.parametrize("middleware", [silent, twice], ids=str)
def test_it_must_yield_once(middleware: Around) -> None:
    with pytest.raises(RuntimeError, match="yield"):
        call((given.inner, middleware), 1, lambda: None)


@pytest.mark.parametrize(
    "error", [StopIteration(3), GeneratorExit(), SystemExit(2), ValueError("x")], ids=repr
)
def test_any_error_passes_through(error: BaseException) -> None:
    """As itself."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call((given.outer, given.inner, given.swallowing), 1, fail)
    assert caught.value is error


# --- the attempt in progress ----------------------------------------------------------------------------


def test_outside_of_an_attempt_there_is_none() -> None:
    assert poller.current() is None


def test_records_of_the_users_loggers_carry_the_attempt(url: str, task: None) -> None:
    """By a filter on a handler of theirs; outside of an attempt, None."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(LogContext())
    handler.setFormatter(logging.Formatter("%(message)s %(poller_table)s %(poller_key)s %(poller_attempt)s"))
    shop = logging.getLogger("shop")
    shop.addHandler(handler)

    def work(row: Row) -> None:
        shop.warning("a word")

    try:
        with Engine(url, moves("task", work), concurrency=1) as engine:
            engine.run_due()
        shop.warning("outside")
    finally:
        shop.removeHandler(handler)
    assert out.getvalue().splitlines() == [
        "a word public.task 1 1",
        "a word public.task 2 1",
        "outside None None None",
    ]


def test_lines_of_structlog_carry_the_attempt(url: str, task: None) -> None:
    """What is known of it, by a processor; outside of an attempt, nothing."""
    lines: list[Any] = []

    def work(row: Row) -> None:
        lines.append(add_attempt(None, "info", {"event": "a word", "poller_key": "mine"}))

    with Engine(url, moves("task", work), concurrency=1) as engine:
        engine.run_due()
    known = {"poller_table": "public.task", "poller_status": "pending", "poller_keys": 1, "poller_attempt": 1}
    assert [line.items() >= known.items() for line in lines] == [True, True]
    assert {line["poller_key"] for line in lines} == {"mine"}
    assert add_attempt(None, "info", {"event": "outside"}) == {"event": "outside"}


def test_a_thread_sees_it_in_a_copy_of_the_context(url: str, task: None) -> None:
    """And not otherwise."""
    found: list[Any] = []

    def work(row: Row) -> None:
        copy = contextvars.copy_context()
        for target in (
            lambda: found.append(poller.current()),
            lambda: copy.run(lambda: found.append(poller.current())),
        ):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    with Engine(url, moves("task", work), concurrency=1) as engine:
        engine.run_due()
    assert [each and each.key for each in found] == [None, "1", None, "2"]
