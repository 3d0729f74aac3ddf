"""The claimer's statements: which rows are due, and the claim of rows under a lease.

Each method runs one statement of `sql/claim/` (a few run more). An instance belongs to one thread, since its link does.
The methods raise psycopg's errors as they are: the claimer decides what an error means. But a claim is tried again at
once if a row left its partition under it: Postgres then fails the statement, SKIP LOCKED or not, and a new snapshot
finds the row where it is.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec

import psycopg
from psycopg import errors, sql

from poller.db.connection import is_servers, is_transient
from poller.db.statements import Statement, array, statement
from poller.db.values import fetch
from poller.errors_in_words import reason, storable
from poller.runtime.failpoints import reach
from poller.store.claimed_rows import read
from poller.store.lease import Lease, Task
from poller.store.limits import Limits
from poller.store.outcomes import SWALLOWED
from poller.telemetry.bus import emit_rows
from poller.telemetry.events import RowParked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from poller.db.connection import Borrowed, Link
    from poller.store.binding import Binding
    from poller.store.limits import Room

P = ParamSpec("P")
UNION_ALL = sql.SQL(" union all ")
RESTORE_SECONDS = 1.0  # to take rows back from `during`; the others are put off
MOVED_TRIES = (
    5  # of a claim whose rows leave their partitions under it; then fewer rows are claimed at a time
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim.

    Attributes:
        tasks: a task for each row.
        last: the key of the last row looked at.
        full: whether there may be more rows.
        again_in: if a fleet-wide limit allowed no rows: the seconds after which to look again.
        until_settled: whether an outcome of the handler may change that limit earlier.
        size: the mean size of a row in bytes, about; 0 if that is not known.
        paused: whether the handler is paused, so that nothing may be claimed.
    """

    tasks: list[Task]
    last: str | None = None
    full: bool = False
    size: float = 0.0
    again_in: float | None = None
    until_settled: bool = False
    paused: bool = False


NOTHING = Claimed([])
NOBODYS_TURN = Claimed([], until_settled=True)  # due rows must wait for rows in flight
PAUSED = Claimed([], paused=True)


class DueHandlers(NamedTuple):
    """Ids of handlers: with fresh rows due, with retries due, and paused."""

    fresh: set[int]
    retries: set[int]
    paused: set[int]


class DeclaredDeadError(Exception):
    """The claiming worker has been declared dead, or has left."""


class DrainsError(Exception):
    """The claiming worker has been told to drain."""


def _again_if_moved(
    claim: Callable[Concatenate[Claims, P], Claimed],
) -> Callable[Concatenate[Claims, P], Claimed]:
    """Let a claim be tried again if a row was moved to another partition while it locked rows."""

    @wraps(claim)
    def claim_again(claims: Claims, *arguments: P.args, **options: P.kwargs) -> Claimed:
        for _ in range(MOVED_TRIES - 1):
            with contextlib.suppress(errors.SerializationFailure):
                return claim(claims, *arguments, **options)
        return claim(claims, *arguments, **options)

    return claim_again  # type: ignore[return-value]  # its first parameter has a name, too


