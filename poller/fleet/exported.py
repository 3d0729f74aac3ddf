"""What a supervisor exports: the fleet's numbers as they are in the database, and those of its own workers."""

from __future__ import annotations

from collections import Counter
from importlib import metadata
from typing import TYPE_CHECKING

from poller.telemetry.metrics import BY_NAME
from poller.telemetry.metrics_text import Observations, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.fleet.site import Site
    from poller.telemetry.metrics_gathered import Gathered


def samples(sites: Sequence[Site], gathered: Gathered) -> Iterator[Sample]:
    """Yield the numbers of the fleet, and of the processes of this supervisor."""
    for site in sites:
        # With several databases, the same table may be in two of them.
        database = {"database": site.label} if site.label else {}
        for each in site.gauges:
            yield Sample(each.metric, each.metric_labels | database, each.value)
    yield from _of_process(gathered)
    children = [child for site in sites for child in site.children]
    slots: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for child in children:
        slots.update(dict(child.gauges))
    for (name, labels), value in slots.items():
        yield Sample(name, dict(zip(BY_NAME[name].labels, labels, strict=True)), value)
    yield Sample("poller_worker_restarts_total", {}, sum(child.restarts for child in children))
    for name in ("poller_build_info", "poller_up"):
        yield Sample(name, {"version": _version()}, 1)


def _of_process(gathered: Gathered) -> Iterator[Sample]:
    found = {("poller_leases_lost_total", ()): [0.0], **gathered.seen()}
    for (name, labels), numbers in found.items():
        metric = BY_NAME[name]
        named = dict(zip(metric.labels, labels, strict=True))
        if metric.kind == "histogram":
            yield Sample(name, named, Observations([int(each) for each in numbers[:-1]], numbers[-1]))
        else:
            yield Sample(name, named, numbers[0])


def _version() -> str:
    try:
        return metadata.version("poller")
    except metadata.PackageNotFoundError:  # it runs from its sources
        return "unknown"
