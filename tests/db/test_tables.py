"""Tables as people really have them: names, keys, status columns, partitions, triggers, foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from poller import Client, Context, Row, Snooze, Transition
from poller.client.triggers import add_triggers
from poller.store.binding import bind
from tests.engines import column, do_nothing, moves, run, run_to_the_end
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller import Handler
    from tests.claiming import NewWorker

IN_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def quoted(*names: str) -> str:
    """Return a table's name as it is given to `handler` when it may hold anything."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


# --- names --------------------------------------------------------------------------------------------

NAMES = [
    "Order",
    "select",
    "a.b",
    'we"ird',
    '"',
    "'",
    "100%",
    "%s",
    "%(handler)s",
    "{table}",
    "{}",
    "two words",
    " ",
    "naïve ☃ 表",
    "x" * 63,
    "ж" * 31,
    "back\\slash",
    "new\nline",
    "-- no; comment /*",
    "$1",
    ":name",
]


def whole_course(table: str, key: str, status: str, note: str) -> Handler:
    """A handler whose rows fail, are put off, and then move: all statements that name the table run."""

    def step(row: Row, ctx: Context) -> Transition:
        assert row[key] == 7
        assert row[status] == "busy"
        if ctx.attempt == 1:
            raise RuntimeError("first")
        if row[note] is None and not put_off:
            put_off.append(True)
            raise Snooze("1m")
        return Transition("normal", **{note: "done"})

    put_off: list[bool] = []
    return moves(table, step, column=status, during="busy", on_failure="lost")


def check_course(db: psycopg.Connection[Any], url: str, table: sql.Identifier, names: list[str]) -> None:
    """Make the table, run the course, and see that it ended as it should."""
    given_name, key, status, note = names
    ddl = sql.SQL("create table {} ({} integer primary key, {} text not null, {} text)")
    parts = [sql.Identifier(name) for name in (key, status, note)]
    db.execute(ddl.format(table, *parts))
    db.execute(sql.SQL("insert into {} values (7, 'pending', null)").format(table))

    done = run_to_the_end(url, whole_course(given_name, key, status, note))

    assert [each.became for each in done] == ["retrying", "snoozed", "moved"]
    assert db.execute(sql.SQL("select * from {}").format(table)).fetchall() == [(7, "normal", "done")]


@pytest.mark.parametrize("name", one_in(4, NAMES))
def test_any_name_of_a_schema_and_a_table_will_do(db: psycopg.Connection[Any], url: str, name: str) -> None:
    """Mixed case, reserved words, dots, quotes, percent signs, braces, unicode, 63 bytes."""
    db.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
    names = [quoted(name, name), "id", "status", "note"]
    check_course(db, url, sql.Identifier(name, name), names)


@pytest.mark.parametrize("at", one_in(3, ["key", "status", "set"]))
def test_any_name_of_a_column_will_do(db: psycopg.Connection[Any], url: str, at: str) -> None:
    """The key, the status and a column that is set may each have any name."""
    for number, name in enumerate(NAMES):
        names = {"key": "id", "status": "status", "set": "note"} | {at: name}
        check_course(db, url, sql.Identifier(f"task{number}"), [f"task{number}", *names.values()])


@pytest.mark.fault("F27")
@IN_ONE_DATABASE
@given(st.data())
def test_any_identifier_at_all_will_do(db: psycopg.Connection[Any], url: str, data: st.DataObject) -> None:
    """Whatever Postgres takes as a name of a table or of its columns, a handler takes."""
    characters = st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
    name = st.text(characters, min_size=1, max_size=63).filter(lambda text: len(text.encode()) <= 63)
    table, *columns = data.draw(st.tuples(name, name, name, name).filter(lambda four: len({*four[1:]}) == 3))
    try:
        check_course(db, url, sql.Identifier(table), [quoted(table), *columns])
    finally:
        db.execute(sql.SQL("drop table {}").format(sql.Identifier(table)))


