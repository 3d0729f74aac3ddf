"""`poller check`: everything that is wrong, with what to do about it, before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import HANDLERS, known, make_tenants
from tests.engines import column

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

INDEXED = """
    create index on tenants (id) where status = 'pending';
    create index on tenants (id) where status = 'closing';
"""


def findings(project: Project, *, status: int = 0) -> list[tuple[str, str, str, str]]:
    """Return severity, where, what and todo of each finding, having seen the exit status."""
    ended = project.run("check", "--json")
    assert ended.returncode == status, ended
    return [
        (each["severity"], each["where"], each["what"], each["todo"]) for each in json.loads(ended.stdout)
    ]


def test_nothing_is_found_where_all_is_well(project: Project, db: psycopg.Connection[Any]) -> None:
    """Exit status 0, and it says so."""
    make_tenants(db, "pending", "normal")
    db.execute(INDEXED)
    project.handlers(HANDLERS)
    assert findings(project) == []
    assert project.run("check").stdout == "no problems found\n"


def test_every_fault_of_every_handler_is_found(project: Project, db: psycopg.Connection[Any]) -> None:
    """Not the first alone; exit status 1."""
    db.execute("create type state as enum ('pending', 'normal')")
    db.execute("create table tenants (id int primary key, status state, due int)")
    db.execute("create table loose (id int, status text)")
    project.handlers("""
        @handler("tenants", status="pending", to="done", during="busy", due="due")
        def a(row): ...

        @handler("loose", status="pending", to="normal")
        def b(row): ...

        @handler("tenants", column="state", status="normal", to="pending")
        def c(row): ...

        @handler("nowhere", status="pending", to="normal")
        def d(row): ...
    """)

    found = findings(project, status=1)

    assert {severity for severity, *_ in found} == {"error"}
    said = "\n".join(f"{where}: {what}; {todo}" for _, where, what, todo in found)
    for part in (
        "'busy'", "'done'", "it takes pending, normal", "must be a timestamp", "has no column 'state'",
        "table loose has no primary key", "there is no table nowhere", "(a)", "(b)", "(c)", "(d)",
    ):  # fmt: skip
        assert part in said
    people = project.run("check")
    assert people.returncode == 1
    assert people.stdout.splitlines()[-1] == "6 errors, 0 warnings, 0 suggestions"


def test_sql_of_the_handler_that_postgres_cannot_plan_is_found(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A `where` or `order_by` that is none for this table."""
    make_tenants(db)
    db.execute(INDEXED)
    project.handlers(
        '@handler("tenants", status="pending", to="normal", where="colour = 3")\ndef f(row): ...\n'
    )
    [(severity, _, what, _)] = findings(project, status=1)
    assert severity == "error"
    assert "colour" in what


def test_a_missing_index_is_spelt_out(project: Project, db: psycopg.Connection[Any]) -> None:
    """The statement can be run as it is, after which nothing is missing."""
    db.execute(
        'create schema "S p"; create table "S p"."Order" ("Id" int primary key, prio int, "State" int);'
        "create type public.state as enum ('1', '2'); create domain public.of_states as public.state;"
        "create table public.item (id int primary key, status public.of_states)"
    )
    project.handlers("""
        @handler('"S p"."Order"', column="State", status=1, to=2, order_by='prio desc, "Id"')
        def f(row): ...

        @handler('"S p"."Order"', column="State", status=2, to=3)
        def g(row): ...

        @handler("item", status="1", to="2")  # Postgres compares no domain over an enum
        def h(row): ...
    """)

    found = findings(project)

    assert [(severity, where) for severity, where, *_ in found] == [
        ("warning", "S p.Order:1"), ("warning", "S p.Order:2"), ("warning", "public.item:1")
    ]  # fmt: skip
    assert found[0][3] == (
        'CREATE INDEX CONCURRENTLY ON "S p"."Order" (prio desc, "Id") WHERE "State" = \'1\';'
    )
    for *_, todo in found:
        db.execute(todo)
    assert findings(project) == []


