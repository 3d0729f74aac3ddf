"""The handlers and jobs that a client knows: those of a package, those it was given, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller import registry
from poller.errors import ConfigurationError
from poller.jobs.job import Job
from poller.model.handler import Handler
from poller.ready_made.housekeeping import housekeeping
from poller.registry import Registered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Source: TypeAlias = str | Registered | Iterable[Handler | Job] | None


def required(source: Source) -> Registered:
    """Return the handlers and jobs.

    Raises:
        ConfigurationError: none were given, or the package cannot be imported or has none.
    """
    if source is None:
        msg = "this call needs the handlers; give Client(…, handlers=) the name of their package, or a list of them"
        raise ConfigurationError(msg)
    return _all(source)


def found(source: Source) -> Registered | None:
    """Return the handlers and jobs; None if none were given, or the package cannot be imported or has none."""
    try:
        return None if source is None else _all(source)
    except ConfigurationError:
        return None


def defined(source: Source) -> dict[str, Job] | None:
    """Return the jobs by their names, with poller's own; None if they are not known."""
    known = found(source)
    return None if known is None else {job.name: job for job in (*known.jobs, housekeeping)}


def _all(source: str | Registered | Iterable[Handler | Job]) -> Registered:
    if isinstance(source, str):
        return registry.load(source)
    if isinstance(source, Registered):
        return source
    given = list(source)
    for each in given:
        if not isinstance(each, Handler | Job):
            msg = f"handlers= takes a package's name, or handlers and jobs; got {each!r}"
            raise ConfigurationError(msg)
    return Registered(
        [each for each in given if isinstance(each, Handler)],
        [each for each in given if isinstance(each, Job)],
    )
