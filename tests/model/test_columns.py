"""Columns of every type and name, on their way to the handler (`Row`) and back (`Transition`)."""

from __future__ import annotations

import enum
import ipaddress
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.types import json as psycopg_json
from psycopg.types.json import Json, Jsonb
from psycopg.types.range import Range

from poller import Context, Row, Transition
from poller.db.connection import OwnConnection
from poller.ready_made.retention import age_out, purge
from tests import maintained
from tests.engines import column, moves, run, run_to_the_end
from tests.times import one_in

if TYPE_CHECKING:
    from poller.testing import Done

STATEMENTS = [path.read_text() for path in (Path(__file__).parents[2] / "sql").glob("*/*.sql")]
AWAKE = datetime(2024, 2, 29, 23, 59, 59, 999999, timezone(timedelta(hours=9)))


class Colour(enum.Enum):
    """An enum as a user's program has it."""

    RED = "red"


class Word(enum.StrEnum):
    """An enum whose members are text."""

    DARK = "dark"


# type: (what stands in the row, as SQL; what a handler sets; what is then read back)
TYPES: dict[str, tuple[str, Any, Any]] = {
    "smallint": ("-1", 7, 7),
    "bigint": ("9223372036854775807", -(2**63), -(2**63)),
    "numeric": ("'NaN'", Decimal("1e-50"), Decimal("1e-50")),
    "numeric(5,2)": ("1.5", 2.345, Decimal("2.35")),
    "real": ("0.1", 0.2, 0.2),
    "double precision": ("'-Infinity'", 0.1, 0.1),
    "boolean": ("true", False, False),
    "text": ("E'a\\\\b\"c,{}'", 'it\'s \\ "so", {100%}\n%s 🦆', 'it\'s \\ "so", {100%}\n%s 🦆'),
    "varchar(3)": ("'abc'", "NUL", "NUL"),
    "char(3)": ("'a'", "b", "b  "),
    "name": ("'a'", "b", "b"),
    "bytea": ("'\\x00ff'", b"\x00\xff\\\"'{,}", b"\x00\xff\\\"'{,}"),
    "uuid": ("'12345678-1234-1234-1234-123456789012'", UUID(int=7), UUID(int=7)),
    "date": ("'2024-02-29'", date(1, 1, 1), date(1, 1, 1)),
    "time": ("'12:34'", time(23, 59, 59, 999999), time(23, 59, 59, 999999)),
    "timetz": ("'12:34+02'", time(1, 2, tzinfo=UTC), time(1, 2, tzinfo=UTC)),
    "timestamp": ("'2024-02-29 12:34'", datetime(9999, 12, 31), datetime(9999, 12, 31)),  # noqa: DTZ001
    "timestamptz": ("'2024-02-29 12:34+02'", AWAKE, AWAKE),
    "timestamptz(0)": ("'2024-02-29 12:34+02'", AWAKE, AWAKE + timedelta(microseconds=1)),
    "interval": ("'1 day 02:03'", timedelta(days=-2, seconds=1), timedelta(days=-2, seconds=1)),
    "json": ("'{\"a\": [1, null]}'", {"b": ['"', "\\", None, 1.5]}, {"b": ['"', "\\", None, 1.5]}),
    "jsonb": ("'{\"a\": [1, null]}'", [{"b": "é\n"}, []], [{"b": "é\n"}, []]),
    "jsonb not null": ("'\"text\"'", "a text", "a text"),
    "jsonb check (true)": ("'1'", Jsonb({"wrapped": True}), {"wrapped": True}),
    "json check (true)": ("'1'", Json(None), None),
    "integer[]": ("'{1,NULL,3}'", [1, None, -2], [1, None, -2]),
    "text[]": ("'{a,NULL}'", ['a"b', "NULL", None, "", "{,}", "\\"], ['a"b', "NULL", None, "", "{,}", "\\"]),
    "text[][]": ("'{{a,b},{c,d}}'", [["x", "y"], ["z", None]], [["x", "y"], ["z", None]]),
    "bytea[]": ("'{}'", [b"\x00'\\", None], [b"\x00'\\", None]),
    "timestamptz[]": ("'{}'", [AWAKE], [AWAKE]),
    "jsonb[]": ("array['{\"a\": 1}'::jsonb]", [{"b": "{,'"}, None, "c"], [{"b": "{,'"}, None, "c"]),
    "int4range": ("'[1,5)'", Range(3, None, "[)"), Range(3, None, "[)")),
    "tstzrange": ("'empty'", Range(AWAKE, None, "(]"), Range(AWAKE, None, "()")),
    "inet": ("'10.0.0.0/8'", ipaddress.ip_address("::1"), ipaddress.ip_address("::1")),
    "macaddr": ("'08:00:2b:01:02:03'", "00:00:00:00:00:01", "00:00:00:00:00:01"),
    "bit(3)": ("B'101'", "010", "010"),
    "point": ("'(1,2)'", "(3,4)", "(3,4)"),
    "tsvector": ("'a b'", "c", "'c'"),
    "money": ("'1'", "2", "$2.00"),
    "pg_lsn": ("'0/1'", "0/2", "0/2"),
    "regclass": ("'pg_class'", "pg_type", "pg_type"),
    "mood": ("'so so'", 'sad "%{}', 'sad "%{}'),
    "mood[]": ("array['so so', null]::mood[]", '{"so so"}', '{"so so"}'),
    "positive": ("1", 2, 2),
    "pair": ("row(1, 'a')", '(2,"b ""c")', '(2,"b ""c")'),
    "citizen": ("'a'", "b", "b"),
}