def test_the_plain_name_is_taken_in_its_exact_case(db: psycopg.Connection[Any], url: str) -> None:
    """`"Order.Select"` needs no quotes of its own: it is the schema Order and the table Select."""
    db.execute('create schema "Order"')
    db.execute('create table "Order"."Select" ("order" int primary key, "Status" text)')
    db.execute("""insert into "Order"."Select" values (1, 'pending')""")

    run(url, moves("Order.Select", column="Status"))

    assert column(db, 'select "Status" from "Order"."Select"') == ["normal"]


def test_tables_whose_names_join_to_the_same_text_are_two(db: psycopg.Connection[Any], url: str) -> None:
    """The table c of the schema a.b and the table b.c of the schema a do not share their attempts."""
    for each, table in (("a.b", "c"), ("a", "b.c")):
        db.execute(sql.SQL("create schema {}").format(sql.Identifier(each)))
        identifier = sql.Identifier(each, table)
        db.execute(sql.SQL("create table {} (id int primary key, status text)").format(identifier))
        db.execute(sql.SQL("insert into {} values (1, 'pending')").format(identifier))

    def refuse(_: Row) -> None:
        raise RuntimeError

    bad, good = moves('"a.b".c', refuse, attempts=1), moves('a."b.c"')
    assert [each.became for each in run(url, bad)] == ["parked"]
    assert [each.became for each in run(url, good)] == ["moved"]
    assert column(db, 'select status from "a.b".c union all select status from a."b.c"') == [
        "pending",
        "normal",
    ]


# --- keys ---------------------------------------------------------------------------------------------

TEXTS = [
    "plain",
    "",
    " ",
    "NULL",
    "null",
    'double " quote',
    "single ' quote",
    "back \\ slash",
    "\\",
    '"',
    "{brace}",
    "{}",
    "a,b",
    "[1, 2]",
    "new\nline",
    "tab\tand\rreturn",
    "%s %(key)s 100%",
    "emoji 🦆 é ☃",
    "\x01\x7f",
    "x" * 2000,
]

KEYS: dict[str, list[str]] = {
    "smallint": ["-32768", "-1", "0", "1", "2", "32767"],
    "integer": ["-2147483648", "-1", "0", "1", "2", "2147483647"],
    "bigint": ["-9223372036854775808", "-1", "0", "1", "2", "9223372036854775807"],
    "uuid": [f"{digit * 8}-0000-0000-0000-000000000000" for digit in "0159af"],
    "text": TEXTS,
    "varchar(2000)": TEXTS,
    'text collate "C"': TEXTS,
    "bytea": ["", "\\x00", "\\x5c", "\\x22", "\\xff", "\\x7b7d"],
    "char(5)": ["", "a", "ab", "abc  ", "abcde", "{,\\"],
    "numeric": ["0", "0.10", "-1.5", "1e60", "NaN", "Infinity", "0.000000000000000000001"],
    "numeric(9,2)": ["0", "0.10", "-1.5", "1e6", "7", "8"],
    "double precision": ["0", "0.1", "1e300", "-1e-300", "Infinity", "NaN"],
    "real": ["0", "0.1", "1e30", "-1e-30", "Infinity", "NaN"],
    "boolean": ["false", "true"],
    "date": ["2000-01-01", "2024-02-29", "1970-01-01", "0001-01-01", "9999-12-31"],
    "timestamp": ["2000-01-01", "2024-02-29 23:59:59.999999", "0001-01-01", "9999-12-31", "2001-01-01"],
    "timestamptz": ["2000-01-01", "2024-02-29 23:59:59.999999+09", "1999-01-01", "9999-12-30", "2001-01-01"],
    "time": ["00:00", "23:59:59.999999", "12:00", "12:01", "12:02"],
    "interval": ["1 day", "-1 mon", "1 year 2 mons 3 days 04:05:06.789", "00:00:00.000001", "2 days"],
    "inet": ["127.0.0.1", "10.0.0.0/8", "::1", "fe80::/64", "1.2.3.4"],
    "macaddr": [f"08:00:2b:01:02:0{digit}" for digit in range(5)],
    "oid": ["1", "2", "3", "4", "4294967295"],
    "bit(3)": ["000", "001", "010", "011", "111"],
    "int4range": ["empty", "[1,5)", "[2,)", "(,3)", "[7,8)"],
    "jsonb": ["1", '"a"', '{"a": [1, null]}', "[]", "null", '"\\""'],
    "integer[]": ["{}", "{1}", "{1,NULL}", "{1,2}", "{{1,2},{3,4}}"],
    "text[]": ["{}", '{"a,b"}', '{NULL,"NULL"}', '{"\\""}', "{a,b}"],
    "mood": ["happy", "so so", 'sad "%{}', "5", "NULL"],
    "positive": ["1", "2", "3", "4", "5"],
    '"char"': ["a", "b", "c", '"', "\\\\"],
    "name": ["a", "b", "c", "select", 'we"ird'],
}


