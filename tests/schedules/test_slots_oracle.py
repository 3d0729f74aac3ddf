"""Cron held against other opinions: cronie's own loop run minute by minute, cronsim, and croniter.

Set POLLER_TEST_TIMES to try that many times as much; `make test-thorough` tries ten times as much.

What cronie's loop does otherwise, and poller not:
- it takes a forward change of less than five minutes for its own lateness, and runs all of those minutes;
- it takes a forward change of just three hours for one of more, against what crond(8) says;
- it runs a job once for each time of day that a gap left out, ten seconds apart; poller once for all of them.
The loop below is set right in the second and third; no zone here has a change as in the first.

What cronsim does otherwise stands at `cronsim_agrees`.
"""

# ruff: noqa: DTZ001 - hypothesis wants its bounds naive

from __future__ import annotations

import calendar
import functools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from cronsim import CronSim
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from poller import PollerError
from poller.schedules.slots import At, Cron, Every, FixedDelay, Schedule, parse
from tests.times import TIMES

Pair = tuple[datetime, datetime]
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
LARGE = timedelta(hours=3)
SOME = 12  # slots compared on either side
ANCHOR = datetime(2000, 1, 1, tzinfo=UTC)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

ZONES = {
    "Africa/Cairo": "midnight left out",
    "Africa/Casablanca": "a winter of a few weeks",
    "Africa/Monrovia": "44 minutes and 30 seconds, in 1972",
    "America/Caracas": "half an hour, for good",
    "America/Havana": "midnight left out, one o'clock twice",
    "America/New_York": "two o'clock",
    "America/Santiago": "midnight left out, eleven at night twice",
    "America/St_Johns": "a minute past midnight",
    "Antarctica/Casey": "three hours",
    "Antarctica/Troll": "two hours",
    "Asia/Beirut": "midnight left out and twice",
    "Asia/Kolkata": "none",
    "Asia/Pyongyang": "half an hour",
    "Atlantic/Azores": "midnight, to the hour before and after",
    "Australia/Lord_Howe": "half an hour",
    "Europe/Dublin": "winter is the exception",
    "Pacific/Apia": "a day lost",
    "Pacific/Chatham": "a quarter to three",
    "Pacific/Kwajalein": "a day lost, and a day twice",
    "UTC": "none",
}


def examples(count: int) -> settings:
    """Return settings for that many examples."""
    return settings(
        max_examples=count * TIMES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


# --- expressions, together with what they mean --------------------------------------------------------


class Field(NamedTuple):
    """A field of an expression, and the values it allows: numbers, `"L"`, `(weekday, nth or "L")`."""

    text: str
    values: frozenset[object]

    @property
    def starred(self) -> bool:
        return self.text.startswith("*")


class Line(NamedTuple):
    """An expression in parts."""

    second: Field | None
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(field.text for field in self if field is not None)

    @property
    def wild(self) -> bool:
        return self.minute.starred or self.hour.starred

    def matches(self, wall: datetime) -> bool:
        seconds = self.second.values if self.second else {0}
        return (
            wall.minute in self.minute.values
            and wall.hour in self.hour.values
            and wall.second in seconds
            and self.has_day(wall.date())
        )

    def has_day(self, day: date) -> bool:
        last = calendar.monthrange(day.year, day.month)[1]
        weekday, nth = day.isoweekday() % 7, (day.day + 6) // 7
        in_month = day.day in self.day.values or ("L" in self.day.values and day.day == last)
        in_week = not self.weekday.values.isdisjoint({weekday, (weekday, nth)}) or (
            (weekday, "L") in self.weekday.values and day.day + 7 > last
        )
        both = self.day.starred or self.weekday.starred
        return day.month in self.month.values and (in_month and in_week if both else in_month or in_week)


def joined(draw: st.DrawFn, parts: st.SearchStrategy[Field]) -> Field:
    drawn = draw(st.lists(parts, min_size=1, max_size=3))
    return Field(",".join(part.text for part in drawn), frozenset().union(*(part.values for part in drawn)))


@st.composite
def ranges(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> Field:
    """`7`, `7-9`, `7-20/4`, `7/4`, `*`, `*/4` or `mon`."""
    first, last = sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high))))
    shape = draw(st.sampled_from(["one", "range", "from", "star", "every"]))
    by_name = draw(st.booleans())
    if shape == "one":
        return Field(names[first - low] if names and by_name else str(first), frozenset({first}))
    start, text = (low, "*") if shape in {"star", "every"} else (first, str(first))
    end = last if shape == "range" else high
    step = draw(st.integers(1, end - start)) if end > start and shape != "star" else 1
    text += f"-{last}" if shape == "range" else ""
    text += f"/{step}" if step > 1 or shape == "from" else ""
    return Field(text, frozenset(range(start, end + 1, step)))


