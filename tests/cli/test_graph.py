"""`poller graph`: the machines of the package's handlers, and of those that workers have registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from poller import Client

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

HANDLERS = """
@handler("orders", status="new", to="paid", attempts=1)
def pay(row): ...

@handler("orders", status="paid", to=("sent", "refused"), during="packing", on_failure="stuck")
def send(row): ...

@handler("orders", status="open", to="closed", column="billing", attempts=1)
def bill(row): ...
"""
EDGES = [
    {"from": "new", "to": "paid", "kind": "move"},
    {"from": "paid", "to": "packing", "kind": "move"},
    {"from": "packing", "to": "sent", "kind": "move"},
    {"from": "packing", "to": "refused", "kind": "move"},
    {"from": "packing", "to": "stuck", "kind": "failure"},
    {"from": "packing", "to": "paid", "kind": "retry"},
]


def make_orders(db: psycopg.Connection[Any]) -> None:
    db.execute(
        "create table orders (id int primary key, status text not null default 'new', billing text default 'open')"
    )


def machines(project: Project, *given: str) -> list[Any]:
    """Return what the command prints for programs."""
    return list(json.loads(project.run("graph", *given, "--format", "json").stdout)["machines"])


def test_a_machine_for_each_status_column(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its statuses in the order of the work, its moves with their kinds; rows are not counted."""
    make_orders(db)
    project.handlers(HANDLERS)
    bills, orders = machines(project)
    assert (orders["table"], orders["column"], bills["column"]) == ("public.orders", "status", "billing")
    assert [each["status"] for each in orders["statuses"]] == [
        "new",
        "paid",
        "packing",
        "sent",
        "refused",
        "stuck",
    ]
    assert orders["statuses"][0] == {"status": "new", "rows": None, "exact": None}
    assert orders["edges"] == EDGES


def test_handlers_are_known_without_their_code(project: Project, db: psycopg.Connection[Any]) -> None:
    """From what a worker has registered; the table has the database's name for it then."""
    make_orders(db)
    project.handlers(HANDLERS)
    before = machines(project)
    assert project.run("run", "--drain").returncode == 0
    after = machines(project, "--handlers", "not_here")
    assert before == after == machines(project)


def test_one_table(project: Project, db: psycopg.Connection[Any]) -> None:
    """By its name, with its schema or without; for one that no handler has, the exit status is 1."""
    make_orders(db)
    project.handlers(HANDLERS)
    assert len(machines(project, "orders")) == 2
    refused = project.run("graph", "parcels")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "no handler is known for table parcels; there are handlers for public.orders\n"


def test_pictures(project: Project, db: psycopg.Connection[Any]) -> None:
    """Mermaid is what one gets; SVG can be read; Graphviz gets a digraph."""
    make_orders(db)
    project.handlers(HANDLERS)
    assert project.run("graph").stdout.startswith("flowchart LR\n")
    assert project.run("graph", "--format", "dot").stdout.startswith("digraph poller {\n")
    assert ET.fromstring(project.run("graph", "--format", "svg").stdout).attrib["role"] == "img"


def test_what_the_history_shows_and_nobody_declares(project: Project, db: psycopg.Connection[Any]) -> None:
    """The handler moved rows elsewhere before it was changed; with --counts the rows stand beside the statuses."""
    make_orders(db)
    db.execute("insert into orders values (1), (2)")
    project.handlers(HANDLERS.replace('to="paid"', 'to="free"'))
    assert project.run("run", "--drain").returncode == 0
    project.handlers(HANDLERS)
    [orders] = [each for each in machines(project, "--counts") if each["column"] == "status"]
    assert [each for each in orders["edges"] if each["kind"] == "seen"] == [
        {"from": "new", "to": "free", "kind": "seen"}
    ]
    assert {each["status"]: each["rows"] for each in orders["statuses"]} == {
        "new": 0, "paid": 0, "packing": 0, "sent": 0, "refused": 0, "stuck": 0, "free": 2,
    }  # fmt: skip
    assert "-. " in project.run("graph").stdout


def seen(project: Project) -> list[tuple[str, str]]:
    """Return the moves of the orders' machine that are seen and not declared."""
    [orders] = [each for each in machines(project) if each["column"] == "status"]
    return sorted((each["from"], each["to"]) for each in orders["edges"] if each["kind"] == "seen")


def test_an_on_failure_that_was_declared_before_is_seen(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Also behind many that went where it is declared now; from `during`, as those that are declared."""
    make_orders(db)
    db.execute("insert into orders values (1, 'paid')")
    failing = HANDLERS.replace("def send(row): ...", "def send(row): raise Fail('no')")
    project.handlers(failing.replace('on_failure="stuck"', 'on_failure="lost"'))
    project.run("run", "--drain")
    assert db.execute("select status from orders").fetchall() == [("lost",)]
    project.handlers(HANDLERS)
    assert seen(project) == [("packing", "lost")]
    db.execute(
        "insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, lease)"
        " select id, i::text, 'failed', 'paid', 'stuck', 1, gen_random_uuid()"
        " from poller.handler, generate_series(10, 12000) as i where status = 'paid'"
    )
    assert seen(project) == [("packing", "lost")]


def test_a_move_by_hand_is_seen(project: Project, db: psycopg.Connection[Any]) -> None:
    """By keys, of a status, and of one that no handler knows; with the column that it was made in."""
    make_orders(db)
    project.handlers(HANDLERS)
    assert project.run("run", "--drain").returncode == 0
    db.execute("insert into orders select i, 'new', 'closed' from generate_series(1, 9) as i")
    db.execute("update orders set status = 'odd: 1' where id > 7")
    asked = Client(project.url)
    for selector, to, keys in (
        ("orders:1", "stuck", ()),
        ("orders", "refused", ("2", "3")),
        ("orders:new:4", "sent", ()),
        ("orders:new", "paid", ()),
        ("orders:stuck", "new", ()),
        ("orders:odd: 1", "new", ()),
        ("orders:closed:5", "open", ()),
    ):
        asked.move(selector, to, keys)
    assert seen(project) == [
        ("new", "refused"), ("new", "sent"), ("new", "stuck"), ("odd: 1", "new"), ("stuck", "new")
    ]  # fmt: skip
    [bills] = [each for each in machines(project) if each["column"] == "billing"]
    assert [each for each in bills["edges"] if each["kind"] == "seen"] == [
        {"from": "closed", "to": "open", "kind": "seen"}
    ]
    db.execute("truncate poller.event")
    assert ("1", "stuck") not in seen(project), "a key is not a status, though its history is purged"


def test_without_any_handler_there_is_no_picture(project: Project, db: psycopg.Connection[Any]) -> None:
    """The exit status is 1, as for a table that no handler has."""
    assert project.run("migrate").returncode == 0
    nothing = project.run("graph", "--handlers", "not_here")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("no handler is known")


def test_a_quoted_name_is_found_without_its_schema(project: Project, db: psycopg.Connection[Any]) -> None:
    """As the database quotes it."""
    db.execute('create table "my.table" (id int primary key, status text)')
    project.handlers(
        """
@handler('"my.table"', status="new", to="done")
def work(row): ...
"""
    )
    assert project.run("run", "--drain").returncode == 0
    assert [each["table"] for each in machines(project, '"my.table"')] == ['public."my.table"']
    assert project.run("pause", '"my.table"').returncode == 0
