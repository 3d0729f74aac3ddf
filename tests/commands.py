"""What tests of shell jobs share: a run, a call that goes on beside the test, and whether a process lives."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.model.context import CancelEvent

if TYPE_CHECKING:
    from poller.jobs.job import Job


@dataclass
class CommandRun:
    """What a command sees of a run."""

    id: int = 7
    job: str = "backup"
    planned_at: datetime = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    attempt: int = 2
    cancelled: CancelEvent = field(default_factory=CancelEvent)


class Background:
    """A job's call on a thread of its own, as a worker makes it."""

    def __init__(self, job: Job) -> None:
        self.run = CommandRun()
        self.error: BaseException | None = None
        self._job = job
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        try:
            self._job(run=self.run)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def cancel(self) -> float:
        """Cancel the run; return how many seconds it took to end."""
        began = time.monotonic()
        self.run.cancelled.set()
        return self.ended(began)

    def ended(self, began: float) -> float:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return time.monotonic() - began


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() not in {"", "Z", "Z+", "Zs"}
