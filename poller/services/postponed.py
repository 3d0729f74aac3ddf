"""Results that could not be written with the others: they wait here and are tried separately.

The model. Tests show what an error means, not its class: a trigger of the user's may raise any. Is the connection alive?
Can outcomes of this handler be written at all (`Settlements.rehearse`)? Can the half without this row be written?

    the connection is gone                    all results are kept, and tried again on a new connection; if that ends,
                                              too, in halves, until the row whose statement ends it is alone
    the outcomes cannot be written at all:    they wait together, with their own back-off; the log says so once. The
    a column was renamed, a right revoked,    handler is in trouble: its further results come here, and no more of its
    the table is locked, the disk full        rows are claimed, until the cause is gone
    another transaction holds a row's lock    that row waits, the others are written; the log names the holder
    this role may not set a column that       their attempts have failed, with the grant that is missing; others of the
    they set                                  handler, which do not set it, are written
    a row fails alone, and fails again        its attempt has failed, with the reason: another outcome, which asks less
                                              of the table, replaces the one that cannot be written

So every row is written in the end, or its lease ends with this worker: no result is dropped while the table exists.
These results have their own connection, so that they never block another handler's results.
"""

from __future__ import annotations

import contextlib
import random
import threading
from dataclasses import dataclass, replace
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING

from psycopg import errors

from poller.db.connection import is_servers, is_transient
from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.model.outcome import Became, Outcome
from poller.store.lost_keys import UNREADABLE, drop, lost
from poller.store.outcomes import of_error
from poller.store.settlements import ColumnRefusedError, Settlements
from poller.telemetry.bus import emit
from poller.telemetry.events import ResultsGivenUp, ResultsWait, ResultsWritable

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.db.connection import Link
    from poller.store.binding import Binding
    from poller.store.lease import Result, Settled, Task

LOCK_SECONDS = 0.2  # that a settle waits for a lock before its rows are tried apart
MOST_ROWS = 1000  # rows tried together
IDLE_SECONDS = 60.0  # until the connection is closed, once nothing is left
BACKOFF_FIRST_SECONDS, BACKOFF_MOST_SECONDS = 0.1, 2.0
TABLE_SECONDS = 5.0  # that a table may be away before its leases are given up
SLOW_SECONDS = 5.0  # after which a failed statement is not tried again
LOSSES = 2  # of the connection, with a statement for several rows, until one of the rows is suspected
LOSSES_ALONE = 3  # of the connection, with a statement for one row, until that row is at fault
TRIES = 2  # until the attempt at a row that fails alone has failed
PATIENT_TRIES = 4  # the same, for classes of errors that a server in trouble raises, too
# Classes of SQLSTATE (Postgres docs, appendix A) that mostly pass: connections, transactions, resources, operators.
_PATIENT = ("08", "25", "40", "53", "55", "57", "58", "XX")
UNSAID = "the reason cannot be stored"


class _Why(Enum):
    """Why results are here."""

    TROUBLE = auto()  # their handler's outcomes cannot be written, as far as is known
    HALVED = auto()  # one of them may be at fault
    LOCKED = auto()  # other transactions hold the locks of their rows


@dataclass(slots=True, eq=False)
class WriteGroup:
    """Results of one handler whose outcomes set the same columns, to be written together.

    Attributes:
        due_at: when to try them next (monotonic).
        tries: how often in a row they have failed in this form.
        losses: how often in a row the connection has ended with their statement.
        since: when they first failed in this form (monotonic).
    """

    results: list[Result]
    why: _Why
    due_at: float
    since: float
    tries: int = 0
    losses: int = 0

    @property
    def binding(self) -> Binding:
        """The handler, with its table."""
        return self.results[0].task.binding

    @property
    def form(self) -> tuple[Binding, tuple[str, ...], bool]:
        """The properties that select their statement."""
        return form_of(self.results[0])


def form_of(result: Result) -> tuple[Binding, tuple[str, ...], bool]:
    """Return the properties of a result that select its statement."""
    task = result.task
    return task.binding, tuple(result.outcome.columns), task.refusal is None


