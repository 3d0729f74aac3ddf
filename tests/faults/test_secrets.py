"""A password and a row's value are looked for in all that poller says: logs, errors, listings, names of processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.harness import Project, wait_until, workers_of
from tests.website import serving

if TYPE_CHECKING:
    import psycopg

PASSWORD = "canary-in-the-url"
VALUE = "canary-in-the-row"
BODY = "canary-in-the-body"

HANDLERS = """
from poller import cron, fixed_rate, http

@handler("thing", status="pending", to="normal", attempts=2, wait=lambda _: 0.0)
def refused(row): pass

@handler("thing", status="raises", to="normal", attempts=1, on_failure="broken")
def raises(row): raise KeyError(row.key)

@handler("thing", status="wrong", to="normal", attempts=1)
def wrong(row): return Transition("normal", number=row.secret)

@handler("thing", status="slow", to="normal", timeout="200ms", attempts=1)
def slow(row, ctx): ctx.cancelled.wait(5)

@handler("thing", status="other", to="normal", where="secret::int > 0")
def unreadable(row): pass

@cron("* * * * * *")
def job(): pass

refused_call = http("refused-call", "{url}", method="POST", json={"auth": {"password": "{body}"}},
                    schedule=fixed_rate("1s"), private=True)
"""
ROWS = """
create table thing (id int primary key, status text not null, secret text not null, number int,
                    check (status <> 'normal' or secret = ''));
insert into thing
select i, (array['pending', 'raises', 'wrong', 'slow', 'other'])[1 + i % 5], '{value}' from generate_series(1, 20) as i;
"""
COMMANDS = (
    "check",
    "status",
    "handlers",
    "jobs",
    "runs",
    "workers",
    "failures",
    "failures --json",
    "history thing 5",
    "history thing 6",
    "history thing 6 --json",
    "check --json",
    "status --json",
    "handlers --json",
    "jobs --json",
    "runs --json",
    "runs refused-call",
    "logs refused-call",
    "workers --json",
    "trigger job",
    "pause job",
    "resume job",
    "cancel 1",
    "jobs add once job --at 2030-01-01T03:00+01:00",
    "jobs remove once",
    "next 5",
    "retry thing:pending",
    "release thing:pending",
    "migrate --sql",
    "purge thing --column id --older-than 1d",
    "--debug status",
    "run --drain --handlers nothing.there",
)


@pytest.mark.fault("F27")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_neither_is_ever_said(tmp_path: Path, url: str, db: psycopg.Connection[Any], log_format: str) -> None:
    """Rows fail in every way meanwhile, and every command is run."""
    parts = urlsplit(url)
    secret_url = url.replace(parts.netloc, f"postgres:{PASSWORD}@", 1)
    db.execute(ROWS.replace("{value}", VALUE).encode())
    said: list[str] = []
    with serving() as site, Project(tmp_path, secret_url) as project:
        site.answers["/refused"] = lambda visit: visit.answer(422, visit.server.received[-1].body)
        project.handlers(HANDLERS.replace("{url}", site.url("/refused")).replace("{body}", BODY))
        fleet = project.start_python("-m", "poller", "run", "--workers", "2", "--log-format", log_format)
        wait_until("they are there", lambda: len(workers_of(db)) == 2)
        question = "select count(*) from poller.history where verdict in ('parked', 'failed')"
        wait_until("rows have failed", lambda: (db.execute(question).fetchone() or (0,))[0] >= 10)
        fleet.wait_for_log("invalid input syntax")
        refused = "select from poller.run where job = 'refused-call' and status = 'failed'"
        wait_until("a call was refused", lambda: db.execute(refused).rowcount)
        said += _names(db, fleet.pid)
        for command in COMMANDS if log_format == "text" else ():
            ended = project.run(*command.split())
            said += [ended.stdout, ended.stderr]
        away = secret_url.replace("port=", "port=1")
        ended = project.run("status", "--database", away)
        assert ended.returncode == 2
        said += [ended.stdout, ended.stderr, fleet.log]
    recorded = db.execute(
        "select error from poller.history where error is not null union all"
        " select concat(error, output) from poller.run union all select error from poller.attempt"
    ).fetchall()
    said += [row[0] for row in recorded if row[0]]
    assert any("***" in text for text in said)
    for text in said:
        assert not [canary for canary in (PASSWORD, VALUE, BODY) if canary in text], text


def _names(db: psycopg.Connection[Any], supervisor: int) -> list[str]:
    """Return what is seen of processes and sessions from outside, by any user of the host or the server."""
    time.sleep(0.1)
    pids = [supervisor, *(pid for _, pid in workers_of(db))]
    titles = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
    sessions = db.execute("select application_name || ' ' || query from pg_stat_activity").fetchall()
    return [*titles, *(row[0] for row in sessions if row[0])]


def test_nothing_unpickles_what_comes_from_the_database() -> None:
    """A pickle that somebody could write there would run their code; what crosses a process is made by its parent."""
    package = Path(__file__).parents[2] / "poller"
    users = {path.name for path in package.rglob("*.py") if "pickle" in path.read_text()}
    assert users <= {"remote_call.py", "processes.py", "answers.py"}, users
    for path in package.rglob("*.py"):
        if "pickle.loads" in path.read_text():
            assert "connection" not in path.read_text().split("pickle.loads")[1].splitlines()[0]
