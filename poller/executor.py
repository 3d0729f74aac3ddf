"""Runs handlers: plain functions on threads, coroutines on one event loop, each to exactly one result.

The model. Tasks wait in one queue for each kind; threads *pull* from it, so that one thread works through
many quick rows without handing over, and slow rows spread over all of them by themselves. At most `slots`
handlers run at a time.

Tasks of a transactional handler that wait side by side share a transaction (`transaction`), and a slot.

Who may say what became of a task is decided by one atomic step: whoever takes the task out of `_running`, or
takes the tasks that share a transaction (their own thread when the handler ends; the watchdog when its time is
up), reports the result, and nobody else. A handler that does not stop at its timeout keeps its thread, which is
replaced; it is `stuck`, and after some patience the worker asks to be replaced as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from poller.database import is_conflict, is_passing, reason
from poller.duration import words
from poller.lease import Result, Task
from poller.model import Context, Row
from poller.outcome import Interrupted, Outcome, TimedOut, Verdict, of_answer, of_error, released
from poller.store import Store
from poller.telemetry import problem, trace
from poller.transaction import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from poller.binding import Binding
    from poller.handler import Handler
    from poller.transaction import Transaction, Transactions


MOST_TOGETHER = 500  # rows in one transaction
APART = 30.0  # seconds that a handler's rows share no transactions, after such had waited for each other
LONGEST_TOGETHER = 0.1  # seconds after which no further handler is run in one


@dataclass(slots=True, eq=False)
class Run:
    """A task that is being run: by which thread or coroutine, in which transaction, until when."""

    task: Task
    started: float
    deadline: float
    context: Context | None
    coroutine: asyncio.Task[None] | None = None
    together: Together | None = None


@dataclass(slots=True, eq=False)
class Together:
    """Tasks that share a transaction. Who takes it, once, says what became of them all: its thread, or the watchdog."""

    tasks: list[Task]
    results: list[Result] = field(default_factory=list)
    current: Run | None = None
    pid: int = 0
    _taken: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Tell whether nobody has taken it before."""
        return self._taken.acquire(blocking=False)


class _RolledBackError(Exception):
    """What a handler has written is not to be kept."""


