"""Attempts at tasks of transactional handlers: several share one transaction, which also writes their outcomes.

The model. The rows are locked and checked again; the handlers run one after the other, each in its own savepoint if it
uses the connection, until all have run or the transaction has taken long enough; their outcomes are settled, and all of
it is committed. The remaining tasks are attempted in another transaction; after a rollback, each row is attempted alone.

One thread reports all tasks that share a transaction: the transaction's own once it has settled, or the watchdog's when
the time of one of the handlers is up (`end`).

Threads. Those that run handlers; the watchdog's calls `end`.
"""

from __future__ import annotations

import contextvars
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psycopg import OperationalError

from poller.db.connection import is_conflict, is_servers, is_transient
from poller.errors import LeaseLostError, PollerError
from poller.errors_in_words import reason
from poller.executor import attempt, batching
from poller.executor.forked import OnlyHere
from poller.model.answers import TimedOut
from poller.model.outcome import Became, Outcome
from poller.runtime.failpoints import reach
from poller.store.lease import Result, Settled
from poller.store.outcomes import BEGAN_LATE, not_shown, of_error, released
from poller.store.settlements import ColumnRefusedError
from poller.telemetry.bus import emit
from poller.telemetry.current_attempt import variable
from poller.telemetry.events import TransactionLost, TransactionSlow, TransactionUnwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.executor.attempt import Call
    from poller.executor.batching import Batching
    from poller.executor.call_reporter import CallReporter
    from poller.executor.in_flight import InFlight, SharedTransaction
    from poller.executor.transaction import Transaction, Transactions
    from poller.store.binding import Binding
    from poller.store.lease import Task

SLOW_SECONDS = 1.0  # in a transaction after which a handler is logged as slow
TELL_AGAIN_SECONDS = 600.0  # until it is logged again
PUT_OFF_SECONDS = 10.0  # until the next attempt at a row whose outcome could not be written


