"""Prints metrics in Prometheus' text format. Needs the extra `metrics`: this is the only module that imports it.

Never as OpenMetrics, which Prometheus would rather have: there a counter's family is named without `_total`, so that
`poller_rows_total` and the gauge `poller_rows` would be two families of one name, which readers refuse or mix up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from poller.telemetry.metrics import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from poller.telemetry.metrics import Metric

__all__ = ["CONTENT_TYPE", "Observations", "Sample", "text"]


@dataclass(frozen=True, slots=True)
class Observations:
    """What a histogram has observed: how many values in each bucket, the last one without a bound, and their sum."""

    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A number of a metric, or what a histogram has observed.

    Attributes:
        labels: those of the metric; further ones come after them.
    """

    name: str
    labels: Mapping[str, str]
    value: float | Observations


def text(collect: Callable[[], Iterable[Sample]]) -> bytes:
    """Return metrics as text.

    Args:
        collect: returns the samples.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(collect))
    return generate_latest(registry)


class _Collector:
    """Collects the families of metrics anew each time, as prometheus_client asks for them."""

    def __init__(self, collect: Callable[[], Iterable[Sample]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Any]:
        found: dict[str, list[Sample]] = defaultdict(list)
        for each in self._collect():
            if each.name in BY_NAME:  # a newer version may measure more
                found[each.name].append(each)
        for name, metric in BY_NAME.items():
            if name in found:
                yield _family(metric, found[name])


def _family(metric: Metric, samples: Sequence[Sample]) -> Any:
    further = [name for name in samples[0].labels if name not in metric.labels]
    names = [*metric.labels, *further]
    kinds: dict[str, Any] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    family = kinds[metric.kind](metric.name, metric.help, labels=names)
    for each in samples:
        values = [each.labels.get(name, "") for name in names]
        if isinstance(each.value, Observations):
            family.add_metric(values, _buckets(metric, each.value), each.value.total)
        else:
            family.add_metric(values, each.value)
    return family


def _buckets(metric: Metric, seen: Observations) -> list[tuple[str, float]]:
    bounds = [*map(str, metric.buckets), "+Inf"]
    return list(zip(bounds, map(float, accumulate(seen.counts)), strict=True))
