"""Jobs that run each second and have nothing to do: as many as BENCHMARK_JOBS says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from poller import fixed_rate

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> None:
    """Do nothing."""


def _register() -> dict[str, Callable[..., Any]]:
    many = int(os.environ["BENCHMARK_JOBS"])
    return {f"job_{number}": fixed_rate("1s", name=f"job {number}")(_nothing) for number in range(many)}


globals().update(_register())
