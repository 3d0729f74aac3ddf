"""Lists jobs and runs for an operator, and carries out the orders: trigger, pause, resume, cancel, remove.

What may be trusted: nothing that was read before; each order is one statement that checks the state itself, and tells
what it found. A program's own jobs are known from its package, if that can be imported here; the
database has the last word, since a deploy may be rolling.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from poller.client.answers import aside
from poller.client.job_queries import JobQueries
from poller.client.refusals import NothingSelectedError, RefusedError
from poller.errors import ConfigurationError
from poller.jobs import job_store
from poller.jobs.runtime_schedules import as_json, no_such_job
from poller.schedules import slots

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from poller.client.job_queries import FailedDays, JobRow, RunLine
    from poller.jobs.job import Job
    from poller.schedules.slots import Schedule


RECENT_RUNS = 1000  # runs among which the last one that has begun is searched


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, as it is listed.

    Attributes:
        job: the declared job whose function its runs call.
        next_at: the next slot, or one that is due already; None if none is known.
        last_at: when the last run ended, or started if it has not ended.
        state: active, paused, not registered here, over (there are no more slots), or unreadable here (its schedule,
            or its time zone).
        paused_until: when a planner ends its pause; None if it is not paused, or until it is resumed.
        when: the schedule in words.
    """

    name: str
    job: str
    schedule: str | None
    tz: str
    after: list[str]
    args: Any
    declared: bool
    next_at: datetime | None
    last_status: str | None
    last_at: datetime | None
    running: int
    waiting: int
    state: str
    paused_until: datetime | None
    when: str = aside()


@dataclass(frozen=True, slots=True)
class Logs:
    """What a run has printed and logged so far; None if nothing."""

    run: int
    job: str
    status: str
    output: str | None


@dataclass(frozen=True, slots=True)
class Triggered:
    """A run that was inserted, and whether its job is paused."""

    run: int
    job: str
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """A paused job.

    Attributes:
        name: the job's.
        changed: it was not paused before, or had another end.
        running: how many of its runs are still running; they will finish.
        until: when the pause ends by itself; None if it does not.
    """

    name: str
    changed: bool
    running: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A resumed job.

    Attributes:
        name: the job's.
        changed: it was paused before.
        waiting: how many of its runs are due.
        running: how many of its runs go on.
        next_at: its next slot; None if none is known.
        after: the jobs that it runs after.
        schedule: as the database has it; None if it runs by hand, or after others.
        as_of: when this was read, by the database's clock.
    """

    name: str
    changed: bool
    waiting: int
    running: int
    next_at: datetime | None
    after: tuple[str, ...]
    schedule: str | None
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A run that was cancelled, or, if running, was asked to stop."""

    run: int
    job: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A schedule that was created or edited, and when it runs, in words."""

    name: str
    job: str
    when: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A schedule that was removed, and its runs: those that waited, cancelled; and those still running."""

    name: str
    cancelled: int
    running: int


# --- the view -----------------------------------------------------------------------------------------


def lines(
    connection: psycopg.Connection[Any],
    here: Collection[str] | None,
    limit: int | None = None,
    after: str | None = None,
) -> list[JobLine]:
    """Return a line for each job, up to a limit, in the order of their names.

    Args:
        connection: in autocommit mode.
        here: the jobs that the program at hand defines; None if that is not known.
        limit: how many.
        after: the name after which they begin.
    """
    return [_line(row, here) for row in JobQueries(connection).jobs(limit, after)]


def soonest(connection: psycopg.Connection[Any], here: Collection[str] | None, limit: int) -> list[JobLine]:
    """Return the lines of the jobs that run next, the soonest first: of all jobs, however many there are.

    A planner works slots out as soon as a schedule is there; of those that none has seen yet a hundred are looked at.

    Args:
        connection: in autocommit mode.
        here: as for `lines`.
        limit: how many at the most.
    """
    found = [_line(row, here) for row in JobQueries(connection).soonest(limit)]
    timed = [(each.next_at, each.name, each) for each in found if each.next_at is not None]
    return [each for *_, each in sorted(timed, key=itemgetter(0, 1))[:limit]]


def line(connection: psycopg.Connection[Any], name: str, here: Collection[str] | None) -> JobLine:
    """Return the line of one job.

    Raises:
        NothingSelectedError: there is no such job.
    """
    return _line(_known(JobQueries(connection), name), here)


