"""What belongs to users finds its names by their path, as it does without poller: triggers, types, conditions."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from psycopg import sql

from poller import Context, Row, handler, purge, schedule
from poller.db.connection import OwnConnection, connect
from poller.db.search_path import AS_USERS
from poller.db.statements import Statement, has_users_part, statement
from poller.errors import ConfigurationError
from poller.ready_made import old_rows
from poller.store.binding import bind
from poller.store.claim_plan import plan_claim
from poller.store.claims import _peek_of
from poller.testing import Engine
from tests.engines import column, do_nothing, moves, run
from tests.maintained import retention
from tests.times import one_in

Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def table(db: Connection) -> None:
    """A table of ten pending rows, and a log."""
    db.execute(
        "create table task (id int primary key, status text not null default 'pending', owner text default 'Ada');"
        "create table log (what text); insert into task select generate_series(1, 10)"
    )


TRIGGERS = {
    "before": "before update on task for each row",
    "before each statement": "before update on task for each statement",
    "after": "after update on task for each row",
    "after each statement": "after update on task for each statement",
}
DEFERRED = "constraint trigger logs after update on task deferrable initially deferred for each row"
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "during": {"during": "busy"},
    "per_key and rate": {"per_key": "owner", "per_key_limit": 9, "rate": "100/1s", "during": "busy"},
    "transactional": {"transactional": True},
    "failing": {"attempts": 1, "on_failure": "normal"},
}


def logs(db: Connection, trigger: str) -> None:
    """Have the table write into the log, by its name alone."""
    db.execute(
        "create function logs() returns trigger language plpgsql as $$"
        " begin insert into log values (tg_op); return new; end $$;"
        f"create {trigger} execute function logs()"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "trigger", one_in(2, [*(f"trigger logs {each}" for each in TRIGGERS.values()), DEFERRED])
)
def test_triggers_of_a_table_find_their_names_by_the_users_path(
    url: str, db: Connection, way: str, trigger: str
) -> None:
    """Also those that run at the commit."""
    logs(db, trigger)
    function = _fail if way == "failing" else do_nothing

    run(url, moves("task", function, **WAYS[way]))

    assert column(db, "select count(*) from task where status = 'normal'") == [10]
    assert column(db, "select count(*) > 0 from log") == [True]
    assert column(db, "select count(*) from poller.event where error is not null") == [
        10 * (way == "failing")
    ]


def _fail(_: Any) -> None:
    raise ValueError


def test_triggers_of_a_table_find_their_names_when_its_rows_are_purged(url: str, db: Connection) -> None:
    """Row by row, by a job."""
    db.execute("alter table task add at date default '2000-01-01'")
    db.execute(
        "create function logs() returns trigger language plpgsql as $$"
        " begin insert into log values (tg_op); return old; end $$;"
        "create trigger logs before delete on task for each row execute function logs()"
    )
    clean = purge("task", column="at", older_than="1d")
    with Engine(url, clean) as engine:
        engine.trigger(clean)
        engine.run_due()

    assert column(db, "select count(*) from log") == [10]


def test_the_session_of_a_transactional_handler_has_the_users_path(url: str, db: Connection) -> None:
    """Before and after each of poller's statements there."""
    seen = []

    @handler("task", status="pending", to="normal", transactional=True)
    def look(row: Row, ctx: Context) -> None:
        assert ctx.connection is not None
        seen.append(ctx.connection.exec_driver_sql("show search_path").scalar())
        ctx.connection.exec_driver_sql(f"insert into log values ('{row.id}')")

    run(url, look)

    assert seen == ['"$user", public'] * 10
    assert column(db, "select count(*) from log") == [10]


def test_each_statement_about_a_users_table_has_its_path_before_anything_runs(
    url: str, db: Connection
) -> None:
    """The plan begins with it: what it is about is read below."""
    with connect(url, "test", kind=OwnConnection) as connection:
        binding = bind(connection, moves("task", where="id > 0"))
        plan = plan_claim(connection, binding)

    [first] = [at for at, line in enumerate(plan) if "One-Time Filter" in line]
    assert not any(" on task" in line for line in plan[:first]), plan


