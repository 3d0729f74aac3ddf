"""A cron line in wall-clock time: reads it, refuses what cannot have been meant, finds its times of day.

Nothing here knows of zones: a time is a naive `datetime`, as a clock on the wall shows it. `wallclock` maps
such times to instants. The language is that of crontab(5) of cronie 1.7, with a field for seconds in front
if there are six, `L` and `#` as in Quartz, `5/15` for `5-59/15`, and `?` for `*` in the two fields of days.
Stricter than cronie: a step that never comes round is refused, and so is a line that never fires.

Fields are expanded here and searched by croniter, which is handed plain lists of numbers and one rule
of days at a time. Measured on croniter 7.0.0, that leaves out where it departs from cronie: `13 * 5#3`
loses the 13th, `50-50` means the whole hour, a reversed range wraps around, `R` differs at each reading.
"""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, NoReturn

from poller.errors import ConfigurationError

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
_SAFE_DAY = 28  # every month has it
_SECOND = timedelta(seconds=1)


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    values: str  # how the values are told to the user
    names: tuple[str, ...] = ()
    unit: str = ""  # of a duration, where one can say what a step too large may have meant


_FIELDS = (
    _Field("second", 0, 59, "0-59", unit="s"),
    _Field("minute", 0, 59, "0-59", unit="m"),
    _Field("hour", 0, 23, "0-23", unit="h"),
    _Field("day of the month", 1, 31, "1-31, or L for the last", unit="d"),
    _Field("month", 1, 12, "1-12 or JAN-DEC", _MONTHS),
    _Field(
        "weekday", 0, 6, "0-7 or SUN-SAT, 0 and 7 for Sunday; 5L the last Friday, 5#3 the third", _WEEKDAYS
    ),
)
_DAY, _WEEKDAY = _FIELDS[3], _FIELDS[5]


@dataclass(frozen=True, slots=True)
class CronLine:
    """A line that was read, and found to fire.

    Args:
        text: the line in one way of writing: upper case, single spaces, macros replaced.
        follows_clock: whether the minute or the hour begins with `*`: how cronie tells jobs that recur by
            the clock from those that have their time of day (`MIN_STAR | HR_STAR` in entry.c).
        searches: the same as lines for croniter, whose times are to be taken together.
    """

    text: str
    follows_clock: bool
    searches: tuple[str, ...]

    def at_or_after(self, wall: datetime) -> datetime | None:
        """Return the first time from a whole second on; None where the calendar ends."""
        found = (_search(line, wall - _SECOND, "get_next") for line in self.searches)
        return min((time for time in found if time is not None), default=None)

    def at_or_before(self, wall: datetime) -> datetime | None:
        """Return the last time up to a whole second; None where the calendar begins."""
        found = (_search(line, wall + _SECOND, "get_prev") for line in self.searches)
        return max((time for time in found if time is not None), default=None)


@functools.lru_cache(maxsize=4096)
def read(text: str) -> CronLine:
    """Read a cron line of five or six fields, or a macro such as `@daily`.

    Raises:
        ConfigurationError: it is no cron line, never fires, or means something else than it says.
    """
    canonical = " ".join(text.upper().split())
    canonical = _MACROS.get(canonical, canonical)
    try:
        return _read(canonical)
    except ValueError as error:
        msg = f"cron expression {' '.join(text.split())!r}: {error}"
        raise ConfigurationError(msg) from None


def _read(text: str) -> CronLine:
    fields = _split(text)
    padded = fields if len(fields) == len(_FIELDS) else ["0", *fields]
    values = [_values(written, field) for written, field in zip(padded, _FIELDS, strict=True)]
    searches = tuple(line for line in _searches(padded, values) if _fires(line))
    if not searches:
        msg = "it never fires: no month it names has such a day"
        raise ValueError(msg)
    return CronLine(
        text=" ".join(fields),
        follows_clock=any(written.startswith("*") for written in padded[1:3]),
        searches=searches,
    )


def _split(text: str) -> list[str]:
    if text.startswith("@"):
        msg = f"there is no such word; there are {', '.join(_MACROS).lower()} and @every 5m"
        if text == "@REBOOT":
            msg = "jobs belong to the database, not to one host's start; name a time, or trigger the job"
        raise ValueError(msg)
    fields = text.split()
    if len(fields) not in {5, 6}:
        msg = f"{len(fields)} fields; write minute hour day month weekday, and seconds before them if wanted"
        raise ValueError(msg)
    for place in (-1, -3):  # Quartz and Spring want a ? there
        fields[place] = "*" if fields[place] == "?" else fields[place]
    return fields


def _values(written: str, field: _Field) -> frozenset[str]:
    """Return what a field allows, each value as croniter writes it: `7`, `l`, `5#3`, `l5`."""
    return frozenset().union(*(_item(item, field) for item in written.split(",")))


