"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from poller.telemetry.times import clock, moment, since, took

NOW = datetime(2030, 3, 31, 1, 30, tzinfo=UTC)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def test_a_moment_is_told_in_the_zone_that_is_asked_for() -> None:
    """Across a change of clocks, and west of UTC; the day stands there if it is another one there."""
    before = NOW - timedelta(hours=1)
    assert (clock(before, BERLIN), clock(NOW, BERLIN)) == ("2030-03-31 01:30:00", "2030-03-31 03:30:00")
    assert moment(before, NOW, BERLIN) == "01:30:00"
    assert moment(NOW, NOW, NEW_YORK) == "21:30:00"
    assert moment(NOW - timedelta(hours=2), NOW, UTC) == "2030-03-30 23:30"
    assert moment(None, NOW) == since(None, NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, None), (75, "75s"), (4.6, "4.6s"), (0.012, "12ms"), (0.00035, "0.35ms")]
)
def test_what_an_attempt_took_is_told_in_its_unit(seconds: float | None, told: str | None) -> None:
    """With no more digits than can be meant."""
    assert took(seconds) == told
