"""A day of jobs, back and ahead: a lane for each, with its runs as bars and its slots as hollow marks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from poller.errors import ConfigurationError
from poller.schedules import slots, wall_clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.client.job_queries import RunLine
    from poller.client.jobs import JobLine

DAY = timedelta(hours=24)
WIDE, LEAST = 1000.0, 3.0  # of the whole lane, and of a run, in the lane's own measure
OFTEN = timedelta(minutes=15)  # slots that are closer are drawn as one band
HALF_HOUR = timedelta(minutes=30)  # clocks are put on at a whole hour or a half one
NO_RUNS = frozenset({"slot", "often", "shift", "earlier"})  # kinds of marks
ENDED_WELL = frozenset({"succeeded", "done"})


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """A run or a slot: where it begins, how long it is, what it is, and what is said of it."""

    x: float
    width: float
    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A job in the picture."""

    name: str
    marks: tuple[TimelineMark, ...]

    @property
    def ran(self) -> str:
        """How many runs are drawn, in words."""
        drawn = sum(each.kind not in NO_RUNS for each in self.marks)
        more = "more than " if any(each.kind == "earlier" for each in self.marks) else ""
        return f"{more}{drawn} run{'' if drawn == 1 else 's'}"

    @property
    def ahead(self) -> str:
        """What is ahead, in words."""
        often = [each.said for each in self.marks if each.kind == "often"]
        return often[0] if often else f"{sum(each.kind == 'slot' for each in self.marks)} slots"


def lanes(jobs: Sequence[JobLine], runs: Sequence[RunLine], now: datetime, most: int) -> list[Lane]:
    """Return a lane for each job that has run within a day or will, in the order of the jobs.

    Args:
        jobs: whose.
        runs: the newest of each.
        now: the middle.
        most: how many of a job there may be; one that has so many may have had more before.
    """
    found, shifts = [], _Shifts(now)
    for job in jobs:
        ran = [_mark(each, now) for each in runs if each.job == job.name]
        ran += _earlier(ran) if len(ran) == most else ()
        marks = tuple(each for each in (*ran, *_ahead(job, now)) if each.x + each.width > 0)
        if marks:
            found.append(Lane(job.name, (*shifts.of(job), *marks)))
    return found


class _Shifts:
    """When clocks are put on or back within the picture, by the zones of schedules."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._known: dict[str, tuple[TimelineMark, ...]] = {}

    def of(self, job: JobLine) -> tuple[TimelineMark, ...]:
        """Return the marks for a job: a slot of its day may be missing there, or come twice."""
        if job.schedule is None or job.schedule.startswith("@"):
            return ()
        if job.tz not in self._known:
            self._known[job.tz] = tuple(self._marks(job.tz))
        return self._known[job.tz]

    def _marks(self, tz: str) -> Iterator[TimelineMark]:
        try:
            zone = wall_clock.zone(tz)
        except ConfigurationError:
            return
        first = (self._now - DAY).replace(minute=0, second=0, microsecond=0)
        for number in range(1, 2 * DAY // HALF_HOUR + 1):
            at = first + number * HALF_HOUR
            before, after = (each.astimezone(zone).utcoffset() for each in (at - HALF_HOUR, at))
            if before is not None and after is not None and before != after:
                said = f"clocks of {tz} go from {at + before:%H:%M} to {at + after:%H:%M}"
                yield TimelineMark(place(at, self._now), LEAST, "shift", said)


def place(at: datetime, now: datetime) -> float:
    """Return where a time is in a lane: now is in the middle."""
    return WIDE / 2 * (1 + (at - now) / DAY)


def hours(now: datetime) -> Iterator[tuple[float, str]]:
    """Yield where each sixth hour is, and its name."""
    first = (now - DAY).replace(minute=0, second=0, microsecond=0)
    for number in range(1, 49):
        at = first + timedelta(hours=number)
        if at.hour % 6 == 0:
            yield place(at, now), f"{at:%H:%M}"


def _earlier(ran: Sequence[TimelineMark]) -> Iterator[TimelineMark]:
    """Yield a band for the runs before those that are drawn, if it is in the picture."""
    first = min(each.x for each in ran)
    if first > 0:
        yield TimelineMark(0.0, first, "earlier", "runs before these are not drawn")


def _mark(run: RunLine, now: datetime) -> TimelineMark:
    begun = run.started_at or run.planned_at
    ended = run.finished_at or (now if run.started_at else begun)
    kind = "run" if run.status in ENDED_WELL else run.status
    x = place(begun, now)
    return TimelineMark(
        x, max(LEAST, place(ended, now) - x), kind, f"run {run.id}: {run.status}, {begun:%H:%M:%S}"
    )


def _ahead(job: JobLine, now: datetime) -> Iterator[TimelineMark]:
    """Yield the slots of a day ahead; those that come often as one band."""
    try:
        schedule = None if job.schedule is None else slots.parse(job.schedule, job.tz)
    except ConfigurationError:
        return
    slot = job.next_at
    if slot is None or slot > now + DAY:
        return
    if schedule is None or isinstance(schedule, slots.FixedDelay):
        yield from [TimelineMark(place(slot, now), LEAST, "slot", f"{slot:%H:%M:%S}")] if slot >= now else []
        return
    first = slot if slot >= now else schedule.next_after(now, slot)
    second = first and schedule.next_after(first, slot)
    if first is not None and second is not None and second - first < OFTEN:
        yield TimelineMark(place(first, now), WIDE - place(first, now), "often", job.when)
        return
    while first is not None and first <= now + DAY:
        yield TimelineMark(place(first, now), LEAST, "slot", f"{first:%H:%M:%S}")
        first = schedule.next_after(first, slot)
