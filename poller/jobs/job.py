"""A job: a function with a schedule, and the options it was given.

`cron(…)`, `fixed_delay(…)` and `fixed_rate(…)` make a `When`: a schedule with options. A `When` decorates a function,
which makes a `Job`, and is what the ready-made jobs take as `schedule=`. Nothing is registered anywhere:
`registry` collects the `Job` objects it finds in a package.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from poller.duration import Duration, seconds
from poller.errors import ConfigurationError
from poller.model import signature
from poller.model.handler import LONGEST_TIMEOUT, Handler, calling_place, check_executor, place_of
from poller.model.retry_policy import Policy, policy
from poller.schedules import slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT

    from poller.schedules.slots import Schedule

LONGEST = (
    36_525 * 86400.0
)  # seconds of grace, jitter and keep; as for schedules, more would leave the calendar
LEAST_GRACE = 1.0  # seconds: a planner may be so late where nothing is wrong

Overlap = Literal["allow", "skip", "queue", "replace"]
Misfire = Literal["latest", "all", "skip"]


@dataclass(frozen=True, kw_only=True)
class JobOptions:
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


def options(  # noqa: PLR0913 - the contract's options
    *,
    name: str | None = None,
    overlap: Overlap = "allow",
    misfire: Misfire = "latest",
    grace: Duration = "1m",
    jitter: Duration = timedelta(0),
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    after: Job | str | Iterable[Job | str] = (),
    timeout: Duration = "5m",
    attempts: int | None = None,
    wait: WaitBaseT | None = None,
    stop: StopBaseT | None = None,
    retry: RetryBaseT | None = None,
    executor: str = "thread",
    on: str | Iterable[str] = (),
    keep: Duration = "30d",
) -> JobOptions:
    """Return the options of a job, checked.

    Args:
        name: the job's name; by default the function's.
        overlap: what happens when a run is due while one is in progress.
        misfire: which of the slots run that were missed while nothing ran.
        grace: how late a slot may be and not count as missed.
        jitter: each run starts up to so much later, by chance.
        starts_at: no slot before it; with its time zone.
        ends_at: no slot after it; with its time zone.
        after: the job, or jobs, whose success starts this one, in place of a schedule.
        timeout: how long one run may take.
        attempts: how many attempts a run has; short for `stop=stop_after_attempt(…)`.
        wait: tenacity's wait policy between attempts.
        stop: tenacity's stop policy.
        retry: tenacity's predicate of the errors that are worth another attempt.
        executor: where it runs: on a `"thread"` of the worker, in a `"process"` of its own, or by the
            `concurrent.futures.Executor` that `"module:factory"` gives.
        on: labels of the workers that may run it (all of them must be the worker's).
        keep: how long its runs are kept.

    Raises:
        ConfigurationError: an option that cannot work.
    """
    _check_kinds(name, on, after)
    for option, value, known in (("overlap", overlap, Overlap), ("misfire", misfire, Misfire)):
        if value not in get_args(known):
            msg = f"{option} must be one of {', '.join(get_args(known))}, got {value!r}"
            raise ConfigurationError(msg)
    _check_window(starts_at, ends_at)
    for option, duration in (("grace", grace), ("jitter", jitter), ("keep", keep)):
        if seconds(duration) > LONGEST:
            msg = f"{option} must be at most {LONGEST / 86400:.0f}d"
            raise ConfigurationError(msg)
    if seconds(grace) < LEAST_GRACE:
        msg = f"grace must be at least {LEAST_GRACE:.0f}s: a planner may be so late where nothing is wrong"
        raise ConfigurationError(msg)
    if not 0 < seconds(timeout) <= LONGEST_TIMEOUT:
        msg = f"timeout must be more than 0 and at most {LONGEST_TIMEOUT / 86400:.0f}d"
        raise ConfigurationError(msg)
    policy(attempts=attempts, wait=wait, stop=stop, retry=retry)  # refuses what cannot work
    return JobOptions(
        name=name,
        overlap=overlap,
        misfire=misfire,
        grace=seconds(grace),
        jitter=seconds(jitter),
        starts_at=starts_at,
        ends_at=ends_at,
        after=tuple(each if isinstance(each, str) else each.name for each in _many(after)),
        timeout=seconds(timeout),
        attempts=attempts,
        wait=wait,
        stop=stop,
        retry=retry,
        executor=executor,
        on=frozenset(str(each) for each in _many(on)),
        keep=seconds(keep),
    )


def _check_kinds(name: object, on: object, after: object) -> None:
    """Refuse what is no name, label or job.

    Raises:
        ConfigurationError: with the option.
    """
    for option, value, kinds, what in (
        ("name", () if name is None else name, str, "a text"),
        ("on", on, str, "a label or several"),
        ("after", after, str | Job, "a job, its name, or several"),
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
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        msg = f"ends_at ({ends_at.isoformat()}) is before starts_at ({starts_at.isoformat()})"
        raise ConfigurationError(msg)


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


@dataclass(frozen=True)
class When:
    """A schedule with options: a decorator, and what the ready-made jobs take as `schedule=`."""

    schedule: Schedule | None
    tz: str
    options: JobOptions

    def __call__(self, function: Callable[..., Any]) -> Job:
        """Make a job of a function."""
        return make_job(function, self)

    def but(self, name: str | None, given: Mapping[str, Any]) -> When:
        """Return this with a job's own name and options in the place of these."""
        changed = options(**given)
        mine = {key: getattr(changed, key) for key in given}
        if mine.keys() & {"attempts", "stop"}:  # one is short for the other
            mine = {"attempts": None, "stop": None} | mine
        return replace(self, options=replace(self.options, name=name or self.options.name, **mine))


@dataclass(kw_only=True, eq=False)
class Job:
    """A function with a schedule. It is still callable as the plain function, so that a test calls it.

    `patience` is how many seconds its function may take to end once its timeout has passed: one that ends what it has
    started then, and reports it itself.
    """

    name: str
    function: Callable[..., Any]
    schedule: Schedule | None
    tz: str
    options: JobOptions
    policy: Policy
    place: str
    patience: float = 0.0

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __str__(self) -> str:
        return self.name

    @property
    def is_coroutine(self) -> bool:
        """Whether it is run on the worker's event loop."""
        return signature.is_coroutine(self.function)

    @functools.cached_property
    def run_parameter(self) -> str | None:
        """The name of the parameter that takes the `Run`, if there is one: `run`, or one annotated so."""
        return signature.run_parameter(self.function)

    def may_run_on(self, labels: Iterable[str]) -> bool:
        """Tell whether a worker with these labels may run it."""
        return self.options.on.issubset(labels)

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Hold a run's arguments against the function's signature.

        Raises:
            ConfigurationError: it does not take them, or needs others.
        """
        given = dict(arguments)
        if self.run_parameter in given:
            msg = f"job {self.name!r} does not take these arguments: {self.run_parameter!r} is the run itself"
            raise ConfigurationError(msg)
        if self.run_parameter is not None:
            given[self.run_parameter] = None
        try:
            signature.bind(self.function, given)
        except TypeError as error:
            msg = f"job {self.name!r} does not take these arguments: {error}"
            raise ConfigurationError(msg) from None


def make_job(
    function: Callable[..., Any], when: When, place: str | None = None, *, default_attempts: int = 1
) -> Job:
    """Make a job of a function and a schedule.

    Args:
        function: what a run calls.
        when: the schedule, and the options.
        place: where it stands, if not where the function does.
        default_attempts: how many attempts a run has if the options do not say.

    Raises:
        ConfigurationError: the name is none, or the schedule contradicts the options.
    """
    where = place or place_of(function)
    if isinstance(function, Job | Handler):
        msg = f"{where}: it is {'a job' if isinstance(function, Job) else 'a handler'} already; make a second function"
        raise ConfigurationError(msg)
    if not callable(function):
        msg = f"{where}: a job is made of a function, got {function!r}"
        raise ConfigurationError(msg)
    name = getattr(function, "__name__", "") if when.options.name is None else when.options.name
    if not name or not name.isprintable() or len(name) > 200:  # noqa: PLR2004 - a line of a listing
        msg = f"{where}: a job needs a printable name of up to 200 characters; give name="
        raise ConfigurationError(msg)
    if when.schedule is not None and when.options.after:
        msg = f"{where}: job {name!r} has a schedule and after=; keep one"
        raise ConfigurationError(msg)
    made = when.options
    try:
        _check_function(function, when)
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from None
    if isinstance(when.schedule, slots.FixedDelay):
        if made.overlap not in ("allow", "skip"):
            msg = f"{where}: a fixed delay counts from the finish, so it cannot overlap; leave overlap= out"
            raise ConfigurationError(msg)
        made = replace(made, overlap="skip")
    return Job(
        name=name,
        function=function,
        schedule=when.schedule,
        tz=when.tz,
        options=made,
        policy=policy(
            attempts=made.attempts,
            wait=made.wait,
            stop=made.stop,
            retry=made.retry,
            default_attempts=default_attempts,
        ),
        place=where,
    )


def _check_function(function: Callable[..., Any], when: When) -> None:
    """Refuse a function that no run could call, or whose call would do nothing.

    Raises:
        ConfigurationError: with the reason.
    """
    check_executor(when.options.executor, function)
    signature.refuse_generator(function, "a job")
    run = signature.run_parameter(function)
    if when.schedule is not None or when.options.after:  # else its arguments come with each run
        signature.refuse_needs(function, run)


def refuse_namesakes(jobs: Iterable[Job]) -> None:
    """Refuse two jobs of one name.

    Raises:
        ConfigurationError: naming both places.
    """
    taken: dict[str, Job] = {}
    for each in jobs:
        other = taken.setdefault(each.name, each)
        if other is not each:
            msg = f"two jobs named {each.name!r}: {other.place} and {each.place}; give one another name="
            raise ConfigurationError(msg)


def cron(expression: str, *, tz: str = "UTC", **given: Any) -> When:
    """A schedule of times of day, as crontab writes them; six fields begin with seconds.

    Args:
        expression: as `man 5 crontab` has it, and more: see docs/jobs.md.
        tz: an IANA zone, such as `"Europe/Berlin"`.
        **given: see `options`.

    Raises:
        ConfigurationError: it never fires, or is misleading, or is no expression; names the place of the call.
    """
    with _placed():
        made = slots.parse(expression, tz)  # a zone in the text goes before tz=
        return When(made, made.tz if isinstance(made, slots.Cron) else "UTC", options(**given))


def fixed_delay(delay: Duration, **given: Any) -> When:
    """A schedule that counts from the finish of the last run, however that ended.

    Args:
        delay: from the finish of one run to the start of the next.
        **given: see `options`.

    Raises:
        ConfigurationError: the delay is none; names the place of the call.
    """
    with _placed():
        return When(slots.FixedDelay(seconds(delay)), "UTC", options(**given))


def fixed_rate(period: Duration, **given: Any) -> When:
    """A schedule that counts from the start of the last run, finished or not.

    Args:
        period: from one slot to the next; the first slot is when the job is registered first.
        **given: see `options`.

    Raises:
        ConfigurationError: the period is none; names the place of the call.
    """
    with _placed():
        return When(slots.Every(seconds(period)), "UTC", options(**given))


def job(**given: Any) -> When:
    """A job without a schedule: started by hand, by `schedule(…)`, or `after=` others.

    Args:
        **given: see `options`.

    Raises:
        ConfigurationError: an option that cannot work; names the place of the call.
    """
    with _placed():
        return When(None, "UTC", options(**given))


@contextlib.contextmanager
def _placed() -> Iterator[None]:
    """Have an error name the place of the call that it is about."""
    try:
        yield
    except (ConfigurationError, TypeError) as error:
        msg = f"{calling_place()}: {str(error).removeprefix('options() ')}"
        raise ConfigurationError(msg) from None


def ready_made(
    function: Callable[..., Any],
    name: str,
    when: When | None,
    given: Mapping[str, Any],
    *,
    default_attempts: int = 1,
) -> Job:
    """Make a ready-made job (a purge, say): its place is where the user's module called for it.

    Args:
        function: what a run does; it may take `run`.
        name: the job's name.
        when: the schedule given, or None for one that is started otherwise.
        given: the options given beside it.
        default_attempts: how many attempts a run has if the options do not say.

    Raises:
        ConfigurationError: an option that cannot work; names the place of the call.
    """
    with _placed():
        if when is not None and not isinstance(when, When):
            msg = f"schedule must be cron(…), fixed_rate(…) or fixed_delay(…), got {when!r}"
            raise ConfigurationError(msg)
        made = (when or When(None, "UTC", options())).but(name, given)
    place = f"{calling_place()} ({name})"
    return make_job(function, made, place, default_attempts=default_attempts)
