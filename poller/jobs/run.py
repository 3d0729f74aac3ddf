"""A run, as a job's function is given it, and the handler of the table `poller.run` that a job becomes.

A run is a row with a status. Its handler takes it from `pending` over `running` to `succeeded`, or to `failed`
once it is out of attempts; leases, retries, timeouts, crashes and drains are the engine's, written once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from poller.errors_in_words import storable, traceback_of, ungrouped
from poller.jobs import output
from poller.jobs.output import Sink
from poller.model.answers import Snooze, Transition, refuse_not_begun
from poller.model.context import token_of
from poller.model.handler import Handler
from poller.model.outcome import Became, Outcome
from poller.model.signature import bind
from poller.model.table_name import TableName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    import psycopg

    from poller.jobs.job import Job
    from poller.model.context import CancelEvent, Context, Row

Connect = Callable[[], "AbstractContextManager[psycopg.Connection[Any]]"]

TABLE = TableName("poller", "run")
_ERROR = ("error", "kind", "place")  # columns of a run that tell its error
# What `sql/claim/peek_runs.sql` asks of all jobs at once is the same.
_IN_TURN = (
    " and not exists (select from poller.run as earlier where earlier.job = t.job"
    " and earlier.id < t.id and earlier.status in ('pending', 'running'))"
)


@dataclass(slots=True)
class Notes:
    """A run's output and progress; written from time to time, and with the outcome.

    Attributes:
        sink: what it has printed and logged.
        done: how far it has come.
        total: of how much.
        cancelled: an operator cancelled it, and it was told so.
    """

    sink: Sink
    done: float | None = None
    total: float | None = None
    cancelled: bool = False

    def take(self, progress: dict[str, Any]) -> None:
        """Take over the `columns` of the same run in another process."""
        self.sink.replace(progress["output"])
        self.done, self.total = progress["done"], progress["total"]

    def columns(self) -> dict[str, Any]:
        """Return the columns of `poller.run` that hold this."""
        return {"output": self.sink.text(), "done": self.done, "total": self.total}

    def fail(self, error: BaseException) -> None:
        """Keep the traceback of what has ended the run with what it has printed; an answer has none."""
        error = ungrouped(error)
        traceback = "" if issubclass(type(error), Snooze) else traceback_of(error)
        if traceback:
            self.sink.write(f"{traceback}\n")


class Run:
    """One run of a job.

    Attributes:
        id: the run's number.
        job: the job's name.
        planned_at: the slot it stands for, by the database's clock.
        attempt: the number of this attempt, from 1.
        previous_success: when the last run that succeeded was planned, or None.
        key: an idempotency key: the same for all attempts at this run.
        token: the same as a UUID: safe in headers, addresses, file names and columns of any length.
        deadline: when this attempt times out.
        cancelled: set at the timeout, at shutdown, when an operator cancels, and when the lease is lost.
        logger: a logger whose lines are kept with the run.

    >>> from poller.testing import run
    >>> nightly = run("nightly", attempt=2)
    >>> nightly.job, nightly.attempt, nightly.previous_success
    ('nightly', 2, None)
    """

    def __init__(self, row: Row, context: Context, notes: Notes, connect: Connect) -> None:
        self.id: int = row["id"]
        self.job: str = row["job"]
        self.planned_at: datetime = row["planned_at"]
        self.previous_success: datetime | None = row["previous_at"]
        self.attempt: int = context.attempt
        self.key: str = f"{self.job}:{self.planned_at.isoformat()}"
        self.token: str = token_of(self.key)
        self.deadline: datetime = context.deadline
        self.cancelled: CancelEvent = context.cancelled
        self.logger = context.logger
        self._notes = notes
        self._connect = connect

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the run has come; `poller runs` shows it.

        Raises:
            TypeError, ValueError: it is not a number.
        """
        self._notes.done, self._notes.total = _number(done), None if total is None else _number(total)

    def tell(self, line: str) -> None:
        """Say what was done: it is logged, and kept with the run whatever the log's level."""
        if self.logger.isEnabledFor(logging.INFO):
            self.logger.info("%s", line)
        else:
            self._notes.sink.write(f"{line}\n")

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Open a connection to poller's database, in autocommit mode, closed at the end of the block."""
        return self._connect()