class Claims:
    """The statements of a claimer, on one link.

    Attributes:
        limits: the fleet-wide limits of the handlers.
    """

    def __init__(self, link: Link | Borrowed) -> None:
        self.link = link
        self.limits = Limits(link)
        self._seen: dict[Binding, list[str]] = {}  # leases that need no second look; see poller.take
        self._peeks: dict[Any, Statement] = {}

    @_again_if_moved
    def claim(
        self, binding: Binding, worker: int, limit: int, after: str | None = None, *, careful: bool = False
    ) -> Claimed:
        """Claim up to `limit` fresh rows, in order, past the key `after`.

        Args:
            binding: the handler.
            worker: the id of the worker that claims.
            limit: how many at most.
            after: a key.
            careful: read them by their keys; one that cannot be read is a task with a refusal, and holds up no other.

        Raises:
            DeclaredDeadError, DrainsError: the worker may no longer claim.
        """
        form = binding.as_now()
        claim = form.claim("first" if after is None else "next", keys_only=careful or _reads_later(binding))
        connection, seen = self.link.connection, array(self._seen.get(binding, ()))
        with connection.transaction() if careful or _needs_more(binding) else contextlib.nullcontext():
            room = self.limits.room(binding, limit)
            if room.rows <= 0:
                return _nothing_within(room)
            asked = binding.asked(room.rows, after=after, worker=worker, seen=seen)
            answer = fetch(connection, claim, asked, users=not binding.handler.is_job)
            rows = answer.rows
            if not rows:
                return NOBODYS_TURN if binding.handler.per_key else NOTHING
            payload = answer.own(-1)
            last, full = rows[-1][0], payload["is_cut"] or len(rows) == room.rows
            if payload["lease"] is None:
                return PAUSED if self._is_paused(binding, worker) else Claimed([], last, full)
            if payload["ours"] is not None:
                left = set(payload["ours"])
                rows = [row for row in rows if row[0] in left]
            rows, refusals = read(self.link, form, [payload["lease"]], rows, careful=careful)
            begin_by = self.limits.write_started(binding, len(rows))
            reach("claim taken")
        reach("claim committed")
        claimed_at = datetime.fromisoformat(payload["claimed_at"])
        lease = Lease(payload["lease"], worker, binding, claimed_at, monotonic(), begin_by)
        self._seen[binding] = [lease.id, *payload["known"]]
        if refusals:
            tasks = [Task(lease, row[0], row, refusal=refusals.get(row[0]), form=form) for row in rows]
        else:
            tasks = [Task(lease, row[0], row, form=form) for row in rows]
        return Claimed(tasks, last, full, payload["size"])

    @_again_if_moved
    def claim_retries(  # noqa: PLR0913 - the parts of one question
        self,
        binding: Binding,
        worker: int,
        limit: int,
        *,
        suspects: int | None = None,
        single_waits: float | None = 0.0,
        careful: bool = False,
    ) -> Claimed:
        """Claim rows whose next attempt is due: suspects of one company under one lease, or others, one to a lease.

        Args:
            binding: their handler.
            worker: the id of the worker that claims.
            limit: how many others at most.
            suspects: how many suspects at most; by default as many.
            single_waits: for how many seconds a suspect that has crashed alone must have been due; None: none is taken.
            careful: as for `claim`.

        Raises:
            DeclaredDeadError, DrainsError: the worker may no longer claim.
        """
        suspects, form = limit if suspects is None else suspects, binding.as_now()
        connection = self.link.connection
        with connection.transaction():
            room = self.limits.room(binding, max(limit, suspects))
            if room.rows <= 0:
                return _nothing_within(room)
            suspected = {"suspects": min(suspects, room.rows), "single_waits": single_waits}
            others = {"others": min(limit, room.rows)}
            asked = binding.asked(room.rows) | suspected | others | {"waiting_hold": False}
            question = form.claim("retries", keys_only=careful or _reads_later(binding))
            answer = fetch(connection, question, asked, users=not binding.handler.is_job)
            found = {row[0]: row for row in answer.rows}
            if not found:
                return NOBODYS_TURN if binding.handler.per_key else NOTHING
            payload = answer.own(-1)
            took = suspected | others | {"handler": binding.id, "worker": worker, "keys": array(found)}
            taken = {each[0]: each[1:] for each in connection.execute(statement("retake"), took)}
            if not taken and self._is_paused(binding, worker):
                return PAUSED
            ours = [row for key, row in found.items() if key in taken]  # in the order of the claim
            leased = {str(each[0]) for each in taken.values()}
            rows, refusals = read(self.link, form, leased, ours, careful=careful)
            begin_by = self.limits.write_started(binding, len(taken))
            reach("retry taken")
        reach("retry committed")
        clock = monotonic()
        leases = {
            lease: Lease(str(lease), worker, binding, now, clock, begin_by, due_for)
            for lease, *_, due_for, now in taken.values()
        }
        tried = [(row, *taken[row[0]]) for row in rows]
        tasks = [
            Task(
                leases[lease],
                row[0],
                row,
                attempt=attempt + 1,
                visit=str(visit),
                age=age,
                retaken=True,
                company=company,
                refusal=refusals.get(row[0]),
                form=form,
            )
            for row, lease, attempt, company, visit, age, *_ in tried
        ]
        full = payload["is_cut"] or len(found) > len(taken) or len(found) >= others["others"]
        return Claimed(tasks, full=full, size=payload["size"])

    def _is_paused(self, binding: Binding, worker: int) -> bool:
        """Return whether a claim has brought nothing because its handler is paused.

        Raises:
            DeclaredDeadError, DrainsError: the claim has brought nothing because of the worker.
        """
        asked = {"worker": worker, "handler": binding.id}
        row = self.link.connection.execute(statement("alive"), asked).fetchone()
        if row is None:
            raise DeclaredDeadError
        drains, is_paused = row
        if drains:
            raise DrainsError
        return bool(is_paused)

    def tidy_retries(self, binding: Binding) -> None:
        """Postpone retries that cannot be taken, so that they do not hide others; take rows back from `during`."""
        connection = self.link.connection
        found = connection.execute(binding.tidy_retries, {"handler": binding.id}).fetchall()
        if not found:
            return
        with connection.transaction():
            asked = {"handler": binding.id, "keys": array(key for (key,) in found)}
            locked = connection.execute(statement("lock_retries"), asked).fetchall()
            keys = [key for key, _ in locked]
            refused: dict[str, str] = {}
            if binding.handler.during is not None:
                self._restore(binding, keys, refused, monotonic() + RESTORE_SECONDS)
            parked = [self._park(binding, *each) for each in refused.items()]
            asked = {"handler": binding.id, "keys": array(keys)}
            connection.execute(binding.put_off_retries, asked)
        emit_rows([each for each in parked if each is not None])

    def _restore(self, binding: Binding, keys: Sequence[str], refused: dict[str, str], until: float) -> None:
        """Take rows back from a handler's `during` that nobody holds; in halves, if some cannot be.

        Args:
            binding: the handler.
            keys: the rows'.
            refused: where the reason is noted for each row that its table refuses.
            until: when to end (monotonic).
        """
        connection = self.link.connection
        if not keys or monotonic() > until:
            return
        try:
            with connection.transaction():  # a savepoint
                locked = connection.execute(binding.lock_shown, {"keys": array(keys)}).fetchall()
                if locked:
                    connection.execute("set local lock_timeout = '200ms'")  # triggers may wait
                    asked = {"keys": array(key for (key,) in locked)}
                    left = connection.execute(binding.restore_retried, asked).fetchall()
                    connection.execute("set constraints all immediate")  # or COMMIT would fail for all
                    refused |= {key: SWALLOWED for key, is_locked in left if not is_locked}
        except psycopg.Error as error:
            if not self.link.lives() or is_servers(error):
                raise
            if len(keys) > 1:
                middle = len(keys) // 2
                self._restore(binding, keys[:middle], refused, until)
                self._restore(binding, keys[middle:], refused, until)
            elif not is_transient(error):
                refused[keys[0]] = reason(error)

    def _park(self, binding: Binding, key: str, why: str) -> RowParked | None:
        error = f"the way back was refused: {why}; it still shows {binding.handler.during!r}"
        asked = {"handler": binding.id, "key": key, "error": storable(error, binding.encoding)}
        row = self.link.connection.execute(statement("park_shown"), asked).fetchone()
        if row is None:
            return None
        return RowParked(**binding.named, key=key, attempt=row[0], error=error)

    def claims_of(self, worker: int) -> list[tuple[str, int, str]]:
        """Return (lease, handler id, key) of each row that the worker holds."""
        return self.link.connection.execute(statement("claims_of"), {"worker": worker}).fetchall()

    def last_key(self, binding: Binding) -> str | None:
        """Return the key of the last row that has the handler's status, in the order of the key."""
        row = self.link.connection.execute(binding.last_key, {}).fetchone()
        return row and row[0]

    def peek(
        self,
        bindings: Sequence[Binding],
        after: Mapping[Binding, str | None],
        watched: Sequence[Binding] = (),
    ) -> DueHandlers:
        """Return which handlers have due rows, and which of them and of other watched handlers are paused."""
        places = {f"after_{each.id}": key for each in bindings if (key := after.get(each)) is not None}
        shape = (tuple(bindings), tuple(places), tuple(watched))
        if shape not in self._peeks:
            self._peeks = {shape: _peek_of(bindings, after, watched or bindings)}  # most often the one before
        question = self._peeks[shape]
        # Without parameters psycopg need not search the text, which is long with many handlers.
        rows = self.link.connection.execute(question, places or None).fetchall()
        paused = {handler for handler, retry in rows if retry is None}
        retries = {handler for handler, retry in rows if retry}
        return DueHandlers(
            {handler for handler, retry in rows if retry is False} - paused, retries - paused, paused
        )

    def forget_questions(self) -> None:
        """Drop the composed queries: a handler was bound again."""
        self._peeks.clear()


