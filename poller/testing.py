"""For the tests of your handlers and jobs: run all that is due in this process, and move the clock.

```python
from poller.testing import Engine

def test_a_new_tenant_gets_a_bucket(database_url):
    with Engine(database_url, initialise) as engine:
        [done] = engine.run_due()
        assert (done.key, done.became, done.to) == ("1", "moved", "normal")
```

It is the real engine on a real database: the same statements, leases, policies and schedules. What it leaves
out are the processes. Retries, snoozes and slots are waited for by moving the clock (`engine.advance("10m")`),
never by sleeping.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from poller.client import jobs
from poller.db import migration
from poller.db.connection import Link, checked_url, opener
from poller.db.statements import statement
from poller.duration import Duration, seconds
from poller.errors import ConfigurationError, PollerError
from poller.executor.around import Around
from poller.executor.lent_connection import LentConnection
from poller.executor.transaction import Transactions
from poller.integrations.switch import surrounded
from poller.jobs import job_store
from poller.jobs.job import Job, refuse_namesakes
from poller.jobs.output import Sink
from poller.jobs.run import Notes, Run, handler_of
from poller.model.context import Context, Row, RowShape
from poller.model.handler import Handler
from poller.model.outcome import Became
from poller.services.forgetter import Forgetter
from poller.services.heartbeat import Heartbeat
from poller.services.pipeline import Pipeline, Wakes
from poller.services.scheduler import Scheduler
from poller.store.binding import bind_all
from poller.store.claim_plan import plan_claim
from poller.store.liveness import register_handlers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from poller.jobs.run import Connect
    from poller.store.lease import Result

__all__ = ["Done", "Engine", "context", "row", "run"]

_TICK_SECONDS = 0.001
_PATIENCE_SECONDS = 2.0  # that outcomes may not be writable
_TRIES = 3  # to open a session, or start a process, that handlers need
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one attempt.

    Attributes:
        table: the table, with its schema.
        status: the status the row had; of a run, the job's name.
        key: the primary key, as text.
        became: moved, retrying, snoozed, failed, parked, superseded or gone.
        to: the status it was given, if any.
        attempt: how many attempts are counted now.
        error: what went wrong, in one line.
    """

    table: str
    status: str
    key: str
    became: str
    to: str | None
    attempt: int
    error: str | None


def row(key: Any = None, /, **columns: Any) -> Row:
    """Return a row as a handler gets it, to call the handler with: `initialise(row(id=1, slug="a"))`.

    Args:
        key: its primary key, if that is not the first column given.
        **columns: its columns.
    """
    values = (key if key is not None else next(iter(columns.values()), None), *columns.values())
    return Row(RowShape({name: at for at, name in enumerate(columns, start=1)}, (0,)), values)


def context(  # noqa: PLR0913 - what is known of an attempt
    *,
    key: str = "test",
    attempt: int = 1,
    deadline: datetime | None = None,
    database: str = "test",
    connection: Connection | None = None,
    session: Session | None = None,
) -> Context:
    """Return what a handler takes beside its row, for a test that calls it: see `row`.

    Its `settle` notes the move in `settled`, and asks no database. `connection` and `session` are a
    transactional handler's.

    Args:
        key: the idempotency key; `token` is made from it.
        attempt: the number of the attempt.
        deadline: when it times out; by default in five minutes.
        database: the name of the database.
        connection: SQLAlchemy's.
        session: SQLAlchemy's.
    """
    made = Context(
        database=database,
        table="test",
        row_key="test",
        key=key,
        attempt=attempt,
        deadline=deadline or datetime.now(UTC) + timedelta(minutes=5),
        settle=lambda _, move, __: move.status,
    )
    if connection is not None or session is not None:
        made.lend(_Lent(connection, session))  # type: ignore[arg-type]
    return made


@dataclass(frozen=True, slots=True)
class _Lent:
    """What a transactional handler is given in a test."""

    connection: Connection | None
    session: Session | None


def run(
    job: Job | str = "test",
    *,
    planned_at: datetime | None = None,
    attempt: int = 1,
    previous_success: datetime | None = None,
    connect: Connect | None = None,
) -> Run:
    """Return a run to call a job with: `clean(run(previous_success=yesterday))`.

    Args:
        job: the job, or its name.
        planned_at: the slot that it stands for; by default now.
        attempt: the number of the attempt.
        previous_success: the slot of the last run that succeeded.
        connect: what `run.connect()` gives: something for a `with`, such as `contextlib.nullcontext(connection)`.
    """
    slot = planned_at or datetime.now(UTC)
    columns = row(id=1, job=str(job), planned_at=slot, previous_at=previous_success)
    return Run(columns, context(attempt=attempt), Notes(Sink()), connect or _refuse_connection)


