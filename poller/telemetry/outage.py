"""An outage that keeps a service from its work: logged once, and retried after growing pauses."""

from __future__ import annotations

import random
from time import monotonic

import psycopg

from poller.errors_in_words import reason
from poller.telemetry.bus import emit
from poller.telemetry.events import DatabaseBack, DatabaseLost, ServiceFailed, ServiceRestored

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MOST_SECONDS = 5.0
MOST_REASONS = 10  # told in one outage

# Of SQLSTATEs, where there is one: what is about the connection or the whole server, not about a statement.
_OF_SERVER = ("08", "28", "3D", "53", "57P")


class Outage:
    """What keeps a service from its work: each reason is logged once, until the service works again.

    Args:
        service: what the log calls it.

    Attributes:
        failures: how many times in a row it has failed.
        why: for which reason it did last.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._told: set[str] = set()
        self._is_databases = False  # the database was lost in it
        self.failures = 0
        self.why = ""

    def goes_on(self, error: Exception) -> None:
        """Note another failure, and tell why if that is new: a server that was away may refuse the password."""
        self.failures += 1
        self.why = _describe(error)
        if self.why not in self._told and len(self._told) < MOST_REASONS:
            self._told.add(self.why)
            self._is_databases = self._is_databases or _is_lost(error)
            kind = DatabaseLost if _is_lost(error) else ServiceFailed
            emit(kind(service=self._service, error=self.why))

    def pause(self) -> float:
        """Return the seconds after which to try again: at random, and more of them after each failure."""
        most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(self.failures, 10))
        return random.uniform(BACKOFF_FIRST_SECONDS / 2, most)  # noqa: S311 - to part, not to hide

    def is_over(self) -> None:
        """Tell that it is, if there was one."""
        if self.failures:
            kind = DatabaseBack if self._is_databases else ServiceRestored
            emit(kind(service=self._service, failures=self.failures))
            self._is_databases = False
            self.failures = 0
            self._told.clear()


class LeftOut:
    """Handlers, by their numbers, or others, that are left out for a while: they could not be looked at, or written.

    Args:
        seconds: for so long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[int | str, float] = {}

    def add(self, handler: int | str) -> None:
        """Leave a handler out from now on."""
        self._until[handler] = monotonic() + self._seconds

    def __contains__(self, handler: int | str) -> bool:
        return monotonic() < self._until.get(handler, 0.0)

    def clear(self) -> None:
        """Leave none out any more."""
        self._until.clear()


def _is_lost(error: Exception) -> bool:
    """Return whether an error means that the database cannot be worked with."""
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_OF_SERVER)


def _describe(error: Exception) -> str:
    """Return what a database's error says, or the kind of any other with its text."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps those of the driver
    if isinstance(cause, psycopg.Error):
        return reason(cause)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