@pytest.fixture
def types(db: psycopg.Connection[Any]) -> None:
    """An enum, domains and a composite type to make columns of."""
    db.execute("""create type mood as enum ('happy', 'so so', 'sad "%{}')""")
    db.execute("create domain positive as integer check (value > 0)")
    db.execute("create domain citizen as varchar(9) not null")
    db.execute("create type pair as (a int, b text)")


def make_task(db: psycopg.Connection[Any], kind: str, value: str) -> None:
    """Make a table with a column `x` of a type, and one pending row."""
    db.execute(f"create table task (id int primary key, status text, x {kind})")
    db.execute(f"insert into task values (1, 'pending', {value})")


def set_x(url: str, value: Any, **options: Any) -> list[Done]:
    """Run a handler that sets `x`."""
    return run(url, moves("task", lambda _: Transition("normal", x=value), **options))


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize("kind", one_in(3, TYPES))
def test_a_column_of_any_type_is_read_and_set(db: psycopg.Connection[Any], url: str, kind: str) -> None:
    """A handler finds in its row what psycopg gives its user, and sets what psycopg takes from its user."""
    stands, given, then = TYPES[kind]
    make_task(db, kind, stands)
    [before] = column(db, "select x from task")
    seen: list[Any] = []

    def step(row: Row) -> Transition:
        seen.append(row.x)
        return Transition("normal", x=given)

    done = run(url, moves("task", step))

    assert [(each.became, each.error) for each in done] == [("moved", None)]
    assert repr(seen) == repr([before])
    assert column(db, "select x from task") == [then]


def test_a_time_with_its_zone_is_set_in_the_databases_also_under_a_domain(
    db: psycopg.Connection[Any], url: str
) -> None:
    """A column without zone holds the digits of the database's zone, not those of the value's."""
    db.execute("create domain moment as timestamp")
    make_task(db, "moment", "null")
    assert [each.became for each in set_x(url, AWAKE)] == ["moved"]
    assert column(db, "select x from task") == [AWAKE.astimezone(UTC).replace(tzinfo=None)]


def backwards(data: Any) -> Any:
    """Read JSON as nobody expects it."""
    return bytes(data)[::-1]


