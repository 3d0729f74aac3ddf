"""A schedule has one set of slots, whichever way it is asked: forward, backward, in one window or in several."""

from __future__ import annotations

import itertools
import random
import time
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest

from poller.schedules.slots import At, Cron, Every, Schedule

SECONDS = 12.0  # of sampling, once each zone has been looked at
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MOST = 400  # slots in a window
MANY = 100_000
LINES = (
    "30 1 * * SUN",
    "30 1 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "15,45 0-3 * * *",
    "*/20 * * * *",
    "0 */2 * * *",
    "*/30 1-3 * * *",
    "30 1 1 * *",
    "0 3 L * *",
    "0 0 1 1,4,10 *",
    "30 2 LW * *",
    "0 22-2 * * FRI-MON",
    "17 30 1 * * 7#1",
    "0 12 L-3 NOV-MAR *",
    "30 2 29 2 *",
)


def forward(schedule: Schedule, after: datetime, until: datetime, anchor: datetime) -> list[datetime]:
    """Return the slots as `next_after` gives them, one after the other."""
    slots: list[datetime] = []
    slot = schedule.next_after(after, anchor)
    while slot is not None and slot <= until:
        slots.append(slot)
        slot = schedule.next_after(slot, anchor)
    return slots


def check(
    schedule: Schedule, after: datetime, until: datetime, cuts: list[datetime], anchor: datetime
) -> None:
    """Hold all ways to ask against the first."""
    expected = forward(schedule, after, until, anchor)
    said = f"{schedule} after {after} until {until}"
    assert schedule.slots_between(after, until, anchor, MANY) == expected, said
    edges = [after, *sorted(cuts), until]
    parts = [schedule.slots_between(*pair, anchor, MANY) for pair in itertools.pairwise(edges)]
    assert [slot for part in parts for slot in part] == expected, f"{said} in parts at {cuts}"
    newest = schedule.slots_between(after, until, anchor, 1)
    assert newest == expected[-1:], said
    for slot in expected[:3] + expected[-3:]:
        assert schedule.latest_at_or_before(slot, anchor) == slot, said
        assert schedule.next_after(slot - timedelta.resolution, anchor) == slot, said


def changes(zone: str) -> list[datetime]:
    """Return the days on which the clocks of a zone change."""
    known = zoneinfo.ZoneInfo(zone)
    days = [FIRST + day * DAY for day in range((LAST - FIRST).days)]
    offsets = [day.astimezone(known).utcoffset() for day in days]
    return [days[place] for place in range(1, len(days)) if offsets[place] != offsets[place - 1]]


def window(chance: random.Random, around: list[datetime]) -> tuple[datetime, datetime]:
    """Return a window of some hours to some weeks, by a change of clocks if there is one."""
    middle = chance.choice(around) if around else FIRST + chance.random() * (LAST - FIRST)
    length = timedelta(hours=chance.choice([3, 12, 48, 60, 24 * 5, 24 * 20, 24 * 60]))
    after = middle - chance.random() * length
    return after, after + length


def test_g10_a_schedule_has_the_same_slots_whichever_way_it_is_asked() -> None:
    """All zones, ten years; a line that comes often is looked at in a short window only."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    zones = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
    chance.shuffle(zones)
    known: dict[str, list[datetime]] = {}
    until = time.monotonic() + SECONDS
    for round_, zone in enumerate(itertools.cycle(zones)):
        if round_ >= len(zones) and time.monotonic() > until:
            return
        around = known.setdefault(zone, changes(zone))
        line = chance.choice(LINES)
        begin, end = window(chance, around)
        if "*/" in line:
            end = min(end, begin + 2 * DAY)
        cuts = [begin + chance.random() * (end - begin) for _ in range(3)]
        try:
            check(Cron.parse(line, zone), begin, end, cuts, begin)
        except AssertionError as error:
            error.add_note(f"seed {seed}, round {round_}")
            raise


def test_g10_so_have_rates_and_single_times() -> None:
    """They take no notice of clocks."""
    for schedule in (Every(7.5), Every(3600), At(FIRST + DAY)):
        check(
            schedule, FIRST, FIRST + 2 * DAY, [FIRST + DAY, FIRST + 1.5 * DAY], FIRST + timedelta(seconds=11)
        )


@pytest.mark.parametrize("days", [1, 2, 2.02, 3, 5])
def test_g10_a_time_that_comes_twice_is_its_first_asked_from_any_day_after(days: float) -> None:
    """On 1 November 2026 New York's 01:30 comes at 05:30 and at 06:30 UTC."""
    schedule = Cron.parse("30 1 * * SUN", "America/New_York")
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    later = first + days * DAY + timedelta(hours=1)
    assert schedule.latest_at_or_before(later, first) == first
    assert schedule.slots_between(first - 12 * DAY, later, first, 10)[-1] == first
