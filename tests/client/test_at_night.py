"""What an operator asks at three in the morning, on a large table: each question is answered by one command."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import objects, value

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

ROWS, IN_TROUBLE = 2_000_000, 3000
QUICK = 5.0  # seconds that a command takes at the most, the start of Python included

HANDLERS = """
from tenacity import wait_fixed

class ConnectError(Exception):
    pass

def book(order):
    raise ConnectError(f"no route to carrier {order.id}")

@handler("orders", status="paid", to=("shipped", "rejected"), attempts=1)
def ship(order):
    match order.id % 3:
        case 0:
            book(order)
        case 1:
            raise ValueError(f"no address in order {order.id}")
        case _:
            return order.missing
"""


@pytest.fixture
def night(project: Project, db: psycopg.Connection[Any]) -> Project:
    """Two million orders, of which three thousand have just failed, each for one of three reasons."""
    db.execute("set synchronous_commit = off")
    db.execute("create table orders (id bigint primary key, status text not null, created_at timestamptz)")
    db.execute(
        "insert into orders select i, case when i <= %s then 'paid' else 'shipped' end, now() - interval '1 hour'"
        " from generate_series(1, %s) as i",
        [IN_TROUBLE, ROWS],
    )
    db.execute("create index on orders (id) where status = 'paid'")
    db.execute("analyze orders")
    project.handlers(HANDLERS)
    assert project.run("run", "--drain").returncode == 1
    assert value(db, "select count(*) from poller.attempt where state = 'parked'") == IN_TROUBLE
    return project


def test_each_question_is_answered_by_one_command(night: Project, db: psycopg.Connection[Any]) -> None:
    """What fails, is it one cause, since when; what became of this row; put these back and no others; who did that."""
    began = datetime.now(UTC)

    def ask(*arguments: str) -> list[dict[str, Any]]:
        clock = monotonic()
        ended = night.run(*arguments, "--json")
        assert monotonic() - clock < QUICK, arguments
        return objects(ended)

    # What fails, is it one cause, since when?
    groups = {each["error"]: each for each in ask("failures", "--group")}
    assert set(groups) == {"ConnectError", "ValueError", "AttributeError"}
    third = IN_TROUBLE // 3
    assert {(each["rows"], each["parked"], each["waiting"]) for each in groups.values()} == {
        (third, third, 0)
    }
    lines = enumerate(_lines(night), 1)
    raising = {f"__init__.py:{line}" for line, text in lines if "raise " in text or "missing" in text}
    assert {each["place"] for each in groups.values()} == raising
    group = groups["ConnectError"]
    assert f"no route to carrier {group['example_key']}" in group["example"]
    for time in (group["first_at"], group["last_at"]):
        assert began - timedelta(minutes=5) < datetime.fromisoformat(time) < datetime.now(UTC)
    shown = night.run("failures", "--group").stdout.splitlines()
    assert len(shown) == 4
    assert all("1,000" in line and "ago" in line for line in shown[1:])

    # What has become of this row, and where was it raised?
    [event] = ask("history", "orders", group["example_key"])
    assert (event["verdict"], "in book" in event["traceback"]) == ("parked", True)
    [failure] = ask("failures", f"orders:paid:{group['example_key']}")
    assert (failure["parked"], failure["next_at"]) == (True, None)
    assert "in book" in night.run("failures", f"orders:{group['example_key']}", "--traceback").stdout

    # How much is there, and how do the handlers fare?
    status = {each["status"]: each for each in ask("status")}
    assert (status["paid"]["rows"], status["paid"]["exact"], status["paid"]["parked"]) == (
        IN_TROUBLE,
        True,
        IN_TROUBLE,
    )
    assert not status["shipped"]["exact"]
    assert abs(status["shipped"]["rows"] - (ROWS - IN_TROUBLE)) < ROWS / 10
    [ship] = ask("handlers")
    assert (ship["due"], ship["in_flight"], ship["failed_per_minute"] > 0) == (0, 0, True)

    # Put these thousand back, and no others.
    assert (
        night.run("retry", "orders", "--error", f"ConnectError {group['place']}").stdout
        == "retrying 1,000 rows\n"
    )
    put_back = "select count(*) from poller.attempt where attempt = 0 and kind = 'ConnectError'"
    assert (
        value(db, put_back)
        == value(db, "select count(*) from poller.attempt where state = 'waiting'")
        == 1000
    )
    assert ask("handlers")[0]["due"] == 1000

    # Who did that?
    [action] = ask("actions")
    target = f"orders with ConnectError {group['place']}"
    assert (action["action"], action["target"], action["affected"]) == ("retry", target, 1000)
    assert getpass.getuser() in action["actor"]


def _lines(project: Project) -> list[str]:
    return (project.folder / "handlers" / "__init__.py").read_text().splitlines()