class Money:
    """A type of a program's own."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


class MoneyDumper(Dumper):
    """How it is sent."""

    def dump(self, obj: Money) -> bytes:
        return b"%d" % obj.cents


class Shouting(Loader):
    """Reads what it is given as a text in capitals."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program registers with psycopg for all of its connections, until the test is over."""
    monkeypatch.setattr(psycopg_json._JsonLoader, "_loads", psycopg_json._JsonLoader._loads)
    monkeypatch.setattr(psycopg_json._JsonDumper, "_dumps", psycopg_json._JsonDumper._dumps)
    changed = AdaptersMap(psycopg.adapters)
    monkeypatch.setattr(psycopg.postgres, "adapters", changed)
    monkeypatch.setattr(psycopg, "adapters", changed)
    psycopg_json.set_json_loads(backwards)
    psycopg_json.set_json_dumps(lambda _: "nonsense")
    for name in ("text", "int4", "int8", "numeric", "uuid", "bool", "timestamptz", "varchar"):
        changed.register_loader(name, Shouting)
    changed.register_dumper(Money, MoneyDumper)


@pytest.mark.usefixtures("registered")
def test_what_a_program_registers_with_psycopg_is_how_its_rows_are_read_and_nothing_else(
    db: psycopg.Connection[Any], url: str
) -> None:
    """poller's own statements are not touched by it; a type of the program's own can be set."""
    make_task(db, "text", "'quiet'")
    db.execute("alter table task add cents int")
    seen: list[Any] = []

    def step(row: Row) -> Transition:
        seen.append(row.x)
        return Transition("normal", cents=Money(250))

    done = run(url, moves("task", step))

    assert [(each.became, each.key, each.error) for each in done] == [("moved", "1", None)]
    assert seen == [Shouting("text").load(b"quiet")]
    with psycopg.connect(url, context=OwnConnection.plain) as plain:
        assert plain.execute("select cents from task").fetchall() == [(250,)]


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize(
    "kind", one_in(4, [kind for kind in TYPES if "not null" not in kind and kind != "citizen"])
)
def test_null_is_none_both_ways(db: psycopg.Connection[Any], url: str, kind: str) -> None:
    """A NULL is None in the row, and None sets NULL: in a json column, too."""
    make_task(db, kind, "null")
    db.execute(f"insert into task values (2, 'pending', {TYPES[kind][0]})")
    seen: dict[int, Any] = {}

    def step(row: Row) -> Transition:
        seen[row.id] = row.x
        return Transition("normal", x=None)

    assert {each.became for each in run(url, moves("task", step))} == {"moved"}
    assert seen[1] is None
    assert column(db, "select x is null from task") == [True, True]


