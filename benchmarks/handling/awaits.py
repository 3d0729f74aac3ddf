"""A handler that awaits for 10 ms."""

from __future__ import annotations

import asyncio
from typing import Any

from poller import handler

SECONDS = 0.01


@handler("item", status="pending", to="normal")
async def wait(_row: Any) -> None:
    """Wait, and let the row move on."""
    await asyncio.sleep(SECONDS)
