"""Explains why a row is not being worked on: each reason, with the facts that prove it; and how a handler claims.

What may be trusted: each part of an answer is true for the moment at which it was read. The conditions are the claim's
own (`Binding`), not a copy of them. Nothing is changed; the row is locked for a moment, to see whether a
claim could, unless the session may only read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import class_row, namedtuple_row

from poller.client import answers, checks
from poller.client.answers import aside
from poller.client.handler_lookup import named
from poller.client.key_forms import read_key
from poller.client.pausing import pauses
from poller.client.refusals import RefusedError
from poller.client.selector import same_key
from poller.db.connection import role_of
from poller.db.statements import array, statement
from poller.errors_in_words import reason
from poller.registry import Registered
from poller.store.claim_plan import plan_claim
from poller.store.settlements import holder_of_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import sql

    from poller.client.checks import Finding
    from poller.client.handler_lookup import Named
    from poller.client.known_handlers import Source
    from poller.store.binding import Binding

SHOWN_ROWS = 20  # rows ahead of the row that are listed


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is not claimed.

    Attributes:
        reason: gone, status, leased, waiting, snoozed, parked, paused, where, due, per_key, limit, rate, locked or
            no_worker.
        detail: one line, for people.
        facts: the evidence, by name.
    """

    reason: str
    detail: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowExplained:
    """Why a row is not being worked on.

    Attributes:
        claimable: nothing keeps a worker from claiming it.
        reasons: in the order in which they would have to be removed.
        row: as `table:status:key`.
        waits: it is claimable, and all slots of the workers that have its handler are taken.
        unchecked: options of the handler that need its code, which is not here.
    """

    claimable: bool
    reasons: tuple[Reason, ...]
    row: str = aside()
    unchecked: tuple[str, ...] = aside()
    waits: bool = aside(default=False)


@dataclass(frozen=True, slots=True)
class ClaimExplained:
    """How rows of a handler are claimed.

    Attributes:
        statement: the claim, as it is sent.
        plan: Postgres' plan for it on this database, a line each.
        lacks: what keeps the claim from working, or from working well.
        handler: as `table:status`.
        unchecked: options of the handler that need its code, which is not here.
    """

    statement: str
    plan: tuple[str, ...]
    lacks: tuple[Finding, ...]
    handler: str = aside()
    unchecked: tuple[str, ...] = aside()


def as_object(found: RowExplained | ClaimExplained) -> dict[str, Any]:
    """Return what was explained as an object: the facts of a reason beside its detail."""
    if isinstance(found, RowExplained):
        reasons = [{"reason": each.reason, "detail": each.detail, **each.facts} for each in found.reasons]
        return {"claimable": found.claimable, "reasons": reasons}
    lacks = [answers.as_object(each) for each in found.lacks]
    return {"statement": found.statement, "plan": list(found.plan), "lacks": lacks}


def explain(
    connection: psycopg.Connection[Any], selector: str, source: Source, key: str | None = None
) -> RowExplained | ClaimExplained:
    """Explain why a row is not being worked on (`TABLE:STATUS:KEY`), or how a handler's are claimed (`TABLE:STATUS`).

    A key that is given apart is the row's, whatever it looks like.

    Raises:
        NothingSelectedError: no such handler is known.
        ConfigurationError: no status is named, the key cannot be one, or the handler does not fit its table.
    """
    binding, named_key, texts = _named(connection, selector, source)
    key = (named_key or None) if key is None else key
    if key is None:
        return _claim(connection, binding, tuple(texts))
    key = read_key(binding.table, key)
    asked = RowReasons(connection, binding, key, texts.get("where"))
    reasons = tuple(asked.reasons())
    waits = not reasons and asked.is_full
    return RowExplained(not reasons, reasons, f"{binding}:{key}", tuple(texts), waits)


def _named(connection: psycopg.Connection[Any], selector: str, source: Source) -> Named:
    """Return what a selector names; of a locked table without the handler's own texts, which cannot be read there."""
    try:
        with connection.transaction():
            return named(connection, selector, source)
    except psycopg.errors.LockNotAvailable:
        return named(connection, selector, source, bare=True)


