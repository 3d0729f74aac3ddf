"""The handler that has nothing to do, with what BENCHMARK_HOOKS names beside it: a subscriber, or a middleware."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import poller
from benchmarks.noop import nothing

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["nothing"]

HOOKS = os.environ.get("BENCHMARK_HOOKS", "")
_counts: dict[str, int] = {}

if HOOKS == "subscriber":

    @poller.subscribe
    def count(event: Any) -> None:
        """Count the rows, as metrics would."""
        _counts[event.name] = _counts.get(event.name, 0) + getattr(event, "rows", 1)


if HOOKS == "middleware":

    @poller.around
    def count_attempts(attempt: poller.Attempt) -> Generator[None, Any]:
        """Count the attempts, before and after."""
        _counts[attempt.table] = _counts.get(attempt.table, 0) + 1
        yield
        _counts[attempt.table] -= 1
