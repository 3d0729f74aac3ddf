"""Dashboard, rules and scaler name metrics that are there, with labels that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client
from poller.telemetry import metrics_text
from poller.telemetry.metrics import BY_NAME, FLEET
from poller.telemetry.metrics_text import Observations, Sample
from poller.testing import Engine
from tests.command_line import make_tenants
from tests.engines import moves

if TYPE_CHECKING:
    import psycopg

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


def test_the_dashboard_is_one_that_grafana_can_draw() -> None:
    """As far as that can be seen without it: what it refers to is there, and no panel covers another."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {each["type"] for each in variables.values()} <= {"datasource", "query"}
    panels = dashboard["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    cells: list[tuple[int, int]] = []
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells += [
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len({each["refId"] for each in panel["targets"]}) == len(panel["targets"])
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            grouped = " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(re.findall(r"\w+", grouped))
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
        named = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
        shown = [
            each["options"].get("renameByName", {}).values() for each in panel.get("transformations", ())
        ]
        assert named <= {name for names in shown for name in names}
    assert len(cells) == len(set(cells)), "panels that lie on each other"


def test_prometheus_can_parse_what_the_panels_ask(tmp_path: Path) -> None:
    """With Grafana's variables in place; no number of the fleet is taken for another database's."""
    rules = []
    for number, expression in enumerate(expressions()[DASHBOARD].splitlines()):
        plain = expression.replace("$table", ".*").replace("$__rate_interval", "5m")
        rules.append({"record": f"panel:{number}", "expr": plain})
        for name in re.findall(r"poller_\w+", expression):
            assert name not in {each.name for each in FLEET} or "database" in expression, expression
    file = tmp_path / "rules.json"  # which is YAML, too
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scaler_asks_a_real_database(url: str, db: psycopg.Connection[Any]) -> None:
    """Its query gives one number, as KEDA needs it: what is due of the table, and 0 where nothing is known of it."""
    text = SCALER.read_text(encoding="utf-8")
    found = re.search(r"query: >-\n(.*?)\n +targetQueryValue", text, re.DOTALL)
    assert found is not None
    query = found[1].replace("%", "%%")

    def asked() -> list[tuple[Any, ...]]:
        return db.execute(query, ()).fetchall()

    assert asked() == [(0.0,)]
    make_tenants(db, *["pending"] * 3, *["closing"] * 2)
    db.execute("alter table tenants rename to orders; create index on orders (status, id)")
    with Engine(url, moves("orders"), moves("orders", status="closing", to="closed")):
        Client(url).gauges()
    assert asked() == [(5.0,)]
    db.execute("update poller.gauge set at = at - interval '2 minutes'")
    assert asked() == [(0.0,)], "nobody has measured"


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