@pytest.mark.fault("F26")
@pytest.mark.parametrize(
    ("kind", "literal", "seen"),
    [
        ("timestamptz", "'infinity'", datetime.max.replace(tzinfo=UTC)),
        ("timestamptz", "'-infinity'", datetime.min.replace(tzinfo=UTC)),
        ("timestamp", "'infinity'", datetime.max),  # noqa: DTZ901 - it has no zone
        ("date", "'-infinity'", date.min),
        ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
        ("timestamptz", "'12345-01-01 00:00+00'", "12345-01-01 00:00:00+00"),
        ("time", "'24:00'", "24:00:00"),
        ("tstzrange", "'[2024-01-01 00:00+00,infinity)'", None),
        ("timestamptz[]", "'{infinity}'", [datetime.max.replace(tzinfo=UTC)]),
        ("json", f"'[{'9' * 5000}]'", f"[{'9' * 5000}]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_python_cannot_hold_stops_nobody(
    db: psycopg.Connection[Any], url: str, kind: str, literal: str, seen: Any
) -> None:
    """Infinite times are the greatest and the least that there are; what has no type at all comes as text."""
    make_task(db, kind, "null")
    db.execute(f"insert into task values (2, 'pending', {literal}), (3, 'pending', null)")
    found: dict[int, Any] = {}

    def step(row: Row) -> None:
        found[row.id] = row.x

    done = run(url, moves("task", step))

    assert [each.became for each in done] == ["moved"] * 3
    assert seen is None or found[2] == seen


# --- what is set --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"), [("text", Colour.RED), ("colour", Colour.RED), ("text", Word.DARK), ("text", "red")]
)
def test_a_member_of_an_enum_is_set_as_its_value(
    db: psycopg.Connection[Any], url: str, kind: str, value: Any
) -> None:
    """As for statuses: the value of a member is what is stored, in text and in enum columns alike."""
    db.execute("create type colour as enum ('red')")
    make_task(db, kind, "null")

    assert [each.became for each in set_x(url, value)] == ["moved"]
    assert column(db, "select x::text from task") == [getattr(value, "value", value)]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("varchar(3)", "four", "value too long for type character varying(3)"),
        ("char(3)", "four", "value too long for type character(3)"),
        ("bit(3)", "0101", "bit string length 4 does not match type bit(3)"),
        ("numeric(3,1)", 1000, "numeric field overflow"),
        ("smallint", 40000, "out of range"),
        ("integer", "seven", "invalid input syntax for type integer"),
        ("text not null", None, "null value in column"),
        ("integer check (x < 5)", 7, "violates check constraint"),
        ("integer unique", 9, "duplicate key value"),
        ("integer references task", 5, "violates foreign key constraint"),
        ("text", "nul \0", "NUL"),
        ("text", "surrogate \udcff", "surrogates not allowed"),
        ("text", object, "cannot adapt type 'type'"),
        ("jsonb", {"a": {1}}, "not JSON serializable"),
        ("jsonb", {"a": "\0"}, "unsupported Unicode escape sequence"),
        ("integer generated always as identity", 7, "generates it"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_the_column_refuses_fails_the_attempt(
    db: psycopg.Connection[Any], url: str, kind: str, value: Any, reason: str
) -> None:
    """Nothing is cut or rounded to fit: the attempt has failed, with the reason, and its neighbours move."""
    db.execute(f"create table task (id int primary key, status text, x {kind})")
    stands = (
        "default"
        if "identity" in kind or "unique" in kind or "references" in kind
        else "'1'"
        if kind == "jsonb"
        else "'001'"
    )
    for key in (1, 2, 3):
        db.execute(f"insert into task values ({key}, 'pending', {stands})")
    if "unique" in kind:
        db.execute("insert into task values (4, 'other', 9)")

    def step(row: Row) -> Transition | None:
        return Transition("normal", x=value) if row.id == 2 else None

    done = run_to_the_end(url, moves("task", step, attempts=2))

    assert [each.became for each in done if each.key != "2"] == ["moved"] * 2
    refused = [each for each in done if each.key == "2"]
    assert [each.became for each in refused] == ["retrying", "parked"]
    assert all(reason in (each.error or "") and "\n" not in (each.error or "") for each in refused)
    assert column(db, "select status from task where id = 2") == ["pending"]
    assert column(db, "select count(*) from poller.claim") == [0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "has no such column"),
        ("id", "is keyed by it"),
        ("status", "has it as its status"),
        ("double", "generates it"),
    ],
)
def test_a_column_that_cannot_be_set_fails_the_attempt(
    db: psycopg.Connection[Any], url: str, name: str, reason: str
) -> None:
    """A misspelt column, the key, the status itself, a generated one: the attempt says which and why."""
    db.execute(
        "create table task (id int primary key, status text, double int generated always as (id * 2) stored)"
    )
    db.execute("insert into task values (1, 'pending'), (2, 'pending')")

    def step(row: Row) -> Transition | None:
        return Transition("normal", **{name: 5}) if row.id == 2 else None

    done = run_to_the_end(url, moves("task", step, attempts=1))

    assert sorted(each.became for each in done) == ["moved", "parked"]
    [error] = [each.error or "" for each in done if each.became == "parked"]
    assert f"Transition cannot set {name!r}: table public.task {reason}" in error
    assert column(db, "select count(*) from poller.claim") == [0]