def run(connection: psycopg.Connection[Any], number: int) -> RunLine:
    """Return a run.

    Raises:
        NothingSelectedError: there is no such run.
    """
    found = JobQueries(connection).run_line(number)
    if found is None:
        raise _no_such_run(number)
    return found


def failed_days(connection: psycopg.Connection[Any], name: str, days: int) -> FailedDays:
    """Return on which days runs of a job have failed.

    Raises:
        NothingSelectedError: there is no such job.
    """
    queries = JobQueries(connection)
    return queries.failed_days(_known(queries, name), days)


def _line(row: JobRow, here: Collection[str] | None) -> JobLine:
    return JobLine(
        name=row.name,
        job=row.function,
        schedule=row.schedule,
        tz=row.tz,
        after=row.after,
        args=_arguments(row),
        declared=row.declared,
        next_at=next_slot(row),
        last_status=row.last_status,
        last_at=row.last_at,
        running=row.running,
        waiting=row.pending,
        state=_state(row, here),
        paused_until=row.paused_until if row.paused_at is not None else None,
        when=words(row.schedule, row.tz, row.after),
    )


def _arguments(row: JobRow) -> Any:
    """Return a job's arguments; their text, where they are nested too deeply for Python."""
    try:
        return json.loads(row.args)
    except (ValueError, RecursionError):
        return row.args


def _state(row: JobRow, here: Collection[str] | None) -> str:
    if row.paused_at is not None:
        return "paused"
    if here is not None and row.function not in here:
        return "not registered here"
    if row.schedule is not None and _parsed(row) is None:
        return "unreadable here"
    return "over" if row.schedule is not None and row.exhausted else "active"


def _parsed(row: JobRow) -> Schedule | None:
    """Return a job's schedule, if this program can read it: it may lack its time zone."""
    try:
        return slots.parse(row.schedule or "", row.tz)
    except ConfigurationError:
        return None


def next_slot(row: JobRow) -> datetime | None:
    """Return the next slot of a job: the planner's, or the one that it will find."""
    if row.paused_at is not None or row.exhausted or row.schedule is None:
        return None
    if row.next_at is not None:
        return row.next_at
    schedule = _parsed(row)
    try:
        slot = None if schedule is None else _following(row, schedule)
    except (OverflowError, ValueError):  # a time at the end of the calendar
        return None
    return None if slot is None or (row.ends_at is not None and slot > row.ends_at) else slot


def _following(row: JobRow, schedule: Schedule) -> datetime | None:
    start = row.anchor if row.starts_at is None else row.starts_at
    if isinstance(schedule, slots.FixedDelay):
        return None if row.pending + row.running else max(row.now, start)
    return schedule.next_after(max(row.planned_to, start - timedelta.resolution), row.anchor)


def words(schedule: str | None, tz: str = "UTC", after: Collection[str] = ()) -> str:
    """Return a schedule in words."""
    if after:
        return f"after {', '.join(after)}"
    if schedule is None:
        return "by hand"
    try:
        parsed = slots.parse(schedule, tz)
    except ConfigurationError:
        return schedule
    match parsed:
        case slots.Cron():
            return f"{parsed.expression} {parsed.tz}"
        case slots.FixedDelay():
            return f"{parsed.written} after each run"
        case _:
            return str(parsed).removeprefix("@")


def runs(
    connection: psycopg.Connection[Any],
    job: str | None,
    limit: int | None,
    after: Sequence[Any] | None = None,
) -> list[RunLine]:
    """Return the newest runs, of one job or of all; if given, only those after this planned time and number.

    Raises:
        NothingSelectedError: there is no such job, nor a run left of an earlier one.
    """
    queries = JobQueries(connection)
    found = queries.runs(job, limit, after)
    if job is not None and not found and after is None:
        _known(queries, job)
    return found


def last_run(connection: psycopg.Connection[Any], job: str) -> int:
    """Return the number of the last run of a job that has begun.

    Raises:
        NothingSelectedError: there is no such run or job.
    """
    begun = (line.id for line in runs(connection, job, RECENT_RUNS) if line.started_at is not None)
    found = next(begun, None)
    if found is None:
        msg = f"no run of {job} has begun yet"
        raise NothingSelectedError(msg, "no_run_begun", job=job)
    return found


def logs(connection: psycopg.Connection[Any], number: int) -> Logs:
    """Return a run with what it has printed.

    Raises:
        NothingSelectedError: there is no such run.
    """
    found = JobQueries(connection).run(number)
    if found is None:
        raise _no_such_run(number)
    return Logs(number, found.job, found.status, found.output)


