"""Sentry's monitors: one for each job with times of day or a fixed rate, in which each run checks in.

A run is one check-in, however many attempts it has: in progress from its first attempt on, `ok` once it has succeeded,
`error` once it has failed for good. The first check-in of a worker's run makes the monitor, or brings it up to date.
"""

from __future__ import annotations

import hashlib
import logging
import re
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

from sentry_sdk.crons import capture_checkin
from sentry_sdk.utils import capture_internal_exceptions

from poller.executor.around import Around
from poller.model.context import token_of
from poller.schedules.slots import Cron, Every
from poller.store.outcomes import of_error
from poller.telemetry import log
from poller.telemetry.current_attempt import variable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.telemetry.current_attempt import Attempt

LONGEST_SLUG = 50  # characters, as Sentry has it; they cannot be digits alone
MARK = 8  # characters that tell apart what is alike once it is a slug
MOST_MINUTES = 40_320  # that Sentry takes for a margin or a run: 28 days
FIELDS = 5  # of a cron line without seconds


def checking(handler: Handler, job: Job) -> Iterator[Around]:
    """Yield the middleware that checks a job's runs in, if a monitor can have its schedule; note if none can.

    Args:
        handler: which runs the job.
        job: the job.
    """
    if not isinstance(job.schedule, Cron | Every):
        return
    config = monitor_of(job)
    if config is None:
        log.write(f"job {job.name} has no monitor at Sentry: {job.schedule}", logging.INFO, {})
        return
    yield Around(_checks_in(handler, _slug(job.name), config), takes_rows=True, is_local=True)


def monitor_of(job: Job) -> dict[str, Any] | None:
    """Return the monitor of a job as Sentry is told it; None if its schedule is finer than Sentry's minutes."""
    schedule = _schedule(job)
    if schedule is None:
        return None
    return {
        "schedule": schedule,
        "timezone": job.tz,
        "checkin_margin": _minutes(job.options.grace + job.options.jitter),
        "max_runtime": _minutes(job.options.timeout),
    }


def _schedule(job: Job) -> dict[str, Any] | None:
    if isinstance(job.schedule, Every):
        minutes = ceil(job.schedule.period / 60)
        return {"type": "interval", "value": minutes, "unit": "minute"} if job.schedule.period >= 60 else None  # noqa: PLR2004 - seconds
    *seconds, minute, hour, day, month, weekday = str(getattr(job.schedule, "expression", "")).split()
    if "W" in day or not all(each.isdigit() for each in seconds):  # Sentry knows no nearest weekday
        return None
    return {"type": "crontab", "value": f"{minute} {hour} {day} {month} {weekday}"}


def _minutes(seconds: float) -> int:
    return min(MOST_MINUTES, max(1, ceil(seconds / 60)))


def _slug(name: str) -> str:
    """Return a job's name as Sentry takes it; with a mark where that is not all of it, so that no two jobs share one."""
    slug = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")
    if name.isascii() and len(slug) <= LONGEST_SLUG and not slug.isdigit() and slug:
        return slug
    mark = hashlib.sha256(name.encode()).hexdigest()[:MARK]
    return f"{slug[: LONGEST_SLUG - MARK - 1].strip('-')}-{mark}".strip("-")


def _checks_in(handler: Handler, slug: str, config: dict[str, Any]) -> Callable[..., Generator[None, Any]]:
    def checked_in(attempt: Attempt, rows: list[Any]) -> Generator[None, Any]:
        if attempt.job != handler.name:  # a schedule made at run time
            yield
            return
        began = monotonic()
        run = token_of(f"{attempt.database}:{attempt.run}:{rows[0].planned_at}").replace("-", "")

        def tell(status: str) -> None:
            seconds = None if status == "in_progress" else monotonic() - began
            with capture_internal_exceptions():
                capture_checkin(slug, run, status, seconds, config)  # type: ignore[arg-type]

        tell("in_progress")
        raised: BaseException | None = None
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - it stands, as the function ends without a word on it
            raised = error
        call: Any = variable.get()
        if getattr(call, "ended", False):  # its time was up, or it was given back
            if call.why is None:
                return
            raised = call.why
        if raised is None:
            tell("ok")
        elif of_error(handler, raised, attempt.attempt).delay is None:
            tell("error")

    return checked_in
