"""Errors for refused questions and orders: one line for people, and its parts for the face that shows it.

A face may add what to do in its own words: the command line names a command, a page a button.
"""

from __future__ import annotations

from poller.errors import ConfigurationError, PollerError


class NothingSelectedError(PollerError):
    """The selected row, run, job or table does not exist: a negative answer, not a fault."""

    exit_status = 1


class RefusedError(ConfigurationError):
    """An order that cannot be carried out as it was given."""
