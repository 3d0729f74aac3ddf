"""What of a call's end is a failure: for spans and error reports, which tell its class and place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.errors_in_words import ungrouped
from poller.model.answers import Retry, Snooze
from poller.telemetry.current_attempt import variable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.model.handler import Handler


def is_traced(handler: Handler) -> bool:
    """Return whether a handler's calls have spans; for a single row that costs more than all the rest."""
    return bool(handler.is_job or handler.batch > 1 if handler.trace is None else handler.trace)


def of_raise(error: BaseException) -> list[BaseException]:
    """Return the failure of a call that raised: none if it puts the row off, or was given back."""
    return _failures([error])


def of_answer(answer: object) -> list[BaseException]:
    """Return the failures of a call that returned: the errors that a batch handler answers for single rows."""
    if type(answer) is dict:
        return _failures(answer.values())
    return _failures(answer if type(answer) is list or type(answer) is tuple else ())


def _failures(answers: Iterable[Any]) -> list[BaseException]:
    call: Any = variable.get()
    if getattr(call, "ended", False):  # by force: what it raises or returns now is not what is reported
        return [] if call.why is None else [call.why]
    errors = [ungrouped(each) for each in answers if issubclass(type(each), BaseException)]
    return [each for each in errors if not issubclass(type(each), Snooze | Retry)]
