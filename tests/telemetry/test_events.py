"""Events: what is emitted, who hears it, and that a subscriber disturbs nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import poller
from poller import Fail, Row, fixed_rate
from poller.telemetry import bus, log, sentences
from poller.telemetry.events import (
    AttemptFailed,
    Event,
    LeaseLost,
    RowChanged,
    RowParked,
    RowsClaimed,
    RowsSettled,
    RowsTakenBack,
    RunFinished,
    RunPlanned,
)
from poller.telemetry.outage import Outage
from poller.testing import Engine
from tests.engines import moves, run
from tests.telemetry.events_page import every, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Project

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """All that is emitted in this process meanwhile."""
    events: list[Event] = []
    stop = poller.subscribe(events.append)
    yield events
    stop()


@pytest.fixture
def task(db: psycopg.Connection[Any]) -> None:
    db.execute("create table task (id int primary key, status text not null default 'pending')")
    db.execute("insert into task select generate_series(1, 12)")


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [each for each in events if isinstance(each, kind)]


# --- the classes ----------------------------------------------------------------------------------------


def test_the_page_has_the_table_of_the_module() -> None:
    """To renew it: `python -m tests.telemetry.events_page`."""
    assert (DOCS / "events.md").read_text(encoding="utf-8").endswith(f"\n\n{markdown()}\n")


def test_each_event_says_when_and_has_a_sentence_or_none_on_purpose() -> None:
    """Frozen, too; what `troubles` gathers has no sentence of its own."""
    for each in every():
        assert each.__doc__
        assert not each.__doc__.startswith(f"{each.__name__}("), "the docstring that dataclasses make"
        assert each.__dataclass_params__.frozen  # type: ignore[attr-defined]
        kinds = (each in sentences.SILENT, each in sentences.FATES, each in sentences.SENTENCES)
        assert kinds.count(True) == 1, each


def test_no_field_hides_one_that_each_line_of_json_has() -> None:
    """Its time, level and so on."""
    names = {field.name for each in every() for field in dataclasses.fields(each)}
    assert not names & {"time", "level", "logger", "event", "message", "process", "traceback"}


SAMPLES = {"int": 3, "float": 2.5, "str": "word", "bool": True, "datetime": None, "tuple[str, ...]": ("a",)}


@pytest.mark.parametrize("kind", sentences.SENTENCES, ids=lambda kind: kind.name)
def test_each_sentence_can_be_said(kind: type[Event], caplog: pytest.LogCaptureFixture) -> None:
    """With the fields of its event, which the record has as well."""
    caplog.set_level(logging.DEBUG, "poller")
    fields = {each.name: sample(str(each.type)) for each in dataclasses.fields(kind)}
    bus.emit(kind(**fields))
    [record] = caplog.records
    assert record.event == kind.name  # type: ignore[attr-defined]
    assert record.known == fields  # type: ignore[attr-defined]
    assert "{" not in record.getMessage()


def sample(kind: str) -> Any:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.now(UTC) if kind == "datetime" else SAMPLES[kind.removesuffix(" | None")]


# --- subscribers ----------------------------------------------------------------------------------------


def test_subscribers_are_called_in_order_until_they_end_it() -> None:
    """One function may subscribe twice; each subscription ends by itself, and once."""
    calls: list[str] = []
    stops = [poller.subscribe(lambda _, name=name: calls.append(name)) for name in "abc"]  # type: ignore[misc]
    bus.emit(RowsTakenBack(rows=1))
    stops[1]()
    stops[1]()
    bus.emit(RowsTakenBack(rows=1))
    stops[0]()
    stops[2]()
    bus.emit(RowsTakenBack(rows=1))
    assert calls == ["a", "b", "c", "a", "c"]
    assert not bus.is_heard()


def test_a_subscriber_that_ends_it_hears_no_more_of_what_is_being_delivered() -> None:
    """Neither the rest of the batch, nor the event that one before it has heard."""
    heard: list[str] = []

    def first(event: Event) -> None:
        heard.append(event.name)
        for stop in stops:
            stop()

    stops = [poller.subscribe(first), poller.subscribe(lambda event: heard.append(event.name))]
    one = RowParked(handler="h", table="t", status="s", database="d", key="1", attempt=1, error="e")
    bus.emit_rows([one, one, one])
    assert heard == ["row_parked"]


def test_what_cannot_be_called_cannot_subscribe() -> None:
    """Nor what nobody would await."""

    async def later(_: Event) -> None: ...

    class Later:
        async def __call__(self, _: Event) -> None: ...

    with pytest.raises(TypeError, match="function that takes an event"):
        poller.subscribe(17)  # type: ignore[arg-type]
    for each in (later, Later(), functools.partial(later)):
        with pytest.raises(TypeError, match="plain function"):
            poller.subscribe(each)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_a_subscriber_raises_is_told_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on being called, and so do the others."""
    others: list[Event] = []

    def raising(_: Event) -> None:
        raise error

    stops = [poller.subscribe(raising), poller.subscribe(others.append)]
    for _ in range(3):
        bus.emit(RowsTakenBack(rows=1))
    for stop in stops:
        stop()
    assert len(others) == 3
    assert sum("raising raised at rows_taken_back" in message for message in caplog.messages) == 1


def test_nothing_is_composed_where_nobody_listens(url: str, task: None, monkeypatch: Any) -> None:
    """What happens to every batch, and has no line."""
    made: list[str] = []
    for kind in sentences.SILENT:
        monkeypatch.setattr(kind, "__init__", lambda self, **_: made.append(type(self).__name__))
    assert len(run(url, moves("task"))) == 12
    assert made == []