def _claim(
    connection: psycopg.Connection[Any], binding: Binding, unchecked: tuple[str, ...]
) -> ClaimExplained:
    asked = binding.asked(limit=1)
    text = psycopg.ClientCursor(connection).mogrify(binding.claim_first, asked)
    plan = tuple(plan_claim(connection, binding))
    lacks = checks.Checks(connection, Registered([binding.handler], [])).of_handlers()
    return ClaimExplained(text.strip(), plan, tuple(lacks), str(binding), unchecked)


@dataclass(frozen=True, slots=True)
class RowAsClaimed:
    """A row as a claim of its handler would find it.

    Attributes:
        key: as poller writes it.
        status: as the database shows it; None if it is not set.
        shows: it is the handler's.
        where: the handler's condition is true.
        is_time: its time has come.
        due_at: that time, if the handler has a `due`.
        turn: what it has in common with others of equal `per_key` values.
        group: these values, as text.
        error: why the handler's conditions could not be evaluated at it.
    """

    key: str
    status: str | None
    shows: bool | None
    where: bool
    is_time: bool
    due_at: Any
    turn: int | None
    group: str | None
    error: str | None = None


class RowReasons:
    """The reasons that keep one row from being claimed.

    Args:
        connection: where to ask.
        binding: of its handler.
        key: the row's.
        unchecked: the handler's `where`, if that is not in the binding: it is told, and not run.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        binding: Binding,
        key: str,
        unchecked: str | None = None,
    ) -> None:
        self._unchecked = unchecked
        self._connection = connection
        self._binding = binding
        self._handler = binding.handler
        self._key = key
        self.is_full = False  # no worker that has its handler has a free slot

    def reasons(self) -> Iterator[Reason]:
        """Yield each reason, in the order in which they would have to be removed.

        Raises:
            ConfigurationError: the key cannot be one of the table's.
        """
        try:
            row = self._row()
        except psycopg.errors.LockNotAvailable:
            yield from self._of_locked_table()
            return
        if row is None:
            what = f"{self._binding.table} has no row {self._key}"
            yield Reason("gone", what, {})
            return
        self._key = row.key
        lease = self._asked("explain_lease", keys=self._keys)
        attempt = self._asked("explain_attempt", keys=self._keys)
        yield from self._status(row, lease, attempt)
        yield from _leased(lease)
        if lease is None:
            yield from _put_off(attempt)
        yield from self._paused()
        yield from self._conditions(row, is_leased=lease is not None)
        if lease is None:
            yield from self._turn(row, is_fresh=attempt is None and row.where and row.is_time)
            yield from self._limits()
            yield from self._locked()
        yield from self._workers()

    def _of_locked_table(self) -> Iterator[Reason]:
        """Yield what is known of a row that cannot be read, since another session has the whole table locked."""
        keys = array(same_key(self._key))
        lease = self._asked("explain_lease", keys=keys)
        yield from _leased(lease)
        if lease is None:
            yield from _put_off(self._asked("explain_attempt", keys=keys))
        yield from self._paused()
        if lease is None:
            yield from self._limits()
        yield _locked_by(self._asked("table_holder", table=self._binding.table.oid), "its whole table")
        yield from self._workers()

    @property
    def _keys(self) -> str:
        return array([self._key])

    def _asked(self, name: str, **asked: Any) -> Any:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement(name), {"handler": self._binding.id, **asked}).fetchone()

    def _row(self) -> RowAsClaimed | None:
        """Return the row, as a claim would see it; None if there is none."""
        try:
            return self._seen(self._binding.explain_row)
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            failed = error
        try:  # without what the handler asks of it, which may be what has failed
            bare = self._seen(self._binding.explain_row_bare)
        except psycopg.DataError as error:
            msg = f"{self._key!r} cannot be a key of {self._binding.table}: {error.diag.message_primary or error}"
            raise RefusedError(msg, "no_key") from None
        return bare and replace(bare, error=reason(failed))

    def _seen(self, question: sql.Composed) -> RowAsClaimed | None:
        with (
            self._connection.transaction(),
            self._connection.cursor(row_factory=class_row(RowAsClaimed)) as cursor,
        ):
            return cursor.execute(question, {"key": self._key}).fetchone()

    def _status(self, row: RowAsClaimed, lease: Any, attempt: Any) -> Iterator[Reason]:
        shows_during = row.status is not None and row.status == self._handler.during
        if row.shows or (lease is not None and shows_during):
            return
        shown = "not set" if row.status is None else repr(row.status)
        detail = f"its {self._handler.column} is {shown}, not {self._handler.status!r}"
        if shows_during:
            detail += ": its handler's during, but no worker holds it"
            detail += "; an order to retry takes it back" if attempt is not None else ""
        yield Reason("status", detail, {"status": row.status})

    def _paused(self) -> Iterator[Reason]:
        pause = pauses(self._connection, [self._binding.id]).get(self._binding.id)
        if pause is not None:
            ends = f", until {_time(pause.until)}" if pause.until is not None else ""
            detail = f"{self._binding} is paused by {pause.by} since {_time(pause.since)}{ends}"
            yield Reason("paused", detail, {"by": pause.by, "since": pause.since, "until": pause.until})

    def _conditions(self, row: RowAsClaimed, *, is_leased: bool) -> Iterator[Reason]:
        where = self._handler.where
        if row.error is not None:
            detail = f"its handler's where fails for it: {row.error}"
            yield Reason("where", detail, {"where": where, "error": row.error})
        elif not row.where:
            yield Reason("where", f"it does not meet its handler's where: {where}", {"where": where})
        elif self._unchecked is not None and not is_leased:
            detail = f"its handler's code is not here, so its where is not evaluated: {self._unchecked}"
            yield Reason("where", detail, {"where": self._unchecked, "checked": False})
        if not row.is_time:
            due = self._handler.due
            detail = f"its {due} is not set" if row.due_at is None else f"it is due at {_time(row.due_at)}"
            yield Reason("due", detail, {"column": due, "due_at": row.due_at})

    def _turn(self, row: RowAsClaimed, *, is_fresh: bool) -> Iterator[Reason]:
        if not self._handler.per_key or row.turn is None or not row.shows:
            return
        most = self._handler.per_key_limit
        asked = self._binding.asked(max(most, SHOWN_ROWS)) | {
            "key": self._key,
            "group": row.turn,
            "is_fresh": is_fresh,
            "waiting_hold": self._handler.in_order and is_fresh,
        }
        before = self._connection.execute(self._binding.explain_turn, asked).fetchall()
        if len(before) < most:
            return
        key, why = before[0]
        names = ", ".join(self._handler.per_key)
        detail = f"row {key} with the same {names} ({row.group}) goes before it: {why}"
        behind = [{"key": key, "why": why} for key, why in before]
        facts = {"per_key": list(self._handler.per_key), "value": row.group, "limit": most, "behind": behind}
        yield Reason("per_key", detail, facts)

    def _limits(self) -> Iterator[Reason]:
        limit, rate = self._handler.limit, self._handler.rate
        if limit is None and rate is None:
            return
        asked = {"limit": limit, "rate": rate and rate.rows, "window": rate.window if rate else 0.0}
        row = self._connection.execute(
            statement("limit_room"), {"handler": self._binding.id, **asked}
        ).fetchone()
        by_limit, by_rate, again_in = row or (None, None, None)
        if limit is not None and by_limit is not None and by_limit <= 0:
            holders = self._connection.execute(statement("explain_holders"), {"handler": self._binding.id})
            held = [{"worker": worker, "rows": rows} for worker, rows in holders.fetchall()]
            workers = ", ".join(str(each["worker"]) for each in held)
            detail = f"{limit - by_limit} rows of {limit} are in flight, in the workers {workers}"
            yield Reason("limit", detail, {"limit": limit, "in_flight": limit - by_limit, "holders": held})
        if rate is not None and by_rate is not None and by_rate <= 0:
            wait = max(0.0, again_in or 0.0)
            detail = f"{rate.rows} rows have begun within {rate.window:g}s; the next may in {wait:.1f}s"
            yield Reason("rate", detail, {"rows": rate.rows, "window": rate.window, "next_in": wait})

    def _locked(self) -> Iterator[Reason]:
        """See whether a claim could lock the row: by doing so, and undoing it at once.

        Who may not lock it is told only of a session that can be named.
        """
        may_lock, is_kept = True, False
        try:
            with self._connection.transaction(force_rollback=True):
                is_kept = not self._connection.execute(
                    self._binding.explain_lock, {"key": self._key}
                ).rowcount
        except psycopg.errors.LockNotAvailable:  # the row, or the whole table
            pass
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
            may_lock = False
        else:
            yield from self._kept_from_changes() if is_kept else ()
            return
        if not self._binding.table.readable:  # who holds a row stands in the row
            if may_lock:
                yield _locked_by(None)
            return
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            holder: Any = cursor.execute(self._binding.who_locks, {"key": self._key}).fetchone()
        if holder is not None or may_lock:
            yield _locked_by(holder)

    def _kept_from_changes(self) -> Iterator[Reason]:
        """Tell that a row that can be seen cannot be locked: a policy for updates leaves it out, as in a claim."""
        if self._binding.table.row_security:
            role = role_of(self._connection)
            detail = f"row security keeps the role {role} from changing it"
            yield Reason("locked", detail, {"role": role, "row_security": True})

    def _workers(self) -> Iterator[Reason]:
        found = self._asked("explain_workers")
        if found.knowing > found.ending:
            self.is_full = found.free == 0
            return
        facts = {"living": found.living, "ending": found.ending}
        if found.ending:
            detail = f"all workers that have its handler are draining or stopping: {found.ending}"
        elif found.living:
            detail = f"none of the {found.living} live workers has its handler"
        else:
            detail = "no worker is alive"
        yield Reason("no_worker", detail, facts)


def _locked_by(holder: Any, what: str = "it") -> Reason:
    """Return that a session has a row, or its table, locked; the session, if it can be told."""
    if holder is None:
        return Reason("locked", f"another transaction has {what} locked", {})
    detail = f"{holder_of_lock(holder.pid, holder.role, holder.application_name)} has {what} locked"
    if holder.began is not None:  # a role sees that of its own sessions only, unless it may see all
        detail += f", in a transaction since {_time(holder.began)}"
    facts = {"pid": holder.pid, "role": holder.role, "application": holder.application_name}
    return Reason("locked", detail, {**facts, "since": holder.began})


def _leased(lease: Any) -> Iterator[Reason]:
    if lease is not None:
        dead = ", which is dead: the row is about to be taken back" if lease.is_dead else ""
        detail = (
            f"worker {lease.worker} ({lease.host}, pid {lease.pid}) has it since {_time(lease.since)}{dead}"
        )
        names = ("worker", "host", "pid", "since")
        yield Reason("leased", detail, {name: getattr(lease, name) for name in names})


def _put_off(attempt: Any) -> Iterator[Reason]:
    """Yield why a row is left alone for now, or for ever, because of its earlier attempts."""
    if attempt is None or (attempt.state != "parked" and not attempt.is_later):
        return
    facts = {"attempt": attempt.attempt, "error": attempt.error}
    if attempt.state == "parked":
        times = "1 attempt" if attempt.attempt == 1 else f"{attempt.attempt} attempts"
        detail = f"parked after {times}, at {_time(attempt.since)}: {attempt.error}"
        yield Reason("parked", detail, {**facts, "since": attempt.since})
    elif attempt.state == "snoozed":
        detail = f"its handler snoozed it until {_time(attempt.next_at)}"
        yield Reason("snoozed", detail, {"next_at": attempt.next_at})
    else:
        detail = (
            f"attempt {attempt.attempt} failed; the next one is at {_time(attempt.next_at)}: {attempt.error}"
        )
        yield Reason("waiting", detail, {**facts, "next_at": attempt.next_at})


def _time(at: Any) -> str:
    return at.isoformat(timespec="seconds") if hasattr(at, "isoformat") and hasattr(at, "hour") else str(at)
