"""Times as people read them: how long ago, at what time of which day, and how long something took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.duration import words

if TYPE_CHECKING:
    from datetime import datetime, tzinfo


def since(at: datetime | None, now: datetime) -> str:
    """Return how long ago a time is, or how far ahead; "" for None."""
    if at is None:
        return ""
    age = (now - at).total_seconds()
    return f"{words(age)} ago" if age >= 0 else f"in {words(-age)}"


def clock(at: datetime, zone: tzinfo | None = None) -> str:
    """Return a time in words, in a time zone; None is the local one."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def moment(at: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """Return a time in as few words as tell it: that of the day alone if it is today; "" for None."""
    if at is None:
        return ""
    there, today = at.astimezone(zone), now.astimezone(zone)
    return there.strftime("%H:%M:%S" if there.date() == today.date() else "%Y-%m-%d %H:%M")


def took(seconds: float | None) -> str | None:
    """Return how long an attempt took: `4.6s`, `12ms`, `0.35ms`; None for None."""
    if seconds is None:
        return None
    if seconds >= 1:
        return words(seconds)
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f}ms" if milliseconds >= 1 else f"{milliseconds:.2f}ms"
