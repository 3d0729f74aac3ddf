"""Checks handlers as workers have registered them last, for faces that have no code of the user's and little time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client import handler_lookup
from poller.client.checks import Checks, Finding, OutOfTimeError
from poller.client.row_queries import RowQueries
from poller.db import schema
from poller.db.connection import role_of
from poller.registry import Registered

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found without the handlers' code.

    Attributes:
        findings: as `check` returns them.
        unchecked: what needs the code, or was not got to; a line each.
        role: the database's role that has looked: what was checked is what it may do.
    """

    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    role: str
    as_of: datetime


def check(connection: psycopg.Connection[Any], seconds: float) -> Checked:
    """Return what is found within so much time.

    Raises:
        psycopg.OperationalError: the database is gone.
        DatabaseError: an untrusted role owns poller's schema, so nothing in it may be queried.
    """
    schema.refuse_strangers(connection)
    handlers, unread, older = handler_lookup.as_registered(connection)
    unchecked = ["jobs: whether each fits its function, its table, and the jobs that it runs after"]
    if unread:
        unchecked.append(
            f"how rows are claimed for {', '.join(unread)}: a where or order_by stands in their code"
        )
    if older:
        unchecked.append(f"{', '.join(older)}: no worker of this version has registered them")
    checks, findings = Checks(connection, Registered(handlers, []), unread, seconds), list[Finding]()
    try:
        for part in (checks.of_database, checks.of_handlers, checks.of_tables):
            for each in part():
                findings.append(each)
    except OutOfTimeError:
        unchecked.append(f"the rest: it took longer than {seconds:g} s")
    return Checked(tuple(findings), tuple(unchecked), role_of(connection), RowQueries(connection).now())
