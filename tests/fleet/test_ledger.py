"""Exactly once inside the database: money moves between accounts while workers and Postgres are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.harness import Project, wait_until
from tests.servers import cluster
from tests.times import TIMES, one_in

if TYPE_CHECKING:
    from tests.harness import Process
    from tests.servers import Cluster

KILLS = 4 * TIMES

# One transfer in fifty fails at first; the ledger has no unique constraint that could hide a double entry.
SCHEMA = """
create table account (id int primary key, balance bigint not null default 0);
insert into account select generate_series(0, 99);
create table transfer (id int primary key, source int, target int, amount int,
                       status text not null default 'pending');
create index on transfer (id) where status = 'pending';
create table ledger (transfer int not null);
"""
TRANSFERS = """
insert into transfer (id, source, target, amount)
select i, i %% 100, (i * 7 + 3) %% 100, i %% 100 from generate_series(1, %s) as i
"""
WRITES = """
WRITES = (
    "update account set balance = balance - %(amount)s where id = %(source)s",
    "update account set balance = balance + %(amount)s where id = %(target)s",
    "insert into ledger values (%(id)s)",
)

def fails_at_first(row, ctx):
    if ctx.attempt == 1 and row.id % 50 == 0:
        raise RuntimeError("not yet")
"""
HANDLERS = {
    "transactional": WRITES
    + """
@handler("transfer", status="pending", to="booked", transactional=True, attempts=99)
def book(row, ctx):
    for write in sorted(WRITES[:2], key=lambda write: row["source" if "source" in write else "target"]):
        ctx.connection.exec_driver_sql(write, dict(row))
    ctx.connection.exec_driver_sql(WRITES[2], dict(row))
    fails_at_first(row, ctx)
""",
    "ctx.settle": WRITES
    + """
import os, psycopg

@handler("transfer", status="pending", to="booked", attempts=99)
def book(row, ctx):
    with psycopg.connect(os.environ["POLLER_DATABASE_URL"]) as connection:
        for write in sorted(WRITES[:2], key=lambda write: row["source" if "source" in write else "target"]):
            connection.execute(write, dict(row))
        connection.execute(WRITES[2], dict(row))
        ctx.settle(connection, "booked")
        fails_at_first(row, ctx)
""",
}


def harass(fleet: Process, server: Cluster, seed: int) -> int:
    """Kill workers while the fleet works, and Postgres once; return the fleet's exit status."""
    chance = random.Random(seed)
    wait_until("it has begun", lambda: _has_begun(server))
    for turn in range(KILLS):
        time.sleep(chance.uniform(0.3, 1.0))
        if turn == KILLS // 2:
            server.kill()
            server.start()
        with contextlib.suppress(psycopg.Error, ProcessLookupError):
            with psycopg.connect(server.url, autocommit=True) as db:
                busy = wait_until("a worker has rows", lambda: _busy(db) or fleet.popen.poll() is not None)
            if isinstance(busy, list):
                os.kill(chance.choice(busy), signal.SIGKILL)
    return fleet.wait(90)


def _has_begun(server: Cluster) -> bool:
    """Tell whether a row has been booked; before that, a fleet may be told in vain to start."""
    with psycopg.connect(server.url) as db:
        return db.execute("select from transfer where status = 'booked' limit 1").rowcount > 0


def _busy(db: psycopg.Connection[Any]) -> list[int]:
    """Return the processes of the workers that hold rows."""
    rows = db.execute(
        "select distinct w.pid from poller.worker as w join poller.claim as c on c.worker_id = w.id"
        " where w.died_at is null order by 1"
    )
    return [pid for (pid,) in rows]


@pytest.mark.parametrize(
    ("how", "rows"), one_in(2, [("transactional", 300 * TIMES), ("ctx.settle", 150 * TIMES)], are_tuples=True)
)
def test_g5_every_transfer_is_booked_once(tmp_path: Any, how: str, rows: int) -> None:
    """Workers are killed with -9 again and again, and Postgres once: no transfer is lost, none is booked twice."""
    with cluster() as server, Project(tmp_path, server.url) as project:
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute(SCHEMA)
            db.execute(TRANSFERS, [rows])
        project.handlers(HANDLERS[how])

        status = harass(project.start("run", "--workers", "3", "--drain"), server, seed=rows)

        with psycopg.connect(server.url, autocommit=True) as db:
            assert db.execute("select status, count(*) from transfer group by 1").fetchall() == [
                ("booked", rows)
            ]
            assert status == 0
            counts = db.execute("select count(*), count(distinct transfer) from ledger").fetchone()
            assert counts == (rows, rows)
            wrong = """
                select id from account
                 where balance <> (select coalesce(sum(amount), 0) from transfer where target = account.id)
                                - (select coalesce(sum(amount), 0) from transfer where source = account.id)"""
            assert db.execute(wrong).fetchall() == []
            assert db.execute("select sum(balance) from account").fetchone() == (0,)
            crashes = db.execute("select count(*) from poller.history where error like '%died%'").fetchone()
            assert crashes is not None
            assert crashes[0] > 0
