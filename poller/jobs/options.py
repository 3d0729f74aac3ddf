"""The options of a job, as users give them, and as they are kept once they have been checked.

Each is written here twice: in `RunOptions` with its type and its meaning, which type checkers and editors know, and
in `CheckedOptions` as it is kept, with its default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from poller.duration import Duration, seconds
from poller.errors import ConfigurationError
from poller.model.alert import check_reference, targets
from poller.model.option_checks import LONGEST_TIMEOUT_SECONDS
from poller.model.options import AttemptOptions, refuse_unknown
from poller.model.retry_policy import POLICY, policy
from poller.schedules.slots import refuse_beyond_calendar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT

LONGEST_SECONDS = (
    36_525 * 86400.0
)  # seconds of grace, jitter and keep; as for schedules, more would leave the calendar
LEAST_GRACE_SECONDS = 1.0  # a planner may be this late without any fault

Overlap = Literal["allow", "skip", "queue", "replace"]
Misfire = Literal["latest", "all", "skip"]


class NamedJob:
    """An object that other jobs may run after: a `Job`, by its name."""

    name: str


class CommonOptions(AttemptOptions, total=False):
    """The options of every job, ready-made ones included.

    Attributes:
        overlap: what happens when a run is due while one is in progress: `"allow"`, `"skip"`, `"queue"` (one waits at
            the most) or `"replace"`.
        misfire: which of the slots run that were missed while nothing ran: the `"latest"`, `"all"`, or none (`"skip"`).
        grace: how late a slot may be and not count as missed; by default `"1m"`.
        jitter: each run starts up to so much later, by chance.
        starts_at: no slot before it; with its time zone.
        ends_at: no slot after it; with its time zone.
        after: the job, or jobs, whose success starts this one, in place of a schedule.
        on: labels of the workers that may run it (all of them must be the worker's).
        keep: how long its runs are kept; by default `"30d"`.
        alerts: the target of the settings that is told of its trouble, or several; by default those that they name.
        ping: where it tells that it starts, succeeds or fails, for a service that watches for silence: `"env:NAME"` or
            `"file:/path"` says where the address is.
    """

    overlap: Overlap
    misfire: Misfire
    grace: Duration
    jitter: Duration
    starts_at: datetime | None
    ends_at: datetime | None
    after: NamedJob | str | Iterable[NamedJob | str]
    on: str | Iterable[str]
    keep: Duration
    alerts: str | Iterable[str] | None
    ping: str | None


class RunOptions(CommonOptions, total=False):
    """Those, and one that means something else to `http`, whose `schedule=` takes it.

    Attributes:
        expect: how long after its last success the job is told of, if there was no other.
    """

    expect: Duration | None


class JobOptions(RunOptions, total=False):
    """The options of a job made of a function.

    Attributes:
        name: the job's name; by default the function's.

    >>> gentle: JobOptions = {"overlap": "skip", "on": ["gpu"]}
    >>> @fixed_rate("5m", **gentle)
    ... def sample(): ...
    >>> sample.options.overlap
    'skip'
    """

    name: str | None


@dataclass(frozen=True, kw_only=True)
class CheckedOptions:
    """How a job's slots are planned and its runs are run. Durations are seconds."""

    name: str | None = None
    overlap: Overlap = "allow"
    misfire: Misfire = "latest"
    grace: float = 60.0
    jitter: float = 0.0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    after: tuple[str, ...] = ()
    timeout: float = 300.0
    attempts: int | None = None
    wait: WaitBaseT | None = None
    stop: StopBaseT | None = None
    retry: RetryBaseT | None = None
    executor: str = "thread"
    on: frozenset[str] = frozenset()
    keep: float = 30 * 86400.0
    alerts: tuple[str, ...] | None = None
    expect: float | None = None
    ping: str | None = None


def _labels(on: Any) -> frozenset[str]:
    return frozenset(str(each) for each in _many(on))


def _names(after: Any) -> tuple[str, ...]:
    return tuple(each if isinstance(each, str) else each.name for each in _many(after))


# Conversions of the options that are not stored as given.
_KEPT: dict[str, Callable[[Any], Any]] = {
    "grace": seconds,
    "jitter": seconds,
    "timeout": seconds,
    "keep": seconds,
    "after": _names,
    "on": _labels,
    "alerts": targets,
    "expect": lambda value: None if value is None else seconds(value),
}


def options(**given: Unpack[JobOptions]) -> CheckedOptions:
    """Return the options of a job, checked.

    Raises:
        ConfigurationError: an option that cannot work.
    """
    refuse_unknown(given, JobOptions)
    plain: dict[str, Any] = {**given}
    _check_kinds(plain.get("name"), plain.get("on", ()), plain.get("after", ()))
    made = CheckedOptions(
        **{name: _KEPT[name](value) if name in _KEPT else value for name, value in plain.items()}
    )
    _check(made)
    return made


def _check(made: CheckedOptions) -> None:
    for option, value, known in (("overlap", made.overlap, Overlap), ("misfire", made.misfire, Misfire)):
        if value not in get_args(known):
            msg = f"{option} must be one of {', '.join(get_args(known))}, got {value!r}"
            raise ConfigurationError(msg)
    _check_window(made.starts_at, made.ends_at)
    for option, duration in (("grace", made.grace), ("jitter", made.jitter), ("keep", made.keep)):
        if duration > LONGEST_SECONDS:
            msg = f"{option} must be at most {LONGEST_SECONDS / 86400:.0f}d"
            raise ConfigurationError(msg)
    if made.grace < LEAST_GRACE_SECONDS:
        msg = f"grace must be at least {LEAST_GRACE_SECONDS:.0f}s: a planner may be that late although nothing is wrong"
        raise ConfigurationError(msg)
    if not 0 < made.timeout <= LONGEST_TIMEOUT_SECONDS:
        msg = f"timeout must be more than 0 and at most {LONGEST_TIMEOUT_SECONDS / 86400:.0f}d"
        raise ConfigurationError(msg)
    if made.expect is not None and not 0 < made.expect < made.keep:
        msg = "expect must be more than 0s and less than keep: the last success must be known"
        raise ConfigurationError(msg)
    if made.ping is not None:
        check_reference("ping", made.ping)
    policy(**{name: getattr(made, name) for name in POLICY})  # refuses what cannot work


def _check_kinds(name: object, on: object, after: object) -> None:
    """Refuse values that are not a name, label or job.

    Raises:
        ConfigurationError: with the option.
    """
    for option, value, kinds, what in (
        ("name", () if name is None else name, str, "a string"),
        ("on", on, str, "a label or several"),
        ("after", after, str | NamedJob, "a job, its name, or several"),
    ):
        if unknown := [each for each in _many(value) if not isinstance(each, kinds)]:
            msg = f"{option} must be {what}, got {unknown[0]!r}"
            raise ConfigurationError(msg)


def _check_window(starts_at: datetime | None, ends_at: datetime | None) -> None:
    """Refuse times without a zone, and a window that ends before it starts.

    Raises:
        ConfigurationError: with the option.
    """
    for option, instant in (("starts_at", starts_at), ("ends_at", ends_at)):
        if instant is not None and (not isinstance(instant, datetime) or instant.tzinfo is None):
            msg = f"{option} must be a time with its zone, as in datetime(2030, 1, 1, tzinfo=UTC), got {instant!r}"
            raise ConfigurationError(msg)
        if instant is not None:
            refuse_beyond_calendar(option, instant)
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        msg = f"ends_at ({ends_at.isoformat()}) is before starts_at ({starts_at.isoformat()})"
        raise ConfigurationError(msg)


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
