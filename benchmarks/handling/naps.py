"""A slow handler: it keeps a thread for 50 ms."""

from __future__ import annotations

import time
from typing import Any

from poller import handler

SECONDS = 0.05


@handler("item", status="pending", to="normal")
def nap(_row: Any) -> None:
    """Sleep, and let the row move on."""
    time.sleep(SECONDS)
