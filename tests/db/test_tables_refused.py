"""Guarantee 10: a table that is unfit for a handler is refused before anything runs, in one line with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, ConfigurationError, PollerError
from poller.client.checks import check
from poller.registry import Registered
from poller.testing import Engine
from tests.engines import moves, run

if TYPE_CHECKING:
    import psycopg

    from poller import Handler


def refusal(url: str, *handlers: Handler) -> str:
    """Return the one line with which the handlers are refused; it begins with the handler's place."""
    with pytest.raises(PollerError) as caught, Engine(url, *handlers):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert re.match(r".+engines\.py:\d+ \(do_nothing\): ", text)
    return text


@pytest.mark.parametrize(
    ("ddl", "reason"),
    [
        ("create table task (id int, status text)", "has no primary key"),
        ("create table task (id int unique not null, status text)", "has no primary key"),
        ("create view task as select 1 as id, 'pending' as status", "task is a view"),
        ("create materialized view task as select 1 as id, 'x' as status", "task is a materialized view"),
        ("create sequence task", "task is a sequence"),
        ("create table tusk (id int primary key, status text)", "there is no table task"),
        ("create schema s create table task (id int primary key)", "this database has s.task"),
        ('create table "Task" (id int primary key, status text)', "this database has public.Task"),
        (
            (
                "create table task (id int primary key, status text);"
                "create table heir (primary key (id)) inherits (task)"
            ),
            "table task is inherited by public.heir, whose rows may have the same keys",
        ),
        ("create table task (id int primary key, state text)", "has no column 'status'"),
        ('create table task (id int primary key, "Status" text)', "it has id, Status"),
        ("create table task (id int primary key, status int)", "cannot hold the status 'pending'"),
        ("create table task (id int primary key, status boolean)", "cannot hold the status 'pending'"),
        ("create table task (id int primary key, status text[])", "cannot hold the status 'pending'"),
        ("create table task (id int primary key, status timestamptz)", "cannot hold the status 'pending'"),
        ("create table task (id int primary key, status varchar(6))", "cannot store the status 'pending'"),
        ("create table task (id int primary key, status char(6))", "cannot store the status 'pending'"),
        (
            "create type s as enum ('new', 'normal'); create table task (id int primary key, status s)",
            "cannot hold the status 'pending'; it takes new, normal",
        ),
        (
            (
                "create type s as enum ('pending', 'new');"
                "create domain d as s; create table task (id int primary key, status d)"
            ),
            "cannot hold the status 'normal'; it takes pending, new",
        ),
        (
            (
                "create domain d as text check (value in ('pending', 'done'));"
                "create table task (id int primary key, status d)"
            ),
            "cannot hold the status 'normal': value for domain public.d violates check constraint",
        ),
        (
            "create table task (id int primary key, status text constraint fine check (status <> 'normal'))",
            "cannot hold the status 'normal': its CHECK fine requires",
        ),
        (
            "create table task (id int primary key, status text check (status like '%nd%' and status <> '{}'))",
            "cannot hold the status 'normal': its CHECK task_status_check requires",
        ),
        (
            (
                "create table task (id int primary key, open boolean,"
                "status text generated always as (case when open then 'pending' else 'normal' end) stored)"
            ),
            "task.status is a generated column",
        ),
    ],
)
def test_a_table_that_is_unfit_is_refused_with_the_reason(
    db: psycopg.Connection[Any], url: str, ddl: str, reason: str
) -> None:
    """No primary key, no table, no column, a type, an enum, a domain or a CHECK that refuses a status."""
    for each in ddl.split(";"):
        db.execute(each)  # type: ignore[call-overload]

    assert reason in refusal(url, moves("task"))


@pytest.mark.fault("F24")
@pytest.mark.parametrize("option", ["to", "during", "on_failure"])
def test_every_status_is_held_against_the_column(db: psycopg.Connection[Any], url: str, option: str) -> None:
    """Not only what makes a row due: each status that a handler may write is looked at, and named."""
    db.execute("create type state as enum ('pending', 'normal')")
    db.execute("create table task (id int primary key, status state)")

    wrong = {"to": ("normal", "elsewhere")} if option == "to" else {option: "elsewhere"}
    assert "cannot hold the status 'elsewhere'; it takes pending, normal" in refusal(
        url, moves("task", **wrong)
    )


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"where": "no_such = 1"}, 'column "no_such" does not exist'),
        ({"where": "id ="}, "syntax error"),
        ({"where": "id"}, "must be type boolean"),
        ({"where": "id = 'x'"}, "invalid input syntax for type integer"),
        ({"order_by": "no_such desc"}, 'column "no_such" does not exist'),
        ({"order_by": "id; drop table task"}, "syntax error"),
        ({"due": "no_such"}, "has no column 'no_such' (due)"),
        ({"due": "note"}, "due names public.task.note, which is text; it must be a timestamp"),
        ({"due": "span"}, "due names public.task.span, which is daterange; it must be a timestamp"),
        ({"column": "note", "status": 7}, None),
    ],
    ids=str,
)
def test_options_in_sql_are_held_against_the_table(
    db: psycopg.Connection[Any], url: str, option: dict[str, Any], reason: str | None
) -> None:
    """`where`, `order_by` and `due` that Postgres cannot read are refused at start-up, with what it says."""
    db.execute("create table task (id int primary key, status text, note text, span daterange)")

    if reason is None:
        run(url, moves("task", **option))
    else:
        assert reason in refusal(url, moves("task", **option))