def test_rows_of_one_batch_may_set_different_columns(db: psycopg.Connection[Any], url: str) -> None:
    """Each row gets its own columns and values, and keeps those that its handler did not name."""
    db.execute("create table task (id int primary key, status text, a int, b text)")
    db.execute("insert into task select i, 'pending', 0, 'b' from generate_series(0, 11) as i")

    def step(row: Row) -> Transition | None:
        some: list[dict[str, Any]] = [{}, {"a": row.id}, {"b": "x"}, {"b": None, "a": -row.id}]
        return Transition("normal", **some[row.id % 4]) if row.id % 4 else None

    run(url, moves("task", step))

    rows = db.execute("select id, status, a, b from task order by id").fetchall()
    expected = [(0, "b"), (1, "b"), (0, "x"), (-3, None)]
    assert rows[:4] == [(at, "normal", *each) for at, each in enumerate(expected)]
    assert rows[9] == (9, "normal", 9, "b")


def test_the_columns_stay_as_they_are_if_the_row_does_not_move(db: psycopg.Connection[Any], url: str) -> None:
    """Compare and set holds for all of it: who changed the status meanwhile keeps his columns, too."""
    make_task(db, "text", "'his'")

    def step(_: Row) -> Transition:
        db.execute("update task set status = 'held'")
        return Transition("normal", x="ours")

    assert [each.became for each in run(url, moves("task", step))] == ["superseded"]
    assert db.execute("select status, x from task").fetchall() == [("held", "his")]


# --- names --------------------------------------------------------------------------------------------

# What poller's own statements call things, and what a mapping has methods for.
CLASHES = [
    "key",
    "keys",
    "value",
    "values",
    "items",
    "get",
    "index",
    "count",
    "poller_key",
    "t",
    "o",
    "k",
    "a",
    "c",
    "s",
    "m",
    "u",
    "l",
    "h",
    "y",
    "kind",
    "due",
    "retry",
    "lease",
    "place",
    "handler_id",
    "worker_id",
    "attempt",
    "state",
    "crashes",
    "company",
    "next_at",
    "error",
    "visit",
    "first_at",
    "changed_at",
    "keys_",
    "verdict",
    "to_status",
    "from_status",
    "delay",
    "seconds",
    "lease_no",
    "kind_no",
    "value_0",
    "value_1",
    "result",
    "outcome",
    "moved",
    "settled",
    "held",
    "retaken",
    "crashed",
    "is_due",
    "stands",
    "after",
    "columns",
    "table",
    "order",
    "user",
    "select",
    "where",
    "from",
    "limit",
    "now",
    "ctid_",
    "self",
    "status_",
    "_shape",
    "_values",
    "__class__",
    "__init__",
    "__dict__",
    "unnest",
    "array_agg",
    "poller",
    "public",
    "column_name",
    "name",
    "oid_",
    "new",
    "old",
    "id_",
]


def fail_once(_: Row, ctx: Context) -> None:
    """Fail at the first attempt."""
    if ctx.attempt == 1:
        raise RuntimeError


def test_a_column_may_be_called_anything(db: psycopg.Connection[Any], url: str) -> None:
    """Whatever names poller's own statements use, a user's columns may use: read, asked for, and set."""
    columns = [
        sql.SQL("{} int default {}").format(sql.Identifier(name), at) for at, name in enumerate(CLASHES)
    ]
    db.execute(
        sql.SQL("create table task (id int primary key, status text, {})").format(sql.SQL(", ").join(columns))
    )
    db.execute("insert into task (id, status) values (1, 'pending')")
    where = " and ".join(f'"{name}" = {at}' for at, name in enumerate(CLASHES))
    seen: list[Row] = []

    def step(row: Row) -> Transition:
        seen.append(row)
        if len(seen) == 1:
            raise RuntimeError
        return Transition("normal", **{name: -at for at, name in enumerate(CLASHES)})

    done = run_to_the_end(
        url, moves("task", step, during="busy", where=where, order_by='"poller_key", "key" desc, "t"')
    )

    assert [each.became for each in done] == ["retrying", "moved"]
    assert dict(seen[1]) == {"id": 1, "status": "busy"} | {name: at for at, name in enumerate(CLASHES)}
    assert seen[1].key == 1
    assert db.execute("select * from task").fetchall() == [(1, "normal", *range(0, -len(CLASHES), -1))]


