"""Limits how often an address may try to log in."""

from __future__ import annotations

import ipaddress
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST, WITHIN = 5, 60.0  # tries, seconds
ADDRESSES = 10_000  # remembered; beyond these the one that tried first is forgotten


class Tries:
    """The failed tries of the last minute."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: dict[str, deque[float]] = {}

    def may(self, address: str) -> bool:
        """Count a try, and tell whether it is allowed; `forget` takes back a try that succeeded."""
        now, place = self._clock(), _place(address)
        with self._lock:
            tries = self._failed.setdefault(place, deque())
            while tries and tries[0] < now - WITHIN:
                tries.popleft()
            if len(tries) >= MOST:
                return False
            tries.append(now)
            while len(self._failed) > ADDRESSES:
                del self._failed[next(iter(self._failed))]
            return True

    def forget(self, address: str) -> None:
        """Take back the last try of an address, since it was not a guess."""
        with self._lock:
            if tries := self._failed.get(_place(address)):
                tries.pop()


def _place(address: str) -> str:
    """Return an address, or the network that one customer has of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))  # noqa: PLR2004 - IPv4
