"""Planning: which slots become runs, when, and that each does so once, whatever becomes of the planners."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from poller import PollerError, cron, fixed_delay, fixed_rate
from poller.db.connection import Link
from poller.db.statements import statement, template
from poller.jobs import job_store
from poller.jobs.job import job as unscheduled
from poller.schedules import slots, wall_clock
from poller.schedules.slots import FixedDelay
from poller.services.scheduler import (
    AGAIN_SECONDS,
    CATCH_UP,
    LATE_SECONDS,
    LONGEST_WAIT_SECONDS,
    MOST_ON_TIME,
    Scheduler,
    decide_overlap,
)
from poller.testing import Engine
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from poller.jobs.job import Job, When
    from poller.jobs.options import Misfire, Overlap

NOON = datetime(2030, 5, 6, 12, 0, 30, tzinfo=UTC)  # a Monday; half a minute from any slot of a minute
MINUTE = timedelta(minutes=1)
ROUNDS = 100


def work() -> None:
    """Do nothing; only planning is tested here."""


def named(name: str, when: When) -> Job:
    """Return a job of a name."""
    return when.but(name, {})(work)


class Planner:
    """A scheduler without its loop, and the clock of its session, which starts half a minute past noon."""

    def __init__(self, url: str, *jobs: Job) -> None:
        self.link = Link(url, "test")
        self.scheduler = Scheduler(self.link, jobs)
        self.set_clock(NOON)

    def execute(self, text: str, *values: object) -> list[Any]:
        """Run a statement in the planner's session, by its clock; return its rows."""
        cursor = self.link.connection.execute(text.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def set_clock(self, instant: datetime) -> None:
        """Move the session's clock to an instant, whence it goes on."""
        self.execute(
            "select set_config('poller.clock_offset', (%s::timestamptz - clock_timestamp())::text, false)",
            instant,
        )

    def declare(self, *jobs: Job) -> None:
        job_store.declare(self.link.connection, jobs)

    def plan(self) -> float:
        """Plan until nothing is due; return the seconds until something may be."""
        for _ in range(ROUNDS):
            if wait := self.scheduler.run_once():
                return wait
        msg = "the planner finds no end"
        raise AssertionError(msg)

    def plan_at(self, instant: datetime) -> None:
        self.set_clock(instant)
        self.plan()

    def slots(self, name: str, *statuses: str) -> list[datetime]:
        """Return the slots of a job's runs, in order; only those with one of the statuses, if any is given."""
        rows = self.execute(
            "select planned_at, status from poller.run where job = %s order by planned_at", name
        )
        return [slot for slot, status in rows if not statuses or status in statuses]

    def statuses(self, name: str) -> list[str]:
        rows = self.execute("select status from poller.run where job = %s order by planned_at", name)
        return [status for (status,) in rows]

    def row(self, name: str) -> dict[str, Any]:
        """Return a job's row."""
        [(row,)] = self.execute("select to_jsonb(j) from poller.job as j where name = %s", name)
        return row  # type: ignore[no-any-return]

    def next_at(self, name: str) -> datetime | None:
        [(instant,)] = self.execute("select next_at from poller.job where name = %s", name)
        return instant  # type: ignore[no-any-return]

    def finish(self, name: str, status: str = "succeeded", *, new: bool = False) -> datetime:
        """Let a job's unfinished runs run and end, or those of a new run; return when they did."""
        if new:
            self.execute("insert into poller.run (job, function) values (%s, %s)", name, name)
        self.execute("update poller.run set status = 'running' where job = %s and status = 'pending'", name)
        rows = self.execute(
            "update poller.run set status = %s where job = %s and status = 'running' returning finished_at",
            status,
            name,
        )
        return rows[-1][0]  # type: ignore[no-any-return]

    def enter_worker(self, name: str) -> None:
        """Enter a living worker that has a job."""
        self.execute(
            "with made as (insert into poller.handler (table_name, status) values ('poller.run', %s) returning id)"
            " insert into poller.worker (supervisor, host, pid, slots, handlers, lease)"
            " select gen_random_uuid(), 'here', 1, 8, array[id], interval '30 seconds' from made",
            name,
        )


NewPlanner = "Callable[..., Planner]"


@pytest.fixture
def planner(url: str) -> Iterator[Callable[..., Planner]]:
    """Makes planners that know some jobs, and declares those; closes their connections with the test."""
    with contextlib.ExitStack() as stack:

        def make(*jobs: Job) -> Planner:
            made = Planner(url, *jobs)
            stack.callback(made.link.close)
            made.declare(*jobs)
            return made

        yield make


def at(text: str) -> datetime:
    """Return an instant of the day the tests begin on."""
    return datetime.fromisoformat(f"2030-05-06T{text}+00:00")


def after(finished: datetime, instant: datetime | None) -> float:
    """Return how long after a finish an instant lies: in seconds, to a tenth."""
    assert instant is not None
    return round((instant - finished).total_seconds(), 1)


def minutes(first: str, count: int) -> list[datetime]:
    return [at(first) + MINUTE * number for number in range(count)]


# --- at first ------------------------------------------------------------------------------------------


def test_at_first_a_rate_and_a_delay_are_due_at_once_and_cron_at_its_next_slot(
    planner: Callable[..., Planner],
) -> None:
    """Nothing that lies before the first registration is made up."""
    each_minute = named("cron", cron("* * * * *"))
    p = planner(each_minute, named("rate", fixed_rate("1h")), named("delay", fixed_delay("1h")))
    p.plan()
    [rate], [delay] = p.slots("rate"), p.slots("delay")
    assert NOON <= rate < NOON + timedelta(seconds=20)
    assert NOON <= delay < NOON + timedelta(seconds=20)
    assert p.slots("cron") == []
    assert p.next_at("cron") == at("12:01")
    assert p.next_at("rate") == rate + timedelta(hours=1)
    assert p.next_at("delay") is None
    p.plan_at(at("12:01:30"))
    assert p.slots("cron") == [at("12:01")]
    assert p.slots("rate") == [rate]


def test_a_fixed_rate_keeps_its_slots_however_late_it_is_planned(planner: Callable[..., Planner]) -> None:
    """They count from the anchor in the database, not from the last run or a process's start."""
    p = planner(named("rate", fixed_rate("10m", grace="1h")))
    p.plan()
    [first] = p.slots("rate")
    for late in ("12:13:00", "12:25:00", "12:31:00"):
        p.plan_at(at(late))
    assert p.slots("rate") == [first + number * 10 * MINUTE for number in range(4)]


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_fixed_delay_counts_from_the_finish_however_the_run_ended(
    planner: Callable[..., Planner], status: str
) -> None:
    """While it runs nothing is planned, for however long; then the delay passes."""
    p = planner(named("delay", fixed_delay("5m")))
    p.plan()
    p.execute("update poller.run set status = 'running'")
    p.plan_at(at("14:00"))
    assert len(p.slots("delay")) == 1
    finished = p.finish("delay", status)
    assert after(finished, p.next_at("delay")) == 300
    p.plan_at(finished + 4 * MINUTE)
    assert len(p.slots("delay")) == 1
    p.plan_at(finished + 6 * MINUTE)
    assert [after(finished, slot) for slot in p.slots("delay")[1:]] == [300]


def test_a_fixed_delay_waits_while_its_run_is_tried_again(planner: Callable[..., Planner]) -> None:
    """An attempt that failed is not a finish."""
    p = planner(named("delay", fixed_delay("5m")))
    p.plan()
    p.execute("update poller.run set status = 'running'")
    p.execute("update poller.run set status = 'pending'")
    p.plan_at(at("14:00"))
    assert len(p.slots("delay")) == 1


def test_postgres_reads_a_delay_as_it_was_meant(db: psycopg.Connection[Any]) -> None:
    """The trigger adds what stands in the schedule's text: the same seconds, in every unit."""
    chance = random.Random(1)
    delays = [0.000001, 0.0003, 0.25, 1.5, 60, 61.001, 3600, 86_400, 604_800, 788_645.5, 36_525 * 86_400]
    delays += [round(10 ** chance.uniform(-5, 9), 6) for _ in range(1000)]
    texts = [str(FixedDelay(each)) for each in delays]
    rows = db.execute(
        "select extract(epoch from timestamptz 'epoch' + substr(t, 8)::interval)::float8"
        " from unnest(%s::text[]) with ordinality as given (t, place) order by place",
        [texts],
    ).fetchall()
    assert [row[0] for row in rows] == pytest.approx(delays, rel=0, abs=1e-6)


def test_one_that_knows_of_nothing_due_says_how_long_it_may_sleep(planner: Callable[..., Planner]) -> None:
    """Until the next slot, and never so long that a new or edited job would be late."""
    p = planner(named("cron", cron("* * * * *")))
    p.plan()
    assert p.scheduler.run_once() == LONGEST_WAIT_SECONDS
    p.set_clock(at("12:00:59.5"))
    assert 0 < p.scheduler.run_once() <= 0.5


# --- a fleet that was down -----------------------------------------------------------------------------

THREE_DAYS = timedelta(days=3)


@pytest.mark.fault("F38")
@pytest.mark.parametrize(
    ("misfire", "grace", "expected"),
    [
        ("latest", "1m", 1 + 1),
        ("latest", "10m", 10 + 1),
        ("latest", "10s", 1),
        ("all", "1m", 1 + CATCH_UP["all"]),
        ("skip", "1m", 1),
        ("skip", "10m", 10),
        ("skip", "10s", 0),
        ("latest", "7d", MOST_ON_TIME),
        ("all", "7d", MOST_ON_TIME),
        ("skip", "7d", MOST_ON_TIME),
    ],
)
@pytest.mark.parametrize("kind", ["cron", "rate"])
def test_after_three_days_down_the_misfire_policy_decides(
    planner: Callable[..., Planner], kind: str, misfire: Misfire, grace: str, expected: int
) -> None:
    """Of 4320 slots those within the grace, and of the others the newest, or a hundred, or none; then on as ever."""
    when = (
        cron("* * * * *", misfire=misfire, grace=grace)
        if kind == "cron"
        else fixed_rate("1m", misfire=misfire, grace=grace, starts_at=at("12:01"))
    )
    p = planner(named("minutely", when))
    if kind == "rate":
        p.execute("update poller.job set anchor = %s", at("12:00"))
    p.plan()
    p.set_clock(NOON + THREE_DAYS)
    began = time.monotonic()
    p.plan()
    assert time.monotonic() - began < 3
    newest = at("12:00") + THREE_DAYS
    assert p.slots("minutely") == [newest - MINUTE * number for number in range(expected)][::-1]
    assert p.next_at("minutely") == newest + MINUTE
    p.plan_at(newest + MINUTE + timedelta(seconds=5))
    assert p.slots("minutely")[expected:] == [newest + MINUTE]


@pytest.mark.parametrize("misfire", ["latest", "all", "skip"])
@pytest.mark.parametrize("when", [cron("* * * * * *"), fixed_rate("1s")], ids=["cron", "rate"])
def test_three_years_of_each_second_are_caught_up_at_once(
    planner: Callable[..., Planner], when: When, misfire: Misfire
) -> None:
    """Nearly a hundred million slots: none of the policies counts them."""
    p = planner(named("secondly", when.but(None, {"misfire": misfire})))
    p.plan()
    before = len(p.slots("secondly"))
    p.set_clock(NOON + timedelta(days=3 * 365))
    began = time.monotonic()
    p.plan()
    assert time.monotonic() - began < 3
    new = p.slots("secondly")[before:]
    expected = 60 + CATCH_UP[misfire]
    assert expected <= len(new) < expected + 5  # those of the seconds it took
    assert new[0] > NOON + timedelta(days=3 * 365 - 1)


@pytest.mark.parametrize("misfire", ["latest", "all", "skip"])
def test_slots_within_the_grace_are_not_missed(planner: Callable[..., Planner], misfire: Misfire) -> None:
    """A downtime shorter than the grace leaves nothing out, whatever the policy."""
    p = planner(named("minutely", cron("* * * * *", misfire=misfire, grace="1d")))
    p.plan()
    p.plan_at(NOON + timedelta(hours=2))
    assert p.slots("minutely") == minutes("12:01", 120)


def test_a_fixed_delay_that_was_down_runs_once(planner: Callable[..., Planner]) -> None:
    """There is one slot; further ones follow from that run."""
    p = planner(named("delay", fixed_delay("1s", misfire="all")))
    p.plan()
    p.finish("delay")
    p.plan_at(NOON + THREE_DAYS)
    assert p.statuses("delay") == ["succeeded", "pending"]


# --- edited and declared again ---------------------------------------------------------------------------


def test_declaring_the_same_again_changes_nothing(planner: Callable[..., Planner]) -> None:
    """Neither what is planned nor a byte of the row, at each start of each program."""
    jobs = [
        named("cron", cron("0 3 * * *", tz="Asia/Shanghai", ends_at=at("20:00") + THREE_DAYS, jitter="10s")),
        named("rate", fixed_rate("1h", overlap="queue", misfire="skip", grace="1h")),
        named("delay", fixed_delay("1h", keep="7d")),
        named("after", unscheduled(after=["rate", "delay"])),
    ]
    p = planner(*jobs)
    p.plan()
    before = p.execute("select xmin::text, ctid::text, to_jsonb(j) from poller.job as j order by name")
    p.set_clock(at("12:05:30"))
    p.declare(*jobs)
    after = p.execute("select xmin::text, ctid::text, to_jsonb(j) from poller.job as j order by name")
    assert after == before


def test_an_edited_cron_line_takes_effect_at_once(planner: Callable[..., Planner]) -> None:
    """Its slots count from the edit: nothing is made up, and the old slot is forgotten."""
    p = planner(named("job", cron("0 * * * *")))
    p.plan()
    assert p.next_at("job") == at("13:00")
    p.set_clock(at("12:10:30"))
    p.declare(named("job", cron("* * * * *")))
    p.plan()
    assert p.slots("job") == []
    assert p.next_at("job") == at("12:11")
    p.plan_at(at("12:11:30"))
    assert p.slots("job") == [at("12:11")]
    p.declare(named("job", cron("0 * * * *", tz="Asia/Kolkata")))
    p.plan()
    assert p.next_at("job") == at("12:30")


def test_an_edited_fixed_rate_counts_anew_from_now_without_a_run_at_once(
    planner: Callable[..., Planner],
) -> None:
    """A restart with another period is not a reason to run."""
    p = planner(named("job", fixed_rate("1h")))
    p.plan()
    p.set_clock(at("12:10:30"))
    p.declare(named("job", fixed_rate("10m")))
    p.plan()
    assert len(p.slots("job")) == 1
    anchor = datetime.fromisoformat(p.row("job")["anchor"])
    assert at("12:10:30") <= anchor < at("12:10:50")
    assert p.next_at("job") == anchor + 10 * MINUTE
    p.plan_at(at("12:21"))
    assert p.slots("job")[1:] == [anchor + 10 * MINUTE]


def test_an_edited_fixed_delay_counts_from_the_last_finish(planner: Callable[..., Planner]) -> None:
    """Shorter or longer, the time since the last run counts."""
    p = planner(named("job", fixed_delay("1h")))
    p.plan()
    finished = p.finish("job")
    p.set_clock(at("12:10:30"))
    p.declare(named("job", fixed_delay("30m")))
    p.plan()
    assert p.next_at("job") == finished + 30 * MINUTE
    p.declare(named("job", fixed_delay("5m")))
    p.plan()
    assert p.slots("job")[1:] == [finished + 5 * MINUTE]


def test_a_fixed_delay_edited_while_it_runs_counts_from_that_finish(planner: Callable[..., Planner]) -> None:
    """The run goes on, and the new delay follows it."""
    p = planner(named("job", fixed_delay("1h")))
    p.plan()
    p.execute("update poller.run set status = 'running'")
    p.declare(named("job", fixed_delay("5m")))
    p.plan_at(at("12:30:30"))
    assert p.statuses("job") == ["running"]
    assert p.next_at("job") is None
    finished = p.finish("job")
    assert after(finished, p.next_at("job")) == 300


def test_another_kind_of_schedule_begins_anew(planner: Callable[..., Planner]) -> None:
    """From a delay to a cron line to a rate."""
    p = planner(named("job", fixed_delay("1h")))
    p.plan()
    p.finish("job")
    p.declare(named("job", cron("* * * * *")))
    p.plan()
    assert p.next_at("job") == at("12:01")
    p.declare(named("job", fixed_rate("1h")))
    p.plan()
    assert len(p.slots("job")) == 1
    assert p.next_at("job") is not None


def test_other_options_than_the_schedule_leave_the_slots_alone(planner: Callable[..., Planner]) -> None:
    """A slot that is missed while the option is edited is still there."""
    p = planner(named("job", cron("* * * * *")))
    p.plan()
    p.set_clock(at("12:03:30"))
    p.declare(named("job", cron("* * * * *", misfire="all", grace="1s", overlap="queue", keep="1d")))
    p.plan()
    assert p.slots("job") == minutes("12:01", 3)
    assert p.row("job")["overlap"] == "queue"


def test_a_job_whose_slots_are_over_goes_on_when_it_is_edited(planner: Callable[..., Planner]) -> None:
    """A window that is set further brings it back."""
    p = planner(named("job", cron("* * * * *", ends_at=at("12:01"))))
    p.plan_at(at("12:05:30"))
    assert p.slots("job") == [at("12:01")]
    assert p.row("job")["exhausted"]
    p.declare(named("job", cron("* * * * *", ends_at=at("13:00"))))
    p.plan_at(at("12:06:30"))
    assert p.slots("job") == [at("12:01"), at("12:06")]


# --- a window, and spread ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cron", "rate"])
def test_slots_lie_within_the_window(planner: Callable[..., Planner], kind: str) -> None:
    """From starts_at to ends_at, both included, and then never again."""
    window: dict[str, Any] = {"starts_at": at("12:05"), "ends_at": at("12:08"), "grace": "1h"}
    p = planner(named("job", cron("* * * * *", **window) if kind == "cron" else fixed_rate("1m", **window)))
    p.execute("update poller.job set anchor = %s", at("12:00"))
    p.plan()
    assert p.slots("job") == []
    assert p.next_at("job") == at("12:05")
    p.plan_at(at("12:06:30"))
    assert p.slots("job") == minutes("12:05", 2)
    p.plan_at(at("12:20"))
    assert p.slots("job") == minutes("12:05", 4)
    assert p.next_at("job") is None
    assert p.row("job")["exhausted"]
    assert p.scheduler.run_once() == LONGEST_WAIT_SECONDS


def test_a_fixed_delay_keeps_within_its_window(planner: Callable[..., Planner]) -> None:
    """Its first run is at starts_at, and none is after ends_at."""
    p = planner(named("job", fixed_delay("2m", starts_at=at("12:05"), ends_at=at("12:08"))))
    p.plan()
    assert p.slots("job") == []
    assert p.next_at("job") == at("12:05")
    for moment in ("12:05:30", "12:07:45"):
        p.plan_at(at(moment))
        p.finish("job")
    assert len(p.slots("job")) == 2
    p.plan_at(at("12:20"))
    assert len(p.slots("job")) == 2
    assert p.scheduler.run_once() == LONGEST_WAIT_SECONDS


def test_a_window_that_is_over_has_no_run(planner: Callable[..., Planner]) -> None:
    """Also of those that would be due at once."""
    over = {"ends_at": at("11:00")}
    p = planner(named("cron", cron("* * * * *", **over)), named("rate", fixed_rate("1m", **over)))
    p.declare(delay := named("delay", fixed_delay("1m", **over)))
    p.scheduler = Scheduler(
        p.link, [delay, named("cron", cron("* * * * *")), named("rate", fixed_rate("1m"))]
    )
    p.plan_at(at("12:05:30"))
    assert p.execute("select * from poller.run") == []
    assert p.execute("select count(*) from poller.job where exhausted") == [(3,)]


def test_jitter_moves_when_a_run_starts_not_what_it_stands_for(planner: Callable[..., Planner]) -> None:
    """Within its bounds, and not always the same."""
    p = planner(named("job", cron("* * * * *", jitter="30s", grace="1d")))
    p.plan()
    p.plan_at(NOON + timedelta(hours=2))
    assert p.slots("job") == minutes("12:01", 120)
    delays = [row[0] for row in p.execute("select due_at - planned_at from poller.run")]
    assert min(delays) >= timedelta()
    assert max(delays) <= timedelta(seconds=30)
    assert len(set(delays)) > 100
    assert max(delays) - min(delays) > timedelta(seconds=15)


def test_a_job_for_one_time_runs_once(planner: Callable[..., Planner]) -> None:
    """When it has come, or at once if nobody was there; then its slots are over."""
    p = planner(function := named("function", unscheduled()))
    for name, instant in (("soon", "2030-05-06T12:05Z"), ("late", "2030-05-08T09:00Z")):
        p.execute(
            "insert into poller.job (name, function, schedule, declared) values (%s, %s, %s, false)",
            name,
            function.name,
            f"@at {instant}",
        )
    p.plan()
    assert p.slots("soon") == []
    assert p.next_at("soon") == at("12:05")
    p.plan_at(at("12:05:30"))
    assert p.slots("soon") == [at("12:05")]
    p.plan_at(NOON + THREE_DAYS)
    p.plan_at(NOON + 2 * THREE_DAYS)
    assert p.slots("soon") == [at("12:05")]
    assert p.slots("late") == [datetime(2030, 5, 8, 9, tzinfo=UTC)]
    assert p.execute("select count(*) from poller.job where exhausted") == [(2,)]


# --- pause and resume --------------------------------------------------------------------------------------


def pause(p: Planner) -> None:
    p.execute("update poller.job set paused_at = poller.now()")


def resume(p: Planner) -> None:
    p.execute(
        "update poller.job set paused_at = null, planned_to = poller.now(), next_at = null, exhausted = false"
    )


def test_a_paused_job_is_not_planned_and_resumes_without_a_flood(planner: Callable[..., Planner]) -> None:
    """The slots of the pause are left out, whatever the misfire policy; then it goes on in its own rhythm."""
    p = planner(
        named("cron", cron("* * * * *", misfire="all")), named("rate", fixed_rate("1m", misfire="all"))
    )
    p.plan()
    [anchor] = p.slots("rate")
    pause(p)
    p.plan_at(NOON + timedelta(days=3))
    assert p.slots("cron") == []
    assert p.slots("rate") == [anchor]
    p.set_clock(NOON + timedelta(days=6, seconds=10))
    resume(p)
    p.plan()
    assert p.slots("cron") == []
    assert p.slots("rate") == [anchor]
    p.plan_at(NOON + timedelta(days=6, seconds=75))
    assert p.slots("cron") == [at("12:01") + timedelta(days=6)]
    assert p.slots("rate") == [anchor, anchor + timedelta(days=6, minutes=1)]


def test_a_paused_fixed_delay_runs_once_when_it_is_resumed(planner: Callable[..., Planner]) -> None:
    """Its delay is long over; and a run that goes on through the pause is not doubled."""
    p = planner(named("job", fixed_delay("1m")))
    p.plan()
    pause(p)
    p.finish("job")
    p.plan_at(NOON + timedelta(days=3))
    assert len(p.slots("job")) == 1
    resume(p)
    p.plan()
    assert p.statuses("job") == ["succeeded", "pending"]
    pause(p)
    resume(p)
    p.plan()
    assert p.statuses("job") == ["succeeded", "pending"]


# --- overlap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "unfinished", "expected"),
    [
        ("allow", [], ["pending"]),
        ("allow", ["running"], ["pending"]),
        ("allow", ["running", "pending"], ["pending"]),
        ("skip", [], ["pending"]),
        ("skip", ["pending"], ["skipped"]),
        ("skip", ["running"], ["skipped"]),
        ("queue", [], ["pending"]),
        ("queue", ["running"], ["pending"]),
        ("queue", ["pending"], ["skipped"]),
        ("queue", ["running", "pending"], ["skipped"]),
        ("replace", [], ["pending"]),
        ("replace", ["running"], ["pending"]),
        ("replace", ["pending"], ["pending"]),
        ("replace", ["running", "pending"], ["pending"]),
    ],
)
def test_a_slot_is_entered_as_the_overlap_policy_says(
    planner: Callable[..., Planner], overlap: Overlap, unfinished: list[str], expected: list[str]
) -> None:
    """Looking at the runs that wait and at those that run; a slot that is left out is recorded as such."""
    p = planner(named("job", cron("* * * * *", overlap=overlap)))
    for number, status in enumerate(unfinished):
        p.execute(
            "insert into poller.run (job, function, planned_at, status) values ('job', 'job', %s, %s)",
            NOON - MINUTE * (9 - number),
            status,
        )
    p.plan_at(at("12:01:30"))
    assert p.statuses("job")[len(unfinished) :] == expected
    skipped = p.execute("select finished_at is not null from poller.run where status = 'skipped'")
    assert skipped == [(True,)] * expected.count("skipped")
    before = p.execute("select status, cancel_at is not null from poller.run order by planned_at")
    if overlap == "replace":
        told = {"running": ("running", True), "pending": ("cancelled", True)}
    else:
        told = {"running": ("running", False), "pending": ("pending", False)}
    assert before[: len(unfinished)] == [told[status] for status in unfinished]


