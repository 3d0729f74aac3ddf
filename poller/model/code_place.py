"""Where a user's function stands, or where the user's code calls poller: errors name it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from poller.model.signature import plain_function

if TYPE_CHECKING:
    from collections.abc import Callable

_OURS = ("poller.", "contextlib.")  # contextlib stands between where poller uses a context manager of its own


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def place_of(function: Callable[..., Any]) -> str:
    """Return where a function stands, as `handlers/tenants.py:12 (initialise)`."""
    plain = inspect.unwrap(plain_function(function))
    code = getattr(plain, "__code__", None)
    if code is None:
        return _name(function)
    return f"{code.co_filename}:{code.co_firstlineno} ({_name(plain)})"


def calling_place() -> str:
    """Return the line that called into poller, as `handlers/maintenance.py:12`."""
    frame = inspect.currentframe()
    while frame is not None and f"{frame.f_globals.get('__name__')}.".startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