@pytest.mark.parametrize(
    "name", one_in(3, ["key", "poller_key", "t", "o", "handler_id", "attempt", "k", "c", "a", "due"])
)
def test_a_key_or_a_status_may_be_called_anything(db: psycopg.Connection[Any], url: str, name: str) -> None:
    """The same holds for the columns that every statement names."""
    for table, (key, status) in {"one": (name, "status"), "two": ("id", name)}.items():
        db.execute(f'create table {table} ("{key}" text primary key, "{status}" text)')
        db.execute(f"insert into {table} values ('x', 'pending')")
        where = f'"{name}" is not null'

        done = run_to_the_end(url, moves(table, fail_once, column=status, during="busy", where=where))

        assert [(each.became, each.key) for each in done] == [("retrying", "x"), ("moved", "x")]
        assert column(db, f'select "{status}" from {table}') == ["normal"]


@pytest.fixture
def others(db: psycopg.Connection[Any]) -> str:
    """Tables of a user's that are called what our statements call their parts; and a condition that asks each."""
    names = {name for text in STATEMENTS for name in re.findall(r"(?:with|,) (\w+)(?: \(.*\))? as ", text)}
    assert {"looked", "held"} <= names
    names |= {"due", "listed", "locked", "look", "retry", "t", "turn"}
    for name in names:
        db.execute(sql.SQL("create table {} (ok text)").format(sql.Identifier(name)))
        db.execute(sql.SQL("insert into {} values ('yes')").format(sql.Identifier(name)))
    return " and ".join(f"""exists (select from "{name}" where ok = 'yes')""" for name in sorted(names))


@pytest.mark.parametrize(
    "options", [{}, {"per_key": "site"}, {"limit": 5}], ids=["plain", "per_key", "limit"]
)
def test_the_tables_that_a_condition_asks_may_be_called_anything(
    db: psycopg.Connection[Any], url: str, others: str, options: dict[str, Any]
) -> None:
    """A handler's `where` means the user's tables, at the first attempt and at a retry."""
    db.execute("create table task (id int primary key, site int, status text)")
    db.execute("insert into task values (1, 1, 'pending'), (2, 1, 'pending')")

    done = run_to_the_end(url, moves("task", fail_once, where=others, **options))

    assert sorted((each.became, each.key) for each in done) == [
        ("moved", "1"),
        ("moved", "2"),
        ("retrying", "1"),
        ("retrying", "2"),
    ]


def test_so_may_those_that_a_purge_and_an_age_out_ask(
    db: psycopg.Connection[Any], url: str, others: str
) -> None:
    """Their conditions are the user's, too."""
    db.execute("create table task (id int primary key, status text, at timestamptz)")
    db.execute("insert into task values (1, 'active', now() - interval '2 days'), (2, 'active', now())")
    old = {"column": "at", "older_than": "1d", "where": others, "pause": "0s"}

    assert maintained.run(age_out("task", status="active", to="disabled", **old), url).rows == 1
    assert maintained.run(purge("task", **old), url).rows == 1


@pytest.mark.fault("F23")
def test_a_column_added_while_the_engine_runs_is_no_fault(db: psycopg.Connection[Any], url: str) -> None:
    """The engine names the columns it knew at start-up; a later one is not seen, and is in nobody's way."""
    from poller.testing import Engine  # noqa: PLC0415 - here alone is it needed for itself

    make_task(db, "int", "5")
    seen: list[Row] = []
    with Engine(url, moves("task", seen.append)) as engine:
        engine.run_due()
        db.execute("alter table task add column y int default 7")
        for key in range(2, 12):
            db.execute("insert into task values (%s, 'pending', 5, 6)", [key])
            engine.run_due()

    assert [set(row) for row in seen] == [{"id", "status", "x"}] * 11
