"""Errors in the desk's words: the server's own messages may quote values of rows, so no viewer sees them."""

from __future__ import annotations

import psycopg

from poller.errors import PollerError

Refused = psycopg.Error

_WORDS: dict[type[psycopg.Error], str] = {
    psycopg.errors.LockNotAvailable: "another session has a table locked that this needs; try again",
    psycopg.errors.QueryCanceled: "this took too long, and was given up",
    psycopg.errors.InsufficientPrivilege: "the database role of the desk may not do this",
}
_AWAY = ("08", "57P")  # classes of SQLSTATE


def said(error: Exception) -> str:
    """Return the text of a client's error, without the database's address."""
    if isinstance(error, PollerError):
        return str(error.data.get("plain") or error)
    if not isinstance(error, psycopg.Error):
        return str(error)
    if type(error) in _WORDS:
        return _WORDS[type(error)]
    if error.sqlstate is None or error.sqlstate.startswith(_AWAY):
        return "the database went away; try again"
    return f"the database refused ({error.sqlstate})"


def is_undone(error: Exception) -> bool:
    """Tell whether an order that ended so has surely changed nothing: what was lost while it was sent may have."""
    if isinstance(error, psycopg.Error):
        return error.sqlstate is not None and not error.sqlstate.startswith(_AWAY)
    return isinstance(error, PollerError)


def is_about_data(error: Exception) -> bool:
    """Tell whether the database could not read a value of the request."""
    return isinstance(error, psycopg.DataError)


def is_forbidden(error: Exception) -> bool:
    """Tell whether the database's role lacks a right."""
    return isinstance(error, psycopg.errors.InsufficientPrivilege)
