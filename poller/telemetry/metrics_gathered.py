"""Numbers of a process, gathered from events: counters and histograms, and how they get from a worker to its supervisor.

The model. A worker gathers for some seconds, and sends what it has as lines of JSON through the pipe of its signs: one
line a series, so short that the kernel writes it as a whole or not at all. Its supervisor adds them up over all workers
and all of their processes. What a worker that is killed has not sent is lost; counts of the fleet are not among it.

Threads. Any: each batch of observations takes the lock once.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

from poller.telemetry.events import ClaimLost, LeaseLost, RowsClaimed, RowsSettled
from poller.telemetry.metrics import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.telemetry.events import Event

MOST_BYTES = 4096  # PIPE_BUF of Linux: a write of so many is whole
RUNS = "poller.run:"  # before a job's name in the names of handlers
_WORDS = {"retrying": "retried"}  # as the fleet's totals have it

Series = tuple[str, tuple[str, ...]]


class Gathered:
    """Series by name and labels: the counts of a histogram's buckets and the sum, or a counter alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Series, list[float]] = {}

    def observe(self, name: str, labels: tuple[str, ...], values: Sequence[float]) -> None:
        """Add values to a histogram."""
        bounds = BY_NAME[name].buckets
        with self._lock:
            series = self._series.get((name, labels))
            if series is None:
                series = self._series[name, labels] = [0] * (len(bounds) + 2)
            for value in values:
                series[bisect_left(bounds, value)] += 1
            series[-1] += sum(values)

    def add(self, name: str, labels: tuple[str, ...], numbers: Sequence[float]) -> None:
        """Add to a counter, or what another has gathered to a histogram."""
        with self._lock:
            series = self._series.get((name, labels))
            if series is None:
                self._series[name, labels] = [*numbers]
            else:
                series[:] = map(sum, zip(series, numbers, strict=True))

    def put(self, name: str, labels: tuple[str, ...], numbers: Sequence[float]) -> None:
        """Set a gauge."""
        with self._lock:
            self._series[name, labels] = [*numbers]

    def take(self) -> dict[Series, list[float]]:
        """Return what was gathered, and begin anew."""
        with self._lock:
            taken, self._series = self._series, {}
        return taken

    def seen(self) -> dict[Series, list[float]]:
        """Return a copy of what was gathered."""
        with self._lock:
            return {key: [*series] for key, series in self._series.items()}

    def hear(self, event: Event) -> None:
        """Gather from an event: a subscriber."""
        match event:
            case RowsSettled():
                self._settled(event)
            case RowsClaimed():
                labels = event.table, event.status
                if not event.handler.startswith(RUNS):
                    self.observe("poller_claim_duration_seconds", labels, [event.seconds])
                    self.observe("poller_claim_rows", labels, [event.rows])
            case LeaseLost():
                self.add("poller_leases_lost_total", (), [1])
            case ClaimLost():
                self.add("poller_leases_lost_total", (), [event.rows])

    def _settled(self, event: RowsSettled) -> None:
        if event.handler.startswith(RUNS):
            job = (event.handler.removeprefix(RUNS),)
            for outcome in ("moved", "failed", "parked"):
                if event.outcomes.get(outcome):
                    self.observe("poller_run_duration_seconds", job, event.seconds[outcome])
            if event.pickup_seconds:
                self.observe("poller_run_lateness_seconds", job, event.pickup_seconds)
            return
        labels = event.table, event.status
        for outcome, seconds in event.seconds.items():
            named = (*labels, _WORDS.get(outcome, outcome))
            self.observe("poller_handler_duration_seconds", named, seconds)
        if event.pickup_seconds:
            self.observe("poller_pickup_seconds", labels, event.pickup_seconds)
        if event.write_seconds is not None:
            self.observe("poller_settle_duration_seconds", labels, [event.write_seconds])


def lines(series: dict[Series, list[float]]) -> Iterator[tuple[Series, list[float], bytes]]:
    """Yield series with their lines; one with labels that are too long for a line is left out."""
    for (name, labels), numbers in series.items():
        line = json.dumps([name, labels, [round(each, 6) for each in numbers]]).encode() + b"\n"
        if len(line) <= MOST_BYTES:
            yield (name, labels), numbers, line


def parsed(line: bytes) -> tuple[str, tuple[str, ...], list[float]]:
    """Return the name, the labels and the numbers of a line.

    Raises:
        ValueError: it is none, or that of a version that has the metric otherwise.
        KeyError: the metric is another version's.
    """
    name, labels, numbers = json.loads(line)
    metric = BY_NAME[name]
    many = len(metric.buckets) + 2 if metric.buckets else 1
    if (len(labels), len(numbers)) != (len(metric.labels), many):
        raise ValueError(name)
    return name, tuple(labels), numbers
