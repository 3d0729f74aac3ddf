"""What can go wrong, as the user reads it.

Every error of poller's own is a `PollerError`; its text is one line that says what to do.
The command line prints that line on standard error and exits with `exit_status`.
"""


class PollerError(Exception):
    """Something the user can mend; the text is one line that says how."""

    exit_status = 2


class ConfigurationError(PollerError):
    """An option, a handler or a table that cannot work as it stands."""


class SettleError(PollerError):
    """The row could not be moved inside the handler's transaction, which is to be rolled back."""


class DatabaseError(PollerError):
    """The database cannot be reached, is too old, is read-only or refuses what poller needs."""


class LeaseLostError(PollerError):
    """The lease had ended before the transaction could be committed."""
