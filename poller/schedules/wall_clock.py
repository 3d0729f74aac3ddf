"""Time zones, and what a cron line does when clocks change.

The rules are those of cronie 1.7 (crond(8), "Daylight Saving Time and other time changes"; `main()` and
`find_jobs()` in cron.c), worked out on the offsets of the zone:

- A line whose minute or hour begins with `*` follows real time. It fires whenever the clock shows a matching
  time: twice in an hour that comes twice, never in one that is left out.
- Any other line has its times of day. It follows a virtual clock, which is never set. If clocks go
  forward, the virtual one catches up at once: times left out fire at the first instant after the gap, as one
  slot, together with one that is due at that instant anyway. If clocks go back, it waits: a time that comes
  twice fires at the first.
- That holds for changes up to three hours. Larger ones (the date line moved, say) are corrections of the
  calendar, and the new time counts as it is: times left out are lost, times that come again fire again.
- The field of seconds, which cronie lacks, does not matter here: `*/10 30 2 * * *` has its time of day.

Zones come from `zoneinfo`, so hosts that plan together should have the same tzdata. A zone is taken as
stretches of one offset; a slot is searched in the current stretch and its neighbours, since far from a
change the line alone decides. Instants here are aware, in UTC, and whole seconds.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.schedules.cron import CronLine

_LOCAL = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")  # names that differ between hosts
_OFFSET = re.compile(r"(?:(?:Etc/)?(?:GMT|UTC))?\s*([+-])\s*(\d{1,2})(?::?(\d\d))?", re.IGNORECASE)
_MOST_HOURS = 12  # that have a name on either side of UTC
_ALIKE = 0.8  # how near a zone's name must come to be offered, from 0 to 1
_SECOND = timedelta(seconds=1)
_LARGE = timedelta(hours=3)
_NEAR = timedelta(
    days=2
)  # longer than any two offsets differ, and shorter than any two changes lie apart (4 days, 1939)
_ASIDE = timedelta(
    days=1
)  # how far from a slot to look a second time, so that a change near the slot is seen from there


def zone(name: str) -> tzinfo:
    """Return the IANA time zone of a name.

    Raises:
        ConfigurationError: there is none, or it differs between hosts; with similar names.
    """
    try:
        if name == "UTC":
            return UTC  # is there where no tzdata is
        if not _LOCAL.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        pass  # missing, not a path within, a folder, not a text
    near = _near(str(name))
    advice = _by_offset(str(name)) or (
        f"is it {' or '.join(near)}?" if near else "write it like 'Europe/Berlin'"
    )
    msg = f"unknown time zone {name!r}; {advice}"
    raise ConfigurationError(msg)


def _by_offset(name: str) -> str | None:
    """Return the name to write for an offset: IANA's names have the sign reversed (POSIX)."""
    found = _OFFSET.fullmatch(name.strip())
    if found is None:
        return None
    sign, hours, minutes = found[1], int(found[2]), int(found[3] or 0)
    if minutes or hours > _MOST_HOURS:
        return "an offset is not a zone; name a city: write it like 'Europe/Berlin'"
    side, posix = ("ahead of", "-") if sign == "+" else ("behind", "+")
    zone = f"Etc/GMT{posix}{hours}" if hours else "UTC"
    return f"{hours}h {side} UTC is {zone}, with its sign turned; for a city's time write it like 'Europe/Berlin'"


def _near(name: str) -> list[str]:
    """Return the names that may have been meant: a zone of that city, or one spelt similarly."""
    names = sorted(zoneinfo.available_timezones())
    known = {zone.lower(): zone for zone in names if not _LOCAL.fullmatch(zone)}
    wanted = name.lower().replace(" ", "_")
    same = [zone for lowered, zone in known.items() if wanted in {lowered, lowered.rpartition("/")[2]}]
    return same or [known[lowered] for lowered in difflib.get_close_matches(wanted, known, 2, _ALIKE)]


def slot_from(line: CronLine, zone: tzinfo, instant: datetime) -> datetime | None:
    """Return the first slot of a line from an instant on; None where the calendar ends."""
    asked = found = None
    while True:
        stretch = _stretch(zone, instant)
        wall = stretch.begins(line)
        if instant > stretch.start:
            wall = max(wall, _wall(instant, stretch.offset))
        if asked is None or found is None or not asked <= wall <= found:
            asked, found = wall, line.at_or_after(wall)
        if found is None:
            return None
        slot = max(stretch.start, _instant(found, stretch.offset))
        if slot < stretch.end:
            return slot
        instant = stretch.end if stretch.after != stretch.offset else max(stretch.end, slot - _ASIDE)


def slot_up_to(line: CronLine, zone: tzinfo, instant: datetime) -> datetime | None:
    """Return the last slot of a line up to an instant; None where the calendar begins."""
    asked = found = None
    while True:
        stretch = _stretch(zone, instant)
        wall = _wall(instant, stretch.offset)
        if asked is None or found is None or not found <= wall <= asked:
            asked, found = wall, line.at_or_before(wall)
        if found is None:
            return None
        slot = _instant(found, stretch.offset)
        if found >= stretch.begins(line):
            return max(stretch.start, slot)
        instant = stretch.start - _SECOND
        if stretch.before == stretch.offset:
            instant = min(instant, slot + _ASIDE)


class _Stretch(NamedTuple):
    """A stretch with one offset, around some instant. Where no change is near, it ends where the search did.

    It begins some hours later than the search: a change just before that would repeat times until then.
    """

    start: datetime
    end: datetime
    before: timedelta  # the offset until `start`, within, and from `end` on
    offset: timedelta
    after: timedelta

    def begins(self, line: CronLine) -> datetime:
        """Return the first time in it that counts for the line: by the real clock, or by the virtual one."""
        is_set = line.follows_clock or abs(self.offset - self.before) > _LARGE
        return _wall(self.start, self.offset if is_set else self.before)


def _stretch(zone: tzinfo, instant: datetime) -> _Stretch:
    early, late = instant - _NEAR, instant + _NEAR
    before, offset, after = (_offset(zone, moment) for moment in (early, instant, late))
    start = early + _LARGE if before == offset else _change(zone, early, instant)
    end = late if after == offset else _change(zone, instant, late)
    return _Stretch(start, end, before, offset, after)


def _change(zone: tzinfo, early: datetime, late: datetime) -> datetime:
    """Return the first second of the later offset; there is one change between the two."""
    old = _offset(zone, early)
    while (between := (late - early) // _SECOND) > 1:
        middle = early + between // 2 * _SECOND
        if _offset(zone, middle) == old:
            early = middle
        else:
            late = middle
    return late


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _wall(instant: datetime, offset: timedelta) -> datetime:
    return (instant + offset).replace(tzinfo=None)


def _instant(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)
