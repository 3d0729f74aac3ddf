"""The log: what is told, how often, and that a user's package cannot take it away."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Fail
from poller.services.loop import Loop
from poller.telemetry.stderr import MOST_WAITING_WRITES, Queued
from poller.telemetry.troubles import Digest, Trouble, digest
from tests.command_line import make_tenants, value
from tests.engines import moves, run
from tests.harness import Project, wait_until
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable

# --- a user's own configuration -------------------------------------------------------------------------

CONFIGURATIONS = {
    "a root without handlers": 'logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})',
    "handlers of its own": (
        'logging.config.dictConfig({"version": 1, "root": {"level": "INFO", "handlers": ["there"]},'
        ' "handlers": {"there": {"class": "logging.FileHandler", "filename": "user.log"}}})'
    ),
    "the logger poller named": (
        'logging.config.dictConfig({"version": 1, "root": {"level": "INFO"},'
        ' "loggers": {"poller": {"handlers": []}, "poller.handler": {"handlers": []}}})'
    ),
    "basicConfig": "logging.basicConfig(level=logging.INFO)",
    "basicConfig by force": "logging.basicConfig(level=logging.INFO, force=True)",
}


@pytest.mark.parametrize("configure", one_in(3, CONFIGURATIONS.values()), ids=CONFIGURATIONS)
@pytest.mark.parametrize("when", ["at the import", "in a job"])
def test_a_users_logging_silences_nothing(
    project: Project, db: psycopg.Connection[Any], configure: str, when: str
) -> None:
    """poller's lines stay, failures included, and a job's own are kept with its run."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    project.handlers(
        f"""
import logging, logging.config
from poller import Run, fixed_rate

def configure():
    {configure}

if {when == "at the import"}:
    configure()

@fixed_rate("1h")
def speak(run: Run):
    if {when == "in a job"}:
        logging.getLogger().setLevel(logging.INFO)
        configure()
    logging.getLogger("app").info("a word of the job")
    run.logger.info("a word by its logger")

@handler("thing", status="pending", to="normal", attempts=1)
def work(row, ctx):
    ctx.logger.warning("a word of the handler")
    raise ValueError("a failure")
"""
    )
    fleet = project.start("run")
    succeeded = "select id from poller.run where status = 'succeeded'"
    [run] = wait_until("the job has run", lambda: db.execute(succeeded).fetchone())
    db.execute("insert into thing values (1)")
    fleet.wait_for_log("parked: ValueError: a failure")
    fleet.wait_for_log("a word of the handler")
    assert "is ready" in fleet.log
    output = project.run("logs", str(run)).stdout
    # A handler of its own that is made within a job writes to the job's own standard error.
    assert output.count("a word of the job") == 1 + ("force" in configure and when == "in a job"), output
    assert output.count("a word by its logger") == 1, output


