"""Rows of users' tables, by status and one by one: each row on one page, and no value that was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, ConfigurationError, PollerError
from poller.client import counts
from poller.client.refusals import NothingSelectedError, RefusedError
from tests.client.watching import BOUND, watched
from tests.command_line import known
from tests.times import one_in

if TYPE_CHECKING:
    import psycopg

TABLES = {
    "a composite key": ("(a int, b text, status text, primary key (b, a))", "g % 7, 'k' || g, '{}'", "new"),
    "a uuid": (
        "(id uuid primary key default gen_random_uuid(), status text)",
        "gen_random_uuid(), '{}'",
        "new",
    ),
    "a text of capitals": (
        '(id text collate "C" primary key, status text)',
        "chr(65 + g % 26) || g, '{}'",
        "new",
    ),
    "a bytea": ("(id bytea primary key, status text)", "decode(lpad(to_hex(g), 4, '0'), 'hex'), '{}'", "new"),
    "a time": ("(id timestamptz primary key, status text)", "now() + g * interval '1 s', '{}'", "new"),
    "a number as status": ("(id int primary key, status int)", "g, {}", "3"),
    "a flag as status": ("(id int primary key, status boolean)", "g, {}", "true"),
    "an enum as status": ("(id int primary key, status mood)", "g, '{}'", "new"),
    "a short text": ("(id int primary key, status varchar(8))", "g, '{}'", "new"),
    "a partitioned table": ("(id int primary key, status text) partition by hash (id)", "g, '{}'", "new"),
}


def make(db: psycopg.Connection[Any], kind: str) -> str:
    """Make a table of a kind, with 23 rows that are to be listed; return their status."""
    columns, values, status = TABLES[kind]
    other = {"3": "4", "true": "false"}.get(status, "old")
    db.execute("create type mood as enum ('old', 'new')")
    db.execute(f"create table things {columns}")
    if "partition" in columns:
        for number in range(3):
            db.execute(
                f"create table things_{number} partition of things for values with (modulus 3, remainder {number})"
            )
    db.execute(f"insert into things select {values.format(status)} from generate_series(1, 23) as g")
    db.execute(f"insert into things select {values.format(other)} from generate_series(101, 105) as g")
    known(db, "public.things", status)
    return status


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("kind", one_in(3, TABLES))
def test_each_row_is_on_one_page(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, kind: str, *, is_large: bool
) -> None:
    """Whatever the key and the status are; along an index where the table is large. Its key finds the row."""
    status = make(db, kind)
    if is_large:
        keys = ("status", "b", "a") if "composite" in kind else ("status", "id")
        db.execute(f"create index on things ({', '.join(keys)})")
        db.execute("analyze things")
        monkeypatch.setattr(counts, "LARGEST_SCAN_COST", -1.0)
    client, found, after = Client(url), list[str](), None
    while True:
        listed, page = client.listed("things", status, after=after, limit=10)
        found += [each.key for each in page.items]
        after = page.next
        if after is None:
            break
    back = [*found[20:]]
    while listed.previous is not None:
        listed, page = client.listed("things", status, before=listed.previous, limit=10)
        back = [each.key for each in page.items] + back
    assert found == back
    assert len(found) == 23
    assert len(set(found)) == 23
    assert client.row("things", found[3]).statuses == {"status": status}


def test_values_are_those_that_were_asked_for(url: str, db: psycopg.Connection[Any]) -> None:
    """As text that is cut; columns that the role may not read are not asked for."""
    db.execute(
        "create table things (id int primary key, status text, note text, secret text, logo bytea, at timestamptz)"
    )
    db.execute(
        "insert into things values (1, 'new', repeat('x', 5000), 'hunter2', '\\x0011', 'infinity'),"
        " (2, 'new', null, null, null, null)"
    )
    known(db, "public.things", "new")
    listed, page = Client(url).listed("things", "new", show=("note", "logo", "at", "nothing", "id", "status"))
    assert listed.columns == ("note", "logo", "at")
    assert listed.hidden == ("secret",)
    assert [each.values for each in page.items] == [("x" * 2000, "2 bytes", "infinity"), (None, None, None)]
    row = Client(url).row("things", "1", show=lambda name: name == "secret")
    assert {each.name: each.value for each in row.columns if each.is_shown} == {"secret": "hunter2"}
    assert [each.name for each in row.columns if each.is_key] == ["id"]


def test_no_more_rows_are_read_than_are_shown(url: str, db: psycopg.Connection[Any]) -> None:
    """Of a status that nearly all have, too, on its first page and far behind."""
    db.execute("create table things (id int primary key, status text)")
    db.execute(
        "insert into things select g, case when g % 100 = 0 then 'new' else 'done' end from generate_series(1, 60000) g"
    )
    db.execute("create index on things (status, id)")
    db.execute("analyze things")
    known(db, "public.things", "new")
    client = Client(url)
    for status in ("new", "done"):
        page = client.rows("things", status)
        with watched() as seen:
            client.rows("things", status)
            client.rows("things", status, after=page.next)
        listing = [rows for rows, text in seen.seen if '"public"."things"' in text]
        assert len(listing) >= 2
        assert max(listing) <= 60


FILTERED = {
    "an index of the column": ("create index on things (plan)", 10_001),
    "one of status, column and key": ("create index on things (status, plan, id)", 60),
    "one of column, status and key": ("create index on things (plan, status, id)", 60),
    "one of status and column": ("create index on things (status, plan)", 10_001),
    "one in which the key comes before": (
        "create index on things (status, id, plan); create index on things (plan)",
        10_001,
    ),
    "partitions": ("create index on things (plan)", 10_001),
}


@pytest.mark.parametrize("is_analyzed", [True, False], ids=["analyzed", "never analyzed"])
@pytest.mark.parametrize("form", one_in(3, FILTERED))
def test_g12_a_filter_goes_through_a_bounded_part_of_a_large_table(
    url: str, db: psycopg.Connection[Any], form: str, *, is_analyzed: bool
) -> None:
    """Whatever index serves: few rows are found, and of many a page or none."""
    index, most = FILTERED[form]
    partitions = " partition by hash (id)" if form == "partitions" else ""
    db.execute(f"create table things (id int, status text, plan int, primary key (id)){partitions}")
    for number in range(4) if partitions else ():
        db.execute(
            f"create table things_{number} partition of things for values with (modulus 4, remainder {number})"
        )
    db.execute(
        "insert into things select g, case when g % 3 = 0 then 'new' else 'done' end,"
        " case when g % 60 < 2 then 1 else 2 end from generate_series(1, 60000) g"
    )
    db.execute(index)
    if is_analyzed:
        db.execute("analyze things")
    known(db, "public.things", "new")
    client = Client(url)

    def keys(value: str, **more: Any) -> list[int]:
        return [
            int(each.key)
            for each in client.rows("things", "new", show=["plan"], where=("plan", value), **more).items
        ]

    with watched() as seen:
        page = client.rows("things", "new", show=["plan"], where=("plan", "1"))
        assert [int(each.key) for each in page.items] == [60 * at for at in range(1, 51)]
        assert keys("1", after=page.next) == [60 * at for at in range(51, 101)]
        assert keys("7") == []
        if most == 60:
            assert len(keys("2")) == 50
        else:
            with pytest.raises(RefusedError, match=r"more than 10,000 rows .*CREATE INDEX"):
                keys("2")
    listing = [(rows, text) for rows, text in seen.seen if '"public"."things"' in text]
    assert max(listing)[0] <= min(most + 100, BOUND), max(listing)
    with pytest.raises(RefusedError):
        keys("x")


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda client: client.rows("nothing", "new"), NothingSelectedError),
        (lambda client: client.rows("things", "new", column="id"), NothingSelectedError),
        (lambda client: client.rows("things", "new", after="x"), PollerError),
        (lambda client: client.rows("things", "new", after="WyJ4Il0"), RefusedError),
        (lambda client: client.rows("things", "new", limit=0), PollerError),
        (lambda client: client.rows("things", "new", after="WyIxIl0", before="WyIxIl0"), ConfigurationError),
        (lambda client: client.row("things", "x"), RefusedError),
        (lambda client: client.row("nothing", "1"), NothingSelectedError),
        (lambda client: client.job("nothing"), NothingSelectedError),
        (lambda client: client.run(4711), NothingSelectedError),
    ],
)
def test_what_makes_no_sense_is_refused(
    url: str, db: psycopg.Connection[Any], ask: Any, error: type[Exception]
) -> None:
    """In one line, with what is wrong."""
    db.execute("create table things (id int primary key, status text)")
    known(db, "public.things", "new")
    with pytest.raises(error):
        ask(Client(url))
