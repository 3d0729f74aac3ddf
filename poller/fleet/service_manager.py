"""Tells systemd how this process is (sd_notify, Type=notify): a datagram to the socket that it names."""

from __future__ import annotations

import contextlib
import os
import re
import socket

_MICROSECONDS = re.compile(r"0*[1-9][0-9]{0,18}")  # 0 is none, and so is what is no number


class ServiceManager:
    """The service manager that has started this process, if it wants to be told.

    Attributes:
        watchdog_seconds: within which it wants a sign of life; None if it does not.
    """

    def __init__(self) -> None:
        # Taken away, so that no program that a handler starts speaks in our name.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        patience, whose = (
            os.environ.pop("WATCHDOG_USEC", ""),
            os.environ.pop("WATCHDOG_PID", str(os.getpid())),
        )
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_ours = self._address and _MICROSECONDS.fullmatch(patience) and whose == str(os.getpid())
        self.watchdog_seconds = int(patience) / 1e6 if is_ours else None

    def tell(self, *lines: str) -> None:
        """Send such lines as READY=1; nothing waits for an answer, and nothing fails."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            sender.sendto("\n".join(lines).encode(), self._address)
