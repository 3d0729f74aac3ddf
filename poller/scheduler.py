"""Plans the slots of jobs: for each slot that has come, one row of `poller.run`.

The model. A job's row says up to when its slots have been decided and when the next one is. A round takes an
advisory lock, reads the jobs that are due together with the database's clock, enters their runs and moves the
rows on, all in one transaction. That a slot fires once rests on the unique key (job, planned_at), not on the
lock: the lock saves work, and lets the count of unfinished runs see what the planner before has committed.

What may be trusted: nothing but the database's clock, read in the round that uses it. A planner that slept
finds more slots than one; the misfire policy says which of them run, and none of the policies looks at more
slots than it enters.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from poller import agenda, slots
from poller.errors import ConfigurationError
from poller.failpoints import reach
from poller.queries import array, statement
from poller.telemetry import event, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import psycopg

    from poller.agenda import DueJob
    from poller.database import Link
    from poller.job import Job, Overlap
    from poller.slots import Schedule

MOST_ON_TIME = 1000  # slots that are entered at once, if they are not too late
CATCH_UP = 100  # slots that misfire "all" runs at the most
LONGEST_WAIT = 1.0  # seconds: a job may be added, resumed or edited meanwhile
LONGEST_WAIT_HEARING = 10.0  # if that would be heard of
AGAIN = 0.1  # seconds, while another plans, or holds the row of a job


class Scheduler:
    """Plans the jobs whose functions this process knows.

    Args:
        link: a connection of its own.
        jobs: the declared jobs.
        hears: tells whether it is told of jobs that change; it wakes the scheduler.
    """

    def __init__(self, link: Link, jobs: Sequence[Job], hears: Callable[[], bool] = lambda: False) -> None:
        self._link = link
        self._hears = hears
        self._known = array(job.name for job in jobs)
        self._broken: set[str] = set()

    def run_once(self) -> float:
        """Plan what is due. Returns the seconds until something may be."""
        connection = self._link.connection
        longest = LONGEST_WAIT_HEARING if self._hears() else LONGEST_WAIT  # asked before the look
        until = agenda.seconds_to_plan(connection, self._known)
        if until is None or until > 0:
            return longest if until is None else min(longest, until)
        with connection.transaction():
            if not agenda.may_plan(connection):
                return AGAIN
            due = agenda.due_jobs(connection, self._known)
            if sum(self._plan(connection, job) for job in due):
                connection.execute(statement("wake"))
            reach("plan entered")
        reach("plan committed")
        return 0.0 if due else AGAIN

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()

    def _plan(self, connection: psycopg.Connection[object], job: DueJob) -> int:
        """Enter the runs of a job's slots up to now, and move its row on. Returns how many."""
        try:
            schedule = slots.parse(job.schedule, job.tz)
        except ConfigurationError as error:
            self._complain(job, error)
            agenda.planned(connection, job, None, exhausted=True)
            return 0
        due = due_slots(job, schedule)
        if due and job.overlap == "replace":
            agenda.supersede(connection, job.name)
        entered = self._enter(connection, job, due) if due else 0
        following = next_slot(job, schedule)
        # The next slot of a fixed delay follows from the end of this run, if there is one.
        waits = bool(due) and isinstance(schedule, slots.FixedDelay)
        agenda.planned(connection, job, following, exhausted=following is None and not waits)
        return entered

    def _enter(self, connection: psycopg.Connection[object], job: DueJob, due: list[datetime]) -> int:
        statuses = decide_overlap(job.overlap, len(due), pending=job.pending, running=job.running)
        delays = [random.uniform(0, job.jitter) for _ in due]  # noqa: S311 - to spread, not to hide
        entered = agenda.enter_runs(connection, job, list(zip(due, delays, statuses, strict=True)))
        event(f"planned {job.name}", 10 if entered == 1 else 20, runs=entered, latest=due[-1].isoformat())
        return entered

    def _complain(self, job: DueJob, error: ConfigurationError) -> None:
        if job.name not in self._broken:
            self._broken.add(job.name)
            problem(f"job {job.name} cannot be planned: {error}")


def due_slots(job: DueJob, schedule: Schedule) -> list[datetime]:
    """Return the slots of a job that are to be entered now, oldest first; never more than a bound."""
    until = job.now if job.ends_at is None else min(job.now, job.ends_at)
    if isinstance(schedule, slots.FixedDelay):
        slot = job.next_at or job.now
        slot = slot if job.starts_at is None else max(slot, job.starts_at)
        return [slot] if slot <= until else []
    after = job.planned_to if job.next_at is None else job.next_at - timedelta.resolution
    if job.starts_at is not None:
        after = max(after, job.starts_at - timedelta.resolution)
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
    if isinstance(schedule, slots.FixedDelay):
        return job.starts_at if job.starts_at is not None and job.starts_at > job.now else None
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
