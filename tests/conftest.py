"""Fixtures: one real server for the session, one fresh database for each test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import schema
from tests.claiming import Worker
from tests.cli import InProcess
from tests.harness import Project
from tests.servers import fresh_database, shared_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from poller.binding import Binding
    from tests.claiming import NewWorker


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of the server of this session."""
    with shared_server() as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a database with poller's schema, to be copied: quicker than migrating each time."""
    with fresh_database(server) as url:
        schema.migrate(url)
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
def join(url: str) -> Iterator[NewWorker]:
    """Makes workers that claim by hand, and closes their connections with the test."""
    with contextlib.ExitStack() as stack:

        def make(binding: Binding) -> Worker:
            worker = Worker(url, binding)
            stack.callback(worker.link.close)
            return worker

        yield make


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
