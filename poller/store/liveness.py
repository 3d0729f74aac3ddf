"""The sweeper's statements: which workers live, and what the dead still hold; and the registration of handlers.

Each method runs one statement of `sql/liveness/`. An instance belongs to one thread, since its link does. The methods
raise psycopg's errors as they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.db.connection import is_pooled, session_tag
from poller.db.statements import array, numbers, statement
from poller.db.typed_rows import all_rows, only_row
from poller.model.definition import define

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    import psycopg

    from poller.db.connection import Link
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True)
class Deaths:
    """What the sweeper has to do.

    Attributes:
        silent: workers whose liveness lock is free though it should be held.
        claims: whether dead workers hold leases.
        strangers: whether workers of other supervisors live; only looking finds their deaths.
        lapse_in: seconds until the next heartbeat lapses, unless that worker beats; below 0 if one has.
        clock: the database's, in seconds.
    """

    silent: list[int]
    claims: bool
    strangers: bool
    lapse_in: float
    clock: float

    @property
    def lapsed(self) -> bool:
        """Whether a heartbeat has lapsed."""
        return self.lapse_in < 0


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker that was declared dead; `has_lapsed` tells whether a lapsed heartbeat was the reason."""

    worker: int
    supervisor: UUID
    host: str
    pid: int
    has_lapsed: bool


@dataclass(frozen=True, slots=True)
class DeadClaim:
    """One row that was in flight when its worker died.

    Attributes:
        during: the status that it shows, if its claim has set one.
        attempt: how many attempts are counted.
        crashes: how many of them, in a row, ended with their worker.
        company: if it was a suspect already, the number of rows that were suspected together; else 0.
        beside: the number of rows that may have killed the worker, including this one.
        alone: whether the worker held no other row.
        age: seconds since the first attempt began.
        seconds: since this one was claimed.
    """

    lease: str
    worker: int
    handler_id: int
    key: str
    during: str | None
    attempt: int
    crashes: int
    company: int
    beside: int
    alone: bool
    age: float
    seconds: float


class Liveness:
    """The statements of a sweeper, on one link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def deaths(self, handlers: Iterable[int], supervisor: UUID | None = None) -> Deaths:
        """Look for dead workers, and for leases of these handlers that dead workers hold.

        Args:
            handlers: their ids.
            supervisor: the id of the caller's supervisor, if it sees its own workers end.
        """
        asked = {"handlers": array(handlers), "supervisor": supervisor}
        return only_row(self.link.connection, statement("deaths"), asked, Deaths)

    def declare_dead(self, silent: Sequence[int], *, lapsed: bool) -> list[DeadWorker]:
        """Declare dead the workers that are still silent, and with `lapsed` those whose heartbeat has lapsed."""
        asked = {"silent": array(silent), "lapsed": lapsed}
        return all_rows(self.link.connection, statement("declare_dead"), asked, DeadWorker)

    def probe(self) -> None:
        """Write something that changes nothing, and wait until it is committed."""
        self.link.connection.execute(statement("write_probe"))

    def end_sessions(self, supervisor: UUID, pid: int) -> None:
        """End the sessions that a dead worker's process still has, to release their locks."""
        if not is_pooled(self.link.connection):
            asked = {"tag": session_tag(supervisor, pid)}
            self.link.connection.execute(statement("end_sessions"), asked)

    def declare_child_dead(self, supervisor: UUID, pid: int) -> None:
        """Declare dead a worker that its supervisor saw end."""
        asked = {"supervisor": supervisor, "pid": pid}
        self.link.connection.execute(statement("declare_child_dead"), asked)

    def dead_claims(self, handlers: Iterable[int]) -> list[DeadClaim]:
        """Return the rows of these handlers that one dead worker held; none if there is no such worker."""
        asked = {"handlers": array(handlers)}
        return all_rows(self.link.connection, statement("dead_claims"), asked, DeadClaim)


def register_handlers(connection: psycopg.Connection[Any], bindings: Sequence[Binding]) -> None:
    """Give each binding the number of its (table, status column, status) in the database; store its definition."""
    asked = {
        "tables": array(str(each.table) for each in bindings),
        "oids": numbers(each.table.oid for each in bindings),
        "columns": array(each.handler.column for each in bindings),
        "statuses": array(each.handler.label for each in bindings),
    }
    connection.execute(statement("register_handlers"), asked)
    rows = connection.execute(statement("handler_numbers"), asked).fetchall()
    ids = {tuple(named): number for number, *named in rows}
    for each in bindings:
        each.id = ids[str(each.table), each.handler.column, each.handler.label]
    definitions = array(
        json.dumps(define(each.handler, each.encoding), ensure_ascii=False) for each in bindings
    )
    connection.execute(statement("define_handlers"), {**asked, "definitions": definitions})


def wake(connection: psycopg.Connection[Any]) -> None:
    """Have all workers of the fleet look for work."""
    connection.execute(statement("wake"))


def wake_some(connection: psycopg.Connection[Any], worker: int, handler: int) -> None:
    """Have the workers with the most room look for rows of a handler, for which this worker has none."""
    connection.execute(statement("wake_some"), {"worker": worker, "handler": handler})


def recount(connection: psycopg.Connection[Any]) -> None:
    """Have the workers learn anew how many there are."""
    connection.execute(statement("recount"))
