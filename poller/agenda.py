"""What the engine asks of `poller.job` and `poller.run`: one method, one statement of `sql/`.

Here is what declares jobs, plans their slots and reports on runs. What takes runs and ends them is the engine
itself: a run is a row like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from poller.errors import ConfigurationError
from poller.queries import array, statement
from poller.wording import encoding_of, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from poller.job import Job, Misfire, Overlap


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job's row that has something to plan. Durations are seconds.

    Attributes:
        name: the job's name.
        function: the declared job whose function its runs call.
        anchor: where the slots of a fixed rate count from.
        planned_to: every slot up to here has been decided.
        next_at: the slot that is due, if one is known.
        now: the time, by the one clock.
        pending: how many of its runs wait.
        running: how many of its runs run.
    """

    name: str
    function: str
    schedule: str
    tz: str
    overlap: Overlap
    misfire: Misfire
    grace: float
    jitter: float
    starts_at: datetime | None
    ends_at: datetime | None
    args: dict[str, Any]
    anchor: datetime
    planned_to: datetime
    next_at: datetime | None
    now: datetime
    pending: int
    running: int


class Report(NamedTuple):
    """How far an attempt at a run has come."""

    attempt: int
    output: str
    done: float | None
    total: float | None


def declare(connection: psycopg.Connection[Any], jobs: Iterable[Job]) -> None:
    """Enter jobs that a program declares, or bring their rows up to date."""
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
        connection.execute(statement("declare_job"), asked)


def unknown_jobs(connection: psycopg.Connection[Any], names: Iterable[str]) -> set[str]:
    """Return those of the names that no job has."""
    rows = connection.execute(statement("unknown_jobs"), {"names": array(names)})
    return {row[0] for row in rows}


def check(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> None:
    """Make sure that the jobs which others are to run `after` are there.

    Raises:
        ConfigurationError: one is not; the text begins with the place of the job that names it.
    """
    names = {job.name for job in jobs}
    unknown = unknown_jobs(connection, {name for job in jobs for name in job.options.after} - names)
    for job in jobs:
        for name in unknown.intersection(job.options.after):
            msg = f"{job.place}: after={name!r}: there is no such job"
            raise ConfigurationError(msg)


def seconds_to_plan(connection: psycopg.Connection[Any], known: str) -> float | None:
    """Return in how many seconds there is something to plan for the known functions, if anything is in sight."""
    row = connection.execute(statement("next_plan"), {"known": known}).fetchone()
    return row and row[0]


def may_plan(connection: psycopg.Connection[Any]) -> bool:
    """Be the one that plans until the transaction ends, if nobody else is."""
    return connection.execute(statement("planning")).fetchone() == (True,)


def due_jobs(connection: psycopg.Connection[Any], known: str) -> list[DueJob]:
    """Lock and return the jobs of the known functions that have something to plan."""
    with connection.cursor(row_factory=class_row(DueJob)) as cursor:
        return cursor.execute(statement("jobs_due"), {"known": known}).fetchall()


def enter_runs(
    connection: psycopg.Connection[Any],
    job: DueJob,
    runs: Sequence[tuple[datetime, float, str]],
) -> int:
    """Enter a run for each (slot, delay in seconds, status); return how many were new."""
    asked = {
        "job": job.name,
        "function": job.function,
        "args": Jsonb(job.args),
        "slots": array(slot.isoformat() for slot, _, _ in runs),
        "delays": array(delay for _, delay, _ in runs),
        "statuses": array(status for _, _, status in runs),
    }
    return connection.execute(statement("plan_runs"), asked).rowcount


def planned(
    connection: psycopg.Connection[Any], job: DueJob, next_at: datetime | None, *, exhausted: bool
) -> None:
    """Say that a job's slots are decided up to now, and when the next one is."""
    asked = {"job": job.name, "planned_to": job.now, "next_at": next_at, "exhausted": exhausted}
    connection.execute(statement("planned"), asked)


def supersede(connection: psycopg.Connection[Any], job: str) -> None:
    """Cancel what waits of a job, and ask what runs to stop."""
    connection.execute(statement("supersede_runs"), {"job": job})


def report(
    connection: psycopg.Connection[Any], running: Iterable[int], changed: Mapping[int, Report]
) -> set[int]:
    """Write how far runs have come, by their ids, and return those of the running ones that are to stop."""
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
