"""Schedules: known cases of cron, what is refused and why, fixed rate, fixed delay, and once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from poller import PollerError
from poller.schedules.slots import At, Cron, Every, FixedDelay, Schedule, parse

ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = timedelta.resolution


def at(text: str) -> datetime:
    """Return an instant from ISO 8601; UTC unless it says otherwise."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def next_ones(expression: str, zone: str, start: str, count: int) -> list[str]:
    """Return the slots after a wall-clock time in a zone, as that zone's wall-clock times with offset."""
    schedule, slot, slots = parse(expression, zone), at(start), []
    if datetime.fromisoformat(start).tzinfo is None:
        slot = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    for _ in range(count):
        found = schedule.next_after(slot, ANCHOR)
        assert found is not None
        slots.append(found.astimezone(ZoneInfo(zone)).isoformat())
        slot = found
    return slots


# --- changes of clocks --------------------------------------------------------------------------------

# What is due, where, after which time there, and when it runs.
CLOCKS = [
    pytest.param(
        "30 2 * * *",
        "America/New_York",
        "2024-03-09T12:00",
        ["2024-03-10T03:00-04:00", "2024-03-11T02:30-04:00"],
        id="a time left out runs right after the gap",
    ),
    pytest.param(
        "0,15,45 2 * * *",
        "America/New_York",
        "2024-03-10T00:00",
        ["2024-03-10T03:00-04:00", "2024-03-11T02:00-04:00"],
        id="several times left out run once",
    ),
    pytest.param(
        "30 2,3 * * *",
        "America/New_York",
        "2024-03-10T00:00",
        ["2024-03-10T03:00-04:00", "2024-03-10T03:30-04:00", "2024-03-11T02:30-04:00"],
        id="what is due after the gap runs all the same",
    ),
    pytest.param(
        "0 2,3 * * *",
        "America/New_York",
        "2024-03-10T00:00",
        ["2024-03-10T03:00-04:00", "2024-03-11T02:00-04:00"],
        id="what is due just when the gap ends runs once with what was left out",
    ),
    pytest.param(
        "30 1 * * *",
        "America/New_York",
        "2024-11-02T12:00-04:00",
        ["2024-11-03T01:30-04:00", "2024-11-04T01:30-05:00"],
        id="a time that comes twice runs once, the first",
    ),
    pytest.param(
        "30 1 * * *",
        "America/New_York",
        "2024-11-03T01:30-04:00",
        ["2024-11-04T01:30-05:00"],
        id="nor does it run again if asked between the two",
    ),
    pytest.param(
        "15,45 0-23 * * *",
        "America/New_York",
        "2024-11-03T01:00-04:00",
        ["2024-11-03T01:15-04:00", "2024-11-03T01:45-04:00", "2024-11-03T02:15-05:00"],
        id="hours listed one by one are times of day, and pause while the hour comes again",
    ),
    pytest.param(
        "*/30 * * * *",
        "America/New_York",
        "2024-11-03T00:30-04:00",
        ["2024-11-03T01:00-04:00", "2024-11-03T01:30-04:00", "2024-11-03T01:00-05:00"],
        id="every half hour goes on through an hour that comes twice",
    ),
    pytest.param(
        "0 * * * *",
        "America/New_York",
        "2024-11-03T00:00-04:00",
        ["2024-11-03T01:00-04:00", "2024-11-03T01:00-05:00", "2024-11-03T02:00-05:00"],
        id="every hour runs at both",
    ),
    pytest.param(
        "@hourly",
        "America/New_York",
        "2024-03-10T01:00-05:00",
        ["2024-03-10T03:00-04:00", "2024-03-10T04:00-04:00"],
        id="every hour goes on after the gap",
    ),
    pytest.param(
        "0 */2 * * *",
        "America/New_York",
        "2024-03-10T00:00-05:00",
        ["2024-03-10T04:00-04:00", "2024-03-10T06:00-04:00"],
        id="a wildcard hour that was left out is not made up",
    ),
    pytest.param(
        "*/20 2 * * *",
        "America/New_York",
        "2024-03-09T02:40",
        ["2024-03-11T02:00-04:00", "2024-03-11T02:20-04:00"],
        id="a wildcard minute in an hour left out is not made up",
    ),
    pytest.param(
        "*/10 30 2 * * *",
        "America/New_York",
        "2024-03-09T02:30:50",
        ["2024-03-10T03:00-04:00", "2024-03-11T02:30-04:00"],
        id="seconds with a wildcard still have their time of day: the gap",
    ),
    pytest.param(
        "*/30 30 1 * * *",
        "America/New_York",
        "2024-11-03T01:00-04:00",
        ["2024-11-03T01:30-04:00", "2024-11-03T01:30:30-04:00", "2024-11-04T01:30-05:00"],
        id="seconds with a wildcard still have their time of day: twice",
    ),
    pytest.param(
        "0 0 * * *",
        "Africa/Cairo",
        "2024-04-25T12:00",
        ["2024-04-26T01:00+03:00", "2024-04-27T00:00+03:00"],
        id="midnight left out, Cairo",
    ),
    pytest.param(
        "@daily",
        "Asia/Beirut",
        "2024-03-30T12:00",
        ["2024-03-31T01:00+03:00", "2024-04-01T00:00+03:00"],
        id="midnight left out, Beirut",
    ),
    pytest.param(
        "30 23 * * *",
        "Asia/Beirut",
        "2024-10-26T12:00",
        ["2024-10-26T23:30+03:00", "2024-10-27T23:30+02:00"],
        id="an hour before midnight that comes twice",
    ),
    pytest.param(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2024-10-05T12:00",
        ["2024-10-06T02:30+11:00", "2024-10-07T02:15+11:00"],
        id="half an hour left out",
    ),
    pytest.param(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2024-04-06T12:00",
        ["2024-04-07T01:45+11:00", "2024-04-08T01:45+10:30"],
        id="half an hour that comes twice",
    ),
    pytest.param(
        "*/30 * * * *",
        "Australia/Lord_Howe",
        "2024-04-07T01:00+11:00",
        ["2024-04-07T01:30+11:00", "2024-04-07T01:30+10:30", "2024-04-07T02:00+10:30"],
        id="every half hour through half an hour that comes twice",
    ),
    pytest.param(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-28T13:00",
        ["2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00"],
        id="a day lost is not made up",
    ),
    pytest.param(
        "0 0 30 * *",
        "Pacific/Apia",
        "2011-11-30T12:00",
        ["2012-01-30T00:00+14:00"],
        id="nor is a month's only day",
    ),
    pytest.param(
        "0 12 * * *",
        "Pacific/Kwajalein",
        "1969-09-29T13:00",
        ["1969-09-30T12:00+11:00", "1969-09-30T12:00-12:00", "1969-10-01T12:00-12:00"],
        id="a day that comes twice has its runs twice",
    ),
    pytest.param(
        "30 1 * * *",
        "Antarctica/Casey",
        "2022-10-01T12:00",
        ["2022-10-02T03:01+11:00", "2022-10-03T01:30+11:00"],
        id="three hours left out are made up",
    ),
    pytest.param(
        "30 1 * * *",
        "Antarctica/Casey",
        "2023-03-08T12:00",
        ["2023-03-09T01:30+11:00", "2023-03-10T01:30+08:00"],
        id="three hours that come twice have their runs once",
    ),
    pytest.param(
        "30 0 * * *",
        "Africa/Monrovia",
        "1972-01-06T12:00",
        ["1972-01-07T00:44:30+00:00", "1972-01-08T00:30+00:00"],
        id="44 minutes and 30 seconds left out",
    ),
    pytest.param(
        "15 23 * * *",
        "Asia/Pyongyang",
        "2018-05-04T12:00",
        ["2018-05-04T23:15+08:30", "2018-05-05T23:15+09:00"],
        id="a new time zone: the day before, and the day after",
    ),
    pytest.param(
        "45 23 * * *",
        "Asia/Pyongyang",
        "2018-05-04T12:00",
        ["2018-05-05T00:00+09:00", "2018-05-05T23:45+09:00"],
        id="a new time zone: the half hour left out for good",
    ),
]


