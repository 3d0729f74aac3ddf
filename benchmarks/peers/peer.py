"""A peer, and the race of one that keeps its jobs in Postgres."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from benchmarks.processes import Command, at_work, put
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable

# Each worker's sessions bear its name. They are ready when all have rested: what is done at a start has been done.
_READY = """
select count(distinct application_name) = %(workers)s
       and bool_and(state = 'idle' and state_change < clock_timestamp() - interval '500 ms')
  from pg_stat_activity
 where application_name like 'worker %%'
"""


class Peer(Protocol):
    """What is measured beside ours."""

    @property
    def name(self) -> str:
        """As the report shows it, with its version."""

    def race(self, server_url: str, workers: int, rows: int) -> float:
        """Return how many rows a second it drains."""


@dataclass(frozen=True)
class OnPostgres:
    """A peer that keeps its jobs in Postgres.

    Attributes:
        name: with its version.
        program: that installs, works and puts (see `benchmarks.peers.programs`).
        unfinished: the query that gives a row as long as there is something to do, and is quick at that.
        succeeded: the query that counts what was done well, where the peer keeps that.
    """

    name: str
    program: Command
    unfinished: str
    succeeded: str | None = None

    def race(self, server_url: str, workers: int, rows: int) -> float:
        """Return how many rows a second it drains.

        Raises:
            RuntimeError: it did not get there, or some jobs have not succeeded.
        """
        with fresh_database(server_url) as url, psycopg.connect(url, autocommit=True) as db:
            self.program.run("install", url)
            names = [f"worker {number}" for number in range(workers)]
            with at_work([self.program.telling("work", _called(url, name)) for name in names]) as crew:
                crew.wait("ready", lambda: _holds(db, _READY, workers=workers))
                db.execute("checkpoint")  # so that none falls into the race
                with put(self.program.telling("put", url, str(rows))) as began:
                    crew.wait("done", lambda: db.execute(self.unfinished.encode()).fetchone() is None)
                    seconds = time.perf_counter() - began
                crew.wait("counted", self._all_succeeded(db, rows))
        return rows / seconds

    def _all_succeeded(self, db: psycopg.Connection[Any], rows: int) -> Callable[[], bool]:
        counts = self.succeeded
        return lambda: counts is None or _holds(db, f"select ({counts}) = %(rows)s", rows=rows)


def _called(url: str, name: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={name.replace(' ', '%20')}"


def _holds(db: psycopg.Connection[Any], query: str, **arguments: int) -> bool:
    row = db.execute(query.encode(), arguments).fetchone()
    return bool(row and row[0])
