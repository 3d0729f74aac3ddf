"""The days on which runs of a job have failed, as squares: a column for each week, Monday at the top."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from poller.client.job_queries import FailedDays

SIDE, TOP = 14, 16  # of a square with its gap; of the first row
MANY = 4  # failures of a day


@dataclass(frozen=True, slots=True)
class Square:
    """A day."""

    kind: str
    x: int
    y: int
    said: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """The picture; `rows` has the days with failures, the newest first."""

    width: int
    squares: tuple[Square, ...]
    months: tuple[tuple[int, str], ...]
    rows: tuple[tuple[date, int], ...]
    said: str


def calendar(found: FailedDays, days: int) -> Calendar:
    """Return the picture of so many days up to today."""
    first = found.today - timedelta(days=days - 1)
    monday = first - timedelta(days=first.weekday())
    each_day = [first + timedelta(days=number) for number in range(days)]
    places = {day: SIDE * ((day - monday).days // 7) for day in each_day}
    failed = sum(found.days.values())
    runs = f"{'' if found.exact else 'at least '}{failed:,} failed run{'' if failed == 1 else 's'}"
    return Calendar(
        width=max(places.values()) + SIDE,
        squares=tuple(_square(day, x, found.days.get(day, 0)) for day, x in places.items()),
        months=tuple((x, f"{day:%b}") for day, x in places.items() if day.day == 1),
        rows=tuple(sorted(found.days.items(), reverse=True)),
        said=f"{runs} on {len(found.days)} days of {days}",
    )


def _square(day: date, x: int, failed: int) -> Square:
    kind = "many" if failed >= MANY else "few" if failed else "none"
    return Square(kind, x, TOP + SIDE * day.weekday(), f"{day}: {failed:,} failed")
