"""Two supervisors, one of which is killed just after it has sent a message and before it could say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from poller.runtime.failpoints import VARIABLE
from tests.command_line import value
from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project
    from tests.website import Received, Server

HANDLERS = """
import sys
from poller import job

@job()
def first():
    sends = {"apprise", "httpx2", "poller.targets.sending"} & sys.modules.keys()
    raise (SystemError if sends else ValueError)("CANARY")

@job()
def second(): raise KeyError("CANARY")

@job()
def third(): raise OSError("CANARY")
"""
SETTINGS = """
workers = 1
[alerts]
to = "oncall"
group = "1s"
targets.oncall.url = "env:ONCALL"
"""
RUNS = 60  # of each job


def test_each_episode_is_told_once_and_nothing_is_lost(
    project: Project, db: psycopg.Connection[Any], site: Server
) -> None:
    """Three jobs fail often: three episodes, each told when it opened; a message that comes again has its key."""
    project.handlers(HANDLERS)
    (project.folder / "poller.toml").write_text(SETTINGS)
    killed = project.folder / "killed"
    extra = {"ONCALL": site.at("/T0K3N"), VARIABLE: f"message sent=kill@{killed}"}
    fleet = [project.start("run", **extra) for _ in range(2)]
    for each in fleet:
        each.wait_for_log("is ready")
    db.execute(
        "insert into poller.run (job, function, planned_at)"
        " select j, j, now() - interval '1 s' * i from unnest(array['first', 'second', 'third']) as j,"
        " generate_series(1, %s) as i",
        [RUNS],
    )
    wait_until("one is killed", killed.exists)
    wait_until("it has ended", lambda: sum(each.popen.poll() is not None for each in fleet) == 1)
    wait_until(
        "all runs have failed",
        lambda: value(db, "select count(*) from poller.run where status <> 'failed'") == 0,
    )
    assert value(db, "select count(*) from poller.message where state = 'waiting'") >= 1
    db.execute("update poller.message set next_at = now() where state = 'waiting'")
    wait_until("all is told", lambda: value(db, _ALL_TOLD))
    for each in fleet:
        each.end()
    _hold(db, [each for each in site.received if each.path == "/T0K3N"])
    for each in fleet:
        assert "T0K3N" not in each.log
    dumped = value(
        db,
        "select string_agg(x::text, '') from (select to_jsonb(e) as x from poller.episode as e"
        " union all select to_jsonb(m) from poller.message as m"
        " union all select to_jsonb(n) from poller.notice as n) as t",
    )
    assert "T0K3N" not in dumped
    assert "CANARY" not in dumped
    assert os.environ.get("ONCALL") is None


def test_a_stop_waits_for_what_is_being_sent(
    project: Project, db: psycopg.Connection[Any], site: Server
) -> None:
    """So that the next supervisor does not send it again; a second request to stop does not wait."""
    project.handlers(HANDLERS)
    (project.folder / "poller.toml").write_text(SETTINGS)
    site.at("/hook")
    answer = site.answers["/hook"]
    failing = "insert into poller.run (job, function) values ('second', 'second')"
    outcome = "select state, attempts from poller.message order by id desc limit 1"
    for requests, state in ((1, "sent"), (2, "waiting")):
        site.received.clear()
        site.release.clear()
        site.answers["/hook"] = lambda visit: (site.release.wait(10), answer(visit))  # type: ignore[func-returns-value]
        fleet = project.start("run", ONCALL=site.url("/hook"))
        fleet.wait_for_log("is ready")
        db.execute("delete from poller.episode")
        db.execute(failing)
        wait_until("it is being sent", lambda: site.received)
        fleet.signal(signal.SIGTERM)
        fleet.wait_for_log("stopping")
        if requests == 1:
            with pytest.raises(subprocess.TimeoutExpired):
                fleet.wait(1)
            site.release.set()
        else:
            fleet.signal(signal.SIGTERM)
        assert fleet.wait(4) == 0
        assert db.execute(outcome).fetchone() == (state, 1)


_ALL_TOLD = """
select not exists (select from poller.signal)
   and not exists (select from poller.episode where owed is not null)
   and not exists (select from poller.notice where message is null)
   and not exists (select from poller.message where state <> 'sent')
"""


def _hold(db: psycopg.Connection[Any], received: list[Received]) -> None:
    """Hold what has arrived against what was written."""
    failed = db.execute(
        "select subject, times from poller.episode where kind = 'failed' order by subject"
    ).fetchall()
    assert failed == [("first", RUNS), ("second", RUNS), ("third", RUNS)]
    signatures = value(db, "select string_agg(signatures::text, ' ') from poller.episode")
    assert "SystemError" not in signatures, "a worker has loaded what sends"
    bodies = [json.loads(each.body) for each in received]
    notices = {notice["id"]: notice for body in bodies for notice in body["notices"]}
    made = db.execute("select episode_id || '-' || number from poller.notice").fetchall()
    assert {row[0] for row in made} == notices.keys()
    opened = [
        each["subject"] for each in notices.values() if (each["kind"], each["reason"]) == ("failed", "opened")
    ]
    assert sorted(opened) == ["first", "second", "third"]
    of_key: dict[str, list[bytes]] = {}
    for each in received:
        of_key.setdefault(each.headers["idempotency-key"], []).append(each.body)
    assert max(map(len, of_key.values())) >= 2, "the message of the one that was killed came again"
    assert all(len(set(same)) == 1 for same in of_key.values()), "with the same key, and the same content"
    assert not [each for each in received if b"CANARY" in each.body]
