"""Jobs as they are declared: decorators and schedules, what they make, and what is refused with its place."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import retry_if_exception_type, stop_after_delay, wait_fixed

from poller import Job, PollerError, Run, age_out, cron, fixed_delay, fixed_rate, http, job, purge, shell
from poller.jobs.job import make_job, refuse_namesakes
from poller.jobs.options import options
from poller.schedules.slots import Cron, Every, FixedDelay, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.jobs.job import When

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KINDS: list[Callable[..., When]] = [
    lambda **given: cron("0 3 * * *", **given),
    lambda **given: fixed_rate("5m", **given),
    lambda **given: fixed_delay("5m", **given),
    job,
]
NAMES = ["cron", "fixed_rate", "fixed_delay", "job"]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=NAMES)


def work() -> str:
    """Say that it ran."""
    return "ran"


# --- what is made ------------------------------------------------------------------------------------------


def test_g10_a_zone_in_the_line_goes_before_tz_wherever_it_is_read() -> None:
    """What is kept of a job is its line and its zone apart: both must say the same as the schedule."""
    made = cron("CRON_TZ=UTC 0 3 * * *", tz="America/New_York")(work)
    assert made.schedule == Cron("0 3 * * *", "UTC")
    assert parse(str(made.schedule), made.tz) == made.schedule
    elsewhere = cron("CRON_TZ=Asia/Tokyo 0 3 * * *", tz="America/New_York")(work)
    assert (
        parse(str(elsewhere.schedule), elsewhere.tz) == elsewhere.schedule == Cron("0 3 * * *", "Asia/Tokyo")
    )


@every_kind
def test_a_decorated_function_is_still_called_as_itself(kind: Callable[..., When]) -> None:
    """A unit test needs no engine; what it was named, says and takes stays in sight."""

    @kind()
    def add(one: int = 0, *, other: int = 2) -> int:
        """Add."""
        return one + other

    assert isinstance(add, Job)
    assert add(1) == 3
    assert add(1, other=5) == 6
    assert add.__doc__ == "Add."
    assert add.__name__ == add.name == str(add) == "add"
    assert list(inspect.signature(add).parameters) == ["one", "other"]
    assert re.search(r"test_job_options\.py:\d+ \(.*add\)$", add.place)


def test_a_coroutine_function_is_still_awaited() -> None:
    """And runs on the worker's event loop."""

    @fixed_rate("1s")
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(work()) == 7
    assert work.is_coroutine
    assert not fixed_rate("1s")(lambda: None).is_coroutine


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        (cron("0 0 10 * * *", tz="Asia/Shanghai"), Cron("0 0 10 * * *", "Asia/Shanghai")),
        (cron("CRON_TZ=Asia/Shanghai @daily"), Cron("0 0 * * *", "Asia/Shanghai")),
        (cron("@every 5m"), Every(300)),
        (fixed_rate("5m"), Every(300)),
        (fixed_rate(timedelta(minutes=5)), Every(300)),
        (fixed_delay("1h30m"), FixedDelay(5400)),
        (job(), None),
    ],
)
def test_the_kinds_of_schedule(when: When, schedule: object) -> None:
    """As decorators and as what ready-made jobs take."""
    assert when(work).schedule == schedule
    assert shell("list", "ls", schedule=when).schedule == schedule


@every_kind
def test_what_holds_unless_it_is_said_otherwise(kind: Callable[..., When]) -> None:
    """The defaults of the contract."""
    job = kind()(work)
    made = job.options
    assert made.overlap == ("skip" if kind is KINDS[2] else "allow")
    assert (made.misfire, made.grace, made.jitter) == ("latest", 60, 0)
    assert (made.starts_at, made.ends_at, made.after) == (None, None, ())
    assert (made.timeout, made.keep) == (300, 30 * 86_400)
    assert job.policy.is_last(1)
    assert made.on == frozenset()