class Postponed:
    """The results that wait, and the rounds that try them.

    Args:
        link: its own, or the settler's if both run on one thread.
        written: called with the results that have been settled.
        given_up: called with results whose table is gone.
        wake: called when results are added.
    """

    def __init__(
        self,
        link: Link,
        written: Callable[[Settled], None],
        given_up: Callable[[Binding, list[Result]], None],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._settlements = Settlements(link)
        self._written = written
        self._given_up = given_up
        self._wake = wake
        self._parts: list[WriteGroup] = []
        self._tried: WriteGroup | None = None
        self._lock = threading.Lock()  # the settler's thread adds, this thread takes
        self._said: dict[tuple[Binding, str], str] = {}

    # --- state, for other threads ------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many results wait here."""
        if (
            not self._parts and self._tried is None
        ):  # the usual case; a part is always in at least one of the two
            return 0
        return sum(len(part.results) for part in self._all())

    def tasks(self) -> list[Task]:
        """Return the tasks whose results wait here."""
        return [result.task for part in self._all() for result in list(part.results)]

    def has_trouble(self, binding: Binding) -> bool:
        """Return whether a handler's outcomes are known or suspected to be unwritable at present."""
        return any(part.binding is binding and part.why is not _Why.LOCKED for part in self._all())

    def trouble(self, seconds: float) -> str | None:
        """Return the reason if outcomes have not been writable for `seconds`, else None."""
        long_ago = monotonic() - seconds
        for part in self._all():
            if part.why is _Why.TROUBLE and part.tries and part.since < long_ago:
                return f"{part.binding}: {self._said.get((part.binding, 'trouble'))}"
        return None

    def add(self, results: list[Result]) -> None:
        """Take results that could not be written, or whose handler is in trouble."""
        with self._lock:
            form = form_of(results[0])
            for part in self._parts:
                if part.why is _Why.TROUBLE and part.form == form:
                    part.results += results
                    break
            else:
                now = monotonic()
                self._parts.append(WriteGroup(results, _Why.TROUBLE, now, now))
        self._wake()

    def clear(self) -> None:
        """Forget all results: their sources will report them again."""
        with self._lock:
            self._parts.clear()

    # --- trying ------------------------------------------------------------------------------------

    def run_once(self) -> float:
        """Try the parts whose time has come. Returns the seconds to the next one."""
        while (part := self._take()) is not None:
            try:
                self._try(part)
            except BaseException:
                self._put(part)
                raise
            finally:
                self._tried = None
        return self._until_next()

    def recover(self) -> None:
        """Start over on a new connection."""
        self._settlements.link.close()

    def _all(self) -> list[WriteGroup]:
        with self._lock:
            return [*self._parts, *([self._tried] if self._tried else ())]

    def _take(self) -> WriteGroup | None:
        """Take the part that has been due for the longest time, if any is due."""
        with self._lock:
            part = min(self._parts, key=lambda each: each.due_at, default=None)
            if part is None or part.due_at > monotonic():
                return None
            self._tried = part
            self._parts.remove(part)
            if len(part.results) > MOST_ROWS:
                self._parts.append(replace(part, results=part.results[MOST_ROWS:]))
                part.results = part.results[:MOST_ROWS]
            return part

    def _put(self, *parts: WriteGroup) -> None:
        with self._lock:
            self._parts.extend(part for part in parts if part.results)
            self._tried = None

    def _until_next(self) -> float:
        with self._lock:
            if self._parts:
                return max(0.0, min(part.due_at for part in self._parts) - monotonic())
        self._said.clear()
        return IDLE_SECONDS

    def _try(self, part: WriteGroup) -> None:
        _ = self._settlements.link.connection  # failing to open it is an outage, not the fault of a row
        began = monotonic()
        try:
            settled = self._settlements.settle_each(part.results, only_free=True)
        except Exception as error:  # noqa: BLE001 - a value may fail in any way on its way to Postgres
            if not self._settlements.link.lives():
                self._lose(part, error)
            else:
                self._find_fault(part, error, monotonic() - began)
        else:
            self._end(part, settled)

    def _end(self, part: WriteGroup, settled: Settled) -> None:
        """Report the written results; let the others wait for the locks of other transactions."""
        locked, written = settled.parted(Became.LOCKED)
        if locked:
            self._wait_for_lock(replace(part, results=locked))
        if part.why is not _Why.LOCKED and self._said.pop((part.binding, "trouble"), ""):
            emit(ResultsWritable(**part.binding.named))
        if written.results:
            self._written(written)

    # --- finding the fault -------------------------------------------------------------------------

    def _lose(self, part: WriteGroup, error: Exception) -> None:
        """Handle a connection that ended with a statement: once is chance; repeatedly, one of its rows is at fault."""
        self._settlements.link.close()
        part.losses += 1
        alone = len(part.results) == 1
        if part.losses < (LOSSES_ALONE if alone else LOSSES):
            self._put_off(part, part.why)
        elif alone:
            self._refuse(part.results[0], error)
        else:
            self._halve(part)

    def _halve(self, part: WriteGroup) -> None:
        middle = len(part.results) // 2
        halves = (part.results[:middle], part.results[middle:])
        self._put(*(WriteGroup(half, _Why.HALVED, part.due_at, monotonic()) for half in halves))

    def _find_fault(self, part: WriteGroup, error: Exception, took: float) -> None:
        """Find out what an error concerns, and act on that; the connection lives."""
        alone = len(part.results) == 1
        if is_servers(error):
            self._wait_for_all(part, error)
        elif (alone or part.why is _Why.TROUBLE) and (fault := self._fault_of_all(part)) is not None:
            if isinstance(fault, ColumnRefusedError):
                self._refuse_all(part, fault)
            else:
                self._wait_for_all(part, fault)
        elif not alone:
            self._halve(part)
        elif part.why is _Why.TROUBLE:
            # The trouble has just ended; the number of tries until then says nothing about this row.
            self._put_off(replace(part, tries=0), _Why.HALVED)
        elif isinstance(error, errors.LockNotAvailable) and took >= 0.9 * LOCK_SECONDS:
            self._wait_for_lock(part, beneath=True)
        elif part.tries + 1 < _tries(error, took):
            self._put_off(part, part.why)
        else:
            self._refuse(part.results[0], error)

    def _fault_of_all(self, part: WriteGroup) -> Exception | None:
        """Return why outcomes of a handler that set these columns cannot be written at all; None if they can."""
        binding, columns, _ = part.form
        try:
            self._settlements.rehearse(binding, columns)
        except errors.Error as error:
            if not self._settlements.link.lives():
                raise
            return error
        except ColumnRefusedError as error:
            return error
        except Exception:  # noqa: BLE001 - a column that cannot be set is the fault of the result that sets it
            return None
        return None

    def _wait_for_all(self, part: WriteGroup, fault: Exception) -> None:
        self._settlements.link.close()  # this connection would keep a stale plan, or a server that was demoted
        if isinstance(fault, errors.UndefinedTable | errors.InvalidSchemaName) and self._is_gone(part):
            self._give_up(part, fault)
            return
        if not is_transient(fault):  # the table may have been changed: a key that is another one now, say
            with contextlib.suppress(ConfigurationError, errors.Error):
                part.binding.rebind(self._settlements.link.connection)
        self._say(part.binding, "trouble", f"outcomes cannot be written: {reason(fault)}; they wait")
        self._put_off(part, _Why.TROUBLE)

    def _is_gone(self, part: WriteGroup) -> bool:
        """Return whether a table has been missing for a while: briefly, it may just be being replaced."""
        return monotonic() - part.since > TABLE_SECONDS and not self._settlements.table_exists(part.binding)

    def _give_up(self, part: WriteGroup, fault: Exception) -> None:
        emit(ResultsGivenUp(**part.binding.named, rows=len(part.results), error=reason(fault)))
        self._settlements.forfeit({result.task.lease.id for result in part.results})
        self._given_up(part.binding, part.results)

    def _wait_for_lock(self, part: WriteGroup, *, beneath: bool = False) -> None:
        """Let rows wait for a lock: their own, their lease's, or one that a trigger needs (`beneath`)."""
        rows = ", ".join(each.task.key for each in part.results[:3])
        try:
            holder = self._settlements.who_locks(part.results[0].task)
        except UNREADABLE:  # its key is none any more; who holds its lease is not known
            holder = None
        if holder is not None:
            self._say(
                part.binding,
                f"lock of {rows}",
                f"{holder} holds the lock of {rows}; that row waits, others go on",
            )
        elif beneath:
            condition = (
                f"another session holds a lock that the UPDATE of {rows} needs; that row waits, others go on"
            )
            self._say(part.binding, f"lock of {rows}", condition)
        else:
            condition = (
                f"another transaction holds the lease of {rows}, or held such a row; they wait, others go on"
            )
            self._say(part.binding, "lock of a lease", condition)
        self._put_off(part, _Why.LOCKED)

    def _put_off(self, part: WriteGroup, why: _Why) -> None:
        delay = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(part.tries, 10))
        due_at = monotonic() + delay * random.uniform(0.8, 1.2)  # noqa: S311 - to part, not to hide
        self._put(replace(part, why=why, due_at=due_at, tries=part.tries + 1))

    def _refuse(self, result: Result, error: Exception) -> None:
        """Replace an outcome that cannot be written by another one, unless no row can have its key any more."""
        if isinstance(error, UNREADABLE) and self._drops_lost_keys(result):
            return
        outcome = lesser(result, error)
        if outcome is None:
            task = result.task
            self._say(task.binding, task.key, f"{task.key} cannot be settled: {reason(error)}; trying again")
            now = monotonic()
            self._put(WriteGroup([result], _Why.LOCKED, now + BACKOFF_MOST_SECONDS, now, PATIENT_TRIES))
        else:
            now = monotonic()
            self._put(WriteGroup([replace(result, outcome=outcome)], _Why.HALVED, now, now))

    def _refuse_all(self, part: WriteGroup, fault: Exception) -> None:
        """Replace outcomes that set a column which this role may not set: others of the handler can be written."""
        self._settlements.link.close()  # it would keep a stale plan
        for each in part.results:
            self._refuse(each, fault)

    def _drops_lost_keys(self, result: Result) -> bool:
        """Return whether no row can have a result's key any more; then the leases of all such are given up."""
        connection, binding = self._settlements.link.connection, result.task.binding
        if not lost(connection, binding, [result.task.key]):
            return False
        with self._lock:
            waiting = [each for part in self._parts if part.binding is binding for each in part.results]
        keys = {result.task.key, *lost(connection, binding, [each.task.key for each in waiting])}
        try:
            drop(connection, binding, list(keys))
        except errors.LockNotAvailable:  # a transaction holds one of the leases: later
            now = monotonic()
            self._put(WriteGroup([result], _Why.LOCKED, now + BACKOFF_MOST_SECONDS, now, PATIENT_TRIES))
            return True
        with self._lock:
            # Other threads may have a part at hand: it is replaced, and never empty.
            parts = [
                replace(part, results=[each for each in part.results if each.task.key not in keys])
                if part.binding is binding
                else part
                for part in self._parts
            ]
            self._parts = [part for part in parts if part.results]
        self._given_up(binding, [each for each in (result, *waiting) if each.task.key in keys])
        return True

    def _say(self, binding: Binding, about: str, what: str) -> None:
        """Log a condition of a handler once, and again when it has changed."""
        if self._said.get((binding, about)) != what:
            self._said[binding, about] = what
            emit(ResultsWait(**binding.named, reason=what))


