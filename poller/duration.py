"""Durations as people write them: `"30s"`, `"1h30m"`, `"2d"`, or a `timedelta`."""

from __future__ import annotations

import re
from datetime import timedelta

from poller.errors import ConfigurationError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")

Duration = str | timedelta


def seconds(value: Duration) -> float:
    """Return a duration in seconds.

    Args:
        value: a `timedelta`, or numbers with the units `ms s m h d w`, largest first or not
            (`"90s"`, `"1h30m"`, `"1.5d"`).

    Raises:
        ConfigurationError: the text is not a duration, or it is negative.
    """
    if isinstance(value, timedelta):
        total = value.total_seconds()
        if total < 0:
            msg = f"a duration cannot be negative, got {value!r}"
            raise ConfigurationError(msg)
        return total
    text = value.strip() if isinstance(value, str) else ""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        msg = f"{value!r} is not a duration; write it like '30s', '1h30m', '2d', or pass a timedelta"
        raise ConfigurationError(msg)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def words(value: float) -> str:
    """Return seconds in the shortest form a person reads at a glance: `0.3s`, `45s`, `12m`, `3h`, `5d`."""
    if value < 10:  # noqa: PLR2004 - one decimal is noise above ten seconds
        return f"{value:.1f}s"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f}{unit}"
    return f"{value:.0f}s"
