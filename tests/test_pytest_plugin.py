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


def test_a_test_gets_an_engine_for_its_handlers(
    pytester: pytest.Pytester, db: psycopg.Connection[Any], url: str
) -> None:
    """The fixture is there without a word of configuration."""
    _make_tenants(db, "a", "bad")
    pytester.makepyfile(
        HEAD.format(url=url)
        + """
def test_it(poller_engine):
    engine = poller_engine(URL, initialise, concurrency=2)
    assert sorted(done.became for done in engine.run_due()) == ["moved", "retrying"]
    engine.advance("1h")
    assert [done.attempt for done in engine.run_due()] == [2]
"""
    )

    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_the_engine_is_closed_when_the_test_ends(
    pytester: pytest.Pytester, db: psycopg.Connection[Any], url: str
) -> None:
    """Also when the test fails: its connections are closed and its worker has left."""
    _make_tenants(db, "a")
    pytester.makepyfile(
        HEAD.format(url=url)
        + """
import psycopg

def workers():
    with psycopg.connect(URL) as connection:
        return connection.execute("select count(*) from poller.worker where died_at is null").fetchone()

def test_that_fails(poller_engine):
    poller_engine(URL, initialise)
    assert workers() == (0,)

def test_afterwards():
    assert workers() == (0,)
"""
    )

    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1, failed=1)


def test_an_engine_that_cannot_be_made_is_the_tests_error(pytester: pytest.Pytester, url: str) -> None:
    """With the line that the user would get from `poller run`."""
    pytester.makepyfile(
        HEAD.format(url=url) + "def test_it(poller_engine):\n    poller_engine(URL, initialise)"
    )

    result = pytester.runpytest_subprocess("-W", "error")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ConfigurationError: *there is no table tenant*"])


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
