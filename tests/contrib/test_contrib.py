"""Dashboard, rules and scaler name metrics that are there, with labels that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from poller.telemetry import metrics_text
from poller.telemetry.metrics import BY_NAME
from poller.telemetry.metrics_text import Observations, Sample

TOP = Path(__file__).parents[2]
CONTRIB = TOP / "contrib"
RULES = CONTRIB / "prometheus" / "poller.rules.yml"
DASHBOARD = CONTRIB / "grafana" / "poller.json"
SCALER = CONTRIB / "keda" / "scaled-object.yml"
ALERTS = (
    *("PollerDown", "PollerLag", "PollerFailing", "PollerParked", "PollerJobOverdue", "PollerJobFailing"),
    *("PollerLeasesLost", "PollerThroughputLow"),
)
_USED = re.compile(r"\b(poller_[a-z_]+)(?:\{([^}]*)\})?")


def used(text: str) -> list[tuple[str, set[str]]]:
    """Return the metrics that expressions name, each with the labels that it is asked for."""
    found = []
    for name, matchers in _USED.findall(text):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        found.append((plain, set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers))))
    return found


def expressions() -> dict[Path, str]:
    """Return what each file asks Prometheus for."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return {
        RULES: RULES.read_text(encoding="utf-8"),
        DASHBOARD: "\n".join(asked),
        SCALER: SCALER.read_text(encoding="utf-8"),
    }


def test_each_metric_and_label_that_is_named_is_exported() -> None:
    """In rules, panels and the scaler."""
    for path, text in expressions().items():
        named = used(text)
        assert named, path
        for name, labels in named:
            assert name in BY_NAME, f"{path.name}: {name}"
            assert labels <= set(BY_NAME[name].labels), f"{path.name}: {name}"


def test_the_dashboard_has_eight_panels_and_the_rules_eight_alerts() -> None:
    """Each of the panels asks for something; the states and names that the scaler asks for are measured."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["title"] for panel in panels if panel["targets"]}) == 8
    assert tuple(re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))) == ALERTS
    assert "name = 'due' and labels ->> 'table' = " in SCALER.read_text(encoding="utf-8")


def promtool(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run Prometheus' own checker; say aloud that it is not there."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt-get install prometheus): its checks are left out")
    return subprocess.run([program, *arguments], input=given, capture_output=True, check=False)


def test_prometheus_takes_the_rules_and_each_fires_when_it_should() -> None:
    """On a healthy fleet none does; rules_test.yml has the numbers."""
    for arguments in (
        ("check", "rules", str(RULES)),
        ("test", "rules", str(Path(__file__).with_name("rules_test.yml"))),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_has_no_advice_for_the_metrics() -> None:
    """On names, units, kinds and help, of all that there are."""
    samples = [
        Sample(
            each.name,
            dict.fromkeys(each.labels, 'x"\\\n'),
            Observations([1] * (len(each.buckets) + 1), 1.0) if each.buckets else 1.0,
        )
        for each in BY_NAME.values()
    ]
    done = promtool("check", "metrics", given=metrics_text.text(lambda: samples))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
