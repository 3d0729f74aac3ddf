"""Runs handlers: plain functions on threads, coroutines on one event loop, each to exactly one result.

The model. Tasks wait in one queue for each kind; threads *pull* from it, so that one thread works through
many quick rows without handing over, and slow rows spread over all of them by themselves. At most `slots`
handlers run at a time.

Tasks of a transactional handler that wait side by side share a transaction (`transaction`), and a slot. So do
tasks of a handler that takes batches share a call. A call that fails is tried again in halves, until the row
whose fault it is stands alone; a batch that took too long is not: it fails as a whole, and each further attempt
is at batches half as large, the last one at single rows. So are those after a crash, since leases of suspects are.

Who may say what became of a task is decided by one atomic step: whoever takes the task out of `_running`, or
takes the tasks that share a transaction (their own thread when the handler ends; the watchdog when its time is
up), reports the result, and nobody else. A handler that does not stop at its timeout keeps its thread, which is
replaced; it is `stuck`, and after some patience the worker asks to be replaced as a whole.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections import deque
from dataclasses import dataclass, field
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from poller.db.connection import is_conflict
from poller.duration import words
from poller.errors import LeaseLostError, PollerError
from poller.errors_in_words import reason
from poller.executor import attempt
from poller.executor.coroutines import EventLoop
from poller.executor.processes import Elsewhere
from poller.model.answers import Interrupted, TimedOut
from poller.model.outcome import Became, Outcome
from poller.runtime.failpoints import reach
from poller.store.lease import Result, Settled, Task
from poller.store.outcomes import BEGAN_LATE, of_error, released
from poller.telemetry.bus import emit
from poller.telemetry.context import variable
from poller.telemetry.events import TransactionLost, TransactionSlow, TransactionUnwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.executor.attempt import Call
    from poller.executor.transaction import Transaction, Transactions
    from poller.model.context import Context
    from poller.store.binding import Binding


MOST_TOGETHER = 1000  # rows in one transaction
APART = 30.0  # seconds that a handler's rows share no transactions, after such had waited for each other
READY = 60.0  # seconds for a process to start and to import what it needs
SLOW = 1.0  # seconds in a transaction that are worth a word
TELL_AGAIN = 600.0  # seconds until there is another
LONGEST_TOGETHER = 0.1  # seconds after which no further handler is run in one
FIRST_TOGETHER = 50  # rows in one, of a handler of which nothing is known yet
SLOWER = 4.0  # the part of what was thought to fit that still does, at least, after one that was slow
AT_ONCE = float("-inf")  # since when a handler is stuck that its worker is replaced for without patience
FEW_SUFFICE = 0.1  # seconds since its claim that a task waits before all threads are woken
PUT_OFF = 10.0  # seconds until a row is looked at again of which no outcome could be written


@dataclass(slots=True, eq=False)
class Together:
    """Tasks that share a transaction. Who takes it, once, says what became of them all: its thread, or the watchdog."""

    tasks: list[Task]
    left: list[Task] = field(default_factory=list)  # to be attempted in another one
    results: list[Result] = field(default_factory=list)
    current: Call | None = None
    seconds: float = 0.0  # that the handlers have taken
    pid: int = 0
    _taken: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Tell whether nobody has taken it before."""
        return self._taken.acquire(blocking=False)

    @property
    def is_taken(self) -> bool:
        """Whether somebody has taken it."""
        return self._taken.locked()


