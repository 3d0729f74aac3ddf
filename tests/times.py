"""How much is tried: a little, or one of several cases, in `make test`; all, or ten times as much, in test-thorough."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

TIMES = int(os.environ.get("POLLER_TEST_TIMES", "1"))


def one_in(count: int, cases: Iterable[Any], *, are_tuples: bool = False) -> list[Any]:
    """Return cases of which `make test` runs one in so many, the first included: they are alike, or large.

    Args:
        count: how many.
        cases: which.
        are_tuples: each is a tuple of several parameters.
    """
    return [
        _thorough(case if are_tuples else (case,)) if at % count else case for at, case in enumerate(cases)
    ]


def _thorough(values: tuple[Any, ...]) -> Any:
    return pytest.param(*values, marks=pytest.mark.thorough)
