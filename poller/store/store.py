"""The engine's conversation with the database: one method, one statement of `sql/` (few take more).

A store belongs to one thread, since its link does. Its methods raise psycopg's errors as they are: what an
error means depends on who asked, and the service that owns the store decides.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql
from psycopg.rows import tuple_row

from poller.db.connection import Borrowed, OwnCursor, is_pooled, is_servers, mark_of
from poller.db.statements import Statement, array, numbers, statement, texts
from poller.db.users_connection import follow
from poller.db.values import Fetched, fetch, text_for
from poller.errors import SettleError
from poller.errors_in_words import reason, storable
from poller.model.outcome import Verdict
from poller.runtime.failpoints import reach
from poller.store.lease import Lease, Result, Task
from poller.store.outcomes import of_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence
    from uuid import UUID

    from poller.db.connection import Link
    from poller.db.users_connection import Script
    from poller.model.answers import Transition
    from poller.store.binding import Binding

FORGET_BATCH = 1000  # rows that one look at what is remembered takes (stray_attempts.sql)
MANY = 32  # simple moves that are worth a statement of their own
UNION_ALL = sql.SQL(" union all ")
SWALLOWED = "a trigger or rule of the table swallowed the UPDATE"
LEFT = "left"  # became of a row that a simple move has left alone


@dataclass(frozen=True, slots=True)
class Deaths:
    """What the sweeper has to do.

    Attributes:
        silent: workers whose liveness lock is free though it should be held.
        claims: the dead hold leases.
        strangers: workers of other supervisors live, whose deaths are seen in no other way.
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
class Fleet:
    """What the fleet holds, and what it has done since some minute."""

    in_flight: int
    waiting: int
    moved: int
    failed: int
    parked: int


@dataclass(frozen=True, slots=True)
class DeadClaim:
    """One row that was in flight when its worker died.

    Attributes:
        attempt: how many attempts are counted.
        crashes: how many of them, in a row, ended with their worker.
        company: of how many rows it was a suspect already, or 0.
        beside: how many rows there were that may have killed the worker, this one included.
        alone: there was no other row in that worker.
        age: seconds since the first attempt began.
        seconds: since this one was claimed.
    """

    lease: str
    worker: int
    handler_id: int
    key: str
    attempt: int
    crashes: int
    company: int
    beside: int
    alone: bool
    age: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim has brought.

    Attributes:
        tasks: a task for each row.
        last: the key of the last row looked at.
        full: there may be more.
        again_in: if a limit of the fleet kept it from any: the seconds after which to look again.
        until_settled: if so: an outcome of the handler may change that, whenever it comes.
        size: about how many bytes a row came to, in the mean; 0 if that is not known.
    """

    tasks: list[Task]
    last: str | None = None
    full: bool = False
    size: float = 0.0
    again_in: float | None = None
    until_settled: bool = False


NOTHING = Claimed([])
NOBODYS_TURN = Claimed([], until_settled=True)  # what is due must wait for what is in flight


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a look at remembered rows has come to.

    Attributes:
        rows: how many were forgotten.
        last: the digest to go on from; None if there are no more.
    """

    rows: int
    last: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """How many rows of a handler may be claimed now, over the whole fleet.

    Attributes:
        rows: so many.
        none: what a claim brings if there is no room.
    """

    rows: int
    none: Claimed = NOTHING


class DeclaredDeadError(Exception):
    """The worker that would claim has been declared dead, or has left."""


