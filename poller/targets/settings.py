"""The section `alerts` of the settings: which targets get alerts, about what, and how often."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.duration import seconds
from poller.errors import ConfigurationError
from poller.model.alert import check_reference, targets
from poller.spelling import refuse_others
from poller.targets.glob import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAME = re.compile(r"[\w.-]{1,100}")
LONGEST_SECONDS = 36525 * 86400.0


@dataclass(frozen=True, slots=True)
class AlertRoute:
    """The targets for some jobs or handlers, instead of the default ones."""

    jobs: str | None
    handlers: str | None
    to: tuple[str, ...]

    def leads(self, subject_type: str, subject: str) -> bool:
        """Tell whether the route is for a job or a handler of this name."""
        pattern = {"job": self.jobs, "handler": self.handlers}.get(subject_type)
        return pattern is not None and matches(pattern, subject_type, subject)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What the settings say of alerts. Durations are seconds; addresses are only where they are to be found.

    Attributes:
        to: the targets that are told unless an option or a route names others.
        after: how many failures in a row of a job are told of.
        repeat: how often it is told that something lasts; None for never.
        recovery: whether it is told that something is over.
        group: for how long notices of one target are gathered.
        heartbeat: where an outside service hears that the fleet is there.
        output: whether the ping that ends a run carries the end of what that has printed.
        targets: by name, where the address of each is to be found.
        routes: the first one that leads somewhere counts.
    """

    to: tuple[str, ...] = ()
    after: int = 1
    repeat: float | None = 86400.0
    recovery: bool = True
    group: float = 30.0
    heartbeat: str | None = None
    output: bool = False
    targets: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[AlertRoute, ...] = ()

    def targets_of(self, subject_type: str, subject: str, named: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the targets for a job, a handler or a host; `named` are those of its own option."""
        if named is not None:
            return named
        leading = (each.to for each in self.routes if each.leads(subject_type, subject))
        return next(leading, self.to)

    def refuse_unknown(self, what: str, named: Iterable[str]) -> None:
        """Refuse names that no target has.

        Raises:
            ConfigurationError: naming where one stands.
        """
        for name in named:
            if name not in self.targets:
                near = difflib.get_close_matches(name, self.targets, 1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"add [alerts.targets.{name}] to the settings"
                )
                msg = f"{what} names the target {name!r}, which the settings do not have; {hint}"
                raise ConfigurationError(msg)


def parse(section: object, file: str = "") -> AlertSettings:
    """Return the settings of a section, checked. No value is repeated in an error: it may hold a password.

    Raises:
        ConfigurationError: naming the file and the key.
    """
    try:
        return _parsed(_table("alerts", section))
    except ConfigurationError as error:
        msg = f"{file}: {error}" if file else str(error)
        raise ConfigurationError(msg) from None


def _parsed(table: Mapping[str, Any]) -> AlertSettings:
    known = AlertSettings.__dataclass_fields__
    refuse_others("alerts", table, known)
    made = AlertSettings(**{key: _READERS[key](f"alerts.{key}", value) for key, value in table.items()})
    made.refuse_unknown("alerts.to", made.to)
    for route in made.routes:
        made.refuse_unknown("alerts.routes", route.to)
    return made


def _table(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f"{what} must be a table of settings"
        raise ConfigurationError(msg)
    return value


def _names(what: str, value: object) -> tuple[str, ...]:
    try:
        return targets(value) or ()
    except ConfigurationError:
        msg = f"{what} must be the name of a target, or a list of names"
        raise ConfigurationError(msg) from None


def _count(what: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= 1000:  # noqa: PLR2004 - more in a row is not an alert
        msg = f"{what} must be a whole number from 1 to 1000"
        raise ConfigurationError(msg)
    return value


def _duration(what: str, value: object) -> float:
    try:
        given = seconds(value) if isinstance(value, str) else -1.0
    except ConfigurationError:
        given = -1.0
    if not 0 <= given <= LONGEST_SECONDS:
        msg = f'{what} must be a duration, as in "30s", "1h30m", "2d"'
        raise ConfigurationError(msg)
    return given


def _repeat(what: str, value: object) -> float | None:
    given = None if value == "never" else _duration(what, value)
    if given is not None and given < 60:  # noqa: PLR2004 - a minute
        msg = f'{what} must be "never" or at least "1m"'
        raise ConfigurationError(msg)
    return given


def _truth(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"{what} must be true or false"
        raise ConfigurationError(msg)
    return value


def _address(what: str, value: object) -> str:
    check_reference(what, value)
    return str(value)


def _targets(what: str, value: object) -> dict[str, str]:
    made = {}
    for name, target in _table(what, value).items():
        if not NAME.fullmatch(name):
            msg = f"{what}: the name of a target has letters, digits, '_', '-' and '.' only"
            raise ConfigurationError(msg)
        keys = _table(f"{what}.{name}", target)
        refuse_others(f"{what}.{name}", keys, ["url"])
        if not keys:
            msg = f"{what}.{name} must have the key url"
            raise ConfigurationError(msg)
        made[name] = _address(f"{what}.{name}.url", keys["url"])
    return made


def _routes(what: str, value: object) -> tuple[AlertRoute, ...]:
    if not isinstance(value, list):
        msg = f"{what} must be tables: [[{what}]]"
        raise ConfigurationError(msg)
    return tuple(_route(what, _table(what, each)) for each in value)


def _route(what: str, table: Mapping[str, Any]) -> AlertRoute:
    refuse_others(what, table, ["jobs", "handlers", "to"])
    patterns = [table[key] for key in ("jobs", "handlers") if key in table]
    if not patterns or not all(isinstance(each, str) for each in patterns):
        msg = f'{what} must have jobs = "…" or handlers = "…", and to'
        raise ConfigurationError(msg)
    return AlertRoute(table.get("jobs"), table.get("handlers"), _names(f"{what}.to", table.get("to", ())))


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "to": _names,
    "after": _count,
    "repeat": _repeat,
    "recovery": _truth,
    "group": _duration,
    "heartbeat": _address,
    "output": _truth,
    "targets": _targets,
    "routes": _routes,
}
