"""`poller db`: the embedded Postgres by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from poller.cli import db
from poller.db import embedded
from tests.servers import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty working directory; no server in it outlives the test."""
    with temporary_folder() as path:
        monkeypatch.chdir(path)
        yield path
        monkeypatch.undo()


def test_db_start_prints_the_url_and_db_stop_stops(here: Path) -> None:
    """`poller db start` and `stop` speak of the working directory; `start` prints nothing but the URL."""
    started = CliRunner().invoke(db.app, ["start"], catch_exceptions=False)
    assert started.stdout == f"{embedded.running(here)}\n"

    stopped = CliRunner().invoke(db.app, ["stop"], catch_exceptions=False)
    assert (stopped.exit_code, stopped.stdout) == (0, "stopped\n")
    again = CliRunner().invoke(db.app, ["stop"], catch_exceptions=False)
    assert (again.exit_code, again.stdout) == (0, "the embedded Postgres was not running\n")


def test_db_url_starts_nothing(here: Path) -> None:
    """`poller db url` prints the URL of a server that runs; else it exits with 1 and one line."""
    refused = CliRunner().invoke(db.app, ["url"], catch_exceptions=False)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert list(here.iterdir()) == []

    url = embedded.start(here)
    found = CliRunner().invoke(db.app, ["url"], catch_exceptions=False)
    assert (found.exit_code, found.stdout) == (0, f"{url}\n")


def test_db_psql_passes_its_arguments_on(here: Path) -> None:
    """`poller db psql …` is psql on this server, started for it: options, a database's name, exit status."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from poller.cli.db import app; app()"

    def psql(*arguments: str) -> tuple[int, str]:
        line = [sys.executable, "-c", program, "psql", *arguments]
        environment = os.environ | {"PGHOST": "elsewhere", "PGOPTIONS": "-c nonsense=1"}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    assert psql("-XAtc", "select current_user || '@' || current_database()") == (0, "postgres@postgres")
    assert psql("-XAt", "template1", "-c", "select current_database()") == (0, "template1")
    assert psql("-Xc", "select nonsense")[0] == 1
    assert psql("--help")[1].startswith("psql is the PostgreSQL interactive terminal.")
    assert embedded.running(here)
