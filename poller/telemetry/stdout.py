"""Standard output that fails no handler: what cannot be written is lost, and the log says so once.

The model. A handler's `print` is no part of its work. The disk under a log may be full, the reader of a pipe gone, a
character beyond the encoding of the locale: every attempt that prints would fail, and every row be parked. A reader that
is only slow is waited for, as ever.
"""

from __future__ import annotations

import io
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer


class _Unfailing(io.FileIO):
    """A file whose writes do not fail.

    Args:
        number: the file's descriptor, which stays open.
        tell: called with the error when writes begin to fail.
    """

    def __init__(self, number: int, tell: Callable[[OSError], None]) -> None:
        super().__init__(number, "w", closefd=False)
        self._tell = tell
        self._fails = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of it, or lose all of it."""
        try:
            while (written := super().write(data)) is None:  # another process has made it non-blocking
                select.select([], [self], [])
        except OSError as error:
            if not self._fails:
                self._fails = True
                self._tell(error)
            return len(memoryview(data).cast("B"))
        self._fails = False
        return written


def forgive(tell: Callable[[OSError], None]) -> None:
    """Have this process's standard output fail nobody who writes to it.

    Args:
        tell: called with the error when what is written begins to be lost.
    """
    before = sys.stdout
    raw = _Unfailing(1, tell)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        before.encoding,
        "backslashreplace",
        line_buffering=bool(before.line_buffering),
    )
