"""When a job is due: cron, fixed rate, fixed delay. Instants in, instants out; no clock is read here.

Every schedule answers the same questions, so that a planner needs nothing but the database's clock: what
comes after an instant, what came last, which slots lie between two instants. The cost of an answer depends on the
slots in it, never on how long ago the last question was. `wall_clock` says what cron does when clocks change.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from poller.duration import seconds
from poller.errors import ConfigurationError
from poller.schedules import cron, wall_clock

if TYPE_CHECKING:
    from datetime import tzinfo

_WITH_ZONE = re.compile(r"\s*(?:CRON_)?TZ=(\S*)(.*)", re.DOTALL | re.IGNORECASE)
_AT = re.compile(r"\s*@at\b(.*)", re.DOTALL | re.IGNORECASE)
_BY_DURATION = re.compile(r"\s*@(every|after)\b(.*)", re.DOTALL | re.IGNORECASE)
_UNITS = (  # no weeks: programs of older versions let Postgres read these texts, which cannot read 1w2d
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
)
_LONGEST_SECONDS = (
    36_525 * 86_400.0
)  # a hundred years: anything longer is a mistake, and would leave the calendar
# As the tables of poller hold times (0013_times.sql): the calendar, but for some days in which a zone is added.
_FIRST, _LAST = datetime(1, 1, 4, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MOMENT = timedelta.resolution


class _Slots(ABC):
    """The questions that a planner asks of any schedule. Instants are aware; those returned are in UTC."""

    __slots__ = ()

    @abstractmethod
    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:
        """Return the first slot after an instant."""

    @abstractmethod
    def latest_at_or_before(self, instant: datetime, anchor: datetime) -> datetime | None:
        """Return the last slot up to an instant."""

    def slots_between(self, after: datetime, until: datetime, anchor: datetime, limit: int) -> list[datetime]:
        """Return the newest slots after one instant and up to another, oldest first.

        Args:
            after: the instant after which they begin, exclusive.
            until: the instant up to which they go, inclusive.
            anchor: where the slots are counted from, as for `next_after`.
            limit: how many at most; the search stops there.
        """
        slots: list[datetime] = []
        after = _utc(after)
        slot = self.latest_at_or_before(until, anchor)
        while slot is not None and slot > after and len(slots) < limit:
            slots.append(slot)
            slot = self.latest_at_or_before(slot - _MOMENT, anchor)
        return slots[::-1]


@dataclass(frozen=True, slots=True)
class Cron(_Slots):
    """A cron line in a time zone, made by `Cron.parse`. It needs no anchor, and takes any.

    Args:
        expression: the line in its canonical form, without zone.
        tz: the name of the zone.
    """

    expression: str
    tz: str = "UTC"

    @classmethod
    def parse(cls, expression: str, tz: str = "UTC") -> Cron:
        """Read a line of 5 fields, of 6 (seconds first), or a word such as `@daily`.

        Args:
            expression: the line; a leading `CRON_TZ=Zone` or `TZ=Zone` goes before `tz`.
            tz: the name of an IANA time zone.

        Raises:
            ConfigurationError: the line cannot be read, never fires, or is misleading;
                or there is no such zone.
        """
        made = parse(expression, tz)
        if not isinstance(made, Cron):
            msg = f"cron expression {expression!r}: no times of day; it is a fixed rate or delay"
            raise ConfigurationError(msg)
        return made

    def __str__(self) -> str:
        return self.expression if self.tz == "UTC" else f"CRON_TZ={self.tz} {self.expression}"

    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        """Return the first slot after an instant; None where the calendar ends."""
        try:
            return wall_clock.slot_from(*self._read(), _whole(instant) + _SECOND)
        except OverflowError:
            return None

    def latest_at_or_before(self, instant: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        """Return the last slot up to an instant; None where the calendar begins."""
        try:
            return wall_clock.slot_up_to(*self._read(), _whole(instant))
        except OverflowError:
            return None

    def _read(self) -> tuple[cron.CronLine, tzinfo]:
        return cron.read(self.expression), wall_clock.zone(self.tz)


@dataclass(frozen=True, slots=True)
class Every(_Slots):
    """Fixed rate: the anchor, and each whole number of periods after it. There is nothing before the anchor.

    Args:
        period: in seconds, to the microsecond.
    """

    period: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "period", _checked(self.period, "the period of a fixed rate"))

    @property
    def written(self) -> str:
        """The period as it is written: `1h30m`."""
        return _written(self.period)

    def __str__(self) -> str:
        return f"@every {self.written}"

    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:
        """Return the first slot after an instant: the anchor, if that is to come; None where the calendar ends."""
        start, period = _utc(anchor), timedelta(seconds=self.period)
        try:
            return start + max(0, (_utc(instant) - start) // period + 1) * period
        except OverflowError:
            return None

    def latest_at_or_before(self, instant: datetime, anchor: datetime) -> datetime | None:
        """Return the last slot up to an instant; None before the anchor."""
        start, period = _utc(anchor), timedelta(seconds=self.period)
        periods = (_utc(instant) - start) // period
        return start + periods * period if periods >= 0 else None


@dataclass(frozen=True, slots=True)
class FixedDelay(_Slots):
    """Fixed delay: one slot, that long after the last run finished. Further ones wait for that one's finish.

    Args:
        delay: in seconds, to the microsecond.
    """

    delay: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", _checked(self.delay, "a fixed delay"))

    @property
    def written(self) -> str:
        """The delay as it is written: `1h30m`."""
        return _written(self.delay)

    def __str__(self) -> str:
        return f"@after {self.written}"

    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        """Return the slot that follows a run which finished at an instant."""
        return _utc(instant) + timedelta(seconds=self.delay)

    def latest_at_or_before(self, instant: datetime, anchor: datetime) -> datetime | None:
        """Return the slot that follows a run which finished at the anchor; None if it is still to come."""
        slot = _utc(anchor) + timedelta(seconds=self.delay)
        return slot if slot <= _utc(instant) else None


@dataclass(frozen=True, slots=True)
class At(_Slots):
    """Once, at an instant.

    Args:
        instant: with its time zone; kept in UTC.
    """

    instant: datetime

    def __post_init__(self) -> None:
        if self.instant.tzinfo is None:
            msg = "a time needs its zone, as in 2030-01-01T03:00+01:00"
            raise ConfigurationError(msg)
        refuse_beyond_calendar("@at", self.instant)
        object.__setattr__(self, "instant", _utc(self.instant))

    def __str__(self) -> str:
        return f"@at {self.instant.isoformat()}"

    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        """Return the instant, if it is still to come."""
        return self.instant if self.instant > _utc(instant) else None

    def latest_at_or_before(self, instant: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        """Return the instant, if it has come."""
        return self.instant if self.instant <= _utc(instant) else None


Schedule = Cron | Every | FixedDelay | At


def parse(text: str, tz: str = "UTC") -> Schedule:
    """Read a schedule: a cron line, `@every 5m` (fixed rate), `@after 5m` (fixed delay) or `@at <ISO time>`.

    A schedule's `str()` is read back as an equal schedule.

    Args:
        text: the schedule; a leading `CRON_TZ=Zone` or `TZ=Zone` goes before `tz`.
        tz: the name of an IANA time zone; rates and delays ignore it.

    Raises:
        ConfigurationError: the text is not a schedule, never fires, or is misleading;
            or there is no such zone.
    """
    if not isinstance(text, str):
        msg = f"a schedule is written like '0 3 * * *' or '@every 5m', got {text!r}"
        raise ConfigurationError(msg)
    return _parse(text, tz)


@functools.lru_cache(
    maxsize=16384
)  # a planner reads the same texts again and again; refused ones are not cached
def _parse(text: str, tz: str) -> Schedule:
    if with_zone := _WITH_ZONE.fullmatch(text):
        tz, text = with_zone[1], with_zone[2]
    wall_clock.zone(tz)
    if at := _AT.fullmatch(text):
        return _at(at[1].strip())
    if by_duration := _BY_DURATION.fullmatch(text):
        return _by_duration(by_duration[1].lower(), by_duration[2].strip())
    return Cron(cron.read(text).text, tz)


def refuse_beyond_calendar(what: str, instant: datetime) -> None:
    """Refuse an instant that poller cannot keep.

    Raises:
        ConfigurationError: it is within days of the ends of the calendar.
    """
    if not _FIRST <= instant <= _LAST:
        ends = f"{_FIRST.date()} to {_LAST.date()}"
        msg = f"{what} {instant.isoformat()} is beyond the calendar, which is from {ends}"
        raise ConfigurationError(msg)


def _at(text: str) -> At:
    try:
        return At(datetime.fromisoformat(text))
    except ValueError:
        msg = f"schedule '@at {text}': write a time with its zone, as in @at 2030-01-01T03:00+01:00"
        raise ConfigurationError(msg) from None


def _by_duration(word: str, duration: str) -> Every | FixedDelay:
    try:
        return (Every if word == "every" else FixedDelay)(seconds(duration))
    except ConfigurationError as error:
        msg = f"schedule {f'@{word} {duration}'.strip()!r}: {error}"
        raise ConfigurationError(msg) from None


def _checked(value: float, what: str) -> float:
    rounded = round(float(value), 6)
    if not 0 < rounded <= _LONGEST_SECONDS:
        msg = f"{what} must be more than 0s and at most 36525d, got {value:g}s"
        raise ConfigurationError(msg)
    return rounded


def _written(value: float) -> str:
    """Return seconds as a duration that is read back as the same number: `1h30m`, `1s500ms`."""
    parts, rest = [], round(value * 1_000_000)
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts) + (f"{rest / 1000:g}ms" if rest else "")


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        msg = "an instant must have a time zone"
        raise ValueError(msg)
    return instant.astimezone(UTC)


def _whole(instant: datetime) -> datetime:
    return _utc(instant).replace(microsecond=0)
