"""Schedules: known cases of cron, what is refused and why, fixed rate and fixed delay."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from poller.slots import parse

ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)


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
        slots.append(found.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
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
        ["2024-11-03T01:30-04:00", "2024-11-03T01:30-04:00", "2024-11-04T01:30-05:00"],
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
