"""One race: a contestant drains a table of its own, from the gate to the last row.

The gate. The workers have been started, have imported everything, are connected and listen; the table is empty. The rows
come in by one COPY whose transaction analyses the table and notifies, as the trigger of `poller migrate --triggers`
would have it. Its commit is the gate: the clock starts when it returns, and stops when the table shows nothing
unfinished. So both are measured from idle; ours with the growing of its first claims.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import psycopg

from benchmarks import by_hand
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Shape = Literal["lease", "transaction"]

ROOT = Path(__file__).parents[1]
LOOK = 0.002  # seconds between two looks
PATIENCE = 120.0  # seconds that anything may take

_TABLE = """
create table item (
    id      bigint generated always as identity primary key,
    status  text not null default 'pending',
    payload text not null
);
create index item_pending on item (id) where status = 'pending';
"""
# Backwards: workers go forwards, so that this finds a row at once until the end is near.
_UNFINISHED = "select id from item where status = 'pending' order by id desc limit 1"
_READY = (
    "select count(*) from pg_stat_activity where application_name = %s and state = 'idle' and query <> ''"
)
_NOT_NORMAL = "select count(*) from item where status <> 'normal'"


@dataclass(frozen=True)
class Contestant:
    """What is measured.

    Attributes:
        name: as the report shows it.
        workers: how many processes work.
        module: the program to start, with the database's URL and `argument`.
        copies: how many of it.
        stays: whether it has to be told that this is the end.
        session: what the sessions that claim are called, one a worker.
        handled: the query that counts the calls of its function.
        shape: of its transactions: what is compared with each other.
        schema: what it needs beside the table.
    """

    name: str
    workers: int
    module: str
    argument: int
    copies: int
    stays: bool
    session: str
    handled: str
    shape: Shape
    schema: str = ""
    environment: dict[str, str] = field(default_factory=dict, hash=False)


def ours(workers: int, **options: Any) -> Contestant:
    """Return our fleet, whose handler has these options."""
    said = ", ".join(f"{name} {value}" if value is not True else name for name, value in options.items())
    return Contestant(
        name=f"poller, {said}" if said else "poller",
        workers=workers,
        module="benchmarks.fleet",
        argument=workers,
        copies=1,
        stays=True,
        session="poller claimer",
        # A call's outcome is tallied as moved, or stands in the history, whatever is kept there.
        handled="""select sum(moved) + (select count(*) from poller.history where verdict <> 'moved')
                     from poller.tally""",
        shape="transaction" if options.get("transactional") else "lease",
        environment={"BENCHMARK_OPTIONS": json.dumps(options)},
    )


def hand_written(workers: int, batch: int, shape: Shape = "lease") -> Contestant:
    """Return the hand-written program."""
    how = "" if shape == "lease" else ", in a transaction"
    return Contestant(
        name=f"by hand, batches of {batch}{how}",
        workers=workers,
        module="benchmarks.by_hand",
        argument=batch,
        copies=workers,
        stays=False,
        session=by_hand.NAME,
        handled="select sum(rows) from handled",
        shape=shape,
        environment={"BENCHMARK_SHAPE": shape},
        schema=by_hand.SCHEMA,
    )


def race(server_url: str, contestant: Contestant, rows: int) -> float:
    """Return how many rows a second the contestant drains.

    Raises:
        RuntimeError: it did not get there, or handled a row twice.
    """
    with fresh_database(server_url) as url, psycopg.connect(url, autocommit=True) as db:
        db.execute(_TABLE + contestant.schema)
        with _running(contestant, url) as look_after:
            _await("ready", lambda: _count(db, _READY, contestant.session) == contestant.workers, look_after)
            began = _open_gate(db, rows)
            _await("done", lambda: db.execute(_UNFINISHED).fetchone() is None, look_after)
            seconds = time.perf_counter() - began
        left, handled = _count(db, _NOT_NORMAL), _count(db, contestant.handled)
    if (left, handled) != (0, rows):
        msg = f"{contestant.name}: of {rows} rows {left} are left, and {handled} were handled"
        raise RuntimeError(msg)
    return rows / seconds


def _open_gate(db: psycopg.Connection[Any], rows: int) -> float:
    """Let the rows in; return when that was."""
    db.execute("checkpoint")  # so that none falls into the race
    with db.transaction():
        with db.cursor().copy("copy item (payload) from stdin") as copy:
            copy.write("".join(f"payload {number}\n" for number in range(rows)))
        db.execute("analyze item")
        db.execute(f"notify {by_hand.CHANNEL}")
    return time.perf_counter()


def _count(db: psycopg.Connection[Any], query: str, *arguments: str) -> int:
    row = db.execute(query, arguments).fetchone()
    return int(row[0] or 0) if row else 0


def _await(what: str, holds: Callable[[], bool], look_after: Callable[[], None]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        look_after()
        if time.monotonic() > until:
            msg = f"not {what} after {PATIENCE:.0f} s"
            raise RuntimeError(msg)
        time.sleep(LOOK)


@contextlib.contextmanager
def _running(contestant: Contestant, url: str) -> Iterator[Callable[[], None]]:
    """Start the contestant; give what raises if it failed; have it end at the end, one way or the other."""
    with tempfile.TemporaryFile() as log:
        processes = [_start(contestant, url, log) for _ in range(contestant.copies)]
        try:
            yield lambda: _check_alive(processes, log)
            for process in processes:
                if contestant.stays:
                    process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
            _check_alive(processes, log)
        finally:
            for process in processes:
                _end(process)


def _start(contestant: Contestant, url: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", contestant.module, url, str(contestant.argument)],
        cwd=ROOT,
        env=os.environ | contestant.environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,  # Ctrl-C is for us: `_end` passes it on
    )


def _check_alive(processes: list[subprocess.Popen[bytes]], log: IO[bytes]) -> None:
    if any(process.poll() for process in processes):
        log.seek(0)
        msg = f"a process has failed:\n{log.read().decode(errors='replace')}"
        raise RuntimeError(msg)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may still run: a fleet is asked twice, so that it does not wait for its handlers."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3.0)
