"""A job: a function with a schedule, and the options it was given.

`cron(…)`, `fixed_delay(…)` and `fixed_rate(…)` make a `When`: a schedule with options. A `When` decorates a function,
which makes a `Job`, and is what the ready-made jobs take as `schedule=`. Nothing is registered anywhere:
`registry` collects the `Job` objects it finds in a package.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic

from poller.duration import Duration, seconds
from poller.errors import ConfigurationError
from poller.jobs.options import CheckedOptions, JobOptions, NamedJob, options
from poller.model import signature
from poller.model.code_place import calling_place, place_of
from poller.model.handler import Handler
from poller.model.option_checks import check_executor
from poller.model.retry_policy import Policy, policy
from poller.model.typevars import P, R
from poller.schedules import slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Unpack

    from poller.jobs.options import CommonOptions
    from poller.schedules.slots import Schedule


@dataclass(frozen=True)
class When:
    """A schedule with options: a decorator, and what the ready-made jobs take as `schedule=`.

    >>> nightly = cron("0 3 * * *", tz="Europe/Berlin")
    >>> purge("audit", column="created_at", older_than="180d", schedule=nightly).tz
    'Europe/Berlin'
    """

    schedule: Schedule | None
    tz: str
    options: CheckedOptions

    def __call__(self, function: Callable[P, R]) -> Job[P, R]:
        """Make a job of a function."""
        return make_job(function, self)

    def but(self, name: str | None, given: CommonOptions) -> When:
        """Return a copy with a job's own name and options in place of these."""
        changed = options(**given)
        mine = {key: getattr(changed, key) for key in given}
        if mine.keys() & {"attempts", "stop"}:  # one is short for the other
            mine = {"attempts": None, "stop": None} | mine
        return replace(self, options=replace(self.options, name=name or self.options.name, **mine))


@dataclass(kw_only=True, eq=False)
class Job(NamedJob, Generic[P, R]):
    """A function with a schedule. It is still callable as the plain function, so that a test calls it.

    `P` is what that function takes, and `R` what it returns.
    `patience` is how many seconds its function may take to end after its timeout: for functions that end what they
    have started, and report the timeout themselves.

    >>> @cron("0 3 * * *")
    ... def clean(size=1):
    ...     return size
    >>> clean(7), clean.name
    (7, 'clean')
    """

    name: str
    function: Callable[P, R]
    schedule: Schedule | None
    tz: str
    options: CheckedOptions
    policy: Policy
    place: str
    patience: float = 0.0

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
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
        """Check a run's arguments against the function's signature.

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
    function: Callable[P, R], when: When, place: str | None = None, *, default_attempts: int = 1
) -> Job[P, R]:
    """Make a job of a function and a schedule.

    Args:
        function: what a run calls.
        when: the schedule, and the options.
        place: where it stands, if not where the function does.
        default_attempts: how many attempts a run has if the options do not say.

    Raises:
        ConfigurationError: the name is not valid, the job runs after itself, or the schedule contradicts the options.
    """
    function = signature.beneath(function)
    where = place or place_of(function)
    if isinstance(function, Job | Handler):
        msg = f"{where}: it is {'a job' if isinstance(function, Job) else 'a handler'} already; write a second function"
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
    if name in when.options.after:
        msg = f"{where}: job {name!r} runs after itself, for ever; leave it out of after="
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
    if when.schedule is not None or when.options.after:  # else each run brings its own arguments
        signature.refuse_needs(function, run)


def refuse_namesakes(jobs: Iterable[Job]) -> None:
    """Refuse two jobs with the same name.

    Raises:
        ConfigurationError: naming both places.
    """
    taken: dict[str, Job] = {}
    for each in jobs:
        other = taken.setdefault(each.name, each)
        if other is not each:
            msg = f"two jobs named {each.name!r}: {other.place} and {each.place}; give one another name="
            raise ConfigurationError(msg)


def cron(expression: str, *, tz: str = "UTC", **given: Unpack[JobOptions]) -> When:
    """A schedule of times of day, as crontab writes them; six fields begin with seconds.

    Args:
        expression: as `man 5 crontab` has it, and more: see docs/jobs.md.
        tz: an IANA zone, such as `"Europe/Berlin"`.
        **given: see `JobOptions`.

    Raises:
        ConfigurationError: it never fires, is misleading, or is not an expression; names the place of the call.

    >>> @cron("0 0 10 * * *", tz="Asia/Shanghai")
    ... def clean(): ...
    >>> str(clean.schedule)
    'CRON_TZ=Asia/Shanghai 0 0 10 * * *'
    """
    with _placed():
        made = slots.parse(expression, tz)  # a zone in the text goes before tz=
        return When(made, made.tz if isinstance(made, slots.Cron) else "UTC", options(**given))


def fixed_delay(delay: Duration, **given: Unpack[JobOptions]) -> When:
    """A schedule that counts from the finish of the last run, however that ended.

    Args:
        delay: from the finish of one run to the start of the next.
        **given: see `JobOptions`.

    Raises:
        ConfigurationError: the delay is not valid; names the place of the call.

    >>> @fixed_delay("5m")
    ... def sync(): ...
    >>> str(sync.schedule)
    '@after 5m'
    """
    with _placed():
        return When(slots.FixedDelay(seconds(delay)), "UTC", options(**given))


def fixed_rate(period: Duration, **given: Unpack[JobOptions]) -> When:
    """A schedule that counts from the start of the last run, finished or not.

    Args:
        period: from one slot to the next; the first slot is when the job is registered first.
        **given: see `JobOptions`.

    Raises:
        ConfigurationError: the period is not valid; names the place of the call.

    >>> @fixed_rate("5m", overlap="skip")
    ... def sample(): ...
    >>> str(sample.schedule)
    '@every 5m'
    """
    with _placed():
        return When(slots.Every(seconds(period)), "UTC", options(**given))


def job(**given: Unpack[JobOptions]) -> When:
    """A job without a schedule: started by hand, by `schedule(…)`, or `after=` others.

    Args:
        **given: see `JobOptions`.

    Raises:
        ConfigurationError: an option that cannot work; names the place of the call.

    >>> @job(after="backup")
    ... def verify(): ...
    >>> verify.options.after
    ('backup',)
    """
    with _placed():
        return When(None, "UTC", options(**given))


@contextlib.contextmanager
def _placed() -> Iterator[None]:
    """Add the place of the faulty call to an error."""
    try:
        yield
    except (ConfigurationError, TypeError) as error:
        msg = f"{calling_place()}: {error}"
        raise ConfigurationError(msg) from None


def ready_made(
    function: Callable[P, R],
    name: str,
    when: When | None,
    given: CommonOptions,
    *,
    default_attempts: int = 1,
) -> Job[P, R]:
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
