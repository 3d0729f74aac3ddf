"""Tests of a handler: as a plain function, and as the engine runs it. pytest finds `poller_engine` by itself."""

import psycopg

from examples.retries import TABLES, send
from poller.pytest_plugin import EngineFactory
from poller.testing import context, row


def test_the_function_alone() -> None:
    """Call it: no engine, and no database."""
    send(row(id=1, address="slow@x"), context(attempt=2))


def test_what_becomes_of_rows(empty_url: str, poller_engine: EngineFactory) -> None:
    """Run what is due, and move the clock. `empty_url` is a database for this test alone, and comes first."""
    with psycopg.connect(empty_url) as connection:
        connection.execute(TABLES.encode())
    engine = poller_engine(empty_url, send)
    became = {done.key: done.became for done in engine.run_due()}
    assert became == {"1": "retrying", "2": "retrying", "3": "failed", "4": "retrying"}
    for _ in range(3):
        engine.advance("10m")
        became |= {done.key: done.became for done in engine.run_due()}
    assert became == {"1": "moved", "2": "moved", "3": "failed", "4": "failed"}
