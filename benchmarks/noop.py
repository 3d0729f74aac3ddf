"""The handler that is measured: it has nothing to do, and all defaults but for what is measured.

BENCHMARK_OPTIONS has its options, and BENCHMARK_TABLES the tables it is for, both as JSON.
"""

from __future__ import annotations

import json
import os
from typing import Any

from poller import handler

OPTIONS: dict[str, Any] = json.loads(os.environ.get("BENCHMARK_OPTIONS", "{}"))
TABLES: list[str] = json.loads(os.environ.get("BENCHMARK_TABLES", '["item"]'))


def nothing(row: Any) -> None:
    """Let the row, or the rows, move on."""


# One handler for each table: the function is registered several times, and the last one leads to the others.
for _table in TABLES:
    nothing = handler(_table, status="pending", to="normal", **OPTIONS)(nothing)
