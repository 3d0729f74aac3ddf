"""`python -m tests.chaos.stops --times 1000`: a worker, in this process, is told to stop at a moment drawn at random.

Rows come, and within a quarter of a second the stop: while a claim is under way, while what it brings is queued, while
handlers begin. They take less than the grace time, so none may be interrupted, and each row ends done or untouched.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.progress import track

from poller import handler
from poller.db import migration
from poller.fleet.worker import Worker, WorkerOptions
from poller.store.binding import bind_all
from poller.store.liveness import register_handlers
from poller.telemetry import log
from tests.harness import wait_until
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.binding import Binding

GRACE = 3.0  # seconds
MARGIN = 2.0
WINDOW = 0.25  # seconds after rows have come, within which the stop does
TAKES = 0.1  # seconds that a handler takes at the most
ROWS = 8  # of each table, each time
TABLES = ("nap", "doze", "held")

BEGUN: list[str] = []
ENDED: list[str] = []


@handler("nap", status="pending", to="normal", attempts=1)
def nap(row: Any) -> None:
    BEGUN.append(f"nap {row.id}")
    time.sleep(row.seconds)
    ENDED.append(f"nap {row.id}")


@handler("doze", status="pending", to="normal", attempts=1)
async def doze(row: Any) -> None:
    BEGUN.append(f"doze {row.id}")
    await asyncio.sleep(row.seconds)
    ENDED.append(f"doze {row.id}")


@handler("held", status="pending", to="normal", attempts=1, transactional=True)
def held(row: Any) -> None:
    BEGUN.append(f"held {row.id}")
    time.sleep(row.seconds / 10)
    ENDED.append(f"held {row.id}")


def prepare(url: str) -> list[Binding]:
    """Make poller's schema and the tables; return the handlers, bound to them."""
    migration.migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        for table in TABLES:
            db.execute(
                f"create table {table} (id bigint generated always as identity primary key,"
                " status text not null default 'pending', seconds float8 not null)".encode()
            )
            db.execute(f"create index on {table} (id) where status = 'pending'".encode())
        bindings = bind_all(db, [nap, doze, held])
        register_handlers(db, bindings)
    return bindings


def stop_once(
    url: str, bindings: Sequence[Binding], db: psycopg.Connection[Any], draw: random.Random
) -> list[str]:
    """Have a worker work on the main thread, stop it at some moment, and return what was wrong with that."""
    options = WorkerOptions(supervisor=uuid.uuid4(), slots=8, lease=30.0, poll=1.0, grace=GRACE)
    worker = Worker(url, bindings, options)
    told_at: list[float] = []
    moment = draw.uniform(0.0, WINDOW)
    naps = [draw.uniform(0.0, TAKES) for _ in range(ROWS)]

    def tell() -> None:
        wait_until("it has registered", lambda: worker._heartbeat.worker is not None)
        for table in TABLES:
            db.execute(f"insert into {table} (seconds) select unnest(%s::float8[])".encode(), [naps])
        db.execute("notify poller")
        time.sleep(moment)
        told_at.append(time.monotonic())
        worker.stop()

    teller = threading.Thread(target=tell)
    teller.start()
    worker.run()
    took = time.monotonic() - told_at[0]
    teller.join()
    return _wrong(db, took)


def _wrong(db: psycopg.Connection[Any], took: float) -> list[str]:
    wrong = []
    if took > GRACE + MARGIN:
        wrong.append(f"it took {took:.1f} s")
    if unended := set(BEGUN).difference(ENDED):
        wrong.append(f"{len(unended)} handlers had begun and not ended")
    if db.execute("select from poller.attempt").rowcount:
        wrong.append("a handler was interrupted")
    if db.execute("select from poller.claim").rowcount:
        wrong.append("a row is leased")
    done = {f"{name} {key}" for name in TABLES for (key,) in db.execute(_DONE.format(name).encode())}
    if done != set(ENDED):
        wrong.append(f"{len(done)} rows were moved, {len(ENDED)} handled")
    if repeated := len(BEGUN) - len(set(BEGUN)):
        wrong.append(f"{repeated} rows were begun twice")
    BEGUN.clear()
    ENDED.clear()
    db.execute(f"truncate {', '.join(TABLES)}, poller.attempt, poller.claim".encode())
    return wrong


_DONE = "select id from {} where status = 'normal'"


def main() -> int:
    """Stop so many times; print what was wrong, and return 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.stops", description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--database", help="an empty one; else a server is made")
    options = parser.parse_args()
    log.setup("text", "WARNING")
    found: Counter[str] = Counter()
    bad = 0
    draw = random.Random(options.seed)
    with contextlib.ExitStack() as stack:
        url = options.database or stack.enter_context(cluster()).url
        db = stack.enter_context(psycopg.connect(url, autocommit=True))
        bindings = prepare(url)
        for _ in track(range(options.times), "stopping", console=Console(stderr=True)):
            wrong = stop_once(url, bindings, db, draw)
            found.update(wrong)
            bad += bool(wrong)
    Console().print(f"stopped {options.times} times, {bad} of them wrong: {dict(found) or 'nothing'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