# --- what the engine emits ------------------------------------------------------------------------------


def test_a_batch_is_one_event(url: str, task: None, heard: list[Event]) -> None:
    """When it is claimed, and when it is settled: with the seconds of each attempt."""
    run(url, moves("task"))
    assert sum(each.rows for each in of(RowsClaimed, heard)) == 12
    settled = of(RowsSettled, heard)
    assert sum(each.rows for each in settled) == 12
    assert len(settled) < 12
    for each in settled:
        assert (each.handler, each.table, each.status) == ("public.task:pending", "public.task", "pending")
        assert each.outcomes == {"moved": each.rows}
        assert len(each.seconds["moved"]) == each.rows


def test_each_row_in_trouble_is_an_event(url: str, task: None, heard: list[Event]) -> None:
    """With its key, its attempt and its error."""

    def work(row: Row) -> None:
        if row.id == 3:
            raise Fail("three")
        if row.id == 4:
            raise ValueError("four")

    run(url, moves("task", work))
    [parked] = of(RowParked, heard)
    assert (parked.key, parked.attempt) == ("3", 1)
    assert "three" in parked.error
    assert (parked.error_class, str(parked.error_place).partition(":")[0]) == ("Fail", "test_events.py")
    [failed] = of(AttemptFailed, heard)
    assert (failed.key, failed.attempt) == ("4", 1)
    assert "ValueError: four" in failed.error
    assert failed.retry_seconds > 0


def test_a_run_is_planned_and_finished(url: str, heard: list[Event]) -> None:
    """Once it has ended: an attempt that is followed by another is not the end."""

    @fixed_rate("1h")
    def good() -> None: ...

    @fixed_rate("1h", attempts=2)
    def bad() -> None:
        raise ValueError("bad")

    with Engine(url, good, bad) as engine:
        engine.run_due()
        assert {each.job for each in of(RunPlanned, heard)} == {"good", "bad"}
        [finished] = of(RunFinished, heard)
        assert (finished.job, finished.status, finished.attempt, finished.error) == (
            "good",
            "succeeded",
            1,
            None,
        )
        engine.advance("30m")
        engine.run_due()
    finished = of(RunFinished, heard)[-1]
    assert (finished.job, finished.status, finished.attempt) == ("bad", "failed", 2)
    assert "ValueError: bad" in finished.error


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (psycopg.OperationalError("server closed the connection"), ["database_lost", "database_back"]),
        (psycopg.errors.AdminShutdown("terminating"), ["database_lost", "database_back"]),
        (psycopg.errors.InvalidPassword("refused"), ["database_lost", "database_back"]),
        (psycopg.errors.LockNotAvailable("locked"), ["service_failed", "service_restored"]),
        (ValueError("a mistake"), ["service_failed", "service_restored"]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_database_that_is_lost_is_told_from_other_faults(
    heard: list[Event], error: Exception, names: list[str]
) -> None:
    """Each reason once, and that it is over."""
    outage = Outage("claimer")
    for _ in range(3):
        outage.goes_on(error)
    outage.is_over()
    outage.is_over()
    assert [each.name for each in heard] == names
    assert heard[1].fields == {"service": "claimer", "failures": 3}


@pytest.mark.parametrize("mode", ["late", "superseded", "gone"])
def test_a_result_that_is_dropped_is_an_event(
    url: str, db: psycopg.Connection[Any], task: None, heard: list[Event], mode: str
) -> None:
    """Since the lease has ended, or another program has changed or deleted the row."""
    meanwhile = {
        "late": "delete from poller.claim",
        "superseded": "update task set status = 'other'",
        "gone": "delete from task",
    }

    def work(rows: list[Row]) -> None:
        db.execute(meanwhile[mode].encode())

    with Engine(url, moves("task", work, batch=12, to="normal")) as engine, contextlib.suppress(Exception):
        engine.run_due(rounds=1)
    dropped = of(LeaseLost if mode == "late" else RowChanged, heard)
    assert {each.key for each in dropped} == {str(number) for number in range(1, 13)}
    if mode != "late":
        assert {each.became for each in dropped} == {mode}


def test_json_lines_carry_the_event(project: Project, task: None) -> None:
    """Of lines of rows in trouble, too; a subscriber in the package hears its process, and harms nothing."""
    project.handlers(
        """
import poller, sys

@poller.subscribe
def write(event):
    sys.stderr.write(f"HEARD {event.name}\\n")
    raise SystemExit

@handler("task", status="pending", to="normal", attempts=1)
def work(row):
    if row.id == 3:
        raise ValueError("three")
"""
    )
    done = project.run("run", "--drain", "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    of_event = {line["event"]: line for line in lines if "event" in line}
    assert of_event["worker_started"]["message"].endswith("is ready")
    assert of_event["worker_started"]["worker"] >= 1
    assert of_event["row_parked"]["rows"] == "3"
    assert of_event["fleet_finished"]["moved"] == 11
    for name in ("rows_claimed", "rows_settled", "row_parked", "worker_started", "fleet_finished"):
        assert f"HEARD {name}" in done.stderr


def test_a_line_without_an_event_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A user's own, say."""
    record = logging.makeLogRecord({"name": "shop", "msg": "a word"})
    line = json.loads(log._JsonLines().format(record))
    assert line["message"] == "a word"
    assert "event" not in line