# --- orders -------------------------------------------------------------------------------------------


def trigger(
    connection: psycopg.Connection[Any],
    name: str,
    args: Mapping[str, Any] | None,
    here: Mapping[str, Job] | None,
) -> Triggered:
    """Insert a run of a job for now; declare the job if no worker has declared it yet.

    Args:
        connection: in autocommit mode.
        name: the job's name, or that of a schedule made at run time.
        args: the arguments; None for the job's own.
        here: the jobs that the program at hand defines; None if that is not known.

    Raises:
        NothingSelectedError: there is no such job.
        ConfigurationError: the function does not take these arguments.
    """
    queries = JobQueries(connection)
    row = queries.job(name)
    function = (here or {}).get(name if row is None else row.function)
    if row is None and function is None:
        raise NothingSelectedError(no_such_job(name, {*(here or ()), *_names(queries)}))
    if function is not None:
        known = args if args is not None else _arguments(row) if row is not None else {}
        if isinstance(known, dict):
            function.check_arguments(known)
    given = None if args is None else as_json(args, "args")
    with connection.transaction():
        if row is None and function is not None:
            job_store.declare(connection, [function])
        held = _known(queries, name)  # unless another session has just removed it
        if held.overlap == "replace":
            job_store.supersede(connection, [name])
        number = queries.trigger(held.name, given)
        queries.wake()
    return Triggered(number, held.name, is_paused=held.paused_at is not None)


def pause(queries: JobQueries, name: str, seconds: float | None = None) -> Paused:
    """Pause a job: nothing is planned, and waiting runs do not start; running ones go on.

    Args:
        queries: in autocommit mode, or in a transaction.
        name: the job's.
        seconds: for how long; None until it is resumed.

    Raises:
        NothingSelectedError: there is no such job.
    """
    running = _known(queries, name).running
    changed = queries.pause(name, seconds)
    return Paused(name, changed, running, _known(queries, name).paused_until)


def resume(queries: JobQueries, name: str) -> Resumed:
    """Resume a job from now; missed slots are not made up for.

    Raises:
        NothingSelectedError: there is no such job.
    """
    _known(queries, name)
    changed = queries.resume(name)
    if changed:
        queries.wake()
    row = _known(queries, name)
    return Resumed(
        name=name,
        changed=changed,
        waiting=row.pending,
        running=row.running,
        next_at=next_slot(row),
        after=tuple(row.after),
        schedule=row.schedule,
        as_of=row.now,
    )


def cancel(connection: psycopg.Connection[Any], number: int) -> Cancelled:
    """Cancel a waiting run, ask a running one to stop.

    Raises:
        NothingSelectedError: it has ended, or there is no such run.
    """
    queries = JobQueries(connection)
    done = queries.cancel(number)
    if done is None:
        run = queries.run(number)
        if run is None:
            raise _no_such_run(number)
        msg = f"run {number} of {run.job} has ended already: {run.status}"
        raise NothingSelectedError(msg)
    job, status = done
    return Cancelled(number, job, status == "running")


def remove(connection: psycopg.Connection[Any], name: str, here: Collection[str] | None = None) -> Removed:
    """Remove a schedule made at run time, or a renamed job, with its waiting runs; running ones go on.

    Args:
        connection: in autocommit mode.
        name: the schedule's name, or the job's.
        here: the jobs that the program at hand defines; None if that is not known.

    Raises:
        NothingSelectedError: there is no such job, nor a waiting run of it.
        ConfigurationError: a program declares it.
    """
    queries = JobQueries(connection)
    row = queries.job(name)
    forsaken = here is not None and name not in here
    with connection.transaction():
        if row is None:
            cancelled = queries.cancel_pending(name) if forsaken else 0
            if not cancelled:
                raise NothingSelectedError(no_such_job(name, _names(queries)))
            return Removed(name, cancelled, 0)
        if not queries.remove(name, forsaken=forsaken):
            msg = f"{name} is declared by a program"
            raise RefusedError(msg, "declared", name=name)
        return Removed(name, queries.cancel_pending(name), row.running)


def _known(queries: JobQueries, name: str) -> JobRow:
    row = queries.job(name)
    if row is None:
        raise NothingSelectedError(no_such_job(name, _names(queries)))
    return row


def _names(queries: JobQueries) -> list[str]:
    return queries.names()


def _no_such_run(number: int) -> NothingSelectedError:
    return NothingSelectedError(f"there is no run {number}", "no_such_run", run=number)
