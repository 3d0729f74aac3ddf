"""Sends what a worker has gathered of its work to its supervisor, every few seconds and at its end.

Only with `--listen`: without it no event is heard, and nothing is gathered.
"""

from __future__ import annotations

import os
import threading
from time import sleep
from typing import TYPE_CHECKING

from poller.telemetry.bus import subscribe
from poller.telemetry.metrics_gathered import Gathered, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    class Working(Protocol):
        """A worker, as far as it is told here."""

        def slots_busy(self) -> Mapping[str, int]:
            """Return how many slots run each handler, by its name."""


EVERY_SECONDS = 5.0


class MetricsSender:
    """Gathers from the events of this process.

    Args:
        pipe: to the supervisor; writes to it do not wait.
        worker: the worker.
        slots: how many it has.
        handlers: the names of the handlers that it runs.
    """

    def __init__(self, pipe: int, worker: Working, slots: int, handlers: Iterable[str]) -> None:
        self._pipe = pipe
        self._worker = worker
        self._slots = slots
        self._handlers = tuple(handlers)
        self._gathered = Gathered()

    def start(self) -> None:
        """Gather and send from now on."""
        subscribe(self._gathered.hear)
        threading.Thread(target=self._send_on, name="poller sender", daemon=True).start()

    def send(self) -> None:
        """Send what there is; what the pipe has no room for is kept for the next time."""
        busy = self._worker.slots_busy()
        for name in self._handlers:
            self._gathered.put("poller_slots", (name,), [self._slots])
            self._gathered.put("poller_slots_busy", (name,), [busy.get(name, 0)])
        for (name, labels), numbers, line in lines(self._gathered.take()):
            try:
                os.write(self._pipe, line)
            except BlockingIOError:
                if not name.startswith("poller_slots"):
                    self._gathered.add(name, labels, numbers)
            except BrokenPipeError:  # the supervisor is gone, which another thread notices
                return

    def _send_on(self) -> None:
        while True:
            self.send()
            sleep(EVERY_SECONDS)
