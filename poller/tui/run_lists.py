"""The lists of jobs, of what runs next, and of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.telemetry.times import moment, since, took
from poller.tui import details, orders
from poller.tui.columns import BAD, DIM, GOOD, PLAIN, WARN, ListColumn
from poller.tui.listing import MOST_LINES, ScreenList, replaced, some
from poller.tui.looks import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.client.answers import Page
    from poller.client.jobs import JobLine
    from poller.tui.listing import Shown
    from poller.tui.looks import ScreenClients
    from poller.tui.orders import DraftOrder

_TONES = {"failed": BAD, "running": GOOD, "pending": WARN, "cancelled": DIM, "skipped": DIM}


def _job_columns(seen: Shown) -> tuple[ListColumn, ...]:
    return (
        ListColumn("job", lambda line: line.name, least=20, most=40),
        ListColumn("schedule", lambda line: line.when, rank=3, most=40),
        ListColumn("next", lambda line: _due(line, seen.now)),
        ListColumn(
            "last", lambda line: line.last_status, tone=lambda line: _TONES.get(line.last_status, PLAIN)
        ),
        ListColumn("when", lambda line: since(line.last_at, seen.now), rank=1),
        ListColumn("running", lambda line: line.running, right=True, rank=2, tone=some(GOOD, "running")),
        ListColumn("waiting", lambda line: line.waiting, right=True, rank=2, tone=some(WARN, "waiting")),
        ListColumn(
            "state", lambda line: line.state, tone=lambda line: PLAIN if line.state == "active" else WARN
        ),
    )


def _due(line: JobLine, now: datetime) -> str:
    return "now" if line.next_at is not None and line.next_at <= now else since(line.next_at, now)


def _run_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("run", lambda line: str(line.id), right=True),
        ListColumn("job", lambda line: line.job, least=16, most=40),
        ListColumn("planned", lambda line: moment(line.planned_at, seen.now, seen.zone)),
        ListColumn("status", lambda line: line.status, tone=lambda line: _TONES.get(line.status, PLAIN)),
        ListColumn("attempt", lambda line: line.attempt, right=True, rank=4),
        ListColumn("progress", details.progress, right=True, rank=3),
        ListColumn("took", lambda line: took(line.seconds), right=True, rank=1),
        ListColumn("error", lambda line: line.error, rank=2, least=16, most=400, tone=lambda _: BAD),
    )


def runs_of(job: str | None) -> ScreenList:
    """Return the list of runs: of a job, or of all."""
    return ScreenList(
        "Runs" if job is None else f"runs of {job}",
        Panel("runs", lambda asked: asked.client.runs(job, limit=MOST_LINES)),
        _run_columns,
        "no runs yet",
        lambda line: str(line.id),
        opens=lambda line: details.of_run(line.id, line.job),
        acts={"t": lambda line: orders.trigger(line.job), "c": lambda line: orders.cancel(line.id)},
    )


def _pause_or_resume_job(line: JobLine) -> DraftOrder:
    return orders.resume(line.name) if line.state == "paused" else orders.pause_job(line.name)


JOBS = ScreenList(
    "Jobs",
    Panel("jobs", lambda asked: asked.client.jobs(limit=MOST_LINES)),
    _job_columns,
    "no jobs: workers declare them when they start",
    lambda line: line.name,
    opens=lambda line: runs_of(line.name),
    acts={"t": lambda line: orders.trigger(line.name), "p": _pause_or_resume_job},
)
ALL_RUNS = runs_of(None)


def _next_page(asked: ScreenClients) -> Page[JobLine]:
    """Return the jobs that have a next slot, the earliest first."""
    page = asked.client.next_jobs(limit=MOST_LINES + 1)
    return replaced(page, page.items[:MOST_LINES], more=len(page.items) > MOST_LINES)


def _next_columns(seen: Shown) -> Sequence[ListColumn]:
    return _job_columns(seen)[:1] + _job_columns(seen)[2:5]


NEXT = ScreenList("Next runs", Panel("next", _next_page), _next_columns, "no job is to run", JOBS.name_of)
