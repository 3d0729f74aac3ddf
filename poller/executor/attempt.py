"""One attempt: the arguments of a handler's call, for one row or a batch, and what its answer means.

A handler answers a batch as a whole: None, a status or a `Transition` applies to each row; a list holds an answer for
each row in order; a dict holds answers by key, and a missing key means None. In a list or dict an exception is the
answer for its row. An exception that the handler raises applies to the whole batch: the three that are answers
(`Snooze`, `Retry`, `Fail`) apply to each row; for any other, it is unknown which row caused it.

Each call has its own context (`contextvars`), which begins empty: no attempt sees what another one set.

Answers and exceptions are the user's objects: comparing, printing or iterating over one may raise anything,
`SystemExit` included. Only this module and `outcomes` touch them, and an error from that fails the attempt. They
return poller's own types, so that no thread or loop of the engine meets the user's objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from poller.db.connection import is_conflict
from poller.db.values import text_for
from poller.errors_in_words import ungrouped
from poller.model.altered_instances import Altered, changes, lost
from poller.model.answers import Fail, Retry, Snooze, Uncommitted
from poller.model.context import BatchContext, ByRowKey, Context, Row, is_hashable
from poller.store.lease import Result, Task
from poller.store.outcomes import of_answer, of_conflict, of_error
from poller.store.settlements import settle_within
from poller.telemetry.current_attempt import Attempt
from poller.telemetry.log import trace

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from poller.model.handler import Handler
    from poller.model.outcome import Outcome


class NotBegun(Exception):  # noqa: N818 - what became of a call
    """The handler was not called: its process or executor was not ready in time."""


class RemoteRunner(Protocol):
    """A process or an executor in which a handler runs, instead of a thread of the worker."""

    def end(self) -> None:
        """End what runs there; another thread calls this."""


@dataclass(slots=True, eq=False)
class Call:
    """A call of a handler: its task, or the tasks of its batch; its coroutine; its deadline (monotonic).

    Its context (`contextvars`) refers to it, so it must not refer to its context: the cycle would leave each call to the
    garbage collector, which costs a tenth of the time.
    """

    handler: Handler
    task: Task
    started: float
    deadline: float
    context: Context | None
    others: Sequence[Task] = ()
    coroutine: asyncio.Task[None] | None = None
    shared: Any = None  # its shared transaction, if it has one
    runner: RemoteRunner | None = None  # where it runs, unless on a thread of the worker
    ended: bool = False  # it was ended by force
    why: BaseException | None = None  # what is reported as its failure then; None if its rows are given back
    trusted_until: Callable[[], float] = lambda: inf  # until when (monotonic) it may begin in such a runner
    given: Any = None  # the row or instance that the handler was called with, or the list of them

    @property
    def tasks(self) -> list[Task]:
        """All tasks of the call."""
        return [self.task, *self.others]

    @property
    def about(self) -> Attempt:
        """The attempt that `poller.current()` returns during this call."""
        task, handler = self.task, self.handler
        named, is_job = task.binding.named, handler.is_job
        return Attempt(
            database=named["database"],
            table=named["table"],
            status=named["status"],
            key=task.key if handler.batch == 1 else None,
            keys=1 + len(self.others),
            attempt=task.attempt,
            job=task.job if is_job else None,
            run=int(task.key) if is_job else None,
        )

    @property
    def waits_for_runner(self) -> bool:
        """Whether its handler has not been called, since its process or executor is not ready."""
        return self.runner is None and self.handler.executor != "thread"

    def begin_in(self, runner: RemoteRunner) -> None:
        """Begin in a runner that is now ready, which may have taken a while.

        Raises:
            NotBegun: the call was ended before, or its lease can no longer be trusted.
        """
        self.started = monotonic()
        self.deadline = self.started + self.handler.timeout
        self.runner = runner
        if self.ended or self.started >= self.trusted_until():
            raise NotBegun

    def end(self, why: BaseException | None) -> None:
        """End it by force, if its runner allows that.

        Args:
            why: what is reported as its failure; None if its rows are given back.
        """
        self.why = why
        self.ended = True
        if self.runner is not None:
            self.runner.end()

    def results(self, outcomes: Sequence[Outcome]) -> list[Result]:
        """Return the results of all tasks; the time of the call is divided equally among them."""
        seconds = (monotonic() - self.started) / len(outcomes)
        if not self.others:
            return [Result(self.task, outcomes[0], seconds, self.context)]
        return [
            Result(task, outcome, seconds, self.context)
            for task, outcome in zip(self.tasks, outcomes, strict=True)
        ]


def begin(task: Task, others: Sequence[Task] = ()) -> Call:
    """Begin an attempt at a task, or at a batch of tasks of one handler that have the same attempt number."""
    now, handler = monotonic(), task.lease.binding.handler
    task.begun = now
    for each in others:
        each.begun = now
    return Call(handler, task, now, now + handler.timeout, None, others)


def arguments(call: Call) -> tuple[Any, ...]:
    """Return the arguments of the handler.

    Raises:
        BaseException: types of the user's, which help to make the arguments, may raise anything.
    """
    handler = call.handler
    lends = handler.transactional and handler.entity is not None  # the session that its instances are in
    if handler.takes_context or lends:
        call.context = _context(call.task, call.others, handler, call.started)
    given: Any = _read(call.task) if handler.batch == 1 else [_read(task) for task in call.tasks]
    call.given = given
    return (given, call.context) if handler.takes_context else (given,)


def _read(task: Task) -> Any:
    """Return what a handler gets of a row: an instance of its class, or the row."""
    row, form = _row(task), task.form
    assert form is not None  # noqa: S101 - it has been fetched
    return row if form.reader is None else form.reader.instance(row)


def _row(task: Task) -> Row:
    assert task.form is not None  # noqa: S101 - it has been fetched
    return Row(task.form.shape, task.values)


def of_return(call: Call, answer: object) -> list[Outcome]:
    """Return the outcome of each task of a call whose handler has returned."""
    if call.context is not None and call.context.settled is not None:
        return _of_settled(call, call.context, answer)
    try:
        changed, answer = _changed(call, answer)
    except BaseException as error:  # noqa: BLE001 - a type of the user's compares values, and may raise anything
        return failed(call, error)
    handler = call.handler
    if answer is None and not changed and handler.moved is not None and call.task.attempt == 1:
        return [handler.moved] * (1 + len(call.others))
    if handler.batch == 1:
        fault = lost(changed[0], answer) if changed else None
        return failed(call, fault) if fault else [_of_answer(call, call.task, answer)]
    try:
        answers = _answers(call, answer)
    except BaseException as error:  # noqa: BLE001 - it does not fit the batch, or cannot be touched
        return failed(call, error)
    if changed:
        answers = [lost(*pair) or pair[1] for pair in zip(changed, answers, strict=True)]
    return [_of_answer(call, task, each) for task, each in zip(call.tasks, answers, strict=True)]


def _of_settled(call: Call, context: Context, answer: object) -> list[Outcome]:
    """Return the outcome of a handler that has called `ctx.settle` and returned.

    If that transaction was committed, the lease no longer holds the row, and this changes nothing: a fault of the answer
    is told.
    """
    outcome = _of_answer(call, call.task, answer)
    if answer is not None and outcome.error is not None:
        return [outcome]
    done = "committed" if context.has_asked else "awaited"
    return failed(call, Uncommitted(f"ctx.settle was called, but not {done}"))


def _of_answer(call: Call, task: Task, answer: object) -> Outcome:
    """Return the outcome of one task; an exception stands for its row."""
    if call.handler.batch > 1 and issubclass(type(answer), BaseException):
        return of_error(call.handler, answer, task.attempt, task.age)  # type: ignore[arg-type]
    text_of = text_for(task.lease.binding.table)
    return of_answer(call.handler, answer, task.attempt, task.age, text_of)


def of_raise(call: Call, error: BaseException) -> list[Outcome]:
    """Return the outcome of each task of a handler that raised."""
    task = call.task
    trace(error, table=call.handler.table, status=call.handler.status, key=task.key, attempt=task.attempt)
    return failed(call, error)


def failed(call: Call, error: BaseException) -> list[Outcome]:
    """Return the outcome of each task of an attempt that ended with an error, raised or found by the engine."""
    took = monotonic() - call.started
    of = of_conflict if _meets_others(call, error) else of_error
    return [of(call.handler, error, task.attempt, task.age + took) for task in call.tasks]


def _meets_others(call: Call, error: BaseException) -> bool:
    """Return whether an error is a conflict over poller's own rows, which rows that `ctx.settle` moves share."""
    if call.context is None or not call.context.has_asked:
        return False
    error = ungrouped(error)
    return not issubclass(type(error), Snooze | Retry | Fail) and is_conflict(error)


