"""Finds what holds work up: values of `per_key` that are full, sessions that wait for locks, and old transactions.

What may be trusted: each is read for itself, and may be over by the time that it is shown. A table that is locked, or
that this role may not read, hides the values of its own handlers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from poller.client import handler_lookup
from poller.client.counts import along_indexes
from poller.client.listed import readable
from poller.client.status import numbered
from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from poller.client.listed import Show
    from poller.model.handler import Handler
    from poller.store.binding import Binding

_PASSED_OVER = (  # what one table may have, and the others not
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.UndefinedFunction,
)
LOOK_ROWS = 2000  # rows of a handler in flight, and as many in backoff, that are looked at
MOST_SESSIONS = 50


@dataclass(frozen=True, slots=True)
class FullKey:
    """A value of a handler's `per_key` of which no further row may begin.

    Attributes:
        value: as text; None if it was not asked for.
        held: how many of its rows are in flight, or hold back those behind them.
        limit: how many may be.
        front: the key of the row that has been so for longest, `since` when, and `why`: in flight, waiting or snoozed.
    """

    table: str
    status: str
    per_key: tuple[str, ...]
    value: str | None
    held: int
    limit: int
    front: str
    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the database.

    Attributes:
        role: None of the server's own processes.
        state: as `pg_stat_activity` has it; None if this role may not see it.
        began_at: when its transaction began; None if it has none, or this role may not see it.
        behind: how many transactions its snapshot is old; None if it has none.
        query: its last statement; None if this role may not see it.
    """

    pid: int
    application: str
    role: str | None
    state: str | None
    began_at: datetime | None
    behind: int | None
    query: str | None


@dataclass(frozen=True, slots=True)
class WaitingSession:
    """A session of poller's that waits for a lock.

    Attributes:
        kind: what is locked: relation, tuple, transactionid, advisory, and so on.
        relation: the table, if it is one.
        blockers: those who have the lock, or come first.
    """

    pid: int
    application: str
    role: str | None
    kind: str
    relation: str | None
    since: datetime | None
    blockers: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Holdups:
    """The sessions that wait for locks, and the oldest transaction and snapshot.

    Attributes:
        waiting: those of poller's that wait for a lock, the longest first; fifty at the most.
        oldest: the one with the oldest transaction, of those that this role sees.
        snapshot: the one whose snapshot keeps most from being vacuumed.
        sees_all: this role sees what all sessions do: it has `pg_read_all_stats`.
    """

    waiting: tuple[WaitingSession, ...]
    oldest: Session | None
    snapshot: Session | None
    sees_all: bool


def holdups(connection: psycopg.Connection[Any]) -> Holdups:
    """Return the sessions that wait and hold up."""
    waiting = connection.execute(statement("waiting_sessions"), {"limit": MOST_SESSIONS}).fetchall()
    [oldest] = connection.execute(statement("oldest_sessions"), {}).fetchall()
    transaction, snapshot, sees_all = oldest
    named = {pid for each in waiting for pid in each[-1]} | {transaction, snapshot}
    seen = _sessions(connection, named - {None, 0})
    return Holdups(
        tuple(
            WaitingSession(
                pid,
                name,
                role,
                kind,
                relation,
                since,
                tuple(filter(None, map(seen.get, dict.fromkeys(pids)))),
            )
            for pid, name, role, kind, relation, since, pids in waiting
        ),
        seen.get(transaction),
        seen.get(snapshot),
        sees_all,
    )


def _sessions(connection: psycopg.Connection[Any], pids: Iterable[int]) -> dict[int, Session]:
    asked = {"pids": array(pids)}
    return {each.pid: each for each in all_rows(connection, statement("sessions"), asked, Session)}


def full_keys(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], show: Callable[[str], Show], most: int
) -> Iterator[FullKey]:
    """Yield the values of `per_key` that are full, so many of each handler at the most."""
    declared = handler_lookup.declared(connection, handlers)
    bindings = [each.binding for each in declared if each.binding and each.handler.per_key]
    for binding in numbered(connection, bindings):
        try:
            yield from _of_handler(connection, binding, show(str(binding.table)), most)
        except _PASSED_OVER:
            continue


def _of_handler(
    connection: psycopg.Connection[Any], binding: Binding, show: Show, most: int
) -> Sequence[FullKey]:
    handler = binding.handler
    shown = set(readable(connection, binding.table, show))
    asked = {
        "handler": binding.id,
        "look": LOOK_ROWS,
        "waiting_hold": handler.in_order,
        "per_key_limit": handler.per_key_limit,
        "limit": most,
    }
    with along_indexes(connection):
        rows = connection.execute(binding.full_keys(with_value=shown.issuperset(handler.per_key)), asked)
        return [
            FullKey(
                str(binding.table),
                handler.status,
                handler.per_key,
                value,
                held,
                handler.per_key_limit,
                *front,
            )
            for value, held, *front in rows.fetchall()
        ]