@pytest.mark.parametrize("path", ["public, pg_catalog", '"$user", public'])
def test_functions_in_row_security_find_their_names_by_the_users_path(
    url: str, db: Connection, path: str
) -> None:
    """Of a role that is not a superuser."""
    role = f"poller_rls_{uuid.uuid4().hex[:8]}"
    db.execute(
        "create table shown (id int); insert into shown values (1), (2);"
        "create function is_shown(int) returns boolean volatile language plpgsql as"
        " $$ begin return exists (select from shown as s where s.id = $1); end $$;"
        "alter table task enable row level security; create policy p on task using (is_shown(id));"
        f"create role {role} login; grant select, update on task to {role}; grant select on shown to {role};"
        f"grant usage on schema poller to {role}; grant all on all tables in schema poller to {role};"
        f"alter role {role} set search_path = {path}"
    )
    try:
        owner = psycopg.conninfo.make_conninfo(url, user=role)
        run(owner, moves("task", during="busy"))
        assert column(db, "select id from task where status = 'normal' order by id") == [1, 2]
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("follows", ["status", "name"])
def test_a_generated_column_by_a_function_that_looks_by_the_path_is_written_or_refused_at_the_start(
    url: str, db: Connection, follows: str
) -> None:
    """Postgres 14 and 15 plan it before anything of a statement runs; that no outcome waits for it is what counts."""
    db.execute(
        "create function low(text) returns text immutable language sql as 'select lower($1)';"
        "create function lower2(text) returns text immutable language sql as 'select low($1)';"
        "create function nothing() returns trigger language plpgsql as 'begin return new; end';"
        "alter table task add name text default 'N';"
    )
    db.execute(f"alter table task add lowered text generated always as (lower2({follows})) stored")
    if follows == "name":  # a trigger might set it
        db.execute("create trigger n before update on task for each row execute function nothing()")
    if db.info.server_version < 160_000:
        with pytest.raises(
            ConfigurationError, match=r"cannot plan the outcome of .* \(alter function … set search_path"
        ):
            run(url, moves("task"))
    else:
        run(url, moves("task"))
        assert column(db, "select count(*) from task where status = 'normal'") == [10]


# --- conditions -----------------------------------------------------------------------------------------


def test_a_condition_finds_functions_and_operators_by_the_users_path(url: str, db: Connection) -> None:
    """It is written out with their schemas, once."""
    db.execute(
        "create function is_odd(int) returns boolean immutable language sql as 'select $1 % 2 = 1';"
        "create operator %% (rightarg = int, function = is_odd)"
    )
    run(url, moves("task", where="is_odd(id) and %% id and owner like 'A%'", order_by="is_odd(id), id desc"))

    assert column(db, "select id from task where status = 'normal' order by id") == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("where", ["is_odd(id)", "id in (select s.id from somewhere as s)"])
def test_a_condition_that_finds_what_somebody_else_owns_is_refused(
    url: str, db: Connection, where: str
) -> None:
    """In one line, which says whose it is."""
    role = f"poller_mallory_{uuid.uuid4().hex[:8]}"
    db.execute(f"create role {role}; grant create on schema public to {role}; set role {role}")
    db.execute(
        "create function is_odd(int) returns boolean language sql as 'select true';"
        "create table somewhere (id int); reset role"
    )
    try:
        with (
            connect(url, "test", kind=OwnConnection) as connection,
            pytest.raises(ConfigurationError, match=f"belongs to {role}"),
        ):
            bind(connection, moves("task", where=where))
    finally:
        db.execute(f"drop owned by {role} cascade; drop role {role}")


def test_what_is_planted_beside_a_condition_stops_no_handler(url: str, db: Connection) -> None:
    """As long as Postgres itself has what it names."""
    role = f"poller_mallory_{uuid.uuid4().hex[:8]}"
    db.execute(f"create role {role}; grant create on schema public to {role}; set role {role}")
    db.execute(
        "create function no(varchar, varchar) returns boolean language plpgsql as"
        " $$ begin raise exception 'planted'; end $$;"
        "create operator = (leftarg = varchar, rightarg = varchar, function = no); reset role"
    )
    try:
        db.execute("alter table task alter owner type varchar(10)")
        run(url, moves("task", where="owner = 'Ada'"))
        assert (
            db.execute("select from task where status::text operator(pg_catalog.=) 'normal'").rowcount == 10
        )
    finally:
        db.execute(f"drop owned by {role} cascade; drop role {role}")


