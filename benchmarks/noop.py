"""The handler that is measured: it has nothing to do, and all defaults but for what is measured."""

from __future__ import annotations

import json
import os
from typing import Any

from poller import handler

OPTIONS: dict[str, Any] = json.loads(os.environ.get("BENCHMARK_OPTIONS", "{}"))


@handler("item", status="pending", to="normal", **OPTIONS)
def nothing(row: Any) -> None:
    """Let the row, or the rows, move on."""
