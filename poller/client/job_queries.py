"""The client's statements on `poller.job` and `poller.run`: each method executes one statement of `sql/`.

The engine has its own in `job_store`. Queries here are for people, and lock nothing; each
order is one statement that checks the state itself. psycopg's errors are raised as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql
from psycopg.rows import class_row, tuple_row

from poller.client.answers import aside
from poller.client.counts import along_indexes
from poller.db.clamped_times import clamp_times
from poller.db.statements import array, statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    import psycopg

    from poller.db.statements import Statement
    from poller.jobs.options import Overlap


# No statement reads more than 12,000 runs, however many there are.
LISTED_JOBS = 100  # that one statement lists
MOST_FUNCTIONS = 10_000  # among whose jobs the soonest are searched
FEW_RUNS = 40  # of each of them that it looks at
LISTED_RUNS = 5000  # that one statement lists
MANY_RUNS = 10_000  # that are counted of one job
_NEWEST = ("infinity", 2**63 - 1)  # before the newest run


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the database has it.

    Attributes:
        function: the declared job whose function its runs call.
        args: as JSON's text.
        declared: by a program; else it is a schedule made at run time.
        planned_to: every slot up to here has been decided.
        next_at: the next slot, if a planner has worked it out.
        exhausted: there are no more slots.
        pending: how many of its runs wait; 10,000 of both are counted.
        running: how many of its runs run.
        last_status: the status of the last run that was started or cancelled.
        last_at: when that ended, or started if it has not ended.
        recent: how many runs were looked at for those two.
        now: the time, by the one clock.
    """

    name: str
    function: str
    schedule: str | None
    tz: str
    after: list[str]
    args: str
    overlap: Overlap
    declared: bool
    starts_at: datetime | None
    ends_at: datetime | None
    anchor: datetime
    planned_to: datetime
    next_at: datetime | None
    exhausted: bool
    paused_at: datetime | None
    paused_until: datetime | None
    pending: int
    running: int
    last_status: str | None
    last_at: datetime | None
    recent: int
    now: datetime


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run.

    Attributes:
        done: how far it has come, as it says itself.
        total: how far it is to come, if it knows.
        seconds: how long it took, or has taken so far.
    """

    id: int
    job: str
    planned_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    status: str
    attempt: int
    error: str | None
    done: float | None = aside()
    total: float | None = aside()
    seconds: float | None = aside()


@dataclass(frozen=True, slots=True)
class FailedDays:
    """On which days runs of a job have failed, and how many; by UTC.

    Attributes:
        days: those with any.
        today: the last of the days that were looked at.
        exact: all were counted; else the newest 10,000, of all that run the same function.
    """

    days: Mapping[date, int]
    today: date
    exact: bool


class RunsBeside(NamedTuple):
    """The numbers of the runs of a job before and after one; None where there is none."""

    before: int | None
    after: int | None


class Printed(NamedTuple):
    """A run, and what it has printed and logged."""

    job: str
    status: str
    output: str | None


class JobQueries:
    """The statements, on one connection in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    # --- listings ---------------------------------------------------------------------------------

    def jobs(self, limit: int | None = None, after: str | None = None) -> list[JobRow]:
        """Return the jobs in the order of their names, from after a name on: all, or up to a limit."""
        found: list[JobRow] = []
        while limit is None or len(found) < limit:
            wanted = LISTED_JOBS if limit is None else min(LISTED_JOBS, limit - len(found))
            page = self._jobs(None, wanted, found[-1].name if found else after)
            found += page
            if len(page) < wanted:
                break
        return found

    def job(self, name: str) -> JobRow | None:
        """Return a job."""
        return next(iter(self._jobs([name], 1)), None)

    def soonest(self, most: int) -> list[JobRow]:
        """Return the jobs whose next slots are the soonest, so many of them, and some without one, in any order."""
        asked = {"most": most, "functions": MOST_FUNCTIONS, "unplanned": LISTED_JOBS}
        with along_indexes(self.connection), self.connection.cursor(row_factory=tuple_row) as cursor:
            names = [row[0] for row in cursor.execute(statement("next_jobs"), asked).fetchall()]
        parts = (names[at : at + LISTED_JOBS] for at in range(0, len(names), LISTED_JOBS))
        return [row for part in parts for row in self._jobs(part, LISTED_JOBS)]

    def names(self) -> list[str]:
        """Return the names of jobs, a thousand at most, to suggest what may have been meant."""
        return list(self._row("job_names", all=True)[0])

    def runs(
        self, job: str | None = None, limit: int | None = None, after: Sequence[Any] | None = None
    ) -> list[RunLine]:
        """Return the newest runs, of one job or of all; if given, only those after this planned time and number."""
        found: list[RunLine] = []
        place: Sequence[Any] = after or _NEWEST
        while limit is None or len(found) < limit:
            wanted = LISTED_RUNS if limit is None else min(LISTED_RUNS, limit - len(found))
            asked = {"job": job, "limit": wanted, "planned_at": place[0], "id": place[1]}
            cursor = self.connection.cursor(row_factory=class_row(RunLine))
            with along_indexes(self.connection), cursor:
                clamp_times(cursor)
                page = cursor.execute(_runs_of(job), asked).fetchall()
            found += page
            if len(page) < wanted:
                break
            place = (page[-1].planned_at, page[-1].id)
        return found

    def newest_runs(self, jobs: Sequence[str], most: int) -> list[RunLine]:
        """Return the newest runs of each of some jobs, so many of one at the most."""
        asked = {"jobs": array(jobs), "most": most}
        cursor = self.connection.cursor(row_factory=class_row(RunLine))
        with along_indexes(self.connection), cursor:
            clamp_times(cursor)
            return cursor.execute(statement("newest_runs_of"), asked).fetchall()

    def run_line(self, number: int) -> RunLine | None:
        """Return a run as it is listed."""
        one = statement("newest_runs", condition=sql.SQL("r.id = %(number)s"), order=sql.SQL("r.id"))
        asked = {"number": number, "limit": 1, "planned_at": _NEWEST[0], "id": _NEWEST[1]}
        with self.connection.cursor(row_factory=class_row(RunLine)) as cursor:
            clamp_times(cursor)
            return cursor.execute(statement("runs", newest=one), asked).fetchone()

    def beside(self, number: int) -> RunsBeside:
        """Return the runs before and after one."""
        return RunsBeside(*(self._along("runs_beside", id=number) or (None, None)))

    def failed_days(self, job: JobRow, days: int) -> FailedDays:
        """Count the failed runs of a job by day."""
        asked = {"name": job.name, "function": job.function, "days": days, "most": MANY_RUNS}
        with along_indexes(self.connection):
            rows = self.connection.execute(statement("failed_days"), asked).fetchall()
        found = {day: failed for day, failed, _ in rows}
        return FailedDays(found, job.now.astimezone(UTC).date(), all(row[2] < MANY_RUNS for row in rows))

    def run(self, number: int) -> Printed | None:
        """Return a run with what it has printed."""
        with self.connection.cursor(row_factory=class_row(Printed)) as cursor:
            return cursor.execute(statement("run"), {"id": number}).fetchone()

    # --- orders -----------------------------------------------------------------------------------

    def trigger(self, job: str, args: str | None) -> int:
        """Insert a run of a job for now, with its own arguments or those given as JSON; return its number."""
        return int(self._row("trigger_run", job=job, args=args)[0])

    def pause(self, name: str, seconds: float | None = None) -> bool:
        """Pause a job, for a time or until it is resumed; tell whether that has changed anything."""
        return self._row("pause_job", name=name, seconds=seconds) is not None

    def resume(self, name: str) -> bool:
        """Resume a job; tell whether it was paused."""
        return self._row("resume_job", name=name) is not None

    def cancel(self, number: int) -> tuple[str, str] | None:
        """Cancel a waiting run, ask a running one to stop; return its job, and its status now.

        None if it has ended, or there is none.
        """
        row: tuple[str, str] | None = self._row("cancel_run", id=number)
        return row

    def remove(self, name: str, *, forsaken: bool) -> bool:
        """Remove a schedule made at run time, or a job that the caller calls forsaken; tell if there was one."""
        return self._row("remove_job", name=name, forsaken=forsaken) is not None

    def cancel_pending(self, name: str) -> int:
        """Cancel a job's waiting runs; return how many."""
        return self.connection.execute(statement("cancel_pending"), {"name": name}).rowcount

    def wake(self) -> None:
        """Wake the workers that wait for something to do."""
        self.connection.execute(statement("wake"))

    def _jobs(self, names: Sequence[str] | None, limit: int | None, after: str | None = None) -> list[JobRow]:
        cursor = self.connection.cursor(row_factory=class_row(JobRow))
        with along_indexes(self.connection), cursor:
            clamp_times(cursor)
            asked = {"names": names and array(names), "limit": limit, "after": after, "few": FEW_RUNS}
            found = cursor.execute(statement("jobs"), asked).fetchall()
        return [self._whole(row) for row in found]

    def _whole(self, row: JobRow) -> JobRow:
        """Return a job, read again with more of its runs where the few newest did not suffice."""
        asked: dict[str, Any] = {"job": row.name, "most": MANY_RUNS}
        if row.pending + row.running == FEW_RUNS:
            pending, running = self._along("unfinished_runs", **asked)
            row = replace(row, pending=pending, running=running)
        if row.last_status is None and row.recent == FEW_RUNS:
            status, at = self._along("last_run", **asked) or (None, None)
            row = replace(row, last_status=status, last_at=at)
        return row

    def _along(self, name: str, /, **asked: Any) -> Any:
        """Return the row of a query that goes along its index, whatever the statistics say: it stops at its limit."""
        with along_indexes(self.connection):
            return self._row(name, **asked)

    def _row(self, name: str, /, **asked: Any) -> Any:
        with self.connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(statement(name), asked).fetchone()


def _runs_of(job: str | None) -> Statement:
    """Return the query for runs: a job's are those with its name and those with its function."""
    conditions = {
        "r.job = any (array[%(job)s])": "r.job desc, r.planned_at desc",
        "r.function = any (array[%(job)s])": "r.function desc, r.planned_at desc, r.id desc",
    }
    if job is None:
        conditions = {"true": "r.planned_at desc, r.id desc"}
    newest = [
        statement("newest_runs", condition=sql.SQL(condition), order=sql.SQL(order))
        for condition, order in conditions.items()
    ]
    return statement("runs", newest=sql.SQL(" union ").join(newest))
