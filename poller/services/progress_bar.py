"""The progress bar of a drain on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
    from poller.store.drain_counts import FleetCounts


class ProgressBar:
    """The progress bar of a drain on a terminal."""

    def __init__(self, total: int) -> None:
        self._progress = progress.Progress(
            progress.TextColumn("draining"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}"),
            progress.TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("draining", total=total, note="")
        self._progress.start()

    def show(self, done: FleetCounts, now: FleetCounts) -> None:
        """Move the bar; new rows, and rows with several moves ahead, lengthen it."""
        ended = done.moved + done.failed + done.parked
        total = max(self._progress.tasks[0].total or 0, ended + now.in_flight + now.waiting)
        note = f"{now.in_flight} in flight, {now.waiting} waiting, {done.failed + done.parked} failed"
        self._progress.update(self._task, completed=ended, total=total, note=note)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()
