"""Ends a process that a handler has forked and that comes back from it.

Such a child has a copy of the worker: its queue of claimed rows, its database sockets. If it went on after the handler,
it would handle rows that the worker handles, and speak on the worker's connections.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

STATUS = 70  # with which it ends


class OnlyHere:
    """A block that is left by the process alone that entered it; a fork of it ends there, without cleaning up."""

    __slots__ = ("_process",)

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            os._exit(_status(error))


def _status(error: BaseException | None) -> int:
    """Return the exit status that the child asked for, if it did."""
    if type(error) is not SystemExit:
        return STATUS
    return error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