def test_every_option_arrives() -> None:
    """Durations in seconds, whichever way they are written; one or several, where several may be."""
    when = cron(
        "@daily",
        name="nightly",
        overlap="queue",
        misfire="all",
        grace=timedelta(hours=1),
        jitter="30s",
        starts_at=NOON,
        ends_at=NOON + timedelta(days=1),
        timeout="1h",
        attempts=3,
        wait=wait_fixed(9),
        retry=retry_if_exception_type(OSError),
        on="gpu",
        keep="7d",
    )
    made = when(work)
    assert made.name == "nightly"
    given = made.options
    assert (given.overlap, given.misfire, given.grace, given.jitter) == ("queue", "all", 3600, 30)
    assert (given.starts_at, given.ends_at) == (NOON, NOON + timedelta(days=1))
    assert (given.timeout, given.keep, given.on) == (3600, 604_800, {"gpu"})
    assert made.policy.delay(OSError(), 2) == 9
    assert made.policy.delay(ValueError(), 2) is None
    assert made.policy.delay(OSError(), 3) is None
    assert job(on=["gpu", "big"])(work).options.on == {"gpu", "big"}
    assert job(stop=stop_after_delay(60))(work).policy.delay(OSError(), 50, 59) is not None


def test_a_job_comes_after_others_by_name_or_by_themselves() -> None:
    """One or several."""
    first = cron("@daily", name="the first")(work)
    assert job(after=first)(work).options.after == ("the first",)
    assert job(after="x")(work).options.after == ("x",)
    assert job(after=[first, "x"])(work).options.after == ("the first", "x")


def test_labels_must_all_be_the_workers() -> None:
    """A job without any runs anywhere."""
    picky = job(on=["gpu", "big"])(work)
    assert picky.may_run_on(["big", "gpu", "cold"])
    assert not picky.may_run_on(["gpu"])
    assert not picky.may_run_on([])
    assert job()(work).may_run_on([])


# --- guarantee 10: what is refused ---------------------------------------------------------------------------

OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"overlap": "forbid"}, "overlap must be one of allow, skip, queue, replace, got 'forbid'"),
    ({"overlap": None}, "overlap must be one of allow, skip, queue, replace, got None"),
    ({"misfire": "last"}, "misfire must be one of latest, all, skip, got 'last'"),
    ({"grace": "soon"}, "'soon' is not a duration"),
    ({"grace": -timedelta(1)}, "a duration cannot be negative"),
    ({"grace": "500ms"}, "grace must be at least 1s"),
    ({"jitter": 5}, "5 is not a duration"),
    ({"starts_at": datetime(2030, 1, 1)}, "starts_at must be a time with its zone"),  # noqa: DTZ001 - the point
    ({"ends_at": datetime(2030, 1, 1)}, "ends_at must be a time with its zone"),  # noqa: DTZ001 - the point
    ({"timeout": "1x"}, "'1x' is not a duration"),
    ({"keep": ""}, "'' is not a duration"),
    ({"attempts": 0}, "attempts must be a whole number from 1, got 0"),
    ({"attempts": "3"}, "attempts must be a whole number from 1, got '3'"),
    ({"attempts": 3, "stop": stop_after_delay(9)}, "give attempts= or stop=, not both"),
    ({"wait": 5}, "wait must be one of tenacity's objects"),
    ({"stop": "never"}, "stop must be one of tenacity's objects"),
    ({"retry": OSError}, "retry must be one of tenacity's objects"),
    ({"on": 5}, "on must be a label or several, got 5"),
    ({"on": ["gpu", 5]}, "on must be a label or several, got 5"),
    ({"after": 5}, "after must be a job, its name, or several, got 5"),
    ({"after": [5]}, "after must be a job, its name, or several, got 5"),
    ({"after": None}, "after must be a job, its name, or several, got None"),
    ({"overlaps": "skip"}, "unexpected keyword argument 'overlaps'"),
    (
        {"starts_at": datetime.min.replace(tzinfo=UTC)},
        "starts_at 0001-01-01T00:00:00+00:00 is beyond the calendar",
    ),
    ({"ends_at": datetime.max.replace(tzinfo=UTC)}, "is beyond the calendar"),
    ({"starts_at": "2030-01-01"}, "starts_at must be a time with its zone"),
    ({"starts_at": NOON, "ends_at": NOON - timedelta(1)}, "is before starts_at"),
    ({"grace": "5219w"}, "grace must be at most 36525d"),
    ({"jitter": "1000000000000d"}, "jitter must be at most 36525d"),
    ({"keep": "9" * 400 + "w"}, "keep must be at most 36525d"),
    ({"timeout": "0s"}, "timeout must be more than 0"),
    ({"timeout": timedelta(days=400)}, "timeout must be more than 0 and at most 366d"),
    ({"name": 5}, "name must be a string, got 5"),
    ({"name": ""}, "a job needs a printable name"),
]


