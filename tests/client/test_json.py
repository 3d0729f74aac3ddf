"""`--json` is what the client's dataclasses say, for each listing; orders are written down, whatever the face."""

from __future__ import annotations

import getpass
import socket
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, fixed_rate
from poller.client import actions, checks, inflight, job_queries, jobs, purge, row_queries, status
from poller.client import trouble as trouble_of
from poller.client.answers import as_object
from poller.client.refusals import NothingSelectedError
from poller.ready_made.housekeeping import housekeeping
from poller.testing import Engine
from tests.command_line import HANDLERS, hold, known, make_tenants, objects, trouble, value

if TYPE_CHECKING:
    from tests.command_line import InProcess
    from tests.harness import Project

JOBS = """
from poller import fixed_rate

@fixed_rate("1h")
def tick():
    pass
"""

# The listing's arguments, the client's class, and the fields that docs and contract name.
LISTINGS: dict[str, tuple[list[str], type, str]] = {
    "status": (
        ["status"],
        status.StatusLine,
        "table status rows exact oldest in_flight waiting parked paused",
    ),
    "handlers": (
        ["handlers"],
        status.HandlerLine,
        "table status function place paused in_flight due oldest_due done_per_minute failed_per_minute p50 p95",
    ),
    "workers": (
        ["workers"],
        row_queries.WorkerLine,
        "id host pid state slots in_flight heartbeat_at heartbeat_age started_at",
    ),
    "inflight": (["inflight"], inflight.Held, "table status key worker since"),
    "failures": (["failures"], trouble_of.Failure, "table status key attempt error parked next_at"),
    "failures --group": (
        ["failures", "--group"],
        trouble_of.Group,
        "table status error place rows waiting parked first_at last_at example_key example",
    ),
    "history": (
        ["history", "tenants", "1"],
        row_queries.HistoryEvent,
        "at status verdict to attempt seconds error worker traceback",
    ),
    "jobs": (
        ["jobs"],
        jobs.JobLine,
        "name job schedule tz after args declared next_at last_status last_at running waiting state paused_until",
    ),
    "runs": (
        ["runs"],
        job_queries.RunLine,
        "id job planned_at started_at finished_at status attempt error",
    ),
    "actions": (["actions"], actions.Action, "at actor via action target affected"),
    "check": (["check"], checks.Finding, "severity where what todo"),
    "purge --dry-run": (
        ["purge", "tenants", "--column", "created_at", "--older-than", "1d", "--dry-run"],
        purge.Counted,
        "table rows partitions kept",
    ),
    "purge": (
        ["purge", "tenants", "--column", "created_at", "--older-than", "1d"],
        purge.Purged,
        "table rows locked held kept refused untried partitions notes",
    ),
}


@pytest.fixture
def busy(project: Project, db: psycopg.Connection[Any]) -> Project:
    """A database that has something for each listing to show."""
    make_tenants(db, "pending", "pending")
    project.handlers(HANDLERS + JOBS)
    assert project.run("run", "--drain").returncode == 0
    trouble(db, known(db, "shop.orders", "paid"), "1")
    hold(db, known(db, "shop.orders", "sent"), "2")
    assert project.run("trigger", "tick").returncode == 0
    return project


def test_json_is_what_the_dataclasses_say(busy: Project) -> None:
    """Field by field, in their order; what only people are shown is left out."""
    for name, (arguments, answer, said) in LISTINGS.items():
        ended = busy.run(*arguments, "--json")
        ended.returncode = 0 if name == "check" else ended.returncode
        found = objects(ended)
        assert found, name
        assert [*found[0]] == said.split(), name
        known_fields = {each.name for each in fields(answer)}
        assert {*found[0]} <= known_fields, name


@pytest.mark.parametrize("name", LISTINGS)
def test_each_object_has_the_fields_that_are_not_aside(name: str) -> None:
    """So that no face has to name them again."""
    _, answer, said = LISTINGS[name]
    empty = answer(**{each.name: None for each in fields(answer)})
    assert [*as_object(empty)] == said.split()


# --- orders -------------------------------------------------------------------------------------------