def test_the_runs_of_other_jobs_do_not_count(planner: Callable[..., Planner]) -> None:
    """Nor those that are finished."""
    p = planner(named("job", cron("* * * * *", overlap="skip")), named("other", fixed_rate("1h")))
    p.plan()
    p.finish("job", "failed", new=True)
    p.plan_at(at("12:01:30"))
    assert p.statuses("job") == ["failed", "pending"]


@pytest.mark.fault("F38")
@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("allow", ["pending"] * 5),
        ("skip", ["skipped"] * 4 + ["pending"]),
        ("queue", ["skipped"] * 3 + ["pending"] * 2),
        ("replace", ["skipped"] * 4 + ["pending"]),
    ],
)
def test_of_several_slots_at_once_as_many_run_as_may(overlap: Overlap, expected: list[str]) -> None:
    """Those are the newest: of what was missed, people mean the last."""
    assert decide_overlap(overlap, 5, pending=0, running=0) == expected
    assert decide_overlap(overlap, 0, pending=0, running=0) == []


# --- guarantee 7: a slot fires once -----------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Do something in several threads from the same moment on; return what they return or raise."""
    barrier, results = threading.Barrier(count), list[object]([None] * count)

    def begin(number: int) -> None:
        barrier.wait(30)
        try:
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001 - told to the test
            results[number] = error

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_g7_planners_side_by_side_enter_each_slot_once(planner: Callable[..., Planner]) -> None:
    """Four planners, twenty jobs, forty minutes: each slot of each has one run, and none is left out."""
    jobs = [named(f"job {number}", cron("* * * * *", grace="1d")) for number in range(20)]
    planners = [planner(*jobs) for _ in range(4)]

    def plan(number: int) -> None:
        for minute in range(1, 41):
            planners[number].set_clock(at("12:00:30") + MINUTE * minute)
            while planners[number].scheduler.run_once() < LONGEST_WAIT_SECONDS / 2:
                pass

    assert in_threads(4, plan) == [None] * 4
    for job in jobs:
        assert planners[0].slots(job.name) == minutes("12:01", 40)