def is_somebodys(call: Call, error: BaseException) -> bool:
    """Return whether one row of a batch may have failed all of it."""
    return bool(call.others) and not issubclass(type(ungrouped(error)), Snooze | Retry | Fail)


def _changed(call: Call, answer: object) -> tuple[list[frozenset[str]], Any]:
    """Return the attributes of instances that the handler changed and nothing writes, and the handler's answer."""
    if type(answer) is Altered:  # not isinstance: it asks the object, too
        return answer.changes, answer.answer
    handler = call.handler
    if handler.entity is None or handler.transactional or handler.executor != "thread":
        return [], answer
    found = changes(call.given)
    return found if any(found) else [], answer


def _answers(call: Call, answer: object) -> list[Any]:
    """Return an answer for each row of a batch.

    Raises:
        BaseException: the answer does not fit the batch, or an object of the user's raises when it is touched.
    """
    if isinstance(answer, Mapping):
        return _answers_by_key(call, dict(answer))
    if isinstance(answer, list | tuple):
        answers = list(answer)
        if len(answers) != len(call.tasks):
            msg = f"the handler returned {len(answers)} answers for {len(call.tasks)} rows"
            raise ValueError(msg)
        return answers
    return [answer] * len(call.tasks)


def _answers_by_key(call: Call, answer: dict[Any, Any]) -> list[Any]:
    keys = [_row(task).key for task in call.tasks]
    if not all(map(is_hashable, keys)):
        msg = "keys of this table are arrays or JSON, by which no dict can answer: return a list, as long as the rows"
        raise ValueError(msg)
    known = set(keys)
    unknown = [key for key in answer if key not in known]
    if unknown:
        msg = f"the handler answered for {unknown[0]!r}, which is not one of its {len(keys)} rows"
        raise ValueError(msg)
    return [answer.get(key) for key in keys]


def _context(task: Task, others: Sequence[Task], handler: Handler, now: float) -> Context:
    lease = task.lease
    assert lease.claimed_at is not None  # noqa: S101 - only the sweeper makes leases without
    deadline = lease.claimed_at + timedelta(seconds=now - lease.clock + handler.timeout)
    if handler.batch > 1:
        keys = ByRowKey((_row(each).key, _key(each)) for each in (task, *others))
        return BatchContext(
            database=lease.binding.database,
            table=str(lease.binding.table),
            keys=keys,
            attempt=task.attempt,
            deadline=deadline,
        )
    return Context(
        database=lease.binding.database,
        table=str(lease.binding.table),
        row_key=task.key,
        key=_key(task),
        attempt=task.attempt,
        deadline=deadline,
        settle=partial(settle_within, task),
    )


def _key(task: Task) -> str:
    return f"{task.lease.binding}:{task.key}:{task.visit or task.lease.id}"
