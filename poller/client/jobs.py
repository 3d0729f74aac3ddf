"""An operator's view of jobs and runs, and the orders for them: trigger, pause, resume, cancel, remove.

What may be trusted: nothing that was read before; each order is one statement that looks for itself, and says
what it found. What is known of a program's own jobs comes from its package, if that can be imported here; the
database has the last word, since a deploy may be rolling.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from poller import registry
from poller.client.job_queries import Timetable
from poller.client.row_queries import Operators
from poller.client.selector import NothingSelectedError, of_table
from poller.errors import ConfigurationError
from poller.jobs import job_store
from poller.jobs.dynamic import as_json, no_such_job
from poller.model.handler import split_off_table
from poller.ready_made.housekeeping import housekeeping
from poller.schedules import slots

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    import psycopg

    from poller.client.job_queries import JobRow, Printed, RunLine
    from poller.jobs.job import Job
    from poller.schedules.slots import Schedule


RECENT = 1000  # runs among which the last one that has begun is looked for
_BY_HAND = "run it now with: poller trigger"


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, as it is listed.

    Attributes:
        job: the declared job whose function its runs call.
        next_at: the next slot, or one that is due already; None if none is in sight.
        last_at: when the last run ended, or started if it has not ended.
        state: active, paused, not registered here, over (there are no more slots), or unreadable here (its schedule,
            or its time zone).
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
    when: str
    now: datetime


class Triggered(NamedTuple):
    """A run that was entered, and whether its job is held."""

    run: int
    is_paused: bool


class Removed(NamedTuple):
    """What became of a schedule's runs: cancelled, since they waited; and still running."""

    cancelled: int
    running: int


def defined(package: str) -> dict[str, Job] | None:
    """Return the jobs that a package defines, by their names, with poller's own; None if it cannot be imported."""
    try:
        jobs = registry.load(package).jobs
    except ConfigurationError:
        return None
    return {job.name: job for job in (*jobs, housekeeping)}


# --- the view -----------------------------------------------------------------------------------------


def lines(
    connection: psycopg.Connection[Any], here: Collection[str] | None, limit: int | None = None
) -> list[JobLine]:
    """Return a line for each job, or for so many, in the order of their names.

    Args:
        connection: in autocommit mode.
        here: the jobs that the program at hand defines; None if that is not known.
        limit: how many.
    """
    return [_line(row, here) for row in Timetable(connection).jobs(limit)]


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
        when=words(row.schedule, row.tz, row.after),
        now=row.now,
    )


def _arguments(row: JobRow) -> Any:
    """Return a job's arguments; their text, where they are nested deeper than Python reads."""
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
    """Return the next slot of a job: the planner's, or what it will find when it looks."""
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
    """Return a schedule as people read it."""
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
            return f"{str(parsed).removeprefix('@after ')} after each run"
        case _:
            return str(parsed).removeprefix("@")


def runs(connection: psycopg.Connection[Any], job: str | None, limit: int | None) -> list[RunLine]:
    """Return the newest runs, of one job or of all.

    Raises:
        NothingSelectedError: there is no such job, nor a run of it from when there was.
    """
    timetable = Timetable(connection)
    found = timetable.runs(job, limit)
    if job is not None and not found:
        _known(timetable, job)
    return found


def last_run(connection: psycopg.Connection[Any], job: str) -> int:
    """Return the number of the last run of a job that has begun.

    Raises:
        NothingSelectedError: there is none, or no such job.
    """
    begun = (line.id for line in runs(connection, job, RECENT) if line.started_at is not None)
    found = next(begun, None)
    if found is None:
        msg = f"no run of {job} has begun yet; {_BY_HAND} {job!r}"
        raise NothingSelectedError(msg)
    return found


def printed(connection: psycopg.Connection[Any], number: int) -> Printed:
    """Return a run with what it has printed.

    Raises:
        NothingSelectedError: there is no such run.
    """
    found = Timetable(connection).run(number)
    if found is None:
        raise NothingSelectedError(_no_such_run(number))
    return found


# --- orders -------------------------------------------------------------------------------------------


def trigger(
    connection: psycopg.Connection[Any],
    name: str,
    args: Mapping[str, Any] | None,
    here: Mapping[str, Job] | None,
) -> Triggered:
    """Enter a run of a job for now; a job that nobody has declared yet is declared.

    Args:
        connection: in autocommit mode.
        name: the job's name, or that of a schedule made at run time.
        args: the arguments; None for the job's own.
        here: the jobs that the program at hand defines; None if that is not known.

    Raises:
        NothingSelectedError: there is no such job.
        ConfigurationError: the function does not take these arguments.
    """
    timetable = Timetable(connection)
    row = timetable.job(name)
    function = (here or {}).get(name if row is None else row.function)
    if row is None and function is None:
        raise NothingSelectedError(no_such_job(name, {*(here or ()), *_names(timetable)}))
    if function is not None:
        known = args if args is not None else _arguments(row) if row is not None else {}
        if isinstance(known, dict):
            function.check_arguments(known)
    given = None if args is None else as_json(args, "--args")
    with connection.transaction():
        if row is None and function is not None:
            job_store.declare(connection, [function])
        held = _known(timetable, name)  # unless somebody has removed it just now
        if held.overlap == "replace":
            job_store.supersede(connection, [name])
        number = timetable.trigger(held.name, given)
        timetable.wake()
    return Triggered(number, is_paused=held.paused_at is not None)


