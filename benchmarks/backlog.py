"""How much a worker has handled and not yet written, at the most, while it drains a table; and what a kill then costs.

A kill at the peak means that all of it is done again. So it is looked at where writing is slow: where each commit waits
for the disk, where the network is slow, where a person has locked one of the rows. Then the worker is killed with -9 in
the middle of a drain, and the seconds are counted until all that it held has been begun again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from benchmarks.handling import notes
from benchmarks.lines import Line, Measured, Target
from benchmarks.measurement import Measurement
from benchmarks.proc import children
from benchmarks.processes import at_work, fleet
from benchmarks.race import PLAIN, Track, count, ready
from poller.db import migration
from tests.faults.proxy import Proxy
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.processes import Crew
    from benchmarks.progress import Teller
    from tests.servers import Cluster

BOUND = Target("≤", 2000)
SOON = Target("≤", 5)
WORKERS = 1
LATENCY = 0.005  # seconds, each way
COMMIT_DELAY = 20_000  # microseconds
SECONDS = 15.0  # that a drain is looked at, at the most
LOOK = 0.002  # seconds between two looks
PATIENCE = 120.0  # seconds until what was not begun again counts as not begun within them
_WRITTEN = "select sum(moved) from poller.tally"
_HELD = "select k.key::bigint from poller.claim as c, unnest(c.keys) as k (key)"
_PENDING = "select id from item where status = 'pending'"
_LEFT = "select count(*) from (select from item where status = 'pending' limit 1) as p"
_LOCK = """
select id from item
 where status = 'pending' and id = (select max(k.key::bigint) from poller.claim as c, unnest(c.keys) as k (key))
   for update skip locked
"""


@dataclass(frozen=True)
class BacklogSize:
    """How many rounds, of so many rows each."""

    rounds: int = 3
    rows: int = 200_000


@dataclass
class Found:
    """What the rounds have come to: unwritten results at the most, by situation; and what came of each kill."""

    unwritten: dict[str, list[float]] = field(default_factory=dict)
    held: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)
    begun_again: list[float] = field(default_factory=list)


def measure(server: Cluster, size: BacklogSize, teller: Teller) -> Measured:
    """Drain in each situation, and kill a worker, round after round."""
    found = Found()
    teller.expect(size.rounds * (len(SITUATIONS) + 1))
    for number in range(size.rounds):
        for name, situation in SITUATIONS.items():
            with teller.step(f"round {number + 1}: {name}"), _drain(server, size.rows, situation) as drain:
                found.unwritten.setdefault(name, []).append(drain.most_unwritten())
        with teller.step(f"round {number + 1}: kill -9"), _drain(server, size.rows, PLAINLY) as drain:
            held, repeated, seconds = drain.kill()
            found.held.append(held)
            found.repeated.append(repeated)
            found.begun_again.append(seconds)
    return Measured(_lines(found), {"size": asdict(size), "workers": WORKERS, **asdict(found)})


def _lines(found: Found) -> list[Line]:
    return [
        *(
            Line(f"handled, not written, at the most: {name}", median(each), "rows", target=BOUND)
            for name, each in found.unwritten.items()
        ),
        Line("kill -9 in a drain: rows in hand", median(found.held), "rows"),
        Line("kill -9 in a drain: rows done again", median(found.repeated), "rows", target=BOUND),
        Line("kill -9 in a drain: all begun again", median(found.begun_again), "s", target=SOON),
    ]


# --- a drain ---------------------------------------------------------------------------------------------


class DrainingFleet:
    """A fleet of one worker that drains a table, and notes what it handles.

    Args:
        db: a session of its own.
        crew: the fleet.
        folder: where the notes are.
        rows: how many there are.
    """

    def __init__(self, db: psycopg.Connection[Any], crew: Crew, folder: Path, rows: int) -> None:
        self._db = db
        self._crew = crew
        self._folder = folder
        self._rows = rows

    def most_unwritten(self) -> int:
        """Look until all is written, or for `SECONDS`; return how much was handled and not written, at the most."""
        until = time.monotonic() + SECONDS
        most = written = 0
        while written < self._rows and time.monotonic() < until:
            written = count(self._db, _WRITTEN)
            most = max(most, notes.handled(self._folder) - written)
            time.sleep(LOOK)
        return most

    def kill(self) -> tuple[int, int, float]:
        """Kill the worker in the middle of it.

        Returns:
            how many rows it held, how many were handled again, and the seconds until all it held had been begun again.
        """
        self._crew.wait("half of it is handled", lambda: notes.handled(self._folder) > self._rows // 2)
        for pid in children(self._crew.pids[0]):
            os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        held = {row[0] for row in self._db.execute(_HELD)}
        until = killed_at + PATIENCE
        while count(self._db, _LEFT) and time.monotonic() < until:
            time.sleep(LOOK)
        calls = notes.calls(self._folder)
        again = dict(reversed([(row, at) for row, at in calls if at > killed_at and row in held]))
        left = held.difference(again) & {row[0] for row in self._db.execute(_PENDING)}
        seconds = PATIENCE if left else max(again.values(), default=killed_at) - killed_at
        return len(held), len(calls) - len({row for row, _ in calls}), seconds


@contextlib.contextmanager
def _drain(server: Cluster, rows: int, situation: Situation) -> Iterator[DrainingFleet]:
    """Begin to drain so many rows."""
    with (
        fresh_database(server.url) as url,
        psycopg.connect(url, autocommit=True) as db,
        tempfile.TemporaryDirectory() as folder,
        situation.slowed(url) as slowed,
    ):
        migration.migrate(url)
        track = Track(db, PLAIN)
        track.build("")
        command = fleet(slowed, WORKERS, handlers=notes.__name__, environment={notes.FOLDER: folder})
        with at_work([command]) as crew:
            crew.wait("ready", lambda: ready(db, "poller claimer") == WORKERS)
            track.open_gate(rows)
            with _locked(url) if situation.locks else contextlib.nullcontext():
                yield DrainingFleet(db, crew, Path(folder), rows)


# --- what slows it ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _plainly(url: str) -> Iterator[str]:
    yield url


@contextlib.contextmanager
def _slow_disk(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as db:
        for setting in (f"commit_delay = {COMMIT_DELAY}", "commit_siblings = 0"):
            db.execute(sql.SQL("alter database {} set " + setting).format(sql.Identifier(db.info.dbname)))
    yield url


@contextlib.contextmanager
def _slow_network(url: str) -> Iterator[str]:
    with Proxy(url) as wire:
        wire.delay = LATENCY
        yield wire.url


@contextlib.contextmanager
def _locked(url: str) -> Iterator[None]:
    """Lock a row that is in flight."""
    with psycopg.connect(url) as db:
        while db.execute(_LOCK).fetchone() is None:
            db.rollback()
        yield


@dataclass(frozen=True)
class Situation:
    """What slows the writing.

    Attributes:
        slowed: takes a database's URL, and gives that which the fleet uses.
        locks: a person locks a row that is in flight.
    """

    slowed: Callable[[str], AbstractContextManager[str]] = _plainly
    locks: bool = False


PLAINLY = Situation()
SITUATIONS = {
    "plainly": PLAINLY,
    "a commit takes 20 ms": Situation(_slow_disk),
    "5 ms each way": Situation(_slow_network),
    "a row is locked": Situation(locks=True),
}
MEASUREMENT = Measurement(measure, BacklogSize(), BacklogSize(rounds=1, rows=50_000))
