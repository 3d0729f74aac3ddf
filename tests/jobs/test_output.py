"""Standard output and error: a run's own while it runs; for handlers what they were before any job had run."""

from __future__ import annotations

import copy
import io
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from poller import job
from poller.jobs import output
from poller.jobs.output import HEAD, Sink
from poller.testing import Engine
from tests.engines import column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Token

    import psycopg

    from tests.harness import Project

PROGRAM = """
import os, psycopg, sys
from poller import handler, job
from poller.testing import Engine

facts = []

@handler("thing", status="pending", to="normal", attempts=1)
def write_bytes(row):
    for each in (sys.stdout, sys.stderr):
        facts.append((each.encoding, each.errors, each.newlines, each.isatty(), each.fileno(), each.name, each.mode,
                      each.line_buffering, each.writable(), each.seekable(), type(each.buffer), each.closed))
        each.reconfigure(errors=each.errors)
        each.buffer.write(b"bytes ")
        each.write("of row ".encode(each.encoding).decode())
        each.writelines([str(row.id), os.linesep])
        each.flush()

@job()
def work():
    print("kept")

with Engine(os.environ["POLLER_DATABASE_URL"], write_bytes, work) as engine:
    engine.run_due()
    engine.trigger(work)
    engine.run_due()
    psycopg.connect(os.environ["POLLER_DATABASE_URL"], autocommit=True).execute("update thing set status = 'pending'")
    engine.run_due()
assert facts[:2] == facts[2:] and len(facts) == 4, facts
"""


def test_a_handler_finds_the_same_streams_after_a_job_has_run(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It writes bytes, and asks for the encoding: its row was parked, but only in a worker that had run a job."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing values (1)")
    (project.folder / "program.py").write_text(PROGRAM)
    ended = project.shell(f"{sys.executable} program.py")
    assert ended.returncode == 0, ended.stderr
    assert column(db, "select error from poller.attempt") == []
    assert column(db, "select output from poller.run") == ["kept\n"]
    assert ended.stdout.count("of row 1\n") == ended.stdout.count("bytes ") == 2
    assert ended.stderr.count("of row 1\n") == ended.stderr.count("bytes ") == 2