@pytest.fixture
def types(db: psycopg.Connection[Any]) -> None:
    """An enum and a domain to make columns of."""
    db.execute("""create type mood as enum ('happy', 'so so', 'sad "%{}', '5', 'NULL')""")
    db.execute("create domain positive as integer check (value > 0)")


def fails_first(seen: list[Any]) -> Any:
    """Return a handler's function that fails at the first attempt and notes the keys of both."""

    def step(row: Row, ctx: Context) -> None:
        seen.append(row.key)
        if ctx.attempt == 1:
            raise RuntimeError

    return step


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize("kind", one_in(4, KEYS))
def test_a_key_may_be_of_any_type(db: psycopg.Connection[Any], url: str, kind: str) -> None:
    """Rows with such keys are claimed, fail, are claimed again and move, each twice and no other."""
    db.execute(f"create table task (id {kind} primary key, status text default 'pending')")
    for value in KEYS[kind]:
        db.execute("insert into task (id) values (%s)", [value])
    keys = column(db, "select id from task")
    seen: list[Any] = []

    done = run_to_the_end(url, moves("task", fails_first(seen)))

    assert sorted(each.became for each in done) == ["moved"] * len(keys) + ["retrying"] * len(keys)
    assert sorted(map(repr, seen)) == sorted(map(repr, keys + keys))
    assert column(db, "select distinct status from task") == ["normal"]
    assert column(db, "select count(*) from poller.attempt") == [0]
    assert column(db, "select count(*) from poller.claim") == [0]


