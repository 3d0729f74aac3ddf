"""Says in plain words why no connection comes about: no address, role, database or password stands in them.

Of what fails before there is a session libpq knows the server's text only, without its SQLSTATE. So the texts of
Postgres and of PgBouncer are recognised; one that is not (the server may speak another language) is told as refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

AWAY, REFUSED = "unreachable", "refused"  # reasons, as `PollerError` has them


class Unreachable(NamedTuple):
    """Why no connection comes about: the reason of the error, and the same in words."""

    reason: str
    plain: str


_KNOWN = {
    r"password authentication failed|no password supplied|SASL authentication failed|\bauthentication failed": (
        Unreachable("wrong_login", "the database refuses the login: its password is wrong, or missing")
    ),
    r'role ".*" does not exist|is not permitted to log in|no such user': Unreachable(
        "wrong_login", "the database refuses the login: there is no such role, or it may not log in"
    ),
    r'database ".*" does not exist|no such database': Unreachable(
        "no_such_database", "the server has no database of this name"
    ),
    r"is not currently accepting connections|permission denied for database": Unreachable(
        REFUSED, "this role may not connect to the database"
    ),
    r"pg_hba\.conf": Unreachable(REFUSED, "the server does not let this host in (pg_hba.conf)"),
    r"too many (clients|connections)|remaining connection slots|no more connections allowed|max_client_conn": (
        Unreachable("too_many_connections", "the database has no connection free: too many are open")
    ),
    r"starting up|not yet accepting connections|in recovery mode": Unreachable(
        "not_yet", "the database is starting, and takes no connections yet"
    ),
    r"shutting down": Unreachable("not_yet", "the database is shutting down"),
    r"server does not support SSL|SSL error|certificate": Unreachable(
        REFUSED, "the encrypted connection to the database fails (SSL)"
    ),
    r"\bFATAL:": Unreachable(REFUSED, "the database refuses the connection"),
    r"Connection refused|No such file or directory": Unreachable(
        AWAY, "the database cannot be reached: nothing listens at its address"
    ),
    r"failed to resolve|could not translate host name": Unreachable(
        AWAY, "the database cannot be reached: its host's name is not known"
    ),
    r"timeout|timed out": Unreachable(AWAY, "the database cannot be reached: no answer comes in time"),
}


def why(text: str) -> Unreachable:
    """Return why no connection came about, by what libpq says of it."""
    found = (known for pattern, known in _KNOWN.items() if re.search(pattern, text))
    return next(found, Unreachable(AWAY, "the database cannot be reached"))