def _refuse_connection() -> Any:
    msg = "run.connect() needs a connection: give one to poller.testing.run(connect=…)"
    raise PollerError(msg)


class Engine:
    """The engine in this process, for the handlers and jobs given.

    Args:
        url: the test's database; poller's schema is made in it if need be.
        *work: the handlers and jobs to run.
        concurrency: how many run at a time.
        around: middleware (`@poller.around`), the first outermost.

    Raises:
        PollerError: a handler does not fit its table; or something given is neither a handler, a job nor middleware.
    """

    def __init__(
        self, url: str, *work: Handler | Job, concurrency: int = 4, around: Sequence[Around] = ()
    ) -> None:
        self._url = checked_url(url)
        _check(work, around)
        given = dict.fromkeys(work)  # each once, as in a package
        self._handlers = [each for each in given if isinstance(each, Handler)]
        self._jobs = [each for each in given if isinstance(each, Job)]
        refuse_namesakes(self._jobs)
        self._concurrency = concurrency
        self._around = around
        self._offset = 0.0
        self._links: list[_MovedLink] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._close_links()
            raise
        return self

    def _start(self) -> None:
        migration.migrate(self._url)
        link = self._link("test")
        job_store.check(link.connection, self._jobs)
        job_store.declare(link.connection, self._jobs)
        runs = [handler_of(job, self._connect) for job in self._jobs]
        jobs = {job.name: job for job in self._jobs}
        ready = surrounded((*self._handlers, *runs), jobs, self._around)
        self._bindings = bind_all(link.connection, ready)
        for binding in self._bindings:
            plan_claim(link.connection, binding)
        register_handlers(link.connection, self._bindings)
        self._done: list[Done] = []
        self._waits = 0  # for sessions and processes, in this `run_due`
        self._transactions = Transactions(self._connect, self._concurrency)
        self._scheduler = Scheduler(link, self._jobs)
        self._forgetter = Forgetter(link, self._bindings)
        self._link_of_ours = link
        self._heartbeat = self._join()
        pipeline = Pipeline(
            claims=link,
            settles=link,
            bindings=self._bindings,
            slots=self._concurrency,
            poll=0.0,
            heartbeat=self._heartbeat,
            transactions=self._transactions,
            wakes=Wakes(),
            observe=self._observe,
        )
        self._claimer, self._executor, self._settler = pipeline.claimer, pipeline.executor, pipeline.settler

    def __exit__(self, *_: object) -> None:
        self._executor.close()
        self._heartbeat.leave()
        self._close_links()

    def _close_links(self) -> None:
        for link in self._links:
            link.close()
        self._links.clear()

    def _require_begun(self) -> None:
        """Refuse what an engine can do only within its block.

        Raises:
            PollerError: it is not within it.
        """
        if not self._links:
            msg = "the engine is not started, or has ended; use it within: with Engine(url, …) as engine"
            raise PollerError(msg)

    def run_due(self, *, rounds: int = 10_000) -> list[Done]:
        """Plan and run all that is due, what becomes due by it included; return what became of each attempt.

        Args:
            rounds: after so many claims it is an error: the rows move in a circle.

        Raises:
            PollerError: rows keep becoming due; or a handler cannot begin, for want of a session or a process.
        """
        self._require_begun()
        self._done, self._waits = [], 0
        self._forgetter.pass_once()
        for _ in range(rounds):
            while not self._scheduler.run_once():
                pass
            self._claimer.start_over()
            before, since = len(self._done), monotonic()
            self._claimer.run_once()  # a transaction may have ended within it
            worked = self._work_off() or len(self._done) > before
            if not worked and not self._wait_for_places(since):
                if not self._done:
                    self._hint()
                return self._done
        msg = f"rows keep becoming due; the last one after {rounds} claims is {self._done[-1]}"
        raise PollerError(msg)

    def trigger(self, job: Job | str, /, **arguments: Any) -> int:
        """Enter a run of one of this engine's jobs for now, as `poller trigger` does; `run_due` runs it.

        Args:
            job: the job, or its name.
            **arguments: what its function is called with.

        Returns:
            the run's number.

        Raises:
            PollerError: the engine has no such job, or it does not take these arguments.
        """
        self._require_begun()
        here = {each.name: each for each in self._jobs}
        if str(job) not in here:
            known = f"it has {', '.join(here)}" if here else "it was made without jobs"
            msg = f"the engine has no job {str(job)!r}; {known}"
            raise PollerError(msg)
        return jobs.trigger(self._link_of_ours.connection, str(job), arguments or None, here).run

    def advance(self, duration: Duration) -> None:
        """Move the clock forward for this engine: `poller.now()` in its sessions."""
        self._require_begun()
        self._offset += seconds(duration)
        for link in self._links:
            link.offset = self._offset
        self._transactions.renew()  # its sessions have the clock that they were opened with

    def _hint(self) -> None:
        """Say in the log that others have not committed: what a test's own transaction has written is not seen here."""
        for (pid,) in self._link_of_ours.connection.execute(statement("uncommitted_writes")):
            _logger.warning(
                "nothing is due here, and the session %s has written what it has not committed; "
                "an engine sees only what is committed",
                pid,
            )

    def _wait_for_places(self, since: float) -> bool:
        """Wait until handlers may begin again that could not at the last claim; return whether there were any.

        Args:
            since: when that claim began (monotonic).

        Raises:
            PollerError: they could not several times.
        """
        shut = {each: until for each in self._bindings if (until := self._executor.shut_until(each)) > since}
        if not shut:
            return False
        self._waits += 1
        if self._waits > _TRIES:
            first = next(iter(shut))
            msg = f"{first} cannot begin: {self._executor.why_shut(first)}"
            raise PollerError(msg)
        sleep(max(0.0, min(shut.values()) - monotonic()))
        return True

    def _work_off(self) -> bool:
        """Let the claimed handlers end, and settle them; return whether there were any."""
        worked = False
        while self._executor.busy or self._settler.pending:
            worked = True
            self._executor.watchdog.expire()
            self._settler.flush()
            if trouble := self._settler.postponed.trouble(_PATIENCE_SECONDS):
                raise PollerError(trouble)
            sleep(_TICK_SECONDS)
        return worked

    def _observe(self, result: Result, became: Became) -> None:
        task, outcome = result.task, result.outcome
        binding = task.binding
        self._done.append(
            Done(
                table=str(binding.table),
                status=binding.handler.label,
                key=task.key,
                became=became.value,
                to=outcome.to if became in (Became.MOVED, Became.FAILED) else None,
                attempt=outcome.attempt,
                error=outcome.error,
            )
        )

    def _join(self) -> Heartbeat:
        """Enter this process as a worker, once; it does not beat, so its lease is long."""
        heartbeat = Heartbeat(
            link=self._link("test heartbeat"),
            supervisor=uuid.uuid4(),
            handlers=[binding.id for binding in self._bindings],
            slots=self._concurrency,
            lease=10 * 365 * 86400.0,
            on_join=lambda: None,
            on_lost=lambda: None,
        )
        heartbeat.join()
        return heartbeat

    def _connect(self) -> psycopg.Connection[Any]:
        """Open a connection for a handler or a run, with its clock moved."""
        connection = opener(self._url, kind=LentConnection)()
        move_clock(connection, self._offset)
        return connection

    def _link(self, name: str) -> _MovedLink:
        link = _MovedLink(self._url, name)
        link.offset = self._offset
        self._links.append(link)
        return link


