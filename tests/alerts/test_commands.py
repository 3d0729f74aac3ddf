"""`poller alerts`, `alerts test`, `silence`, and what `check` and `run` refuse; nothing prints an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import poller
from poller import job
from poller.alerts.survey import found
from tests.alerts.stage import Stage
from tests.command_line import objects, the_line

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project
    from tests.website import Server

SECRET = "https://user:hunter2hunter2@example.org/T0K3NT0K3N"  # an address
JOB = """
from poller import Alert, cron
@cron("0 3 * * *", {options})
def backup(): ...
"""


@job(name="billing.close")
def close() -> None:
    raise ValueError


def test_episodes_notices_and_silences_are_shown_and_ordered(
    here: InProcess, url: str, db: psycopg.Connection[object], site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command line as by the client; what is silenced is told once that has ended."""
    assert here.run("alerts").stdout == "nothing goes wrong\n"
    with Stage(url, site, monkeypatch, close) as stage:
        line = the_line(here.run("silence", "biling", "2h"), status=1)
        assert line.startswith("no job or handler is named 'biling'; known: billing.close")
        assert "poller.run" not in line
        assert the_line(here.run("silence", "", "2h"), status=1).startswith("no job or handler is named ''")
        db.execute("insert into poller.handler (table_name, status) values ('public.t', E'a\\nb')")
        db.execute("insert into poller.job (name, function, declared) values ('t:job', 'f', false)")
        stage.alerting._store.open_episodes([found("handler", "public.t:a\nb", "parked", [])])
        [told] = here.run("silence", "t", "1m").stdout.splitlines()
        assert told.endswith(r": public.t:a\nb")
        db.execute("delete from poller.episode")
        assert here.run("silence", "t", "--end").returncode == 0
        ended = here.run("silence", "billing.*", "2h", "--reason", "migration")
        assert ended.stdout.startswith("silenced until ")
        stage.engine.trigger(close)
        stage.engine.run_due()
        assert stage.tell() == []
        [line] = objects(here.run("alerts", "--json"))
        assert (line["subject"], line["kind"], line["silent"], line["notices"]) == (
            "billing.close",
            "failed",
            True,
            [],
        )
        shown = here.run("alerts").stdout
        assert "silent" in shown
        assert "billing.*: migration" in shown
        assert here.run("silence", "billing.*", "0").stdout == "billing.* is not silenced any more\n"
        assert the_line(here.run("silence", "billing.*", "--end"), status=1) == "'billing.*' is not silenced"
        [notice] = stage.tell()
        assert notice["reason"] == "opened"
    [episode] = poller.Client(url).alerts().items
    [told] = episode.notices
    assert (told.target, told.number, told.reason, told.state) == ("oncall", 1, "opened", "sent")
    orders = [(each.action, each.target, each.affected) for each in poller.Client(url).actions().items]
    assert orders == [
        ("silence", "billing.*", 0),
        ("silence", "billing.*", 1),
        ("silence", "t", 0),
        ("silence", "t", 1),
    ]


def test_a_target_is_tried(
    here: InProcess, site: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """0 if the message has arrived, 1 if not, 2 if there is nothing to send to."""
    assert "no section alerts" in the_line(here.run("alerts", "test", "oncall"))
    with open("poller.toml", "w") as file:  # noqa: PTH123 - in the folder of the test
        file.write('[alerts.targets.oncall]\nurl = "env:ONCALL"\n')
    assert (
        the_line(here.run("alerts", "test", "oncall"))
        == "alerts.targets.oncall: the variable ONCALL is not set"
    )
    assert "did you mean 'oncall'?" in the_line(here.run("alerts", "test", "oncal"))
    monkeypatch.setenv("ONCALL", site.at("/T0K3N"))
    assert here.run("alerts", "test", "oncall").stdout == "oncall was reached\n"
    site.at("/T0K3N", 503)
    assert (
        the_line(here.run("alerts", "test", "oncall"), status=1)
        == "oncall was not reached: the answer was 503"
    )
    for address, why in (
        ("http://T0K3N.invalid", "does not resolve"),
        ("http://localhost:1/T0K3N", "was refused"),
    ):
        monkeypatch.setenv("ONCALL", address)
        line = the_line(here.run("alerts", "test", "oncall"), status=1)
        assert why in line
        assert "T0K3N" not in line
    monkeypatch.setenv("ONCALL", site.url("/T0K3N"))
    with pytest.raises(poller.PollerError, match="the answer was 503") as refused:
        poller.Client.try_target("oncall", {"targets": {"oncall": {"url": "env:ONCALL"}}})
    assert refused.value.exit_status == 1
    monkeypatch.setenv("ONCALL", "T0K3N:nothing")
    assert "T0K3N" not in the_line(here.run("alerts", "test", "oncall"))


@pytest.mark.parametrize(
    ("options", "settings", "says"),
    [
        ("", f'targets.a.url = "{SECRET}"', "alerts.targets.a.url must say where the address is"),
        ("", f'heartbeat = "{SECRET}"', "alerts.heartbeat must say where the address is"),
        (f'ping="{SECRET}"', "", "ping must say where the address is"),
        ('alerts="oncal"', 'targets.oncall.url = "env:ONCALL"', "did you mean 'oncall'?"),
        ('alerts="oncall"', "", "add [alerts.targets.oncall] to the settings"),
        ("", 'to = "nobody"', "names the target 'nobody'"),
        ("", "repeats = 1", "did you mean repeat?"),
        ("", 'group = "soon"', "alerts.group must be a duration"),
        ("", "after = 0", "alerts.after must be a whole number from 1"),
        ("", 'routes = [{jobs = 5, to = "x"}]', "alerts.routes must have jobs"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(
    project: Project, options: str, settings: str, says: str
) -> None:
    """In one line, which does not repeat what may be a secret."""
    project.handlers(JOB.format(options=options))
    (project.folder / "poller.toml").write_text(f"[alerts]\n{settings}\n" if settings else "")
    for command in ("check", "run"):
        line = the_line(project.run(command))
        assert says in line
        assert "hunter2" not in line
        assert "T0K3N" not in line


def test_a_run_needs_the_address_of_each_target(project: Project) -> None:
    """A check does not: it may run elsewhere."""
    project.handlers(JOB.format(options='alerts="oncall"'))
    (project.folder / "poller.toml").write_text('[alerts.targets.oncall]\nurl = "file:/nowhere/at/all"\n')
    assert project.run("check").returncode == 0
    line = the_line(project.run("run"))
    assert line == "alerts.targets.oncall: the file /nowhere/at/all cannot be read: No such file or directory"