def test_orders_are_written_down_with_who_gave_them(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """By the command line with the person, by Python with the role alone; the newest first.

    What an order before has put back is due already, and counts for that one.
    """
    handler = known(db, "public.tenants", "pending")
    for key in "123":
        trouble(db, handler, key)
    hold(db, handler, "4")
    assert here.run("retry", "tenants", "1", "2").returncode == 0
    assert here.run("release", "all").returncode == 0
    Client(url).retry("tenants:pending")

    role = value(db, "select current_user::text")
    found = objects(here.run("actions", "--json"))

    person = f"{role} ({getpass.getuser()}@{socket.gethostname()})"
    assert [(each["actor"], each["via"], each["action"], each["affected"]) for each in found] == [
        (role, "python", "retry", 2),
        (person, "cli", "release", 1),
        (person, "cli", "retry", 2),
    ]
    assert [each["target"] for each in found] == ["tenants:pending", "all", "tenants"]
    assert Client(url).actions().items[-1].filter == ["1", "2"]
    assert "tenants 1 2" in here.run("actions").stdout


def test_orders_come_page_by_page(url: str, db: psycopg.Connection[Any]) -> None:
    """The newest first."""
    handler = known(db, "public.tenants", "pending")
    asked = Client(url)
    for key in "123":
        trouble(db, handler, key)
        asked.retry("all")
    first = asked.actions(limit=2)
    second = asked.actions(after=first.next, limit=2)
    numbers = [each.id for each in (*first.items, *second.items)]
    assert (numbers, second.next) == (sorted(numbers, reverse=True), None)
    assert len(numbers) == 3


def test_an_order_that_was_refused_is_not_written_down(url: str, db: psycopg.Connection[Any]) -> None:
    """Nor one that found everything as it was to be."""
    known(db, "public.tenants", "pending")
    with pytest.raises(NothingSelectedError):
        Client(url).retry("all")
    assert Client(url).actions().items == ()


def test_a_row_that_was_put_back_has_it_in_its_history(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """With the attempts that it had."""
    trouble(db, known(db, "public.tenants", "pending"), "1", attempt=5)
    here.run("retry", "all")
    [event] = objects(here.run("history", "tenants", "1", "--json"))
    assert (event["verdict"], event["status"], event["attempt"]) == ("retried", "pending", 5)


def test_a_purge_of_a_role_that_has_nothing_of_pollers_is_not_written_down(
    empty_url: str,
) -> None:
    """It needs the table alone."""
    with psycopg.connect(empty_url, autocommit=True) as db:
        db.execute("create table audit (id int primary key, created_at timestamptz)")
        assert Client(empty_url).purge("audit", column="created_at", older_than="1d").rows == 0


def test_a_purge_is_written_down(url: str, db: psycopg.Connection[Any]) -> None:
    """With how many rows it has deleted."""
    db.execute("create table audit (id int primary key, created_at timestamptz)")
    db.execute("insert into audit values (1, now() - interval '9 d')")
    Client(url).purge("audit", column="created_at", older_than="1d")
    [done] = Client(url).actions().items
    assert (done.action, done.target, done.affected) == ("purge", "public.audit", 1)


def test_orders_of_long_ago_are_forgotten(url: str, db: psycopg.Connection[Any]) -> None:
    """By poller's own housekeeping, after 90 days."""
    for days in (91, 88):
        db.execute(
            "insert into poller.action (at, actor, via, action, target, affected)"
            " values (poller.now() - %s * interval '1 d', 'me', 'cli', 'retry', %s, 1)",
            [days, str(days)],
        )
    with Engine(url, housekeeping) as engine:
        engine.advance("1d")
        engine.run_due()
    assert [each.target for each in Client(url).actions().items] == ["88"]


ORDERS = (
    ["retry", "tenants", "1"],
    ["release", "tenants"],
    ["move", "tenants:1", "closing"],
    ["pause", "tenants"],
    ["resume", "tenants"],
    ["pause", "tick"],
    ["resume", "tick"],
    ["trigger", "tick"],
    ["cancel", "1"],
    ["jobs", "add", "often", "tick", "--every", "5m"],
    ["jobs", "remove", "often"],
    ["workers", "drain", "elsewhere"],
    ["purge", "tenants", "--column", "created_at", "--older-than", "1d"],
)


def test_each_order_says_who_gives_it(
    here: InProcess, db: psycopg.Connection[Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--actor`, as an option or a variable; else the user of the operating system at this host."""
    make_tenants(db, "pending", "pending")
    handler = known(db, "public.tenants", "pending")
    trouble(db, handler, "1")
    hold(db, handler, "2")
    with Engine(url, fixed_rate("1h")(tick)) as engine:
        engine.trigger("tick")
    for number, order in enumerate(ORDERS):
        ended = here.run(*order, "--actor", f"ann {number}")
        assert ended.returncode == 0, ended
    monkeypatch.setenv("POLLER_ACTOR", "bot")
    trouble(db, handler, "7")
    assert here.run("retry", "tenants").returncode == 0
    monkeypatch.delenv("POLLER_ACTOR")
    trouble(db, handler, "8")
    assert here.run("retry", "tenants", "8").returncode == 0

    found = [each["actor"].partition(" (")[2].rstrip(")") for each in objects(here.run("actions", "--json"))]
    expected = [f"ann {number}" for number in range(len(ORDERS))]
    assert found[::-1] == [*expected, "bot", f"{getpass.getuser()}@{socket.gethostname()}"]


def tick() -> None:
    """Do nothing."""