@st.composite
def weekdays(draw: st.DrawFn) -> Field:
    weekday = draw(st.integers(0, 7))
    text = WEEKDAYS[weekday % 7] if draw(st.booleans()) else str(weekday)
    nth = draw(st.sampled_from([0, 0, 1, 2, 3, 4, 5, "L"]))
    if nth == 0:
        return Field(text, frozenset({weekday % 7}))
    return Field(f"{text}L" if nth == "L" else f"{text}#{nth}", frozenset({(weekday % 7, nth)}))


@st.composite
def times(draw: st.DrawFn, high: int) -> Field:
    return joined(draw, ranges(0, high))


EVERY_DAY = Field("*", frozenset(range(32)))


@st.composite
def days(draw: st.DrawFn) -> Field:
    last = st.just(Field("L", frozenset({"L"})))
    return EVERY_DAY if draw(st.booleans()) else joined(draw, ranges(1, 31) | last)


@st.composite
def months(draw: st.DrawFn) -> Field:
    return EVERY_DAY if draw(st.integers(0, 3)) else joined(draw, ranges(1, 12, MONTHS))


@st.composite
def days_of_week(draw: st.DrawFn) -> Field:
    return EVERY_DAY if draw(st.booleans()) else joined(draw, ranges(0, 6, WEEKDAYS) | weekdays())


def lines(seconds: st.SearchStrategy[Field | None]) -> st.SearchStrategy[Line]:
    return st.builds(Line, seconds, times(59), times(23), days(), months(), days_of_week())


# --- clocks -------------------------------------------------------------------------------------------


