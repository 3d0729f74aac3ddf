"""An option comes from the command line, else the environment, else the folder's file, else its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import HANDLERS, keys, known, make_tenants, objects, the_line, trouble

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project


@pytest.fixture(autouse=True)
def _three_failures(db: psycopg.Connection[Any]) -> None:
    handler = known(db, "public.tenants", "pending")
    for key in "123":
        trouble(db, handler, key)


def settings(project: Project, text: str, file: str = "poller.toml") -> None:
    """Write the settings file."""
    (project.folder / file).write_text(text)


def test_flag_before_environment_before_file_before_default(project: Project) -> None:
    """One option, given in more and more places."""
    assert len(objects(project.run("failures", "--json"))) == 3
    settings(project, "limit = 1\njson = true")
    assert len(objects(project.run("failures"))) == 1
    assert len(objects(project.run("failures", POLLER_LIMIT="2"))) == 2
    assert len(objects(project.run("failures", "--limit", "3", POLLER_LIMIT="2"))) == 3


def test_pyproject_does_as_well(project: Project) -> None:
    """Under [tool.poller], beside whatever else stands there."""
    settings(project, "[project]\nname = 'x'\n[tool.poller]\nlimit = 2", "pyproject.toml")
    assert keys(objects(project.run("failures", "--json"))) == ["3", "2"], "the newest"


def test_the_database_may_stand_in_each_place(project: Project) -> None:
    """--database, POLLER_DATABASE_URL, DATABASE_URL, then the file."""
    good, bad = project.url, "postgres://127.0.0.1:1/x"
    settings(project, f"database = {good!r}")
    assert project.run("failures", POLLER_DATABASE_URL="").returncode == 0
    assert project.run("failures", POLLER_DATABASE_URL="", DATABASE_URL=bad).returncode == 2
    assert project.run("failures", POLLER_DATABASE_URL=good, DATABASE_URL=bad).returncode == 0
    assert project.run("failures", "--database", good, POLLER_DATABASE_URL=bad).returncode == 0


def test_dashes_and_underscores_name_the_same_key(project: Project, db: psycopg.Connection[Any]) -> None:
    """log-format and log_format; a flag's key is true or false, a repeated option's a list."""
    make_tenants(db, "pending")
    project.handlers(HANDLERS)
    settings(project, 'log_format = "json"\ndrain = true\nonly = ["initialise"]\nworkers = 1\nlease = "20s"')
    ended = project.run("run")
    assert ended.returncode == 0
    assert '"event"' in ended.stderr
    assert "handlers: tenants:pending" in ended.stderr


def test_a_flag_may_be_switched_off_by_the_environment(project: Project) -> None:
    """POLLER_JSON=0 is no, POLLER_JSON=true is yes."""
    settings(project, "json = true")
    assert "attempt" in project.run("failures", POLLER_JSON="0").stdout.splitlines()[0]
    settings(project, "")
    assert len(objects(project.run("failures", POLLER_JSON="true"))) == 3


WRONG = {
    "a key that there is not": ("worker = 3", "'worker'; did you mean workers?"),
    "a text for a number": ("limit = 'many'", "limit"),
    "a number for a flag": ("json = 1", "json must be true or false"),
    "a flag for a number": ("limit = true", "limit must be"),
    "a number for a list": ("only = 3", "only must be a string or a list of strings"),
    "a table": ("[run]\nworkers = 3", "'run'"),
    "no TOML": ("limit =", "not valid TOML"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_setting_that_cannot_be_names_file_and_key(project: Project, text: str, said: str) -> None:
    """In one line."""
    settings(project, text)
    line = the_line(project.run("failures"))
    assert line.startswith("poller.toml")
    assert said in line


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tool = 3", "tool"),
        ("tool = []", "tool"),
        ("[tool]\npoller = 3", "tool.poller"),
        ("[[tool.poller]]", "tool.poller"),
    ],
)
def test_g10_what_is_no_table_in_pyproject_is_said(project: Project, text: str, name: str) -> None:
    """In one line, by whatever command."""
    settings(project, text, "pyproject.toml")
    ended = project.run("next", "@daily")
    assert (ended.returncode, ended.stderr) == (2, f"pyproject.toml: {name} must be a table: [{name}]\n")


def test_a_choice_that_there_is_not_names_its_source(project: Project) -> None:
    """The file and the key, or the variable."""
    settings(project, "log-format = 'xml'")
    assert the_line(project.run("run")).startswith("poller.toml: log-format: 'xml'")
    assert the_line(project.run("run", POLLER_GRACE="1x")).startswith("POLLER_GRACE: '1x'")


def test_two_files_of_settings_are_refused(project: Project) -> None:
    """Neither wins in silence."""
    settings(project, "limit = 1")
    settings(project, "[tool.poller]\nlimit = 2", "pyproject.toml")
    assert "keep one" in the_line(project.run("failures"))


def test_the_use_of_the_embedded_server_is_said(project: Project) -> None:
    """One line on standard error, so that nobody wonders where the rows are."""
    assert project.run("db", "start", POLLER_DATABASE_URL="").returncode == 0
    ended = project.run("workers", POLLER_DATABASE_URL="")
    project.run("db", "stop")
    first, second = ended.stderr.splitlines()
    assert first == "no --database given: using the embedded Postgres of this folder, .poller/"
    assert "poller migrate" in second


def test_a_variable_that_no_option_reads_is_told(project: Project) -> None:
    """One line on standard error; those of Kubernetes, and of a shell job, are not ours to tell of."""
    done = project.run(
        "next",
        "@daily",
        POLLER_WOKERS="3",
        POLLER_SERVICE_HOST="10.0.0.1",
        POLLER_PORT="tcp://10.0.0.1:80",
        POLLER_RUN_ID="7",
        POLLER_ARG_WHO="you",
    )
    assert done.returncode == 0
    assert done.stderr == "poller: no option reads the variable POLLER_WOKERS; did you mean POLLER_WORKERS?\n"
