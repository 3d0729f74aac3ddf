"""Spans, as OpenTelemetry's own exporter reads them back: in each mode of a handler, and of a job."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from poller import ConfigurationError, PollerError
from poller.integrations.switch import surrounded
from poller.testing import Engine
from tests import traced_handlers as given
from tests.engines import column, do_nothing, moves
from tests.harness import wait_until
from tests.traced_handlers import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.harness import Project

    Finished = Callable[[], list[ReadableSpan]]
    Mode = tuple[Callable[..., Any], dict[str, Any]]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
BROKEN = ["", "x", PARENT[:-1], PARENT.upper(), "00-" + "0" * 32 + "-b7ad6b7169203331-01", "é" * 600]
MODES: dict[str, Mode] = {
    "thread": (given.work, {}),
    "coroutine": (given.coroutine, {}),
    "transactional": (given.work, {"transactional": True}),
    "process": (given.work_elsewhere, {"executor": "process"}),
}
BATCHES: dict[str, Mode] = {
    "thread": (given.batch, {}),
    "coroutine": (given.coroutine_batch, {}),
    "transactional": (given.batch, {"transactional": True}),
    "process": (given.batch_elsewhere, {"executor": "process"}),
}
JOBS = {
    "thread": given.nightly,
    "coroutine": given.nightly_awaiting,
    "process": given.nightly_elsewhere,
}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """The provider that the program has set."""
    made = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made)
    return made


@pytest.fixture
def finished(provider: TracerProvider) -> Finished:
    """The spans that have ended; nothing of a row is in any."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def spans() -> list[ReadableSpan]:
        found = list(exporter.get_finished_spans())
        assert CANARY not in "".join(each.to_json() for each in found)
        return found

    return spans


@pytest.fixture
def task(db: psycopg.Connection[Any]) -> Callable[..., None]:
    """A table of tasks, and what fills it: each row's traceparent, and what it asks of its handler."""
    db.execute(
        "create table task (id int generated always as identity primary key, status text not null"
        " default 'pending', secret text not null, traceparent text, kind text not null, seen text)"
    )

    def add(traceparent: str | None, kind: str = "") -> None:
        insert = "insert into task (secret, traceparent, kind) values (%s, %s, %s)"
        db.execute(insert, [CANARY, traceparent, kind])

    return add


def links(span: ReadableSpan) -> list[str]:
    """Return what a span is linked to, as `traceparent` has it."""
    found = [each.context for each in span.links]
    return [f"00-{each.trace_id:032x}-{each.span_id:016x}-{each.trace_flags:02x}" for each in found]


def place(span: ReadableSpan) -> str:
    """Return a span's trace and number, as the handlers tell it."""
    return f"{span.context.trace_id:032x}-{span.context.span_id:016x}"


# --- in every mode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_row_has_a_span_that_is_linked_to_what_made_it(
    url: str,
    db: psycopg.Connection[Any],
    task: Callable[..., None],
    finished: Finished,
    mode: Mode,
) -> None:
    """A root, current in the handler; an error is told by its class and place."""
    function, options = mode
    for traceparent, kind in ((PARENT, ""), (None, ""), (PARENT, "error"), (OTHER, "fail")):
        task(traceparent, kind)
    with Engine(url, moves("task", function, trace="traceparent", **options), concurrency=1) as engine:
        engine.run_due()
    spans = finished()
    assert [each.name for each in spans] == ["process public.task:pending"] * 4
    assert {(each.kind, each.parent) for each in spans} == {(SpanKind.CONSUMER, None)}
    assert [links(each) for each in spans] == [[PARENT], [], [PARENT], [OTHER]]
    assert [place(each) for each in spans[:2]] == column(db, "select seen from task order by id limit 2")
    first, _, failed, given_up = spans
    assert first.status.status_code == StatusCode.UNSET
    assert first.attributes == {
        "messaging.system": "poller",
        "messaging.destination.name": "public.task",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "poller.database": db.info.dbname,
        "poller.status": "pending",
        "poller.attempt": 1,
    }
    assert failed.status.status_code == given_up.status.status_code == StatusCode.ERROR
    assert str(failed.status.description).startswith("ValueError (traced_handlers.py:")
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert (given_up.attributes or {})["error.type"] == "Fail"
    assert not any(each.events for each in spans)