@pytest.mark.fault("F67")
def test_g7_a_planner_that_is_stopped_within_its_transaction_holds_up_only_what_it_has_in_hand(
    planner: Callable[..., Planner],
) -> None:
    """Whatever else is due is planned by others meanwhile; what it had in hand, once its session has ended."""
    first, second = named("first", fixed_rate("1h")), named("second", fixed_rate("1h"))
    p, stopped = planner(first), planner(first)
    with stopped.link.connection.transaction(force_rollback=True):
        assert len(job_store.due_jobs(stopped.link.connection, "{first}", "{}", 10)) == 1
        p.declare(second)
        planner(second).plan_at(at("12:01:00"))
        assert len(p.slots("second")) == 1
        assert p.scheduler.run_once() == AGAIN_SECONDS
        assert p.slots("first") == []
    p.plan()
    assert len(p.slots("first")) == 1


@pytest.mark.fault("F67")
def test_a_start_is_not_held_up_by_a_planner_that_is_stopped(
    planner: Callable[..., Planner], db: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A job that is as declared needs no lock; an edited one is tried again until its row is free."""
    same, old = named("same", fixed_rate("1h")), named("edited", fixed_rate("1h"))
    stopped = planner(same, old)
    db.execute("set lock_timeout = '100ms'")
    with ThreadPoolExecutor(1) as pool:
        with stopped.link.connection.transaction(force_rollback=True):
            assert len(job_store.due_jobs(stopped.link.connection, "{same,edited}", "{}", 10)) == 2
            job_store.declare(db, [same])
            declared = pool.submit(job_store.declare, db, [named("edited", fixed_rate("2h"))])
            wait_until("it is said", lambda: "another session has locked its row" in caplog.text)
        declared.result(30)
    assert stopped.row("edited")["schedule"] == "@every 2h"


def test_a_job_whose_row_somebody_holds_is_waited_for_without_haste(
    planner: Callable[..., Planner], db: psycopg.Connection[Any]
) -> None:
    """The others are planned; the planner does not spin until the row is free."""
    p = planner(named("held", fixed_rate("1h")), named("free", fixed_rate("1h")))
    with db.transaction():
        db.execute("select from poller.job where name = 'held' for update")
        assert p.scheduler.run_once() == 0
        assert p.scheduler.run_once() == AGAIN_SECONDS
        assert len(p.slots("free")) == 1
        assert p.slots("held") == []
    p.plan()
    assert len(p.slots("held")) == 1


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> threading.Barrier:
    """Takes the planners' locks away, and lets two of them meet when both have found the jobs due."""
    barrier, found = threading.Barrier(2), job_store.due_jobs
    careless = {
        "jobs_due": sql.SQL(
            template("jobs_due").as_string().replace("for no key update of j skip locked", "")
        ),
    }

    def meet(*arguments: Any) -> Any:
        jobs = found(*arguments)
        barrier.wait(30)
        return jobs

    monkeypatch.setattr(
        "poller.jobs.job_store.statement",
        lambda name: careless[name].format() if name in careless else statement(name),
    )
    monkeypatch.setattr("poller.jobs.job_store.due_jobs", meet)
    return barrier


@pytest.mark.fault("F37")
def test_g7_without_any_lock_a_slot_is_still_entered_once(
    planner: Callable[..., Planner], unguarded: threading.Barrier
) -> None:
    """Two planners find the same slots due at the same moment: the unique key is the proof."""
    job = named("job", cron("* * * * *", grace="1d"))
    planners = [planner(job), planner(job)]
    for p in planners:
        p.execute("update poller.job set next_at = %s", at("12:01"))
        p.set_clock(NOON + timedelta(hours=1))
    assert in_threads(2, lambda number: planners[number].scheduler.run_once()) == [0, 0]
    assert unguarded.n_waiting == 0
    assert planners[0].slots("job") == minutes("12:01", 60)


def test_g7_control_without_the_unique_key_slots_are_entered_twice(
    planner: Callable[..., Planner],
    unguarded: threading.Barrier,
    monkeypatch: pytest.MonkeyPatch,
    db: psycopg.Connection[Any],
) -> None:
    """Take the key away as well and the race of the test above is lost: so the test provokes it."""
    job = named("job", cron("* * * * *", grace="1d"))
    planners = [planner(job), planner(job)]
    for p in planners:
        p.execute("update poller.job set next_at = %s", at("12:01"))
        p.set_clock(NOON + timedelta(hours=1))
    db.execute("alter table poller.run drop constraint run_job_planned_at_key")
    bare = template("plan_runs").as_string().replace("on conflict (job, planned_at) do nothing", "")
    before: Any = job_store.statement
    monkeypatch.setattr(
        "poller.jobs.job_store.statement",
        lambda name: sql.SQL(bare).format() if name == "plan_runs" else before(name),
    )
    assert in_threads(2, lambda number: planners[number].scheduler.run_once()) == [0, 0]
    assert planners[0].slots("job") == sorted(2 * minutes("12:01", 60))


@pytest.mark.parametrize("step", ["supersede", "enter_runs", "planned"])
def test_g7_a_planner_that_dies_leaves_nothing_half_done(
    planner: Callable[..., Planner], monkeypatch: pytest.MonkeyPatch, db: psycopg.Connection[Any], step: str
) -> None:
    """Its session is ended before a step, or before COMMIT: no run, no move; the next planner does it all."""
    job = named("job", cron("* * * * *", overlap="replace", misfire="all", grace="1s"))
    p = planner(job)
    p.plan()
    before = p.row("job")
    p.set_clock(at("12:05:30"))
    real = getattr(job_store, step)

    def die(connection: psycopg.Connection[Any], *arguments: Any, **options: Any) -> Any:
        result = real(connection, *arguments, **options)
        db.execute("select pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        return result

    monkeypatch.setattr(job_store, step, die)
    with pytest.raises(psycopg.OperationalError):
        p.scheduler.run_once()
    monkeypatch.undo()
    assert db.execute("select * from poller.run").fetchall() == []
    p.scheduler.recover()
    p.set_clock(at("12:05:31"))
    assert p.row("job") == before
    p.plan()
    assert p.slots("job") == minutes("12:01", 5)
    assert p.next_at("job") == at("12:06")


@pytest.mark.fault("F17")
def test_g8_a_clock_that_was_set_back_brings_no_slot_twice(planner: Callable[..., Planner]) -> None:
    """After a failover to a server whose clock is behind, say."""
    p = planner(named("job", cron("* * * * *", grace="1d")))
    p.plan_at(at("12:10:30"))
    p.plan_at(at("12:05:30"))
    p.execute("update poller.job set next_at = null, planned_to = %s", at("12:05:30"))
    p.plan()
    p.plan_at(at("12:12:30"))
    assert p.slots("job") == minutes("12:01", 12)


# --- jobs that are not ours, or broken ------------------------------------------------------------------------


def test_a_job_whose_function_is_not_known_here_is_left_alone(planner: Callable[..., Planner]) -> None:
    """A program that knows it plans it: so a rolling deploy loses nothing."""
    ours, theirs = named("ours", fixed_rate("1h")), named("theirs", fixed_rate("1h"))
    p, other = planner(ours), planner(theirs)
    before = p.row("theirs")
    p.plan()
    assert p.slots("theirs") == []
    assert p.row("theirs") == before
    assert p.scheduler.run_once() == LONGEST_WAIT_SECONDS
    other.plan()
    assert len(p.slots("theirs")) == 1
    assert len(p.slots("ours")) == 1


@pytest.mark.parametrize(
    ("column", "broken"),
    [
        ("schedule", "*/90 * * * *"),
        ("schedule", "once in a blue moon"),
        ("schedule", ""),
        ("schedule", "@every 0s"),
        ("schedule", "@at 9999-12-31T23:00-05:00"),
        ("tz", "Mars/Base"),
    ],
)
def test_a_broken_schedule_does_not_stop_the_others(
    planner: Callable[..., Planner], caplog: pytest.LogCaptureFixture, column: str, broken: str
) -> None:
    """It is complained of once, in one line, and planned again once it is mended."""
    good, bad = named("good", cron("* * * * *")), named("bad", cron("* * * * *"))
    p = planner(good, bad)
    p.execute(f"update poller.job set {column} = %s, next_at = null where name = 'bad'", broken)
    p.plan_at(at("12:01:30"))
    p.plan_at(at("12:02:30"))
    assert p.slots("good") == minutes("12:01", 2)
    assert p.slots("bad") == []
    [complaint] = [
        record.getMessage() for record in caplog.records if "cannot be planned" in record.getMessage()
    ]
    assert complaint.startswith("job bad cannot be planned here: ")
    assert "\n" not in complaint
    p.declare(bad)
    p.plan_at(at("12:03:30"))
    assert p.slots("bad") == [at("12:03")]


@pytest.mark.fault("F64")
@pytest.mark.parametrize(
    "broken",
    [
        "starts_at = 'infinity'",
        "ends_at = '0044-01-01 BC'",
        "anchor = 'infinity', schedule = '@every 1h'",
        "planned_to = '20000-01-01'",
        "grace = '1000000 years'",
        "jitter = '200000 years'",
        "next_at = '0044-01-01 BC', schedule = '@every 1s', anchor = '0044-01-01 BC'",
    ],
)
def test_a_row_that_cannot_be_read_does_not_stop_the_others(
    planner: Callable[..., Planner], broken: str
) -> None:
    """The database refuses it; where it is there all the same, it is the only one that is not planned."""
    good, bad = named("good", cron("* * * * *")), named("bad", cron("* * * * *"))
    p = planner(good, bad)
    edit = f"update poller.job set {broken} where name = 'bad'"
    with pytest.raises(psycopg.errors.CheckViolation):
        p.execute(edit)
    p.execute("alter table poller.job drop constraint readable_times, drop constraint readable_durations")
    p.execute(edit)
    p.plan_at(at("12:01:30"))
    p.plan_at(at("12:02:30"))
    assert p.slots("good") == minutes("12:01", 2)


@pytest.mark.fault("F64")
def test_arguments_that_no_program_can_read_are_planned_all_the_same(
    planner: Callable[..., Planner],
) -> None:
    """A planner does not look at them: they go from the job's row to the run's."""
    p = planner(named("deep", fixed_rate("1h")), named("other", fixed_rate("1h")))
    deep = """'{"a": ' || repeat('[', 3000) || repeat(']', 3000) || '}'"""
    p.execute(f"update poller.job set args = ({deep})::jsonb where name = 'deep'")
    p.plan()
    assert len(p.slots("deep")) == len(p.slots("other")) == 1
    assert p.execute("select length(args::text) > 6000 from poller.run where job = 'deep'") == [(True,)]


@pytest.mark.fault("F64")
def test_a_run_that_a_trigger_refuses_is_put_aside_alone(
    planner: Callable[..., Planner], caplog: pytest.LogCaptureFixture
) -> None:
    """The runs of the others are entered; it is named, and tried again once its row has changed."""
    p = planner(*(named(f"job {number}", fixed_rate("1h")) for number in range(9)))
    p.execute(
        "create function refuse() returns trigger language plpgsql as $$"
        " begin if new.job = 'job 4' then raise exception 'not on Mondays'; end if; return new; end $$"
    )
    p.execute("create trigger refuse before insert on poller.run for each row execute function refuse()")
    p.plan()
    assert p.execute("select count(*) from poller.run") == [(8,)]
    assert "job job 4 cannot be planned here: not on Mondays" in caplog.text
    p.execute("drop trigger refuse on poller.run")
    assert p.slots("job 4") == []
    p.execute("update poller.job set keep = '1 day' where name = 'job 4'")
    p.plan()
    assert len(p.slots("job 4")) == 1


@pytest.mark.fault("F66")
def test_a_planner_that_lacks_a_time_zone_leaves_the_job_to_the_others(
    planner: Callable[..., Planner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It complains, and changes nothing of the job; one that has the zone plans it half a second later, and leads."""
    jobs = [named("far", cron("* * * * *", tz="Pacific/Apia")), named("near", cron("* * * * *"))]
    lacking, having = planner(*jobs), planner(*jobs)
    lacking.plan()
    known = wall_clock.zone

    def zone(name: str) -> Any:
        if name == "Pacific/Apia":
            msg = "unknown time zone 'Pacific/Apia'"
            raise PollerError(msg)
        return known(name)

    with monkeypatch.context() as patch:
        patch.setattr("poller.schedules.wall_clock.zone", zone)
        slots._parse.cache_clear()
        lacking.plan_at(at("12:01:00.1"))
    assert "job far cannot be planned here: unknown time zone 'Pacific/Apia'" in caplog.text
    assert lacking.slots("near") == [at("12:01")]
    assert lacking.slots("far") == []
    assert not lacking.row("far")["exhausted"]
    having.plan_at(at("12:01:00.7"))
    assert having.slots("far") == [at("12:01")]
    assert having.scheduler.leads or having.scheduler.run_once()
    assert having.scheduler.leads


# --- several supervisors ------------------------------------------------------------------------------------------


def test_one_supervisor_leads_and_the_others_look_once_a_second(planner: Callable[..., Planner]) -> None:
    """A slot costs the same with eight supervisors: seven of them ask nothing at its time."""
    job = named("job", cron("* * * * * *"))
    leader, *others = [planner(job) for _ in range(4)]
    leader.plan_at(at("12:00:31.2"))
    for other in others:
        other.set_clock(at("12:00:32.2"))  # a slot has come 0.2 s ago
        assert LATE_SECONDS - 0.2 < other.scheduler.run_once() + 0.2 <= LATE_SECONDS + 0.01
        assert not other.scheduler.leads
        other.set_clock(at("12:00:31.3"))
        assert other.scheduler.run_once() > 0.6
    assert leader.slots("job") == [at("12:00:31")]


@pytest.mark.fault("F37")
def test_a_leader_that_is_gone_is_replaced_by_what_it_has_left(planner: Callable[..., Planner]) -> None:
    """Another supervisor plans what is overdue by half a second, and leads from then on."""
    job = named("job", cron("* * * * * *"))
    leader, other = planner(job), planner(job)
    leader.plan_at(at("12:00:31.2"))
    other.plan_at(at("12:00:32.8"))
    assert other.slots("job") == [at("12:00:31"), at("12:00:32")]
    other.scheduler.run_once()
    assert other.scheduler.leads
    leader.set_clock(at("12:00:33.2"))
    assert leader.scheduler.run_once() > 0
    assert not leader.scheduler.leads


def test_programs_that_know_other_jobs_do_not_wait_for_each_other(planner: Callable[..., Planner]) -> None:
    """Two applications in one database: each leads the planning of its own."""
    ours, theirs = planner(named("ours", fixed_rate("1h"))), planner(named("theirs", fixed_rate("1h")))
    ours.plan()
    theirs.plan()
    assert ours.scheduler.leads
    assert theirs.scheduler.leads
    assert len(ours.slots("theirs")) == len(ours.slots("ours")) == 1


# --- a clock that ran ahead ----------------------------------------------------------------------------------------

AHEAD = timedelta(days=400)


@pytest.mark.fault("F65")
@pytest.mark.parametrize(
    "when",
    [
        cron("* * * * *"),
        fixed_rate("1m"),
        fixed_delay("1m"),
        cron("* * * * *", ends_at=NOON + timedelta(days=30)),
    ],
    ids=["cron", "rate", "delay", "window"],
)
def test_g8_what_was_planned_by_a_clock_that_ran_ahead_is_planned_anew(
    planner: Callable[..., Planner], when: When
) -> None:
    """The planner sees the clock go back, and the next slot is the next one again."""
    p = planner(named("job", when))

    def plan_at(instant: datetime) -> None:
        p.plan_at(instant)
        for status in ("running", "succeeded"):  # each run ends at once
            p.execute("update poller.run set status = %s where status in ('pending', 'running')", status)

    plan_at(NOON + MINUTE)
    plan_at(NOON + AHEAD)
    for number in range(2, 6):
        plan_at(NOON + MINUTE * number)
    slots = [slot for slot in p.slots("job") if slot < NOON + timedelta(days=1)]
    assert max(slots) > NOON + 3 * MINUTE
    assert p.row("job")["planned_to"] < (NOON + timedelta(days=1)).isoformat()


@pytest.mark.fault("F65")
def test_g8_a_start_brings_back_what_a_clock_that_ran_ahead_has_put_off(
    planner: Callable[..., Planner], db: psycopg.Connection[Any]
) -> None:
    """Retries and snoozes wait as long as they were to, runs are due, and nothing counts against a rate for a year."""
    ahead = "interval '400 days'"
    db.execute("insert into poller.handler (table_name, status) values ('t', 's')")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, next_at, changed_at, first_at, visit)"
        f" select id, '1', 'waiting', 1, now() + {ahead} + interval '1 hour', now() + {ahead}, now(), gen_random_uuid()"
        " from poller.handler"
    )
    db.execute(
        f"insert into poller.start (handler_id, at, rows) select id, now() + {ahead}, 9 from poller.handler"
    )
    db.execute(
        "insert into poller.run (job, function, planned_at, due_at)"
        f" values ('j', 'j', now() + {ahead}, now() + {ahead}), ('k', 'k', now(), now() + interval '2 hours')"
    )
    job_store.set_back(db)
    [(wait,)] = db.execute(
        "select extract(epoch from next_at - now())::float8 from poller.attempt"
    ).fetchall()
    assert 3500 < wait < 3700
    assert db.execute("select count(*) from poller.start").fetchall() == [(0,)]
    due = db.execute("select job from poller.run where due_at <= now()").fetchall()
    assert due == [("j",)], "jitter is left alone"


def test_more_jobs_than_one_round_takes_are_all_planned(planner: Callable[..., Planner]) -> None:
    """Round after round, without a pause."""
    p = planner(*(named(f"job {number}", fixed_rate("1h")) for number in range(250)))
    p.plan()
    assert p.execute("select count(distinct job), count(*) from poller.run") == [(250, 250)]


# --- after others ------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(planner: Callable[..., Planner]) -> Planner:
    """`both` runs after `one` and `two`, `last` after `both`."""
    return planner(
        named("one", cron("@daily")),
        named("two", cron("@daily")),
        named("both", unscheduled(after=["one", "two"])),
        named("last", unscheduled(after="both")),
    )


def test_a_job_runs_once_all_it_waits_for_have_succeeded(chain: Planner) -> None:
    """In whichever order and however often; and those after it in their turn."""
    chain.finish("one", new=True)
    chain.finish("one", new=True)
    assert chain.statuses("both") == []
    chain.finish("two", new=True)
    assert chain.statuses("both") == ["pending"]
    assert chain.statuses("last") == []
    chain.finish("both")
    assert chain.statuses("last") == ["pending"]
    chain.finish("two", new=True)
    assert chain.statuses("both") == ["succeeded"]
    chain.finish("one", new=True)
    assert chain.statuses("both") == ["succeeded", "pending"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_only_a_success_counts(chain: Planner, status: str) -> None:
    """What failed or was cancelled starts nothing, until it is run again and succeeds."""
    chain.finish("one", new=True)
    chain.finish("two", status, new=True)
    assert chain.statuses("both") == []
    chain.execute("update poller.run set status = 'pending' where job = 'two'")
    chain.finish("two")
    assert chain.statuses("both") == ["pending"]


def test_a_paused_job_is_not_started_by_others(chain: Planner) -> None:
    """Nor when it is resumed: the next success starts it."""
    chain.execute("update poller.job set paused_at = poller.now() where name = 'both'")
    chain.finish("one", new=True)
    chain.finish("two", new=True)
    assert chain.statuses("both") == []
    chain.execute("update poller.job set paused_at = null where name = 'both'")
    chain.finish("two", new=True)
    assert chain.statuses("both") == ["pending"]


@pytest.mark.parametrize(
    ("overlap", "while_one_runs", "while_one_waits"),
    [
        ("allow", ["running", "pending"], ["running", "pending", "pending"]),
        ("skip", ["running", "skipped"], ["running", "skipped", "skipped"]),
        ("queue", ["running", "pending"], ["running", "pending", "skipped"]),
        ("replace", ["running", "pending"], ["running", "cancelled", "pending"]),
    ],
)
def test_a_success_keeps_to_the_overlap_of_the_job_after_it(
    planner: Callable[..., Planner], overlap: Overlap, while_one_runs: list[str], while_one_waits: list[str]
) -> None:
    """It is a slot like any other; a run that is to make way is asked to stop."""
    p = planner(named("first", cron("@daily")), named("then", unscheduled(after="first", overlap=overlap)))
    p.enter_worker("then")
    p.finish("first", new=True)
    p.execute("update poller.run set status = 'running' where job = 'then'")
    p.finish("first", new=True)
    assert p.statuses("then") == while_one_runs
    p.finish("first", new=True)
    assert p.statuses("then") == while_one_waits
    asked = p.execute("select cancel_at is not null from poller.run where status = 'running'")
    assert asked == [(overlap == "replace",)]
    ends = p.execute(
        "select finished_at is not null from poller.run where status in ('skipped', 'cancelled')"
    )
    assert all(each for (each,) in ends)


def test_g7_a_run_that_ends_while_it_is_to_make_way_does_not_wait_in_a_circle(
    planner: Callable[..., Planner], url: str, db: psycopg.Connection[Any]
) -> None:
    """Its success asks for the row of a job that the other success holds by then, if that takes jobs before runs."""
    p = planner(
        named("first", cron("@daily")),
        named("then", unscheduled(after="first", overlap="replace")),
        named("both", unscheduled(after=["first", "then"])),
    )
    p.finish("first", new=True)
    p.execute("update poller.run set status = 'running' where job = 'then'")
    p.execute("insert into poller.run (job, function) values ('first', 'first')")
    p.execute("update poller.run set status = 'running' where job = 'first' and status = 'pending'")
    p.link.close()
    succeed = "update poller.run set status = 'succeeded' where job = %s and status = 'running'"
    waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with psycopg.connect(url) as ending, ThreadPoolExecutor(1) as pool:
        ending.execute("select from poller.run where job = 'then' and status = 'running' for no key update")
        other = pool.submit(db.execute, succeed, ["first"])
        with psycopg.connect(url, autocommit=True) as looking:
            wait_until("the first success waits", lambda: looking.execute(waiting).rowcount)
        ending.execute(succeed, ["then"])
        ending.commit()
        assert other.result(30).rowcount == 1
    statuses = db.execute("select status from poller.run where job = 'then' order by id").fetchall()
    assert statuses == [("succeeded",), ("pending",)]


def test_a_success_starts_no_job_outside_its_window(planner: Callable[..., Planner]) -> None:
    """Neither before `starts_at` nor after `ends_at`, whether or not it is made up for later: it is not."""
    window = {"starts_at": at("13:00"), "ends_at": at("14:00")}
    p = planner(named("first", cron("@yearly")), named("then", unscheduled(after="first", **window)))  # type: ignore[arg-type]
    for text, runs in (("12:30", 0), ("13:30", 1), ("14:30", 1)):
        p.set_clock(at(text))
        p.finish("first", new=True)
        assert len(p.slots("then")) == runs, text


def test_a_job_after_another_starts_later_by_its_jitter(planner: Callable[..., Planner]) -> None:
    """By chance, and its slot is when the other one ended."""
    p = planner(
        named("first", cron("@daily")),
        named("then", unscheduled(after="first", jitter="1h", overlap="queue")),
    )
    finished = [p.finish("first", new=True)]
    for _ in range(5):
        p.finish("then")
        finished.append(p.finish("first", new=True))
    rows = p.execute("select planned_at, due_at from poller.run where job = 'then' order by planned_at")
    assert [after(one, slot) for one, (slot, _) in zip(finished, rows, strict=True)] == [0.0] * 6
    delays = [(due - slot).total_seconds() for slot, due in rows]
    assert all(0 <= each <= 3600 for each in delays)
    assert len(set(delays)) == 6


def test_of_a_job_that_no_worker_has_one_run_waits(planner: Callable[..., Planner]) -> None:
    """Its program is gone, or away for a while: what comes back finds one run for all successes, not each."""
    p = planner(named("first", cron("@daily")), named("then", unscheduled(after="first")))
    for _ in range(3):
        p.finish("first", new=True)
    assert p.statuses("then") == ["pending"]
    p.enter_worker("then")
    p.finish("first", new=True)
    assert p.statuses("then") == ["pending", "pending"]
    p.execute("update poller.worker set died_at = poller.now()")
    p.finish("first", new=True)
    assert p.statuses("then") == ["pending", "pending"]


def test_two_successes_in_one_statement_start_a_job_once(chain: Planner) -> None:
    """As when a worker settles a batch."""
    for name in ("one", "one", "two", "two"):
        chain.execute("insert into poller.run (job, function) values (%s, %s)", name, name)
    chain.execute("update poller.run set status = 'running'")
    chain.execute("update poller.run set status = 'succeeded'")
    assert chain.statuses("both") == ["pending"]


def test_g7_two_successes_at_the_same_moment_start_a_job_once(
    chain: Planner, url: str, db: psycopg.Connection[Any]
) -> None:
    """Neither sees the other's transaction: the second waits for the first at the job's row."""
    for name in ("one", "two"):
        chain.execute("insert into poller.run (job, function) values (%s, %s)", name, name)
    chain.execute("update poller.run set status = 'running'")
    chain.link.close()
    with psycopg.connect(url) as first:
        first.execute("update poller.run set status = 'succeeded' where job = 'one'")
        second = threading.Thread(
            target=db.execute, args=["update poller.run set status = 'succeeded' where job = 'two'"]
        )
        second.start()
        question = (
            "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        with psycopg.connect(url, autocommit=True) as looking:
            wait_until("the second waits", lambda: looking.execute(question).rowcount)
        assert first.execute("select from poller.run where job = 'both'").rowcount == 0
        first.commit()
        second.join(30)
    assert db.execute("select status from poller.run where job = 'both'").fetchall() == [("pending",)]


def test_g10_jobs_after_each_other_in_a_circle_are_refused(planner: Callable[..., Planner], url: str) -> None:
    """With their names and places, also where a part of it is in the database only; there may be others beside it."""
    p = planner(named("far", unscheduled(after="near")), named("near", unscheduled(after=["clean", "a"])))
    clean = named("clean", cron("@daily"))
    a, b, c = (named(name, unscheduled(after=[other, "clean"])) for name, other in ("ab", "bc", "ca"))
    with pytest.raises(PollerError) as refused:
        job_store.check(p.link.connection, [clean, named("d", unscheduled(after="a")), a, b, c])
    line = a.place.partition(" (")[0]
    assert str(refused.value) == (
        f"{a.place}: jobs run after each other in a circle: 'a' after 'b' ({line}) after 'c' ({line})"
        " after 'a'; leave one of these out of after="
    )
    by_way_of_others = named("a", unscheduled(after="far"))
    with pytest.raises(PollerError) as refused:
        job_store.check(p.link.connection, [clean, by_way_of_others])
    said = "'a' after 'far' (of another program) after 'near' (of another program) after 'a'"
    assert said in str(refused.value)
    with pytest.raises(PollerError, match="in a circle: 'a' after 'far'"):
        Engine(url, clean, by_way_of_others).__enter__()
    # What this program declares holds, not the row that it will update.
    job_store.check(p.link.connection, [clean, by_way_of_others, named("near", unscheduled(after="clean"))])


def test_g10_two_ways_from_one_job_to_another_are_no_circle(planner: Callable[..., Planner]) -> None:
    """Nor is a circle of another program's that jobs here only follow: it is not theirs to mend."""
    p = planner(named("x", unscheduled(after="y")), named("y", unscheduled(after="x")))
    top, left, right = (
        named("top", cron("@daily")),
        *(named(side, unscheduled(after="top")) for side in ("l", "r")),
    )
    bottom = named("bottom", unscheduled(after=["l", "r", "top", "x"]))
    job_store.check(p.link.connection, [bottom, right, left, top])


def test_g10_a_job_after_one_that_is_not_there_is_refused(planner: Callable[..., Planner]) -> None:
    """With the place of the one that names it, also where the database knows other jobs."""
    follower = named("follower", unscheduled(after="nobody"))
    p = planner(named("other", cron("@daily")))
    with pytest.raises(PollerError) as refused:
        job_store.check(p.link.connection, [follower])
    assert str(refused.value) == f"{follower.place}: after='nobody': there is no such job"
    job_store.check(p.link.connection, [named("second", unscheduled(after="other"))])
    job_store.check(
        p.link.connection, [named("third", unscheduled(after="fourth")), named("fourth", cron("@daily"))]
    )