def _check(work: Sequence[object], around: object) -> None:
    """Refuse what an engine would leave out, or could not run.

    Raises:
        ConfigurationError: naming it.
    """
    for each in work:
        if not isinstance(each, Handler | Job):
            msg = f"an engine takes handlers and jobs, as @handler(…) or @cron(…) make them; got {each!r}"
            raise ConfigurationError(msg)
    middleware = around if isinstance(around, list | tuple) else [around]
    for each in middleware:
        if not isinstance(each, Around):
            msg = f"around= takes a list of what @poller.around has marked; got {each!r}"
            raise ConfigurationError(msg)
    if middleware is not around:
        msg = f"around= takes a list: around=[{around}]"
        raise ConfigurationError(msg)


def move_clock(connection: psycopg.Connection[Any], offset: float) -> None:
    """Move `poller.now()` in a session, by so many seconds."""
    connection.execute(
        "select pg_catalog.set_config('poller.clock_offset', %s, false),"
        " pg_catalog.set_config('poller.clock_moved', 'on', false)",
        [f"{offset} seconds"],
    )


class _MovedLink(Link):
    """A link whose session's clock is moved, by `offset` seconds."""

    offset = 0.0
    _moved: tuple[object, float] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The open connection, with its clock moved."""
        connection = super().connection
        if self._moved != (connection, self.offset):
            move_clock(connection, self.offset)
            self._moved = (connection, self.offset)
        return connection
