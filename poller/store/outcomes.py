"""Maps a handler's answer, its exception or a fault of the engine to the outcome of the attempt."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Any

from poller.errors_in_words import guarded, kind_of, place_of, plain, traceback_of, ungrouped
from poller.model.answers import Crashed, Fail, Interrupted, Retry, Snooze, Transition, Unexpected, describe
from poller.model.outcome import Became, Outcome
from poller.model.signature import not_begun

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.model.handler import Handler

    TextOf = Callable[[str, Any], str | None]

LONGEST_DELAY_SECONDS = 1000 * 365.25 * 86400.0  # what is put off for longer leaves the calendar


def of_answer(
    handler: Handler, answer: object, attempt: int, age: float = 0.0, text_of: TextOf = lambda _, value: value
) -> Outcome:
    """Map what a handler returned; a status it may not return counts as a failed attempt.

    Args:
        handler: the handler.
        answer: what it returned: a user's object, which may raise anything when it is touched.
        attempt: the number of the attempt.
        age: seconds from the first attempt's beginning.
        text_of: returns the text of a value for a column, by its name.
    """
    if answer is None and handler.moved is not None:
        return handler.moved if attempt == 1 else replace(handler.moved, attempt=attempt)
    try:
        move = _move(handler, answer)
        columns = {plain(name): text_of(name, value) for name, value in move.columns.items()}
        return Outcome(Became.MOVED, to=plain(move.status), columns=columns, attempt=attempt)
    except BaseException as error:  # noqa: BLE001 - as said above
        return of_error(handler, error, attempt, age)


def _move(handler: Handler, answer: object) -> Transition:
    """Return the transition that a handler answered.

    Raises:
        BaseException: the handler may not return this answer, or touching it raises.
    """
    allowed = " or ".join(repr(status) for status in handler.to)
    try:
        move = answer if isinstance(answer, Transition) else Transition(answer)
    except TypeError:
        found = not_begun(answer) or f"{type(answer).__name__}; it may return {allowed}"
        msg = f"the handler returned {found}"
        raise TypeError(msg) from None
    if handler.entity is not None:
        move = handler.entity.translated(move)
    if plain(move.status) not in handler.to:
        msg = f"the handler returned {plain(move.status)!r}; it may return {allowed}"
        raise ValueError(msg)
    return move


def of_error(handler: Handler, error: BaseException, attempt: int, age: float = 0.0) -> Outcome:
    """Map an exception of a handler, or a fault that ended it, by the handler's retry policy.

    The policy is the user's code: if it raises, there is no further attempt.
    """
    error = ungrouped(error)
    try:
        return _by_policy(handler, error, attempt, age)
    except BaseException as fault:  # noqa: BLE001 - as said above
        reason = f"{describe(error)}; the retry policy failed, too: {describe(fault)}"
        return _failed(handler, error, attempt, None, reason=reason, crashed=issubclass(type(error), Crashed))


def _by_policy(handler: Handler, error: BaseException, attempt: int, age: float) -> Outcome:
    kind = type(error)  # not isinstance: it asks the object, too
    if issubclass(kind, Crashed):
        return _after_crash(handler, error, attempt, age)  # type: ignore[arg-type]
    asked = _asked_delay(error) if issubclass(kind, Snooze | Retry) else None
    if asked is not None and issubclass(kind, Snooze):
        return Outcome(Became.SNOOZED, to=handler.restored, delay=asked, attempt=attempt - 1)
    if issubclass(kind, Fail):
        delay = None
    elif asked is not None or issubclass(kind, Interrupted):
        delay = None if handler.policy.is_last(attempt, age) else asked or 0.0
    else:
        delay = handler.policy.delay(error, attempt, age)
        if delay is not None and issubclass(kind, Unexpected):
            delay = max(delay, error.not_before)  # type: ignore[attr-defined]
    return _failed(handler, error, attempt, delay)


def of_conflict(handler: Handler, error: BaseException, attempt: int, age: float = 0.0) -> Outcome:
    """Return the outcome after `ctx.settle` has met another transaction of its worker: never the last attempt.

    Under REPEATABLE READ and SERIALIZABLE all such transactions but one fail: they share a lease, and the worker's
    counts. The transaction was rolled back, and the row is not at fault.
    """
    outcome = of_error(handler, error, attempt, age)
    if outcome.verdict is Became.RETRYING:
        return outcome
    return _failed(handler, ungrouped(error), attempt - 1, CONFLICT_SECONDS)


CONFLICT_SECONDS = 1.0  # until an attempt that met others is made again, where the policy has none left
BEGAN_LATE = "since they began too late after their claim to keep the rate"
SWALLOWED = "a trigger or rule of the table swallowed the UPDATE"


def _asked_delay(error: BaseException) -> float | None:
    """Return the delay that an answer asks for, in seconds; None if it is not a number (then it is a plain failure)."""
    return guarded(lambda: _bounded(error.delay), None)  # type: ignore[attr-defined]


def _bounded(delay: float) -> float:
    """Return a delay within the limits of the calendar.

    Raises:
        ValueError: the delay is not a number.
    """
    delay = float(delay)
    if isnan(delay):
        msg = "a delay must be a number of seconds, got nan"
        raise ValueError(msg)
    return min(max(0.0, delay), LONGEST_DELAY_SECONDS)


def released(handler: Handler, attempt: int, why: str | None = None, *, begun: bool = False) -> Outcome:
    """Return the outcome of a row that is given back as if it had never been claimed.

    Args:
        handler: the handler that it was claimed for.
        attempt: the number of the attempt that is not counted.
        why: the reason, if callers need it.
        begun: the handler was called and its work undone: its next call must see the same visit.
    """
    return Outcome(Became.RELEASED, to=handler.restored, attempt=attempt - 1, error=why, begun=begun)


def not_shown(handler: Handler, reason: str, attempt: int, age: float = 0.0) -> Outcome:
    """Return the outcome of a row that could not be read or set to `during`: the row is unchanged."""
    what = "the row cannot be read" if handler.during is None else f"during={handler.during!r} was refused"
    error = RuntimeError(f"{what}: {reason}")
    outcome = of_error(handler, error, attempt, age)
    return replace(outcome, to=None) if outcome.to == handler.status else outcome


def _after_crash(handler: Handler, error: Crashed, attempt: int, age: float) -> Outcome:
    """Return the outcome after a crash: beside other rows, it costs a row one attempt at most, never the last one.

    A row that was alone pays for each crash, and waits from the second one on: the first may be an operator's kill -9.
    So does a job's run, even beside other rows: it has begun, and may be half done.
    """
    last = handler.policy.is_last(attempt, age)
    spared = not error.alone and (error.suspected or last) and not handler.is_job
    delay: float | None = 0.0
    if spared:
        attempt -= 1
    elif last:
        delay = None
    elif error.alone and error.times > 1:
        delay = handler.policy.delay(error, attempt, age) or 0.0
    company = error.company if error.times > 1 else max(2, error.company)
    return _failed(handler, error, attempt, delay, crashed=True, company=company)


def _failed(  # noqa: PLR0913 - the fields of one outcome
    handler: Handler,
    error: BaseException,
    attempt: int,
    delay: float | None,
    *,
    reason: str | None = None,
    crashed: bool = False,
    company: int = 0,
) -> Outcome:
    """Return a failed attempt's outcome: another attempt after `delay`, or none if `delay` is None."""
    if delay is not None:
        verdict, to = Became.RETRYING, handler.restored
    elif handler.on_failure is not None:
        verdict, to = Became.FAILED, handler.on_failure
    else:
        verdict, to = Became.PARKED, handler.restored
    return Outcome(
        verdict,
        to=to,
        delay=None if delay is None else _bounded(delay),
        attempt=attempt,
        error=reason or describe(error),
        kind=kind_of(error),
        place=place_of(error) or None,
        traceback=traceback_of(error) or None,
        crashed=crashed,
        company=company,
    )
