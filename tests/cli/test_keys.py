"""Keys that are easily taken for others: composite ones, the empty one, and numbers that are statuses, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, Fail, handler
from poller.client.refusals import RefusedError
from poller.testing import Engine
from tests.command_line import known, objects, the_line, value

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess

WRONG = ('[1, "us", 3]', "[1]", '{"a": 1}', "1")


def fails(row: Any) -> None:
    raise Fail("no")


def test_a_composite_key_has_all_its_parts_and_no_others(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Every command that takes a key refuses others in one line, and does nothing; nobody finds a row by them."""
    db.execute("create table part (a int, b text, status text, primary key (a, b))")
    db.execute("insert into part values (1, 'us', 'new')")
    with Engine(url, handler("part", status="new", to="old")(fails)) as engine:
        engine.run_due()
    for key in WRONG:
        for command in (
            ["retry", f"part:new:{key}"],
            ["retry", "part", key],
            ["release", f"part:new:{key}"],
            ["move", f"part:new:{key}", "old"],
            ["move", "part", "old", key],
            ["failures", f"part:new:{key}"],
            ["inflight", f"part:new:{key}"],
            ["explain", f"part:new:{key}"],
            ["history", "part", key],
        ):
            told = the_line(here.run(*command))
            assert "give its 2 parts (a, b) as a JSON array" in told, command
        with pytest.raises(RefusedError, match="2 parts"):
            Client(url).row("part", key)
        assert not [each for each in Client(url).find(key).items if each.kind == "row"]
    assert "2 parts" in the_line(here.run("move", 'part:[1,"us",3]', "old"))
    assert value(db, "select status from part") == "new"
    assert here.run("retry", 'part:new:[1,"us"]').returncode == 0


def test_the_row_whose_key_is_the_empty_text_can_be_named(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Explicitly, by a JSON array, since nothing behind a colon may be a variable that is not set."""
    db.execute("create table word (id text primary key, status text)")
    db.execute("insert into word values ('', 'new'), ('a', 'new')")
    with Engine(url, handler("word", status="new", to="old")(fails)) as engine:
        engine.run_due()
    assert [each["key"] for each in objects(here.run("failures", 'word:new:[""]', "--json"))] == [""]
    assert '"reason": "parked"' in here.run("explain", 'word:new:[""]', "--json").stdout
    assert here.run("history", "word", '[""]').returncode == 0
    assert "retrying 1 row" in here.run("retry", 'word:new:[""]').stdout
    assert "moved 1 row" in here.run("move", 'word:new:[""]', "old").stdout
    assert "moved 1 row" in here.run("move", 'word:[""]', "new").stdout
    assert "leave that out if all such rows are meant" in the_line(here.run("retry", "word:new:"))
    assert value(db, "select count(*) from poller.attempt") == 1


def test_a_number_that_is_a_key_and_a_status_can_be_named_as_either(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """The line that refuses it says how, and both work; the order is written down with the status."""
    db.execute("create table ki (id int primary key, status int not null)")
    db.execute("insert into ki values (1, 3), (2, 3), (3, 0)")
    known(db, "public.ki", "0")
    told = the_line(here.run("move", "ki:3", "1"))
    assert "poller move 'public.ki' '1' '3'" in told
    assert "poller move 'public.ki' '1' --from '3'" in told
    assert "moved 2 rows" in here.run("move", "public.ki", "1", "--from", "3").stdout
    assert "moved 1 row" in here.run("move", "public.ki", "1", "3").stdout
    assert "moved 1 row" in here.run("move", "ki:2", "0", "--from", "1").stdout
    assert value(db, "select array_agg(status order by id) from ki") == [1, 0, 1]
    assert "cannot hold the status 'x'" in the_line(here.run("move", "ki", "1", "--from", "x"))
    targets = [each["target"] for each in objects(here.run("actions", "--json"))]
    assert targets == ["ki:1:2", "public.ki", "public.ki:3"]


def test_what_is_no_table_is_told_in_the_words_of_the_command_line(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Neither the table of runs, which is poller's own, nor classes of Python; a gone table is drawn once."""
    db.execute("create table two (id int primary key, status text)")
    known(db, "poller.run", "tick")
    one = handler("two", status="new", to="old")(fails)
    with Engine(url, one) as engine:
        engine.run_due()
    for command in (["retry", "three"], ["history", "three", "1"], ["graph", "three"]):
        assert the_line(here.run(*command), 1).endswith("there are handlers for public.two")
    for command in (
        ["retry", ""],
        ["failures", ""],
        ["move", "", "x"],
        ["history", "", "1"],
        ["explain", ""],
    ):
        told = the_line(here.run(*command))
        assert "SQLAlchemy" not in told
    db.execute("drop table two")
    assert [each.table for each in Client(url, [one]).graph().machines] == ["public.two"]


def test_a_key_that_cannot_be_one_costs_itself_only(url: str, db: psycopg.Connection[Any]) -> None:
    """Its neighbours are found in whatever way they are written; deep and broken JSON are texts like any other."""
    db.execute("create table thing (id uuid primary key, status text)")
    db.execute("insert into thing values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'new')")
    with Engine(url, handler("thing", status="new", to="old")(fails)) as engine:
        engine.run_due()
    client = Client(url)
    for odd in ("oops", "[" * 5000, r'["\ud800"]'):
        assert client.retry("thing", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", odd]).rows == 1
        with Engine(url, handler("thing", status="new", to="old")(fails)) as engine:
            engine.run_due()
        assert client.find(odd).items == ()
