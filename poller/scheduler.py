"""Plans the slots of jobs: decides that one is due, and enters a run for it. It runs nothing.

The model. A job's row says up to when its slots are decided and when the next one is. One process plans at a
time (an advisory lock that saves work), but that a slot fires once is the unique key (job, planned_at), written in
the same transaction that moves the job's row on. A planner that dies leaves the slot to be planned; one that
slept, or whose host's clock is wrong, asks the database for the time and finds what is due by then.

What a slot that is found late becomes: within `grace` it is on time, as after a planner's death. If the
first of them is later than that, nothing ran for a while, and the job's `misfire` says which of them run.
What a slot becomes while a run is unfinished, `overlap` says. Both are decided here, by pure functions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from poller import schedule as schedules
from poller.errors import ConfigurationError
from poller.queries import array, statement
from poller.telemetry import event, problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from poller.database import Link
    from poller.job import Job, Misfire, Overlap
    from poller.schedule import Schedule

CATCH_UP = 100  # slots that misfire "all" runs at the most
LONGEST_WAIT = 1.0  # seconds: a job may be added, resumed or edited meanwhile


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job's row that has something to plan, as `jobs_due.sql` returns it. Durations are seconds."""

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


class Scheduler:
    """Plans the jobs that this process knows.

    Args:
        link: a connection of its own.
        jobs: the declared jobs.
        wake: called when runs have been entered.
    """

    def __init__(self, link: Link, jobs: Sequence[Job]) -> None:
        self._link = link
        self._known = array(job.name for job in jobs)
        self._broken: set[str] = set()

    def run_once(self) -> float:
        """Plan what is due. Returns the seconds until something may be."""
        connection = self._link.connection
        with connection.transaction():
            if connection.execute(statement("planning")).fetchone() != (True,):
                return LONGEST_WAIT
            planned = sum(self._plan(connection, job) for job in self._due(connection))
        if planned:
            connection.execute(statement("wake"))
            return 0.0
        row = connection.execute(statement("next_plan"), {"known": self._known}).fetchone()
        until = row[0] if row and row[0] is not None else LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.0, until))

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()

    def _due(self, connection: psycopg.Connection[Any]) -> list[DueJob]:
        with connection.cursor(row_factory=class_row(DueJob)) as cursor:
            return cursor.execute(statement("jobs_due"), {"known": self._known}).fetchall()

    def _plan(self, connection: psycopg.Connection[Any], job: DueJob) -> int:
        """Enter the runs of a job's slots up to now, and move its row on. Returns how many."""
        try:
            schedule = schedules.parse(job.schedule, job.tz)
        except ConfigurationError as error:
            self._complain(job, error)
            return 0
        slots = due_slots(job, schedule)
        statuses = decide_overlap(job.overlap, len(slots), pending=job.pending, running=job.running)
        if slots and job.overlap == "replace":
            connection.execute(statement("supersede_runs"), {"job": job.name})
        if slots:
            self._enter(connection, job, slots, statuses)
        connection.execute(
            statement("planned"),
            {"job": job.name, "planned_to": job.now, "next_at": next_slot(job, schedule)},
        )
        return len(slots)

    def _enter(
        self,
        connection: psycopg.Connection[Any],
        job: DueJob,
        slots: list[datetime],
        statuses: list[str],
    ) -> None:
        delays = [random.uniform(0, job.jitter) for _ in slots]  # noqa: S311 - to spread, not to hide
        asked = {
            "job": job.name,
            "function": job.function,
            "args": Jsonb(job.args),
            "slots": array(f"{slot.isoformat()}" for slot in slots),
            "delays": array(delays),
            "statuses": array(statuses),
        }
        connection.execute(statement("plan_runs"), asked)
        event(f"planned {job.name}", slots=len(slots), latest=slots[-1].isoformat())

    def _complain(self, job: DueJob, error: ConfigurationError) -> None:
        if job.name not in self._broken:
            self._broken.add(job.name)
            problem(f"job {job.name} cannot be planned: {error}")


def due_slots(job: DueJob, schedule: Schedule) -> list[datetime]:
    """Return the slots of a job that are to be entered now, oldest first; never more than a bound."""
    if isinstance(schedule, schedules.FixedDelay):
        return [job.next_at] if job.next_at is not None else []
    after = job.planned_to if job.next_at is None else job.next_at - timedelta.resolution
    if job.starts_at is not None:
        after = max(after, job.starts_at - timedelta.resolution)
    until = job.now if job.ends_at is None else min(job.now, job.ends_at)
    first = schedule.next_after(after, job.anchor)
    if first is None or first > until:
        return []
    on_time = job.now - timedelta(seconds=job.grace)
    if first >= on_time:
        return schedule.slots_between(after, until, job.anchor, MOST_ON_TIME)
    match job.misfire:
        case "latest":
            return schedule.slots_between(after, until, job.anchor, 1)
        case "all":
            return schedule.slots_between(after, until, job.anchor, CATCH_UP)
        case "skip":
            return schedule.slots_between(on_time, until, job.anchor, MOST_ON_TIME)


def next_slot(job: DueJob, schedule: Schedule) -> datetime | None:
    """Return the slot after now, or None: there is none, or it follows from the end of a run."""
    if isinstance(schedule, schedules.FixedDelay):
        return None
    after = job.now if job.starts_at is None else max(job.now, job.starts_at - timedelta.resolution)
    slot = schedule.next_after(after, job.anchor)
    return None if slot is None or (job.ends_at is not None and slot > job.ends_at) else slot


def decide_overlap(overlap: Overlap, count: int, *, pending: int, running: int) -> list[str]:
    """Return the status of each of so many new runs, in order, given the job's unfinished ones."""
    match overlap:
        case "allow":
            return ["pending"] * count
        case "skip":
            room = int(pending + running == 0)
        case "queue":
            room = int(pending == 0) + int(pending + running == 0)
        case "replace":
            return ["skipped"] * (count - 1) + ["pending"] * min(count, 1)
    return ["pending"] * min(room, count) + ["skipped"] * max(0, count - room)