@pytest.mark.parametrize("rule", ["instead nothing", "also notify seen", "instead delete from task"])
def test_a_rule_on_updates_is_refused(db: psycopg.Connection[Any], url: str, rule: str) -> None:
    """Postgres does not rewrite a statement such as ours by a rule; the line names it."""
    db.execute("create table task (id int primary key, status text)")
    db.execute(f"create rule watch as on update to task do {rule}")

    assert "table task has the rule watch on updates" in refusal(url, moves("task"))


def test_during_is_refused_where_it_would_change_the_key(db: psycopg.Connection[Any], url: str) -> None:
    """A row whose key holds its status has another key while it shows another status: it would be lost."""
    db.execute("create table task (id int, status text, primary key (id, status))")
    db.execute("insert into task values (1, 'pending')")

    assert "task is keyed by its status" in refusal(url, moves("task", during="busy"))
    assert [each.became for each in run(url, moves("task"))] == ["moved"]


def test_two_names_of_one_table_are_one_table(db: psycopg.Connection[Any], url: str) -> None:
    """Two handlers for one (table, status) are refused, also where only one of them names the schema."""
    db.execute("create table task (id int primary key, status text)")

    with pytest.raises(PollerError) as caught:
        run(url, moves("task"), moves("public.task"))
    assert str(caught.value).startswith("two handlers for public.task:pending: ")
    assert str(caught.value).count("(do_nothing)") == 2


def test_a_table_that_may_not_be_updated_is_refused(db: psycopg.Connection[Any], url: str) -> None:
    """The line has the GRANT that is missing, ready to be run."""
    db.execute('create table "Task" (id int primary key, status text)')
    role = f"looker_{db.info.dbname}"
    db.execute(f'create role {role} login; grant select on "Task" to {role}')
    db.execute(
        f"grant usage on schema poller to {role}; grant select on all tables in schema poller to {role}"
    )
    try:
        text = refusal(url.replace("postgres@", f"{role}@", 1), moves("Task"))
        assert f'run: grant select, update on "Task" to {role}' in text
    finally:
        db.execute(f"drop owned by {role}; drop role {role}")


def test_all_faults_of_all_handlers_can_be_told_at_once(db: psycopg.Connection[Any]) -> None:
    """`faults` yields every reason, so that nobody mends one only to meet the next."""
    from poller.db import tables  # noqa: PLC0415 - the one test that looks inside

    db.execute("create table task (id int primary key, status varchar(3), note text)")
    wrong = moves("task", due="note", during="busy")

    table = tables.describe(db, wrong.table)
    assert len(list(tables.faults(db, wrong, table))) == 4


def test_a_misspelt_name_is_answered_with_those_spelt_most_like_it(
    db: psycopg.Connection[Any], url: str
) -> None:
    """Of tables and of columns, however many there are that come first in the alphabet."""
    for name in ("a", "aa", "b", "c", "d", "e", "tusk"):
        db.execute(f"create table {name} (id int primary key, statos text)")  # type: ignore[call-overload]

    assert "this database has public.tusk, " in refusal(url, moves("task"))
    assert "did you mean 'statos'? it has id, statos" in refusal(url, moves("tusk"))


def test_one_status_in_two_columns_is_refused_with_the_reason(db: psycopg.Connection[Any], url: str) -> None:
    """Handlers are told apart by their table and status: no handler can be left out, so another value is needed."""
    db.execute("create table task (id int primary key, status text, mail_status text)")

    said = refusal_of_two(url, moves("task"), moves("task", column="mail_status"))
    assert "two handlers for " in said
    assert (
        "so status and mail_status need different values: have one of them say 'mail_status_pending'" in said
    )
    assert [
        done.became for done in run(url, moves("task"), moves("task", column="mail_status", status="sent"))
    ] == []


def refusal_of_two(url: str, *handlers: Handler) -> str:
    """Return the one line with which the handlers are refused, naming both places."""
    with pytest.raises(PollerError) as caught, Engine(url, *handlers):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert len(re.findall(r"engines\.py:\d+ \(do_nothing\)", text)) == 2
    return text


