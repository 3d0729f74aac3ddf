"""Drains a worker, or a host's: they stop claiming, and end once they hold nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import RowQueries
from poller.db.statements import statement

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class Draining:
    """A worker that ends once it holds nothing, and how many rows it holds now."""

    worker: int
    host: str
    pid: int
    in_flight: int


def drain(connection: psycopg.Connection[Any], name: str) -> tuple[Draining, ...]:
    """Drain workers: the one with this number, or all on the host of this name.

    Raises:
        NothingSelectedError: no such worker is alive.
    """
    rows = connection.execute(statement("drain_workers"), {"name": name}).fetchall()
    if not rows:
        living = [each for each in RowQueries(connection).workers() if each.state != "dead"]
        hosts = ", ".join(sorted({each.host for each in living}))
        hint = f"live workers run on {hosts}" if hosts else "no worker is alive"
        msg = f"no live worker has the number {name}, or runs on a host {name}; {hint}"
        raise NothingSelectedError(msg)
    return tuple(Draining(*row[:-1]) for row in rows)