def _peek_of(
    bindings: Sequence[Binding], after: Mapping[Binding, str | None], watched: Sequence[Binding]
) -> Statement:
    """Return the query for the due rows of some handlers, and for which of the watched ones are paused.

    One branch covers all jobs.
    """
    jobs = [each for each in bindings if each.handler.is_job]
    branches = [each.peek(after=after.get(each) is not None) for each in bindings if not each.handler.is_job]
    if jobs:
        in_turn = [each.id for each in jobs if each.handler.waits_its_turn]
        ids = [each.id for each in jobs]
        branches.append(statement("peek_runs", handlers=sql.Literal(ids), in_turn=sql.Literal(in_turn)))
    retries = statement("peek_retries", handlers=sql.Literal([binding.id for binding in bindings]))
    paused = statement("peek_paused", handlers=sql.Literal([binding.id for binding in watched]))
    question = Statement(UNION_ALL.join([*branches, retries, paused]))
    return question if any(after.values()) else question.without_parameters()


def _nothing_within(room: Room) -> Claimed:
    """Return the result of a claim for which the handler's limits leave no room."""
    return Claimed([], again_in=room.again_in, until_settled=room.until_settled)


def _reads_later(binding: Binding) -> bool:
    """Return whether a claim leaves reading the rows to the transaction that locks them again."""
    return binding.handler.transactional and binding.handler.during is None


def _needs_more(binding: Binding) -> bool:
    """Return whether a claim takes more than one statement, and so a transaction."""
    return binding.handler.is_limited or binding.show_during is not None
