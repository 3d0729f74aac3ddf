"""The options of `poller run`, checked; the command line parses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.targets.settings import AlertSettings


LONGEST_SECONDS = 7 * 86400.0  # poll(2) waits for 24 days at the most
_MOST: dict[str, int | float] = {
    "workers": 1000,  # processes of one host, each with its sessions of Postgres
    "concurrency": 10_000,  # threads of one process
    "lease": LONGEST_SECONDS,
    "poll": LONGEST_SECONDS,
    "grace": LONGEST_SECONDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """How the workers of this host run. Durations are seconds."""

    workers: int = 1
    concurrency: int = 8
    handlers: str = "handlers"
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    lease: float = 30.0
    poll: float = 1.0
    grace: float = 30.0
    drain: bool = False
    migrate: bool = True
    log_format: Literal["text", "json"] = "text"
    log_level: str = "INFO"
    alerts: AlertSettings | None = None
    listen: str | None = None
    heartbeat_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigurationError: an option's value cannot work; the text names the option.
        """
        for name, least in (("workers", 1), ("concurrency", 1), ("lease", 1.0), ("poll", 0.01)):
            if getattr(self, name) < least:
                msg = f"--{name} must be at least {least:g}"
                raise ConfigurationError(msg)
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                words = f"{most:,}" if isinstance(most, int) else f"{most / 86400:.0f}d"
                msg = f"--{name} must be at most {words}"
                raise ConfigurationError(msg)