@pytest.mark.parametrize("key", ["id", "id, no"])
@pytest.mark.parametrize("options", [{"during": "busy"}, {"transactional": True, "per_key": "id"}], ids=str)
def test_a_key_may_be_a_name_that_the_search_path_shortens(
    db: psycopg.Connection[Any], url: str, key: str, options: dict[str, Any]
) -> None:
    """Poller's statements have one path, those that run the user's triggers another."""
    db.execute(
        "create table task (id regclass, no regtype default 'integer', status text default 'pending',"
        f" primary key ({key}))"
    )
    db.execute("insert into task values ('task'), ('pg_class'), ('poller.claim')")

    done = run_to_the_end(url, moves("task", fails_first([]), **options))

    assert sorted(each.became for each in done) == ["moved"] * 3 + ["retrying"] * 3
    assert column(db, "select distinct status from task") == ["normal"]
    assert column(db, "select key from poller.attempt") == []
    one = "public.task" if key == "id" else '["public.task", "integer"]'
    events = Client(url).history("task", one, back="20d").items
    assert [each.verdict for each in events] == ["retrying", "moved"]


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize(
    "kinds",
    [
        ("integer", "text"),
        ("text", "text"),
        ("uuid", "timestamptz"),
        ("bigint", "date", "bytea"),
        ("numeric", "boolean"),
        ("mood", "positive"),
        ("char(5)", "interval"),
        ("double precision", "time"),
        ("integer", "integer[]"),
        ("jsonb", "integer"),
        ("int4range", '"char"'),
    ],
    ids=", ".join,
)
def test_a_key_may_have_several_columns(
    db: psycopg.Connection[Any], url: str, kinds: tuple[str, ...]
) -> None:
    """`row.key` is then the tuple of them, in the key's order; the columns stand in another."""
    names = [f"part{at}" for at in range(len(kinds))]
    parts = ", ".join(f"{name} {kind}" for name, kind in zip(reversed(names), reversed(kinds), strict=True))
    key = ", ".join(names)
    db.execute(f"create table task (status text default 'pending', {parts}, primary key ({key}))")
    longest = max(len(KEYS[kind]) for kind in kinds)
    for at in range(longest):
        values = [KEYS[kind][at % len(KEYS[kind])] for kind in kinds]
        holes = ", ".join(["%s"] * len(kinds))
        db.execute(f"insert into task ({key}) values ({holes}) on conflict do nothing", values)
    keys = db.execute(f"select {key} from task").fetchall()
    seen: list[Any] = []

    done = run_to_the_end(url, moves("task", fails_first(seen)))

    assert sorted(each.became for each in done) == ["moved"] * len(keys) + ["retrying"] * len(keys)
    assert sorted(map(repr, seen)) == sorted(map(repr, keys + keys))
    assert column(db, "select distinct status from task") == ["normal"]


@pytest.mark.fault("F27")
@IN_ONE_DATABASE
@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
        min_size=1,
        unique=True,
    )
)
def test_a_key_may_be_any_text(db: psycopg.Connection[Any], url: str, keys: list[str]) -> None:
    """Whatever text Postgres can store is a key, alone and as a part of one, in flight and in trouble."""
    db.execute("drop table if exists one, two")
    db.execute("create table one (id text primary key, status text default 'pending')")
    db.execute("create table two (id text, no text, status text default 'pending', primary key (id, no))")
    with db.cursor() as cursor:
        cursor.executemany("insert into one values (%s)", [[key] for key in keys])
        cursor.executemany("insert into two values (%s, %s)", [[key, key[::-1]] for key in keys])
    single: list[Any] = []
    double: list[Any] = []

    run_to_the_end(url, moves("one", fails_first(single)), moves("two", fails_first(double)))

    assert sorted(single) == sorted(keys + keys)
    assert sorted(double) == sorted((key, key[::-1]) for key in keys + keys)
    assert column(db, "select status from one union select status from two") == ["normal"]


# --- status columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("text", ["pending", "busy", "normal", "lost"]),
        ("text", ["100% {ready}", 'it\'s "so"', "\\", ""]),
        ("varchar(7)", ["pending", "busy", "normal", "lost"]),
        ("char(9)", ["pending", "busy", "normal", "lost"]),
        ("name", ["pending", "busy", "normal", "lost"]),
        ("integer", [0, 1, -2, 2147483647]),
        ("smallint", [0, 1, -2, 32767]),
        ("bigint", [0, 1, -2, 9223372036854775807]),
        ("numeric(3,0)", [0, 1, -2, 999]),
        ("boolean", [False, None, True, None]),
        ("state", ["pending", "100% {ready}", "it's", "lost"]),
        ('"Other schema"."State %s"', ["pending", "busy", "normal", "lost"]),
        ("word", ["pending", "busy", "normal", "lost"]),
        ("of_states", ["pending", "100% {ready}", "it's", "lost"]),
    ],
    ids=str,
)
def test_a_status_may_be_of_any_type(
    db: psycopg.Connection[Any], url: str, kind: str, statuses: list[Any]
) -> None:
    """Text, number, truth, enum, domain: such rows are claimed, shown as in work, retried, moved, failed."""
    db.execute("create type state as enum ('pending', '100% {ready}', 'it''s', 'lost', 'never')")
    db.execute('create schema "Other schema"')
    db.execute("""create type "Other schema"."State %s" as enum ('pending', 'busy', 'normal', 'lost')""")
    db.execute("create domain word as text not null check (value in ('pending', 'busy', 'normal', 'lost'))")
    db.execute(
        "create domain sure as state check (value <> 'never'); create domain of_states as sure not null"
    )
    due, during, to, lost = statuses
    db.execute(f"create table task (id int primary key, status {kind} not null)")
    for key in range(4):
        db.execute("insert into task values (%s, %s)", [key, due])
    shown: set[Any] = set()

    def step(row: Row, ctx: Context) -> None:
        with psycopg.connect(url) as other:
            shown.update(other.execute("select status from task where id = %s", [row.id]).fetchone() or ())
        if ctx.attempt == 1 or (row.id == 3 and lost is not None):
            raise RuntimeError

    run_to_the_end(url, moves("task", step, status=due, to=to, during=during, on_failure=lost, attempts=3))

    stripped = str.strip if kind.startswith("char") else lambda value: value
    assert {stripped(each) for each in shown} == {due if during is None else during}
    ends = [stripped(each) for each in column(db, "select status from task order by id")]
    assert ends == [to, to, to, to if lost is None else lost]


