"""Checks the settings of alerts, and the options that name targets, before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.errors import ConfigurationError
from poller.targets.sending import require
from poller.targets.settings import AlertSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.jobs.job import Job
    from poller.model.handler import Handler


def refuse_unknown(settings: AlertSettings | None, handlers: Iterable[Handler], jobs: Iterable[Job]) -> None:
    """Refuse options that name a target which the settings do not have.

    Raises:
        ConfigurationError: naming the option's place.
    """
    known = settings or AlertSettings()
    for each in handlers:
        if each.alerts is not None:
            known.refuse_unknown(f"{each.place}: alerts", each.alerts.targets or ())
    for job in jobs:
        known.refuse_unknown(f"{job.place}: alerts", job.options.alerts or ())


def require_targets(settings: AlertSettings | None, handlers: Iterable[Handler], jobs: Iterable[Job]) -> None:
    """Make sure that each target that is named is known, and can be sent to from here.

    Raises:
        ConfigurationError: naming the option's place, or the target.
    """
    refuse_unknown(settings, handlers, jobs)
    if settings is None:
        return
    places = {f"alerts.targets.{name}": (where, False) for name, where in settings.targets.items()}
    if settings.heartbeat is not None:
        places["alerts.heartbeat"] = (settings.heartbeat, True)
    for place, (where, pings) in places.items():
        try:
            require(where, pings=pings)
        except ConfigurationError as error:
            msg = f"{place}: {error}"
            raise ConfigurationError(msg) from None
