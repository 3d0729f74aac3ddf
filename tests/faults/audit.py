"""What must hold after any fault, whatever it was: the handlers that note what they do, and the audit of their notes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.harness import wait_until

if TYPE_CHECKING:
    import psycopg

    from tests.harness import Project

# `effect` has no unique constraint that could hide a second one; `began.txt` is outside the database, so that no
# rollback hides a call.
TABLES = """
create table thing (id int primary key, status text not null default 'pending');
create index on thing (id) where status = 'pending';
create table effect (thing int not null, key text not null);
"""

HANDLERS = """
import os, time

def note(row, ctx):
    with open("began.txt", "a") as file:
        file.write(f"{row.id} {ctx.attempt} {os.getpid()} {time.time()}\\n")

def effect(row, ctx, connection):
    connection.exec_driver_sql("insert into effect values (%s, %s)", (row.id, ctx.key))
"""


def leased(seconds: float = 0.0, more: str = "") -> str:
    """Return a handler that takes so long, and what it does first."""
    return (
        HANDLERS
        + f"""
@handler("thing", status="pending", to="normal", attempts=20)
def work(row, ctx):
    note(row, ctx)
    {more or "pass"}
    time.sleep({seconds})
"""
    )


def transactional(seconds: float = 0.0) -> str:
    """Return a transactional handler that takes so long."""
    return (
        HANDLERS
        + f"""
@handler("thing", status="pending", to="normal", attempts=20, transactional=True)
def work(row, ctx):
    note(row, ctx)
    effect(row, ctx, ctx.connection)
    time.sleep({seconds})
"""
    )


def make_rows(db: psycopg.Connection[Any], count: int) -> None:
    """Make the tables, with so many pending rows."""
    db.execute(TABLES)
    db.execute("insert into thing select generate_series(1, %s)", [count])


def began(project: Project) -> list[tuple[int, int, int, float]]:
    """Return (row, attempt, process, time) of each call."""
    path = project.folder / "began.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    parts = [line.split() for line in lines]
    return [(int(row), int(attempt), int(pid), float(at)) for row, attempt, pid, at in parts]


def wait_until_done(db: psycopg.Connection[Any], timeout: float = 30.0) -> None:
    """Wait until every row has left `pending`, and is held by nobody."""
    question = (
        "select not exists (select from thing where status = 'pending')"
        " and not exists (select from poller.claim)"
    )
    wait_until("every row is done and free", lambda: db.execute(question).fetchone() == (True,), timeout)


def audit(project: Project, db: psycopg.Connection[Any], *, effects: bool = False) -> None:
    """Hold what is recorded against what the handlers noted.

    Args:
        project: where they ran.
        db: where it is recorded.
        effects: the handlers also wrote to `effect`, in the transaction of the move.
    """
    rows = [row[0] for row in db.execute("select id from thing order by id")]
    at_normal = db.execute("select count(*) from thing where status = 'normal'").fetchone()
    assert at_normal == (len(rows),), "every row ends where it should"
    assert db.execute("select count(*) from poller.attempt").fetchone() == (0,), "nothing is left in trouble"
    moves = Counter(
        int(key) for (key,) in db.execute("select key from poller.history where verdict = 'moved'")
    )
    assert moves == dict.fromkeys(rows, 1), "each row has moved once"
    assert db.execute("select sum(moved) from poller.tally").fetchone() == (len(rows),)
    calls = Counter(row for row, _, _, _ in began(project))
    assert set(calls) == set(rows), "each row was handled"
    leases = Counter(int(key) for (key,) in db.execute("select key from poller.history"))
    if not effects:  # a call whose transaction was rolled back is repeated under the same lease
        assert not {row: n for row, n in calls.items() if n > leases[row]}, (
            "no call without a lease of its own"
        )
    if effects:
        done = Counter(row for (row,) in db.execute("select thing from effect"))
        assert done == dict.fromkeys(rows, 1), "each effect is there once"
