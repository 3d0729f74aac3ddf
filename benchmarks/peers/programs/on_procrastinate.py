"""procrastinate's side: see `benchmarks.peers.procrastinate`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import psycopg
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SUBWORKERS = 20


def application(url: str) -> App:
    """Return the application, not open yet."""
    connector = PsycopgConnector(conninfo=url, min_size=1, max_size=SUBWORKERS + 1)
    made = App(connector=connector)
    made.task(name="nothing")(nothing)
    return made


async def install(url: str) -> None:
    """Make its tables."""
    async with application(url).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def work(url: str) -> None:
    """Work until told to stop."""
    async with application(url).open_async() as app:
        await app.run_worker_async(concurrency=SUBWORKERS)


async def nothing(payload: str) -> None:
    """Do nothing."""


async def put(url: str, rows: str) -> None:
    """Put so many jobs in."""
    jobs = [{"payload": f"payload {number}"} for number in range(int(rows))]
    async with application(url).open_async() as app, await psycopg.AsyncConnection.connect(url) as connection:
        await app.tasks["nothing"].configure(connection=connection).batch_defer_async(*jobs)
        await connection.execute("analyze procrastinate_jobs")
        await connection.commit()
        print("committed", flush=True)  # noqa: T201 - whoever started it listens
        sys.stdin.read()


ACTIONS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"install": install, "work": work, "put": put}

if __name__ == "__main__":
    asyncio.run(ACTIONS[sys.argv[1]](*sys.argv[2:]))
