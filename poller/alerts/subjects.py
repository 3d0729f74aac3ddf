"""The subjects of a program's alerts: its jobs and handlers, with their options for alerts."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.model.alert import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.jobs.job import Job
    from poller.store.binding import Binding
    from poller.targets.settings import AlertSettings

LONG_SHARE = 0.8  # of a run's timeout, after which it is told of: it is about to be stopped
PING = (
    "ping:"  # begins the name under which the address of a job's ping is known; a target's name has no colon
)


@dataclass(frozen=True)
class Subjects:
    """The jobs and handlers that a program reports on.

    Args:
        settings: of the alerts.
        jobs: that are declared.
        bindings: of the handlers, with their numbers; those that run jobs are left out.
    """

    settings: AlertSettings
    jobs: Sequence[Job]
    bindings: Sequence[Binding]

    @property
    def functions(self) -> list[str]:
        """The names of the jobs' functions."""
        return [each.name for each in self.jobs]

    @functools.cached_property
    def digest(self) -> str:
        """The same text for all programs that know the same jobs and handlers."""
        names = sorted([*self.functions, *map(name_of, self.handlers)])
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @property
    def handlers(self) -> list[Binding]:
        """The bindings of handlers of users' tables."""
        return [each for each in self.bindings if not each.handler.is_job]

    @property
    def addresses(self) -> dict[str, str]:
        """The reference (`env:`, `file:`) to the address of each target and of each job's ping."""
        pings = {f"{PING}{each.name}": each.options.ping for each in self.jobs if each.options.ping}
        return {**self.settings.targets, **pings}

    def targets_of_job(self, name: str, function: str) -> tuple[str, ...]:
        """Return the targets for a job, which may have been made at run time from a declared job's function."""
        named = next((each.options.alerts for each in self.jobs if each.name == function), None)
        return self.settings.targets_of("job", name, named)

    def targets_of_handler(self, binding: Binding) -> tuple[str, ...]:
        """Return the targets for a handler."""
        named = alert(binding).targets
        return self.settings.targets_of("handler", name_of(binding), named)

    def targets_of_host(self, host: str) -> tuple[str, ...]:
        """Return the targets for a host."""
        return self.settings.targets_of("host", host, None)


def name_of(binding: Binding) -> str:
    """Return a handler's name, as commands show it."""
    return f"{binding.table}:{binding.handler.label}"


def alert(binding: Binding) -> Alert:
    """Return what a handler's option says, or the default."""
    return binding.handler.alerts or Alert()


def is_asked_for(settings: AlertSettings | None, jobs: Iterable[Job]) -> bool:
    """Tell whether alerts are in use: there are settings, or a job pings."""
    return settings is not None or any(each.options.ping for each in jobs)
