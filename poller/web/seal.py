"""Signs what a confirm page has shown, so that what is carried out is what was confirmed, by whom, and soon after."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LASTS = 120  # seconds


@dataclass(frozen=True, slots=True)
class Seal:
    """A key that this process has for as long as it runs."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    clock: Callable[[], float] = time
    used: dict[str, int] = field(default_factory=dict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sign(self, parts: Sequence[object]) -> str:
        """Return a token which proves that these parts were shown now; each page has its own."""
        until, page = int(self.clock()) + LASTS, secrets.token_hex(8)
        return f"{until}.{page}.{self._mac(until, page, parts)}"

    def holds(self, token: str, parts: Sequence[object]) -> bool:
        """Tell whether a token shows that these parts were shown, and not long ago."""
        until, _, rest = token.partition(".")
        page, _, mac = rest.partition(".")
        if not until.isascii() or not until.isdigit() or len(until) > 12:  # noqa: PLR2004 - digits
            return False
        if str(int(until)) != until or int(until) < self.clock():  # one spelling, so that it can be spent
            return False
        given, made = mac.encode("utf-8", "surrogatepass"), self._mac(int(until), page, parts).encode()
        return hmac.compare_digest(given, made)

    def spend(self, token: str) -> bool:
        """Use up a valid token; return False if it has been used before."""
        with self.lock:
            now = self.clock()
            for each in [each for each, until in self.used.items() if until < now]:
                del self.used[each]
            is_first = token not in self.used
            self.used[token] = int(token.partition(".")[0])
            return is_first

    def give_back(self, token: str) -> None:
        """Have a token be as it was before it was used up: what it was for has not been done."""
        with self.lock:
            self.used.pop(token, None)

    def _mac(self, until: int, page: str, parts: Sequence[object]) -> str:
        text = json.dumps([until, page, *map(str, parts)])
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