# --- partitions, generated columns, identity ----------------------------------------------------------


def test_what_a_primary_key_only_includes_is_not_part_of_it(db: psycopg.Connection[Any], url: str) -> None:
    """The key is what is unique: another column of its index may be null, or changed by the handler."""
    db.execute(
        "create table task (id int, note text, status text default 'pending', primary key (id) include (note))"
    )
    db.execute("insert into task values (1, null), (2, 'x')")
    keys: list[Any] = []

    def work(task: Row) -> Transition:
        keys.append(task.key)
        return Transition("normal", note="new")

    done = run(url, moves("task", work))

    assert sorted(keys) == [1, 2]
    assert sorted((each.key, each.became) for each in done) == [("1", "moved"), ("2", "moved")]


def test_a_table_that_inherits_is_handled_alone(db: psycopg.Connection[Any], url: str) -> None:
    """Only its parent holds rows of two tables; the heir has a key of its own."""
    db.execute("create table parent (id int primary key, status text default 'pending')")
    db.execute("create table task (primary key (id)) inherits (parent)")
    db.execute("insert into parent values (1); insert into task values (1)")

    assert [done.became for done in run(url, moves("task"))] == ["moved"]
    assert db.execute("select status from only parent").fetchall() == [("pending",)]


def test_a_partitioned_table_is_one_table(db: psycopg.Connection[Any], url: str) -> None:
    """Its rows, keyed by id and time, are found in every partition and in those added later."""
    db.execute("""
        create table event (id bigint generated always as identity, at timestamptz, status text,
                            primary key (id, at)) partition by range (at);
        create table event_old partition of event for values from (minvalue) to ('2020-01-01');
        create table event_new partition of event for values from ('2020-01-01') to ('2030-01-01');
        create table event_rest partition of event default;
        insert into event (at, status)
        select timestamptz '2010-01-01 01:02:03.456789+05' + i * interval '1 year', 'pending'
          from generate_series(0, 29) as i""")
    seen: list[Any] = []

    done = run_to_the_end(url, moves("event", fails_first(seen)))

    assert len([each for each in done if each.became == "moved"]) == 30
    assert sorted(seen) == sorted(db.execute("select id, at from event").fetchall() * 2)
    assert db.execute("select tableoid::regclass::text, status, count(*) from event group by 1, 2").fetchall()
    assert column(db, "select distinct status from event") == ["normal"]


