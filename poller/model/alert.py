"""The option `alerts` of handlers: which trouble is reported, and to which targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.duration import Duration, seconds
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCES = ("env:", "file:")
MOST_PARKED = 10_000  # survey_handlers.sql counts one more


@dataclass(frozen=True)
class Alert:
    """Which trouble of a handler is reported, and to which targets. Rows that go to its `on_failure` always are.

    Attributes:
        to: a target of the settings, or several; without one, those that the settings name.
        parked: reported once so many rows are parked, 10,000 at the most; None for never.
        oldest: reported once the first row has been due for so long.
        failing: reported once this share of the attempts of ten minutes has failed, if there were ten or more.

    >>> @handler("orders", status="paid", to="shipped", alerts=Alert("oncall", oldest="15m", failing=0.2))
    ... def ship(order): ...
    >>> ship.alerts.targets
    ('oncall',)
    """

    to: str | Iterable[str] | None = None
    parked: int | None = 1
    oldest: Duration | None = None
    failing: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigurationError: with the option.
        """
        object.__setattr__(self, "to", targets(self.to))
        if self.parked is not None and (type(self.parked) is not int or not 1 <= self.parked <= MOST_PARKED):
            msg = f"parked must be a whole number from 1 to {MOST_PARKED:,}, got {self.parked!r}"
            raise ConfigurationError(msg)
        if self.oldest is not None and seconds(self.oldest) <= 0:
            msg = f"oldest must be more than 0s, got {self.oldest!r}"
            raise ConfigurationError(msg)
        share = self.failing
        if share is not None and (
            isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1
        ):
            msg = f"failing must be a share above 0 and up to 1, such as 0.2, got {share!r}"
            raise ConfigurationError(msg)

    @property
    def targets(self) -> tuple[str, ...] | None:
        """The targets that it names, or None if the settings name them."""
        return targets(self.to)

    @property
    def oldest_seconds(self) -> float | None:
        """How long the first row may be due."""
        return None if self.oldest is None else seconds(self.oldest)


def targets(given: Any) -> tuple[str, ...] | None:
    """Return the names of targets that an option gives: one or several; None for None.

    Raises:
        ConfigurationError: it is something else.
    """
    names = (given,) if isinstance(given, str) else given
    if names is None:
        return None
    if not isinstance(names, list | tuple | set | frozenset) or not all(
        isinstance(each, str) and each for each in names
    ):
        msg = f"alerts must be the name of a target of the settings, or several, got {given!r}"
        raise ConfigurationError(msg)
    return tuple(names)


def alert_of(given: Any) -> Alert | None:
    """Return a handler's option `alerts`: an `Alert`, or targets by name.

    Raises:
        ConfigurationError: it is neither.
    """
    return given if given is None or isinstance(given, Alert) else Alert(targets(given))


def check_reference(what: str, given: object) -> None:
    """Refuse an address that stands in code or settings itself: it may hold a password, and is not repeated.

    Raises:
        ConfigurationError: it is not `env:NAME` or `file:PATH`.
    """
    if not isinstance(given, str) or not given.startswith(REFERENCES) or not given.partition(":")[2].strip():
        how = '"env:NAME" or "file:/path"'
        msg = f"{what} must say where the address is, as in {how}; an address itself may hold a password"
        raise ConfigurationError(msg)
