"""Answers that all viewers share for a moment: fifty browsers on a page cost the database what one costs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from poller.errors import PollerError
from poller.web.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")
MOMENT = 2.0  # seconds
MOST = 100  # answers; beyond, the oldest goes


@dataclass(slots=True)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = float("-inf")
    value: Any = None
    error: Exception | None = None


class Shared:
    """The answers; used by any thread. A thread that asks while another asks the same waits for that answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, _Answer] = {}

    def ask(self, key: Hashable, question: Callable[[], T], lasts: float = MOMENT) -> T:
        """Return the answer to a question; one from a moment ago, if there is one.

        That the database does not answer is remembered for a moment, too: else those who wait would each ask anew, and
        each wait for its end.
        """
        with self._lock:
            found = self._answers.setdefault(key, _Answer())
            while len(self._answers) > MOST:
                del self._answers[next(iter(self._answers))]
        with found.lock:
            if monotonic() >= found.until:
                found.error = None
                try:
                    found.value = question()
                except (PollerError, Refused) as error:
                    found.error, lasts = error, min(lasts, MOMENT)
                found.until = monotonic() + lasts
            if found.error is not None:
                raise found.error
            value: T = found.value
            return value

    def forget(self) -> None:
        """Drop all answers, since an order may have changed them."""
        with self._lock:
            self._answers.clear()