@pytest.mark.parametrize(("expression", "zone", "start", "expected"), CLOCKS)
def test_a_change_of_clocks(expression: str, zone: str, start: str, expected: list[str]) -> None:
    """A time left out runs right after, one that comes twice runs once; wildcards follow real time."""
    found = next_ones(expression, zone, start, len(expected))
    assert [at(slot) for slot in found] == [at(slot) for slot in expected]


# --- the language -------------------------------------------------------------------------------------

# What is due after the first of January 2024, a Monday, in UTC.
LINES = [
    ("0 0 13 * 5", ["2024-01-05", "2024-01-12", "2024-01-13", "2024-01-19"], "either day, if both are named"),
    ("0 0 */2 * 1", ["2024-01-15", "2024-01-29", "2024-02-05"], "both days, if one begins with a star"),
    ("0 0 1-31/2 * 1", ["2024-01-03", "2024-01-05", "2024-01-07", "2024-01-08"], "a range is no star"),
    ("0 0 * * 0", ["2024-01-07", "2024-01-14"], "Sunday is 0"),
    ("0 0 * * 7", ["2024-01-07", "2024-01-14"], "and 7"),
    ("0 0 * * sun", ["2024-01-07", "2024-01-14"], "and has a name"),
    ("0 0 * * FRI-SUN", ["2024-01-05", "2024-01-06", "2024-01-07", "2024-01-12"], "Sunday ends a week"),
    ("0 0 * * 5-7", ["2024-01-05", "2024-01-06", "2024-01-07", "2024-01-12"], "also as a number"),
    ("0 0 1 jan,Jul *", ["2024-07-01", "2025-01-01"], "months have names, however written"),
    ("0 0 L * *", ["2024-01-31", "2024-02-29", "2024-03-31"], "the last day of the month"),
    ("0 0 L,15 * *", ["2024-01-15", "2024-01-31", "2024-02-15"], "in a list"),
    ("0 0 * * 5L", ["2024-01-26", "2024-02-23"], "the last Friday"),
    ("0 0 * * L5", ["2024-01-26", "2024-02-23"], "the other way round"),
    ("0 0 * * friL", ["2024-01-26", "2024-02-23"], "by its name"),
    ("0 0 * * 5#3", ["2024-01-19", "2024-02-16"], "the third Friday"),
    ("0 0 * * mon#1,5#3", ["2024-01-19", "2024-02-05", "2024-02-16"], "two of that kind"),
    ("0 0 13 * 5#3", ["2024-01-13", "2024-01-19", "2024-02-13"], "beside a day of the month"),
    ("0 0 29 2 *", ["2024-02-29", "2028-02-29"], "a leap day"),
    ("0 0 29 2 0", ["2024-02-04", "2024-02-11", "2024-02-18", "2024-02-25", "2024-02-29"], "or a Sunday"),
    ("0 0 31 * *", ["2024-01-31", "2024-03-31", "2024-05-31"], "shorter months are left out"),
    ("0 0 ? * MON", ["2024-01-08", "2024-01-15"], "a ? is a star"),
    ("0 0 15 * ?", ["2024-01-15", "2024-02-15"], "in either place"),
    ("5/20 0 1 2 *", ["2024-02-01T00:05", "2024-02-01T00:25", "2024-02-01T00:45"], "5/20 is 5-59/20"),
    ("10-20/5 0 1 2 *", ["2024-02-01T00:10", "2024-02-01T00:15", "2024-02-01T00:20"], "a step in a range"),
    ("0 0 10 * * *", ["2024-01-01T10:00", "2024-01-02T10:00"], "six fields begin with seconds"),
    (
        "30,45 0 10 1 1 *",
        ["2024-01-01T10:00:30", "2024-01-01T10:00:45", "2025-01-01T10:00:30"],
        "to the second",
    ),
    ("*/20 * * * * *", ["2024-01-01T00:00:20", "2024-01-01T00:00:40", "2024-01-01T00:01"], "each 20 s"),
    ("  0\t0  2 1 *\n", ["2024-01-02", "2025-01-02"], "whatever space there is"),
    ("@yearly", ["2025-01-01", "2026-01-01"], "words"),
    ("@annually", ["2025-01-01", "2026-01-01"], "words"),
    ("@monthly", ["2024-02-01", "2024-03-01"], "words"),
    ("@weekly", ["2024-01-07", "2024-01-14"], "words"),
    ("@Daily", ["2024-01-02", "2024-01-03"], "words"),
    ("@midnight", ["2024-01-02", "2024-01-03"], "words"),
    ("@hourly", ["2024-01-01T01:00", "2024-01-01T02:00"], "words"),
]