@pytest.mark.parametrize("mode", BATCHES.values(), ids=BATCHES)
def test_a_batch_has_one_span(
    url: str,
    db: psycopg.Connection[Any],
    task: Callable[..., None],
    finished: Finished,
    mode: Mode,
) -> None:
    """Linked to each of what made its rows, once; rows that failed alone are counted."""
    function, options = mode
    for traceparent in (PARENT, OTHER, PARENT, None, *BROKEN):
        task(traceparent)
    task(None, "error")
    task(None, "snooze")
    with Engine(url, moves("task", function, batch=50, trace="traceparent", **options)) as engine:
        engine.run_due()
    [span] = finished()
    assert (span.name, span.kind) == ("process public.task:pending", SpanKind.CONSUMER)
    assert (links(span), span.parent) == ([PARENT, OTHER], None)
    assert (span.attributes or {})["messaging.batch.message_count"] == 12
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert str(span.status.description).startswith("1 of 12 rows: ValueError")
    assert set(column(db, "select seen from task where status = 'normal'")) == {place(span)}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_run_has_a_span(url: str, db: psycopg.Connection[Any], finished: Finished, job: Any) -> None:
    """With the line of its schedule, and the number of the run."""
    with Engine(url, job) as engine:
        run = engine.trigger(job)
        [done] = engine.run_due()
    [span] = finished()
    assert (done.to, span.name, span.kind) == ("succeeded", f"run {job.name}", SpanKind.INTERNAL)
    assert span.attributes == {
        "faas.trigger": "timer",
        "faas.cron": "0 3 * * *",
        "poller.database": db.info.dbname,
        "poller.job": job.name,
        "poller.run.id": run,
        "poller.attempt": 1,
    }
    assert column(db, "select output from poller.run") == [f"{place(span)}\n"]


def test_a_run_that_nothing_planned_and_that_fails(url: str, finished: Finished) -> None:
    """Its arguments are no attributes, and its error has no text."""
    with Engine(url, given.by_hand) as engine:
        engine.trigger(given.by_hand, word=CANARY)
        engine.run_due()
    [span] = finished()
    attributes = span.attributes or {}
    assert (span.name, attributes["faas.trigger"], attributes["error.type"]) == (
        "run by_hand",
        "other",
        "ValueError",
    )
    assert "faas.cron" not in attributes


# --- which calls have a span ----------------------------------------------------------------------------


def test_single_rows_have_spans_where_they_are_asked_for(finished: Finished) -> None:
    """Else a handler is as it was; a batch has one unless it is told not to."""
    plain, asking = moves("task"), moves("task", trace=True)
    batch, silent = moves("task", batch=2), moves("task", batch=2, trace=False)
    made = surrounded([plain, asking, batch, silent], {}, ())
    assert [ready is each for ready, each in zip(made, [plain, asking, batch, silent], strict=True)] == [
        True,
        False,
        False,
        True,
    ]


def test_an_answer_that_puts_a_row_off_is_no_error(
    url: str, task: Callable[..., None], finished: Finished
) -> None:
    """Nor one that asks for another attempt."""
    for kind in ("snooze", "retry"):
        task(None, kind)
    with Engine(url, moves("task", given.work, trace=True)) as engine:
        engine.run_due()
    spans = finished()
    assert [each.status.status_code for each in spans] == [StatusCode.UNSET] * 2
    assert not any("error.type" in (each.attributes or {}) for each in spans)


@pytest.mark.parametrize(
    ("function", "options"),
    [(given.coroutine, {}), (given.work_until_told, {}), (given.work_elsewhere, {"executor": "process"})],
    ids=["coroutine", "thread", "process"],
)
def test_what_ran_too_long_has_timed_out(
    url: str, task: Callable[..., None], finished: Finished, function: Any, options: dict[str, Any]
) -> None:
    """Whatever it then returned or raised."""
    task(PARENT, "slow")
    with Engine(url, moves("task", function, trace=True, timeout="0.1s", **options)) as engine:
        engine.run_due()
        [span] = wait_until("the span has ended", finished)
    assert (span.attributes or {})["error.type"] == "TimedOut"
    assert span.status.description == "TimedOut"