def test_a_partitioned_table_gets_an_index_that_it_takes(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Postgres refuses CONCURRENTLY there."""
    db.execute("create table part (id int primary key, status text) partition by range (id)")
    db.execute("create table part_1 partition of part for values from (0) to (9)")
    project.handlers('@handler("part", status="new", to="old")\ndef f(row): ...\n')
    [(*_, todo)] = findings(project)
    assert "CONCURRENTLY" not in todo
    db.execute(todo)
    assert findings(project) == []


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("(id) where status in ('pending', 'closing')", True),
        ("(id) where status <> 'normal'", True),
        ("(status)", True),
        ("(status, created_at)", True),
        ("(id) where status = 'normal'", False),
        ("(id, status)", False),
        ("(id) where status = 'pending' and created_at > '2020-01-01'", False),
        ("using brin (status)", False),
    ],
)
def test_an_index_serves_if_it_finds_the_rows_by_their_status(
    project: Project,
    db: psycopg.Connection[Any],
    index: str,
    serves: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Led by the status, or partial with a predicate that holds for it."""
    make_tenants(db)
    db.execute(f"create index on tenants {index}")
    project.handlers('@handler("tenants", status="pending", to="normal")\ndef f(row): ...\n')
    assert (findings(project) == []) is serves


def test_rows_that_wait_for_nobody_are_found(project: Project, db: psycopg.Connection[Any]) -> None:
    """Orphans of a `during`, and statuses that no handler takes or leads to."""
    make_tenants(db, "busy", "busy", "pendng", "normal")
    db.execute(INDEXED)
    known(db, "public.tenants", "pending")
    project.handlers(HANDLERS)
    orphans, strange = findings(project)
    assert orphans[:2] == ("warning", "public.tenants:pending")
    assert "2 rows show 'busy'" in orphans[2]
    assert strange[:2] == ("advice", "public.tenants")
    assert "'pendng' (1 rows)" in strange[2]


def test_more_locks_than_the_server_has_room_for_are_found(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A partition and its index count each; the setting that would do is named."""
    db.execute("create table tenants (id int primary key, status text) partition by range (id)")
    room = db.execute(
        "select current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int"
        " + current_setting('max_prepared_transactions')::int)"
    ).fetchone()
    assert room is not None
    project.handlers(HANDLERS)
    db.execute("create table part_0 partition of tenants for values from (0) to (1)")
    assert not [each for each in findings(project) if "locks" in each[2]]
    for number in range(1, room[0] // 32 + 2):
        db.execute(
            f"create table part_{number} partition of tenants for values from ({number}) to ({number + 1})"
        )
    [(severity, _, what, todo)] = [each for each in findings(project) if "locks" in each[2]]
    assert severity == "warning"
    assert f"the server has room for {room[0]:,} locks" in what
    assert "set max_locks_per_transaction = " in todo


def test_a_database_that_may_only_be_read_is_found(project: Project, db: psycopg.Connection[Any]) -> None:
    """No worker could begin there."""
    make_tenants(db, "pending")
    db.execute(INDEXED)
    project.handlers(HANDLERS)
    db.execute(f"alter database {db.info.dbname} set default_transaction_read_only = on")  # type: ignore[call-overload]
    [(severity, where, what, todo)] = findings(project, status=1)
    assert (severity, where, what) == ("error", "database", "transactions are read-only here")
    assert todo.startswith("unset default_transaction_read_only")


def test_autovacuum_that_is_off_is_found(project: Project, db: psycopg.Connection[Any]) -> None:
    """Each move leaves a dead row version."""
    make_tenants(db)
    db.execute(INDEXED)
    db.execute("alter table tenants set (autovacuum_enabled = off)")
    project.handlers(HANDLERS)
    [(severity, _, _, todo)] = findings(project)
    assert (severity, todo) == ("warning", "alter table public.tenants reset (autovacuum_enabled)")


@pytest.mark.fault("F17")
def test_a_clock_that_differs_is_found(project: Project, db: psycopg.Connection[Any]) -> None:
    """By more than two seconds, either way."""
    make_tenants(db)
    db.execute(INDEXED)
    project.handlers(HANDLERS)
    db.execute(f"alter database {db.info.dbname} set poller.clock_offset = '1 hour'")
    [(severity, where, what, _)] = findings(project)
    assert (severity, where) == ("warning", "database")
    assert "3600s behind" in what


def test_a_schema_that_is_missing_is_mentioned(project: Project, empty_url: str) -> None:
    """`run` would make it; the handlers are checked all the same."""
    project.url = empty_url
    project.handlers(HANDLERS)
    first, *rest = findings(project, status=1)
    assert first == ("advice", "database", "this database has no schema poller yet", "run: poller migrate")
    assert len(rest) == 2


def test_missing_rights_are_found(project: Project, db: psycopg.Connection[Any], role: str) -> None:
    """On poller's own tables and on the user's, with the grant to run."""
    make_tenants(db)
    project.url += f"{'&' if '?' in project.url else '?'}options=-c%20role%3D{role}"
    project.handlers(HANDLERS)
    found = findings(project, status=1)
    todos = [todo for *_, todo in found]
    assert any(todo.startswith("grant insert, update, delete on poller.claim to") for todo in todos)
    assert any("grant select, update on" in todo for todo in todos)


def test_all_missing_rights_are_found_at_once(
    project: Project, db: psycopg.Connection[Any], role: str
) -> None:
    """Who grants what one check says has granted enough: on schemas, tables and columns, poller's own and the user's."""
    make_tenants(db)
    db.execute("create schema shop; create table shop.orders (id int primary key, status text, note text)")
    db.execute("create index on shop.orders (id) where status = 'pending'")
    db.execute(INDEXED)
    db.execute(
        f"revoke all on schema poller from {role}; revoke all on all tables in schema poller from {role}"
    )
    db.execute(f"grant select, update (created_at) on tenants to {role}")
    project.handlers(HANDLERS + SHIP)
    plain, project.url = (
        project.url,
        project.url + f"{'&' if '?' in project.url else '?'}options=-c%20role%3D{role}",
    )
    found = findings(project, status=1)
    for grant in [each for severity, *_, todo in found if severity == "error" for each in grants(todo)]:
        db.execute(grant)  # type: ignore[call-overload]
    assert [each for each in findings(project) if each[0] == "error"] == []
    project.url = plain


SHIP = """
@handler("shop.orders", status="pending", to="normal")
def ship(order): ...
"""


def grants(todo: str) -> list[str]:
    """Return the statements of an advice."""
    return [each.removeprefix("run: ").strip() for each in todo.split(";") if each.strip()]


def test_columns_that_are_no_attributes_of_a_row_are_told(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A row's methods have these names; the key may be called `key`."""
    db.execute(
        'create table box (key int primary key, status text, items text, keys text, get text, "_shape" text,'
        ' "__class__" text, _x text)'
    )
    project.handlers("""
        @handler("box", status="pending", to="normal")
        def ship(box): ...
    """)
    told = [what.split()[0] for severity, _, what, todo in findings(project) if "row[" in todo]
    assert told == ["row.items", "row.keys", "row.get", "row._shape", "row.__class__"]


@pytest.mark.fault("F28")
def test_hidden_rows_are_found(project: Project, db: psycopg.Connection[Any], role: str) -> None:
    """Row level security without a policy hides all; with one, perhaps some."""
    make_tenants(db)
    db.execute(INDEXED)
    db.execute("alter table tenants enable row level security")
    db.execute(f"grant all on tenants to {role}; grant all on all tables in schema poller to {role}")
    project.url += f"{'&' if '?' in project.url else '?'}options=-c%20role%3D{role}"
    project.handlers(HANDLERS)
    [(severity, _, what, _)] = findings(project, status=1)
    assert severity == "error"
    assert "hides every row" in what

    db.execute("create policy late on tenants using (id > 5)")
    [(severity, _, what, _)] = findings(project)
    assert severity == "warning"
    assert "may hide rows" in what


def test_jobs_are_held_against_the_database_too(project: Project, db: psycopg.Connection[Any]) -> None:
    """A purge of what there is not, one that reads a whole table each time, a job that waits for no other."""
    db.execute("create table audit (id int primary key, at timestamptz); insert into audit values (1, now())")
    project.handlers("""
        from poller import job, purge

        good = purge("audit", column="at", older_than="9d")
        bad = purge("audit", column="since", older_than="9d", name="bad")

        @job(after="backup")
        def publish(): ...
    """)

    found = findings(project, status=1)

    warned = [each for each in found if each[0] == "warning"]
    assert [(where, todo) for _, where, _, todo in warned] == [
        ("purge audit", 'CREATE INDEX CONCURRENTLY ON "public"."audit" ("at")')
    ]
    errors = [(where.split()[0], what) for severity, where, what, _ in found if severity == "error"]
    assert errors[1] == ("publish", "there is no job 'backup' for it to run after")
    assert errors[0][0] == "bad"
    assert "since" in errors[0][1]


def test_a_job_of_a_schedules_name_is_an_error_and_does_not_start(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Nothing that a person has scheduled is overwritten by a deploy; both say where and whose the name is."""
    project.run("migrate")
    db.execute(
        "insert into poller.job (name, function, schedule, declared) values ('weekly', 'report', '0 8 * * 1', false)"
    )
    project.handlers("""
        from poller import cron, job

        @job()
        def report(): ...

        @cron("0 0 1 1 *")
        def weekly(): ...
    """)

    [(severity, where, what, todo)] = findings(project, status=1)
    said = "'weekly' is the name of a schedule made at run time: report at '0 8 * * 1'"
    assert (severity, what, todo) == ("error", said, "give the job another name=, or remove the schedule")
    refused = project.run("run")
    assert where.removeprefix("weekly (").removesuffix(")") in refused.stderr
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        f"{said}; give the job another name=; or remove the schedule: poller jobs remove 'weekly'\n"
    )


def test_jobs_after_each_other_in_a_circle_are_an_error_and_start_nothing(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Each circle once; a trigger of one would have started an endless loop at full speed."""
    project.handlers("""
        from poller import job

        @job(after="b")
        def a(): ...
        @job(after="a")
        def b(): ...
        @job(after="d")
        def c(): ...
        @job(after="c")
        def d(): ...
    """)
    found = [each for each in findings(project, status=1) if each[0] == "error"]
    assert [where.split()[0] for _, where, _, _ in found] == ["a", "c"]
    assert "handlers/__init__.py:7) after 'a'" in found[0][2]
    started = project.run("run", "--drain")
    assert started.returncode == 2
    assert "jobs run after each other in a circle: 'a' after 'b' (" in started.stderr
    assert column(db, "select name from poller.job where after <> '{}'") == []


def test_what_a_clock_that_ran_ahead_has_left_behind_is_named(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Jobs planned beyond now, and rows put off; the next start brings them back."""
    project.handlers("from poller import cron\n@cron('0 3 * * *')\ndef clean(): ...")
    db.execute(
        "insert into poller.job (name, function, schedule, declared, planned_to, next_at)"
        " values ('clean', 'clean', '0 3 * * *', true, now() + interval '400 days', now() + interval '401 days')"
    )
    [(severity, where, what, todo)] = findings(project)
    assert (severity, where) == ("warning", "database")
    assert "ran ahead for a while: 1 jobs, 0 rows and 0 runs wait for longer" in what
    assert "restart poller run" in todo


def test_how_a_due_time_without_zone_is_read_is_said(project: Project, db: psycopg.Connection[Any]) -> None:
    """In the database's zone, by its name."""
    db.execute(f"alter database {db.info.dbname} set timezone = 'America/New_York'")
    db.execute("create table mails (id int primary key, status text, send_at timestamp)")
    db.execute("create index on mails (id) where status = 'new'")
    project.handlers('@handler("mails", status="new", to="sent", due="send_at")\ndef send(row): ...')
    [(severity, where, what, _)] = findings(project)
    assert (severity, where) == ("advice", "public.mails:new")
    assert "send_at is a timestamp without time zone" in what
    assert "the database's zone, America/New_York" in what


def test_runs_of_a_job_that_was_renamed_are_told_with_the_order_that_ends_them(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Nobody would ever run them; what is told to be done ends them."""
    project.handlers("from poller import job\n@job(name='new name')\ndef clean(): ...")
    db.execute("insert into poller.job (name, function, declared) values ('old name', 'old name', true)")
    db.execute(
        "insert into poller.run (job, function) select 'old name', 'old name' from generate_series(1, 3)"
    )
    db.execute("insert into poller.run (job, function) values ('new name', 'new name')")

    [(severity, where, what, todo)] = findings(project)
    assert (severity, where) == ("warning", "old name")
    assert what.startswith("3 runs wait for a function that no program here and no worker has")
    assert "poller jobs remove 'old name'" in todo

    ended = project.run("jobs", "remove", "old name")
    assert ended.stdout == "removed old name; cancelled 3 runs that waited\n"
    assert findings(project) == []
    assert project.run("jobs", "remove", "new name").returncode == 1
