"""Shows the progress of a long order: a bar on a terminal, and Ctrl-C between two batches."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def stopped_by_interrupt() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, to stop between two batches; a second one stops at once."""
    cancelled = threading.Event()

    def stop(*_: object) -> None:
        cancelled.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def bar(what: str) -> Iterator[Any]:
    """Give a function that shows progress: on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total=None: None  # noqa: ARG005 - no terminal
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total=None: shown.update(task, completed=done, total=total)