@every_kind
@pytest.mark.parametrize(("given", "reason"), OPTIONS, ids=lambda each: str(each)[:40])
def test_g10_an_option_that_cannot_work_is_refused_at_the_place_of_the_call(
    kind: Callable[..., When], given: dict[str, Any], reason: str
) -> None:
    """One line, which begins with the file and the line."""
    with pytest.raises(PollerError) as refused:
        kind(**given)(work)
    assert re.match(r"\S*test_job_options\.py:\d+", str(refused.value))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_g10_the_place_is_the_line_of_the_call() -> None:
    """Not one within poller."""
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with pytest.raises(PollerError) as refused:
        cron("*/90 * * * *")
    assert str(refused.value).startswith(f"{__file__}:{line}: cron expression '*/90 * * * *': ")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: cron("0 0 31 2 *"), "it never fires"),
        (lambda: cron("@reboot"), "not to one host's start"),
        (lambda: cron("0 0 * * *", tz="Mars/Base"), "unknown time zone 'Mars/Base'"),
        (lambda: cron(None), "a schedule is written like"),  # type: ignore[arg-type]
        (lambda: cron("0 0 * * *", tz=None), "unknown time zone None"),  # type: ignore[arg-type]
        (lambda: fixed_rate("0s"), "the period of a fixed rate must be more than 0s"),
        (lambda: fixed_rate(5), "5 is not a duration"),  # type: ignore[arg-type]
        (lambda: fixed_delay("-5m"), "'-5m' is not a duration"),
        (lambda: fixed_delay("40000d"), "at most 36525d"),
    ],
)
def test_g10_a_schedule_that_cannot_be_is_refused_at_the_place_of_the_call(
    make: Callable[[], When], reason: str
) -> None:
    """With what the expression means, or may have meant."""
    with pytest.raises(PollerError) as refused:
        make()
    assert re.match(r"\S*test_job_options\.py:\d+: ", str(refused.value))
    assert reason in str(refused.value)


@pytest.mark.parametrize("make", [KINDS[0], KINDS[1], KINDS[2]], ids=NAMES[:3])
def test_g10_a_schedule_and_after_contradict_each_other(make: Callable[..., When]) -> None:
    """One of the two starts it."""
    with pytest.raises(
        PollerError, match=r"test_job_options\.py:\d+ .*'work' has a schedule and after=; keep one"
    ):
        make(after="other")(work)


@pytest.mark.parametrize("after", ["work", ["other", "work"]])
def test_g10_a_job_after_itself_is_refused(after: Any) -> None:
    """One success would start it for ever; also a ready-made one."""
    reason = r"test_job_options\.py:\d+.*'work' runs after itself, for ever; leave it out of after="
    with pytest.raises(PollerError, match=reason):
        job(after=after)(work)
    with pytest.raises(PollerError, match=reason):
        purge("audit", name="work", column="at", older_than="1d", after=after)


@pytest.mark.parametrize("overlap", ["queue", "replace"])
def test_g10_a_fixed_delay_cannot_overlap(overlap: str) -> None:
    """It counts from the finish; so what overlaps is said to be skipped."""
    with pytest.raises(
        PollerError, match=r"test_job_options\.py:\d+ .*it cannot overlap; leave overlap= out"
    ):
        fixed_delay("5m", overlap=overlap)(work)
    assert fixed_delay("5m", overlap="skip")(work).options.overlap == "skip"


