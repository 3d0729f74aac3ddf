"""The subjects of a program's alerts: its jobs and handlers, with their options for alerts."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.model.alert import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poller.alerts.store import OpenSubject
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

    @property
    def watched(self) -> dict[str, bool]:
        """What is known here, by the names of episodes: handlers, and jobs' functions with whether they ping."""
        pings = {each.name: each.options.ping is not None for each in self.jobs}
        return {**{name_of(each): False for each in self.handlers}, **pings}

    def routed(self, opened: Iterable[OpenSubject]) -> list[dict[str, Any]]:
        """Return whom open episodes are to tell, where that is known here and has changed."""
        asked = [(each, self._targets_now(each)) for each in opened] if self.settings.targets else []
        return [
            {"id": each.id, "targets": now} for each, now in asked if now is not None and now != each.targets
        ]

    def _targets_now(self, opened: OpenSubject) -> list[str] | None:
        if opened.subject_type == "host":
            return [*self.targets_of_host(opened.subject)]
        if opened.subject_type == "job":
            known = opened.function in self.functions
            return [*self.targets_of_job(opened.subject, opened.function or "")] if known else None
        bindings = (each for each in self.handlers if name_of(each) == opened.subject)
        return next(([*self.targets_of_handler(each)] for each in bindings), None)

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
