"""poller makes a Postgres table a fleet of state machines. This module is its face."""

from poller.errors import PollerError
from poller.executor.around import around
from poller.jobs.dynamic import schedule
from poller.jobs.job import Job, cron, fixed_delay, fixed_rate, job
from poller.jobs.run import Run
from poller.model.answers import Fail, Retry, Snooze, Transition
from poller.model.context import Context, Row
from poller.model.handler import Handler, handler
from poller.ready_made.http.job import http
from poller.ready_made.retention import age_out, purge
from poller.ready_made.shell.job import shell
from poller.telemetry.bus import subscribe
from poller.telemetry.context import Attempt, LogContext, current

__all__ = [
    "Attempt",
    "Context",
    "Fail",
    "Handler",
    "Job",
    "LogContext",
    "PollerError",
    "Retry",
    "Row",
    "Run",
    "Snooze",
    "Transition",
    "age_out",
    "around",
    "cron",
    "current",
    "fixed_delay",
    "fixed_rate",
    "handler",
    "http",
    "job",
    "purge",
    "schedule",
    "shell",
    "subscribe",
]
