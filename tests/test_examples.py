"""The programs in examples/ do what they say, each on a database of its own, and are short."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor

from examples.test_of_a_handler import test_the_function_alone, test_what_becomes_of_rows  # noqa: F401 - run here
from poller.executor.around import Around
from poller.jobs.job import Job
from poller.model.handler import Handler
from poller.testing import Done, Engine

TOP = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (TOP / "examples").glob("[a-z]*.py"))
LONGEST = 40  # lines of code and prose
HOURS = 3  # that are looked ahead


class Ended(SpanProcessor):
    """Keeps the spans that have ended."""

    def __init__(self, spans: list[Any]) -> None:
        self._spans = spans

    def on_end(self, span: Any) -> None:
        """Keep it."""
        self._spans.append(span)


class Shown:
    """An example that has run to its end."""

    def __init__(self, name: str, url: str) -> None:
        self.url = url
        self.module = importlib.import_module(f"examples.{name}")
        with psycopg.connect(url) as connection:
            connection.execute(self.module.TABLES or "select")
        work = [each for each in vars(self.module).values() if isinstance(each, Handler | Job)]
        middleware = [each for each in vars(self.module).values() if isinstance(each, Around)]
        self.engine = Engine(url, *work, around=middleware)

    def run(self) -> list[Done]:
        """Run all that is due now or within some hours."""
        with self.engine:
            done = self.engine.run_due()
            for _ in range(HOURS):
                self.engine.advance("1h")
                done += self.engine.run_due()
        return done

    def ask(self, question: str) -> list[Any]:
        """Return the rows of an answer; of a single column its values."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(question.encode()).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def statuses(self, table: str) -> list[str]:
        """Return the status of each row, by its key."""
        return self.ask(f"select status::text from {table} order by 1, id")


@pytest.fixture
def shown(request: pytest.FixtureRequest, url: str) -> Shown:
    """The example that a test is named after: `test_retries`."""
    return Shown(request.node.name.removeprefix("test_"), url)


def test_first(shown: Shown) -> None:
    """One parcel is packed and sent, the other refused."""
    shown.run()
    assert shown.ask("select status, tracking from parcel order by id") == [
        ("sent", "TRACK-1"),
        ("refused", None),
    ]


def test_retries(shown: Shown) -> None:
    """Two are sent at the second attempt; one fails for good at once, one after three."""
    done = shown.run()
    assert shown.ask("select status from mail order by id") == ["sent", "sent", "bounced", "bounced"]
    assert [sum(each.key == key for each in done) for key in "1234"] == [2, 2, 1, 3]


def test_transactional(shown: Shown) -> None:
    """The second payment finds too little."""
    shown.run()
    assert shown.ask("select status from payment order by id") == ["booked", "refused"]
    assert shown.ask("select cents from account order by name") == [200, 300]


def test_settling(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages are there once, and so is the move."""
    monkeypatch.setattr(shown.module, "DATABASE", shown.url)
    shown.run()
    assert shown.statuses("report") == ["written"]
    assert shown.ask("select text from page order by text") == ["rain, page 1", "rain, page 2"]


def test_batches(shown: Shown) -> None:
    """One of 250 fails, alone."""
    shown.run()
    counts = dict(shown.ask("select status, count(*) from reading group by 1"))
    assert counts == {"fine": 198, "odd": 51, "raw": 1}


def test_in_order(shown: Shown) -> None:
    """Each customer's events in their order."""
    shown.run()
    assert set(shown.statuses("event")) == {"done"}
    assert shown.module.seen == {f"customer {i % 3}": [i, i + 3, i + 6] for i in (1, 2, 3)}


def test_rates(shown: Shown) -> None:
    """Ten within the first second; the rest once it has passed."""
    with shown.engine:
        assert len(shown.engine.run_due()) == 10
    assert sorted(shown.statuses("call")) == ["done"] * 10 + ["new"] * 5


def test_mapped(shown: Shown) -> None:
    """The one that is for tests is left alone."""
    shown.run()
    assert shown.ask("select status::text, bucket from tenant order by id") == [
        ("normal", "bucket-ada"),
        ("pending", None),
    ]


def test_coroutines(shown: Shown) -> None:
    """All are fetched."""
    shown.run()
    assert shown.statuses("site") == ["fetched"] * 50


def test_processes(shown: Shown) -> None:
    """The crash costs its own row."""
    shown.run()
    assert shown.ask("select status from picture order by id") == ["scaled", "broken"]


def test_nightly(shown: Shown) -> None:
    """What has a rate runs at once, and what comes after it; the rest when it is told to."""
    with shown.engine as engine:
        engine.run_due()
        engine.trigger(shown.module.old_visits)
        engine.trigger(shown.module.report)
        done = engine.run_due()
    assert {(each.status, each.to) for each in done} >= {
        ("purge visit", "succeeded"),
        ("report", "succeeded"),
    }
    assert shown.ask("select visits from count") == [2]
    assert shown.ask("select count(*) from visit") == [1]


def test_outside(shown: Shown) -> None:
    """The command prints into its run; the request finds nobody here, and says so."""
    with shown.engine as engine:
        engine.trigger(shown.module.backup)
        done = {each.status: each for each in engine.run_due()}
    assert done["backup"].to == "succeeded"
    assert "localhost:8000" in (done["alive"].error or "")
    [output] = shown.ask("select output from poller.run where job = 'backup'")
    assert output.endswith("to /backup\n")


def test_from_an_application(shown: Shown) -> None:
    """The order is run, and so is the first of each week."""
    with shown.engine as engine:
        shown.module.sign_up(shown.url, "ada", datetime.now(UTC))
        for _ in range(2):
            engine.run_due()
            engine.advance("2h")
    assert shown.ask("select customer from reminder") == ["ada", "ada"]


def test_watching(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """Two have moved, one is out of attempts; each attempt is measured."""
    try:
        shown.run()
    finally:
        shown.module.stop()
    assert shown.module.outcomes == {"moved": 2, "parked": 1}
    assert capsys.readouterr().out.count("task, ") == 3


def test_traces(shown: Shown) -> None:
    """The label's span ends within the attempt's, which is linked to the order's."""
    ended: list[Any] = []
    shown.module.provider.add_span_processor(Ended(ended))
    try:
        with psycopg.connect(shown.url) as connection:
            shown.module.order(connection)
        shown.run()
    finally:
        trace._TRACER_PROVIDER = None  # or the tests after this one had spans, too
    ordered, label, attempt = ended
    assert [each.name for each in ended] == ["order", "print a label", "process public.parcel:new"]
    assert label.parent == attempt.context
    assert (attempt.parent, attempt.links[0].context.span_id) == (None, ordered.context.span_id)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_is_tested(name: str) -> None:
    """By a test of its name, or in itself."""
    text = (TOP / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert name == "test_of_a_handler" or f"test_{name}" in globals()
