"""Sentry: what its SDK would send, kept by a transport of the test's, in each mode of a handler and of a job."""

from __future__ import annotations

import importlib
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from poller import ConfigurationError, Row, cron, fixed_delay, fixed_rate
from poller.integrations.sentry import PollerIntegration
from poller.integrations.sentry_monitors import _slug, monitor_of
from poller.integrations.switch import surrounded
from poller.jobs.run import handler_of
from poller.testing import Engine
from tests import traced_handlers as given
from tests.engines import moves
from tests.harness import wait_until
from tests.integrations.test_otel import BATCHES, MODES
from tests.integrations.test_otel import task as task  # noqa: PLC0414 - a fixture
from tests.traced_handlers import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentry_sdk.envelope import Envelope

    from tests.harness import Project

    Task = Callable[..., None]
    Start = Callable[..., "Sent"]
    Mode = tuple[Callable[..., Any], dict[str, Any]]


class Sent(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.items += [json.loads(each.get_bytes()) for each in envelope.items]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return what was sent of a kind: `check_in`, `transaction`, or errors, which have none."""
        return [each for each in self.items if each.get("type", _kind(each)) == kind]


def _kind(item: dict[str, Any]) -> str:
    return "check_in" if "check_in_id" in item else "error"


@pytest.fixture
def start() -> Iterator[Start]:
    """Make Sentry's client, as a handlers package does."""

    def init(*, monitor_jobs: bool = False, values: bool = False, **options: Any) -> Sent:
        sent = Sent()
        sentry_sdk.init(
            "http://key@localhost/1",
            transport=sent,
            default_integrations=False,
            integrations=[
                PollerIntegration(monitor_jobs=monitor_jobs, values=values),
                LoggingIntegration(),
            ],
            **options,
        )
        return sent

    yield init
    sentry_sdk.get_global_scope().set_client(None)


def unused() -> Any:
    """Open no connection."""


def frames(event: dict[str, Any]) -> list[str]:
    """Return the functions of the frames of an error."""
    stack = event["exception"]["values"][-1].get("stacktrace", {"frames": []})
    return [each["function"] for each in stack["frames"]]


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.items(), ids=MODES)
def test_an_error_says_where_it_belongs_and_no_value(
    url: str, task: Task, start: Start, mode: tuple[str, Mode]
) -> None:
    """Answers that put a row off are none; one that gives it up is."""
    sent = start()
    for kind in ("", "error", "snooze", "retry", "fail"):
        task(None, kind)
    name, (function, options) = mode
    with Engine(url, moves("task", function, **options), concurrency=1) as engine:
        engine.run_due()
    error, given_up = sent.of("error")
    assert error["tags"] == {"poller.table": "public.task", "poller.status": "pending", "poller.attempt": 1}
    assert error["transaction"] == "process public.task:pending"
    assert error["contexts"]["poller"]["place"].startswith("traced_handlers.py:")
    value = error["exception"]["values"][-1]
    assert (value["type"], value["value"]) == ("ValueError", "[Filtered]")
    assert value["mechanism"] == {"type": "poller", "handled": False}
    assert given_up["exception"]["values"][-1]["type"] == "Fail"
    assert ("work" in frames(error)) == (name != "process")  # there the frames stay in the child
    assert ("fingerprint" in error) == (name == "process")
    assert CANARY not in json.dumps(sent.items)
    assert "key" not in error["contexts"]["poller"]


@pytest.mark.parametrize("mode", BATCHES.values(), ids=BATCHES)
def test_errors_of_a_batch_are_reported_once_for_each_cause(
    url: str, task: Task, start: Start, mode: Mode
) -> None:
    """However many rows they have failed."""
    sent = start()
    for kind in ("", "error", "error", "fail", "snooze"):
        task(None, kind)
    function, options = mode
    with Engine(url, moves("task", function, batch=10, **options)) as engine:
        engine.run_due()
    events = sent.of("error")
    assert {each["exception"]["values"][-1]["type"] for each in events} == {"ValueError", "Fail"}
    assert len(events) == 2
    assert events[0]["contexts"]["poller"]["keys"] == 5
    assert CANARY not in json.dumps(sent.items)


