"""What a handler may answer, and what may end its attempt instead."""

from __future__ import annotations

from enum import Enum
from typing import Any

from poller.duration import Duration, seconds, words
from poller.errors_in_words import class_name, message, plain, raised_at
from poller.model.signature import not_begun


def status_text(value: object) -> str:
    """Return a status as Postgres prints it: `pending`, `3`, `true`.

    Raises:
        TypeError: the value is not a text, int, bool or `Enum` member of these.
    """
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str | int) else value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return plain(str(value))
    msg = f"a status is a string, an int, a bool or a member of an Enum, not {value!r}"
    raise TypeError(msg)


class Transition:
    """A handler's answer that moves the row and sets further columns in the same UPDATE.

    >>> from poller.testing import row
    >>> @handler("orders", status="paid", to="shipped")
    ... def ship(order):
    ...     return Transition("shipped", tracking_no=f"1Z{order.id}")
    >>> ship(row(id=7)).columns
    {'tracking_no': '1Z7'}
    """

    __slots__ = ("columns", "given", "status")

    def __init__(self, status: Any, /, **columns: Any) -> None:
        self.given = status  # as a mapped class may know it
        self.status = status_text(status)
        self.columns = columns

    def __repr__(self) -> str:
        return f"Transition({self.status!r}, {', '.join(f'{name}=…' for name in self.columns)})"


class Snooze(Exception):  # noqa: N818 - an answer, not an error
    """Not ready yet: look at the row again after `delay`. No attempt is counted.

    >>> from poller.testing import row
    >>> @handler("orders", status="paid", to="shipped")
    ... def ship(order):
    ...     if order.address is None:
    ...         raise Snooze("30m")
    >>> ship(row(id=7, address=None))
    Traceback (most recent call last):
    poller.model.answers.Snooze: snoozed for 30m
    """

    def __init__(self, delay: Duration) -> None:
        self.delay = seconds(delay)
        super().__init__(delay)

    def __str__(self) -> str:
        return f"snoozed for {words(self.delay)}"


class Retry(Exception):  # noqa: N818 - an answer, not an error
    """Failed; try again after `delay`, whatever the wait policy says. The attempt counts.

    >>> from poller.testing import row
    >>> @handler("orders", status="paid", to="shipped")
    ... def ship(order):
    ...     raise Retry("30s", "the carrier is busy")
    >>> ship(row(id=7))
    Traceback (most recent call last):
    poller.model.answers.Retry: the carrier is busy
    """

    def __init__(self, delay: Duration, reason: str = "the handler asked for a retry") -> None:
        self.delay = seconds(delay)
        self.reason = reason
        super().__init__(delay, reason)  # what it is made from, or it could not be pickled

    def __str__(self) -> str:
        return str(self.reason)


class Fail(Exception):  # noqa: N818 - an answer, not an error
    """Failed for good: no further attempts.

    >>> from poller.testing import row
    >>> @handler("orders", status="paid", to="shipped", on_failure="stuck")
    ... def ship(order):
    ...     raise Fail(f"no carrier goes to {order.country}")
    >>> ship(row(id=7, country="Atlantis"))
    Traceback (most recent call last):
    poller.model.answers.Fail: no carrier goes to Atlantis
    """


class TimedOut(Exception):  # noqa: N818 - named as the contract names it
    """The handler ran longer than its timeout."""


class Crashed(Exception):  # noqa: N818 - what happened to the worker
    """The worker that held the row died before the attempt ended.

    Attributes:
        times: in a row, this one included.
        company: the number of rows that may have killed the worker, this one included.
        alone: there was no other, now or the last time.
        suspected: the row was a suspect already.
    """

    def __init__(
        self, reason: str, times: int = 1, company: int = 1, *, alone: bool = True, suspected: bool = False
    ) -> None:
        self.times = times
        self.company = company
        self.alone = alone
        self.suspected = suspected
        super().__init__(reason)


class Interrupted(Exception):  # noqa: N818 - what happened to the handler
    """The worker was told to stop, and the handler did not finish within the grace time."""


class Unexpected(Exception):  # noqa: N818 - what happened to a command or a request
    """Something ended in an unexpected way; the text is complete, so its class and place do not matter.

    Attributes:
        not_before: seconds for which another attempt would be too early, whatever the wait policy says.
    """

    not_before: float = 0.0


class Uncommitted(Exception):  # noqa: N818 - what happened to a transaction
    """`ctx.settle` was called, and its transaction was not committed; the text is complete."""


def refuse_not_begun(answer: object, what: str) -> None:
    """Refuse an answer that shows that the function has not run: a coroutine that is never awaited, say.

    Raises:
        Unexpected: the answer is one; the text begins with `what`.
    """
    found = not_begun(answer)
    if found is not None:
        msg = f"{what} returned {found}"
        raise Unexpected(msg)


def describe(error: BaseException) -> str:
    """Return an exception as one bounded line that Postgres can store, with where it was raised; never raises."""
    name, text = class_name(error), message(error)
    if issubclass(type(error), Fail | Retry | TimedOut | Crashed | Interrupted | Unexpected | Uncommitted):
        return text or name
    return (f"{name}: {text}" if text else name) + raised_at(error)
