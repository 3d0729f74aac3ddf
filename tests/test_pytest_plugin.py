"""The pytest fixture: engines for the tests of a user's handlers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    import pytest

pytest_plugins = ["pytester"]

HEAD = """
from poller import handler

@handler("tenant", status="pending", to="normal")
def initialise(tenant):
    assert tenant.slug != "bad"

URL = {url!r}
"""


def test_a_test_gets_an_engine_for_its_handlers_that_is_closed_with_it(
    pytester: pytest.Pytester, db: psycopg.Connection[Any], url: str
) -> None:
    """The fixture is there without a word of configuration, and leaves nothing, also when the test fails."""
    _make_tenants(db, "a", "bad")
    pytester.makepyfile(
        HEAD.format(url=url)
        + """
import psycopg

def workers():
    with psycopg.connect(URL) as connection:
        return connection.execute("select count(*) from poller.worker where died_at is null").fetchone()

def test_it(poller_engine):
    engine = poller_engine(URL, initialise, concurrency=2)
    assert sorted(done.became for done in engine.run_due()) == ["moved", "retrying"]
    engine.advance("1h")
    assert [done.attempt for done in engine.run_due()] == [2]

def test_that_fails(poller_engine):
    poller_engine(URL, initialise)
    assert workers() == (0,)

def test_afterwards():
    assert workers() == (0,)

@handler("nothing", status="pending", to="normal")
def never(row):
    pass

def test_an_engine_that_cannot_be_made(poller_engine):
    poller_engine(URL, never)
"""
    )

    result = pytester.runpytest_subprocess("-W", "error")

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*assert (1,) == (0,)*", "*ConfigurationError: *there is no table nothing*"])


def test_a_project_that_does_not_use_the_fixture_pays_nothing_for_it() -> None:
    """pytest imports the plugin everywhere; the driver and the engine wait for the first use."""
    code = (
        "import sys, poller.pytest_plugin; print([m for m in ('psycopg', 'sqlalchemy') if m in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


def _make_tenants(db: psycopg.Connection[Any], *slugs: str) -> None:
    db.execute("create table tenant (slug text primary key, status text not null default 'pending')")
    db.execute("insert into tenant select unnest(%s::text[])", [list(slugs)])
