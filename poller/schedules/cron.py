"""Reads a cron line in wall-clock time, refuses lines that cannot be meant, finds the times that it names.

Nothing here knows of zones: a time is a naive `datetime`, as a clock on the wall shows it. `wall_clock` maps
such times to instants. The language is that of crontab(5) of cronie 1.7, with a field for seconds in front
if there are six, `L`, `L-3`, `LW`, `15W` and `#` as in Quartz, `5/15` for `5-59/15`, ranges that wrap around
(`22-6`, `NOV-MAR`), and `?` for `*` in the two fields of days. Stricter than cronie: a step that never comes
round is refused, and so is a line that never fires. `cron_dialects` recognises the lines of other programs.

A line is searched by its own sets of values: which days of a month it names is worked out once for each month,
and times of day are found by bisection, so that a search costs microseconds however rare the line.
"""

from __future__ import annotations

import calendar
import functools
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

from poller.errors import ConfigurationError
from poller.schedules import cron_dialects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MACROS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ITEM = re.compile(r"(?:\*|([A-Z0-9]+)(?:-([A-Z0-9]+))?)(?:/([0-9]{1,9}))?", re.ASCII)
_NTH_WEEKDAY = re.compile(r"([A-Z0-9]+)#([1-5])", re.ASCII)
_LAST_WEEKDAY = re.compile(r"L([A-Z0-9]+)|([A-Z0-9]+)L", re.ASCII)
_FROM_THE_END = re.compile(r"L(?:-([0-9]{1,2}))?", re.ASCII)
_NEAR_DAY = re.compile(r"(?:L|([0-9]{1,2}))W", re.ASCII)
_FIRST_YEAR, _CYCLE, _LAST_YEAR = 2000, 400, 9999  # the calendar repeats itself after 400 years
_FRIDAY, _SATURDAY = 5, 6
_WEEK = 7


class FromTheEnd(NamedTuple):
    """A day of the month, counted back from its last: `L` is 0, `L-3` is 3."""

    days: int


class NearDay(NamedTuple):
    """The day from Monday to Friday that is nearest to a day of the month, and in that month; None for the last."""

    day: int | None


class NthWeekday(NamedTuple):
    """A weekday of the month: its third Friday is (5, 3), its last (5, -1)."""

    weekday: int
    nth: int


DayValue = int | FromTheEnd | NearDay
WeekdayValue = int | NthWeekday
Value = DayValue | WeekdayValue


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    values: str  # how the values are shown to the user
    names: tuple[str, ...] = ()
    unit: str = ""  # units of a duration, to suggest what too large a step may have meant


_FIELDS = (
    _Field("second", 0, 59, "0-59", unit="s"),
    _Field("minute", 0, 59, "0-59", unit="m"),
    _Field("hour", 0, 23, "0-23", unit="h"),
    _Field("day of the month", 1, 31, "1-31, L for the last, L-3, 15W, LW", unit="d"),
    _Field("month", 1, 12, "1-12 or JAN-DEC", _MONTHS),
    _Field(
        "weekday", 0, 6, "0-7 or SUN-SAT, 0 and 7 for Sunday; 5L the last Friday, 5#3 the third", _WEEKDAYS
    ),
)
_DAY, _WEEKDAY = _FIELDS[3], _FIELDS[5]

Time = tuple[int, ...]  # hour, minute, second
Times = tuple[tuple[int, ...], ...]  # the values of each, in order


class DayRule(NamedTuple):
    """Which days of a month a line names.

    Args:
        days: by their number or their place in the month.
        weekdays: by their weekday.
        both: a day must be among both (cronie's find_jobs(): if either field begins with `*`), else in one.
    """

    days: frozenset[DayValue]
    weekdays: frozenset[WeekdayValue]
    both: bool


