"""The engine's statements on `poller.job` and `poller.run`: each method executes one statement of `sql/`.

These declare jobs, plan their slots and report on runs. Claiming and settling runs is the engine's work
as for any row: a run is one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from poller.db.clamped_times import clamp_times
from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows, only_row
from poller.errors import ConfigurationError
from poller.errors_in_words import encoding_of, storable
from poller.jobs.circles import circles
from poller.telemetry.bus import emit
from poller.telemetry.events import JobLocked, JobRedeclared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from poller.jobs.job import Job
    from poller.jobs.options import Misfire, Overlap

MOST_TRIES = 33  # of two seconds each: a session that idles in a transaction is ended after 60 (session.sql)


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job's row that has something to plan. Durations are seconds.

    Attributes:
        name: the job's name.
        function: the declared job whose function runs.
        version: of the row: it differs once the row has been changed.
        anchor: where the slots of a fixed rate count from.
        planned_to: every slot up to here has been decided.
        next_at: the slot that is due, if one is known.
        now: the time, by the one clock.
    """

    name: str
    function: str
    version: str
    schedule: str
    tz: str
    overlap: Overlap
    misfire: Misfire
    grace: float
    jitter: float
    starts_at: datetime | None
    ends_at: datetime | None
    anchor: datetime
    planned_to: datetime
    next_at: datetime | None
    now: datetime


class PlannerLook(NamedTuple):
    """What a planner finds when it looks.

    Attributes:
        wait: the seconds until there is something to plan, negative if it is overdue; None if nothing is in sight.
        pause_is_over: whether the pause of a job has ended.
        leader: the supervisor that planned last among those that know the same jobs, if any has.
        now: the time by the one clock, in seconds.
    """

    wait: float | None
    pause_is_over: bool
    leader: UUID | None
    now: float


class Unfinished(NamedTuple):
    """How many runs of a job wait, and how many run."""

    pending: int = 0
    running: int = 0


class NamedSchedule(NamedTuple):
    """A schedule made at run time, the job whose function it runs, and when."""

    name: str
    function: str
    schedule: str

    @property
    def words(self) -> str:
        """Say whose the name is."""
        return (
            f"{self.name!r} is the name of a schedule made at run time: {self.function} at {self.schedule!r}"
        )


class PlannedRun(NamedTuple):
    """A run to insert: its slot, its start's delay in seconds, and its status."""

    slot: datetime
    delay: float
    status: str


class Plan(NamedTuple):
    """The decision on a job: the runs to insert, and its next slot, if there is one."""

    job: DueJob
    runs: Sequence[PlannedRun]
    next_at: datetime | None
    exhausted: bool


class RunProgress(NamedTuple):
    """How far an attempt at a run has come."""

    attempt: int
    output: str
    done: float | None
    total: float | None


def declare(connection: psycopg.Connection[Any], jobs: Iterable[Job]) -> None:
    """Insert the jobs that a program declares, or update their rows.

    A row that is as declared is not locked. One that another session holds (a planner that was stopped in the
    middle, say) is waited for, as long as such a session may last.

    If that overwrites the declaration of another running program, a warning says so: it may be an older version of this
    one, or one that has a job of that name by chance.

    Raises:
        psycopg.errors.LockNotAvailable: a row is held for longer than that.
    """
    jobs = list(jobs)
    asked_for = {"jobs": array(job.name for job in jobs)}
    rivals = {
        job: (host, pid) for job, host, pid in connection.execute(statement("other_declarers"), asked_for)
    }
    for job in jobs:
        options = job.options
        asked = {
            "name": job.name,
            "schedule": None if job.schedule is None else str(job.schedule),
            "tz": job.tz,
            "overlap": options.overlap,
            "misfire": options.misfire,
            "grace": options.grace,
            "jitter": options.jitter,
            "starts_at": options.starts_at,
            "ends_at": options.ends_at,
            "after": list(options.after),
            "keep": options.keep,
        }
        if _declare(connection, job.name, asked) and job.name in rivals:
            host, pid = rivals[job.name]
            emit(JobRedeclared(job=job.name, here=job.place, there=f"{host}/{pid}"))


def _declare(connection: psycopg.Connection[Any], name: str, asked: Mapping[str, Any]) -> bool:
    """Insert a job, or update its row; tell whether that has changed anything."""
    for left in reversed(range(MOST_TRIES)):
        try:
            with connection.transaction():
                return connection.execute(statement("declare_job"), asked).rowcount > 0
        except psycopg.errors.LockNotAvailable:
            if not left:
                raise
            if left == MOST_TRIES - 1:
                emit(JobLocked(job=name))
    return False


def unknown_jobs(connection: psycopg.Connection[Any], names: Iterable[str]) -> set[str]:
    """Return those of the names that no job has."""
    rows = connection.execute(statement("unknown_jobs"), {"names": array(names)})
    return {row[0] for row in rows}


def schedules_named(connection: psycopg.Connection[Any], jobs: Iterable[Job]) -> list[NamedSchedule]:
    """Return the schedules made at run time that have the names of jobs."""
    asked = {"names": array(job.name for job in jobs)}
    return list(all_rows(connection, statement("schedules_named"), asked, NamedSchedule))


