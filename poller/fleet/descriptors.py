"""File descriptors that a worker keeps in reserve: a handler that leaks them must not keep it from ending as it should.

A process without a free one can open no connection, nor a file. What it holds it could neither write nor give back,
while its heartbeat goes on. So it notices that, takes its reserve, and ends; another process takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
from time import monotonic

RESERVE = 8  # connections of a worker that may have to be opened anew, and what opening one takes meanwhile
SECONDS = 3.0  # without a free one until that is no moment's peak any more


class Descriptors:
    """The reserve of this process, smaller where a low limit leaves no more; used by one thread."""

    def __init__(self) -> None:
        self._reserve: list[int] = []
        with contextlib.suppress(OSError):
            self._reserve += (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(RESERVE))
        self._free_at = monotonic()

    def have_run_out(self) -> bool:
        """Return whether none has been free for some seconds; then the reserve is released, once."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EMFILE and monotonic() - self._free_at > SECONDS:
                self._release()
                return True
        else:
            self._free_at = monotonic()
        return False

    def _release(self) -> None:
        while self._reserve:
            os.close(self._reserve.pop())