class _Leases:
    """The leases of some results, numbered from 1: most rows of a batch share one.

    Attributes:
        number: of each lease.
        ids: their ids, in that order.
        workers: the ids of their workers, in that order.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        leases = dict.fromkeys([each.task.lease for each in results])
        self.number = {lease: number for number, lease in enumerate(leases, 1)}
        self.ids = [lease.id for lease in leases]
        self.workers = [lease.worker for lease in leases]


def simple_status(result: Result) -> str | None:
    """Return the status that a result has simply moved its row to, at the first attempt; None if it is another."""
    outcome = result.outcome
    is_simple = outcome.verdict is Verdict.MOVED and outcome.attempt == 1 and not outcome.columns
    return outcome.to if is_simple and not result.task.retaken else None


def _simple_moves(results: Sequence[Result]) -> dict[str, list[int]]:
    """Return the places of results that have simply moved their rows, by the status; none if they are few."""
    moves: dict[str, list[int]] = {}
    for place, result in enumerate(results):
        status = simple_status(result)
        if status is not None:
            moves.setdefault(status, []).append(place)
    return {status: places for status, places in moves.items() if len(places) >= MANY}


def _peek_of(bindings: Sequence[Binding], after: Mapping[Binding, str | None]) -> Statement:
    """Return the question for what is due of some handlers; all jobs are asked for in one branch."""
    jobs = [each for each in bindings if each.handler.is_job]
    branches = [each.peek(after=after.get(each) is not None) for each in bindings if not each.handler.is_job]
    if jobs:
        in_turn = [each.id for each in jobs if each.handler.waits_its_turn]
        ids = [each.id for each in jobs]
        branches.append(statement("peek_runs", handlers=sql.Literal(ids), in_turn=sql.Literal(in_turn)))
    retries = statement("peek_retries", handlers=sql.Literal([binding.id for binding in bindings]))
    question = Statement(UNION_ALL.join([*branches, retries]))
    return question if any(after.values()) else question.without_parameters()


def _seconds(results: Sequence[Result]) -> str:
    return "{" + ",".join([f"{each.seconds:.6f}" for each in results]) + "}"


_WHY = {
    "late": "the lease has ended",
    "superseded": "somebody else has changed its status",
    "gone": "it has been deleted",
    "refused": SWALLOWED,
}


SLACK_SHRINKS = 0.98  # with each claim, once it has grown
LONGEST_SLACK = 60.0  # seconds
OTHERS_TURN = (0.002, 0.02)  # seconds, at random, that another's claim is left for


class Store:
    """The statements of the engine, on one link."""

    def __init__(self, link: Link | Borrowed) -> None:
        self.link = link
        self._seen: dict[Binding, list[str]] = {}  # leases that need no second look; see poller.take
        self._slack: dict[
            Binding, float
        ] = {}  # seconds within which rows of a rate begin, if that takes long here
        self._peeks: dict[Any, Statement] = {}

    # --- claiming ---------------------------------------------------------------------------------

    def claim(
        self, binding: Binding, worker: int, limit: int, after: str | None = None, *, careful: bool = False
    ) -> Claimed:
        """Claim up to `limit` fresh rows, in order, past the key `after`.

        Args:
            binding: the handler.
            worker: who claims.
            limit: how many at most.
            after: a key.
            careful: read them by their keys; one that cannot be read is a task with a refusal, and holds up no other.

        Raises:
            DeclaredDeadError: the worker may not claim any more.
        """
        claim = binding.claim(
            "first" if after is None else "next", keys_only=careful or _reads_later(binding)
        )
        connection, seen = self.link.connection, array(self._seen.get(binding, ()))
        with connection.transaction() if careful or _needs_more(binding) else contextlib.nullcontext():
            room = self._room(binding, limit)
            if room.rows <= 0:
                return room.none
            asked = binding.asked(room.rows, after=after, worker=worker, seen=seen)
            answer = fetch(connection, claim, asked, users=not binding.handler.is_job)
            rows = answer.rows
            if not rows:
                return NOBODYS_TURN if binding.handler.per_key else NOTHING
            told = answer.own(-1)
            last, full = rows[-1][0], told["is_cut"] or len(rows) == room.rows
            if told["lease"] is None:
                self._require_alive(worker)
                return Claimed([], last, full)
            if told["ours"] is not None:
                left = set(told["ours"])
                rows = [row for row in rows if row[0] in left]
            rows, refusals = self._show(binding, rows, careful=careful)
            begin_by = self._write_started(binding, len(rows))
            reach("claim taken")
        reach("claim committed")
        claimed_at = datetime.fromisoformat(told["claimed_at"])
        lease = Lease(told["lease"], worker, binding, claimed_at, monotonic(), begin_by)
        self._seen[binding] = [lease.id, *told["known"]]
        if refusals:
            tasks = [Task(lease, row[0], row, refusal=refusals.get(row[0])) for row in rows]
        else:
            tasks = [Task(lease, row[0], row) for row in rows]
        return Claimed(tasks, last, full, told["size"])

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
        """Claim rows whose next attempt is due: suspects of one company, under one lease; or others, one to a lease.

        Args:
            binding: their handler.
            worker: who claims.
            limit: how many others at most.
            suspects: how many suspects at most; by default as many.
            single_waits: for how many seconds a suspect that has crashed alone must have been due; None: none is taken.
            careful: as for `claim`.

        Raises:
            DeclaredDeadError: the worker may not claim any more.
        """
        suspects = limit if suspects is None else suspects
        connection = self.link.connection
        with connection.transaction():
            room = self._room(binding, max(limit, suspects))
            if room.rows <= 0:
                return room.none
            suspected = {"suspects": min(suspects, room.rows), "single_waits": single_waits}
            others = {"others": min(limit, room.rows)}
            asked = binding.asked(room.rows) | suspected | others | {"waiting_hold": False}
            question = binding.claim("retries", keys_only=careful or _reads_later(binding))
            answer = fetch(connection, question, asked, users=not binding.handler.is_job)
            found = {row[0]: row for row in answer.rows}
            if not found:
                return NOBODYS_TURN if binding.handler.per_key else NOTHING
            told = answer.own(-1)
            took = suspected | others | {"handler": binding.id, "worker": worker, "keys": array(found)}
            taken = {each[0]: each[1:] for each in connection.execute(statement("retake"), took)}
            if not taken:
                self._require_alive(worker)
            ours = [row for key, row in found.items() if key in taken]  # in the order of the claim
            rows, refusals = self._show(binding, ours, careful=careful)
            begin_by = self._write_started(binding, len(taken))
            reach("retry taken")
        reach("retry committed")
        clock = monotonic()
        leases = {
            lease: Lease(str(lease), worker, binding, now, clock, begin_by)
            for lease, *_, now in taken.values()
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
            )
            for row, lease, attempt, company, visit, age, _ in tried
        ]
        full = told["is_cut"] or len(found) > len(taken) or len(found) >= others["others"]
        return Claimed(tasks, full=full, size=told["size"])

    def _require_alive(self, worker: int) -> None:
        """Make sure that it was not the worker's death for which a claim has brought nothing."""
        if not self.link.connection.execute(statement("alive"), {"worker": worker}).rowcount:
            raise DeclaredDeadError

    def _room(self, binding: Binding, limit: int) -> Room:
        """Return how many of `limit` rows may be claimed, by the limits of the handler; others wait meanwhile."""
        handler = binding.handler
        if not handler.is_limited:
            return Room(limit)
        connection = self.link.connection
        row = connection.execute(statement("claim_alone"), {"handler": binding.id}).fetchone()
        if row is None or not row[0]:
            return Room(0, Claimed([], again_in=random.uniform(*OTHERS_TURN)))  # noqa: S311 - to part, not to hide
        if handler.limit is None and handler.rate is None:
            return Room(limit)
        asked = {
            "handler": binding.id,
            "limit": handler.limit,
            "rate": handler.rate and handler.rate.rows,
            "window": handler.rate.window if handler.rate else 0.0,
        }
        row = connection.execute(statement("room"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        by_limit, by_rate, again_in = row
        rows = min(each for each in (limit, by_limit, by_rate) if each is not None)
        none = Claimed([], until_settled=True)
        if by_rate is not None and by_rate <= 0:
            none = Claimed([], again_in=max(0.0, again_in))
        return Room(rows, none)

    def _write_started(self, binding: Binding, rows: int) -> float:
        """Write down that rows begin, if the handler has a rate; return until when (monotonic) they must have begun."""
        rate = binding.handler.rate
        if rate is None or not rows:
            return float("inf")
        slack = self._slack.get(binding, rate.slack)
        self._slack[binding] = max(rate.slack, slack * SLACK_SHRINKS)
        asked = {"handler": binding.id, "rows": rows, "window": rate.window, "slack": slack}
        sent = (
            monotonic()
        )  # before the database reads its clock: what begins within the slack of this does so of that
        self.link.connection.execute(statement("started"), asked)
        return sent + slack

    def give_more_slack(self, binding: Binding) -> float:
        """Let rows of a rate begin later after their claim than they did; return within how many seconds."""
        rate = binding.handler.rate
        least = 0.0 if rate is None else rate.slack
        slack = min(LONGEST_SLACK, 2 * max(least, self._slack.get(binding, 0.0)))
        self._slack[binding] = slack
        return slack

    def _show(
        self, binding: Binding, rows: list[Fetched], *, careful: bool
    ) -> tuple[list[Fetched], dict[str, str]]:
        """Show rows to be in work, if the handler has a `during`, and read those of which only the keys were read.

        Returns:
            the rows as they stand then, and the reason (by key) for those that could not be shown, or not be read.
        """
        question = binding.show_during or (binding.read_rows if careful else None)
        if question is None or not rows:
            return rows, {}
        self.link.connection.execute(
            "set local lock_timeout = '2s'"
        )  # triggers may wait; a claim itself does not
        return self._shown(binding, question, rows)

    def _shown(
        self, binding: Binding, question: sql.Composed, rows: list[Fetched]
    ) -> tuple[list[Fetched], dict[str, str]]:
        """Ask for rows by their keys; in halves, if that fails, until the row stands alone for which it does."""
        try:
            with self.link.connection.transaction():  # a savepoint: the claim itself stands
                asked = {"keys": array(row[0] for row in rows)}
                users = not binding.handler.is_job
                answer = fetch(self.link.connection, question, asked, users=users)
                shown = {row[0]: row for row in answer.rows}
                self.link.connection.execute("set constraints all immediate")  # or COMMIT would fail for all
        except Exception as error:
            if not self.link.lives() or is_servers(error):
                raise
            if len(rows) == 1:
                return rows, {rows[0][0]: reason(error)}
            middle = len(rows) // 2
            halves = [self._shown(binding, question, part) for part in (rows[:middle], rows[middle:])]
            return halves[0][0] + halves[1][0], halves[0][1] | halves[1][1]
        lost = {row[0]: SWALLOWED for row in rows if row[0] not in shown}
        return [shown.get(row[0], row) for row in rows], lost

    def tidy_retries(self, binding: Binding) -> None:
        """Put off retries that cannot be taken, so that they hide no others."""
        connection = self.link.connection
        found = connection.execute(binding.tidy_retries, {"handler": binding.id}).fetchall()
        if not found:
            return
        with connection.transaction():
            asked = {"handler": binding.id, "keys": array(key for (key,) in found)}
            locked = connection.execute(statement("lock_retries"), asked).fetchall()
            asked = {"handler": binding.id, "keys": array(key for key, _ in locked)}
            connection.execute(binding.put_off_retries, asked)

    def remembering(
        self, handlers: Iterable[int], supervisor: UUID
    ) -> tuple[float, list[tuple[int, int, int]]]:
        """Return the clock, in seconds, and the handlers that remember rows.

        Each has its id, how many other supervisors know it, and how many of these come before this one.
        """
        asked = {"handlers": array(handlers), "supervisor": supervisor}
        row = self.link.connection.execute(statement("remembering"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        return row[0], [(handler, others, before) for handler, others, before in row[1]]

    def forget_strays(self, binding: Binding, after: str) -> Forgotten:
        """Look at the next rows that a handler remembers, and forget those that are gone or show another status."""
        connection = self.link.connection
        with connection.transaction():
            asked: dict[str, Any] = {"handler": binding.id, "after": after}
            row = connection.execute(binding.stray_attempts, asked).fetchone()
            assert row is not None  # noqa: S101 - a select without from has one row
            last, looked, strays, _ = row
            reach("strays locked")
            asked = {"handler": binding.id, "keys": array(strays)}
            rows = connection.execute(binding.forget, asked).rowcount if strays else 0
            reach("strays forgotten")
        return Forgotten(rows, last if looked == FORGET_BATCH else None)

    def last_key(self, binding: Binding) -> str | None:
        """Return the key of the last row that has the handler's status, in the order of the key."""
        row = self.link.connection.execute(binding.last_key, {}).fetchone()
        return row and row[0]

    def peek(
        self, bindings: Sequence[Binding], after: Mapping[Binding, str | None]
    ) -> tuple[set[int], set[int]]:
        """Tell which handlers (by id) have fresh rows due, and which have retries due."""
        places = {f"after_{each.id}": key for each in bindings if (key := after.get(each)) is not None}
        shape = (tuple(bindings), tuple(places))
        if shape not in self._peeks:
            self._peeks = {shape: _peek_of(bindings, after)}  # most often the one before
        question = self._peeks[shape]
        # Without parameters there is none to look for, in a text that is long where handlers are many.
        rows = self.link.connection.execute(question, places or None).fetchall()
        fresh = {handler for handler, retry in rows if not retry}
        return fresh, {handler for handler, retry in rows if retry}

    def forget_questions(self) -> None:
        """Compose anew what is asked about handlers: one of them was bound anew."""
        self._peeks.clear()

    def wake(self) -> None:
        """Wake the workers of the fleet that wait for something to do."""
        self.link.connection.execute(statement("wake"))

    # --- settling ---------------------------------------------------------------------------------

    def settle(self, results: Sequence[Result]) -> list[str]:
        """Write outcomes of one handler's rows, which set the same columns, within the caller's transaction.

        Returns:
            what became of each: its verdict, or superseded, gone, refused, late (see `sql/settle/settle.sql`).
        """
        moves = _simple_moves(results)
        became: list[str] = [Verdict.MOVED] * len(results)
        rest = set(range(len(results)))
        for places in moves.values():
            moved = zip(places, self.settle_moved([results[place] for place in places]), strict=True)
            rest.difference_update(place for place, what in moved if what != LEFT)
        if rest:
            left = sorted(rest)
            for place, what in zip(left, self.settle_each([results[each] for each in left]), strict=True):
                became[place] = what
        return became

    def settle_moved(self, results: Sequence[Result]) -> list[str]:
        """Settle rows that have simply moved (`simple_status`), all to one status, in one statement.

        Returns:
            what became of each: moved, or `LEFT`, for `settle_each` to find out why.
        """
        binding, to = results[0].task.lease.binding, results[0].outcome.to
        leases = _Leases(results)
        asked = {
            "handler": binding.id,
            "to_status": to,
            "leases": array(leases.ids),
            "workers": array(leases.workers),
            "key": texts([each.task.key for each in results]),
            "lease_no": numbers([leases.number[each.task.lease] for each in results]),
            "seconds": _seconds(results),
        }
        row = self._own(binding.settle_moved, asked)
        if row == (None,):  # most often
            return [Verdict.MOVED] * len(results)
        unmoved = set((row and row[0]) or ())
        return [LEFT if each.task.key in unmoved else Verdict.MOVED for each in results]

    def settle_each(self, results: Sequence[Result], *, only_free: bool = False) -> list[str]:
        """Settle rows of one handler whose outcomes set the same columns, in one statement.

        Args:
            results: what came of them.
            only_free: leave out rows that others have locked, rather than wait for those.

        Returns:
            what became of each, as `settle`; with `only_free` it may be locked.

        Raises:
            Exception: a value may fail in any way on its way to Postgres.
        """
        first = results[0]
        binding, columns = first.task.lease.binding, tuple(first.outcome.columns)
        question = binding.settle(columns, shown=first.task.refusal is None, only_free=only_free)
        row = self._own(question, _settle_parameters(binding, columns, results))
        became: list[str] = [each.outcome.verdict for each in results]
        for place, result in row[0] if row else ():
            became[place - 1] = result
        return became

    def _own(self, question: sql.Composed, asked: Mapping[str, Any]) -> Any:
        """Return the first row of an answer, whatever the connection's owner has registered for theirs."""
        if not isinstance(self.link, Borrowed):
            return self.link.connection.execute(question, asked).fetchone()
        self.link.find_own_names()
        with OwnCursor(self.link.connection, row_factory=tuple_row) as cursor:
            return cursor.execute(question, asked).fetchone()

    def rehearse(self, binding: Binding, columns: tuple[str, ...] = ()) -> None:
        """Find out whether outcomes of a handler can be written at all now; nothing is.

        The settle is run without rows, so that what Postgres refuses is not about a row: a column or a table that
        was renamed, a right that was revoked, a table that is locked, a server that is read-only or full.

        Args:
            binding: the handler.
            columns: those that its outcomes set.

        Raises:
            psycopg.Error: they cannot be written.
            ConfigurationError: one of the columns cannot be set.
        """
        connection = self.link.connection
        with connection.transaction(force_rollback=True):
            connection.execute(binding.settle(columns), _settle_parameters(binding, columns, ()))
            self.link.find_own_names()
            connection.execute(statement("rehearsal"), {"handler": binding.id})
            connection.execute(binding.statuses, {"statuses": array(binding.handler.to)})

    def who_locks(self, task: Task) -> str | None:
        """Name the session that holds the lock of a task's row, or of its whole table; None if that is not known."""
        asked = {"key": task.key}
        row = self.link.connection.execute(task.lease.binding.who_locks, asked).fetchone()
        if row is None:
            return None
        pid, role, application, began = row
        return f"session {pid} of {role} ({application or 'unnamed'}), in a transaction since {began:%H:%M:%S} UTC,"

    @staticmethod
    def settle_within(task: Task, connection: Any, move: Transition) -> str | Awaitable[str]:
        """Move one row inside a transaction of the user's; return its status, as the database has it.

        Of a connection that is awaited the result is, too.

        Raises:
            SettleError: it could not be moved; nothing was changed.
            ConfigurationError: the connection will not do.
        """
        binding = task.lease.binding
        text_of = text_for(binding.table.columns)
        outcome = of_answer(binding.handler, move, task.attempt, task.age, text_of)
        if outcome.verdict is not Verdict.MOVED:
            raise SettleError(outcome.error)
        result = Result(task, outcome, monotonic() - task.lease.clock)
        return follow(connection, _moving(result), "ctx.settle")

    def table_exists(self, binding: Binding) -> bool:
        """Tell whether there is a table of the handler's name, be it another one by now."""
        asked = {"table": binding.table.identifier.as_string()}
        row = self.link.connection.execute(statement("table_exists"), asked).fetchone()
        return row == (True,)

    def forfeit(self, leases: Iterable[str]) -> None:
        """Give up leases without an outcome."""
        self.link.connection.execute(statement("forfeit"), {"leases": array(leases)})

    # --- being alive ------------------------------------------------------------------------------

    def register_handlers(self, bindings: Sequence[Binding]) -> None:
        """Give each binding the number under which the database knows its (table, status column, status)."""
        asked = {
            "tables": array(str(each.table) for each in bindings),
            "oids": numbers(each.table.oid for each in bindings),
            "columns": array(each.handler.column for each in bindings),
            "statuses": array(each.handler.label for each in bindings),
        }
        self.link.connection.execute(statement("register_handlers"), asked)
        rows = self.link.connection.execute(statement("handler_numbers"), asked).fetchall()
        ids = {tuple(named): number for number, *named in rows}
        for each in bindings:
            each.id = ids[str(each.table), each.handler.column, each.handler.label]

    def claims_of(self, worker: int) -> list[tuple[str, int, str]]:
        """Return (lease, handler id, key) of each row that the worker holds."""
        return self.link.connection.execute(statement("claims_of"), {"worker": worker}).fetchall()

    def deaths(self, handlers: Iterable[int], supervisor: UUID | None = None) -> Deaths:
        """Look for dead workers, and for leases of the dead that are of these handlers.

        Args:
            handlers: their ids.
            supervisor: who asks, if it sees its own workers end.
        """
        asked = {"handlers": array(handlers), "supervisor": supervisor}
        row = self.link.connection.execute(statement("deaths"), asked).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return Deaths(*row)

    def declare_dead(self, silent: Sequence[int], *, lapsed: bool) -> list[Any]:
        """Declare dead the silent ones that still are, and with `lapsed` those that beat too long ago."""
        asked = {"silent": array(silent), "lapsed": lapsed}
        return self.link.connection.execute(statement("declare_dead"), asked).fetchall()

    def probe(self) -> None:
        """Write something that changes nothing, and wait until it is committed."""
        self.link.connection.execute(statement("probe"))

    def end_sessions(self, supervisor: UUID, pid: int) -> None:
        """End what sessions a dead worker's process still has, and with them their locks."""
        if not is_pooled(self.link.connection):
            asked = {"mark": mark_of(supervisor, pid)}
            self.link.connection.execute(statement("end_sessions"), asked)

    def declare_child_dead(self, supervisor: UUID, pid: int) -> None:
        """Declare dead a worker that its supervisor saw end."""
        asked = {"supervisor": supervisor, "pid": pid}
        self.link.connection.execute(statement("declare_child_dead"), asked)

    def dead_claims(self, handlers: Iterable[int]) -> list[DeadClaim]:
        """Return the rows of these handlers that one dead worker held; none if there is no such worker."""
        rows = self.link.connection.execute(statement("dead_claims"), {"handlers": array(handlers)})
        return [DeadClaim(*row) for row in rows]

    # --- looking on -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the time, by the one clock."""
        row = self.link.connection.execute("select poller.now()").fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        return cast("datetime", row[0])

    def fleet(self, bindings: Sequence[Binding], since: datetime) -> Fleet:
        """Return what is in flight and waiting, and the counts of every minute from that of `since` on."""
        asked = {
            "handlers": array(binding.id for binding in bindings),
            "since": since.replace(second=0, microsecond=0),
        }
        row = self.link.connection.execute(statement("fleet"), asked).fetchone()
        return Fleet(*row) if row else Fleet(0, 0, 0, 0, 0)

    def left_alone(self, bindings: Sequence[Binding]) -> tuple[int, int]:
        """Count the rows that are parked, and those that are snoozed."""
        asked = {"handlers": array(binding.id for binding in bindings)}
        row = self.link.connection.execute(statement("left_alone"), asked).fetchone()
        assert row is not None  # noqa: S101 - an aggregate without groups has one row
        return row[0], row[1]

    def count_due(self, bindings: Sequence[Binding]) -> int:
        """Count the rows that are due and not parked."""
        counts = (self.link.connection.execute(each.count_due, {}).fetchone() for each in bindings)
        return sum(row[0] for row in counts if row)


def _storable(text: str | None, encoding: str) -> str | None:
    return None if text is None else storable(text, encoding)


def _settle_parameters(
    binding: Binding, columns: tuple[str, ...], results: Sequence[Result]
) -> dict[str, Any]:
    """Number the leases and the distinct outcomes; most rows of a batch share both."""
    encoding = binding.encoding
    leases = _Leases(results)
    kinds: dict[tuple[int, bool], int] = {}
    outcomes, kind_no = [], []
    for result in results:
        kind = (id(result.outcome), result.task.retaken)
        number = kinds.get(kind)
        if number is None:
            number = kinds[kind] = len(kinds) + 1
            outcomes.append(result)
        kind_no.append(number)
    asked: dict[str, Any] = {
        "handler": binding.id,
        "leases": array(leases.ids),
        "workers": array(leases.workers),
        "key": texts([each.task.key for each in results]),
        "lease_no": numbers([leases.number[each.task.lease] for each in results]),
        "kind_no": numbers(kind_no),
        "seconds": _seconds(results),
        "verdict": array(each.outcome.verdict.value for each in outcomes),
        "to_status": array(each.outcome.to for each in outcomes),
        "delay": array(each.outcome.delay for each in outcomes),
        "attempt": array(each.outcome.attempt for each in outcomes),
        "error": array(_storable(each.outcome.error, encoding) for each in outcomes),
        "traceback": array(_storable(each.outcome.traceback, encoding) for each in outcomes),
        "crashed": array(each.outcome.crashed for each in outcomes),
        "company": numbers(each.outcome.company for each in outcomes),
        "retaken": array(each.task.retaken for each in outcomes),
        "begun": array(each.outcome.begun for each in outcomes),
    }
    for at, name in enumerate(columns):
        asked[f"value_{at}"] = array(each.outcome.columns[name] for each in results)
    return asked


def _moving(result: Result) -> Script[str]:
    """Move one row, on whatever connection this script is followed; return its status.

    Raises:
        SettleError: it could not be moved; nothing was changed.
    """
    task, outcome = result.task, result.outcome
    binding, columns = task.lease.binding, tuple(outcome.columns)
    asked = _settle_parameters(binding, columns, [result])
    row = yield binding.settle(columns, shown=task.refusal is None), asked
    became = dict(row[0] if row and row[0] else ()).get(1, Verdict.MOVED)
    if became != Verdict.MOVED:
        msg = f"{binding}:{task.key} was not moved to {outcome.to!r}: {_WHY[became]}; roll back"
        raise SettleError(msg)
    assert outcome.to is not None  # noqa: S101 - it moves
    return outcome.to


def _reads_later(binding: Binding) -> bool:
    """Tell whether a claim leaves the reading of the rows to the transaction that locks them again."""
    return binding.handler.transactional and binding.handler.during is None


def _needs_more(binding: Binding) -> bool:
    """Tell whether a claim takes more than one statement, and so a transaction."""
    return binding.handler.is_limited or binding.show_during is not None
