"""What is going on, shown on standard error: a bar for each measurement."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID


class Teller:
    """Tells how far one measurement has come."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task: TaskID = progress.add_task(name, total=None)

    def expect(self, steps: int) -> None:
        """Say how many steps it has."""
        self._progress.update(self._task, total=steps)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Take a step, in which this is done."""
        self._progress.update(self._task, description=f"{self._name}: {what}")
        yield
        self._progress.advance(self._task)

    def end(self) -> None:
        """Say that it is done."""
        self._progress.update(self._task, description=f"{self._name}: done")


def shown() -> Progress:
    """Return the bars, to be entered."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
