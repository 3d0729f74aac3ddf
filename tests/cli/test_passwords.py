"""Passwords in a database's URL are not said, whatever is wrong with it, and not left where others see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from poller.db.connection import checked_url
from poller.errors import ConfigurationError
from tests.command_line import the_line
from tests.harness import wait_until, workers_of

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

SECRET = "tr0ub4dor"
UNREADABLE = (
    f"postgres://u:{SECRET}%zz@host/db",
    f"u:{SECRET}@host/db",
    f"postgres://u:{SECRET}@[::1",
    f"postgres://u:x@{SECRET}@host/db",
    f"postgres://u:x/{SECRET}@host/db",
    f"postgres://u:{SECRET}/x@host/db",
    f"postgres://u:x#{SECRET}@host:{SECRET}/db",
    f"postgres://u:x:{SECRET}@host:a/{SECRET}@b",
    f"host=h password=my {SECRET}",
    f"host=h password='{SECRET}",
    f"host=h passwort={SECRET}",
    f"pass:{SECRET}://host",
    f"mysql://u:{SECRET}@host/db",
    f"postgres://u:x@y?{SECRET}=1@host/db",
    f"postgres://u:x?{SECRET}=1",
)


@pytest.mark.fault("F27")
@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(project: Project, url: str) -> None:
    """And with the way to write it, in one line."""
    line = the_line(project.run("status", "--database", url))
    assert SECRET not in line
    assert "database URL" in line


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p%40s%2Fs@db1:5432,db2:5433/app?target_session_attrs=any",
        "postgresql+psycopg://u:p@[::1]:5432/app",
        "postgresql:///app?host=/run/postgresql&port=5432",
        "host=/run/postgresql dbname=app password='a @ b'",
        "postgres://u:p@host/staging%40eu",
    ],
)
def test_a_url_that_is_well_written_is_taken(url: str) -> None:
    """Several hosts, a socket, an address of IPv6, escapes."""
    assert checked_url(url)


@pytest.mark.parametrize("url", [f"postgres://u:x@y{SECRET}@host/db", f"postgres://u:{SECRET}/x@host/db"])
def test_a_password_that_was_not_escaped_is_told_so(url: str) -> None:
    """libpq would take its end for a host, a port or a database, and name that."""
    with pytest.raises(ConfigurationError, match="%40"):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+asyncpg://u:p@host/db?ssl=require", "ssl"),
        ("postgres://u:p%40@host:6432/db?sslmode=require&pgbouncer=true", "pgbouncer"),
        ("postgres://host/db?schema=public", "schema"),
    ],
)
def test_a_parameter_that_only_another_library_knows_is_named(url: str, name: str) -> None:
    """Where it can be no piece of a password: URLs are handed from one program to another."""
    with pytest.raises(ConfigurationError, match=f"no parameter '{name}'"):
        checked_url(url)


def test_a_settings_file_with_a_wrong_type_does_not_show_its_url(project: Project) -> None:
    """Other keys show what they got."""
    (project.folder / "poller.toml").write_text(f'database = ["postgres://u:{SECRET}@host/db", 5]\n')
    assert SECRET not in the_line(project.run("status"))


@pytest.mark.fault("F27")
@pytest.mark.parametrize("form", ["--database={}", "--database {}"])
def test_a_password_on_the_command_line_is_taken_out_of_the_title(
    project: Project, db: psycopg.Connection[Any], url: str, form: str
) -> None:
    """Of the supervisor, for as long as it runs; its workers are told by a pipe."""
    netloc = urlsplit(url).netloc
    secret_url = url.replace(netloc, f"postgres:{SECRET}@", 1)
    project.handlers("""
        @handler("thing", status="pending", to="normal")
        def work(row): pass
    """)
    db.execute("create table thing (id int primary key, status text)")
    running = project.start_python("-m", "poller", "run", *form.format(secret_url).split(), "--workers", "1")
    [(_, worker)] = wait_until("it works", lambda: workers_of(db))
    for pid in (running.pid, worker):
        title = Path(f"/proc/{pid}/cmdline").read_text()
        assert "poller" in title
        assert SECRET not in title
    assert "list of processes" not in running.log
