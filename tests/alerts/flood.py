"""`python -m tests.alerts.flood [FAILURES]`: a flood of failures over five supervisors, two of which are killed.

One is killed when it has taken a message, to send it; one when it has sent one, and could not say so yet. Of four
targets one answers, one slowly, one with errors, and one not at all; the last two come to their senses in the end. It
fails if an episode, a notice or a message is lost, made twice or comes with another content, and prints how long it
took.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg

from poller.runtime.failpoints import VARIABLE
from tests.command_line import value
from tests.harness import Project, wait_until
from tests.servers import cluster, fresh_database, temporary_folder
from tests.website import serving

if TYPE_CHECKING:
    from tests.harness import Process
    from tests.website import Server, Visit

FAILURES = 10_000
SUPERVISORS = 5
KILLED_WHEN = ("taken", "sent")  # the first of them that comes there with a message
PATIENCE_SECONDS = 900.0
JOBS = ("first", "second", "third")
TARGETS = ("well", "slow", "broken", "mute")
HANDLERS = """
from poller import job

@job()
def first(): raise ValueError("CANARY")

@job()
def second(): raise KeyError("CANARY")

@job()
def third(): raise OSError("CANARY")
"""
PLAN = """
insert into poller.run (job, function, planned_at)
select j.name, j.name, now() - interval '1 ms' * i
  from generate_series(1, %s) as i
 cross join lateral (select (%s::text[])[1 + i %% 3] as name) as j
"""
ENDED = "select count(*) from poller.run where status <> 'failed'"
TOLD = """
select not exists (select from poller.signal)
   and not exists (select from poller.episode where owed is not null)
   and not exists (select from poller.notice where message is null and target = any (%(of)s))
   and not exists (select from poller.message where state <> 'sent' and target = any (%(of)s))
"""


@dataclass
class Flood:
    """What is there of it."""

    db: psycopg.Connection[Any]
    site: Server
    fleet: list[Process]
    began: float

    def say(self, text: str) -> None:
        """Print what has been reached, and after how long."""
        print(f"{monotonic() - self.began:6.1f} s  {text}", flush=True)  # noqa: T201 - what it is for

    def await_told(self, *targets: str) -> None:
        """Wait until all has been told to some targets."""
        asked = {"of": list(targets)}
        wait_until(f"all is told to {targets}", lambda: self._is_told(asked), PATIENCE_SECONDS)

    def _is_told(self, asked: dict[str, list[str]]) -> bool:
        row = self.db.execute(TOLD, asked).fetchone()
        return bool(row and row[0])


def main() -> None:
    """Raise the flood, and hold what has arrived against what was written."""
    failures = int(sys.argv[1]) if len(sys.argv) > 1 else FAILURES
    with (
        cluster() as server,
        fresh_database(server.url) as url,
        temporary_folder() as folder,
        serving() as site,
        Project(folder, url) as project,
        psycopg.connect(url, autocommit=True) as db,
    ):
        flood = Flood(db, site, _start(project, site), monotonic())
        _raise(flood, failures)
        _hold(flood, failures)


def _start(project: Project, site: Server) -> list[Process]:
    targets = [f'targets.{name}.url = "env:{name.upper()}"' for name in TARGETS]
    settings = ["workers = 1", "[alerts]", f"to = {json.dumps(TARGETS)}", 'group = "1s"', *targets]
    project.handlers(HANDLERS)
    (project.folder / "poller.toml").write_text("\n".join(settings))
    site.at("/well")
    site.at("/broken", 500)
    site.answers["/slow"] = _slowly
    site.answers["/mute"] = lambda _: site.release.wait(PATIENCE_SECONDS)  # type: ignore[assignment,return-value]
    urls = {name.upper(): site.url(f"/{name}") for name in TARGETS}
    killing = ";".join(f"message {step}=kill@{project.folder / step}" for step in KILLED_WHEN)
    fleet = [project.start("run", **urls, **{VARIABLE: killing}) for _ in range(SUPERVISORS)]
    for each in fleet:
        each.wait_for_log("is ready")
    return fleet


def _slowly(visit: Visit) -> None:
    sleep(3.0)
    visit.answer()


def _raise(flood: Flood, failures: int) -> None:
    db, site = flood.db, flood.site
    db.execute(PLAN, [failures, list(JOBS)])
    wait_until("all have failed", lambda: value(db, ENDED) == 0, PATIENCE_SECONDS)
    flood.say(f"{failures:,} runs have failed")
    flood.await_told("well", "slow")
    flood.say("told to the target that answers, and to the slow one")
    for name in ("broken", "mute"):
        assert (
            value(db, f"select count(*) from poller.message where target = '{name}' and state = 'sent'") == 0
        )
        site.at(f"/{name}")
    site.release.set()
    db.execute("update poller.message set next_at = now() where state = 'waiting'")
    flood.await_told(*TARGETS)
    flood.say("told to the others, which answer now")
    gone = sum(each.popen.poll() is not None for each in flood.fleet)
    assert gone == len(KILLED_WHEN), f"{gone} supervisors were killed"


def _hold(flood: Flood, failures: int) -> None:
    """Hold what has arrived against what was written."""
    question = "select subject, kind, sum(times) from poller.episode group by 1, 2 order by 1"
    episodes = flood.db.execute(question).fetchall()
    assert [each[:2] for each in episodes] == [(name, "failed") for name in JOBS], episodes
    assert sum(each[2] for each in episodes) == failures
    bodies: dict[str, set[bytes]] = defaultdict(set)
    notices: dict[str, set[str]] = defaultdict(set)
    for each in flood.site.received:
        bodies[each.headers["idempotency-key"]].add(each.body)
        notices[each.path] |= {notice["id"] for notice in json.loads(each.body)["notices"]}
    assert all(len(same) == 1 for same in bodies.values()), "a message came with another content"
    for name in TARGETS:
        made = flood.db.execute(
            "select episode_id || '-' || number from poller.notice where target = %s", [name]
        ).fetchall()
        assert notices[f"/{name}"] == {row[0] for row in made}, name
    assert not any(b"CANARY" in each.body for each in flood.site.received)
    sent = len(flood.site.received)
    flood.say(f"{len(episodes)} episodes, {len(bodies)} messages, {sent - len(bodies)} of them sent again")


if __name__ == "__main__":
    main()