def test_a_row_may_move_to_another_partition_with_its_status(db: psycopg.Connection[Any], url: str) -> None:
    """A table may be partitioned by the status itself, which is then a part of the key."""
    db.execute("""
        create table task (id int, status text, primary key (id, status)) partition by list (status);
        create table task_open partition of task for values in ('pending');
        create table task_rest partition of task default;
        insert into task select i, 'pending' from generate_series(1, 9) as i""")
    seen: list[Any] = []

    run_to_the_end(url, moves("task", fails_first(seen)))

    assert sorted(seen) == sorted([(i, "pending") for i in range(1, 10)] * 2)
    assert column(db, "select count(*) from task_rest where status = 'normal'") == [9]


def test_generated_and_identity_columns_are_read_and_left_alone(
    db: psycopg.Connection[Any], url: str
) -> None:
    """A row has its generated columns; those that depend on the status follow it."""
    db.execute("""
        create table task (id int generated always as identity primary key, status text default 'pending',
                           is_open boolean generated always as (status = 'pending') stored);
        insert into task default values""")
    seen: list[Row] = []

    run(url, moves("task", seen.append, during="busy"))

    assert [(row.id, row.is_open) for row in seen] == [(1, False)]  # the row as it stands while in work
    assert db.execute("select status, is_open from task").fetchall() == [("normal", False)]


# --- triggers -----------------------------------------------------------------------------------------


def make_task(db: psycopg.Connection[Any], rows: int = 5) -> None:
    """Make a table of pending rows."""
    db.execute("create table task (id int primary key, status text not null)")
    db.execute("insert into task select i, 'pending' from generate_series(1, %s) as i", [rows])


def add_trigger(db: psycopg.Connection[Any], condition: str, body: str, name: str = "watch") -> None:
    """Have a row trigger run the body before an UPDATE of a task for which the condition holds."""
    db.execute(f"""
        create function watch() returns trigger language plpgsql as $$
        begin if {condition} then {body}; end if; return new; end $$;
        create trigger {name} before update on task for each row execute function watch()""")


def add_constraint_trigger(db: psycopg.Connection[Any], condition: str) -> None:
    """Have COMMIT refuse an UPDATE of a task for which the condition holds."""
    db.execute(f"""
        create function watch() returns trigger language plpgsql as $$
        begin if {condition} then raise exception 'not now'; end if; return null; end $$;
        create constraint trigger watch after update on task deferrable initially deferred
            for each row execute function watch()""")


REFUSES = "raise exception 'over my\ndead body'"
BREAKS = f"{REFUSES} using errcode = 'index_corrupted'"
SWALLOWS = "return null"


def test_a_trigger_that_sets_another_status_has_refused_the_move(
    db: psycopg.Connection[Any], url: str
) -> None:
    """What the history says must be what the table shows; what else a trigger makes of a row stands."""
    make_task(db)
    db.execute("alter table task add seen bool")
    add_trigger(db, "new.status = 'normal' and new.id = 3", "new.status := 'inspected'")
    db.execute("alter function watch() rename to inspect")
    add_trigger(db, "true", "new.seen := true", name="note")

    done = run_to_the_end(url, moves("task", attempts=2))

    assert [each.became for each in done if each.key == "3"] == ["retrying", "parked"]
    assert column(db, "select status from task where seen order by id") == ["normal"] * 4


@pytest.mark.fault("F34")
@pytest.mark.parametrize("body", [REFUSES, BREAKS, SWALLOWS], ids=["raises", "is broken", "returns null"])
def test_a_row_that_a_trigger_refuses_fails_alone(db: psycopg.Connection[Any], url: str, body: str) -> None:
    """Its attempts fail, with the reason, until it is parked; the rows claimed with it move."""
    make_task(db)
    add_trigger(db, "new.id = 3", body)

    done = run_to_the_end(url, moves("task", attempts=3))

    refused = [each for each in done if each.key == "3"]
    assert [(each.became, each.attempt) for each in refused] == [
        ("retrying", 1),
        ("retrying", 2),
        ("parked", 3),
    ]
    reason = "trigger or rule" if body is SWALLOWS else "over my dead body"
    assert all(reason in (each.error or "") and "\n" not in (each.error or "") for each in refused)
    assert column(db, "select id from task where status = 'pending'") == [3]
    assert column(db, "select key from poller.attempt where state = 'parked'") == ["3"]
    assert column(db, "select count(*) from poller.claim") == [0]


