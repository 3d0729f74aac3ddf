"""Durations, as people write them and as they are shown to people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller import PollerError
from poller.duration import seconds, words

UNHURRIED = settings(deadline=None, database=None)
UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_what_it_says(unit: str) -> None:
    """From a thousandth of a second to a week."""
    assert seconds(f"3{unit}") == pytest.approx(3 * UNITS[unit].total_seconds())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", 5400),
        ("1w2d", 777_600),
        ("30m1h", 5400),
        ("1.5d", 129_600),
        ("1m1ms", 60.001),
        ("0s", 0),
        ("007s", 7),
        (" 30s\n", 30),
    ],
)
def test_parts_are_added_in_any_order(text: str, expected: float) -> None:
    """With decimals, and whatever space stands around."""
    assert seconds(text) == pytest.approx(expected)


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(list(UNITS))), min_size=1, max_size=8))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    """However many there are, units that come twice included."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    expected = sum((number * UNITS[unit] for number, unit in parts), timedelta())
    assert seconds(text) == pytest.approx(expected.total_seconds())


@UNHURRIED
@given(st.timedeltas(min_value=timedelta()))
def test_a_timedelta_is_taken_as_it_is(given: timedelta) -> None:
    """To the microsecond."""
    assert seconds(given) == given.total_seconds()


@pytest.mark.parametrize(
    "value",
    [
        *["", " ", "30", "s", "soon", "-1s", "+1s", "1h30", "1h 30m", "30 s", "1h,30m"],
        *["1y", "1min", "1H", "1.s", ".5s", "1.2.3s", "1e3s", "1,5s", "infs", "nan", "PT1H"],
        *[30, 1.5, None, True, b"30s", ["30s"]],
    ],
)
def test_g10_what_is_no_duration_is_refused(value: Any) -> None:
    """The line repeats it and shows how to write one; a bare number has no unit."""
    with pytest.raises(PollerError) as caught:
        seconds(value)
    assert str(caught.value).startswith(f"{value!r} is not a duration; write it like '30s'")


def test_g10_a_negative_timedelta_is_refused() -> None:
    """Time goes one way."""
    with pytest.raises(PollerError, match="cannot be negative"):
        seconds(timedelta(microseconds=-1))


@UNHURRIED
@given(st.text("0123456789.-+ mshdw"))
def test_any_text_is_a_duration_or_is_refused(text: str) -> None:
    """No text makes another error, or less than nothing."""
    try:
        assert seconds(text) >= 0
    except PollerError as error:
        assert "is not a duration" in str(error)  # noqa: PT017 - either of the two will do


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0.0s"), (0.25, "0.2s"), (9.9, "9.9s"), (10, "10s"), (119, "119s")],
        *[(120, "2m"), (7199, "120m"), (7200, "2h"), (172_799, "48h"), (172_800, "2d"), (31_536_000, "365d")],
    ],
)
def test_words_use_the_unit_that_reads_best(value: float, text: str) -> None:
    """A unit is used from two of it on."""
    assert words(value) == text


@UNHURRIED
@given(st.floats(0, 9999 * 86400))
def test_words_are_short_and_can_be_written_back(value: float) -> None:
    """They are a duration of nearly the same length: a quarter off at most, or a twentieth of a second."""
    text = words(value)
    assert len(text) <= 5
    assert seconds(text) == pytest.approx(value, rel=0.26, abs=0.051)