def jobs_before(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Return after which jobs those of other programs run that jobs of this one run after, by their names."""
    asked = {
        "names": array({name for job in jobs for name in job.options.after}),
        "known": array(job.name for job in jobs),
    }
    return dict(connection.execute(statement("jobs_before"), asked).fetchall())


def orphan_runs(connection: psycopg.Connection[Any], known: Iterable[str]) -> list[tuple[str, int]]:
    """Return jobs whose runs wait for a function unknown here and to living workers, with their number."""
    return connection.execute(statement("orphan_runs"), {"known": array(known)}).fetchall()


def ahead(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Return how many jobs, rows and runs were planned or put off beyond now by a clock that ran ahead."""
    row = connection.execute(statement("clock_ahead")).fetchone()
    return (0, 0, 0) if row is None else (row[0], row[1], row[2])


def check(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> None:
    """Make sure that all jobs named in `after` exist, no job is after itself by way of them, and names are free.

    Raises:
        ConfigurationError: it is not so; the text begins with the place of the job that names another.
    """
    places = {job.name: job.place for job in jobs}
    for taken in schedules_named(connection, jobs):
        msg = f"{places[taken.name]}: {taken.words}; give the job another name="
        raise ConfigurationError(msg, "schedule_of_name", name=taken.name)
    names = {job.name for job in jobs}
    unknown = unknown_jobs(connection, {name for job in jobs for name in job.options.after} - names)
    for job in jobs:
        for name in unknown.intersection(job.options.after):
            msg = f"{job.place}: after={name!r}: there is no such job"
            raise ConfigurationError(msg)
    for job, words in circles(jobs, jobs_before(connection, jobs)):
        msg = f"{job.place}: jobs run after each other in a circle: {words}; leave one of these out of after="
        raise ConfigurationError(msg)


def look(connection: psycopg.Connection[Any], known: str, aside: str, digest: str) -> PlannerLook:
    """Find out when there is something to plan for the known functions.

    Args:
        connection: in autocommit mode.
        known: the functions, as an array.
        aside: the jobs that are put aside, by their names and versions, as an array.
        digest: of the functions.
    """
    asked = {"known": known, "aside": aside, "digest": digest}
    return only_row(connection, statement("next_plan"), asked, PlannerLook)


def due_jobs(connection: psycopg.Connection[Any], known: str, aside: str, most: int) -> list[DueJob]:
    """Lock and return jobs of the known functions that have something to plan, and are not put aside."""
    with connection.cursor(row_factory=class_row(DueJob)) as cursor:
        clamp_times(cursor)
        return cursor.execute(
            statement("jobs_due"), {"known": known, "aside": aside, "most": most}
        ).fetchall()


def end_pauses(connection: psycopg.Connection[Any], known: str) -> int:
    """Resume jobs of the known functions whose pause has ended; return how many there were."""
    return connection.execute(statement("end_pauses"), {"known": known}).rowcount


def unfinished(connection: psycopg.Connection[Any], jobs: Iterable[str]) -> dict[str, Unfinished]:
    """Return the number of unfinished runs of each job that has any; the jobs' rows must be locked."""
    return dict(all_rows(connection, statement("unfinished"), {"jobs": array(jobs)}, _unfinished_of))


def _unfinished_of(*, job: str, **counts: int) -> tuple[str, Unfinished]:
    return job, Unfinished(**counts)


def enter_runs(connection: psycopg.Connection[Any], plans: Sequence[Plan]) -> dict[str, int]:
    """Enter the runs of jobs; return how many were new, by the job's name."""
    runs = [(plan.job.name, run) for plan in plans for run in plan.runs]
    if not runs:
        return {}
    asked = {
        "jobs": array(job for job, _ in runs),
        "slots": array(run.slot.isoformat() for _, run in runs),
        "delays": array(run.delay for _, run in runs),
        "statuses": array(run.status for _, run in runs),
    }
    return Counter(row[0] for row in connection.execute(statement("plan_runs"), asked))


def planned(connection: psycopg.Connection[Any], plans: Sequence[Plan]) -> None:
    """Record that jobs' slots are decided up to now, and when the next ones are."""
    asked = {
        "jobs": array(plan.job.name for plan in plans),
        "planned_to": array(plan.job.now.isoformat() for plan in plans),
        "next_at": array(None if plan.next_at is None else plan.next_at.isoformat() for plan in plans),
        "exhausted": array(plan.exhausted for plan in plans),
    }
    connection.execute(statement("record_plan"), asked)


def supersede(connection: psycopg.Connection[Any], jobs: Iterable[str]) -> None:
    """Cancel jobs' waiting runs, and ask the running ones to stop."""
    connection.execute(statement("supersede_runs"), {"jobs": array(jobs)})


def lead(connection: psycopg.Connection[Any], digest: str, supervisor: UUID) -> None:
    """Take the lead: this supervisor plans for all that know the same functions."""
    connection.execute(statement("take_lead"), {"digest": digest, "supervisor": supervisor})


def set_back(connection: psycopg.Connection[Any]) -> list[str]:
    """Undo the plans and delays of a clock that ran ahead; return the jobs that are planned anew."""
    with connection.transaction():
        connection.execute(statement("set_back_rows"))
        return [name for (name,) in connection.execute(statement("set_back_jobs"))]


def report(
    connection: psycopg.Connection[Any], running: Iterable[int], changed: Mapping[int, RunProgress]
) -> set[int]:
    """Write the progress of runs, by their ids; return those of the running ones that must stop."""
    reports, encoding = changed.values(), encoding_of(connection)
    asked = {
        "running": array(running),
        "ids": array(changed),
        "attempts": array(each.attempt for each in reports),
        "outputs": array(storable(each.output, encoding) for each in reports),
        "dones": array(each.done for each in reports),
        "totals": array(each.total for each in reports),
    }
    return {row[0] for row in connection.execute(statement("report_runs"), asked)}
