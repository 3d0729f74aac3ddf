"""Drains a worker, or a host's: they stop claiming, and end once they hold nothing.

What may be trusted: the drain is the process's, and not its number's. One that was declared dead before it heard of its
drain comes back under another number, and drains; so does the process that its supervisor starts in its place. That is
known for as long as the dead are listed: a day.
"""

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
    """A worker that ends once it holds nothing.

    Attributes:
        in_flight: how many rows it holds now.
        has_lapsed: its heartbeat has, so that it may be dead; if it comes back, it drains.
    """

    worker: int
    host: str
    pid: int
    in_flight: int
    has_lapsed: bool = False


def drain(connection: psycopg.Connection[Any], name: str) -> tuple[Draining, ...]:
    """Drain workers: the one with this number, if the name is one; else all on the host of this name.

    Args:
        connection: in a transaction.
        name: the number, or the host.

    Raises:
        NothingSelectedError: there is no such worker, or it was declared dead.
    """
    is_number = name.isascii() and name.isdigit()
    asked = {"number": name.lstrip("0"), "host": None} if is_number else {"number": None, "host": name}
    connection.execute(statement("lock_registrations"))
    rows = connection.execute(statement("drain_workers"), asked).fetchall()
    if not rows:
        raise NothingSelectedError(_none(connection, name, is_number=is_number))
    return tuple(Draining(*row[:-1]) for row in rows)


def _none(connection: psycopg.Connection[Any], name: str, *, is_number: bool) -> str:
    living = [each for each in RowQueries(connection).workers() if each.state != "dead"]
    hosts = ", ".join(sorted({each.host for each in living}))
    there = ", ".join(str(each.id) for each in living if each.host == name)
    if is_number and there:
        return f"no live worker has the number {name}; on the host {name} run the workers {there}: name those"
    what = f"no live worker has the number {name}" if is_number else f"no live worker runs on a host {name}"
    return f"{what}; live workers run on {hosts}" if hosts else f"{what}; no worker is alive"
