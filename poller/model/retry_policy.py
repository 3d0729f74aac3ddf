"""The retry policy: tenacity's objects, evaluated from what the database remembers.

tenacity keeps its state in a `RetryCallState` that lives as long as one call. Here an attempt may be
followed by the next one on another host a week later, so that state is built anew from stored numbers:
which attempt this was, and how long ago the first one began. Nothing sleeps: the answer is a delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT

DEFAULT_ATTEMPTS = 5
MOST_ATTEMPTS = 1000  # attempts; a policy that allows more counts as one without a limit
POLICY = ("attempts", "wait", "stop", "retry")  # the options that a policy is made of

_EXAMPLES = {
    "wait": "wait_fixed(10)",
    "stop": "stop_after_attempt(5)",
    "retry": "retry_if_exception_type(OSError)",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """When a failed attempt is followed by another, and after how long."""

    stop: StopBaseT
    wait: WaitBaseT
    retry: RetryBaseT

    def delay(self, error: BaseException, attempt: int, age: float = 0.0) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there is none.

        Args:
            error: what ended the attempt.
            attempt: the number of the attempt that failed, from 1.
            age: seconds since the first attempt began (for `stop_after_delay`).

        Raises:
            Exception: whatever the policy raises, which is the user's code.
        """
        state = self._state(error, attempt, age)
        if not self.retry(state):
            return None
        delay = float(self.wait(state))
        state.upcoming_sleep = delay  # stop_before_delay looks at it
        return None if self.stop(state) else max(0.0, delay)

    def is_last(self, attempt: int, age: float = 0.0) -> bool:
        """Tell whether no attempt would follow the given one, if it failed."""
        try:
            return bool(self.stop(self._state(RuntimeError("asked in advance"), attempt, age)))
        except BaseException:  # noqa: BLE001 - a policy is the user's code: where it fails there is no further attempt
            return True

    @property
    def attempts(self) -> int | None:
        """How many attempts it allows; None if it sets no number."""
        return next((number for number in range(1, MOST_ATTEMPTS + 1) if self.is_last(number)), None)

    def _state(self, error: BaseException, attempt: int, age: float) -> tenacity.RetryCallState:
        call = tenacity.Retrying(stop=self.stop, wait=self.wait, retry=self.retry)
        state = tenacity.RetryCallState(call, fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        state.set_exception((type(error), error, error.__traceback__))
        state.outcome_timestamp = state.start_time + age
        return state


def policy(
    *,
    attempts: int | None = None,
    wait: WaitBaseT | None = None,
    stop: StopBaseT | None = None,
    retry: RetryBaseT | None = None,
    default_attempts: int = DEFAULT_ATTEMPTS,
) -> Policy:
    """Build a policy from the options of a handler or a job.

    Raises:
        ConfigurationError: `attempts` below 1, `attempts` beside `stop`, or something that is not tenacity's.
    """
    if attempts is not None and stop is not None:
        msg = "give attempts= or stop=, not both: attempts=5 is short for stop=stop_after_attempt(5)"
        raise ConfigurationError(msg)
    if attempts is not None and (not isinstance(attempts, int) or attempts < 1):
        msg = f"attempts must be a whole number from 1, got {attempts!r}"
        raise ConfigurationError(msg)
    for option, value in (("wait", wait), ("stop", stop), ("retry", retry)):
        if value is not None and (not callable(value) or isinstance(value, type)):
            msg = f"{option} must be one of tenacity's objects, such as {_EXAMPLES[option]}, got {value!r}"
            raise ConfigurationError(msg)
    return Policy(
        stop=stop or tenacity.stop_after_attempt(attempts or default_attempts),
        wait=wait or tenacity.wait_exponential_jitter(initial=1, max=600),
        retry=retry or tenacity.retry_if_exception_type(BaseException),
    )
