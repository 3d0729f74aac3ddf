"""How much is tried at random, or with many rows: once in `make test`, ten times as much in `make test-thorough`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("POLLER_TEST_TIMES", "1"))
