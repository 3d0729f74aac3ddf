"""Fixtures of the tests of the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from poller.client import brief_sessions
from poller.web import snapshot
from tests.servers import fresh_database
from tests.web.fleets import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _soon_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that looks ends soon after the test, and closes its connection; others are closed, too."""
    monkeypatch.setattr(snapshot, "WATCHED", 2.0)
    monkeypatch.setattr(brief_sessions, "IDLE_SECONDS", 2.0)


@pytest.fixture(scope="session")
def peopled(server: str, template: str) -> Iterator[str]:
    """A database with a fleet in each state, to be copied."""
    with fresh_database(server, template=template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            fleet(url, db)
        yield url


@pytest.fixture
def url(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """A fresh database: in modules that say `PEOPLED = True` one with a fleet."""
    is_peopled = getattr(request.module, "PEOPLED", False)
    source = request.getfixturevalue("peopled") if is_peopled else template
    with fresh_database(server, template=source) as made:
        yield made
