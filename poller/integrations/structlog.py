"""A processor for structlog, which adds the attempt in progress to a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.telemetry.current_attempt import current

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def add_attempt(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add `poller_table`, `poller_key` and what else is known; a line's own fields of these names stay."""
    attempt = current()
    for name, value in () if attempt is None else attempt.known.items():
        line.setdefault(f"poller_{name}", value)
    return line