def lesser(result: Result, error: BaseException) -> Outcome | None:
    """Return the outcome that replaces one which cannot be written; None if none is left."""
    task, refused = result.task, result.outcome
    if refused.verdict is Became.MOVED:
        failure = RuntimeError(f"the move was refused: {reason(error)}")
        return of_error(task.handler, failure, task.attempt, task.age)
    if refused.verdict is not Became.PARKED or refused.to is not None:
        is_final = refused.verdict is Became.FAILED
        to = (
            task.handler.restored if is_final else None
        )  # where it may not go to `on_failure`, it may go back
        what = "on_failure" if is_final else "the way back"
        why = f"{refused.error or refused.verdict.value}; {what} was refused, too: {reason(error)}"
        if task.handler.during is not None and to is None:
            why += f"; it still shows {task.handler.during!r}"
        return Outcome(
            Became.PARKED, to=to, attempt=refused.attempt, error=why, kind=refused.kind, place=refused.place
        )
    if refused.error != UNSAID:
        return Outcome(Became.PARKED, attempt=refused.attempt, error=UNSAID)
    return None


def _tries(error: Exception, took: float) -> int:
    """Return how often a row that fails alone is tried before the row counts as the cause."""
    if took > SLOW_SECONDS:
        return 1
    state = getattr(error, "sqlstate", None) or ""
    return PATIENT_TRIES if state.startswith(_PATIENT) else TRIES
