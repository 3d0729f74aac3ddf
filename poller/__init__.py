"""poller makes a Postgres table a fleet of state machines. This module is its face."""

from poller.errors import PollerError
from poller.handler import Handler, handler
from poller.model import Context, Row
from poller.outcome import Fail, Retry, Snooze, Transition

__all__ = [
    "Context",
    "Fail",
    "Handler",
    "PollerError",
    "Retry",
    "Row",
    "Snooze",
    "Transition",
    "handler",
]
