"""PgQueuer's side: see `benchmarks.peers.pgqueuer`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-not-found,import-untyped,unused-ignore]
import uvloop  # type: ignore[import-not-found,unused-ignore]
from pgqueuer import PgQueuer  # type: ignore[import-not-found,unused-ignore]
from pgqueuer.queries import Queries  # type: ignore[import-not-found,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

BATCH = 500


async def install(url: str) -> None:
    """Make its tables, set as its guide to performance says."""
    queries = Queries.from_asyncpg_connection(await asyncpg.connect(url))
    await queries.install()
    await queries.optimize_autovacuum()


async def work(url: str) -> None:
    """Work until told to stop."""
    manager = PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    manager.entrypoint("nothing")(nothing)
    await manager.run(batch_size=BATCH)


async def nothing(job: Any) -> None:
    """Do nothing."""


async def put(url: str, rows: str) -> None:
    """Put so many jobs in."""
    connection = await asyncpg.connect(url)
    count = int(rows)
    payloads = [b"payload %d" % number for number in range(count)]
    async with connection.transaction():
        await Queries.from_asyncpg_connection(connection).enqueue(["nothing"] * count, payloads, [0] * count)
        await connection.execute("analyze pgqueuer")
    print("committed", flush=True)  # noqa: T201 - whoever started it listens
    sys.stdin.read()


ACTIONS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"install": install, "work": work, "put": put}

if __name__ == "__main__":
    uvloop.run(ACTIONS[sys.argv[1]](*sys.argv[2:]))
