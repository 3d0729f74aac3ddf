"""Checks single options of handlers and jobs: numbers, and where a function runs. `handler` checks them together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
from poller.model.signature import is_coroutine

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_INTEGER = 2**31 - 1  # rows: an integer of Postgres
LONGEST_TIMEOUT_SECONDS = 366 * 86400.0
_FACTORY = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def check_executor(executor: object, function: Callable[..., Any]) -> None:
    """Refuse an executor that is not valid, or cannot run the function.

    Raises:
        ConfigurationError: with the reason.
    """
    if executor == "thread":
        return
    if executor != "process" and not (isinstance(executor, str) and _FACTORY.fullmatch(executor)):
        msg = f"executor must be 'thread', 'process' or 'module:factory', got {executor!r}"
        raise ConfigurationError(msg)
    if is_coroutine(function):
        msg = f"a coroutine function runs in its worker; leave executor={executor!r} out"
        raise ConfigurationError(msg)
    if (
        "<" in getattr(function, "__qualname__", repr(function))
        or getattr(function, "__module__", "__main__") == "__main__"
    ):
        msg = f"executor={executor!r} looks for the function by its name; make it a function of a module"
        raise ConfigurationError(msg)


def check_number(option: str, value: object, most: int) -> None:
    """Refuse what is not a whole number from 1 on.

    Raises:
        ConfigurationError: with the reason.
    """
    if type(value) is not int or not 1 <= value <= most:
        msg = f"{option} must be a whole number from 1 to {most}, got {value!r}"
        raise ConfigurationError(msg)
