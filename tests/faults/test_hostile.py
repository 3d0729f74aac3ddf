"""Names and values that mean something to SQL, to Python or to a shell: by every public way, they mean themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from tests.command_line import objects
from tests.times import one_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project

NAMES = (
    "'\"; drop table audit; --",
    "%(handler)s %s %",
    '{table} {} "~key"',
    "a.b:c",
    "naïve ☃ \\ $(id) `id`",
)

HANDLERS = """
from poller import job

@handler({table!r}, column={name!r}, status={name!r}, to={after!r}, per_key={name!r}, attempts=1)
def work(row):
    if row.key == {name!r}:
        raise ValueError({name!r})
    return Transition({after!r}, **{{{due!r}: "2020-01-01"}})

@job(name={name!r})
def greet(to={name!r}):
    print(to)
"""


@pytest.mark.fault("F27")
@pytest.mark.parametrize("name", one_in(3, NAMES))
def test_by_every_command(project: Project, here: InProcess, db: psycopg.Connection[Any], name: str) -> None:
    """A schema, a table, columns, statuses, keys, a job, its arguments and a schedule of that name."""
    schema, due, after = name + "s", name + "d", name + "a"
    names = {key: sql.Identifier(each) for key, each in (("schema", schema), ("table", name), ("due", due))}
    db.execute("create table audit ()")
    db.execute(sql.SQL("create schema {schema}").format(**names))
    create = (
        "create table {schema}.{table} (id text primary key, {table} text not null, {due} date default now())"
    )
    db.execute(sql.SQL(create).format(**names))
    insert = "insert into {schema}.{table} (id, {table}) values ({value}, {value}), ('other', {value})"
    db.execute(sql.SQL(insert).format(**names, value=sql.Literal(name)))
    table = ".".join('"{}"'.format(each.replace('"', '""')) for each in (schema, name))
    project.handlers(HANDLERS.format(table=table, name=name, due=due, after=after))

    package = f"hostile_{NAMES.index(name)}"  # a name of its own, since it is imported here
    (project.folder / "handlers").rename(project.folder / package)

    def run(*arguments: str, status: int = 0, by: Callable[..., Any] = here.run) -> str:
        ended = by(*arguments)
        assert ended.returncode == status, ended
        assert "Traceback" not in ended.stderr
        return str(ended.stdout)

    run("check", "--handlers", package)
    run("migrate", "--triggers", "--handlers", package)
    run("run", "--drain", "--handlers", package, status=1, by=project.run)  # a row is parked
    [failure] = objects(here.run("failures", "--json"))
    assert (failure["key"], failure["status"]) == (name, name)
    assert name in failure["error"]
    [event] = objects(here.run("history", table, name, "--json"))
    assert event["verdict"] == "parked"
    assert {each["status"] for each in objects(here.run("handlers", "--json", "--handlers", package))} >= {
        name
    }
    assert objects(here.run("status", "--json", "--handlers", package))
    run("release", table, name, status=1)  # it is in nobody's hands
    run("retry", f"{table}:{name}:{name}")
    run("retry", table, "--", name)
    run("purge", table, "--column", due, "--older-than", "1d", "--handlers", package)
    statuses = db.execute(sql.SQL("select id, {table} from {schema}.{table}").format(**names)).fetchall()
    assert statuses == [(name, name)], "the other one is purged"
    run("pause", name)
    run("resume", name)
    arguments = ("--args", json.dumps({"to": name}), "--handlers", package)
    run("jobs", "add", after, name, "--at", "2020-01-01T00:00Z", *arguments)
    run("trigger", name, *arguments)
    run("run", "--drain", "--handlers", package, status=1, by=project.run)  # the row is tried again
    runs = objects(here.run("runs", name, "--json"))
    assert [each["status"] for each in runs] == ["succeeded"]
    assert run("logs", name).strip() == name
    run("jobs", "remove", after)
    for listing in ("workers", "failures", "runs"):
        run(listing)
    for listing in ("status", "handlers", "jobs"):
        run(listing, "--handlers", package)
    assert db.execute("select to_regclass('audit') is not null").fetchone() == (True,)
