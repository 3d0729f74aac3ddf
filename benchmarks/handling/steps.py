"""A chain of handlers through which a row goes, as many as BENCHMARK_STEPS says; the last one reports at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmarks.reports import Reporter, statuses
from poller import handler

if TYPE_CHECKING:
    from collections.abc import Callable

_reporter = Reporter()


def _pass(row: Any) -> None:
    """Let the row move on."""


def _arrive(row: Any) -> None:
    _reporter.report(row.id)


def _register() -> dict[str, Callable[[Any], Any]]:
    names = statuses(int(os.environ["BENCHMARK_STEPS"]))
    steps = list(zip(names, [*names[1:], "normal"], strict=True))
    return {
        f"step_{status}": handler("item", status=status, to=to)(_arrive if to == "normal" else _pass)
        for status, to in steps
    }


globals().update(_register())