def pause(connection: psycopg.Connection[Any], name: str) -> str:
    """Hold a job: nothing is planned, and what waits does not start; what runs goes on. Say what was done.

    Raises:
        NothingSelectedError: there is no such job.
        ConfigurationError: it is a handler.
    """
    timetable = Timetable(connection)
    row = _job_to_hold(timetable, name)
    if not timetable.pause(name):
        return f"{name} is paused already; let it go on with: poller resume"
    goes_on = f"; {_runs(row.running)} in progress and will finish" if row.running else ""
    return f"paused {name}: nothing of it starts until poller resume{goes_on}"


def resume(connection: psycopg.Connection[Any], name: str) -> str:
    """Let a job go on from now; what it missed meanwhile is not made up for. Say what was done.

    Raises:
        NothingSelectedError: there is no such job.
        ConfigurationError: it is a handler.
    """
    timetable = Timetable(connection)
    _job_to_hold(timetable, name)
    if not timetable.resume(name):
        return f"{name} is not paused"
    timetable.wake()
    return f"resumed {name}: {_outlook(_known(timetable, name))}"


def _outlook(row: JobRow) -> str:
    """Say what a job will do next."""
    slot = next_slot(row)
    if row.pending:
        return f"{_runs(row.pending)} due"
    if slot is not None:
        return "it is due" if slot <= row.now else f"its next run is at {slot.isoformat(timespec='seconds')}"
    if row.after:
        return f"it runs {words(row.schedule, after=row.after)}"
    if row.schedule is None:
        return "it runs by hand: poller trigger"
    return "it follows its run in progress" if row.running else f"it has no more slots; {_BY_HAND}"


def cancel(connection: psycopg.Connection[Any], number: int) -> str:
    """Cancel a run that waits, ask one that runs to stop. Say what was done.

    Raises:
        NothingSelectedError: it has ended, or there is none.
    """
    timetable = Timetable(connection)
    done = timetable.cancel(number)
    if done is None:
        run = timetable.run(number)
        ended = run and f"run {number} of {run.job} has ended already: {run.status}"
        raise NothingSelectedError(ended or _no_such_run(number))
    job, status = done
    if status == "running":
        return f"asked run {number} of {job} to stop"
    return f"cancelled run {number} of {job}"


def remove(connection: psycopg.Connection[Any], name: str, here: Collection[str] | None = None) -> Removed:
    """Remove a schedule made at run time, or a job that was renamed, with its runs that wait; what runs goes on.

    Args:
        connection: in autocommit mode.
        name: the schedule's name, or the job's.
        here: the jobs that the program at hand defines; None if that is not known.

    Raises:
        NothingSelectedError: there is none, nor a run of it that waits.
        ConfigurationError: a program declares it.
    """
    timetable = Timetable(connection)
    row = timetable.job(name)
    forsaken = here is not None and name not in here
    with connection.transaction():
        if row is None:
            cancelled = timetable.cancel_pending(name) if forsaken else 0
            if not cancelled:
                raise NothingSelectedError(no_such_job(name, _names(timetable)))
            return Removed(cancelled, 0)
        if not timetable.remove(name, forsaken=forsaken):
            msg = f"{name} is declared by a program; take it out there, or hold it: poller pause"
            raise ConfigurationError(msg)
        return Removed(timetable.cancel_pending(name), row.running)


def _known(timetable: Timetable, name: str) -> JobRow:
    row = timetable.job(name)
    if row is None:
        raise NothingSelectedError(no_such_job(name, _names(timetable)))
    return row


def _job_to_hold(timetable: Timetable, name: str) -> JobRow:
    try:
        return _known(timetable, name)
    except NothingSelectedError:
        if _is_handler(timetable, name):
            msg = f"{name} is a handler, and only jobs can be paused yet; stop it by leaving it out of --only"
            raise ConfigurationError(msg) from None
        raise


def _is_handler(timetable: Timetable, name: str) -> bool:
    table, status = split_off_table(name)
    try:
        handlers = of_table(table, Operators(timetable.connection).known_handlers())
    except (NothingSelectedError, ConfigurationError):
        return False
    return not status or status in {each.status for each in handlers}


def _names(timetable: Timetable) -> list[str]:
    return timetable.names()


def _no_such_run(number: int) -> str:
    return f"there is no run {number}; those that are kept stand in: poller runs"


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"