def test_a_run_writes_text_and_bytes_to_either_stream(
    url: str, db: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Both are kept in their order; a character may come in parts, and what is none is escaped."""

    @job()
    def work() -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.write("text\n")
            stream.buffer.write("bytes \u2713\n".encode(stream.encoding))
            stream.buffer.write(b"\xe2")
            stream.buffer.write(memoryview(b"\x9c\x93\n"))
            stream.buffer.raw.write(bytearray(b"caf\xe9\n"))  # type: ignore[attr-defined]
            stream.writelines(["one\n", "two\n"])
            io.TextIOWrapper(stream.buffer, "latin-1", write_through=True).write("wrapped\n")
            stream.flush()
            stream.buffer.flush()
        sys.stdout.buffer.write(b"\xe2\x9c")

    with Engine(url, work) as engine:
        engine.trigger(work)
        assert [each.error for each in engine.run_due()] == [None]
    said = "text\nbytes \u2713\n\u2713\ncaf\\xe9\none\ntwo\nwrapped\n"
    assert column(db, "select output from poller.run") == [said * 2 + "\\xe2\\x9c"]
    assert capfd.readouterr().out == ""


# --- the streams by themselves ---------------------------------------------------------------------------


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Sink]]:
    """Begin a run in this context, which the test may end."""
    tokens: list[Token[Sink | None]] = []

    def begin() -> Sink:
        output.install()
        sink = Sink()
        tokens.append(output.current.set(sink))
        return sink

    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    yield begin
    for token in reversed(tokens):  # else the first run would go on, for all tests that come after
        output.current.reset(token)


def test_within_a_run_a_stream_is_no_terminal_and_not_the_workers(
    begin: Callable[[], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run changes of it, or closes, is as it was for all others."""
    before = io.TextIOWrapper(io.BytesIO(), "latin-1", "strict")
    monkeypatch.setattr(before, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", before)
    sink, stream = begin(), sys.stdout
    assert isinstance(stream, io.TextIOBase)
    assert (stream.encoding, stream.errors, stream.newlines) == ("utf-8", "backslashreplace", None)
    assert (stream.isatty(), stream.writable(), stream.readable(), stream.seekable()) == (
        False,
        True,
        False,
        False,
    )
    assert (stream.line_buffering, stream.closed, stream.name, stream.mode) == (True, False, "<stdout>", "w")
    stream.reconfigure(encoding="ascii", line_buffering=False)  # type: ignore[attr-defined]
    with stream:
        stream.write("\u2713")
    stream.buffer.close()
    stream.detach().write(b"!")  # type: ignore[attr-defined]
    for ask, kind in (
        (lambda: stream.write(b"bytes"), TypeError),  # type: ignore[arg-type]
        (lambda: stream.buffer.write("text"), TypeError),  # type: ignore[arg-type]
        (stream.read, io.UnsupportedOperation),
        (stream.fileno, io.UnsupportedOperation),  # as before
        (lambda: stream.nothing, AttributeError),  # type: ignore[attr-defined]
    ):
        with pytest.raises(kind):
            ask()
    sink.end()
    assert sink.text() == "\u2713!"
    assert (stream.encoding, stream.errors, stream.isatty(), stream.closed) == (
        "latin-1",
        "strict",
        True,
        False,
    )
    assert copy.copy(stream).encoding == "latin-1"


def test_what_a_package_keeps_of_a_runs_stream_goes_on_as_the_workers(
    begin: Callable[[], Sink], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It writes to the run that is open then, else where it would have written before."""
    first = begin()
    buffer, write = sys.stdout.buffer, sys.stdout.write
    buffer.write(b"one")
    first.end()
    buffer.write(b"late ")
    buffer.flush()
    write("later")
    sys.stdout.flush()
    second = begin()
    buffer.write(b"two")
    write("!")
    assert (first.text(), second.text()) == ("one", "two!")
    assert capfdbinary.readouterr().out == b"late later"


@pytest.mark.parametrize("before", [None, "closed", "only text"])
def test_a_run_has_its_output_where_the_worker_has_none(
    begin: Callable[[], Sink], monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """A process without a console, a package that has closed it; who prints later is no worse off than before."""
    stream = None if before is None else io.StringIO()
    if stream is not None and before == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    sink = begin()
    print("text", flush=True)  # noqa: T201
    buffer = sys.stdout.buffer
    buffer.write(b"bytes")
    with pytest.raises((io.UnsupportedOperation, ValueError)):
        sys.stdout.fileno()
    sink.end()
    assert sink.text() == "text\nbytes"
    if before == "closed":
        with pytest.raises(ValueError, match="closed"):
            print("late", flush=True)  # noqa: T201
        return
    print("late", flush=True)  # noqa: T201
    buffer.write(b" bytes\xe9")
    assert stream is None or stream.getvalue() == "late\n bytes\\xe9"
    with pytest.raises(AttributeError):
        sys.stdout.buffer.write(b"")


def test_a_package_that_replaces_the_streams_has_no_record_kept_twice(
    begin: Callable[[], Sink], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what it has replaced is captured anew."""
    begin()
    kept = sys.stderr
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    sink = begin()
    logging.getLogger("app").warning("once")
    print("text")  # noqa: T201
    assert sink.text() == "WARNING app: once\ntext\n"
    assert sys.stderr is kept


def test_a_flood_leaves_no_more_than_its_beginning_and_its_end(begin: Callable[[], Sink]) -> None:
    """Of bytes as of text."""
    sink = begin()
    for _ in range(10):
        sys.stdout.buffer.write(b"x" * HEAD)
    assert "characters left out" in sink.text()
    assert len(sink.text()) < 5 * HEAD
