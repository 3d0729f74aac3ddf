"""What a handler is, is written down when it is registered: `poller.handler.definition`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import handler
from poller.db.connection import Link
from poller.model.definition import define, rebuilt
from poller.store.binding import bind
from poller.store.liveness import register_handlers
from poller.testing import Engine
from tests.command_line import value

if TYPE_CHECKING:
    from collections.abc import Iterator


def _work(rows: Any) -> None: ...


FULL: dict[str, Any] = {
    "column": "state",
    "during": "busy",
    "on_failure": "stuck",
    "where": "id > 0",
    "order_by": "id desc",
    "due": "at",
    "attempts": 7,
    "timeout": "90s",
    "limit": 9,
    "rate": "100/1m",
    "per_key": ("site", "name"),
    "per_key_limit": 2,
    "batch": 5,
}


@pytest.fixture
def connection(url: str, db: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A link's connection, and a table with all that a handler can name."""
    db.execute(
        "create table thing (id int primary key, state text not null, at timestamptz, site int, name text)"
    )
    link = Link(url, "test")
    yield link.connection
    link.close()


def test_a_definition_says_all_that_a_handler_is(
    connection: psycopg.Connection[Any], db: psycopg.Connection[Any]
) -> None:
    """As data: durations in seconds, names as the database has them; and when it was seen."""
    made = handler("thing", status="new", to=("done", "odd"), **FULL)(_work)
    register_handlers(connection, [bind(db, made)])
    found = value(db, "select definition from poller.handler")
    assert abs(value(db, "select extract(epoch from now() - (%s)::timestamptz)", found.pop("seen_at"))) < 5
    assert found.pop("place").endswith("(_work)")
    assert found == {
        **{
            each: FULL[each]
            for each in ("column", "during", "on_failure", "where", "order_by", "due", "attempts")
        },
        **{each: FULL[each] for each in ("limit", "per_key_limit", "batch")},
        "to": ["done", "odd"],
        "timeout": 90.0,
        "rate": "100/60s",
        "per_key": ["site", "name"],
        "in_order": True,
        "function": "_work",
    }


def test_a_definition_is_that_of_the_program_that_started_last(
    connection: psycopg.Connection[Any], db: psycopg.Connection[Any]
) -> None:
    """One that is the same is not written again within a minute."""
    for to in ("done", "other", "other"):
        register_handlers(
            connection, [bind(db, handler("thing", status="new", to=to, column="state")(_work))]
        )
        version = value(db, "select xmin::text from poller.handler")
        assert value(db, "select definition -> 'to' from poller.handler") == [to]
    register_handlers(
        connection, [bind(db, handler("thing", status="new", to="other", column="state")(_work))]
    )
    assert value(db, "select xmin::text from poller.handler") == version
    db.execute("set poller.clock_offset = '2 minutes'")
    seen = value(db, "select definition ->> 'seen_at' from poller.handler")
    connection.execute("set poller.clock_offset = '2 minutes'")
    register_handlers(
        connection, [bind(db, handler("thing", status="new", to="other", column="state")(_work))]
    )
    assert value(db, "select definition ->> 'seen_at' from poller.handler") > seen


def test_a_row_that_is_locked_is_not_waited_for(
    connection: psycopg.Connection[Any], url: str, db: psycopg.Connection[Any]
) -> None:
    """A claim that must not overlap others holds it; the program starts, and the next one writes it."""
    made = bind(db, handler("thing", status="new", to="done", column="state")(_work))
    register_handlers(connection, [made])
    with psycopg.connect(url) as other:
        other.execute("select from poller.handler for no key update")
        again = bind(db, handler("thing", status="new", to="odd", column="state")(_work))
        register_handlers(connection, [again])
        assert again.id == made.id
    assert value(db, "select definition -> 'to' from poller.handler") == ["done"]


def test_the_definition_stays_when_the_code_is_gone(
    url: str, db: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    """For those who look on; a handler that is made of it claims the same rows, but for the SQL that it does not run."""
    made = handler("thing", status="new", to=("done", "odd"), **FULL)(_work)
    with Engine(url, made):
        pass
    with Engine(url, handler("thing", status="late", to="done", column="state")(_work)):
        pass
    kept = value(db, "select definition from poller.handler where status = 'new'")
    again = rebuilt("public.thing", "new", "state", kept)
    assert (again.where, again.order_by) == (None, None)
    same = (
        "column",
        "during",
        "on_failure",
        "due",
        "limit",
        "rate",
        "per_key",
        "per_key_limit",
        "batch",
        "to",
    )
    assert [getattr(again, each) for each in same] == [getattr(made, each) for each in same]
    assert bind(db, again).claim_first


@pytest.mark.parametrize("text", ["ü", "nul \0 in it", "half a pair \udc80", 'quotes " and \\'])
def test_a_place_may_hold_any_character(
    connection: psycopg.Connection[Any], db: psycopg.Connection[Any], text: str
) -> None:
    """What a database cannot store is escaped."""
    made = handler("thing", status="new", to="done", column="state")(_work)
    made.place = text
    register_handlers(connection, [bind(db, made)])
    assert value(db, "select definition ->> 'place' from poller.handler") == define(made)["place"]
