"""One `poller run` for several databases: each as if it were alone, and jobs once over all of them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.harness import wait_until
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Project

HANDLERS = """
from poller import fixed_rate, purge

@handler("thing", status="pending", to="normal")
def work(row, ctx):
    return Transition("normal", seen=f"{ctx.database} {row.home}")

@fixed_rate("1h")
def once():
    print("ran")

old = purge("thing", column="at", older_than="1d", schedule=fixed_rate("1h"))
"""


@pytest.fixture
def shards(server: str, url: str) -> Iterator[dict[str, str]]:
    """Two databases with the same table, in each of which the rows say where they are."""
    with fresh_database(server) as other:
        homes = {"eu": url, "us": other}
        for name, home in homes.items():
            with psycopg.connect(home) as db:
                db.execute(
                    "create table thing (id int primary key, status text, home text, seen text, at date)"
                )
                db.execute(
                    "insert into thing select i, 'pending', %s from generate_series(1, 50) as i", [name]
                )
        yield homes


def value(url: str, question: str) -> Any:
    """Return the one value of a question."""
    with psycopg.connect(url) as db:
        row = db.execute(question).fetchone()  # type: ignore[call-overload]
    return row and row[0]


def named(shards: dict[str, str]) -> list[str]:
    """Return the options that name them."""
    return [word for name, url in shards.items() for word in ("--database", f"{name}={url}")]


def test_rows_of_all_databases_are_handled_and_handlers_see_which(
    project: Project, shards: dict[str, str]
) -> None:
    """With workers of their own; lines say which one they are about."""
    project.handlers(HANDLERS)
    done = project.run("run", "--drain", *named(shards))
    assert done.returncode == 0, done.stderr
    for name, url in shards.items():
        assert value(url, "select distinct seen from thing") == f"{name} {name}"
        assert f"done: 50 moved, 0 failed, 0 parked · database={name}" in done.stderr


def test_lines_of_every_service_name_the_database_that_they_have_lost(
    project: Project, db: psycopg.Connection[Any], shards: dict[str, str]
) -> None:
    """The supervisor's, too, which look after several databases in one process."""
    services = ("listener", "sweeper", "scheduler", "watcher")
    project.handlers(HANDLERS)
    fleet = project.start("run", "--workers", "1", *named(shards))
    wait_until("both are worked on", lambda: all(not _due(url) for url in shards.values()))
    gone = psycopg.conninfo.conninfo_to_dict(shards["us"])["dbname"]
    db.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [gone])
    for service in services:
        fleet.wait_for_log(f"warning: {service}: ")
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    lost = [line for line in fleet.log.splitlines() if any(f"warning: {each}: " in line for each in services)]
    assert [line for line in lost if "database=us" not in line] == []


def _due(url: str) -> int:
    return int(value(url, "select count(*) from thing where status = 'pending'"))


def test_a_drain_fails_if_rows_failed_in_any(project: Project, shards: dict[str, str]) -> None:
    """Whichever it is."""
    project.handlers("""
        @handler("thing", status="pending", to="normal", attempts=1)
        def work(row):
            assert row.home == "us"
    """)
    assert project.run("run", "--drain", *named(shards)).returncode == 1


def test_jobs_run_once_over_all_and_purges_in_each(project: Project, shards: dict[str, str]) -> None:
    """The first one named is the jobs' own."""
    project.handlers(HANDLERS)
    process = project.start("run", *named(shards))
    ended = "select count(*) from poller.run where status = 'succeeded' and job = 'purge thing'"
    for url in shards.values():
        wait_until(
            "the purge has run",
            lambda url=url: value(url, "select to_regclass('poller.run')") and value(url, ended),
        )
    jobs = "select array_agg(name order by name) from poller.job"
    assert value(shards["eu"], jobs) == ["once", "poller housekeeping", "purge thing"]
    assert value(shards["us"], jobs) == ["poller housekeeping", "purge thing"]
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


def test_a_log_of_objects_says_which_database(project: Project, shards: dict[str, str]) -> None:
    """In a field of its own, workers included."""
    project.handlers(HANDLERS)
    done = project.run("run", "--drain", "--log-format", "json", *named(shards))
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["database"] for line in lines if "is ready" in line["message"]} == {"eu", "us"}


def test_without_names_they_go_by_their_own(project: Project, shards: dict[str, str]) -> None:
    """Also where there is one only."""
    project.handlers(HANDLERS)
    assert project.run("run", "--drain", "--database", shards["us"]).returncode == 0
    name = shards["us"].partition("?")[0].rpartition("/")[2]
    assert value(shards["us"], "select distinct seen from thing") == f"{name} us"


def test_the_name_is_known_where_the_url_does_not_say_it(project: Project, shards: dict[str, str]) -> None:
    """libpq takes it from elsewhere: handlers see it all the same."""
    project.handlers(HANDLERS)
    pairs = psycopg.conninfo.conninfo_to_dict(shards["eu"])
    name = str(pairs.pop("dbname"))
    libpq = " ".join(f"{key}={each}" for key, each in pairs.items())
    assert project.run("run", "--drain", "--database", libpq, PGDATABASE=name).returncode == 0
    assert value(shards["eu"], "select distinct seen from thing") == f"{name} eu"


def test_they_may_stand_in_the_environment_and_the_settings(project: Project, shards: dict[str, str]) -> None:
    """Parted by blanks in a variable; a list in the file. One in libpq's form has blanks of its own."""
    project.handlers(HANDLERS)
    both = [f"{name}={url}" for name, url in shards.items()]
    assert project.run("run", "--drain", POLLER_DATABASE_URL=" ".join(both)).returncode == 0
    (project.folder / "poller.toml").write_text(f"database = {json.dumps(both)}")
    from_file = {"POLLER_DATABASE_URL": ""}
    assert "database=us" in project.run("run", "--drain", **from_file).stderr
    for environment in (from_file, {"POLLER_DATABASE_URL": " ".join(both)}):
        status = project.run("status", "--json", **environment)
        assert json.loads(status.stdout), "other commands are about the first"
    (project.folder / "poller.toml").unlink()
    pairs = psycopg.conninfo.conninfo_to_dict(shards["eu"])
    libpq = " ".join(f"{key}={each}" for key, each in pairs.items())
    assert project.run("run", "--drain", POLLER_DATABASE_URL=libpq).returncode == 0


def test_two_of_one_name_are_refused(project: Project, url: str) -> None:
    """Handlers could not tell them apart."""
    project.handlers(HANDLERS)
    done = project.run("run", "--database", f"eu={url}", "--database", f"eu={url}")
    assert done.returncode == 2
    assert "two databases are called 'eu'; name each" in done.stderr


def test_an_error_says_which_database(project: Project, shards: dict[str, str]) -> None:
    """Before anything has been changed in any of them."""
    with psycopg.connect(shards["us"]) as db:
        db.execute("drop table thing")
    project.handlers(HANDLERS)
    done = project.run("run", *named(shards))
    assert done.returncode == 2
    assert "database us: " in done.stderr
    assert "thing" in done.stderr
    assert value(shards["us"], "select to_regnamespace('poller')") is None
