"""The rate of a handler: how many rows may begin within a time, over the whole fleet."""

from __future__ import annotations

import re
from dataclasses import dataclass

from poller.duration import seconds, words
from poller.errors import ConfigurationError
from poller.model.option_checks import LARGEST_INTEGER, LONGEST_TIMEOUT_SECONDS, check_number

SHORTEST_WINDOW_SECONDS = 0.1  # of a rate
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many rows may be begun within any `window` seconds.

    A worker cannot know when its handler begins to the microsecond, so `rows` are claimed within a window
    that is longer by `slack`, and one that has not begun within `slack` seconds of its claim is given back.
    """

    rows: int
    window: float

    @property
    def slack(self) -> float:
        """How late a row may begin after its claim, in seconds."""
        return min(self.window / 20, 0.25)


def rate_of(text: object) -> Rate | None:
    """Return a rate that is written as `100/1m`.

    Raises:
        ConfigurationError: it is not a rate.
    """
    if text is None:
        return None
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        msg = f"rate must be rows in a time, like '100/1m' or '10/s', got {text!r}"
        raise ConfigurationError(msg)
    rows, window = match.groups()
    found = Rate(int(rows), seconds(window if window[0].isdigit() else f"1{window}"))
    check_number("the rows of a rate", found.rows, LARGEST_INTEGER)
    if not SHORTEST_WINDOW_SECONDS <= found.window <= LONGEST_TIMEOUT_SECONDS:
        msg = f"the time of a rate must be at least {words(SHORTEST_WINDOW_SECONDS)}, and at most a year, got {text!r}"
        raise ConfigurationError(msg)
    return found