@pytest.mark.parametrize("body", [REFUSES, SWALLOWS], ids=["raises", "returns null"])
def test_a_row_that_may_not_fail_is_parked(db: psycopg.Connection[Any], url: str, body: str) -> None:
    """Where a trigger refuses `on_failure`, too, the row is parked, and both reasons are told."""
    make_task(db)
    add_trigger(db, "new.status = 'lost'", body)

    def fail(_: Row) -> None:
        raise RuntimeError("handler's own")

    done = run_to_the_end(url, moves("task", fail, on_failure="lost", attempts=1))

    assert [each.became for each in done] == ["parked"] * 5
    assert all("handler's own" in (each.error or "") for each in done)
    assert all("on_failure" in (each.error or "") for each in done)
    assert column(db, "select distinct status from task") == ["pending"]


@pytest.mark.parametrize("body", [REFUSES, SWALLOWS], ids=["raises", "returns null"])
def test_a_row_that_may_not_be_shown_in_work_fails_alone(
    db: psycopg.Connection[Any], url: str, body: str
) -> None:
    """Where a trigger refuses `during` for a row, that row's attempts fail; the others go on."""
    make_task(db)
    add_trigger(db, "new.status = 'busy' and new.id = 3", body)

    done = run_to_the_end(url, moves("task", during="busy", attempts=2))

    assert column(db, "select status from task order by id") == [
        "normal",
        "normal",
        "pending",
        "normal",
        "normal",
    ]
    refused = [each.became for each in done if each.key == "3"]
    assert refused == ["retrying", "parked"]


def test_a_row_to_which_during_gives_another_key_fails_alone(db: psycopg.Connection[Any], url: str) -> None:
    """It could not be found again, nor taken back from `during`: the UPDATE is undone, and the reason is told."""
    make_task(db)
    add_trigger(db, "new.status = 'busy' and new.id = 3", "new.id := 103")

    done = run_to_the_end(url, moves("task", during="busy", attempts=2))

    assert column(db, "select id::text || status from task where status <> 'normal'") == ["3pending"]
    refused = [each for each in done if each.key == "3"]
    assert [each.became for each in refused] == ["retrying", "parked"]
    assert all("changed the key to 103" in (each.error or "") for each in refused)


def test_a_constraint_trigger_on_during_fails_its_row_alone(db: psycopg.Connection[Any], url: str) -> None:
    """Deferred, it would speak at the claim's COMMIT, for all its rows at once; it is asked before."""
    make_task(db)
    add_constraint_trigger(db, "new.status = 'busy' and new.id = 3")

    run_to_the_end(url, moves("task", during="busy", on_failure="lost", attempts=2))

    assert column(db, "select status from task order by id") == [
        "normal",
        "normal",
        "lost",
        "normal",
        "normal",
    ]


def test_a_handler_gets_the_row_as_it_stands_in_work(db: psycopg.Connection[Any], url: str) -> None:
    """What a trigger sets with `during` is in the row: a version to compare with, say."""
    make_task(db, 1)
    db.execute("alter table task add version int not null default 1")
    add_trigger(db, "new.status = 'busy'", "new.version := old.version + 1")
    seen: list[Row] = []

    run(url, moves("task", seen.append, during="busy"))

    assert [(row.status, row.version) for row in seen] == [("busy", 2)]


@pytest.mark.parametrize("body", [REFUSES, SWALLOWS], ids=["raises", "returns null"])
def test_a_row_that_may_not_come_back_is_parked(db: psycopg.Connection[Any], url: str, body: str) -> None:
    """Where a trigger refuses the way back from `during`, the row is parked as it stands."""
    make_task(db, 1)
    add_trigger(db, "old.status = 'busy'", body)

    done = run_to_the_end(url, moves("task", during="busy", attempts=2))

    assert [each.became for each in done] == ["parked"]
    assert column(db, "select status from task") == ["busy"]
    assert column(db, "select state from poller.attempt") == ["parked"]