class RolledBackError(Exception):
    """A handler's writes must be rolled back."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


class SharedTransactions:
    """Runs tasks in transactions that they share.

    Args:
        transactions: where they come from.
        in_flight: decides who reports.
        batching: how many tasks share one.
        reporter: ends tasks whose results are not settled in a transaction.
        settled: called with results that are already written, and what became of their rows.
        queue: called with tasks to attempt in another transaction, ahead of those that wait already.
    """

    def __init__(  # noqa: PLR0913 - the parts of an executor
        self,
        *,
        transactions: Transactions,
        in_flight: InFlight,
        batching: Batching,
        reporter: CallReporter,
        settled: Callable[[Settled], None],
        queue: Callable[[list[Task]], None],
    ) -> None:
        self._transactions = transactions
        self._in_flight = in_flight
        self._batching = batching
        self._reporter = reporter
        self._settled = settled
        self._queue = queue
        self._told_slow: dict[Binding, float] = {}
        self._broke: WeakSet[Task] = WeakSet()  # alone in a transaction whose connection broke

    def attempt(self, shared: SharedTransaction) -> bool:
        """Attempt tasks in one transaction; return False if the watchdog has given up on this thread."""
        settled = Settled([], [])
        failure: BaseException | None = None
        transaction: Transaction | None = None
        is_ours, many = False, len(shared.tasks)
        try:
            with self._transactions.begin(shared.tasks[0].binding) as transaction:
                shared.pid = transaction.pid
                self._run(shared, transaction)
                settled = transaction.settle(shared.results)
                is_ours = self._in_flight.take_shared(shared)
                if not is_ours:
                    raise TimedOut  # noqa: TRY301 - to roll back
                reach("transaction settled")
            reach("transaction committed")
        except BaseException as error:  # noqa: BLE001 - whatever it is, the transaction was rolled back
            failure = error
            is_ours = is_ours or self._in_flight.take_shared(shared)
        for call in [each for each in list(self._in_flight.stuck) if each.shared is shared]:
            del self._in_flight.stuck[call]
        if not is_ours:  # the watchdog has handled all of its tasks
            return False
        if failure is None:
            self._batching.learn(shared, many)
        else:
            self._roll_back(shared, failure, is_alive=transaction is not None and transaction.is_alive)
        self._in_flight.between.add(get_ident())
        self._in_flight.shared.discard(shared)
        self._queue(shared.left)
        if failure is None:  # after it left `in_flight`: the callback asks how much is held
            self._settled(settled)
        return True

    def end(self, shared: SharedTransaction, besides: Sequence[Task], *, again: bool) -> None:
        """End a transaction whose handler does not end.

        Args:
            shared: the transaction.
            besides: the tasks of that handler.
            again: attempt the other tasks again once their rows are free; else give them back.
        """
        others = [task for task in (*shared.tasks, *shared.left) if task not in besides]
        shared.tasks, shared.left, shared.current = others, [], None

        def go_on() -> None:
            self._in_flight.shared.discard(shared)
            self._queue(others)

        if again and others:
            self._transactions.end(shared.pid, go_on)
            return
        self._in_flight.shared.discard(shared)
        self._transactions.end(shared.pid, lambda: None)
        self._reporter.release(others)

    # --- the handlers -------------------------------------------------------------------------------

    def _run(self, shared: SharedTransaction, transaction: Transaction) -> None:
        """Run the handlers one after the other, until all have run or the transaction has taken long enough.

        Raises:
            OperationalError: the connection was closed under one of them.
        """
        there = _standing(shared, transaction)
        began = monotonic()
        batched = shared.tasks[0].handler.batch > 1
        groups = [there] if batched and there else [[task] for task in there]
        for at, tasks in enumerate(groups):
            if shared.is_taken:
                return
            shared.seconds = monotonic() - began
            if at and (shared.seconds > batching.LONGEST_SECONDS or transaction.is_spent):
                shared.leave([task for group in groups[at:] for task in group])
                return
            self._run_within(shared, transaction, tasks)
            if transaction.is_lost:
                msg = "the connection of the transaction was closed"
                raise OperationalError(msg)
        shared.seconds = monotonic() - began

    def _run_within(self, shared: SharedTransaction, transaction: Transaction, tasks: list[Task]) -> None:
        """Run a handler on a row or a batch, in its own savepoint if it uses the connection."""
        call = self._in_flight.begin_within(shared, tasks[0], tasks[1:])
        outcomes: list[Outcome] = []
        try:
            outcomes = contextvars.Context().run(_answer, call, transaction)
        except BaseException as error:
            if len(shared.tasks) > 1 and is_conflict(error):
                raise  # the lock conflict might not happen in a transaction of its own
            if attempt.is_somebodys(call, error):
                shared.leave(tasks)
                self._batching.halve(tasks)
            else:
                rolled_back = type(error) is RolledBackError
                outcomes = error.outcomes if rolled_back else attempt.of_raise(call, error)  # type: ignore[attr-defined]
        shared.current = None
        self._tell_if_slow(call)
        if outcomes:
            shared.results += call.results(outcomes)

    def _tell_if_slow(self, call: Call) -> None:
        """Log that a handler keeps a transaction open for long: once in `TELL_AGAIN_SECONDS` for each handler."""
        binding, now = call.task.binding, monotonic()
        if now - call.started < SLOW_SECONDS or now < self._told_slow.get(binding, 0.0) + TELL_AGAIN_SECONDS:
            return
        self._told_slow[binding] = now
        emit(TransactionSlow(**binding.named, seconds=now - call.started))

    # --- after a rollback ---------------------------------------------------------------------------

    def _roll_back(self, shared: SharedTransaction, error: BaseException, *, is_alive: bool) -> None:
        """Decide what becomes of tasks whose transaction was rolled back.

        Args:
            shared: the transaction.
            error: why it was rolled back.
            is_alive: whether its connection lives.
        """
        if not shared.pid:  # no transaction has begun
            self._reporter.release(shared.tasks)
        elif isinstance(error, LeaseLostError):
            emit(TransactionLost(error=str(error)))
            self._reporter.release(shared.tasks)  # some of them may be ours still
        elif len(shared.tasks) > 1:
            if is_conflict(error):
                self._batching.keep_apart(shared.tasks[0].binding)
            self._batching.part(shared.tasks)
            shared.left += shared.tasks
        else:
            for task in shared.tasks:
                self._report_alone(shared, task, error, is_alive=is_alive)

    def _report_alone(
        self, shared: SharedTransaction, task: Task, error: BaseException, *, is_alive: bool
    ) -> None:
        """Decide what becomes of the only task in a transaction that was rolled back."""
        ended = next((each for each in shared.results if each.task is task), None)
        binding = task.binding
        if ended is None and is_alive and self._cannot_send(task, error):
            outcome = not_shown(binding.handler, reason(error), task.attempt, task.age)
            self._reporter.report([Result(task, outcome, 0.0)])
        elif ended is None or ended.outcome.verdict is Became.RELEASED:
            self._reporter.release([task])
        elif not is_alive and task not in self._broke:
            self._broke.add(task)
            shared.left.append(task)
        elif ended.outcome.verdict is not Became.MOVED:
            self._reporter.report([ended])
        elif is_alive and (fault := self._fault_of_all(binding, tuple(ended.outcome.columns))) is not None:
            if isinstance(fault, ColumnRefusedError):
                self._reporter.report([_refused(ended, fault)])
                return
            emit(TransactionUnwritable(**binding.named, error=reason(fault), retry_seconds=PUT_OFF_SECONDS))
            put_off = Outcome(
                Became.SNOOZED, to=binding.handler.restored, delay=PUT_OFF_SECONDS, attempt=task.attempt - 1
            )
            self._reporter.report([Result(task, put_off, ended.seconds)])
        else:
            self._reporter.report([_refused(ended, error)])

    def _cannot_send(self, task: Task, error: BaseException) -> bool:
        """Return whether the server refused to send one row as it was locked, and would send others of its table."""
        if is_servers(error) or is_transient(error):
            return False
        try:
            with self._transactions.begin(task.binding) as transaction:
                transaction.lock(())
        except Exception:  # noqa: BLE001 - no row is involved, so no row is at fault
            return False
        return True

    def _fault_of_all(self, binding: Binding, columns: tuple[str, ...]) -> BaseException | None:
        """Return the error if no outcome of a handler can be written now, so that no row is at fault; else None."""
        try:
            self._transactions.rehearse(binding, columns)
        except ColumnRefusedError as error:
            return error
        except PollerError:  # a handler named a column that does not exist
            return None
        except Exception as error:  # noqa: BLE001 - no row is involved, so no row is at fault
            return error
        return None


def _refused(ended: Result, error: BaseException) -> Result:
    """Return the result of a row whose outcome cannot be written: its attempt has failed."""
    task = ended.task
    refused = RuntimeError(f"the transaction was rolled back: {reason(error)}")
    return Result(task, of_error(task.handler, refused, task.attempt, task.age), ended.seconds)


def _standing(shared: SharedTransaction, transaction: Transaction) -> list[Task]:
    """Lock the rows; return the tasks whose rows are unchanged since the claim, and give the others back."""
    standing = transaction.lock(shared.tasks)
    began = monotonic()
    there = []
    for task in shared.tasks:
        is_late = began > task.lease.begin_by  # the wait for a session took too long
        if not is_late and (values := standing.get(task.key)) is not None:
            task.values, task.form = values, transaction.form
            there.append(task)
        else:  # changed, gone or locked by another transaction: as if never claimed
            why = BEGAN_LATE if is_late else None
            outcome = released(task.handler, task.attempt, why, begun=bool(task.begun))
            shared.results.append(Result(task, outcome, 0.0))
    return there


def _answer(call: Call, transaction: Transaction) -> list[Outcome]:
    """Call a handler within a transaction; return what its answer means.

    Raises:
        RolledBackError: a row keeps its status, so the handler's writes are rolled back.
        BaseException: what the handler raises.
    """
    variable.set(call)
    given = attempt.arguments(call)
    if call.context is None:
        return attempt.of_return(call, _invoke(call, given))
    with transaction.row(call.context, given[0]):
        outcomes = attempt.of_return(call, _invoke(call, given))
        if any(each.verdict is not Became.MOVED for each in outcomes):
            raise RolledBackError(outcomes)
        return outcomes


def _invoke(call: Call, given: tuple[Any, ...]) -> Any:
    with OnlyHere():
        return call.handler.invoke(*given)
