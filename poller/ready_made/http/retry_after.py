"""Reads for how long a server asks to be left alone: the header `Retry-After` of RFC 9110 10.2.3."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

ASKING = (429, 503)  # the statuses with which a server says that it comes too often, or too early
MOST_SECONDS = 3600.0  # a server that asks for longer is asked again all the same
_SECONDS = re.compile("[0-9]{1,18}")


def asked_seconds(retry_after: str | None, date: str | None) -> float:
    """Return the seconds that a header asks for, at most `MOST_SECONDS`; 0 if there is none, or it makes no sense.

    Args:
        retry_after: seconds, or a time.
        date: the answer's own `Date`: what a time is measured from, since two hosts' clocks differ.

    >>> asked_seconds("120", None)
    120.0
    >>> asked_seconds("Sun, 06 Nov 1994 08:50:07 GMT", "Sun, 06 Nov 1994 08:49:37 GMT")
    30.0
    """
    given = (retry_after or "").strip()
    if _SECONDS.fullmatch(given):
        return min(float(given), MOST_SECONDS)
    until, since = _time(given), _time(date or "") or datetime.now(UTC)
    return min(max(0.0, (until - since).total_seconds()), MOST_SECONDS) if until else 0.0


def _time(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):  # of a text that is no time
        return None