def test_a_condition_may_end_with_a_comment(url: str, db: Connection) -> None:
    """It does not swallow what comes after it."""
    db.execute("create table note (id int primary key, status text)")
    db.execute("insert into note values (1, 'pending'), (-1, 'pending')")
    assert [
        done.key for done in run(url, moves("note", where="id > 0 -- the good", order_by="id -- so"))
    ] == ["1"]


BROKEN = {
    "where": [
        "true) or (true",
        "true), (true",
        "true] || array[true",
        "id > 0) --",
        "id > 0 /* the good",
        "id > 0; select 1",
        "id >",
        "'",
        "$$",
    ],
    "order_by": [
        "id) desc, (id",
        "id), (select 1",
        "id limit 1",
        "id limit 1 --",
        "id for update",
        "id /*",
        "id; commit",
    ],
}


@pytest.mark.parametrize(("option", "text"), [(option, text) for option in BROKEN for text in BROKEN[option]])
def test_g10_a_text_that_breaks_out_of_its_place_is_refused(
    url: str, db: Connection, option: str, text: str
) -> None:
    """In its place it would mean something else: rows of every status would be claimed, say."""
    db.execute("create table note (id int primary key, status text)")
    db.execute("insert into note values (1, 'pending'), (2, 'other')")
    with pytest.raises(ConfigurationError, match=f"{option}=.* cannot stand by itself: ") as caught:
        run(url, moves("note", **{option: text}))
    assert "\n" not in str(caught.value)
    assert column(db, "select status from note order by id") == ["pending", "other"]


@pytest.mark.parametrize("text", ["true) or (true", "true /*", "$1 = 1"])
def test_g10_a_purge_is_refused_a_condition_that_is_not_whole(db: Connection, text: str) -> None:
    """It would delete what is not old."""
    db.execute("create table note (id int primary key, at timestamptz)")
    rule = retention(purge("note", column="at", older_than="1d", where=text)).rule
    with pytest.raises(ConfigurationError, match=r"cannot stand by itself|has a parameter"):
        old_rows.bind(db, rule)


@pytest.mark.parametrize("text", ["$1 = 1", "id = $1 and is_odd(id)"])
@pytest.mark.parametrize("option", ["where", "order_by"])
def test_g10_a_text_with_a_parameter_is_refused(url: str, db: Connection, option: str, text: str) -> None:
    """The line names the option; it was taken for a database that has gone away."""
    db.execute("create table note (id int primary key, status text)")
    db.execute("create function is_odd(int) returns boolean immutable language sql as 'select $1 % 2 = 1'")
    with pytest.raises(ConfigurationError, match=f"{option}=.* has a parameter such as "):
        run(url, moves("note", **{option: text}))


@pytest.mark.parametrize(
    "text", ["xmin is not null", "t.tableoid > 0 and is_odd(id)", "is_odd(id) and ctid > '(0,0)'"]
)
def test_g10_a_condition_on_what_rows_have_by_themselves_is_refused(
    url: str, db: Connection, text: str
) -> None:
    """Some of poller's questions are asked of rows that were read before, which do not have it any more."""
    db.execute("create table note (id int primary key, status text)")
    db.execute("create function is_odd(int) returns boolean immutable language sql as 'select $1 % 2 = 1'")
    with pytest.raises(
        ConfigurationError, match=r"uses (xmin|tableoid|ctid), which is no column of the user's"
    ):
        run(url, moves("note", where=text))


def test_names_of_such_columns_are_no_fault_elsewhere(url: str, db: Connection) -> None:
    """In a text, in an order, or in another table's rows."""
    db.execute("create table note (id int primary key, status text); insert into note values (1, 'pending')")
    where = "status <> 'xmin' and not exists (select from pg_class as c where c.xmin is null)"
    assert [each.became for each in run(url, moves("note", where=where, order_by="ctid"))] == ["moved"]


# --- types of an extension's ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["id", "id, part"])
@pytest.mark.parametrize("options", [{}, {"during": "Busy"}, {"transactional": True}, {"per_key": "owner"}])
def test_a_status_and_a_key_of_a_type_without_case_are_compared_as_their_type_does(
    url: str, db: Connection, caseless: str, key: str, options: dict[str, Any]
) -> None:
    """By its own operators, which an index serves."""
    db.execute(
        f"create table thing (id {caseless}, part int, owner {caseless} default 'a', status {caseless},"
        f" primary key ({key}));"
        "insert into thing select 'K' || i, i, 'x', 'PENDING' from generate_series(1, 30) as i"
    )
    done = run(url, moves("thing", where="owner = 'X'", **options))

    assert len(done) == 30
    assert column(db, "select count(*) from thing where status = 'normal'") == [30]


