"""The retry policy: tenacity's vocabulary, evaluated from the attempt's number and its age alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

from poller import PollerError
from poller.model.retry_policy import Policy, policy
from poller.testing import Engine
from tests.engines import moves

if TYPE_CHECKING:
    import psycopg

    from poller import Row
    from poller.testing import Done

UNHURRIED = settings(deadline=None, database=None)
NUMBERS = st.integers(1, 5000)
AGES = st.floats(0, 1e9)
NO = ValueError("no")


def made(**options: Any) -> Policy:
    """Return the policy of a handler with these options."""
    return policy(**{"attempts": None, "wait": None, "stop": None, "retry": None, **options})


def fail(_: Row) -> None:
    """Handle a row by failing."""
    raise NO


def fail_after(url: str, after: str, **options: Any) -> Done:
    """Fail the one row, so long after the first time, in an engine of its own that knows nothing of others."""
    with Engine(url, moves("task", fail, **options)) as engine:
        engine.advance(after)
        [done] = engine.run_due()
    return done


# --- the default --------------------------------------------------------------------------------------


def test_by_default_there_are_five_attempts() -> None:
    """Four are followed by another."""
    default = made()
    assert [default.delay(NO, attempt) is None for attempt in range(1, 7)] == [False] * 4 + [True] * 2


@UNHURRIED
@given(NUMBERS)
def test_by_default_the_waits_are_between_a_second_and_ten_minutes(attempt: int) -> None:
    """Whichever attempt it was."""
    delay = made(attempts=5001).delay(NO, attempt)
    assert delay is not None
    assert 1 <= delay <= 600


@UNHURRIED
@given(st.integers(1, 9))
def test_by_default_each_wait_is_twice_the_last_and_a_moment(attempt: int) -> None:
    """1, 2, 4 … seconds, with up to a second more; then ten minutes each time."""
    patient = made(attempts=50)
    delay = patient.delay(NO, attempt)
    assert delay is not None
    assert 2 ** (attempt - 1) <= delay <= 2 ** (attempt - 1) + 1
    assert patient.delay(NO, attempt + 10) == 600


def test_by_default_rows_that_failed_together_do_not_come_back_together() -> None:
    """The moment is another each time."""
    assert len({made().delay(NO, 1) for _ in range(50)}) > 40


# --- how often ----------------------------------------------------------------------------------------


@UNHURRIED
@given(NUMBERS, NUMBERS, AGES)
def test_attempts_are_counted_whatever_their_age(attempts: int, attempt: int, age: float) -> None:
    """`attempts=n` is n attempts, and the last of them knows that it is."""
    short = made(attempts=attempts)
    assert (short.delay(NO, attempt, age) is None) == (attempt >= attempts)
    assert short.is_last(attempt, age) == (attempt >= attempts)


@UNHURRIED
@given(NUMBERS, st.floats(1, 1e6), st.sampled_from([0.0, 0.5, 0.99, 1.01, 2.0]))
def test_stop_after_delay_looks_at_the_age_alone(attempt: int, limit: float, share: float) -> None:
    """It is counted from the first attempt, in seconds, however many there were."""
    aged = made(stop=tenacity.stop_after_delay(limit))
    assert (aged.delay(NO, attempt, limit * share) is None) == (share > 1)
    assert aged.is_last(attempt, limit * share) == (share > 1)


@pytest.mark.parametrize(("wait", "expected"), [(20, 20.0), (40, None)])
def test_stop_before_delay_looks_at_the_wait_too(wait: float, expected: float | None) -> None:
    """An attempt that would begin too late is none."""
    options = {"stop": tenacity.stop_before_delay(60), "wait": tenacity.wait_fixed(wait)}
    assert made(**options).delay(NO, 1, 30.0) == expected


STOPS = {
    "either": (tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(60), {(3, 0), (1, 61), (3, 61)}),
    "both": (tenacity.stop_after_attempt(3) & tenacity.stop_after_delay(60), {(3, 61)}),
    "never": (tenacity.stop_never, set()),
    "a function": (lambda state: state.attempt_number == 3, {(3, 0), (3, 61)}),
}


@pytest.mark.parametrize(("stop", "ends"), STOPS.values(), ids=STOPS.keys())
def test_stops_are_combined_as_in_tenacity(stop: Any, ends: set[tuple[int, int]]) -> None:
    """With `|` and `&`, and a function will do."""
    combined = made(stop=stop)
    asked = [(1, 0), (3, 0), (1, 61), (3, 61)]
    assert {at for at in asked if combined.is_last(*at)} == ends
    assert {at for at in asked if combined.delay(NO, *at) is None} == ends


# --- how long -----------------------------------------------------------------------------------------

WAITS = {
    "fixed": (tenacity.wait_fixed(7), [7, 7, 7]),
    "a timedelta": (tenacity.wait_fixed(timedelta(hours=1)), [3600, 3600, 3600]),
    "incrementing": (tenacity.wait_incrementing(start=1, increment=2, max=4), [1, 3, 4]),
    "exponential": (tenacity.wait_exponential(multiplier=10, max=30), [10, 20, 30]),
    "a chain": (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(60)), [1, 60, 60]),
    "a sum": (tenacity.wait_fixed(1) + tenacity.wait_fixed(2), [3, 3, 3]),
    "none": (tenacity.wait_none(), [0, 0, 0]),
    "a function": (lambda state: state.attempt_number * 5, [5, 10, 15]),
    "what the error says": (lambda state: len(str(state.outcome.exception())), [2, 2, 2]),
    "less than nothing": (lambda state: -state.attempt_number, [0, 0, 0]),
}


@pytest.mark.parametrize(("wait", "delays"), WAITS.values(), ids=WAITS.keys())
def test_waits_are_tenacitys(wait: Any, delays: list[float]) -> None:
    """Each attempt's wait follows from its number and its error, not from a call that goes on."""
    waiting = made(wait=wait)
    assert [waiting.delay(NO, attempt) for attempt in (1, 2, 3)] == delays
    assert waiting.delay(NO, 1) == delays[0]


