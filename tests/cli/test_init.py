"""`poller init`, `migrate`, `run` and `--version`: the first steps in a folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

from tests.command_line import HANDLERS, make_tenants, objects, the_line, value
from tests.maintained import a_role

if TYPE_CHECKING:
    from tests.harness import Project


def test_init_writes_an_example_that_works(project: Project, db: psycopg.Connection[Any]) -> None:
    """Its head says which table it wants; with that, each of its answers is seen."""
    ended = project.run("init")
    assert ended.returncode == 0
    assert "poller run" in ended.stdout

    head = (project.folder / "handlers" / "example.py").read_text().split('"""')[1]
    [statements] = re.findall(r"create table.*?;\n\n", head, re.DOTALL)
    db.execute(statements)
    assert project.run("check").stdout == "no problems found\n"
    assert project.run("run", "--drain").returncode == 1
    assert value(db, "select array_agg(text order by id) from greeting") == [
        "Good day, Ada!", "Good day, Grace!", None
    ]  # fmt: skip
    [failure] = objects(project.run("failures", "--json"))
    assert failure["error"] == "there is nobody to greet"


def test_init_overwrites_nothing(project: Project) -> None:
    """One file that is there already is enough: then none is written."""
    (project.folder / "poller.toml").write_text("workers = 2\n")
    assert "poller.toml already exist" in the_line(project.run("init"))
    assert [path.name for path in project.folder.iterdir()] == ["poller.toml"]


def test_migrate_makes_the_schema_and_says_what_it_did(project: Project, empty_url: str) -> None:
    """Once; after that there is nothing to do."""
    project.url = empty_url
    assert re.fullmatch(r"poller's schema is at \d+ \(was: none\)\n", project.run("migrate").stdout)
    assert re.fullmatch(r"poller's schema is at \d+\n", project.run("migrate").stdout)
    assert "there is no way back to '0010'" in the_line(project.run("migrate", "--to", "0010"))
    assert project.run("workers").returncode == 0


def test_g10_a_migration_that_fails_says_why_and_changes_nothing(project: Project, empty_url: str) -> None:
    """What is in its way is told as it is; only a role without the right to create is told to find another one."""
    with psycopg.connect(empty_url, autocommit=True) as db, a_role(db, empty_url) as url:
        refused = the_line(project.run("migrate", "--database", url))
        assert "permission denied" in refused
        assert "as a role that may create schemas here" in refused
        db.execute("create schema poller")
        db.execute("create table poller.claim (id int)")
        assert 'relation "claim" already exists; nothing was changed' in the_line(
            project.run("migrate", "--database", empty_url)
        )
        tables = db.execute("select relname from pg_class where relnamespace = 'poller'::regnamespace")
        assert tables.fetchall() == [("claim",)]


def test_migrate_sql_prints_the_statements_and_needs_no_database(project: Project, empty_url: str) -> None:
    """They make the same schema when somebody else executes them."""
    project.url = "postgres://127.0.0.1:1/nowhere"
    printed = project.run("migrate", "--sql")
    assert printed.returncode == 0
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(printed.stdout)
    project.url = empty_url
    assert project.run("workers").returncode == 0
    assert "9999x" in project.run("migrate", "--sql", "--to", "9999x").stderr


def test_migrate_triggers_has_the_tables_wake_the_workers(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Each handler's table, once, and no table without being asked."""
    make_tenants(db)
    project.handlers(HANDLERS)
    triggers = "select count(*) from pg_trigger where tgname = 'poller_wake'"
    project.run("migrate")
    assert value(db, triggers) == 0
    ended = project.run("migrate", "--triggers")
    assert ended.stdout.splitlines()[1:] == ["added a trigger to public.tenants that wakes the workers"]
    assert value(db, triggers) == 1


def test_run_drain_ends_with_0_or_with_1_if_rows_ended_in_trouble(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """And --only runs nothing else."""
    make_tenants(db, "pending", "pending", "closing")
    project.handlers(HANDLERS.replace('return "closed"', 'raise Fail("no")'))
    assert project.run("run", "--drain", "--only", "initialise").returncode == 0
    assert value(db, "select string_agg(status, ' ' order by id) from tenants") == "normal normal closing"
    assert project.run("run", "--drain", "--only", "tenants:closing").returncode == 1
    assert value(db, "select status from tenants where id = 3") == "stuck"


def test_run_makes_the_schema_unless_told_not_to(project: Project, empty_url: str) -> None:
    """--no-migrate says what to run instead."""
    project.url = empty_url
    with psycopg.connect(empty_url, autocommit=True) as connection:
        make_tenants(connection)
    project.handlers(HANDLERS)
    assert "run: poller migrate" in the_line(project.run("run", "--drain", "--no-migrate"))
    assert project.run("run", "--drain").returncode == 0


def test_version_is_one_line(project: Project) -> None:
    """The name, and the version if it is installed."""
    ended = project.run("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("poller")
    assert len(ended.stdout.splitlines()) == 1