@pytest.mark.parametrize("values", [True, False])
def test_an_error_that_raises_when_it_is_asked_is_reported(
    url: str, task: Task, start: Start, *, values: bool
) -> None:
    """By its class and place; and so are the others of its batch."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    sent = start(values=values)
    for _ in range(2):
        task(None)

    def work(rows: list[Row]) -> list[Exception]:
        return [OddError(), ValueError("x" * 10_000_000)][: len(rows)]

    with Engine(url, moves("task", work, batch=2, attempts=1)) as engine:
        engine.run_due()
    found = {each["exception"]["values"][-1]["type"]: each for each in sent.of("error")}
    assert found.keys() == {"OddError", "ValueError"}
    assert found["OddError"]["exception"]["values"][-1]["value"] == "[Filtered]"
    assert found["OddError"]["tags"]["poller.table"] == "public.task"


def test_values_are_sent_where_the_client_says_so(url: str, task: Task, start: Start) -> None:
    """By an option of its own: the texts of errors, the key, and the SDK's variables of frames."""
    sent = start(values=True)
    task(None, "error")
    with Engine(url, moves("task", given.work)) as engine:
        engine.run_due()
    [error] = sent.of("error")
    assert error["exception"]["values"][-1]["value"] == CANARY
    assert error["contexts"]["poller"]["key"] == "1"
    assert any("vars" in each for each in error["exception"]["values"][-1]["stacktrace"]["frames"])


def test_what_ran_too_long_has_timed_out(url: str, task: Task, start: Start) -> None:
    """Not as the coroutine that was cancelled for it."""
    sent = start()
    task(None, "slow")
    with Engine(url, moves("task", given.coroutine, timeout="0.1s")) as engine:
        engine.run_due()
        [error] = wait_until("it is reported", lambda: sent.of("error"))
    assert error["exception"]["values"][-1]["type"] == "TimedOut"
    assert error["fingerprint"] == ["TimedOut", "", "{{ transaction }}"]


def test_what_a_handler_reports_itself_says_where_it_belongs(url: str, task: Task, start: Start) -> None:
    """And nothing of the row before it; poller's own lines are not reported."""
    sent = start()
    for _ in range(2):
        task(None)

    def work(row: Row) -> None:
        sentry_sdk.set_tag(f"row {row.id}", "seen")
        logging.getLogger("shop").error("odd")
        raise ValueError

    with Engine(url, moves("task", work, attempts=1), concurrency=1) as engine:
        engine.run_due()
    events = sent.of("error")
    assert [each.get("logger") for each in events] == ["shop", None, "shop", None]
    assert [len(each["tags"]) for each in events] == [4] * 4
    assert {each["tags"]["poller.table"] for each in events} == {"public.task"}


def test_a_client_without_the_integration_hears_nothing(start: Start) -> None:
    """And nothing is around the handler."""
    handler = moves("task", batch=2)
    assert surrounded([handler], {}, ()) == [handler]
    start()
    assert surrounded([handler], {}, ()) != [handler]


def test_calls_that_would_have_spans_are_transactions(url: str, task: Task, start: Start) -> None:
    """If the client asks for them."""
    sent = start(traces_sample_rate=1.0)
    task(None, "error")
    task(None)
    with Engine(url, moves("task", given.batch, batch=5), given.by_hand) as engine:
        engine.trigger(given.by_hand, word=CANARY)
        engine.run_due()
    found = {each["transaction"]: each["contexts"]["trace"] for each in sent.of("transaction")}
    assert found.keys() == {"process public.task:pending", "run by_hand"}
    for each in found.values():
        assert (each["op"], each["origin"], each["status"]) == (
            "queue.process",
            "auto.queue.poller",
            "internal_error",
        )
    assert CANARY not in json.dumps(sent.items)


# --- runs, and their monitors ---------------------------------------------------------------------------


@pytest.mark.parametrize("job", [given.nightly, given.nightly_awaiting, given.nightly_elsewhere], ids=str)
def test_a_run_checks_in(url: str, start: Start, job: Any) -> None:
    """In progress, then ok; the monitor is told its schedule."""
    sent = start(monitor_jobs=True)
    with Engine(url, job) as engine:
        engine.trigger(job)
        engine.run_due()
    begun, done = sent.of("check_in")
    assert (begun["status"], done["status"]) == ("in_progress", "ok")
    assert begun["check_in_id"] == done["check_in_id"]
    assert begun["monitor_slug"] == job.name
    assert begun["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 3 * * *"},
        "timezone": job.tz,
        "checkin_margin": 1,
        "max_runtime": 5,
    }
    assert done["duration"] >= 0


