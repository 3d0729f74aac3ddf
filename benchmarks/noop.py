"""The handler that is measured: all defaults, and nothing to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from poller import Row, handler

if TYPE_CHECKING:
    from poller.handler import History

_history = cast("History", os.environ.get("BENCHMARK_HISTORY", "all"))


@handler("item", status="pending", to="normal", history=_history)
def nothing(row: Row) -> None:
    """Let the row move on."""