def test_a_key_of_a_type_without_case_is_found_by_its_index(url: str, db: Connection, caseless: str) -> None:
    """Its comparison is the index's own."""
    db.execute(
        f"create table thing (id {caseless} primary key, status {caseless});"
        "insert into thing select 'K' || i, 'pending' from generate_series(1, 20000) as i; analyze thing"
    )
    with connect(url, "test", kind=OwnConnection) as connection:
        binding = bind(connection, moves("thing"))
        question = psycopg.sql.SQL("explain {}").format(binding.read_rows)
        plan = [row[0] for row in connection.execute(question, {"keys": "{K1,K2}"})]

    assert any("thing_pkey" in line for line in plan), plan


def test_a_check_whose_function_finds_its_names_by_the_users_path_is_left_to_postgres(
    url: str, db: Connection
) -> None:
    """It judges when the status is written."""
    db.execute(
        "create function is_known(text) returns boolean immutable language plpgsql as"
        " 'begin return is_named($1); end';"
        "create function is_named(text) returns boolean immutable language sql as"
        " 'select $1 in (''pending'', ''normal'')';"
        "alter table task add check (is_known(status))"
    )
    assert [each.became for each in run(url, moves("task", where="id = 1"))] == ["moved"]


def test_a_schedule_that_is_refused_leaves_its_connection_the_path_it_had(url: str) -> None:
    """The transaction goes on, and finds what it found before."""
    with psycopg.connect(url) as connection:
        connection.execute("set search_path = pg_temp, public")
        with pytest.raises(ConfigurationError):
            schedule(connection, "nosuch", when="@every 5m", name="one")
        assert connection.execute("show search_path").fetchone() == ("pg_temp, public",)


def test_a_transactional_session_is_opened_without_anybody_elses_operators(url: str, db: Connection) -> None:
    """Even where the path names a schema of others before `pg_catalog`."""
    db.execute(
        "create function planted(text, text) returns boolean language plpgsql as"
        " 'begin raise exception ''planted''; end';"
        "create operator public.= (leftarg = text, rightarg = text, function = planted)"
    )
    db.execute(f"alter database {db.info.dbname} set search_path = public, pg_catalog")
    assert [each.became for each in run(url, moves("task", transactional=True, where="id = 1"))] == ["moved"]


@pytest.mark.parametrize("security", [False, True], ids=["plain", "row security"])
@pytest.mark.parametrize("where", [None, "owner like '%A%'"], ids=["all", "where"])
def test_a_statement_knows_whether_it_has_a_part_that_runs_users_functions(
    db: Connection, where: str | None, *, security: bool
) -> None:
    """As its text says; so that no text is searched, nor even rendered, for that when it is executed."""
    if security:
        db.execute("alter table task enable row level security")
    made = moves("task", where=where, during="busy")
    binding = bind(db, made)
    binding.id = 1
    names = ["claim_first", "claim_next", "settle_moved", "show_during", "read_rows", "lock_rows", "forget"]
    names += ["tidy_retries", "put_off_retries", "stray_attempts", "last_key", "count_due", "who_locks"]
    asked: list[Any] = [getattr(binding, each) for each in names]
    asked += [binding.settle(), binding.settle(("owner",), only_free=True), statement("retake")]
    asked += [_peek_of([binding], {}, [binding]), _peek_of([binding], {binding: "1"}, [binding])]
    said = [has_users_part(each) for each in asked]
    assert said == [b"poller.path" in each.as_bytes() for each in asked]
    assert len({*said}) == 2


def test_a_query_is_not_rendered_to_find_out_by_which_names_it_goes(db: Connection, url: str) -> None:
    """A text of many handlers is long, and is executed ten times a second."""

    class Silent(Statement):
        def as_bytes(self, context: Any = None) -> bytes:  # noqa: ARG002 - as psycopg has it
            raise AssertionError

    with connect(url, "test", kind=OwnConnection) as connection:
        assert isinstance(connection, OwnConnection)
        connection.find_own_names(Silent([AS_USERS]))
        assert connection._is_users
        connection.find_own_names(Silent([sql.SQL("select 'poller.path'")]))
        assert not connection._is_users