@dataclass(frozen=True, slots=True)
class CronLine:
    """A valid cron line that fires.

    Args:
        text: the line in canonical form: upper case, single spaces, macros replaced.
        follows_clock: whether the minute or the hour begins with `*`: how cronie tells jobs that recur by
            the clock from those that have their time of day (`MIN_STAR | HR_STAR` in entry.c).
        months: those it names, in order.
        rule: the days it names.
        times: its hours, minutes and seconds, each in order.
    """

    text: str
    follows_clock: bool
    months: tuple[int, ...]
    rule: DayRule
    times: Times
    _back: Times = field(
        init=False
    )  # the same with all signs reversed: a search backwards is a search forwards there

    def __post_init__(self) -> None:
        object.__setattr__(self, "_back", tuple(_mirrored(values) for values in self.times))

    def at_or_after(self, wall: datetime) -> datetime | None:
        """Return the first time from a whole second on; None where the calendar ends."""
        today = wall.date()
        for day in self._days_from(today):
            wanted = (wall.hour, wall.minute, wall.second) if day == today else (0, 0, 0)
            if (found := _at_or_above(self.times, wanted)) is not None:
                hour, minute, second = found
                return datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001 - a wall
        return None

    def at_or_before(self, wall: datetime) -> datetime | None:
        """Return the last time up to a whole second; None where the calendar begins."""
        today = wall.date()
        for day in self._days_up_to(today):
            wanted = (wall.hour, wall.minute, wall.second) if day == today else (23, 59, 59)
            if (found := _at_or_above(self._back, tuple(-value for value in wanted))) is not None:
                hour, minute, second = found
                return datetime(day.year, day.month, day.day, -hour, -minute, -second)  # noqa: DTZ001 - a wall
        return None

    def _days_from(self, start: date) -> Iterator[date]:
        for year in range(start.year, _LAST_YEAR + 1):
            for month in self.months:
                if (year, month) >= (start.year, start.month):
                    days = (date(year, month, day) for day in _days(self.rule, year, month))
                    yield from (day for day in days if day >= start)

    def _days_up_to(self, end: date) -> Iterator[date]:
        for year in range(end.year, 0, -1):
            for month in reversed(self.months):
                if (year, month) <= (end.year, end.month):
                    days = (date(year, month, day) for day in reversed(_days(self.rule, year, month)))
                    yield from (day for day in days if day <= end)


