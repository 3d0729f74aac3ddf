"""The bar for coroutines: one bare asyncio program that leases and settles as `by_hand` does.

`python -m benchmarks.by_hand_async URL BATCH` waits for a notification, drains the table, and notes how many rows it
handled. The coroutines of two batches run at a time; a third batch is claimed or settled meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import psycopg

from benchmarks import by_hand
from benchmarks.handling.awaits import SECONDS

MOST = 1000  # coroutines at once


async def main(url: str, batch: str) -> None:
    """Wait at the gate, then work until nothing is left."""
    async with (
        await _connect(url, by_hand.NAME) as claiming,
        await _connect(url, f"settling {by_hand.NAME}") as settling,
    ):
        await claiming.execute(f"listen {by_hand.CHANNEL}")
        async for _ in claiming.notifies(stop_after=1):
            pass
        program = Program(claiming, settling, int(batch))
        lanes = MOST // int(batch) + 1
        handled = sum(await asyncio.gather(*(program.work() for _ in range(lanes))))
        await settling.execute("insert into handled values (%s)", [handled])


class Program:
    """What the lanes have in common."""

    def __init__(
        self, claiming: psycopg.AsyncConnection[Any], settling: psycopg.AsyncConnection[Any], batch: int
    ) -> None:
        self._claiming = claiming
        self._settling = settling
        self._batch = batch
        self._after = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST // batch)

    async def work(self) -> int:
        """Claim, handle and settle one batch after the other; return how many rows these had."""
        handled = 0
        while True:
            async with self._turn:
                lease = await self._claim()
            if lease is None:
                return handled
            number, keys = lease
            async with self._room:
                await asyncio.gather(*(wait() for _ in keys))
            await self._settling.execute(by_hand.SETTLE, [number, keys])
            handled += len(keys)

    async def _claim(self) -> tuple[int, list[int]] | None:
        """Return the next lease with its keys; None if nothing is left, from the first row on."""
        while True:
            async with self._claiming.transaction(), self._claiming.cursor(binary=True) as cursor:
                found = await cursor.execute(by_hand.LOOK, [self._after, self._batch])
                keys = [row[0] for row in await found.fetchall()]
                lease = await (await cursor.execute(by_hand.TAKE, [keys])).fetchone() if keys else None
            from_the_top = not self._after
            self._after = keys[-1] if keys else 0
            if lease:
                return lease[0], lease[1]
            if not keys and from_the_top:
                return None


async def wait() -> None:
    """Wait, as the handler does."""
    await asyncio.sleep(SECONDS)


async def _connect(url: str, name: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, application_name=name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
