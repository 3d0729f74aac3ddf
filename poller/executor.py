"""Runs handlers: plain functions on threads, coroutines on one event loop, each to exactly one result.

The model. Tasks wait in one queue for each kind; threads *pull* from it, so that one thread works through
many quick rows without handing over, and slow rows spread over all of them by themselves. At most `slots`
handlers run at a time.

Who may say what became of a task is decided by one atomic step: whoever takes the task out of `_running`
(its own thread when the handler ends; the watchdog when its time is up) reports the result, and nobody
else. A handler that does not stop at its timeout keeps its thread, which is replaced; it is `stuck`, and
after some patience the worker asks to be replaced as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from poller.duration import words
from poller.lease import Result, Task
from poller.model import Context, Row
from poller.outcome import Interrupted, Outcome, TimedOut, of_answer, of_error, released
from poller.store import Store
from poller.telemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from poller.handler import Handler


@dataclass(slots=True, eq=False)
class Run:
    """A task that is being run: by which thread or coroutine, until when."""

    task: Task
    started: float
    deadline: float
    context: Context | None
    coroutine: asyncio.Task[None] | None = None


class Executor:
    """Runs tasks in `slots` places and reports a result for each.

    Args:
        slots: how many handlers run at a time.
        report: called with each result, from any thread.
        trusted_until: returns until when (monotonic) leases may be trusted without asking the database.
    """

    def __init__(
        self,
        slots: int,
        report: Callable[[Result], None],
        trusted_until: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self.slots = slots
        self._report = report
        self._trusted_until = trusted_until
        self._plain: deque[Task] = deque()
        self._coroutines: deque[Task] = deque()
        self._running: dict[Task, Run] = {}
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
        """How many handlers run."""
        return len(self._running)

    @property
    def free(self) -> int:
        """How many tasks could start at once."""
        return max(0, self.slots - self.running - self.waiting)

    def holds_isolated(self) -> bool:
        """Tell whether a row that may be killing its workers is in here."""
        return any(task.isolated for task in (*self._running, *self._plain, *self._coroutines))

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
        for run in list(self._running.values()):
            if run.deadline <= now:
                self._abandon(run, TimedOut(f"timed out after {words(run.deadline - run.started)}"))

    def stuck(self, patience: float) -> int:
        """Return how many abandoned handlers have gone on for longer than `patience` seconds."""
        now = monotonic()
        return sum(now - since > patience for since in list(self._stuck.values()))

    def cancel(self, *, runs: bool = True) -> None:
        """Tell every running handler to stop (`ctx.cancelled`); those that run jobs only with `runs`."""
        for run in list(self._running.values()):
            if run.context is not None and (runs or run.context.notes is None):
                run.context.cancelled.set()

    def contexts(self) -> list[tuple[Task, Context]]:
        """Return what runs, and what it was given."""
        return [(run.task, run.context) for run in list(self._running.values()) if run.context is not None]

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
        for run in list(self._running.values()):
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
            if monotonic() < self._trusted_until() and len(self._running) < self.slots:
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
        run = self._begin(task, handler)
        row = Row(task.lease.binding.shape, task.values)
        try:
            answer = handler.function(row) if run.context is None else handler.function(row, run.context)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is its failure, not ours
            outcome = _of_error(task, handler, run, error)
        else:
            outcome = _of_answer(task, handler, run, answer)
        return self._finish(run, outcome)

    def _begin(self, task: Task, handler: Handler) -> Run:
        now = monotonic()
        context = _context(task, handler, now) if handler.takes_context else None
        run = Run(task, now, now + handler.timeout, context)
        self._running[task] = run
        return run

    def _finish(self, run: Run, outcome: Outcome) -> bool:
        """Report the result, unless the watchdog has: taking the task out decides it."""
        if self._running.pop(run.task, None) is None:
            self._stuck.pop(run, None)
            return False
        self._report(Result(run.task, outcome, monotonic() - run.started, run.context))
        return True

    def _abandon(self, run: Run, reason: TimedOut | Interrupted) -> None:
        """Take a task from its running handler, report it, and put another thread in its place."""
        if self._running.pop(run.task, None) is None:
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
        handler = task.lease.binding.handler
        outcome = of_error(handler, reason, task.attempt, task.age + monotonic() - run.started)
        self._report(Result(task, outcome, monotonic() - run.started, run.context))

    # --- coroutines --------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run_loop, args=(self._loop,), name="poller loop", daemon=True).start()
        self._loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        """Start coroutines while slots are free; runs on the event loop, and after each of them ends."""
        assert self._loop is not None  # noqa: S101 - this runs on it
        while self._coroutines and len(self._running) < self.slots:
            if monotonic() >= self._trusted_until():
                self._loop.call_later(0.01, self._pump)
                return
            task = self._coroutines.popleft()
            run = self._begin(task, task.lease.binding.handler)
            run.coroutine = self._loop.create_task(self._attempt_coroutine(run))
        if self._coroutines and len(self._running) >= self.slots and self._threads:
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
