"""Fixtures: one real server for the session, one fresh database for each test."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.sql import SQL

from poller.db import migration, statements
from poller.store import settlements
from tests import gates
from tests.claiming import HandWorker
from tests.command_line import InProcess
from tests.harness import Project
from tests.servers import fresh_database, shared_server

if TYPE_CHECKING:
    from pathlib import Path

    from poller.store.binding import Binding
    from tests.claiming import NewWorker


def pytest_configure() -> None:
    """Prepare what the programs need that are started here."""
    _hear_signals()
    # Else each of a thousand programs would compile poller and all that it imports, half a second's work.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make only: not each time among the tests, and all that they import."""
    gc.freeze()


def _hear_signals() -> None:
    """Hear the signals that are sent here, and have the programs hear them that are started here.

    A script runs `make test &` with SIGINT ignored, nohup runs it with SIGHUP ignored, and programs inherit that.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of the server of this session."""
    with shared_server() as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a database with poller's schema, to be copied: quicker than migrating each time."""
    with fresh_database(server) as url:
        migration.migrate(url)
        yield url


@pytest.fixture
def empty_url(server: str) -> Iterator[str]:
    """A fresh database without poller's schema."""
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    """A fresh database with poller's schema."""
    with fresh_database(server, template=template) as url:
        yield url


@pytest.fixture
def db(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the test's database, in autocommit mode."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role(db: psycopg.Connection[Any]) -> Iterator[str]:
    """A role without rights of its own."""
    name = f"poller_test_{uuid.uuid4().hex[:12]}"
    db.execute(f"create role {name}; grant usage on schema poller to {name}")
    db.execute(f"grant select on all tables in schema poller to {name}")
    yield name
    db.execute(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def join(url: str) -> Iterator[NewWorker]:
    """Makes workers that claim by hand, and closes their connections with the test."""
    with contextlib.ExitStack() as stack:

        def make(binding: Binding) -> HandWorker:
            worker = HandWorker(url, binding)
            stack.callback(worker.link.close)
            return worker

        yield make


@pytest.fixture(params=[1, 1000], ids=["settle_moved", "settle"])
def settled_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is run with either statement that settles."""
    monkeypatch.setattr(settlements, "SIMPLE_BATCH_ROWS", request.param)
    monkeypatch.setattr("poller.services.settler.SIMPLE_BATCH_ROWS", request.param)


@pytest.fixture
def caseless(db: psycopg.Connection[Any]) -> Iterator[str]:
    """A type of texts without case, as citext is: its operators are in `public`."""
    operators = "".join(
        f"create function public.caseless_{name}(caseless, caseless) returns boolean immutable strict language plpgsql"
        f" as 'begin return pg_catalog.lower($1::text) {sign} pg_catalog.lower($2::text); end';"
        f"create operator public.{sign} (leftarg = caseless, rightarg = caseless, function = caseless_{name}"
        f"{', commutator = operator(public.=), hashes, merges' if sign == '=' else ''});"
        for name, sign in (("lt", "<"), ("le", "<="), ("eq", "="), ("ge", ">="), ("gt", ">"))
    )
    db.execute(
        "create type caseless;"
        "create function caseless_in(cstring) returns caseless immutable strict language internal as 'textin';"
        "create function caseless_out(caseless) returns cstring immutable strict language internal as 'textout';"
        "create type caseless (input = caseless_in, output = caseless_out, like = text,"
        " category = 'S', collatable = true);"
        "create cast (caseless as text) without function as implicit;"
        "create cast (text as caseless) without function as assignment;"
        "create cast (varchar as caseless) without function as assignment;" + operators
    )
    db.execute(
        "create function caseless_cmp(caseless, caseless) returns int immutable strict language sql return"
        " case when $1 < $2 then -1 when $1 > $2 then 1 else 0 end;"
        "create function caseless_hash(caseless) returns int immutable strict language sql return"
        " pg_catalog.hashtext(pg_catalog.lower($1::text));"
        "create operator class caseless_ops default for type caseless using btree as"
        " operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >,"
        " function 1 caseless_cmp(caseless, caseless);"
        "create operator class caseless_hash default for type caseless using hash as"
        " operator 1 =, function 1 caseless_hash(caseless)"
    )
    return "caseless"


@pytest.fixture
def gate(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that holds the gate of `tests.gates` shut."""
    with psycopg.connect(url, autocommit=True) as connection:
        gates.close(connection)
        yield connection


Alter = Callable[[str, str, str], None]


@pytest.fixture
def alter() -> Iterator[Alter]:
    """Changes statements of `sql/` in this process, for a control: the text `old` of one becomes `new`."""
    with pytest.MonkeyPatch.context() as patch:

        def change(name: str, old: str, new: str) -> None:
            plain = statements.template
            text = plain(name).as_string()
            assert old in text, f"sql/{name}.sql has no {old!r} any more"
            changed = SQL(text.replace(old, new))
            patch.setattr(statements, "template", lambda each: changed if each == name else plain(each))
            statements._alone.cache_clear()

        yield change
    statements._alone.cache_clear()


@pytest.fixture
def project(tmp_path: Path, url: str) -> Iterator[Project]:
    """A user's project folder, from which `poller` is run as its user runs it."""
    with Project(tmp_path, url) as project:
        yield project


@pytest.fixture
def here(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """`poller`, run in this process."""
    return InProcess(tmp_path, url, monkeypatch, capsys)
