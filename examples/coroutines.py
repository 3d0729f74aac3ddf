"""A coroutine: hundreds of rows wait side by side on the worker's event loop, without a thread for each."""

import asyncio

from poller import Context, Row, Transition, handler

TABLES = """
create table site (id int primary key, size int, status text not null default 'new');
insert into site select generate_series(1, 50);
"""


@handler("site", status="new", to="fetched", timeout="10s")
async def fetch(site: Row, ctx: Context) -> Transition:
    """Wait for an answer; at the timeout, or a stop of the worker, the coroutine is cancelled."""
    await asyncio.sleep(0.01)  # a client of yours
    ctx.logger.info("fetched")
    return Transition("fetched", size=site.id * 100)