def test_what_other_loggers_warn_of_is_printed_in_the_same_form(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Where the user's package has configured nothing: one object a line, whoever logs."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing values (1)")
    project.handlers(
        """
import logging
@handler("thing", status="pending", to="normal")
def work(row):
    logging.warning("by the root")
    logging.getLogger("library").warning("by a library")
    logging.getLogger("library").info("not asked for")
"""
    )
    done = project.run("run", "--drain", "--log-format", "json")
    assert done.returncode == 0, done.stderr
    assert {line[0] for line in done.stderr.splitlines()} == {"{"}, done.stderr
    assert done.stderr.count("by the root") == done.stderr.count("by a library") == 1
    assert "not asked for" not in done.stderr


# --- a writer that never waits --------------------------------------------------------------------------


@pytest.mark.fault("F59")
def test_what_nobody_reads_is_dropped_and_counted() -> None:
    """The writer waits for nothing, and each line has either been written or counted."""
    ours, theirs = os.pipe()
    lost: list[int] = []
    file = Queued(theirs, lost.append)
    line = b"x" * 99 + b"\n"
    for _ in range(2 * MOST_WAITING_WRITES):
        file.write(line)
    assert not file.drain(0.05), "the pipe is full"
    received = bytearray()
    reading = threading.Thread(target=lambda: received.extend(read_all(ours)))
    reading.start()
    assert file.drain(30)
    wait_until("it is told", lambda: lost)
    os.close(theirs)
    reading.join()
    assert received.count(b"\n") + sum(lost) == 2 * MOST_WAITING_WRITES
    assert 0 < sum(lost) <= MOST_WAITING_WRITES


def read_all(number: int) -> bytes:
    with os.fdopen(number, "rb") as file:
        return file.read()


@pytest.mark.fault("F59")
def test_a_reader_that_is_gone_is_no_fault() -> None:
    """A pipe whose other end is closed, a terminal that has hung up."""
    ours, theirs = os.pipe()
    file = Queued(theirs, lambda _: None)
    os.close(ours)
    file.write(b"a word\n")
    assert file.drain(30)
    os.close(theirs)


@pytest.mark.fault("F59")
def test_a_pipe_that_others_have_made_non_blocking_is_waited_for() -> None:
    """Whoever shares it may do that; no line is lost by it."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    file = Queued(theirs, lambda _: None)
    for _ in range(1000):
        file.write(b"x" * 199 + b"\n")
    received = bytearray()
    reading = threading.Thread(target=lambda: received.extend(read_all(ours)))
    reading.start()
    assert file.drain(30)
    os.close(theirs)
    reading.join()
    assert len(received) == 200_000


# --- reasons are told once ------------------------------------------------------------------------------


def test_each_new_reason_of_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A password that is rotated while the server is away is another reason, and has to be seen."""
    caplog.set_level(logging.INFO, "poller")
    answers = iter(["away", "away", "refused", "away", "refused", None, "away", None])
    over = threading.Event()

    def run_once() -> float:
        match next(answers, "end"):
            case None:
                return 0.0
            case "end":
                over.set()
                loop.stop()
                return 0.0
            case why:
                raise psycopg.OperationalError(why)

    loop = Loop("service", run_once)
    loop._put_off = put_off_briefly(loop._put_off)  # type: ignore[assignment,method-assign]
    loop.start()
    assert over.wait(30)
    loop.join()
    assert [message for message in caplog.messages if message.startswith("service")] == [
        "service: away; trying again",
        "service: refused; trying again",
        "service: works again",
        "service: away; trying again",
        "service: works again",
    ]


def put_off_briefly(plain: Callable[[Exception], float]) -> Callable[[Exception], float]:
    def put_off(error: Exception) -> float:
        plain(error)
        return 0.0

    return put_off


# --- rows in trouble ------------------------------------------------------------------------------------


def failures(first: int, rows: int, line: int = 7) -> list[Trouble]:
    """Return the failures of some rows for one cause; each has another text."""
    return [
        Trouble("retrying", f"ValueError: no customer {key} for 'n{key}' (shop.py:{line})", str(key), 1, 2.0)
        for key in range(first, first + rows)
    ]


def test_a_cause_is_told_once_in_a_while_with_the_number_of_its_rows() -> None:
    """What differs from row to row makes no other cause; another place, or another fate, does."""
    lines: list[tuple[str, str]] = []
    digest = Digest(30.0, lambda name, *_, **fields: lines.append((name, fields["rows"])))
    digest.report("orders:paid", failures(1, 2))
    for batch in range(10):
        digest.report("orders:paid", failures(100 * batch, 100))
    digest.report("orders:paid", failures(1, 1, line=8))
    digest.report("orders:paid", [Trouble("parked", "no label", "9", 5)])
    assert [rows for _, rows in lines] == ["1, 2", "1", "9"]
    digest.tell_rest()
    assert [rows for _, rows in lines[3:]] == ["0, 1, 2 and 997 more"]


def test_texts_without_a_class_are_told_apart_by_the_place_that_raised_them(
    url: str, db: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A `Fail` says what it likes, of each row something else: it is one cause, and one line."""
    make_tenants(db, *["pending"] * 50)

    def work(row: Any) -> None:
        msg = f"{'abcdefghij'[row['id'] % 10] * row['id']} is unknown"
        raise Fail(msg)

    digest.tell_rest()
    with caplog.at_level(logging.WARNING, "poller"):
        run(url, moves("tenants", work))
        digest.tell_rest()
    lines = [each.getMessage() for each in caplog.records if "parked" in each.getMessage()]
    assert len(lines) <= 2, "the first ones, and the rest with their number"


def test_what_was_counted_is_told_when_its_while_is_over() -> None:
    """And then the cause is new again, or forgotten."""
    lines: list[str] = []
    told = threading.Semaphore(0)

    def tell(name: str, level: int, **fields: Any) -> None:
        lines.append(fields["rows"])
        told.release()

    digest = Digest(0.05, tell)
    digest.report("orders:paid", failures(1, 1))
    digest.report("orders:paid", failures(2, 1))
    assert told.acquire(timeout=30)
    assert told.acquire(timeout=30)
    assert lines == ["1", "2"]
    wait_until("it is forgotten", lambda: not digest._counts)
    wait_until("its thread has ended", lambda: not digest._is_telling)


def test_texts_that_are_all_different_do_not_fill_the_log() -> None:
    """There is an end to the causes that are told apart."""
    lines: list[str] = []
    digest = Digest(30.0, lambda name, *_, **__: lines.append(name))
    for number in range(5000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        digest.report("orders:paid", [Trouble("parked", f"{word} is wrong", "1", 1)])
    digest.tell_rest()
    assert len(lines) < 110


@pytest.mark.thorough
def test_3000_rows_that_fail_for_three_reasons_are_a_few_lines(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """With how many; none of them is left out of the counts."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 3000)")
    project.handlers(
        """
@handler("thing", status="pending", to="normal", attempts=1)
def work(row):
    if row.id % 3 == 0:
        raise ValueError(f"no customer {row.id}")
    if row.id % 3 == 1:
        raise KeyError(row.id)
    raise Fail(f"{row.id} is paid already")
"""
    )
    done = project.run("run", "--drain", "--log-format", "json")
    assert done.returncode == 1
    assert value(db, "select count(*) from poller.attempt where state = 'parked'") == 3000
    lines = [line for line in done.stderr.splitlines() if '"parked: ' in line]
    assert 3 <= len(lines) < 30, done.stderr
