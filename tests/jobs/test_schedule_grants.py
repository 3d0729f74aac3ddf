"""An application that makes schedules needs the grants of docs/jobs.md, and reaches nothing that programs declare."""

from __future__ import annotations

import contextlib
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from poller import Run, cron, fixed_delay, fixed_rate, job, schedule
from poller.db.connection import Link
from poller.errors import ConfigurationError
from poller.jobs import job_store
from poller.services.scheduler import Scheduler
from tests.command_line import value
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Project

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
GRANTS = re.search(r"```sql\n(alter table poller.job.*?)```", PAGE, re.DOTALL)


@job()
def greet(run: Run) -> None:
    """Have a run."""


@cron("0 3 * * *")
def nightly() -> None:
    """Be what the application is not to touch."""


@pytest.fixture
def app(url: str, db: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A session of a role with the grants that the page lists, and two declared jobs."""
    assert GRANTS is not None, "docs/jobs.md lists no grants for schedule()"
    name, worker = (f"poller_{kind}_{uuid.uuid4().hex[:8]}" for kind in ("app", "worker"))
    db.execute(f"create role {name}; create role {worker}")
    db.execute(re.sub(r"\bapp\b", name, GRANTS[1].replace("poller_worker", worker)).encode())
    job_store.declare(db, [greet, nightly])
    with psycopg.connect(make_conninfo(url, options=f"-c role={name}"), autocommit=True) as connection:
        yield connection
    for role in (name, worker):
        db.execute(f"drop owned by {role}; drop role {role}")


def test_it_makes_and_edits_schedules_of_declared_jobs(app: psycopg.Connection[Any]) -> None:
    """By the job, or its name; recurring, or once; a fixed delay looks at what has run."""
    for when in ("0 4 * * *", "@every 5m", "@after 5m"):
        schedule(app, "greet", when=when, name="mine")
    schedule(app, greet, when=fixed_delay("1h"), name="mine")
    assert value(app, "select schedule from poller.job where name = 'mine'") == "@after 1h"
    app.execute("update poller.job set paused_at = now() where name = 'mine'")
    with pytest.raises(ConfigurationError, match="'nightly' is the name of a declared job"):
        schedule(app, greet, when="0 4 * * *", name="nightly")


@pytest.mark.parametrize(
    "statement",
    [
        "update poller.job set paused_at = now() where declared",
        "update poller.job set schedule = '@yearly' where name = 'nightly'",
        "update poller.job set declared = true where name = 'mine'",
        "insert into poller.job (name, function, declared, anchor, planned_to) values ('x', 'x', true, now(), now())",
        (
            "insert into poller.job (name, function, anchor, planned_to) values ('nightly', 'x', now(), now())"
            " on conflict (name) do update set function = excluded.function"
        ),
        "delete from poller.job",
        "update poller.run set status = 'cancelled'",
        "select output from poller.run",
    ],
)
def test_g10_what_programs_declare_is_out_of_its_reach(
    app: psycopg.Connection[Any], db: psycopg.Connection[Any], statement: str
) -> None:
    """Neither paused nor edited nor taken over, by whatever statement."""
    schedule(app, greet, when="0 4 * * *", name="mine")
    before = db.execute("select * from poller.job where declared order by name").fetchall()
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        assert app.execute(statement.encode()).rowcount == 0
    assert db.execute("select * from poller.job where declared order by name").fetchall() == before


def test_a_fleet_works_beside_row_security(
    project: Project, app: psycopg.Connection[Any], db: psycopg.Connection[Any]
) -> None:
    """The owner of the schema declares jobs, plans the application's schedules and runs them."""
    project.handlers("from poller import job\n@job()\ndef greet(): print('hello')\n")
    schedule(app, "greet", when="@every 1s", name="mine")
    project.start("run")
    ran = "select from poller.run where job = 'mine' and status = 'succeeded'"
    wait_until("it has run", lambda: db.execute(ran).rowcount)


@pytest.mark.parametrize("when", ["@every 0.000001s", "@after 10ms", fixed_rate("0.9s"), fixed_delay("0.5s")])
def test_a_period_of_less_than_a_second_is_refused(app: psycopg.Connection[Any], when: Any) -> None:
    """It would have a worker do nothing else."""
    with pytest.raises(ConfigurationError, match="needs a period of 1s or more"):
        schedule(app, greet, when=when, name="hasty")


def test_a_hasty_row_that_was_inserted_is_put_aside(
    app: psycopg.Connection[Any], db: psycopg.Connection[Any], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Past `schedule()`, by the grants that it needs."""
    app.execute(
        "insert into poller.job (name, function, schedule, declared, anchor, planned_to)"
        " values ('hasty', 'greet', '@every 0.000001s', false, now(), now())"
    )
    scheduler = Scheduler(Link(url, "test"), [greet])
    try:
        scheduler.run_once()
    finally:
        scheduler.recover()
    assert "job hasty cannot be planned here: a schedule made at run time needs a period of 1s" in caplog.text
    assert db.execute("select from poller.run").rowcount == 0
