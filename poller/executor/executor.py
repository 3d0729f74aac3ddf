"""Runs handlers: plain functions on threads, coroutines on one event loop, each to exactly one result.

The model. Tasks wait in one queue for each kind, and at most `slots` handlers run at a time. A task goes through these
steps, each in its own module:

    queued      until a thread pulls it (`threads`), or it is begun on the event loop (`coroutines`): `queues`
    begun       with what may be attempted together with it: `batching`
    called      on the thread or the loop; in a process or an executor of the user's (`processes`); in a shared
                transaction (`shared_transactions`)
    ended       by its handler, or by the watchdog when its time is up (`watchdog`); `in_flight` decides which one of
                them reports
    reported    as a result, given back, or queued again in halves: `call_reporter`
"""

from __future__ import annotations

import contextvars
from collections import Counter
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

from poller.executor import attempt
from poller.executor.batching import Batching
from poller.executor.call_reporter import CallReporter
from poller.executor.coroutines import Coroutines
from poller.executor.forked import OnlyHere
from poller.executor.in_flight import InFlight, SharedTransaction
from poller.executor.processes import ProcessPool
from poller.executor.queues import Queues, put
from poller.executor.shared_transactions import SharedTransactions
from poller.executor.threads import Threads
from poller.executor.watchdog import Watchdog
from poller.telemetry.current_attempt import variable

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Sequence

    from poller.executor.attempt import Call
    from poller.executor.transaction import Transactions
    from poller.model.context import Context
    from poller.store.binding import Binding
    from poller.store.lease import Result, Settled, Task

READY_SECONDS = 60.0  # for a process to start and to import what it needs


