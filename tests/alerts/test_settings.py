"""Whom the settings say to tell; and what is done once over the fleet: surveys, and the heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Alert, ConfigurationError, job
from poller.cli import settings as files
from poller.targets.settings import parse
from tests.alerts.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.website import Server

SECTION = """
to = "oncall"
repeat = "never"
[alerts.targets]
oncall.url = "env:ONCALL"
billing.url = "file:/run/secrets/billing"
[[alerts.routes]]
jobs = "billing.*"
to = ["billing", "oncall"]
[[alerts.routes]]
jobs = "billing.test"
to = []
[[alerts.routes]]
handlers = "orders:p?id"
to = "billing"
[[alerts.routes]]
handlers = "shop.orders"
to = "billing"
"""


@job()
def idle() -> None: ...


@pytest.mark.parametrize(
    ("of", "named", "told"),
    [
        (("job", "billing.close"), None, ("billing", "oncall")),
        (("job", "billing.test"), None, ("billing", "oncall")),
        (("job", "backup"), None, ("oncall",)),
        (("job", "backup"), (), ()),
        (("job", "billing.close"), ("oncall",), ("oncall",)),
        (("handler", "public.orders:paid"), None, ("billing",)),
        (("handler", "public.orders:unpaid"), None, ("oncall",)),
        (("handler", "shop.orders:new"), None, ("billing",)),
        (("handler", "billing.close:new"), None, ("oncall",)),
        (("host", "billing.close"), None, ("oncall",)),
    ],
)
@pytest.mark.parametrize("file", ["poller.toml", "pyproject.toml"])
def test_the_option_then_the_first_route_then_the_default(
    tmp_path: Path, file: str, of: tuple[str, str], named: tuple[str, ...] | None, told: tuple[str, ...]
) -> None:
    """From either file."""
    text = f"[alerts]\n{SECTION}"
    if file == "pyproject.toml":
        text = text.replace("[alerts", "[tool.poller.alerts")
    (tmp_path / file).write_text(text)
    found = files.read(tmp_path)
    assert found is not None
    made = parse(found.sections["alerts"], found.file)
    assert made.targets_of(*of, named) == told
    assert made.repeat is None


def test_one_supervisor_surveys_and_beats(url: str, site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that know the same; the other one does when its time has come."""
    monkeypatch.setenv("HC", site.at("/hc"))
    with (
        Stage(url, site, monkeypatch, idle, heartbeat="env:HC") as one,
        Stage(url, site, monkeypatch, idle, heartbeat="env:HC") as other,
    ):
        surveys = []
        for each in (one, other):
            monkeypatch.setattr(each.alerting, "survey", lambda each=each: surveys.append(each))
        for expected in (1, 2):
            for each in (one, other):
                each.alerting._survey_at = each.alerting._beat_at = 0.0
                each.tell()
                each.alerting._senders.wait([":heartbeat"], 5)
            assert len(surveys) == expected
            assert [each.path for each in site.received] == ["/hc"] * expected
            one.advance("1m")
            other.advance("1m")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"parked": 0}, "parked must be a whole number from 1"),
        ({"parked": 10_001}, "to 10,000, got 10001"),
        ({"oldest": "soon"}, "is not a duration"),
        ({"oldest": "0s"}, "oldest must be more than 0s"),
        ({"failing": 1.5}, "failing must be a share"),
        ({"failing": True}, "failing must be a share"),
        ({"to": 5}, "alerts must be the name of a target"),
        ({"to": ["a", ""]}, "alerts must be the name of a target"),
    ],
)
def test_an_alert_that_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    """By its option."""
    with pytest.raises(ConfigurationError, match=says):
        Alert(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expect": "31d"}, "expect must be more than 0s and less than keep"),
        ({"ping": "https://example.org"}, "ping must say where the address is"),
        ({"ping": "env: "}, "ping must say where the address is"),
        ({"alerts": 5}, "alerts must be the name of a target"),
    ],
)
def test_options_of_jobs_that_cannot_work_are_refused(options: dict[str, Any], says: str) -> None:
    """Where they are written."""
    with pytest.raises(ConfigurationError, match=rf"test_settings.py:\d+: {says}"):
        job(**options)
