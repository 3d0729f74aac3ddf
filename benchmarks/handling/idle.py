"""Twenty handlers and twenty nightly jobs that have nothing to do; the night is at BENCHMARK_HOUR, in UTC."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from poller import cron, handler

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 20


def _pass(row: Any) -> None:
    """Let the row move on."""


def _nightly() -> None:
    """Do nothing."""


def _register() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for number in range(MANY):
        found[f"handler_{number}"] = handler("item", status=f"status {number}", to="normal")(_pass)
        found[f"job_{number}"] = cron(f"{number} {os.environ['BENCHMARK_HOUR']} * * *", name=f"job {number}")(
            _nightly
        )
    return found


globals().update(_register())