@pytest.mark.parametrize(("expression", "expected", "what"), LINES)
def test_what_a_line_means(expression: str, expected: list[str], what: str) -> None:
    """Fields, names, ranges, steps, lists, L and #; days combine as in cronie."""
    found = next_ones(expression, "UTC", "2024-01-01", len(expected))
    assert [at(slot) for slot in found] == [at(slot) for slot in expected], what


def test_a_line_may_name_its_zone() -> None:
    """A leading CRON_TZ= or TZ= goes before tz=."""
    tokyo = Cron("0 3 * * *", "Asia/Tokyo")
    assert parse("CRON_TZ=Asia/Tokyo 0 3 * * *") == tokyo
    assert parse("TZ=Asia/Tokyo 0 3 * * *", "Europe/Berlin") == tokyo
    assert parse("  cron_tz=Asia/Tokyo  @daily") == Cron("0 0 * * *", "Asia/Tokyo")
    assert tokyo.next_after(ANCHOR, ANCHOR) == at("2024-01-01T18:00")
    assert str(tokyo) == "CRON_TZ=Asia/Tokyo 0 3 * * *"


# What is refused, and a part of what the user is told.
REFUSED = [
    ("0 0 31 2 *", "never fires: no month it names has such a day"),
    ("0 0 30 feb *", "never fires"),
    ("0 0 31 4,6,9,11 *", "never fires"),
    ("*/90 * * * *", "it means minute 0 alone; write 0, or @every 90m"),
    ("0 */90 * * * *", "it means minute 0 alone; write 0, or @every 90m"),
    ("*/60 * * * *", "write 0, or @every 60m"),
    ("*/75 * * * * *", "@every 75s"),
    ("0 */24 * * *", "it means hour 0 alone; write 0, or @every 24h"),
    ("0 0 */31 * *", "it means day of the month 1 alone"),
    ("0 0 1 */12 *", "it means month 1 alone; write 1"),
    ("5-7/9 * * * *", "it means minute 5 alone"),
    ("*/0 * * * *", "a step of 0"),
    ("@reboot", "not to one host's start"),
    ("@fortnightly", "unknown word; known: @yearly"),
    ("@every5m", "unknown word"),
    ("", "0 fields; write minute hour day month weekday"),
    ("* * * *", "4 fields"),
    ("0 * * * * * 2024", "7 fields"),
    ("60 * * * *", "'60' is not a minute (0-59)"),
    ("60 * * * * *", "'60' is not a second (0-59)"),
    ("* 24 * * *", "'24' is not an hour (0-23)"),
    ("* * 0 * *", "'0' is not a day of the month (1-31, L for the last, L-3, 15W, LW)"),
    ("* * * 13 *", "'13' is not a month (1-12 or JAN-DEC)"),
    ("* * * * 8", "'8' is not a weekday (0-7 or SUN-SAT"),
    ("* * * * MONDAI", "'MONDAI' is not a weekday"),
    ("mon * * * *", "'MON' is not a minute"),
    ("* * * * 5#6", "'5#6' is not a weekday"),
    ("* * L-31 * *", "'L-31' is not a day of the month"),
    ("* * 32W * *", "'32W' is not a day of the month"),
    ("* * 1-5W * *", "'5W' is not a day of the month"),
    ("1,,2 * * * *", "'' is not a minute"),
    ("-1 * * * *", "'-1' is not a minute"),
    ("1.5 * * * *", "'1.5' is not a minute"),
    ("\u0663 * * * *", "is not a minute"),
    ("R * * * *", "'R' is not a minute"),
    ("@every", "'' is not a duration; write it like '30s'"),
    ("@every 5", "'5' is not a duration"),
    ("@every 0s", "more than 0s"),
    ("@every 0.0000001s", "more than 0s"),
    ("@every -5m", "'-5m' is not a duration"),
    ("@every 40000d", "at most 36525d"),
    ("@after soon", "schedule '@after soon': 'soon' is not a duration"),
    ("@after 0s", "a fixed delay must be more than 0s"),
    ("@at", "write a time with its zone"),
    ("@at tomorrow", "schedule '@at tomorrow': write a time with its zone"),
    ("@at 2030-01-01T03:00", "a time needs its zone"),
    ("@at 9999-12-31T23:00-05:00", "beyond the calendar"),
    ("@at 0001-01-01T00:00+05:00", "beyond the calendar"),
    ("CRON_TZ=Mars/Base 0 0 * * *", "unknown time zone 'Mars/Base'"),
    ("CRON_TZ=Mars/Base @every 5m", "unknown time zone 'Mars/Base'"),
    ("CRON_TZ= 0 0 * * *", "unknown time zone ''"),
    ("CRON_TZ=Europe/Berlin", "0 fields"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_g10_what_cannot_have_been_meant_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Never fires, means something else than it says, or says nothing: one line that names it."""
    with pytest.raises(PollerError) as refused:
        parse(text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [None, 5, b"* * * * *", timedelta(minutes=5)])
def test_g10_a_schedule_that_is_no_text_is_refused(text: str) -> None:
    """The error shows how one is written."""
    with pytest.raises(PollerError, match="a schedule is written like '0 3"):
        parse(text)


@pytest.mark.parametrize(
    ("zone", "advice"),
    [
        ("berlin", "is it Europe/Berlin?"),
        ("new york", "is it America/New_York?"),
        ("Europe/Berln", "is it Europe/Berlin"),
        ("", "write it like 'Europe/Berlin'"),
        ("Mars/Base", "write it like 'Europe/Berlin'"),
        ("localtime", "write it like 'Europe/Berlin'"),
        ("posix/Europe/Berlin", "is it"),
        ("../../etc/passwd", "write it like 'Europe/Berlin'"),
        ("Europe", "write it like 'Europe/Berlin'"),
        ("+02:00", "write it like 'Europe/Berlin'"),
        (None, "write it like 'Europe/Berlin'"),
    ],
)
def test_g10_a_zone_that_is_none_is_refused_with_one_that_is_near(zone: str, advice: str) -> None:
    """Also one that is not the same on every host."""
    for text in ("0 0 * * *", "@every 5m"):
        with pytest.raises(PollerError) as refused:
            parse(text, zone)
        assert f"unknown time zone {zone!r}" in str(refused.value)
        assert advice in str(refused.value)


def test_only_times_of_day_are_cron() -> None:
    """`cron("@every 5m")` is a slip: it has a name of its own."""
    assert Cron.parse("@daily", "Asia/Tokyo") == Cron("0 0 * * *", "Asia/Tokyo")
    with pytest.raises(PollerError, match="it is a fixed rate or delay"):
        Cron.parse("@every 5m")


# --- rates, delays, once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1w2d3h4m5s", 788_645),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("0.001ms", 0.000001),
        ("36525d", 36_525 * 86_400),
    ],
)
def test_rates_and_delays_are_durations(text: str, expected: float) -> None:
    """Days and weeks among them, and each is read back from its text as the same."""
    every, after = parse(f"@every {text}"), parse(f"@AFTER  {text} ")
    assert every == Every(expected)
    assert after == FixedDelay(expected)
    assert parse(str(every)) == every
    assert parse(str(after)) == after


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 36_526 * 86_400, 1e-9])
def test_g10_a_period_that_cannot_be_is_refused(seconds: float) -> None:
    """None, backwards, beyond the calendar, or shorter than a microsecond."""
    for kind in (Every, FixedDelay):
        with pytest.raises(PollerError, match="must be more than 0s and at most 36525d"):
            kind(seconds)


def test_a_fixed_rate_counts_from_its_anchor() -> None:
    """The anchor is the first slot; there is none before; no period is lost, however late one asks."""
    every = Every(90)
    assert every.latest_at_or_before(ANCHOR - MOMENT, ANCHOR) is None
    assert every.next_after(ANCHOR - timedelta(days=9), ANCHOR) == ANCHOR
    assert every.next_after(ANCHOR - MOMENT, ANCHOR) == ANCHOR
    assert every.next_after(ANCHOR, ANCHOR) == at("2024-01-01T00:01:30")
    assert every.latest_at_or_before(at("2024-01-01T00:02:59"), ANCHOR) == at("2024-01-01T00:01:30")
    assert every.next_after(at("2034-01-01T00:00:01"), ANCHOR) == at("2034-01-01T00:01:30")
    assert Every(0.1).latest_at_or_before(at("2034-01-01"), ANCHOR) == at("2034-01-01")


def test_a_fixed_rate_takes_no_notice_of_clocks() -> None:
    """A day is 24 hours, also where clocks are changed; the zone of what is asked makes no difference."""
    berlin = ZoneInfo("Europe/Berlin")
    anchor = datetime(2024, 3, 30, 12, tzinfo=berlin)
    assert Every(86_400).next_after(anchor, anchor) == datetime(2024, 3, 31, 13, tzinfo=berlin)


def test_a_fixed_delay_counts_from_the_finish() -> None:
    """One slot, that long after; further ones wait for that one's finish."""
    delay = FixedDelay(300)
    slot = at("2024-01-01T00:05")
    assert delay.next_after(ANCHOR, ANCHOR) == slot
    assert delay.latest_at_or_before(slot - MOMENT, ANCHOR) is None
    assert delay.latest_at_or_before(slot, ANCHOR) == slot
    assert delay.slots_between(ANCHOR, at("2024-02-01"), ANCHOR, 10) == [slot]


def test_once_is_once() -> None:
    """The instant, before it and never again after it."""
    instant = at("2030-01-01T02:00")
    once = parse("@at 2030-01-01T03:00+01:00")
    assert once == At(instant)
    assert once.next_after(ANCHOR, ANCHOR) == instant
    assert once.next_after(instant - MOMENT, ANCHOR) == instant
    assert once.next_after(instant, ANCHOR) is None
    assert once.latest_at_or_before(instant - MOMENT, ANCHOR) is None
    assert once.latest_at_or_before(instant, ANCHOR) == instant
    assert once.slots_between(ANCHOR, at("2031-01-01"), ANCHOR, 10) == [instant]
    assert once.slots_between(instant, at("2031-01-01"), ANCHOR, 10) == []
    assert once.slots_between(ANCHOR, instant - MOMENT, ANCHOR, 10) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@at 2030-01-01T03:00+01:00", "@at 2030-01-01T02:00:00+00:00"),
        ("@At 2030-01-01 03:00Z", "@at 2030-01-01T03:00:00+00:00"),
        ("@at 2030-01-01T03:00:00.25-03:30", "@at 2030-01-01T06:30:00.250000+00:00"),
        ("CRON_TZ=Asia/Tokyo @at 2030-01-01T03:00Z", "@at 2030-01-01T03:00:00+00:00"),
    ],
)
def test_once_is_written_in_utc_and_read_back(text: str, expected: str) -> None:
    """To the microsecond, whatever zone it was given in."""
    once = parse(text)
    assert str(once) == expected
    assert parse(expected) == once