@UNHURRIED
@given(NUMBERS)
def test_a_random_wait_stays_within_its_bounds(attempt: int) -> None:
    """tenacity's full jitter."""
    wait = tenacity.wait_random_exponential(multiplier=2, max=90)
    delay = made(attempts=5001, wait=wait).delay(NO, attempt)
    assert delay is not None
    assert 0 <= delay <= min(90, 2**attempt)


# --- which errors -------------------------------------------------------------------------------------

RETRIES = {
    "by default": (None, True, True),
    "of a type": (tenacity.retry_if_exception_type(OSError), True, False),
    "of one of several types": (tenacity.retry_if_exception_type((OSError, ValueError)), True, True),
    "not of a type": (tenacity.retry_if_not_exception_type(OSError), False, True),
    "with a text": (tenacity.retry_if_exception_message(match="n.$"), False, True),
    "as a function says": (tenacity.retry_if_exception(lambda error: str(error) == "no"), False, True),
    "either": (
        tenacity.retry_if_exception_type(OSError) | tenacity.retry_if_exception_message(message="no"),
        True,
        True,
    ),
    "both": (
        tenacity.retry_if_exception_type(OSError) & tenacity.retry_if_exception_message(message="no"),
        False,
        False,
    ),
    "never": (tenacity.retry_never, False, False),
}


@pytest.mark.parametrize(("retry", "timeout", "no"), RETRIES.values(), ids=RETRIES.keys())
def test_predicates_choose_the_errors_worth_another_attempt(retry: Any, *, timeout: bool, no: bool) -> None:
    """tenacity's, with `|` and `&`; an error that is not worth one ends it at the first attempt."""
    choosy = made(retry=retry)
    assert (choosy.delay(TimeoutError("late"), 1) is not None) == timeout
    assert (choosy.delay(NO, 1) is not None) == no


# --- kept in the database -----------------------------------------------------------------------------


@pytest.fixture
def task(db: psycopg.Connection[Any]) -> None:
    """One row that is pending."""
    db.execute("create table task (id int primary key, status text)")
    db.execute("insert into task values (1, 'pending')")


@pytest.mark.usefixtures("task")
def test_attempts_are_counted_over_restarts(url: str) -> None:
    """Each attempt is made by another engine, as after a restart or on another host."""
    done = [fail_after(url, after, attempts=3) for after in ("0s", "1h", "2h")]
    assert [(each.became, each.attempt) for each in done] == [("retrying", 1), ("retrying", 2), ("parked", 3)]


@pytest.mark.usefixtures("task")
def test_the_age_is_counted_over_restarts(url: str) -> None:
    """From the first attempt on, whoever made it."""
    options = {"stop": tenacity.stop_after_delay(90), "wait": tenacity.wait_fixed(1)}
    done = [fail_after(url, after, **options) for after in ("0s", "60s", "91s")]
    assert [each.became for each in done] == ["retrying", "retrying", "parked"]


@pytest.mark.usefixtures("task")
def test_a_policy_that_changed_holds_from_the_next_attempt_on(url: str) -> None:
    """What is kept are the numbers, not the policy."""
    assert fail_after(url, "0s", attempts=9).became == "retrying"
    assert fail_after(url, "1h", attempts=2).became == "parked"


# --- a policy that fails itself ------------------------------------------------------------------------


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_a_policy_that_raises_parks_the_row_and_harms_nobody_else(url: str, option: str) -> None:
    """It is the user's code: where it fails there is no further attempt, and both reasons are told."""

    def fail(_: tenacity.RetryCallState) -> Any:
        raise KeyError("code")

    done = fail_after(url, "0s", **{option: fail})

    assert done.became == "parked"
    assert option == "stop" or "the retry policy failed, too: KeyError: 'code'" in (done.error or "")


# --- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attempts": 0}, "attempts must be a whole number from 1, got 0"),
        ({"attempts": -1}, "attempts must be a whole number from 1, got -1"),
        ({"attempts": 1.5}, "attempts must be a whole number from 1, got 1.5"),
        ({"attempts": "3"}, "attempts must be a whole number from 1, got '3'"),
        ({"attempts": 3, "stop": tenacity.stop_after_delay(9)}, "give attempts= or stop=, not both"),
        ({"wait": 10}, "wait must be one of tenacity's objects, such as wait_fixed(10), got 10"),
        ({"stop": 5}, "stop must be one of tenacity's objects, such as stop_after_attempt(5), got 5"),
        ({"retry": (OSError,)}, "retry must be one of tenacity's objects, such as retry_if_exception_type("),
        ({"retry": OSError}, "retry must be one of tenacity's objects"),
        ({"wait": tenacity.wait_fixed}, "wait must be one of tenacity's objects"),
        ({"stop": tenacity.stop_after_attempt}, "stop must be one of tenacity's objects"),
    ],
)
def test_g10_an_option_that_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    """The line says what would."""
    with pytest.raises(PollerError) as caught:
        made(**options)
    assert str(caught.value).startswith(says)
