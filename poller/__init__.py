"""poller turns the rows of a Postgres table into state machines. This module is its public interface."""

# Each name is imported when it is first asked for (PEP 562): so a module of handlers does not wait for the driver of the
# database, nor `poller --help` for the engine. Type checkers see plain imports.

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poller.client.client import Client
    from poller.duration import Duration
    from poller.errors import ConfigurationError, DatabaseError, LeaseLostError, PollerError, SettleError
    from poller.executor.around import around
    from poller.jobs.job import Job, When, cron, fixed_delay, fixed_rate, job
    from poller.jobs.options import JobOptions, Misfire, Overlap
    from poller.jobs.run import Run
    from poller.jobs.runtime_schedules import schedule
    from poller.model.alert import Alert
    from poller.model.answers import Fail, Retry, Snooze, Transition
    from poller.model.context import Context, Row
    from poller.model.handler import Handler, handler
    from poller.model.options import HandlerOptions, History
    from poller.ready_made.http.job import http
    from poller.ready_made.http.request import Redirects
    from poller.ready_made.retention import age_out, purge
    from poller.ready_made.shell.job import shell
    from poller.telemetry.bus import subscribe
    from poller.telemetry.current_attempt import Attempt, LogContext, current

__all__ = [
    "Alert",
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

_MODULES = {
    "Alert": "poller.model.alert",
    "Attempt": "poller.telemetry.current_attempt",
    "Client": "poller.client.client",
    "ConfigurationError": "poller.errors",
    "Context": "poller.model.context",
    "DatabaseError": "poller.errors",
    "Duration": "poller.duration",
    "Fail": "poller.model.answers",
    "Handler": "poller.model.handler",
    "HandlerOptions": "poller.model.options",
    "History": "poller.model.options",
    "Job": "poller.jobs.job",
    "JobOptions": "poller.jobs.options",
    "LeaseLostError": "poller.errors",
    "LogContext": "poller.telemetry.current_attempt",
    "Misfire": "poller.jobs.options",
    "Overlap": "poller.jobs.options",
    "PollerError": "poller.errors",
    "Redirects": "poller.ready_made.http.request",
    "Retry": "poller.model.answers",
    "Row": "poller.model.context",
    "Run": "poller.jobs.run",
    "SettleError": "poller.errors",
    "Snooze": "poller.model.answers",
    "Transition": "poller.model.answers",
    "When": "poller.jobs.job",
    "age_out": "poller.ready_made.retention",
    "around": "poller.executor.around",
    "cron": "poller.jobs.job",
    "current": "poller.telemetry.current_attempt",
    "fixed_delay": "poller.jobs.job",
    "fixed_rate": "poller.jobs.job",
    "handler": "poller.model.handler",
    "http": "poller.ready_made.http.job",
    "job": "poller.jobs.job",
    "purge": "poller.ready_made.retention",
    "schedule": "poller.jobs.runtime_schedules",
    "shell": "poller.ready_made.shell.job",
    "subscribe": "poller.telemetry.bus",
}

if not TYPE_CHECKING:  # else a name that is misspelt would be anything to them

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            msg = f"module 'poller' has no attribute {name!r}"
            raise AttributeError(msg)
        found = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
