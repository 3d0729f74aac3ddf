"""How much is tried: a little, or one of several cases, in `make test`; all, or ten times as much, in test-thorough."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

TIMES = int(os.environ.get("POLLER_TEST_TIMES", "1"))


def one_in(count: int, cases: Iterable[Any]) -> list[Any]:
    """Return cases of which `make test` runs one in so many, the first included: they are alike, or large."""
    return [
        pytest.param(case, marks=pytest.mark.thorough) if place % count else case
        for place, case in enumerate(cases)
    ]