def test_the_span_of_a_process_that_dies_is_told(
    url: str, task: Callable[..., None], finished: Finished
) -> None:
    """It is the worker's."""
    task(PARENT, "dies")
    with Engine(url, moves("task", given.work_elsewhere, trace="traceparent", executor="process")) as engine:
        engine.run_due()
    [span] = finished()
    assert (links(span), (span.attributes or {})["error.type"]) == ([PARENT], "Unexpected")


class Base(DeclarativeBase):
    """The user's."""


class Task(Base):
    """A task, whose column is called otherwise here."""

    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    parent: Mapped[str | None] = mapped_column("traceparent")


@pytest.mark.parametrize("options", [{}, {"transactional": True}], ids=["plain", "transactional"])
def test_a_mapped_class_names_the_column_by_its_attribute(
    url: str, task: Callable[..., None], finished: Finished, options: dict[str, Any]
) -> None:
    task(PARENT)
    with Engine(url, moves(Task, do_nothing, trace=Task.parent, **options)) as engine:
        engine.run_due()
    assert [links(each) for each in finished()] == [[PARENT]]


def test_a_column_that_the_table_lacks_is_refused(url: str, task: Callable[..., None]) -> None:
    """Before anything runs, and so is what names none."""
    with (
        pytest.raises(PollerError, match=r"task has no column 'parent' .trace.; did you mean 'traceparent'"),
        Engine(url, moves("task", trace="parent")),
    ):
        pass
    with pytest.raises(ConfigurationError, match="trace must be the name of a column"):
        moves("task", trace=7)


# --- what it may not break ------------------------------------------------------------------------------


def test_a_tracer_that_fails_costs_no_row(
    url: str, db: psycopg.Connection[Any], task: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows have no spans."""

    class Failing(trace.TracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return self

        def start_span(self, *_: Any) -> Any:
            raise SystemExit(CANARY)

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Failing())
    task(PARENT)
    with Engine(url, moves("task", given.work, trace="traceparent")) as engine:
        engine.run_due()
    assert column(db, "select seen from task") == ["0" * 32 + "-" + "0" * 16]


def test_a_provider_that_is_not_there_costs_spans_only(
    url: str, db: psycopg.Connection[Any], task: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment may name one for another program; a worker begins all the same."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "of_another_program")
    made = moves("task", given.work, trace="traceparent")
    assert surrounded([made], {}, ()) == [made]
    task(PARENT)
    with Engine(url, made) as engine:
        engine.run_due()
    assert column(db, "select status from task") == ["normal"]


PACKAGE = """
import os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def line(span):
    return span.name + chr(10)

provider = TracerProvider()
exporter = ConsoleSpanExporter(out=open("spans", "a"), formatter=line)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
trace.set_tracer_provider(provider)

@handler("task", status="pending", to="normal", batch=10)
def work(rows):
    pass
"""


def test_a_worker_that_ends_has_exported_its_spans(project: Project, task: Callable[..., None]) -> None:
    """Those that wait for their turn, too; and the housekeeping has none."""
    task(None)
    project.handlers(PACKAGE)
    done = project.run("run", "--drain", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert (project.folder / "spans").read_text() == "process public.task:pending\n"


OFF = """
import sys
import poller.fleet.worker_main, poller.testing
from poller import handler
from poller.integrations.switch import surrounded
made = handler("task", status="a", to="b", batch=5, trace="parent")(lambda rows: None)
assert surrounded([made], {}, ()) == [made]
print([each for each in sys.modules if each.startswith(("opentelemetry", "sentry", "poller.integrations"))])
import opentelemetry.trace
assert surrounded([made], {}, ()) == [made]
"""


def test_nothing_is_imported_where_it_is_off() -> None:
    """Nor is anything around a handler, even where the interface was imported but no provider set."""
    told = subprocess.check_output([sys.executable, "-c", OFF], text=True)
    assert told == "['poller.integrations', 'poller.integrations.switch']\n"
