"""What can go wrong, as the user reads it.

Every error of poller's own is a `PollerError`; its text is one line that says what to do. Where that is a command or a
button, the text says what is wrong, and the face that shows it knows the command by the error's `reason`.
The command line prints that line on standard error and exits with `exit_status`.
"""

from __future__ import annotations

from typing import Any


class PollerError(Exception):
    """Something the user can fix; the text is one line that says how.

    Attributes:
        reason: a word for the reason, or "" where the text says all there is to say.
        data: what the text is made of.

    >>> try:
    ...     fixed_rate("soon")
    ... except PollerError as error:
    ...     print(type(error).__name__, error.exit_status)
    ConfigurationError 2
    """

    exit_status = 2

    def __init__(self, text: object = "", reason: str = "", **data: Any) -> None:
        super().__init__(text)
        self.reason = reason
        self.data = data


class ConfigurationError(PollerError):
    """An option, a handler or a table that cannot work as it stands.

    >>> fixed_rate("soon")
    Traceback (most recent call last):
    poller.errors.ConfigurationError: ... 'soon' is not a duration; write it like '30s', ...
    """


class SettleError(PollerError):
    """The row could not be moved inside the handler's transaction, which is to be rolled back.

    >>> @around
    ... def counted(attempt):
    ...     try:
    ...         yield
    ...     except SettleError:  # of `ctx.settle`, in the handler
    ...         print("somebody has changed the row meanwhile")
    ...         raise
    """


class DatabaseError(PollerError):
    """The database cannot be reached, is too old, is read-only or refuses what poller needs.

    >>> Client("postgres://localhost:1/shop").workers()
    Traceback (most recent call last):
    poller.errors.DatabaseError: cannot connect to the database: ...
    """


class LeaseLostError(PollerError):
    """The lease had ended before the transaction could be committed.

    >>> @around
    ... def counted(attempt):
    ...     try:
    ...         yield
    ...     except LeaseLostError:
    ...         print("another worker has the row by now")
    ...         raise
    """