@pytest.mark.parametrize(
    ("kind", "status", "to"),
    [("numeric", "1", "1.0"), ("jsonb", "[1]", "[1.0]")],
)
def test_a_handler_whose_rows_would_not_leave_their_status_is_refused(
    url: str, db: psycopg.Connection[Any], kind: str, status: str, to: str
) -> None:
    """The two are written differently; to the column they are the same, so that rows would go round."""
    db.execute(f"create table task (id int primary key, status {kind})")
    assert f"takes {status!r} and {to!r} for the same status" in refusal(
        url, moves("task", status=status, to=to)
    )
    run(url, moves("task", status=status, to=to.replace("1", "3")))


@pytest.mark.parametrize("options", [{"to": ("2", "3.0")}, {"to": "2", "on_failure": "3.0"}])
def test_g10_a_during_that_is_to_the_column_what_rows_move_to_is_refused(
    url: str, db: psycopg.Connection[Any], options: dict[str, Any]
) -> None:
    """Written differently, too: rows in progress and rows that are done could not be told apart."""
    db.execute("create table task (id int primary key, status numeric)")
    text = refusal(url, moves("task", status="1", during="3", **options))
    assert "takes during='3' and '3.0' for the same status" in text
    run(url, moves("task", status="1", during="4", **options))


def test_two_handlers_whose_statuses_are_the_same_to_the_column_are_refused(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """They would take the same rows; both places are named."""
    db.execute("create table task (id int primary key, status numeric)")
    with pytest.raises(
        PollerError, match=r"two handlers for public.task:1: .+ and .+ takes '1.0' for the same"
    ):
        run(url, moves("task", status="1", to="2"), moves("task", status="1.0", to="2"))


LEVELS = """
create table task (id int, kind text, status text, primary key (id, kind)) partition by list (kind);
create table "Some.tasks" partition of task for values in ('a', 'b') partition by list (kind);
create table task_a partition of "Some.tasks" for values in ('a');
create table task_b partition of "Some.tasks" for values in ('b')
"""


@pytest.mark.parametrize(
    ("one", "other"), [("task", '"Some.tasks"'), ("task_a", "task"), ('"Some.tasks"', "task_a")]
)
@pytest.mark.parametrize("options", [{}, {"status": "late", "during": "pending"}])
def test_g10_a_handler_of_a_table_and_one_of_its_partition_are_refused(
    url: str, db: psycopg.Connection[Any], one: str, other: str, options: dict[str, Any]
) -> None:
    """Each row would run in both at once."""
    db.execute(LEVELS)
    said = refusal_of_two(url, moves(one), moves(other, **options))
    assert "two handlers for " in said
    assert "have rows in common, by partition" in said
    found = [each.what for each in check(db, Registered([moves(one), moves(other, **options)], []))]
    assert [each for each in found if each.startswith("two handlers for ")]


def test_handlers_of_partitions_beside_each_other_have_no_rows_in_common(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Nor have those of a partition and of the whole for two statuses, or in two columns."""
    db.execute(LEVELS)
    db.execute(
        "alter table task add mail text; insert into task values (1, 'a', 'pending'), (2, 'b', 'pending')"
    )
    others = (moves("task", status="late"), moves("task", column="mail"))
    assert len(run(url, moves("task_a"), moves("task_b"), *others)) == 2


def test_g10_check_tells_of_two_statuses_that_are_the_same_to_the_column(db: psycopg.Connection[Any]) -> None:
    """As a start does."""
    db.execute("create table task (id int primary key, status numeric)")
    two = [moves("task", status="1", to="2"), moves("task", status="1.0", to="2")]
    [found] = [each for each in check(db, Registered(two, [])) if each.where == "handlers"]
    assert (found.severity, found.what.startswith("two handlers for public.task:1: ")) == ("error", True)


def test_a_status_of_a_composite_type_is_refused(url: str, db: psycopg.Connection[Any]) -> None:
    """Postgres compares no value of one with a literal."""
    db.execute("create type pair as (a int, b int); create table task (id int primary key, status pair)")
    assert "Postgres cannot plan the claim" in refusal(url, moves("task", status="(1,2)", to="(1,3)"))


def test_a_table_that_is_published_without_a_replica_identity_is_refused(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """By name, with what to do; `check` says so, too, of handlers and of purges."""
    db.execute(
        "create table task (id int primary key, status text not null, at timestamptz not null default now())"
    )
    db.execute("alter table task replica identity nothing; create publication everything for table task")
    why = "does not have a replica identity .*give it one: alter table … replica identity default"
    assert re.search(f"cannot plan the outcome of public.task:pending: .*{why}", refusal(url, moves("task")))
    with pytest.raises(ConfigurationError, match=f"cannot work on the old rows of public.task: .*{why}"):
        Client(url).purge("task", column="at", older_than="1d")
    found = [each for each in Client(url, [moves("task")]).check().items if each.severity == "error"]
    assert [each for each in found if re.search(why, each.what)] == found != []