def _item(item: str, field: _Field) -> set[str]:
    if field is _DAY and item == "L":
        return {"l"}
    if field is _WEEKDAY and (nth := _NTH_WEEKDAY.fullmatch(item)):
        return {f"{_number(nth[1], field) % 7}#{nth[2]}"}
    if field is _WEEKDAY and item not in _WEEKDAYS and (last := _LAST_WEEKDAY.fullmatch(item)):
        return {f"l{_number(last[1] or last[2], field) % 7}"}
    if not (found := _ITEM.fullmatch(item)):
        _refuse(item, field)
    low, high, step = _bounds(item, field, *found.groups())
    numbers = range(low, high + 1, step)
    return {str(number % 7 if field is _WEEKDAY else number) for number in numbers}


def _bounds(
    item: str, field: _Field, first: str | None, last: str | None, by: str | None
) -> tuple[int, int, int]:
    """Return the first value of an item, its last, and the step.

    Raises:
        ValueError: the item runs backwards, or its step never comes round.
    """
    low = field.low if first is None else _number(first, field)
    high = field.high if first is None or by else low  # 5/15 is 5-59/15, as croniter and robfig have it
    if last is not None:
        high = _number(last, field)
        if field is _WEEKDAY and high == 0 < low:
            high = 7  # FRI-SUN, as in cronie's get_range()
    if high < low:
        msg = f"{item!r} runs backwards; write it as two ranges with a comma between"
        raise ValueError(msg)
    step = int(by or 1)
    if step < 1 or 1 < step > high - low:
        _refuse_step(item, field, low, step)
    return low, high, step


def _number(token: str, field: _Field) -> int:
    if token in field.names:
        return field.low + field.names.index(token)
    most = 7 if field is _WEEKDAY else field.high
    if re.fullmatch("[0-9]{1,9}", token) and field.low <= int(token) <= most:
        return int(token)
    return _refuse(token, field)


def _refuse(token: str, field: _Field) -> NoReturn:
    msg = f"{token!r} is no {field.name} ({field.values})"
    raise ValueError(msg)


def _refuse_step(item: str, field: _Field, low: int, step: int) -> None:
    if step == 0:
        msg = f"{item!r} has a step of 0"
        raise ValueError(msg)
    instead = f"write {low}" + (f", or @every {step}{field.unit}" if field.unit else "")
    msg = f"the step of {item!r} leaves its range, so it means {field.name} {low} alone; {instead}"
    raise ValueError(msg)


def _searches(written: list[str], values: list[frozenset[str]]) -> list[str]:
    """Return lines whose times together are those of the whole line.

    Days go as in cronie's find_jobs(): both fields must hold if either begins with `*`, else one is enough.
    And croniter takes `5` and `5#3` only one at a time.
    """
    second, minute, hour, day, month, _ = map(_listed, values, _FIELDS)
    counted = frozenset(value for value in values[5] if not value.isdigit())
    kinds = [_listed(kind, _WEEKDAY) for kind in (values[5] - counted, counted) if kind]
    if written[3].startswith("*") or written[5].startswith("*"):
        days = [(day, kind) for kind in kinds]
    else:
        days = [(day, "*"), *(("*", kind) for kind in kinds)]
    return [f"{minute} {hour} {day} {month} {weekday} {second}" for day, weekday in days]


def _listed(values: frozenset[str], field: _Field) -> str:
    whole = {str(number) for number in range(field.low, field.high + 1)}
    return "*" if whole <= values else ",".join(sorted(values))


def _fires(line: str) -> bool:
    """Tell whether a line for croniter has any time; the years from 2000 hold every kind of year.

    The usual line is known to fire without asking, which spares the import of croniter where it is only read.
    """
    _, _, days, _, weekdays, _ = line.split()
    rare_day = all(day.isdigit() and int(day) > _SAFE_DAY for day in days.split(","))
    if not rare_day and "#" not in weekdays and "l" not in weekdays:
        return True
    return _search(line, datetime(2000, 1, 1), "get_next") is not None  # noqa: DTZ001 - a wall has no zone


def _search(line: str, wall: datetime, way: str) -> datetime | None:
    """Ask croniter for the nearest time that is not `wall` itself.

    It raises its own ValueError if there is none in 50 years, and others beyond the years 1 and 9999.
    """
    search = copy.copy(_croniter(line))  # it keeps its place in itself, and threads share the original
    try:
        found: datetime = getattr(search, way)(datetime, start_time=wall)
    except (ValueError, OverflowError):
        return None
    return found


@functools.lru_cache(maxsize=4096)
def _croniter(line: str) -> Any:
    from croniter import croniter  # type: ignore[import-untyped]  # noqa: PLC0415 - a tenth of a second

    return croniter(line, datetime(2000, 1, 1), day_or=False)  # noqa: DTZ001 - a wall has no zone