def test_a_run_that_fails_checks_in_as_failed_with_its_last_attempt(url: str, start: Start) -> None:
    """Each attempt is reported, with the job's name."""
    sent = start(monitor_jobs=True)
    with Engine(url, given.failing, given.too_often, given.by_hand) as engine:
        engine.trigger(given.by_hand, word=CANARY)
        engine.trigger(given.failing)
        engine.run_due()
        engine.advance("2s")
        engine.run_due()
    checks = sent.of("check_in")
    assert [each["status"] for each in checks] == ["in_progress", "in_progress", "error"]
    assert len({each["check_in_id"] for each in checks}) == 1
    assert {each["monitor_slug"] for each in checks} == {"every-now-then"}
    assert checks[0]["monitor_config"] == {
        "schedule": {"type": "interval", "value": 2, "unit": "minute"},
        "timezone": "UTC",
        "checkin_margin": 4,
        "max_runtime": 10,
    }
    tags = [each["tags"] for each in sent.of("error")]
    assert {"poller.job": "Every now & then", "poller.attempt": 2} in tags
    assert {"poller.job": "by_hand", "poller.attempt": 1} in tags
    assert CANARY not in json.dumps(sent.items)


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        (cron("30 0 3 * * mon"), {"type": "crontab", "value": "0 3 * * MON"}),
        (cron("*/10 * * * * *"), None),
        (cron("0 0 15W * *"), None),
        (fixed_rate("59s"), None),
        (fixed_rate("7d"), {"type": "interval", "value": 10_080, "unit": "minute"}),
    ],
    ids=lambda each: str(getattr(each, "schedule", "")),
)
def test_what_a_monitor_can_say_is_said(
    start: Start, caplog: pytest.LogCaptureFixture, when: Any, schedule: dict[str, Any] | None
) -> None:
    """Sentry counts in minutes; the log notes what has no monitor."""
    start(monitor_jobs=True)
    job = when(lambda: None)
    monitor = monitor_of(job)
    assert (monitor and monitor["schedule"]) == schedule
    with caplog.at_level(logging.INFO, "poller"):
        surrounded([handler_of(job, unused)], {job.name: job}, ())
    assert ("has no monitor at Sentry" in caplog.text) == (schedule is None)


def test_no_two_jobs_share_a_monitor() -> None:
    """Of names that Sentry cannot have, a part is a mark; those that it can have are theirs."""
    long = "x" * 60
    names = [
        "nightly",
        "Every now & then",
        "résumé",
        "rèsumè",
        "отчёт",
        "счёт",
        "2024",
        long + "a",
        long + "b",
    ]
    slugs = [_slug(each) for each in names]
    assert slugs[:2] == ["nightly", "every-now-then"]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"(?![0-9]+$)[a-z0-9_-]{1,50}", each) for each in slugs), slugs


def test_a_delay_has_no_monitor(start: Start) -> None:
    """When the next run is due depends on how long one takes."""
    start(monitor_jobs=True)
    job = fixed_delay("5m", name="sync")(lambda: None)
    [made] = surrounded([handler_of(job, unused)], {job.name: job}, ())
    assert len(made.invoke.middleware) == 1  # type: ignore[attr-defined]  # for errors


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error of the handlers package that asks for it."""
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    monkeypatch.delitem(sys.modules, "poller.integrations.sentry")
    with pytest.raises(ConfigurationError, match=r"run: pip install 'poller\[sentry\]'"):
        importlib.import_module("poller.integrations.sentry")


# --- in a fleet -----------------------------------------------------------------------------------------

PACKAGE = """
import json, logging
import sentry_sdk
from sentry_sdk.transport import Transport
from poller.integrations.sentry import PollerIntegration

class Slow(Transport):
    waiting = []

    def capture_envelope(self, envelope):
        self.waiting.append(envelope)

    def flush(self, timeout, callback=None):
        with open("sent", "a") as file:
            file.writelines(each.serialize().decode() for each in self.waiting)

sentry_sdk.init("http://key@localhost/1", transport=Slow(), integrations=[PollerIntegration()])

@handler("task", status="pending", to="normal", attempts=1)
def work(row):
    secret = row.secret
    raise ValueError(secret)
"""


def test_a_worker_that_ends_has_sent_its_reports(project: Project, task: Task) -> None:
    """With all that the SDK does by default, nothing of a row among them."""
    task(None)
    project.handlers(PACKAGE)
    done = project.run("run", "--drain", "--workers", "1")
    assert done.returncode == 1, done.stderr
    sent = (project.folder / "sent").read_text()
    assert sent.count('"poller.table":"public.task"') == 1
    assert CANARY not in sent