class Executor:
    """Runs tasks in `slots` places and reports a result for each.

    Args:
        slots: how many handlers run at a time.
        report: called with each result, from any thread.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
        transactions: for transactional handlers.
        report_settled: called with results that are written already, and what became of them.
    """

    def __init__(
        self,
        slots: int,
        report: Callable[[Result], None],
        trusted_until: Callable[[], float] = lambda: float("inf"),
        transactions: Transactions | None = None,
        report_settled: Callable[[list[tuple[Result, str]]], None] = lambda _: None,
    ) -> None:
        self.slots = slots
        self._report = report
        self._trusted_until = trusted_until
        self._transactions = transactions
        self._report_settled = report_settled
        self._alone: WeakSet[Task] = WeakSet()
        self._apart_until: dict[Binding, float] = {}
        self._plain: deque[Task] = deque()
        self._coroutines: deque[Task] = deque()
        self._running: dict[Task, Run] = {}
        self._together: set[Together] = set()
        self._arrived = threading.Condition()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._stuck: dict[Run, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    # --- what the worker sees ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot."""
        return len(self._plain) + len(self._coroutines)

    @property
    def running(self) -> int:
        """How many slots are taken; tasks that share a transaction take one."""
        return len(self._running) + len(self._together)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs here, or a thread has just taken it."""
        at_work = self._idle < len(self._threads) - len(self._stuck)
        return at_work or self.waiting > 0 or self.running > 0

    @property
    def free(self) -> int:
        """How many tasks could start at once."""
        return max(0, self.slots - self.running - self.waiting)

    def holds_isolated(self) -> bool:
        """Tell whether a row that may be killing its workers is in here."""
        return any(
            task.isolated for task in (*self._running, *self._plain, *self._coroutines, *self._sharing())
        )

    def submit(self, tasks: Iterable[Task], *, first: bool = False) -> None:
        """Queue tasks for the threads or the event loop, as their handlers are; `first` before the others."""
        plain: list[Task] = []
        coroutines: list[Task] = []
        for task in tasks:
            is_coroutine = task.lease.binding.handler.is_coroutine
            (coroutines if is_coroutine else plain).append(task)
        if plain:
            _queue(self._plain, plain, first=first)
            self._wake_threads(len(plain))
        if coroutines:
            _queue(self._coroutines, coroutines, first=first)
            self._pump_soon()

    def expire(self) -> None:
        """Report the handlers whose time is up as timed out, and ask them to stop."""
        now = monotonic()
        for run in self._runs():
            if run.deadline <= now:
                self._abandon(run, TimedOut(f"timed out after {words(run.deadline - run.started)}"))

    def stuck(self, patience: float) -> int:
        """Return how many abandoned handlers have gone on for longer than `patience` seconds."""
        now = monotonic()
        return sum(now - since > patience for since in list(self._stuck.values()))

    def cancel(self, *, runs: bool = True) -> None:
        """Tell every running handler to stop (`ctx.cancelled`); those that run jobs only with `runs`."""
        for run in self._runs():
            if run.context is not None and (runs or run.context.notes is None):
                run.context.cancelled.set()

    def contexts(self) -> list[tuple[Task, Context]]:
        """Return what runs, and what it was given."""
        return [(run.task, run.context) for run in self._runs() if run.context is not None]

    def hurry(self, task: Task, patience: float) -> None:
        """Tell a running handler to stop, and give it so many seconds for that."""
        run = self._running.get(task)
        if run is not None and run.context is not None:
            run.context.cancelled.set()
            run.deadline = min(run.deadline, monotonic() + patience)

    def give_back(self) -> None:
        """Report every task that has not started as released."""
        for queue in (self._plain, self._coroutines):
            with contextlib.suppress(IndexError):
                while True:
                    task = queue.popleft()
                    handler = task.lease.binding.handler
                    self._report(Result(task, released(handler, task.attempt), 0.0))

    def interrupt(self) -> None:
        """Report every running handler as interrupted, and ask it to stop."""
        for run in self._runs():
            self._abandon(run, Interrupted("interrupted: the worker stopped before the handler ended"))

    def forget(self) -> None:
        """Drop what has not started, and cancel what runs: the leases are lost."""
        self._plain.clear()
        self._coroutines.clear()
        self.cancel()

    def close(self) -> None:
        """Let idle threads and the event loop end; running handlers are not waited for."""
        with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._transactions is not None:
            self._transactions.close()

    def _runs(self) -> list[Run]:
        """Return what runs at this moment."""
        shared = [each.current for each in list(self._together) if each.current is not None]
        return [*list(self._running.values()), *shared]

    def _sharing(self) -> list[Task]:
        return [task for each in list(self._together) for task in each.tasks]

    # --- plain functions ---------------------------------------------------------------------------

    def _wake_threads(self, count: int) -> None:
        with self._arrived:
            woken = min(count, self._idle)
            self._idle -= woken  # here, not by the woken: the next batch must not count on them too
            self._arrived.notify(woken)
        for _ in range(min(count - woken, self.slots - len(self._threads))):
            self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="poller handler", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        """Attempt one task after the other, until this thread is replaced or the executor closes."""
        try:
            while (task := self._take()) is not None and self._attempt(task):
                pass
        finally:
            self._threads.discard(threading.current_thread())

    def _take(self) -> Task | None:
        """Wait for a task that may start: one whose lease can be trusted, while a slot is free."""
        while not self._closing:
            if monotonic() < self._trusted_until() and self.running < self.slots:
                with contextlib.suppress(IndexError):
                    return self._plain.popleft()
            with self._arrived:
                if self._plain:
                    self._arrived.wait(0.01)  # a coroutine has the slot, or the lease is in doubt
                elif not self._closing:
                    self._idle += 1
                    self._arrived.wait()
        return None

    def _attempt(self, task: Task) -> bool:
        """Run a handler to its result; return False if the watchdog has given up on this thread."""
        handler = task.lease.binding.handler
        if handler.transactional:
            together = Together([task, *self._companions(task)])
            self._together.add(together)
            return self._attempt_together(together)
        run = self._begin(task, handler)
        row = Row(task.lease.binding.shape, task.values)
        try:
            answer = handler.function(row) if run.context is None else handler.function(row, run.context)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is its failure, not ours
            outcome = _of_error(task, handler, run, error)
        else:
            outcome = _of_answer(task, handler, run, answer)
        return self._finish(run, outcome)

    def _begin(self, task: Task, handler: Handler, together: Together | None = None) -> Run:
        now = monotonic()
        context = _context(task, handler, now) if handler.takes_context else None
        run = Run(task, now, now + handler.timeout, context, together=together)
        if together is None:
            self._running[task] = run
        else:
            together.current = run
        return run

    def _finish(self, run: Run, outcome: Outcome) -> bool:
        """Report the result, unless the watchdog has: taking the task out decides it."""
        if self._running.pop(run.task, None) is None:
            self._stuck.pop(run, None)
            return False
        self._report(Result(run.task, outcome, monotonic() - run.started, run.context))
        return True

    def _abandon(self, run: Run, why: TimedOut | Interrupted) -> None:
        """Take a task from its running handler, report it, and put another thread in its place."""
        if not (self._running.pop(run.task, None) if run.together is None else run.together.take()):
            return
        self._stuck[run] = monotonic()
        if run.context is not None:
            run.context.cancelled.set()
        if run.coroutine is not None:
            assert self._loop is not None  # noqa: S101 - it runs this coroutine
            self._loop.call_soon_threadsafe(run.coroutine.cancel)
        elif not self._closing:
            self._start_thread()
        task = run.task
        if run.together is not None:
            self._end_transaction(run.together, besides=task)
        outcome = of_error(
            task.lease.binding.handler, why, task.attempt, task.age + monotonic() - run.started
        )
        self._report(Result(task, outcome, monotonic() - run.started, run.context))

    def _end_transaction(self, together: Together, besides: Task) -> None:
        """End a transaction whose handler does not; those that shared it are given back."""
        assert self._transactions is not None  # noqa: S101 - it has begun one
        self._together.discard(together)
        self._transactions.end(together.pid)
        for task in together.tasks:
            if task is not besides:
                self._report(Result(task, released(task.lease.binding.handler, task.attempt), 0.0))

    # --- in transactions ---------------------------------------------------------------------------

    def _companions(self, task: Task) -> list[Task]:
        """Take from the queue what may share a task's transaction: rows of the same lease."""
        companions: list[Task] = []
        if task in self._alone or monotonic() < self._apart_until.get(task.lease.binding, 0.0):
            return companions
        with contextlib.suppress(IndexError):
            while len(companions) < MOST_TOGETHER - 1:
                following = self._plain.popleft()
                if following.lease is not task.lease or following in self._alone:
                    self._plain.appendleft(following)
                    break
                companions.append(following)
        return companions

    def _attempt_together(self, together: Together) -> bool:
        """Attempt tasks in one transaction; return False if the watchdog has given up on this thread."""
        assert self._transactions is not None  # noqa: S101 - whoever runs such handlers has them
        settled: list[tuple[Result, str]] = []
        failure: BaseException | None = None
        ours = False
        try:
            with self._transactions.begin(together.tasks[0].lease.binding) as transaction:
                together.pid = transaction.pid
                self._run_together(together, transaction)
                settled = transaction.settle(together.results)
                ours = together.take()
                if not ours:
                    raise TimedOut  # noqa: TRY301 - to roll back
        except Exception as error:  # noqa: BLE001 - whatever it is, the transaction was rolled back
            failure = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
            ours = ours or together.take()
        for run in [each for each in list(self._stuck) if each.together is together]:
            del self._stuck[run]
        if ours and failure is not None:
            self._report_rolled_back(together, failure)
        elif ours:
            self._report_settled(settled)
        self._together.discard(together)
        return ours

    def _run_together(self, together: Together, transaction: Transaction) -> None:
        """Run the handlers one after the other, until all have run or it has taken long enough."""
        until = monotonic() + LONGEST_TOGETHER
        standing = transaction.lock(together.tasks)
        for at, task in enumerate(together.tasks):
            if at and monotonic() > until:
                left = together.tasks[at:]
                del together.tasks[at:]
                self.submit(left, first=True)
                return
            handler = task.lease.binding.handler
            if task.key in standing:
                together.results.append(self._run_one(together, transaction, task, standing[task.key]))
            else:  # changed, gone, or just being edited: as if never claimed
                together.results.append(Result(task, released(handler, task.attempt), 0.0))

    def _run_one(
        self, together: Together, transaction: Transaction, task: Task, values: tuple[Any, ...]
    ) -> Result:
        handler = task.lease.binding.handler
        run = self._begin(task, handler, together)
        row = Row(task.lease.binding.shape, values)
        try:
            if run.context is None:
                outcome = of_answer(handler, handler.function(row), task.attempt, task.age)
            else:
                with transaction.savepoint(run.context):
                    outcome = of_answer(handler, handler.function(row, run.context), task.attempt, task.age)
                    if outcome.verdict is not Verdict.MOVED:
                        raise _RolledBackError  # noqa: TRY301 - an answer that it may not give
        except _RolledBackError:
            pass
        except BaseException as error:
            if len(together.tasks) > 1 and is_conflict(error):
                raise  # over a lock that it might not have waited for, had it been alone
            outcome = _of_error(task, handler, run, error)
        together.current = None
        return Result(task, outcome, monotonic() - run.started, run.context)

    def _report_rolled_back(self, together: Together, error: BaseException) -> None:
        """Say what becomes of tasks whose transaction was rolled back."""
        if isinstance(error, LeaseLostError):
            problem(str(error))
            return
        if len(together.tasks) > 1 and (is_conflict(error) or not is_passing(error)):
            if is_conflict(error):
                self._apart_until[together.tasks[0].lease.binding] = monotonic() + APART
            self._alone.update(together.tasks)
            self.submit(together.tasks, first=True)
            return
        for task in together.tasks:
            ended = next((each for each in together.results if each.task is task), None)
            if ended is None:
                outcome = released(task.lease.binding.handler, task.attempt)
                self._report(Result(task, outcome, 0.0))
            else:
                fault = RuntimeError(f"the transaction was rolled back: {reason(error)}")
                outcome = of_error(task.lease.binding.handler, fault, task.attempt, task.age)
                self._report(Result(task, outcome, ended.seconds))

    # --- coroutines --------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run_loop, args=(self._loop,), name="poller loop", daemon=True).start()
        self._loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        """Start coroutines while slots are free; runs on the event loop, and after each of them ends."""
        assert self._loop is not None  # noqa: S101 - this runs on it
        while self._coroutines and self.running < self.slots:
            if monotonic() >= self._trusted_until():
                self._loop.call_later(0.01, self._pump)
                return
            task = self._coroutines[0]
            run = self._begin(task, task.lease.binding.handler)
            self._coroutines.remove(task)
            run.coroutine = self._loop.create_task(self._attempt_coroutine(run))
        if self._coroutines and self.running >= self.slots and self._threads:
            self._loop.call_later(0.01, self._pump)  # a thread may have the slot

    async def _attempt_coroutine(self, run: Run) -> None:
        task = run.task
        handler = task.lease.binding.handler
        row = Row(task.lease.binding.shape, task.values)
        try:
            answer = await (
                handler.function(row) if run.context is None else handler.function(row, run.context)
            )
        except BaseException as error:  # noqa: BLE001 - cancellation, too, is this attempt's end
            outcome = _of_error(task, handler, run, error)
        else:
            outcome = _of_answer(task, handler, run, answer)
        self._finish(run, outcome)
        self._pump()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run an event loop until it is stopped, and close it."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


def _queue(queue: deque[Task], tasks: list[Task], *, first: bool) -> None:
    if first:
        queue.extendleft(reversed(tasks))
    else:
        queue.extend(tasks)


def _of_answer(task: Task, handler: Handler, run: Run, answer: object) -> Outcome:
    if run.context is not None and run.context.settled is not None:
        # Committed, the lease holds the row no more, and this changes nothing.
        return of_error(
            handler, RuntimeError("ctx.settle was called, but not committed"), task.attempt, task.age
        )
    return of_answer(handler, answer, task.attempt, task.age)


def _of_error(task: Task, handler: Handler, run: Run, error: BaseException) -> Outcome:
    age = task.age + monotonic() - run.started
    trace(error, table=handler.table, status=handler.status, key=task.key, attempt=task.attempt)
    return of_error(handler, error, task.attempt, age)


def _context(task: Task, handler: Handler, now: float) -> Context:
    lease = task.lease
    assert lease.claimed_at is not None  # noqa: S101 - only the sweeper makes leases without
    deadline = lease.claimed_at + timedelta(seconds=now - lease.clock + handler.timeout)
    return Context(
        table=str(lease.binding.table),
        row_key=task.key,
        key=f"{lease.binding}:{task.key}:{task.visit or lease.id}",
        attempt=task.attempt,
        deadline=deadline,
        settle=partial(Store.settle_within, task),
    )