@functools.cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the instants from 1968 to 2037 at which the zone's clocks are changed, found by looking."""
    first, last = datetime(1968, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
    return tuple(change for _, change in narrowed(ZoneInfo(zone), (first, last), timedelta(days=1)))


def narrowed(zone: ZoneInfo, ends: Pair, step: timedelta) -> list[Pair]:
    """Return neighbours of different offset, looking each day, then each hour, then each half minute."""
    looks = (ends[0] + step * count for count in range((ends[1] - ends[0]) // step + 1))
    found = [pair for pair in pairwise(looks) if offset_of(zone, pair[0]) != offset_of(zone, pair[1])]
    finer = {timedelta(days=1): timedelta(hours=1), timedelta(hours=1): SECOND * 30}.get(step)
    return [pair for pairs in found for pair in narrowed(zone, pairs, finer)] if finer else found


def offset_of(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


@functools.lru_cache(maxsize=512)
def clock(zone: str, middle: datetime, tick: timedelta, reach: timedelta) -> tuple[Pair, ...]:
    """Return instants around a middle, with what the clock on the wall shows at each."""
    info, count = ZoneInfo(zone), 2 * reach // tick
    instants = [middle - reach + tick * step for step in range(count + 1)]
    return tuple((instant, instant.astimezone(info).replace(tzinfo=None)) for instant in instants)


def cronie(line: Line, ticks: tuple[Pair, ...], tick: timedelta) -> list[datetime]:
    """Return when cronie would run a job: the loop of main() in its cron.c, with the names it has there."""
    slots = []
    virtual_time = ticks[0][1]
    for time_running, wall in ticks[1:]:
        difference = wall - virtual_time
        if difference == tick or difference > LARGE + tick or difference < -LARGE:
            virtual_time = wall
            due = line.matches(wall)
        elif difference > tick:
            missed = [virtual_time + tick * step for step in range(1, difference // tick + 1)]
            due = line.matches(wall) if line.wild else any(map(line.matches, missed))
            virtual_time = wall
        else:
            due = line.wild and line.matches(wall)
        if due:
            slots.append(time_running)
    return slots


class Place(NamedTuple):
    """A stretch of time in a zone, with a start within it."""

    zone: str
    middle: datetime
    start: datetime


@st.composite
def places(draw: st.DrawFn, reach: timedelta) -> Place:
    zone = draw(st.sampled_from(sorted(ZONES)))
    some_day = datetime(draw(st.integers(1968, 2037)), 6, 15, tzinfo=UTC)
    middle = draw(st.sampled_from((*changes(zone), some_day)))
    near = draw(st.sampled_from([reach, LARGE])) / SECOND
    return Place(zone, middle, middle + draw(st.integers(-int(near), int(near))) * SECOND)


# --- the tests ----------------------------------------------------------------------------------------


def forward(schedule: Cron, start: datetime, until: datetime) -> list[datetime]:
    """Return the next slots after a start, some at most."""
    slots: list[datetime] = []
    slot = schedule.next_after(start, ANCHOR)
    while slot is not None and slot <= until and len(slots) < SOME:
        slots.append(slot)
        slot = schedule.next_after(slot, ANCHOR)
    return slots


def agrees(line: Line, place: Place, tick: timedelta, reach: timedelta) -> None:
    """Compare the slots after the start, and those before it, with cronie's."""
    schedule = parse(line.text, place.zone)
    assert isinstance(schedule, Cron)
    ticks = clock(place.zone, place.middle, tick, reach)
    first, last = ticks[0][0], ticks[-1][0]
    expected = cronie(line, ticks, tick)
    assert forward(schedule, place.start, last) == [slot for slot in expected if slot > place.start][:SOME]
    earlier = schedule.slots_between(first, place.start, ANCHOR, SOME)
    assert earlier == [slot for slot in expected if slot <= place.start][-SOME:]


def readable(line: Line) -> Line:
    """Set aside what is refused: a line that never fires."""
    first = date(2000, 1, 1)
    assume(any(line.has_day(first + timedelta(days=day)) for day in range(28 * 366)))
    return line


REACH = timedelta(hours=36)
SHORT_REACH = timedelta(hours=4)


@pytest.mark.fault("F18")
@examples(120)
@given(lines(st.none()).map(readable), places(REACH))
def test_slots_are_those_of_cronies_loop(line: Line, place: Place) -> None:
    """Any line, in any zone, before and after any change of clocks, fires when cronie's loop would run it."""
    assume(
        place.zone != "Africa/Monrovia"
    )  # cronie counts in minutes, that zone's change was not one of them
    agrees(line, place, MINUTE, REACH)


@examples(40)
@given(lines(times(59)).map(readable), places(SHORT_REACH))
def test_slots_with_seconds_are_those_of_cronies_loop_run_each_second(line: Line, place: Place) -> None:
    """A field of seconds changes nothing about the rules."""
    agrees(line, place, SECOND, SHORT_REACH)


def cronsim_agrees(line: Line, place: Place, until: datetime) -> bool:
    """Tell whether cronsim 2.8 has the same rules for a line until some instant.

    - It reads `5L` but not `friL`, and counts `3/2` of the weekday up to Sunday, poller (as croniter and
      robfig) up to Saturday.
    - It takes changes of a day like those of an hour; cronie corrects its clock.
    - It knows whole minutes only: after a gap that ends between two it waits for the next.
    - Asked in the second of two hours, it names slots of the first for a line with its time of day: the past.
    - A line that follows real time loses its way at changes that are not by whole hours, at the full hour, or
      that leave out midnight: it steps by hours from midnight, and skips what comes first after the change.
    """
    if any(part.endswith("L") and not part[0].isdigit() for part in line.weekday.text.split(",")):
        return False
    if any("/" in part and part[0].isdigit() and "-" not in part for part in line.weekday.text.split(",")):
        return False
    if not line.wild and place.start.astimezone(ZoneInfo(place.zone)).fold:
        return False
    day = timedelta(days=1)
    return not any(
        place.start - day <= change <= until + day and is_odd(place.zone, change, wild=line.wild)
        for change in changes(place.zone)
    )


def is_odd(zone: str, change: datetime, *, wild: bool) -> bool:
    before, after = (offset_of(ZoneInfo(zone), change - tick) for tick in (SECOND, 0 * SECOND))
    start, end = sorted((change + offset).replace(tzinfo=None) for offset in (before, after))
    crooked = (end - start) % (60 * MINUTE) or start.minute or start.second
    midnight = before < after and (start.hour == 0 or start.date() != end.date())
    return end - start > LARGE or bool(end.second) or (wild and bool(crooked or midnight))


@examples(150)
@given(lines(st.none()).map(readable), places(REACH))
def test_slots_are_those_of_cronsim(line: Line, place: Place) -> None:
    """cronsim, which follows Debian's cron, names the same slots wherever its rules are the same."""
    schedule = parse(line.text, place.zone)
    assert isinstance(schedule, Cron)
    found = forward(schedule, place.start, datetime(2100, 1, 1, tzinfo=UTC))
    assume(cronsim_agrees(line, place, found[-1]))
    theirs = CronSim(line.text, place.start.astimezone(ZoneInfo(place.zone)))
    assert found == [next(theirs).astimezone(UTC) for _ in found]


@examples(120)
@given(lines(st.none()).map(readable), st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)))
def test_rare_days_are_found_however_far(line: Line, start: datetime) -> None:
    """The next and the last slot are on the days that looking at each day finds."""
    line = line._replace(minute=Field("0", frozenset({0})), hour=Field("12", frozenset({12})))
    start = start.replace(hour=0, tzinfo=UTC)
    schedule = parse(line.text)
    for step, slot in (
        (1, schedule.next_after(start, ANCHOR)),
        (-1, schedule.latest_at_or_before(start, ANCHOR)),
    ):
        expected = start.date() + timedelta(days=0 if step > 0 else -1)
        while not line.has_day(expected):
            expected += timedelta(days=step)
        assert slot == datetime(expected.year, expected.month, expected.day, 12, tzinfo=UTC)


# --- what holds for any schedule ----------------------------------------------------------------------

rates = st.builds(Every, st.floats(0.001, 1e6)) | st.sampled_from([Every(0.000001), Every(3.3), Every(86400)])
crons = st.builds(
    lambda line, zone: parse(line.text, zone),
    lines(st.none() | times(59)).map(readable),
    st.sampled_from(sorted(ZONES)),
)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


@examples(120)
@given(rates | crons, instants, instants, st.integers(1, SOME))
def test_slots_agree_with_each_other(
    schedule: Cron | Every, anchor: datetime, start: datetime, limit: int
) -> None:
    """Slots rise strictly, and are the same from whichever side and however many at a time one asks."""
    slots: list[datetime] = []
    slot = schedule.next_after(start, anchor)
    assert slot is not None
    while len(slots) < SOME:
        assert slot > (slots[-1] if slots else start)
        assert schedule.latest_at_or_before(slot, anchor) == slot
        slots.append(slot)
        slot = schedule.next_after(slot, anchor)
        assert slot is not None
    latest = schedule.latest_at_or_before(start, anchor)
    assert latest is None or latest <= start
    assert latest is None or schedule.next_after(latest, anchor) == slots[0]
    just_before = schedule.latest_at_or_before(slots[0] - timedelta.resolution, anchor)
    assert just_before == latest
    assert schedule.slots_between(start, slots[-1], anchor, limit) == slots[-limit:]


delays = st.builds(FixedDelay, st.floats(0.001, 1e6))
moments = st.builds(At, st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)))


@examples(150)
@given(rates | crons | delays | moments)
def test_the_text_of_a_schedule_is_read_back_as_its_equal(schedule: Schedule) -> None:
    """What is stored is what was meant, in whichever zone it is read."""
    assert parse(str(schedule)) == schedule
    assert parse(str(schedule), "Asia/Tokyo") == (
        replace(schedule, tz="Asia/Tokyo")
        if isinstance(schedule, Cron) and schedule.tz == "UTC"
        else schedule
    )
    if isinstance(schedule, Cron):
        assert parse(schedule.expression, schedule.tz) == schedule
        assert parse(schedule.expression.lower(), schedule.tz) == schedule


@examples(200)
@given(st.text() | st.text(alphabet="0123456789*/-,#L? @msdh") | lines(st.none()).map(lambda line: line.text))
def test_g10_any_text_is_a_schedule_or_refused_in_one_line(text: str) -> None:
    """Nothing that a person may type leads to another error; what is read fires."""
    try:
        schedule = parse(text)
    except PollerError as error:
        assert str(error).isprintable() or not text.isprintable()  # noqa: PT017 - both are right
    else:
        assert isinstance(schedule, At) or schedule.next_after(ANCHOR, ANCHOR) is not None


@pytest.mark.parametrize(
    "line",
    [
        "*/5 * * * *",
        "30 2 1,15 * *",
        "0 9-17/2 * * mon-fri",
        "0 0 29 2 *",
        "15 10 L * *",
        "0 8 * * 5#3",
        "0 8 * * L5",
        "59 23 31 12 *",
        "7 */3 2-20/6 1,7 *",
        "0 0 * * 7",
    ],
)
def test_slots_are_those_of_croniter_where_no_clock_changes(line: str) -> None:
    """It was what searched for them before; in UTC, and with one field of days, the two mean the same."""
    began = datetime(2026, 11, 1, 0, 0, 30, tzinfo=UTC)
    theirs = croniter(line, began)
    ours, slot = [], began
    for _ in range(60):
        following = Cron.parse(line.replace("L5", "5L")).next_after(slot, ANCHOR)
        assert following is not None
        ours.append(following)
        slot = following
    assert ours == [theirs.get_next(datetime) for _ in range(60)]
