"""The client's answers are dataclasses and pages whose items are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Event
from typing import assert_type

import psycopg

from poller import Client, handler
from poller.client.actions import Action
from poller.client.answers import Page
from poller.client.checks import Finding
from poller.client.job_queries import RunLine
from poller.client.jobs import Cancelled, JobLine, Logs, Paused, Removed, Resumed, Scheduled, Triggered
from poller.client.pausing import HandlersPaused, HandlersResumed
from poller.client.purge import Counted, Purged
from poller.client.releasing import Released
from poller.client.retrying import Retried
from poller.client.row_queries import HistoryEvent as Past
from poller.client.row_queries import WorkerLine
from poller.client.status import HandlerLine, StatusLine
from poller.client.trouble import Failure


@handler("task", status="new", to="done")
def work(row: object) -> None:
    """Be known to a client."""


client = Client("postgres://localhost/shop", handlers="handlers", via="bot", person="ann")
Client(psycopg.connect(""), [work])


def questions() -> None:
    """Ask for pages."""
    assert_type(client.status(), Page[StatusLine])
    assert_type(client.handlers(), Page[HandlerLine])
    assert_type(client.workers(), Page[WorkerLine])
    assert_type(client.failures("task:new", after=None, limit=10), Page[Failure])
    assert_type(client.history("task", "7", limit=10), Page[Past])
    assert_type(client.jobs(), Page[JobLine])
    assert_type(client.runs("nightly", limit=1), Page[RunLine])
    assert_type(client.check(), Page[Finding])
    assert_type(client.actions(), Page[Action])
    assert_type(client.logs(7), Logs)


def pages() -> int:
    """Go from page to page."""
    page = client.failures(limit=100)
    assert_type(page.next, str | None)
    assert_type(page.as_of, datetime)
    assert_type(page.items[0].next_at, datetime | None)
    assert_type(client.status().items[0].oldest, datetime | None)
    return len(page.items) + len(client.failures(after=page.next).items)


def orders() -> None:
    """Give orders, which answer with data."""
    assert_type(client.retry("task", ["7"]), Retried)
    assert_type(client.release("task:new:7"), Released)
    assert_type(client.trigger("nightly", {"size": 1}), Triggered)
    assert_type(client.pause("nightly"), Paused | HandlersPaused)
    assert_type(client.resume("nightly"), Resumed | HandlersResumed)
    assert_type(client.cancel(7), Cancelled)
    assert_type(client.add_job("mine", "nightly", when="@every 5m"), Scheduled)
    assert_type(client.remove_job("mine"), Removed)
    assert_type(client.purge("audit", older_than=timedelta(days=1), stop=Event()), Purged)
    assert_type(client.count_purge("audit", column="at", older_than="1d"), Counted)
    assert_type(client.add_triggers(), tuple[str, ...])


Client()  # type: ignore[call-arg]
Client("postgres://localhost/shop", handlers=7)  # type: ignore[arg-type]
Client("postgres://localhost/shop", "handlers", "bot")  # type: ignore[call-arg]
client.failures(10)  # type: ignore[arg-type]
client.failures(limit="10")  # type: ignore[arg-type]
client.history("task")  # type: ignore[call-arg]
client.retry("task", 7)  # type: ignore[arg-type]
client.cancel("7")  # type: ignore[arg-type]
client.purge("audit", age="1d")  # type: ignore[call-arg]
client.status().items[0].row  # type: ignore[attr-defined]  # noqa: B018
client.status().next = None  # type: ignore[misc]
client.status().items[0].rows = 7  # type: ignore[misc]