def _mirrored(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(-value for value in reversed(values))


def _at_or_above(times: Times, wanted: Time) -> Time | None:
    """Return the first combination of values, one of each, that is not below another in their order."""
    values, rest = times[0], times[1:]
    for value in values[bisect_left(values, wanted[0]) :]:
        if value > wanted[0]:
            return (value, *(each[0] for each in rest))
        if not rest:
            return (value,)
        if (below := _at_or_above(rest, wanted[1:])) is not None:
            return (value, *below)
    return None


@functools.lru_cache(maxsize=16384)
def _days(rule: DayRule, year: int, month: int) -> tuple[int, ...]:
    """Return the days of a month that a rule names, in order."""
    first, last = calendar.monthrange(year, month)
    first = (first + 1) % _WEEK  # of cron's week, which begins with Sunday
    by_number = {day for value in rule.days if (day := _numbered(value, first, last)) is not None}
    by_weekday = {day for day in range(1, last + 1) if _is_named(rule.weekdays, day, first, last)}
    return tuple(sorted(by_number & by_weekday if rule.both else by_number | by_weekday))


def _numbered(value: DayValue, first: int, last: int) -> int | None:
    """Return the day of a month that a value of the day's field names, if the month has it."""
    if isinstance(value, NearDay):
        day = last if value.day is None else value.day
        return _near_day(day, (first + day - 1) % _WEEK, last) if day <= last else None
    day = last - value.days if isinstance(value, FromTheEnd) else value
    return day if 1 <= day <= last else None


def _near_day(day: int, weekday: int, last: int) -> int:
    """Return the nearest day from Monday to Friday; the month is not left."""
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < last else day - 2
    return day


def _is_named(weekdays: frozenset[WeekdayValue], day: int, first: int, last: int) -> bool:
    weekday = (first + day - 1) % _WEEK
    if weekday in weekdays or NthWeekday(weekday, (day + 6) // _WEEK) in weekdays:
        return True
    return day + _WEEK > last and NthWeekday(weekday, -1) in weekdays


# --- reading ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def read(text: str) -> CronLine:
    """Read a cron line of five or six fields, or a macro such as `@daily`.

    Raises:
        ConfigurationError: it is not a cron line, never fires, or is misleading.
    """
    canonical = " ".join(text.upper().split())
    canonical = _MACROS.get(canonical, canonical)
    try:
        return _read(canonical)
    except ValueError as error:
        reason = cron_dialects.advice(text, _reads) or error
        msg = f"cron expression {' '.join(text.split())!r}: {reason}"
        raise ConfigurationError(msg) from None


def _reads(text: str) -> bool:
    """Tell whether a line is valid: a suggested line must not be refused in turn."""
    canonical = " ".join(text.upper().split())
    try:
        _read(_MACROS.get(canonical, canonical))
    except ValueError:
        return False
    return True


def _read(text: str) -> CronLine:
    fields = _split(text)
    padded = fields if len(fields) == len(_FIELDS) else ["0", *fields]
    second, minute, hour, month = (_numbers(padded[place], _FIELDS[place], padded) for place in (0, 1, 2, 4))
    rule = DayRule(
        days=cast("frozenset[DayValue]", frozenset(_values(padded[3], _DAY, padded))),
        weekdays=cast("frozenset[WeekdayValue]", frozenset(_values(padded[5], _WEEKDAY, padded))),
        both=padded[3].startswith("*") or padded[5].startswith("*"),
    )
    if not _fires(rule, month):
        msg = "it never fires: no month it names has such a day"
        raise ValueError(msg)
    return CronLine(
        text=" ".join(fields),
        follows_clock=any(written.startswith("*") for written in padded[1:3]),
        months=month,
        rule=rule,
        times=(hour, minute, second),
    )


def _split(text: str) -> list[str]:
    if text.startswith("@"):
        msg = f"unknown word; known: {', '.join(_MACROS).lower()} and @every 5m"
        if text == "@REBOOT":
            msg = "jobs belong to the database, not to one host's start; name a time, or trigger the job"
        raise ValueError(msg)
    fields = text.split()
    if len(fields) not in {5, 6}:
        msg = f"{len(fields)} fields; write minute hour day month weekday, and seconds before them if wanted"
        raise ValueError(msg)
    cron_dialects.refuse_quartz_weekdays(fields)
    for place in (-1, -3):  # Quartz and Spring want a ? there
        fields[place] = "*" if fields[place] == "?" else fields[place]
    return fields


def _fires(rule: DayRule, months: Sequence[int]) -> bool:
    years = range(_FIRST_YEAR, _FIRST_YEAR + _CYCLE)
    return any(_days(rule, year, month) for year in years for month in months)


def _numbers(written: str, field: _Field, line: list[str]) -> tuple[int, ...]:
    return tuple(sorted(value for value in _values(written, field, line) if isinstance(value, int)))


def _values(written: str, field: _Field, line: list[str]) -> set[Value]:
    """Return the values that a field allows."""
    return set().union(*(_item(item, field, line) for item in written.split(",")))


def _item(item: str, field: _Field, line: list[str]) -> set[Value]:
    special = _special(item, field)
    if special is not None:
        return {special}
    if not (found := _ITEM.fullmatch(item)):
        _refuse(item, field)
    first, last, by = found.groups()
    low, high = _bounds(field, first, last, by)
    step = int(by or 1)
    if step < 1 or 1 < step > high - low:
        _refuse_step(item, field, low, step, line)
    size = field.high - field.low + 1
    return {field.low + (number - field.low) % size for number in range(low, high + 1, step)}


def _special(item: str, field: _Field) -> Value | None:
    """Return the value of an item that is not a plain number: `L`, `L-3`, `15W`, `5#3`, `5L`."""
    if field is _DAY and (end := _FROM_THE_END.fullmatch(item)):
        return FromTheEnd(_within(end[1] or "0", item, field, 0, 30))
    if field is _DAY and (near := _NEAR_DAY.fullmatch(item)):
        return NearDay(None if near[1] is None else _within(near[1], item, field, 1, 31))
    if field is _WEEKDAY and (nth := _NTH_WEEKDAY.fullmatch(item)):
        return NthWeekday(_number(nth[1], field) % _WEEK, int(nth[2]))
    if field is _WEEKDAY and item not in _WEEKDAYS and (last := _LAST_WEEKDAY.fullmatch(item)):
        return NthWeekday(_number(last[1] or last[2], field) % _WEEK, -1)
    return None


def _within(digits: str, item: str, field: _Field, low: int, high: int) -> int:
    return int(digits) if low <= int(digits) <= high else _refuse(item, field)


def _bounds(field: _Field, first: str | None, last: str | None, by: str | None) -> tuple[int, int]:
    """Return the first value of an item and its last; of one that wraps around, beyond the field's own."""
    low = field.low if first is None else _number(first, field)
    high = field.high if first is None or by else low  # 5/15 is 5-59/15, as croniter and robfig have it
    if last is not None:
        high = _number(last, field)
    return (low, high) if low <= high else (low, high + field.high - field.low + 1)


def _number(token: str, field: _Field) -> int:
    if token in field.names:
        return field.low + field.names.index(token)
    most = 7 if field is _WEEKDAY else field.high
    if re.fullmatch("[0-9]{1,9}", token) and field.low <= int(token) <= most:
        return int(token)
    return _refuse(token, field)


def _refuse(token: str, field: _Field) -> NoReturn:
    msg = f"{token!r} is not {'an' if field.name[0] in 'aeiouh' else 'a'} {field.name} ({field.values})"
    raise ValueError(msg)


def _refuse_step(item: str, field: _Field, low: int, step: int, line: list[str]) -> None:
    if step == 0:
        msg = f"{item!r} has a step of 0"
        raise ValueError(msg)
    own, other = {_DAY: (line[3], line[5]), _WEEKDAY: (line[5], line[3])}.get(field, ("", ""))
    if own.startswith("*") and not other.startswith("*") and item.startswith("*"):
        raise ValueError(cron_dialects.both_days(item, line))
    instead = f"write {low}" + (f", or @every {step}{field.unit}" if field.unit else "")
    msg = f"the step of {item!r} leaves its range, so it means {field.name} {low} alone; {instead}"
    raise ValueError(msg)
