"""What to do about a client's refusal, in the words of the command line: the client itself knows none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poller.errors import PollerError

_HINTS = {
    "no_run_begun": "run it now with: poller trigger {job!r}",
    "no_such_run": "those that are kept stand in: poller runs",
    "declared": "take it out there, or hold it: poller pause",
    "is_handler": "stop it by leaving it out of --only",
    "no_purge": "give --column and --older-than",
}


def with_hint(error: PollerError) -> str:
    """Return an error's text, and what to do about it where a command or an option does."""
    reason: str = getattr(error, "reason", "")
    data: dict[str, Any] = getattr(error, "data", {})
    if reason == "several_purges":
        return _several_purges(**data)
    hint = _HINTS.get(reason)
    return str(error) if hint is None else f"{error}; {hint.format(**data)}"


def _several_purges(table: str, where: str, purges: list[tuple[str, str]]) -> str:
    names = ", ".join(f"{name!r} (--column {column})" for name, column in purges)
    return f"{where} declares several purges of {table}: {names}; give --column and --older-than"
