"""Least privilege: a worker's role needs the grants that the README lists, and nothing else."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poller import Fail, Row, Transition, fixed_delay, handler
from poller.client.gauges import FleetGauges
from poller.db import migration, schema
from poller.db.connection import DatabaseLocation, Link, reachable
from poller.db.statements import statement
from poller.ready_made.housekeeping import housekeeping
from poller.services.drain import Drain
from poller.services.sweeper import Sweeper
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from poller.store.settlements import Settlements
from poller.testing import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.harness import Project

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
GRANTS = re.search(r"## Least privilege.*?```sql\n(.*?)```", README, re.DOTALL)
ROLE = "poller_worker"

CODE = """
@handler("tenants", status="pending", to="normal", during="busy", on_failure="failed", attempts=2)
def initialise(tenant):
    if tenant.id == 1:
        raise RuntimeError("not today")
    return Transition("normal", bucket="b")
"""


@fixed_delay("1h")
def tidy() -> None:
    """Run once for each time the clock is moved."""


@handler("tenants", status="pending", to="normal", attempts=2)
def initialise(tenant: Row) -> Transition:
    """Move most, fail with some: all that can become of a row."""
    if tenant.id == 1:
        raise RuntimeError
    if tenant.id == 2:
        reason = "for good"
        raise Fail(reason)
    return Transition("normal", bucket="b")


def grants() -> str:
    """Return the statements that the README lists."""
    assert GRANTS is not None, "the README has no ```sql block below '## Least privilege'"
    return GRANTS[1]


def single_privileges() -> list[tuple[str, str]]:
    """Return each privilege on each of poller's own tables that the README grants."""
    lines = re.findall(r"grant ([a-z, ]+?)\s+on\s+(poller\.[\w.,\s]+?)\s+to ", grants())
    return [
        (privilege.strip(), table.strip().removeprefix("poller."))
        for privileges, tables in lines
        for table in tables.split(",")
        for privilege in privileges.split(",")
    ]


@pytest.fixture
def role(db: psycopg.Connection[Any]) -> Iterator[str]:
    """A role that has been granted what the README lists, for a table of the README's name."""
    name = f"poller_test_{uuid.uuid4().hex[:12]}"
    db.execute("create table tenants (id integer primary key, status text default 'pending', bucket text)")
    db.execute("insert into tenants select generate_series(1, 5)")
    db.execute(grants().replace(ROLE, name))
    yield name
    db.execute(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def as_role(url: str, role: str) -> str:
    """The URL of the test's database for sessions that have the role's rights only."""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"


def work(url: str) -> None:
    """Do all that a supervisor and its workers do in the database."""
    with reachable(DatabaseLocation(url)) as connection:
        migration.migrate(url)
        schema.require(connection)
        bindings = [bind(connection, initialise)]
    with Engine(url, initialise, tidy, housekeeping) as engine:
        engine.run_due()
        engine.advance("1h")
        engine.run_due()
        engine.advance("2d")
        done = engine.run_due()
    assert {(each.status, each.became) for each in done} >= {
        ("tidy", "moved"),
        ("poller housekeeping", "moved"),
    }
    link = Link(url, "test")
    try:
        register_handlers(link.connection, bindings)
        Sweeper(link, bindings).run_once()
        drain = Drain(link, bindings, drain=True)
        drain.run_once()
        drain.run_once()
        assert drain.is_over
        Settlements(link).forfeit([])
        gauges = FleetGauges(bindings)
        assert gauges.refresh(link.connection)
        assert gauges.read(link.connection)
    finally:
        link.close()


@pytest.mark.fault("F28")
def test_the_grants_of_the_readme_suffice(as_role: str, db: psycopg.Connection[Any]) -> None:
    """For claiming, settling, retrying, parking, sweeping, beating and draining."""
    work(as_role)

    rows = db.execute("select id, status, bucket from tenants order by id").fetchall()
    assert rows == [(1, "pending", None), (2, "pending", None), *((n, "normal", "b") for n in (3, 4, 5))]
    assert db.execute("select count(*) from poller.attempt where state = 'parked'").fetchone() == (2,)


def test_check_asks_for_the_same_grants(role: str, db: psycopg.Connection[Any]) -> None:
    """What `poller check` misses is what the README lists, no less and no more."""
    db.execute(f"set role {role}")
    assert db.execute(statement("missing_grants")).fetchall() == []

    db.execute(f"reset role; revoke all on all tables in schema poller from {role}; set role {role}")
    missing = db.execute(statement("missing_grants")).fetchall()
    asked = {(each, table) for table, privileges in missing for each in privileges.split(", ")}
    assert asked == {(each, table) for each, table in single_privileges() if table != "alembic_version"}
    db.execute("reset role")


def test_update_may_be_granted_on_single_columns(
    as_role: str, role: str, db: psycopg.Connection[Any]
) -> None:
    """The status, and what the handler's Transition sets."""
    db.execute(f"revoke update on tenants from {role}; grant update (status, bucket) on tenants to {role}")

    work(as_role)

    assert db.execute("select count(*) from tenants where bucket = 'b'").fetchone() == (3,)


def test_a_fleet_runs_as_such_a_role(project: Project, as_role: str, db: psycopg.Connection[Any]) -> None:
    """The same, with processes: `poller run` as anybody starts it."""
    project.url = as_role
    project.handlers(CODE)
    db.execute("create index on tenants (id) where status = 'pending'")

    ended = project.run("run", "--drain", "--workers", "2")

    assert ended.returncode == 1, ended.stderr
    rows = db.execute("select id, status from tenants order by id").fetchall()
    assert rows == [(1, "failed"), *((n, "normal") for n in (2, 3, 4, 5))]


def test_the_other_commands_work_as_such_a_role_too(
    project: Project, as_role: str, role: str, db: psycopg.Connection[Any]
) -> None:
    """Those that look on, and those that intervene."""
    project.url = as_role
    project.handlers(CODE.replace('on_failure="failed", ', ""))
    project.run("run", "--drain")

    looks = (
        *("check", "handlers", "workers", "status", "failures", "history tenants 3", "retry all"),
        *("failures --group", "inflight", "actions", "graph --counts", "explain tenants:pending"),
        *("pause tenants", "resume tenants", "jobs", "runs"),
    )
    for command in looks:
        ended = project.run(*command.split())
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"


def test_a_role_without_grants_is_told_where_to_find_them(
    project: Project, as_role: str, role: str, db: psycopg.Connection[Any]
) -> None:
    """One line, that leads here."""
    db.execute(f"revoke usage on schema poller from {role}")
    project.url = as_role
    project.handlers(CODE)

    ended = project.run("run", "--drain")

    assert ended.returncode == 2
    assert "Least privilege" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
