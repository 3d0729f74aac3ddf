"""What can go wrong, as the user reads it.

Every error of poller's own is a `PollerError`; its text is one line that says what to do. Where that is a command or a
button, the text says what is wrong, and the face that shows it knows the command by the error's `reason`.
The command line prints that line on standard error and exits with `exit_status`.
"""

from __future__ import annotations

from typing import Any


class PollerError(Exception):
    """Something the user can mend; the text is one line that says how.

    Attributes:
        reason: a word for the reason, or "" where the text says all there is to say.
        data: what the text is made of.
    """

    exit_status = 2

    def __init__(self, text: object = "", reason: str = "", **data: Any) -> None:
        super().__init__(text)
        self.reason = reason
        self.data = data


class ConfigurationError(PollerError):
    """An option, a handler or a table that cannot work as it stands."""


class SettleError(PollerError):
    """The row could not be moved inside the handler's transaction, which is to be rolled back."""


class DatabaseError(PollerError):
    """The database cannot be reached, is too old, is read-only or refuses what poller needs."""


class LeaseLostError(PollerError):
    """The lease had ended before the transaction could be committed."""