def test_g10_once_needs_its_zone() -> None:
    """Whose three o'clock it is cannot be guessed."""
    with pytest.raises(PollerError, match="a time needs its zone"):
        At(datetime(2030, 1, 1))  # noqa: DTZ001 - the point


# --- bounded, and sure of what it is asked ------------------------------------------------------------

LONG_AGO, NOW = at("1990-01-01"), at("2024-01-01")
SCHEDULES = [
    Every(1),
    Every(0.000001),
    parse("* * * * * *"),
    parse("*/7 * * * * *", "America/New_York"),
    parse("* * * * *", "Australia/Lord_Howe"),
    parse("0 3 * * *", "Africa/Cairo"),
    parse("0 0 29 2 1#1"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("limit", [1, 100])
def test_slots_cost_by_what_they_are_not_by_how_long_nobody_asked(schedule: Schedule, limit: int) -> None:
    """34 years of each second are a thousand million slots: the newest come at once."""
    schedule.slots_between(NOW - timedelta(seconds=1), NOW, LONG_AGO, 1)  # zones are read
    began = time.process_time()
    slots = schedule.slots_between(LONG_AGO, NOW, LONG_AGO, limit)
    assert time.process_time() - began < 0.5
    assert 0 < len(slots) <= limit
    assert slots == sorted(set(slots))
    assert slots[-1] == schedule.latest_at_or_before(NOW, LONG_AGO)


def test_slots_lie_after_the_one_and_up_to_the_other() -> None:
    """What has been decided is not decided again, what has come is not left out."""
    hourly = parse("0 * * * *")
    slots = [at(f"2024-01-01T{hour:02}:00") for hour in range(1, 4)]
    assert hourly.slots_between(ANCHOR, slots[-1], ANCHOR, 10) == slots
    assert hourly.slots_between(ANCHOR, slots[-1] - MOMENT, ANCHOR, 10) == slots[:-1]
    assert hourly.slots_between(ANCHOR - MOMENT, slots[-1], ANCHOR, 10) == [ANCHOR, *slots]
    assert hourly.slots_between(ANCHOR, slots[-1], ANCHOR, 2) == slots[1:]
    assert hourly.slots_between(slots[-1], ANCHOR, ANCHOR, 10) == []
    assert hourly.slots_between(ANCHOR, slots[-1], ANCHOR, 0) == []


def test_the_calendar_has_an_end() -> None:
    """No slot is an answer, not an error."""
    yearly = parse("@yearly")
    assert yearly.next_after(at("9999-06-01"), ANCHOR) is None
    assert yearly.latest_at_or_before(at("0001-01-02"), ANCHOR) in {None, at("0001-01-01")}
    assert parse("@every 1d").next_after(at("9999-12-31T23:59"), ANCHOR) is None
    assert parse("0 0 1 1 *", "Asia/Tokyo").next_after(at("9999-12-31T23:59"), ANCHOR) is None


@pytest.mark.parametrize("schedule", [*SCHEDULES, FixedDelay(5), At(ANCHOR)], ids=str)
def test_an_instant_without_a_zone_is_a_mistake(schedule: Schedule) -> None:
    """It is refused rather than taken for UTC."""
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="must have a time zone"):
        schedule.next_after(naive, naive)
    with pytest.raises(ValueError, match="must have a time zone"):
        schedule.latest_at_or_before(naive, naive)