def _number(value: float) -> float:
    number = float(value)
    if not isfinite(number):
        msg = f"progress is a number, not {number}"
        raise ValueError(msg)
    return number


def handler_of(job: Job, connect: Connect) -> Handler:
    """Return the handler that runs a job.

    Args:
        job: the job.
        connect: opens a connection for a run that asks for one.
    """
    function = _coroutine(job, connect) if job.is_coroutine else _plain(job, connect)
    return Handler(
        function=function,
        invoke=function,
        table=TABLE,
        status="pending",
        name=job.name,
        run_parameter=job.run_parameter,
        to=("succeeded", "cancelled"),
        column="status",
        during="running",
        on_failure="failed",
        where=_where(job),
        order_by="due_at, id",
        due="due_at",
        transactional=False,
        executor=job.options.executor,
        timeout=job.options.timeout + job.patience,
        policy=job.policy,
        history="off",
        is_coroutine=job.is_coroutine,
        takes_context=True,
        place=job.place,
        waits_its_turn=job.options.overlap != "allow",
        amend=_amend,
    )


def _where(job: Job) -> str:
    """Return the condition under which a pending run may start.

    A run of a job that may not overlap waits for every earlier one, whether planned or triggered.
    """
    quoted = job.name.replace("'", "''")
    condition = (
        f"function = '{quoted}' and not exists (select from poller.job as held"
        " where held.name = t.job and held.paused_at is not null)"
    )
    return condition if job.options.overlap == "allow" else condition + _IN_TURN


def _plain(job: Job, connect: Connect) -> Callable[[Row, Context], Transition]:
    @functools.wraps(job.function)
    def function(row: Row, context: Context) -> Transition:
        return perform(job.function, job.run_parameter, row, context, connect)

    return function


def perform(
    function: Callable[..., Any], run_parameter: str | None, row: Row, context: Context, connect: Connect
) -> Transition:
    """Call a job's function for a run, in any process, and keep what it prints and logs with the run."""
    call = _prepare(function, run_parameter, row, context, connect)
    with _kept(context.notes):
        refuse_not_begun(call(), "the job")
    return Transition("succeeded")


@contextlib.contextmanager
def _kept(notes: Notes) -> Iterator[None]:
    """Keep what is printed and logged in this thread or coroutine meanwhile, and the traceback of an error."""
    output.current.set(notes.sink)  # each attempt has a context of its own: there is nothing to put back
    try:
        yield
    except BaseException as error:
        notes.fail(error)
        raise
    finally:
        notes.sink.end()


def _coroutine(job: Job, connect: Connect) -> Callable[[Row, Context], Any]:
    @functools.wraps(job.function)
    async def function(row: Row, context: Context) -> Transition:
        call = _prepare(job.function, job.run_parameter, row, context, connect)
        with _kept(context.notes):
            refuse_not_begun(await call(), "the job")
        return Transition("succeeded")

    return function


def _prepare(
    function: Callable[..., Any], run_parameter: str | None, row: Row, context: Context, connect: Connect
) -> Callable[[], Any]:
    """Return the call of a job's function with its arguments."""
    output.install()
    context.notes = Notes(Sink())
    arguments = dict(row["args"])
    if run_parameter is not None:
        arguments[run_parameter] = Run(row, context, context.notes, connect)
    bind(function, arguments)  # a TypeError of this call, not from within
    return functools.partial(function, **arguments)


def _amend(outcome: Outcome, context: Context | None, encoding: str) -> Outcome:
    """Add a run's output and progress to its outcome; one that stopped because it was asked to is cancelled."""
    if outcome.to is None:
        return outcome
    columns: dict[str, Any] = {name: getattr(outcome, name) for name in ("attempt", *_ERROR)}
    notes = context.notes if context is not None else None
    if notes is not None:
        notes.sink.end()  # also of a function that goes on after its timeout
        columns |= notes.columns()
        if notes.cancelled:
            outcome = Outcome(Became.MOVED, to="cancelled", attempt=outcome.attempt)
            columns |= {**dict.fromkeys(_ERROR), "error": "cancelled"}
    texts = {name: None if each is None else storable(str(each), encoding) for name, each in columns.items()}
    return replace(outcome, columns=texts)
