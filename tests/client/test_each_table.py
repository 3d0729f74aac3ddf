"""What is wrong with one table costs its own lines only, in every listing of the fleet, and is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, handler
from poller.client import counts
from poller.client.answers import as_object
from poller.testing import Engine
from tests.command_line import objects, the_line

if TYPE_CHECKING:
    from poller.client.answers import Page
    from tests.harness import Project

HANDLERS = """
@handler("one", status="new", to="done")
def first(row): ...

@handler("two", status="new", to="done")
def second(row): ...

@handler("three", status="new", to="done")
def third(row): ...
"""


@handler("one", status="new", to="done")
def first(row: Any) -> None: ...


@handler("two", status="new", to="done", where="id > 0")
def second(row: Any) -> None: ...


@handler("three", status="new", to="done")
def third(row: Any) -> None: ...


@pytest.fixture
def three(url: str, db: psycopg.Connection[Any]) -> None:
    """Three tables whose handlers are known."""
    for table in ("one", "two", "three"):
        db.execute(f"create table {table} (id int primary key, status text not null)")  # type: ignore[call-overload]
        db.execute(f"insert into {table} values (1, 'new')")  # type: ignore[call-overload]
    with Engine(url, first, second, third) as engine:
        engine.run_due()


def tables(page: Page[Any]) -> set[str]:
    """Return the tables that lines are about."""
    return {each.table for each in page.items}


def test_g11_a_table_that_is_gone_or_does_not_fit_costs_its_own_lines_only(
    project: Project, db: psycopg.Connection[Any], three: None
) -> None:
    """The others are listed, each that is not is told once on standard error, and --json is an array as ever."""
    project.handlers(HANDLERS)
    db.execute("alter table two rename to two_gone; alter table three rename status to state")
    for command in ("status", "handlers"):
        listed = project.run(command, "--json")
        assert {each["table"] for each in objects(listed)} == {"public.one"}
        gone, misfit = listed.stderr.splitlines()
        assert "there is no table two" in gone
        assert "table public.three has no column 'status'" in misfit
        shown = project.run(command)
        assert (shown.returncode, shown.stderr.splitlines()) == (0, [gone, misfit])
    frame = project.run("top", "--once")
    assert "there is no table two" in frame.stdout
    assert "public.one" in frame.stdout or "one" in frame.stdout.split()
    db.execute("drop table one")
    assert "there is no table one" in the_line(project.run("status"))


def test_g11_a_table_that_is_locked_costs_its_own_lines_only(
    url: str, db: psycopg.Connection[Any], three: None
) -> None:
    """With who has it; also of the graph's numbers, of handlers without their code, and in a caller's transaction."""
    known = [first, second, third]
    with psycopg.connect(url, application_name="dump") as person:
        person.execute("lock table two in access exclusive mode")
        asked = Client(url, known, hurried=True)
        for page in (asked.status(), asked.handlers()):
            assert tables(page) == {"public.one", "public.three"}
            [fault] = page.faults
            assert f"session {person.info.backend_pid} of postgres (dump) has public.two locked" in fault
        counted = {each.table: each.statuses[0].rows for each in asked.graph(counts=True).machines}
        assert counted == {"public.one": 0, "public.two": None, "public.three": 0}
        with asked.watch() as eye:
            faults = {each.machine.table: each.fault for each in eye.look().machines}
        assert faults == {
            "public.one": None,
            "public.two": "another session has its table locked",
            "public.three": None,
        }
        assert [each.key for each in asked.find("one:1").items] == ["1"]
    db.execute("drop table two")
    without_code = Client(url, Client(url).registered())
    assert "there is no table" in without_code.status().faults[0]
    with psycopg.connect(url) as mine:
        page = Client(mine, known).status()
        assert (tables(page), len(page.faults)) == ({"public.one", "public.three"}, 1)
        assert mine.execute("select 1").fetchone() == (1,)


@handler("two", status="new", to="done")
def packs(row: Any) -> None: ...


@handler("two", status="open", to="done", column="payment")
def bills(row: Any) -> None: ...


@pytest.mark.parametrize("form", ["small", "indexed", "estimated"])
def test_rows_without_a_status_have_a_line_and_columns_are_told_apart(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """However the rows are counted; where there are several status columns, each line names its own."""
    db.execute("create table two (id int primary key, status text, payment text not null)")
    db.execute("insert into two select g, null, 'done' from generate_series(1, 300) g")
    db.execute("insert into two values (0, 'done', 'open')")
    if form != "small":
        monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 0.1)
        db.execute("create index on two (status)" if form == "indexed" else "analyze two")
    lines = Client(url, [packs, bills]).status().items
    found = {(each.column, each.status): (each.rows, each.exact) for each in lines}
    assert found["status", None] == (300, form != "estimated")
    assert found["status", "done"][0] == 1
    assert ("payment", None) not in found
    assert [as_object(each)["column"] for each in lines if each.status == "done"] == ["status", "payment"]
    with Client(url, [packs, bills]).watch() as eye:
        seen = {each.status for one in eye.look().machines for each in one.statuses}
        assert (None in seen) is (form == "small")  # all are counted together; else each status by itself
    db.execute("update two set status = 'new'")
    alone = Client(url, [packs]).status().items
    assert not any("column" in as_object(each) for each in alone)
    assert None not in [each.status for each in alone if each.exact]
