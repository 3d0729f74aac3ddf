"""Plans the slots of jobs: for each slot that has come, one row of `poller.run`.

The model. A job's row holds the time up to which its slots are decided, and the time of its next slot. A round locks the
rows of due jobs, reads the database's clock, counts their unfinished runs, enters their new runs and advances the rows,
all in one transaction, for up to a thousand jobs at once. The unique key (job, planned_at) ensures that a slot fires
once, not the locks: those let the count see what the previous planner has committed. Jobs that another planner has
locked are skipped, even if that planner was stopped in the middle.

The leader. Of the supervisors that know the same jobs, the one that planned last looks at each slot's time; the others
look once a second, and plan only slots that are overdue by `LATE_SECONDS`. So the cost of a slot does not grow with the
number of supervisors. When a leader is gone, or lacks a job's time zone, another supervisor plans the slots it has left.

What may be trusted: only the database's clock, read in the round that uses it. A planner that was suspended finds
several slots; the misfire policy decides which of them run, and no policy looks at more slots than it enters. A clock
that went back by more than a minute had run ahead: slots planned by it are planned again.

On failure: each job fails alone. A job that cannot be planned here (its time zone is not known, its row cannot be read,
a trigger refuses its runs) is put aside, named in the log, and tried again after a while, or as soon as its row changes.
Other supervisors may be able to plan it.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from poller.db.statements import array
from poller.errors_in_words import reason
from poller.jobs import job_store
from poller.jobs.job_store import Plan, PlannedRun, Unfinished
from poller.jobs.runtime_schedules import refuse_haste
from poller.runtime.failpoints import reach
from poller.schedules import slots
from poller.telemetry.bus import emit
from poller.telemetry.events import ClockSetBack, JobUnplannable, RunPlanned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.db.connection import Link
    from poller.jobs.job import Job
    from poller.jobs.job_store import DueJob, PlannerLook
    from poller.jobs.options import Overlap
    from poller.schedules.slots import Schedule

    Enter = Callable[[psycopg.Connection[object], Sequence[Plan]], dict[str, int]]

MOST_JOBS = 1000  # planned in one transaction
MOST_ON_TIME = 1000  # slots that are entered at once, if they are not too late
CATCH_UP = {
    "latest": 1,
    "all": 100,
    "skip": 0,
}  # how many of the slots that are too late run, by misfire policy
LONGEST_WAIT_SECONDS = 1.0  # a job may be added, resumed or edited meanwhile
LONGEST_WAIT_HEARING_SECONDS = 10.0  # the same, while notifications announce such changes
AGAIN_SECONDS = 0.1  # while another planner has locked the rows of jobs
SPACING_SECONDS = 0.05  # between two looks: what becomes due meanwhile is planned together
LATE_SECONDS = 0.5  # that the leader has for a slot, before another supervisor plans it
ASIDE_SECONDS = 60.0  # until a job that could not be planned is tried again
SET_BACK_SECONDS = 60.0  # by which a clock must have gone back to have run ahead


class Scheduler:
    """Plans the jobs whose functions this process knows.

    Args:
        link: a connection of its own.
        jobs: the declared jobs.
        hears: returns whether notifications of changed jobs arrive, which wake the scheduler.
        supervisor: the id of its supervisor.
    """

    def __init__(
        self,
        link: Link,
        jobs: Sequence[Job],
        hears: Callable[[], bool] = lambda: False,
        supervisor: uuid.UUID | None = None,
    ) -> None:
        self._link = link
        self._hears = hears
        self._supervisor = supervisor or uuid.uuid4()
        self._names = sorted(job.name for job in jobs)
        self._digest = hashlib.sha256("\n".join(self._names).encode()).hexdigest()
        self._aside: dict[str, float] = {}  # until when, by name and version
        self._complaints: dict[str, str] = {}
        self._now = 0.0  # the database's clock at the last look
        self.leads = True

    def run_once(self) -> float:
        """Plan what is due. Returns the seconds until something may be."""
        connection = self._link.connection
        longest = (
            LONGEST_WAIT_HEARING_SECONDS if self._hears() else LONGEST_WAIT_SECONDS
        )  # asked before the look
        look = job_store.look(connection, array(self._names), array(self._aside), self._digest)
        self._heed_clock(connection, look.now)
        self.leads = look.leader in (None, self._supervisor)
        if not self.leads:
            longest = LONGEST_WAIT_SECONDS
        wait = longest if look.wait is None else look.wait + (0.0 if self.leads else LATE_SECONDS)
        if wait > 0:
            return min(longest, wait)
        try:
            planned = self._plan(connection, look, self._enter)
        except psycopg.Error:
            if connection.closed:
                raise
            planned = self._plan(connection, look, self._enter_apart)
        return 0.0 if planned else AGAIN_SECONDS

    def recover(self) -> None:
        """Start over on a new connection."""
        self._link.close()

    def _plan(self, connection: psycopg.Connection[object], look: PlannerLook, enter: Enter) -> int:
        """Plan what is due, in one transaction; return how many jobs had something to plan, or a pause that ended."""
        with connection.transaction():
            ended = job_store.end_pauses(connection, array(self._names)) if look.pause_is_over else 0
            due = self._due(connection)
            if due and look.leader != self._supervisor:
                job_store.lead(connection, self._digest, self._supervisor)
            plans = self._decided(connection, due)
            entered = enter(connection, plans)
            reach("plan entered")
        reach("plan committed")
        _tell(plans, entered)
        return len(due) + ended

    def _due(self, connection: psycopg.Connection[object]) -> list[DueJob]:
        # In random order each time, so that the first functions do not keep the others waiting.
        known = array(random.sample(self._names, len(self._names)))
        return job_store.due_jobs(connection, known, array(self._aside), MOST_JOBS)

    def _decided(self, connection: psycopg.Connection[object], due: Sequence[DueJob]) -> list[Plan]:
        """Decide what becomes of jobs whose rows are locked; one that cannot be planned is put aside."""
        limited = [job.name for job in due if job.overlap in ("skip", "queue")]
        unfinished = job_store.unfinished(connection, limited) if limited else {}
        plans = []
        for job in due:
            try:
                plans.append(decide(job, unfinished.get(job.name, Unfinished())))
            except Exception as error:  # noqa: BLE001 - one bad row must not keep the others from being planned
                self._lay_aside(job, error)
        return plans

    def _enter(self, connection: psycopg.Connection[object], plans: Sequence[Plan]) -> dict[str, int]:
        """Enter runs and advance the jobs' rows; return how many runs were new, by the job's name."""
        replaced = [each.job.name for each in plans if each.runs and each.job.overlap == "replace"]
        if replaced:
            job_store.supersede(connection, replaced)
        entered = job_store.enter_runs(connection, plans)
        if plans:
            job_store.planned(connection, plans)
        return entered

    def _enter_apart(self, connection: psycopg.Connection[object], plans: Sequence[Plan]) -> dict[str, int]:
        """The same; find what Postgres refuses by halving, and put it aside."""
        try:
            with connection.transaction():
                return self._enter(connection, plans)
        except psycopg.Error as error:
            if connection.closed:
                raise
            if len(plans) == 1:
                self._lay_aside(plans[0].job, error)
                return {}
            middle = len(plans) // 2
            halves = [self._enter_apart(connection, part) for part in (plans[:middle], plans[middle:])]
            return halves[0] | halves[1]

    # --- jobs that are put aside ------------------------------------------------------------------------

    def _lay_aside(self, job: DueJob, error: Exception) -> None:
        self._aside[f"{job.name} {job.version}"] = self._now + ASIDE_SECONDS
        why = reason(error)
        if self._complaints.get(job.name) != why:
            self._complaints[job.name] = why
            emit(JobUnplannable(job=job.name, error=why))

    # --- the clock ----------------------------------------------------------------------------------------

    def _heed_clock(self, connection: psycopg.Connection[object], now: float) -> None:
        """Plan again what was planned by a clock that ran ahead; try jobs that were put aside long enough again."""
        if now < self._now - SET_BACK_SECONDS:
            names = job_store.set_back(connection)
            went = self._now - now
            emit(ClockSetBack(seconds=went, jobs=len(names)))
            self._aside.clear()
        self._now = now
        self._aside = {version: until for version, until in self._aside.items() if until > now}


def _tell(plans: Sequence[Plan], entered: dict[str, int]) -> None:
    for plan in plans:
        many = entered.get(plan.job.name, 0)
        if many:
            emit(RunPlanned(job=plan.job.name, runs=many, latest=plan.runs[-1].slot))


def decide(job: DueJob, unfinished: Unfinished) -> Plan:
    """Decide which runs of a job to enter now, and when its next slot is.

    Raises:
        ConfigurationError: this version does not know the kind of its schedule.
    """
    schedule = slots.parse(job.schedule, job.tz)
    if job.function != job.name:  # made at run time, perhaps by an INSERT
        refuse_haste(schedule)
    due = due_slots(job, schedule)
    statuses = decide_overlap(job.overlap, len(due), pending=unfinished.pending, running=unfinished.running)
    delays = [random.uniform(0, job.jitter) if job.jitter else 0.0 for _ in due]  # noqa: S311 - to spread, not to hide
    following = next_slot(job, schedule)
    # The next slot of a fixed delay depends on the end of this run, if there is one.
    waits = bool(due) and isinstance(schedule, slots.FixedDelay)
    runs = [PlannedRun(*each) for each in zip(due, delays, statuses, strict=True)]
    return Plan(job, runs, following, exhausted=following is None and not waits)


def due_slots(job: DueJob, schedule: Schedule) -> list[datetime]:
    """Return the slots of a job to enter now, oldest first; their number is bounded."""
    until = job.now if job.ends_at is None else min(job.now, job.ends_at)
    if isinstance(schedule, slots.FixedDelay):
        slot = job.next_at or job.now
        slot = slot if job.starts_at is None else max(slot, job.starts_at)
        return [slot] if slot <= until else []
    after = job.planned_to if job.next_at is None else job.next_at - timedelta.resolution
    if job.starts_at is not None:
        after = max(after, job.starts_at - timedelta.resolution)
    # All slots within the grace time run; of the earlier ones, as many as the misfire policy allows.
    on_time = job.now - timedelta(seconds=job.grace) - timedelta.resolution
    late = schedule.slots_between(after, min(on_time, until), job.anchor, CATCH_UP[job.misfire])
    return late + schedule.slots_between(max(after, on_time), until, job.anchor, MOST_ON_TIME)


def next_slot(job: DueJob, schedule: Schedule) -> datetime | None:
    """Return the next slot after now; None if there is none, or if it depends on the end of a run."""
    if isinstance(schedule, slots.FixedDelay):
        return job.starts_at if job.starts_at is not None and job.starts_at > job.now else None
    after = job.now if job.starts_at is None else max(job.now, job.starts_at - timedelta.resolution)
    slot = schedule.next_after(after, job.anchor)
    return None if slot is None or (job.ends_at is not None and slot > job.ends_at) else slot


def decide_overlap(overlap: Overlap, count: int, *, pending: int, running: int) -> list[str]:
    """Return the status of each of `count` new runs, in order, given the job's unfinished ones.

    If not all of them may run, the newest do: of missed runs, users want the last.
    """
    match overlap:
        case "allow":
            return ["pending"] * count
        case "skip":
            room = int(pending + running == 0)
        case "queue":
            room = int(pending == 0) + int(pending + running == 0)
        case "replace":
            room = 1
    return ["skipped"] * max(0, count - room) + ["pending"] * min(room, count)
