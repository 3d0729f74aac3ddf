"""What many workers cost the server: sessions that join, beat, listen and claim as workers do, driven by one process.

They run no handlers, so that thousands of them fit on one machine. It shows where a fleet's own overhead grows: a beat
looks at the list of workers; a notification goes to each of them; all claim from one table at once.
"""

from __future__ import annotations

import contextlib
import select
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.lines import Line, Measured
from benchmarks.measurement import Measurement
from benchmarks.race import PLAIN, Track
from poller import handler
from poller.db import migration
from poller.db.connection import Borrowed, connect
from poller.db.statements import array, statement
from poller.model.outcome import Became, Outcome
from poller.store.binding import bind
from poller.store.claims import Claims
from poller.store.lease import Result
from poller.store.liveness import register_handlers
from poller.store.settlements import Settlements
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.progress import Teller
    from poller.store.binding import Binding
    from tests.servers import Cluster

TIMES = 200  # that a beat is timed, in each crowd
AT_ONCE = 50  # claims that are under way at the same time, at the most
A_CLAIM = 100  # rows
MOVED = Outcome(Became.MOVED, to="normal")


@dataclass(frozen=True)
class CrowdSize:
    """How many workers there are, one crowd after the other, and how many rows they claim."""

    crowds: tuple[int, ...] = (10, 100, 500, 1000)
    rows: int = 50_000


@dataclass(frozen=True)
class Member:
    """A simulated worker: its session, and its id."""

    session: psycopg.Connection[Any]
    worker: int


def measure(server: Cluster, size: CrowdSize, teller: Teller) -> Measured:
    """Let crowds of growing size beat, hear and claim."""
    teller.expect(1 + len(size.crowds))
    with teller.step("a server for so many sessions"), psycopg.connect(server.url, autocommit=True) as db:
        db.execute(f"alter system set max_connections = {max(size.crowds) + 50}".encode())
    server.restart()
    found: list[Line] = []
    for crowd in size.crowds:
        with teller.step(f"{crowd} workers"), fresh_database(server.url) as url:
            found += _lines(url, crowd, size.rows)
    return Measured(found, {"size": asdict(size)})


def _lines(url: str, crowd: int, rows: int) -> list[Line]:
    migration.migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        track = Track(db, PLAIN)
        track.build("")
        binding = bind(db, handler("item", status="pending", to="normal")(_nothing))
        with _gathered(url, binding, crowd) as members:
            beat = median(_timed(lambda each=each: _beat(each)) for each in (members * TIMES)[:TIMES])
            heard = median(_timed(lambda: _notify(db, members)) for _ in range(5))
            track.open_gate(rows)
            rate = rows / _timed(lambda: _work_all(members, binding, rows))
    return [
        Line(f"{crowd} workers: a beat", beat * 1000, "ms"),
        Line(f"{crowd} workers: until all have heard", heard * 1000, "ms"),
        Line(f"{crowd} workers: {A_CLAIM} rows a claim, settled", rate, "rows/s"),
    ]


@contextlib.contextmanager
def _gathered(url: str, binding: Binding, crowd: int) -> Iterator[list[Member]]:
    """Have so many workers join, and listen."""
    with contextlib.ExitStack() as sessions:
        members = []
        for number in range(crowd):
            session = sessions.enter_context(connect(url, "crowd"))
            if not number:
                register_handlers(session, [binding])
            asked = {
                "host": "crowd",
                "pid": number,
                "slots": 1,
                "lease": 600.0,
                "handlers": array([binding.id]),
                "supervisor": "00000000-0000-0000-0000-000000000000",
                "after": 0,
            }
            row = session.execute(statement("register_worker"), asked).fetchone()
            assert row is not None  # noqa: S101 - an insert returns its row
            session.execute("listen poller")
            members.append(Member(session, row[0]))
        yield members


def _nothing(row: Any) -> None:
    """Let the row move on; it is never called."""


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _beat(member: Member) -> None:
    member.session.execute(statement("beat"), {"worker": member.worker, "stopping": False}).fetchone()


def _notify(db: psycopg.Connection[Any], members: list[Member]) -> None:
    """Notify, and wait until each has heard of it."""
    waiting = {each.session.fileno(): each.session for each in members}
    ready = select.poll()
    for number in waiting:
        ready.register(number, select.POLLIN)
    db.execute("notify poller")
    while waiting:
        for number, _ in ready.poll():
            if list(waiting[number].notifies(timeout=0, stop_after=1)):
                ready.unregister(number)
                del waiting[number]


def _work_all(members: list[Member], binding: Binding, rows: int) -> None:
    """Claim and settle in turns, many at a time, until no row is left."""
    left = rows

    def claim(member: Member) -> int:
        link = Borrowed(member.session)
        tasks = Claims(link).claim(binding, member.worker, A_CLAIM).tasks
        if tasks:
            Settlements(link).settle([Result(task, MOVED, 0.0) for task in tasks])
        return len(tasks)

    with ThreadPoolExecutor(min(AT_ONCE, len(members))) as threads:
        while left > 0:
            left -= sum(threads.map(claim, members))


MEASUREMENT = Measurement(measure, CrowdSize(), CrowdSize(crowds=(10, 100), rows=10_000))
