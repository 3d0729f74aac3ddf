"""How a handler tells the measuring process when it began: a datagram with the time and the row's id.

The time is that of the monotonic clock, which is the system's on Linux: two processes may compare theirs.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = "BENCHMARK_SOCKET"  # the environment variable that has its path
PATIENCE = 10.0  # seconds to wait for a report
_REPORT = struct.Struct("dq")


class Reporter:
    """Reports from the process that handles rows."""

    def __init__(self) -> None:
        self._path = os.environ[SOCKET]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def report(self, key: int) -> None:
        """Say that the handler of the row with this id has begun now."""
        self._socket.sendto(_REPORT.pack(time.monotonic(), key), self._path)


class Reports:
    """Receives reports in the measuring process."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def wait(self, key: int) -> float:
        """Return when the handler of the row with this id began; earlier rows' reports are passed over.

        Raises:
            TimeoutError: it did not begin in time.
        """
        while True:
            at, found = _REPORT.unpack(self._socket.recv(_REPORT.size))
            if found == key:
                return float(at)

    def close(self) -> None:
        """Take no more."""
        self._socket.close()


def statuses(steps: int) -> list[str]:
    """Return the statuses of a chain."""
    return ["pending", *(f"step {number}" for number in range(2, steps + 1))]