@pytest.mark.parametrize("name", ["\n", "a\tb", "x" * 201, "\0"])
def test_g10_a_name_must_fit_a_line(name: str) -> None:
    """Of a listing, at that."""
    with pytest.raises(PollerError, match=r"test_job_options\.py.*a job needs a printable name"):
        cron("@daily", name=name)(work)


def test_g10_two_jobs_of_one_name_are_refused_with_both_places() -> None:
    """And the same job found twice is one."""
    one, two = cron("@daily", name="same")(work), fixed_rate("1h", name="same")(lambda: None)
    with pytest.raises(PollerError) as refused:
        refuse_namesakes([one, two])
    assert one.place in str(refused.value)
    assert two.place in str(refused.value)
    assert "two jobs named 'same'" in str(refused.value)
    refuse_namesakes([one, one, cron("@daily", name="other")(work)])


def test_g10_a_job_is_made_of_a_function() -> None:
    """Not of a job, nor of what cannot be called."""
    for nothing in (None, 5, "work"):
        with pytest.raises(PollerError, match="a job is made of a function, got"):
            cron("@daily", name="nothing")(nothing)  # type: ignore[arg-type]


def test_two_schedules_make_two_jobs_of_one_function() -> None:
    """Under names of their own; to decorate a job again is refused."""
    one, two = cron("@daily", name="daily")(work), fixed_rate("1h", name="hourly")(work)
    assert (one.name, two.name) == ("daily", "hourly")
    assert one() == two() == "ran"
    with pytest.raises(PollerError, match="it is a job already; write a second function"):
        fixed_rate("1h")(one)


# --- the run, and arguments ------------------------------------------------------------------------------------


def takes_nothing() -> None: ...
def takes_run(run: Run) -> None: ...
def takes_untyped(run) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def takes_other_name(mine: Run, size: int = 1) -> None: ...
def takes_arguments(size: int, *, color: str = "red") -> None: ...
def takes_both(run: Run, size: int) -> None: ...
def takes_anything(**anything: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        (takes_nothing, None),
        (takes_run, "run"),
        (takes_untyped, "run"),
        (takes_other_name, "mine"),
        (takes_arguments, None),
        (takes_both, "run"),
        (takes_anything, None),
    ],
)
def test_a_function_may_take_the_run(function: Callable[..., Any], parameter: str | None) -> None:
    """By the name `run`, or by its type."""
    assert job()(function).run_parameter == parameter


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (takes_nothing, {}, None),
        (takes_run, {}, None),
        (takes_arguments, {"size": 3}, None),
        (takes_arguments, {"size": 3, "color": "blue"}, None),
        (takes_both, {"size": 3}, None),
        (takes_anything, {"whatever": 1}, None),
        (takes_nothing, {"size": 3}, "unexpected keyword argument 'size'"),
        (takes_arguments, {}, "missing a required argument: 'size'"),
        (takes_arguments, {"size": 3, "colour": "blue"}, "unexpected keyword argument 'colour'"),
        (takes_both, {}, "missing a required argument: 'size'"),
        (takes_run, {"run": 5}, "'run' is the run itself"),
        (takes_other_name, {"mine": 5}, "'mine' is the run itself"),
    ],
)
def test_g10_arguments_are_held_against_the_signature(
    function: Callable[..., Any], arguments: dict[str, Any], reason: str | None
) -> None:
    """Before a run is made, and with the job's name."""
    made = job()(function)
    if reason is None:
        made.check_arguments(arguments)
        return
    with pytest.raises(PollerError) as refused:
        made.check_arguments(arguments)
    assert f"job {function.__name__!r} does not take these arguments" in str(refused.value)
    assert reason in str(refused.value)


# --- ready-made jobs ---------------------------------------------------------------------------------------------