class Executor:
    """Runs tasks in `slots` places and reports a result for each.

    Args:
        slots: how many handlers run at a time.
        report: called with results, from any thread.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
        transactions: for transactional handlers.
        report_settled: called with results that are already written, and what became of their rows.
        begins: called when tasks come while nothing waits or runs.
        taken: called when several tasks have been taken from the queue at once.

    Attributes:
        watchdog: ends handlers whose time is up.
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
        self._trusted_until = trusted_until
        self._transactions = transactions
        self._begins = begins
        self._taken = taken
        self._in_flight = InFlight()
        self._batching = Batching()
        self._processes = ProcessPool()
        self._reporter = CallReporter(self._in_flight, self._batching, report, self._queue_again)
        self._queues = Queues(self._reporter)
        self._threads = Threads(
            slots=slots,
            queue=self._queues.plain,
            in_flight=self._in_flight,
            trusted_until=trusted_until,
            next_task=self._queues.next,
            attempt=self._attempt,
        )
        self._coroutines = Coroutines(
            slots=slots,
            queue=self._queues.awaited,
            in_flight=self._in_flight,
            trusted_until=trusted_until,
            next_task=self._queues.next,
            begin_batch=self._begin_batch,
            reporter=self._reporter,
            threads=self._threads,
        )
        self._shared: SharedTransactions | None = None
        if transactions is not None:
            self._shared = SharedTransactions(
                transactions=transactions,
                in_flight=self._in_flight,
                batching=self._batching,
                reporter=self._reporter,
                settled=report_settled,
                queue=self._queue_again,
            )
        self.watchdog = Watchdog(
            processes=self._processes,
            in_flight=self._in_flight,
            threads=self._threads,
            coroutines=self._coroutines,
            reporter=self._reporter,
            shared=self._shared,
        )

    # --- the executor's state ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot."""
        return len(self._queues.plain) + len(self._queues.awaited)

    @property
    def running(self) -> int:
        """How many slots are taken; tasks that share a transaction take one."""
        return self._in_flight.running

    @property
    def held(self) -> int:
        """How many tasks wait or run."""
        return self.waiting + self._in_flight.held

    @property
    def handling(self) -> bool:
        """Whether a handler runs, is about to begin, or its result is about to be reported."""
        return self._in_flight.is_handling

    @property
    def draining(self) -> bool:
        """Whether the executor has stopped beginning tasks."""
        return self._queues.is_draining

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs here, or a thread has just taken it."""
        return self._threads.are_at_work or self.waiting > 0 or self._in_flight.running > 0

    @property
    def free(self) -> int:
        """How many tasks could start at once."""
        return max(0, self.slots - self._in_flight.running - self.waiting)

    def shut_until(self, binding: Binding) -> float:
        """Return when rows of a handler can begin again (monotonic); a time in the past if they can now."""
        handler = binding.handler
        if handler.executor != "thread":
            return self._processes.shut_until(handler.executor)
        return self._transactions.shut_until if handler.transactional and self._transactions else 0.0

    def why_shut(self, binding: Binding) -> str:
        """Return why rows of a handler cannot begin now."""
        handler = binding.handler
        if handler.executor != "thread":
            return self._processes.why_shut(handler.executor)
        return self._transactions.outage.why if self._transactions else ""

    def running_by_handler(self) -> Counter[str]:
        """Return how many calls of each handler run, by its name."""
        return Counter(str(call.task.binding) for call in self._in_flight.calls())

    def contexts(self) -> list[tuple[Task, Context]]:
        """Return the tasks that run, each with the context its handler was given."""
        return [(call.task, call.context) for call in self._in_flight.calls() if call.context is not None]

    def tasks(self) -> list[Task]:
        """Return all tasks that wait or run here."""
        return [*self._queues.tasks(), *self._in_flight.tasks()]

    # --- the worker's orders -----------------------------------------------------------------------

    def submit(self, tasks: Iterable[Task], *, first: bool = False, threads: int | None = None) -> None:
        """Queue tasks for the threads or the event loop, as their handlers are.

        Args:
            tasks: the tasks to run.
            first: put them ahead of the tasks that wait already.
            threads: how many threads to wake now; if that proves too few, the watchdog wakes the others.
        """
        was_busy = self.busy
        tasks = self._queues.unless_paused(tasks)
        plain: list[Task] = []
        awaited: list[Task] = []
        for task in tasks:
            (awaited if task.lease.binding.handler.is_coroutine else plain).append(task)
        if plain:
            put(self._queues.plain, plain, first=first)
            self._threads.wake(len(plain) if threads is None else min(threads, len(plain)))
        if awaited:
            put(self._queues.awaited, awaited, first=first)
            self._coroutines.begin_soon()
        if self._queues.is_draining:  # checked after queueing: `drain` sets it before it empties the queues
            self._queues.give_back()
        elif not was_busy:
            self._begins()

    def cancel(self, *, runs: bool = True) -> None:
        """Tell every running handler to stop (`ctx.cancelled`); runs of jobs only if `runs` is set."""
        for call in self._in_flight.calls():
            if call.context is not None and (runs or call.context.notes is None):
                call.context.cancelled.set()

    def hurry(self, task: Task, patience: float) -> None:
        """Tell a running handler to stop within `patience` seconds."""
        call = self._in_flight.call_of(task)
        if call is not None and call.context is not None:
            call.context.cancelled.set()
            call.deadline = min(call.deadline, monotonic() + patience)

    def drain(self) -> None:
        """Stop beginning tasks: give back those that have not started, and those that come later."""
        self._queues.is_draining = True
        self._queues.give_back()

    def pause(self, bindings: Iterable[Binding]) -> None:
        """Give back the tasks of these handlers that wait, and those that come later, until the next call of this.

        The thread that submits claimed tasks calls this.
        """
        self._queues.pause(bindings)
        if self._queues.plain:  # a thread that looked meanwhile found the queue empty
            self._threads.wake(len(self._queues.plain))
        if self._queues.awaited:
            self._coroutines.begin_soon()

    def forget(self) -> None:
        """Drop the tasks that have not started and cancel those that run: the leases are lost."""
        self._queues.clear()
        for call in self._in_flight.calls():
            if call.waits_for_runner:
                call.ended = True  # it waits for a process to start, and must not begin there
        self.cancel()

    def close(self) -> None:
        """Let idle threads and the event loop end, without waiting for running handlers."""
        self._threads.close()
        self._coroutines.close()
        if self._transactions is not None:
            self._transactions.close()
        self._processes.close()

    # --- attempts, on the threads and on the event loop ---------------------------------------------

    def _queue_again(self, tasks: list[Task]) -> None:
        self.submit(tasks, first=True)

    def _attempt(self, task: Task) -> bool:
        """Run a handler to its result; return False if the watchdog has given up on this thread."""
        handler = task.lease.binding.handler
        if handler.transactional:
            return self._attempt_shared(task)
        is_batch = handler.batch > 1
        call = self._begin_batch(self._queues.plain, task) if is_batch else self._in_flight.begin(task)
        self._in_flight.between.discard(get_ident())
        try:
            answer = contextvars.Context().run(self._answer, call)
        except attempt.NotBegun:
            return self._reporter.take_back(call)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is its failure, not ours
            return self._reporter.fail(call, error)
        return self._reporter.finish(call, attempt.of_return(call, answer))

    def _attempt_shared(self, task: Task) -> bool:
        """Run handlers in a transaction, that of this task first."""
        assert self._shared is not None  # noqa: S101 - a worker with such handlers has transactions
        shared = SharedTransaction([task, *self._batching.companions(self._queues.plain, task)])
        self._in_flight.shared.add(shared)
        self._in_flight.between.discard(get_ident())
        self._taken()
        return self._shared.attempt(shared)

    def _begin_batch(self, queue: deque[Task], task: Task) -> Call:
        """Begin a call for a task and the queued tasks that may share it."""
        call = self._in_flight.begin(task, self._batching.companions(queue, task))
        if call.others:
            self._taken()
        return call

    def _answer(self, call: Call) -> Any:
        """Call a handler where it must run; return its result."""
        handler = call.handler
        variable.set(call)
        if handler.executor == "thread":
            given = attempt.arguments(call)
            with OnlyHere():
                return handler.invoke(*given)
        call.trusted_until = self._trusted_until
        call.deadline += READY_SECONDS  # until its runner is ready; then the clock starts anew
        return self._processes.call(call)
