"""The sessions of a face that many people ask: one for many calls, and none where nobody asks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from poller import Client
from poller.client import brief_sessions
from poller.client.brief_sessions import MOST_IDLE
from poller.errors import DatabaseError
from tests.harness import wait_until

SESSIONS = (  # without the parallel workers of a query, which bear its session's name, and other tests' sessions
    "select pid from pg_stat_activity where application_name = 'poller desk' and leader_pid is null"
    " and datname = current_database() order by pid"
)
CAREFUL = {
    "default_transaction_read_only": "on",
    "lock_timeout": "1s",
    "search_path": "pg_catalog, pg_temp",
    "statement_timeout": "3s",
}


@pytest.fixture
def client(url: str) -> Client:
    """Of a desk."""
    return Client(url, via="desk", hurried=True)


def pids(db: psycopg.Connection[Any]) -> list[int]:
    """Return the desk's sessions."""
    return [pid for (pid,) in db.execute(SESSIONS)]


def asked(client: Client, question: str = "select pg_backend_pid()") -> Any:
    """Return what a question brings in a call of its own."""
    with client._database.session() as connection:
        return connection.execute(question).fetchone()


def test_calls_that_follow_each_other_have_one_session(client: Client, db: psycopg.Connection[Any]) -> None:
    """Set up as carefully at the tenth as at the first, though a call sets what it needs in its transaction."""
    for _ in range(5):
        client.workers()
        client.failure_groups("all")
    assert pids(db) == [asked(client)[0]]
    assert {each: asked(client, f"show {each}")[0] for each in CAREFUL} == CAREFUL
    assert client.informed(None).workers().items == ()
    assert len(pids(db)) == 1


def test_calls_at_the_same_time_have_one_each_and_few_are_kept(
    client: Client, db: psycopg.Connection[Any]
) -> None:
    """No question waits for another one."""
    with ExitStack() as stack:
        for _ in range(MOST_IDLE + 2):
            stack.enter_context(client._database.session())
        assert len(pids(db)) == MOST_IDLE + 2
    wait_until("those beyond are closed", lambda: len(pids(db)) == MOST_IDLE)


def test_a_session_in_which_a_call_failed_is_not_lent_again(
    client: Client, db: psycopg.Connection[Any]
) -> None:
    """Nor one that the server has ended, nor one left in a transaction: the next call has another, and its answer."""
    first = asked(client)
    with pytest.raises(psycopg.errors.DivisionByZero):
        asked(client, "select 1 / 0")
    second = asked(client)
    db.execute("select pg_terminate_backend(%s)", second)
    wait_until("it has ended", lambda: pids(db) == [])
    third = asked(client)
    with client._database.session() as connection:
        connection.execute("begin")
    assert len({first, second, third, asked(client)}) == 4


def test_a_session_lasts_a_minute_at_the_most(
    client: Client, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all is looked at anew: the server, and whether poller's schema is there."""
    first = asked(client)
    db.execute("drop schema poller cascade")
    assert asked(client) == first
    monkeypatch.setattr(brief_sessions, "LIFE_SECONDS", 0.0)
    with pytest.raises(DatabaseError, match="no schema poller yet"):
        asked(client)


def test_where_nobody_asks_there_is_no_session(
    client: Client, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds after the last call, though none comes after it."""
    monkeypatch.setattr(brief_sessions, "IDLE_SECONDS", 0.2)
    client.workers()
    assert len(pids(db)) == 1
    wait_until("it is closed", lambda: pids(db) == [])