class _RolledBackError(Exception):
    """What a handler has written is not to be kept."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


class Executor:
    """Runs tasks in `slots` places and reports a result for each.

    Args:
        slots: how many handlers run at a time.
        report: called with results, from any thread.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
        transactions: for transactional handlers.
        report_settled: called with results that are written already, and what became of them.
        begins: called when tasks come while nothing waits or runs.
        taken: called when several tasks have been taken from the queue at once.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        slots: int,
        report: Callable[[Sequence[Result]], None],
        trusted_until: Callable[[], float] = lambda: float("inf"),
        transactions: Transactions | None = None,
        report_settled: Callable[[Settled], None] = lambda _: None,
        begins: Callable[[], None] = lambda: None,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        self.slots = slots
        self._report = report
        self._trusted_until = trusted_until
        self._transactions = transactions
        self._report_settled = report_settled
        self._begins = begins
        self._taken = taken
        self._elsewhere = Elsewhere()
        self._at_most: WeakKeyDictionary[Task, int] = WeakKeyDictionary()
        self._apart_until: dict[Binding, float] = {}
        self._fit: dict[Binding, float] = {}  # how many rows fit in one transaction
        self._broke: WeakSet[Task] = WeakSet()  # alone in a transaction whose connection broke
        self._told_slow: dict[Binding, float] = {}
        self._plain: deque[Task] = deque()
        self._coroutines: deque[Task] = deque()
        self._running: dict[Task, Call] = {}
        self._batches: set[Call] = set()  # of these, those for several tasks
        self._between: set[int] = set()  # threads that take from the queue or report, and run no handler
        self._together: set[Together] = set()
        self._arrived = threading.Condition()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._stuck: dict[Call, float] = {}
        self._loop: EventLoop | None = None
        self._draining = False
        self._closing = False

    # --- what the worker sees ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot."""
        return len(self._plain) + len(self._coroutines)

    def shut_until(self, binding: Binding) -> float:
        """Return when rows of a handler can begin again (monotonic), if they cannot now; else some time that is past."""
        handler = binding.handler
        if handler.executor != "thread":
            return self._elsewhere.shut_until(handler.executor)
        return self._transactions.shut_until if handler.transactional and self._transactions else 0.0

    def why_shut(self, binding: Binding) -> str:
        """Return why they cannot."""
        handler = binding.handler
        if handler.executor != "thread":
            return self._elsewhere.why_shut(handler.executor)
        return self._transactions.outage.why if self._transactions else ""

    @property
    def running(self) -> int:
        """How many slots are taken; tasks that share a transaction take one."""
        return len(self._running) + len(self._together)

    @property
    def held(self) -> int:
        """How many tasks wait or run."""
        in_batches = sum(len(call.others) for call in list(self._batches))
        shared = sum(len(each.tasks) + len(each.left) for each in list(self._together))
        return self.waiting + len(self._running) + in_batches + shared

    @property
    def handling(self) -> bool:
        """Whether a handler runs, is about to begin, or its result is about to be reported."""
        # In this order: who takes a task is noted here before it leaves the queue, and after it runs.
        return bool(self._between) or self.running > 0 or bool(self._between)

    @property
    def draining(self) -> bool:
        """Whether nothing begins any more."""
        return self._draining

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs here, or a thread has just taken it."""
        at_work = self._idle < len(self._threads) - len(self._stuck)
        return at_work or self.waiting > 0 or self.running > 0

    @property
    def free(self) -> int:
        """How many tasks could start at once."""
        return max(0, self.slots - self.running - self.waiting)

    def submit(self, tasks: Iterable[Task], *, first: bool = False, threads: int | None = None) -> None:
        """Queue tasks for the threads or the event loop, as their handlers are.

        Args:
            tasks: what is to be run.
            first: before what waits already.
            threads: how many to wake for it now; if that proves too few, `expire` wakes the others.
        """
        was_busy = self.busy
        plain: list[Task] = []
        coroutines: list[Task] = []
        for task in tasks:
            is_coroutine = task.lease.binding.handler.is_coroutine
            (coroutines if is_coroutine else plain).append(task)
        if plain:
            _queue(self._plain, plain, first=first)
            self._wake_threads(len(plain) if threads is None else min(threads, len(plain)))
        if coroutines:
            _queue(self._coroutines, coroutines, first=first)
            self._pump_soon()
        if self._draining:  # looked at after they were queued: `drain` sets it before it empties the queues
            self.give_back()
        elif not was_busy:
            self._begins()

    def expire(self) -> None:
        """Report the handlers whose time is up as timed out, and ask them to stop."""
        now = monotonic()
        self._elsewhere.trim()
        self._wake_more(now)
        blocker = self._blocker()
        for call in self._calls():
            if call.deadline <= now:
                self._expire(call, blocker)

    def _wake_more(self, now: float) -> None:
        """Wake a thread for each task that waits, if one has waited for long: fewer have not been enough."""
        with contextlib.suppress(IndexError):  # a thread has just taken the last one
            if now - self._plain[0].lease.clock > FEW_SUFFICE:
                self._wake_threads(len(self._plain))

    def _blocker(self) -> Call | None:
        """Return the call that keeps the event loop, if one does."""
        if self._loop is None or not any(call.handler.is_coroutine for call in self._calls()):
            return None
        return self._loop.blocker()

    def _expire(self, call: Call, blocker: Call | None) -> None:
        """Report a call whose time is up; not as its failure, if another one has kept the event loop from it."""
        if blocker is not None and blocker is not call and call.coroutine is not None:
            self._withdraw(call)
            return
        self._abandon(call, TimedOut(f"timed out after {words(call.deadline - call.started)}"))
        if blocker is call and call in self._stuck:  # else it has just ended
            self._stuck[call] = AT_ONCE  # no coroutine goes on here until the worker is replaced
            for other in self._calls():
                if other.coroutine is not None:
                    self._withdraw(other)

    def _withdraw(self, call: Call) -> None:
        """Give the rows of a coroutine back, which another one has kept from going on."""
        self._abandon(call, None)

    def stuck(self, patience: float) -> int:
        """Return how many abandoned handlers have gone on for longer than `patience` seconds."""
        now = monotonic()
        return sum(now - since > patience for since in list(self._stuck.values()))

    def cancel(self, *, runs: bool = True) -> None:
        """Tell every running handler to stop (`ctx.cancelled`); those that run jobs only with `runs`."""
        for call in self._calls():
            if call.context is not None and (runs or call.context.notes is None):
                call.context.cancelled.set()

    def contexts(self) -> list[tuple[Task, Context]]:
        """Return what runs, and what it was given."""
        return [(call.task, call.context) for call in self._calls() if call.context is not None]

    def tasks(self) -> list[Task]:
        """Return all that waits or runs here."""
        running = [task for call in self._calls() for task in call.tasks]
        shared = [task for each in list(self._together) for task in (*each.tasks, *each.left)]
        return [*list(self._plain), *list(self._coroutines), *running, *shared]

    def hurry(self, task: Task, patience: float) -> None:
        """Tell a running handler to stop, and give it so many seconds for that."""
        call = self._running.get(task)
        if call is not None and call.context is not None:
            call.context.cancelled.set()
            call.deadline = min(call.deadline, monotonic() + patience)

    def drain(self) -> None:
        """Begin nothing any more: what has not started, or comes later, is given back."""
        self._draining = True
        self.give_back()

    def give_back(self) -> None:
        """Report every task that has not started as released."""
        for queue in (self._plain, self._coroutines):
            with contextlib.suppress(IndexError):
                while True:
                    self._release([queue.popleft()])

    def interrupt(self) -> None:
        """Report every running handler as interrupted, and ask it to stop."""
        for call in self._calls():
            self._abandon(call, Interrupted("interrupted: the worker stopped before the handler ended"))

    def forget(self) -> None:
        """Drop what has not started, and cancel what runs: the leases are lost."""
        self._plain.clear()
        self._coroutines.clear()
        for call in self._calls():
            if call.place is None and call.handler.executor != "thread":
                call.ended = True  # it waits for a process to start: it is not to begin there
        self.cancel()

    def close(self) -> None:
        """Let idle threads and the event loop end; running handlers are not waited for."""
        with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        if self._loop is not None:
            self._loop.close()
        if self._transactions is not None:
            self._transactions.close()
        self._elsewhere.close()

    def _calls(self) -> list[Call]:
        """Return what runs at this moment."""
        shared = [each.current for each in list(self._together) if each.current is not None]
        return [*list(self._running.values()), *shared]

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
        self._between.add(get_ident())
        try:
            while (task := self._take()) is not None and self._attempt(task):
                pass
        finally:
            self._between.discard(get_ident())
            self._threads.discard(threading.current_thread())

    def _take(self) -> Task | None:
        """Wait for a task that may start: one whose lease can be trusted, while a slot is free."""
        while not self._closing:
            now = monotonic()
            if self._plain and now < self._trusted_until() and self.running < self.slots:
                if (task := self._next(self._plain)) is not None:
                    return task
                continue
            self._between.discard(get_ident())
            with self._arrived:
                if self._plain:
                    self._arrived.wait(0.01)  # a coroutine has the slot, or the lease is in doubt
                elif not self._closing:
                    self._idle += 1
                    self._arrived.wait()
            self._between.add(get_ident())  # before a task leaves the queue: see `handling`
        return None

    def _next(self, queue: deque[Task]) -> Task | None:
        """Take the next task from a queue; None if there is none, or if it was given back since it may not begin."""
        try:
            task = queue.popleft()
        except IndexError:  # another thread was quicker
            return None
        if self._draining:
            self._release([task])
            return None
        return None if self._is_late(task) else task

    def _is_late(self, task: Task) -> bool:
        """Give a task back that could not begin in time."""
        if monotonic() <= task.lease.begin_by:
            return False
        self._release([task], BEGAN_LATE)
        return True

    def _release(self, tasks: Iterable[Task], why: str | None = None) -> None:
        """Give tasks back that have not begun, or whose work was undone."""
        given = [
            Result(each, released(each.lease.binding.handler, each.attempt, why, begun=each.begun), 0.0)
            for each in tasks
        ]
        if given:
            self._report(given)

    def _attempt(self, task: Task) -> bool:
        """Run a handler to its result; return False if the watchdog has given up on this thread."""
        handler = task.lease.binding.handler
        if handler.transactional:
            together = Together([task, *self._companions(self._plain, task)])
            self._together.add(together)
            self._between.discard(get_ident())
            self._taken()
            return self._attempt_together(together)
        others = self._companions(self._plain, task) if handler.batch > 1 else ()
        call = self._begin(task, others)
        self._between.discard(get_ident())
        try:
            answer = contextvars.Context().run(self._answer, call)
        except attempt.NotBegun:
            return self._take_back(call)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is its failure, not ours
            return self._fail(call, error)
        return self._finish(call, attempt.of_return(call, answer))

    def _answer(self, call: Call) -> Any:
        """Call a handler where it is to run; return what it returns."""
        handler = call.handler
        variable.set(call)
        if handler.executor == "thread":
            return handler.invoke(*attempt.arguments(call))
        call.trusted_until = self._trusted_until
        call.deadline += READY  # until its place is ready, where the clock starts anew
        return self._elsewhere.call(call)

    def _companions(self, queue: deque[Task], task: Task) -> list[Task]:
        """Take from the queue what may be attempted together with a task."""
        companions: list[Task] = []
        most, halved = self._most(task), len(self._at_most) > 0
        with contextlib.suppress(IndexError):
            while len(companions) + 1 < most:
                following = queue.popleft()
                is_bound = following.attempt > 1 or halved  # by more than this task is
                if not _go_together(task, following) or (
                    is_bound and self._most(following) < len(companions) + 2
                ):
                    queue.appendleft(following)
                    break
                companions.append(following)
        return companions

    def _most(self, task: Task) -> int:
        """Return how many tasks may be attempted together with this one, itself included."""
        handler = task.lease.binding.handler
        if task.attempt > 1 and handler.policy.is_last(task.attempt, task.age):
            return 1
        most = max(1, handler.batch >> (task.attempt - 1))
        if handler.transactional and handler.batch == 1:
            most = self._fitting(task.lease.binding)
        return min(most, self._at_most.get(task, most)) if self._at_most else most

    def _fitting(self, binding: Binding) -> int:
        """Return how many rows of a handler are locked for one transaction: as many as have time in it."""
        if monotonic() < self._apart_until.get(binding, 0.0):
            return 1
        return max(1, min(MOST_TOGETHER, int(self._fit.get(binding, FIRST_TOGETHER))))

    def _begin(self, task: Task, others: Sequence[Task] = (), together: Together | None = None) -> Call:
        call = attempt.begin(task, others)
        if together is None:
            self._running[task] = call
            if others:
                self._batches.add(call)
                self._taken()
        else:
            call.shared, together.current = together, call
        return call

    def _finish(self, call: Call, outcomes: Sequence[Outcome]) -> bool:
        """Report the results, and tell whether that was still to be done."""
        if not self._end(call):
            return False
        self._report(call.results(outcomes))
        return True

    def _fail(self, call: Call, error: BaseException) -> bool:
        """Report a failure; try a batch that may have failed for one of its rows again, in halves."""
        if not attempt.is_somebodys(call, error):
            return self._finish(call, attempt.of_raise(call, error))
        if not self._end(call):
            return False
        self._halve(call.tasks)
        self.submit(call.tasks, first=True)
        return True

    def _take_back(self, call: Call) -> bool:
        """Give the rows of a call back that was not made."""
        if not self._end(call):
            return False
        for task in call.tasks:
            task.begun = False
        self._release(call.tasks)
        return True

    def _end(self, call: Call) -> bool:
        """Take a call out of those that run; False if the watchdog has, and has reported it."""
        self._between.add(get_ident())
        if self._running.pop(call.task, None) is not None:
            self._batches.discard(call)
            return True
        self._stuck.pop(call, None)
        return False

    def _halve(self, tasks: list[Task]) -> None:
        """Have the next attempts at these tasks be at half as many together."""
        self._at_most.update(dict.fromkeys(tasks, (len(tasks) + 1) // 2))

    def _abandon(self, call: Call, why: TimedOut | Interrupted | None) -> None:
        """Take a task from its running handler, report it, and put another thread in its place.

        Args:
            call: the handler's call.
            why: what is reported as its failure; None to give it back.
        """
        if not (self._running.pop(call.task, None) if call.shared is None else call.shared.take()):
            return
        self._batches.discard(call)
        self._stuck[call] = monotonic()
        call.end()
        if call.context is not None:
            call.context.cancelled.set()
        if call.coroutine is not None:
            assert self._loop is not None  # noqa: S101 - it runs this coroutine
            self._loop.call(call.coroutine.cancel)
        elif not self._closing:
            self._start_thread()
        if call.shared is not None:
            self._end_transaction(call.shared, besides=call.tasks, again=isinstance(why, TimedOut))
        if why is None:
            self._release(call.tasks)
        else:
            self._report(call.results(attempt.failed(call, why)))

    def _end_transaction(self, together: Together, besides: Sequence[Task], *, again: bool) -> None:
        """End a transaction whose handler does not.

        Args:
            together: the transaction.
            besides: the tasks of that handler.
            again: attempt those that shared it anew, when their rows are free; else give them back.
        """
        assert self._transactions is not None  # noqa: S101 - it has begun one
        others = [task for task in (*together.tasks, *together.left) if task not in besides]
        together.tasks, together.left, together.current = others, [], None

        def go_on() -> None:
            self._together.discard(together)
            self.submit(others, first=True)

        if again and others:
            self._transactions.end(together.pid, go_on)
            return
        self._together.discard(together)
        self._transactions.end(together.pid, lambda: None)
        self._release(others)

    # --- in transactions ---------------------------------------------------------------------------

    def _attempt_together(self, together: Together) -> bool:
        """Attempt tasks in one transaction; return False if the watchdog has given up on this thread."""
        assert self._transactions is not None  # noqa: S101 - whoever runs such handlers has them
        settled = Settled([], [])
        failure: BaseException | None = None
        transaction: Transaction | None = None
        ours, many = False, len(together.tasks)
        try:
            with self._transactions.begin(together.tasks[0].lease.binding) as transaction:
                together.pid = transaction.pid
                self._run_together(together, transaction)
                settled = transaction.settle(together.results)
                ours = together.take()
                if not ours:
                    raise TimedOut  # noqa: TRY301 - to roll back
                reach("transaction settled")
            reach("transaction committed")
        except BaseException as error:  # noqa: BLE001 - whatever it is, the transaction was rolled back
            failure = error
            ours = ours or together.take()
        for call in [each for each in list(self._stuck) if each.shared is together]:
            del self._stuck[call]
        if not ours:  # who has taken it has seen to all of its tasks
            return False
        if failure is not None:
            self._report_rolled_back(
                together, failure, is_alive=transaction is not None and transaction.is_alive
            )
        else:
            self._learn(together, many)
        self._between.add(get_ident())
        self._together.discard(together)
        self.submit(together.left, first=True)
        if failure is None:  # when it is held no more: who is told of it asks how much is
            self._report_settled(settled)
        return True

    def _learn(self, together: Together, many: int) -> None:
        """Reckon how many rows fit in a transaction from how long the handlers of one have taken."""
        handled = many - len(together.left)
        if handled < 1 or not together.tasks:
            return
        binding = together.tasks[0].lease.binding
        before = self._fit.get(binding, FIRST_TOGETHER)
        fits = handled * LONGEST_TOGETHER / max(together.seconds, 0.001)
        if together.left and together.seconds < LONGEST_TOGETHER:
            fits = handled  # it was not time that has parted them
        # Not many fewer at once: one that was slow may have waited for the CPU. More cost little, since time parts
        # them; and transactions that share a lease wait for each other.
        self._fit[binding] = max(fits, before / SLOWER)

    def _run_together(self, together: Together, transaction: Transaction) -> None:
        """Run the handlers one after the other, until all have run or it has taken long enough."""
        standing = transaction.lock(together.tasks)
        began = monotonic()
        there = []
        for task in together.tasks:
            is_late = began > task.lease.begin_by  # a session was waited for
            if not is_late and (values := standing.get(task.key)) is not None:
                task.values = values
                there.append(task)
            else:  # changed, gone, or just being edited: as if never claimed
                why = BEGAN_LATE if is_late else None
                outcome = released(task.lease.binding.handler, task.attempt, why, begun=task.begun)
                together.results.append(Result(task, outcome, 0.0))
        batched = together.tasks[0].lease.binding.handler.batch > 1
        groups = [there] if batched and there else [[task] for task in there]
        for at, tasks in enumerate(groups):
            if together.is_taken:
                return
            together.seconds = monotonic() - began
            if at and (together.seconds > LONGEST_TOGETHER or transaction.is_spent):
                _leave(together, [task for group in groups[at:] for task in group])
                return
            self._run_within(together, transaction, tasks)
        together.seconds = monotonic() - began

    def _run_within(self, together: Together, transaction: Transaction, tasks: list[Task]) -> None:
        """Run a handler on a row or a batch, in a savepoint of its own if it uses the connection."""
        call = self._begin(tasks[0], tasks[1:], together)
        outcomes: list[Outcome] = []
        try:
            outcomes = contextvars.Context().run(self._answer_within, call, transaction)
        except BaseException as error:
            if len(together.tasks) > 1 and is_conflict(error):
                raise  # over a lock that it might not have waited for, had it been alone
            if attempt.is_somebodys(call, error):
                _leave(together, tasks)
                self._halve(tasks)
            else:
                outcomes = (
                    error.outcomes if type(error) is _RolledBackError else attempt.of_raise(call, error)
                )
        together.current = None
        self._tell_if_slow(call)
        if outcomes:
            together.results += call.results(outcomes)

    def _answer_within(self, call: Call, transaction: Transaction) -> list[Outcome]:
        """Call a handler within a transaction; return what its answer means.

        Raises:
            _RolledBackError: it means that a row stays where it is, so that nothing is kept.
            BaseException: what the handler raises.
        """
        variable.set(call)
        given = attempt.arguments(call)
        if call.context is None:
            return attempt.of_return(call, call.handler.invoke(*given))
        with transaction.row(call.context, given[0]):
            outcomes = attempt.of_return(call, call.handler.invoke(*given))
            if any(each.verdict is not Became.MOVED for each in outcomes):
                raise _RolledBackError(outcomes)
            return outcomes

    def _tell_if_slow(self, call: Call) -> None:
        """Say that a handler keeps a transaction open for long: once in a while, of each handler."""
        binding, now = call.task.lease.binding, monotonic()
        if now - call.started < SLOW or now < self._told_slow.get(binding, 0.0) + TELL_AGAIN:
            return
        self._told_slow[binding] = now
        emit(TransactionSlow(**binding.named, seconds=now - call.started))

    def _report_rolled_back(self, together: Together, error: BaseException, *, is_alive: bool) -> None:
        """Say what becomes of tasks whose transaction was rolled back.

        Args:
            together: the transaction.
            error: why.
            is_alive: its connection lives.
        """
        if not together.pid:  # no transaction has begun
            self._release(together.tasks)
        elif isinstance(error, LeaseLostError):
            emit(TransactionLost(error=str(error)))
            self._release(together.tasks)  # some of them may be ours still
        elif len(together.tasks) > 1:
            self._part(together, error)
        else:
            for task in together.tasks:
                self._report_alone(together, task, error, is_alive=is_alive)

    def _part(self, together: Together, error: BaseException) -> None:
        """Attempt tasks anew, each alone; those of a batch in halves."""
        if is_conflict(error):
            self._apart_until[together.tasks[0].lease.binding] = monotonic() + APART
        if together.tasks[0].lease.binding.handler.batch > 1:
            self._halve(together.tasks)
        else:
            self._at_most.update(dict.fromkeys(together.tasks, 1))
        together.left += together.tasks

    def _report_alone(self, together: Together, task: Task, error: BaseException, *, is_alive: bool) -> None:
        """Say what becomes of a task that was alone in a transaction which was rolled back."""
        ended = next((each for each in together.results if each.task is task), None)
        binding = task.lease.binding
        if ended is None or ended.outcome.verdict is Became.RELEASED:
            self._release([task])
        elif not is_alive and task not in self._broke:
            self._broke.add(task)
            together.left.append(task)
        elif ended.outcome.verdict is not Became.MOVED:
            self._report([ended])
        elif is_alive and (fault := self._fault_of_all(binding, tuple(ended.outcome.columns))) is not None:
            emit(TransactionUnwritable(**binding.named, error=reason(fault), retry_seconds=PUT_OFF))
            put_off = Outcome(
                Became.SNOOZED, to=binding.handler.restored, delay=PUT_OFF, attempt=task.attempt - 1
            )
            self._report([Result(task, put_off, ended.seconds)])
        else:
            refused = RuntimeError(f"the transaction was rolled back: {reason(error)}")
            outcome = of_error(binding.handler, refused, task.attempt, task.age)
            self._report([Result(task, outcome, ended.seconds)])

    def _fault_of_all(self, binding: Binding, columns: tuple[str, ...]) -> BaseException | None:
        """Return why no outcome of a handler can be written now, if that is so: it is not a row's fault then."""
        assert self._transactions is not None  # noqa: S101 - it has begun one
        try:
            self._transactions.rehearse(binding, columns)
        except PollerError:  # a column that a handler named, and that never was
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not about a row: there is none
            return error
        return None

    # --- coroutines --------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if self._loop is None or self._loop.is_closed:
            self._loop = EventLoop()
        self._loop.call(self._pump)

    def _pump(self) -> None:
        """Start coroutines while slots are free; runs on the event loop, and after each of them ends."""
        assert self._loop is not None  # noqa: S101 - this runs on it
        while self._coroutines and self.running < self.slots:
            self._between.add(get_ident())  # as in `_take`
            if monotonic() >= self._trusted_until():
                self._loop.call_later(0.01, self._pump)
                break
            if (task := self._next(self._coroutines)) is not None:
                others = (
                    self._companions(self._coroutines, task) if task.lease.binding.handler.batch > 1 else ()
                )
                self._begin_coroutine(self._loop, self._begin(task, others))
        else:
            if self._coroutines and self._threads:
                self._loop.call_later(0.01, self._pump)  # a thread may have the slot
        self._between.discard(get_ident())

    def _begin_coroutine(self, loop: EventLoop, call: Call) -> None:
        coroutine = self._attempt_coroutine(call)
        try:
            call.coroutine = loop.begin(call, coroutine)
        except BaseException as error:  # noqa: BLE001 - a task factory of the user's
            coroutine.close()
            self._fail(call, error)

    async def _attempt_coroutine(self, call: Call) -> None:
        try:
            answer = await call.handler.invoke(*attempt.arguments(call))
        except BaseException as error:  # noqa: BLE001 - cancellation, too, is this attempt's end
            is_ours = self._fail(call, error)
        else:
            is_ours = self._finish(call, attempt.of_return(call, answer))
        if is_ours:  # else the watchdog cancels it
            call.coroutine = None  # whose context knows the call: both would wait for the garbage collector
        self._pump()


def _queue(queue: deque[Task], tasks: list[Task], *, first: bool) -> None:
    if first:
        queue.extendleft(reversed(tasks))
    else:
        queue.extend(tasks)


def _go_together(task: Task, other: Task) -> bool:
    """Tell whether two tasks may be attempted together; those of one transaction share a lease."""
    handler = task.lease.binding.handler
    if handler.transactional:
        return task.lease is other.lease
    if task.lease is other.lease:
        return task.attempt == other.attempt
    alike = (task.lease.binding, task.attempt, task.lease.begin_by)
    return alike == (other.lease.binding, other.attempt, other.lease.begin_by)


def _leave(together: Together, tasks: list[Task]) -> None:
    """Take tasks out of a transaction, for another one after it."""
    together.left += tasks
    left = set(tasks)
    together.tasks = [task for task in together.tasks if task not in left]
