"""Guarantee 11: a key that is too long for an index costs nothing; one as long as a book is only slower."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any

import pytest

from poller import Fail, Snooze
from poller.testing import Engine
from tests.engines import column, moves, run

if TYPE_CHECKING:
    import psycopg

    from poller import Row
    from tests.command_line import InProcess

RANDOM = "".join(random.Random(7).choices(string.ascii_letters, k=2690))
KEYS = {
    "text": ("text", RANDOM),
    "bytea": ("bytea", random.Random(7).randbytes(2560)),
    "compressible": ("text", "a" * 200_000),
    "of the length of a digest": ("text", "b" * 501),
}


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest, db: psycopg.Connection[Any]) -> Any:
    """The long key of a row, beside a row with a short one."""
    kind, key = KEYS[request.param]
    db.execute(f"create table paper (id {kind} primary key, status text not null default 'pending')")
    db.execute("insert into paper values (%s), (%s)", [key, key[:3]])
    return key


@pytest.mark.fault("F69")
def test_g11_a_row_with_a_long_key_is_moved(db: psycopg.Connection[Any], url: str, key: Any) -> None:
    assert [each.became for each in run(url, moves("paper"))] == ["moved", "moved"]
    assert column(db, "select count(*) from poller.claim") == [0]


@pytest.mark.fault("F69")
def test_g11_a_row_with_a_long_key_fails_is_retried_snoozes_and_is_parked_like_any_other(
    db: psycopg.Connection[Any], url: str, key: Any
) -> None:
    """Each of its outcomes is recorded under its key, and another row's is another's."""
    tried: list[int] = []

    def work(row: Row) -> None:
        if len(row.id) == 3:
            return
        tried.append(len(tried) + 1)
        if len(tried) == 1:
            raise RuntimeError
        if len(tried) == 2:
            raise Snooze("1m")
        reason = "for good"
        raise Fail(reason)

    became: list[str] = []
    with Engine(url, moves("paper", work, attempts=5)) as engine:
        for _ in range(3):
            became += [each.became for each in engine.run_due()]
            engine.advance("1h")
    assert became in (["retrying", "moved", "snoozed", "parked"], ["moved", "retrying", "snoozed", "parked"])
    [(length, state)] = db.execute("select length(key), state from poller.attempt").fetchall()
    assert (length > 500, state) == (True, "parked")


@pytest.mark.fault("F69")
def test_a_row_with_a_long_key_is_found_by_the_commands(
    here: InProcess, db: psycopg.Connection[Any], url: str
) -> None:
    db.execute("create table paper (id text primary key, status text not null default 'pending')")
    db.execute("insert into paper values (%s)", [RANDOM])
    with Engine(url, moves("paper", lambda _: 1 / 0, attempts=1)) as engine:
        engine.run_due()
    assert "ZeroDivisionError" in here.run("history", "paper", RANDOM).stdout
    assert here.run("retry", f"paper:pending:{RANDOM}").returncode == 0
    assert column(db, "select attempt from poller.attempt") == [0]
