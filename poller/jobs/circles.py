"""Finds jobs that run after each other in a circle: one success would start them for ever, at full speed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from poller.jobs.job import Job


class Circle(NamedTuple):
    """A job that runs after itself, and by way of which others, in words."""

    job: Job
    words: str


def circles(jobs: Iterable[Job], others: Mapping[str, Collection[str]]) -> Iterator[Circle]:
    """Return the circles that jobs are in, each once.

    Args:
        jobs: those that this program declares.
        others: after which jobs those of other programs run, by their names.
    """
    jobs = list(jobs)
    places = {job.name: _line(job) for job in jobs}
    after = {**others, **{job.name: job.options.after for job in jobs}}
    told: set[str] = set()
    for job in jobs:
        way = [] if job.name in told else _way_round(job.name, after)
        if way:
            told.update(way)
            between = [f"{name!r} ({places.get(name, 'of another program')})" for name in way[1:-1]]
            yield Circle(job, " after ".join([repr(job.name), *between, repr(job.name)]))


def _line(job: Job) -> str:
    """Return the file and line of a job's place, without the name that stands behind them."""
    return job.place.rpartition(" (")[0] or job.place


def _way_round(name: str, after: Mapping[str, Collection[str]]) -> list[str]:
    """Return the shortest way from a job to itself, each after the next; nothing if there is none."""
    led_by: dict[str, str] = {}  # which job led to which
    waiting = deque([name])
    while waiting:
        here = waiting.popleft()
        for other in after.get(here, ()):
            if other == name:
                return [*_way_to(here, led_by), name]
            if other not in led_by:
                led_by[other] = here
                waiting.append(other)
    return []


def _way_to(name: str, led_by: Mapping[str, str]) -> list[str]:
    way = [name]
    while way[-1] in led_by:
        way.append(led_by[way[-1]])
    return way[::-1]
