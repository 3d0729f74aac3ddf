"""poller makes a Postgres table a fleet of state machines. This module is its face."""

import importlib
from typing import TYPE_CHECKING, Any

from poller.duration import Duration
from poller.errors import ConfigurationError, DatabaseError, LeaseLostError, PollerError, SettleError
from poller.executor.around import around
from poller.jobs.job import Job, When, cron, fixed_delay, fixed_rate, job
from poller.jobs.options import JobOptions, Misfire, Overlap
from poller.jobs.run import Run
from poller.model.answers import Fail, Retry, Snooze, Transition
from poller.model.context import Context, Row
from poller.model.handler import Handler, handler
from poller.model.options import HandlerOptions, History
from poller.ready_made.http.job import http
from poller.ready_made.http.request import Redirects
from poller.ready_made.retention import age_out, purge
from poller.ready_made.shell.job import shell
from poller.telemetry.bus import subscribe
from poller.telemetry.context import Attempt, LogContext, current

if TYPE_CHECKING:
    from poller.client.client import Client
    from poller.jobs.dynamic import schedule

__all__ = [
    "Attempt",
    "Client",
    "ConfigurationError",
    "Context",
    "DatabaseError",
    "Duration",
    "Fail",
    "Handler",
    "HandlerOptions",
    "History",
    "Job",
    "JobOptions",
    "LeaseLostError",
    "LogContext",
    "Misfire",
    "Overlap",
    "PollerError",
    "Redirects",
    "Retry",
    "Row",
    "Run",
    "SettleError",
    "Snooze",
    "Transition",
    "When",
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


# What needs the driver of the database, which a handlers module need not wait for: imported once it is asked for.
_LATER = {"Client": "poller.client.client", "schedule": "poller.jobs.dynamic"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        msg = f"module 'poller' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_LATER[name]), name)