READY: list[Callable[..., Job]] = [
    lambda **given: purge("audit", column="created_at", older_than="180d", **given),
    lambda **given: age_out("users", column="seen", older_than="90d", status="a", to="b", **given),
    lambda **given: shell("backup", "true", **given),
    lambda **given: http("warm", "https://example.org/", **given),
]
READY_NAMES = ["purge audit", "age out users", "backup", "warm"]
every_ready_made = pytest.mark.parametrize("make", READY, ids=READY_NAMES)


@every_ready_made
def test_a_ready_made_job_has_the_options_of_its_schedule(make: Callable[..., Job]) -> None:
    """All of them; what is given beside it goes before."""
    when = cron(
        "0 3 * * *",
        tz="Asia/Tokyo",
        overlap="queue",
        misfire="all",
        grace="1h",
        jitter="30s",
        starts_at=NOON,
        on="gpu",
        keep="7d",
        timeout="1h",
        attempts=7,
    )
    made = make(schedule=when)
    assert made.schedule == Cron("0 3 * * *", "Asia/Tokyo")
    for option in ("overlap", "misfire", "grace", "jitter", "starts_at", "on", "keep", "timeout"):
        assert getattr(made.options, option) == getattr(when.options, option), option
    changed = make(schedule=when, timeout="2h", overlap="skip", attempts=2)
    assert (changed.options.timeout, changed.options.overlap) == (7200, "skip")
    assert changed.options.keep == when.options.keep
    assert changed.policy.is_last(2)
    assert not changed.policy.is_last(1)
    assert changed.options.jitter == when.options.jitter


@every_ready_made
def test_the_attempts_of_a_schedule_are_those_of_the_ready_made_job(make: Callable[..., Job]) -> None:
    """Unless others are given beside it."""
    made = make(schedule=cron("@daily", attempts=7))
    assert made.policy.is_last(7)
    assert not made.policy.is_last(6)
    waiting = make(schedule=cron("@daily", attempts=7), wait=wait_fixed(9))
    assert waiting.policy.delay(OSError(), 6) == 9
    assert waiting.policy.is_last(7), "one of them leaves the others as the schedule has them"
    stopping = make(schedule=cron("@daily", attempts=7, wait=wait_fixed(9)), stop=stop_after_delay(60))
    assert not stopping.policy.is_last(7), "attempts is short for stop"
    assert stopping.policy.delay(OSError(), 99) == 9


@every_ready_made
def test_g10_a_ready_made_job_refuses_with_the_place_of_its_call(make: Callable[..., Job]) -> None:
    """Unknown options, those that cannot work, and a schedule that is none."""
    refused: list[dict[str, Any]] = [
        {"overlaps": "skip"},
        {"overlap": "forbid"},
        {"timeout": "soon"},
        {"schedule": "0 3 * * *"},
        {"schedule": fixed_delay("5m"), "overlap": "queue"},
        {"schedule": cron("@daily"), "after": "other"},
        {"name": "\n"},
    ]
    for given in refused:
        if "name" in given and make in READY[2:]:
            continue  # theirs is the first argument
        with pytest.raises(PollerError) as error:
            make(**given)
        assert re.match(r"\S*test_job_options\.py:\d+", str(error.value)), str(error.value)


def test_a_ready_made_job_has_its_own_name_or_the_schedules() -> None:
    """What is said of the job itself goes before."""
    assert [make().name for make in READY] == READY_NAMES
    assert READY[0](name="mine").name == "mine"


def test_a_schedule_may_serve_several_jobs() -> None:
    """It is a value: none of them changes it."""
    nightly = cron("0 3 * * *", jitter="1h")
    one, two = READY[2](schedule=nightly, timeout="9m"), nightly(work)
    assert one.schedule == two.schedule
    assert (one.options.timeout, two.options.timeout) == (540, 300)
    assert one.options.jitter == two.options.jitter == 3600


def test_make_job_and_options_are_what_the_decorators_are_made_of() -> None:
    """A place of one's own choice stands in the errors."""
    when = cron("@daily").but("mine", {})
    assert make_job(work, when, "here:1").place == "here:1"
    assert make_job(work, when.but(None, {"attempts": 2})).policy.is_last(2)
    assert options(attempts=2).attempts == 2