def test_a_constraint_trigger_at_commit_fails_its_row_alone(db: psycopg.Connection[Any], url: str) -> None:
    """A deferred trigger speaks at COMMIT only; its row fails, and the others move."""
    make_task(db)
    add_constraint_trigger(db, "new.id = 3")

    done = run_to_the_end(url, moves("task", attempts=2))

    assert [each.became for each in done if each.key == "3"] == ["retrying", "parked"]
    assert column(db, "select id from task where status = 'pending'") == [3]


def test_a_rule_on_deletes_is_in_nobodys_way(db: psycopg.Connection[Any], url: str) -> None:
    """Only rules on updates concern a handler."""
    make_task(db, 1)
    db.execute("create rule keep as on delete to task do instead nothing")

    assert [each.became for each in run(url, moves("task"))] == ["moved"]


# --- foreign keys -------------------------------------------------------------------------------------


@pytest.fixture
def family(db: psycopg.Connection[Any]) -> None:
    """A table of tasks, and a table whose rows belong to them."""
    make_task(db, 3)
    db.execute("create table note (id int generated always as identity, task int references task)")


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Another session, which does not wait for locks for long."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set lock_timeout = '300ms'")
        yield connection


@pytest.mark.usefixtures("family")
def test_a_child_row_can_be_inserted_while_its_parent_is_being_claimed(
    db: psycopg.Connection[Any], other: psycopg.Connection[Any], join: NewWorker
) -> None:
    """The claim's lock is FOR NO KEY UPDATE: it excludes writers of the row, and no child's insert."""
    worker = join(bind(db, moves("task")))
    with worker.link.connection.transaction():
        assert [task.key for task in worker.claim(2)] == ["1", "2"]

        other.execute("insert into note (task) values (1)")
        other.execute("select from task where id = 1 for key share nowait")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("select from task where id = 1 for share nowait")
        other.execute("select from task where id = 3 for update nowait")


@pytest.mark.usefixtures("family")
def test_a_child_row_can_be_inserted_while_its_parent_is_leased(
    url: str, other: psycopg.Connection[Any]
) -> None:
    """While its handler runs a row is not locked at all: children come, and the parent can be changed."""

    def step(row: Row) -> None:
        other.execute("insert into note (task) values (%s)", [row.id])
        other.execute("select from task where id = %s for update nowait", [row.id])

    done = run(url, moves("task", step, during="busy"))

    assert [each.became for each in done] == ["moved"] * 3
    assert column(other, "select task from note order by task") == [1, 2, 3]


@pytest.mark.usefixtures("family")
def test_a_parent_can_be_claimed_while_a_child_row_is_being_inserted(
    url: str, other: psycopg.Connection[Any]
) -> None:
    """An open transaction that inserted a child holds nobody up."""
    with other.transaction():
        other.execute("insert into note (task) values (1)")
        assert [each.became for each in run(url, moves("task"))] == ["moved"] * 3


# --- triggers of poller's own -------------------------------------------------------------------------


def test_the_waking_trigger_takes_any_names(db: psycopg.Connection[Any]) -> None:
    """`poller migrate --triggers` works for a table and a column of any name."""
    db.execute("""create schema "a%b"; create table "a%b"."{}" (id int primary key, "st.at'us" text)""")

    tables = add_triggers(db, [moves("a%b.{}", do_nothing, column="st.at'us")])

    assert tables == ["a%b.{}"]
    db.execute("listen poller")
    db.execute("""insert into "a%b"."{}" values (1, 'pending')""")
    assert [each.channel for each in db.notifies(timeout=5, stop_after=1)] == ["poller"]
