"""`poller metrics`."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import typer

from poller.cli.command_client import client
from poller.cli.options import Database
from poller.errors import ConfigurationError
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.telemetry import metrics_text
else:  # it needs the extra
    metrics_text = lazy("poller.telemetry.metrics_text")


def metrics(*, database: Database = None) -> None:
    """Print the fleet's numbers in Prometheus' text format.

    They are the same as those of each poller run --listen, which has its own workers' numbers beside them.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        msg = "metrics need prometheus_client; run: pip install 'poller[metrics]'"
        raise ConfigurationError(msg)
    found = client(database).gauges().items
    samples = [metrics_text.Sample(each.metric, each.metric_labels, each.value) for each in found]
    typer.echo(metrics_text.text(lambda: samples).decode(), nl=False)
