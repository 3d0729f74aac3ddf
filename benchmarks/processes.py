"""The programs that are measured: started, looked after, and ended in any case."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
LOOK = 0.002  # seconds between two looks
PATIENCE = 120.0  # seconds that anything may take


@dataclass(frozen=True)
class Program:
    """A module of ours to run.

    Attributes:
        module: its name.
        arguments: what it is given.
        environment: what it has in its environment beside ours.
        copies: how many of it.
        stays: whether it has to be told that this is the end.
    """

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    copies: int = 1
    stays: bool = True


class Running:
    """The processes of a program that runs."""

    def __init__(self, program: Program, log: IO[bytes]) -> None:
        self._program = program
        self._log = log
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them."""
        for _ in range(self._program.copies):
            self._processes.append(_start(self._program, self._log))

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that were started; a fleet's workers are their children."""
        return [each.pid for each in self._processes]

    def check(self) -> None:
        """Make sure that none has failed.

        Raises:
            RuntimeError: one has; the text is what it wrote.
        """
        if any(process.poll() for process in self._processes):
            self._log.seek(0)
            msg = f"a process has failed:\n{self._log.read().decode(errors='replace')}"
            raise RuntimeError(msg)

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds.

        Raises:
            RuntimeError: it takes too long, or a process has failed.
        """
        until = time.monotonic() + PATIENCE
        while not holds():
            self.check()
            if time.monotonic() > until:
                msg = f"not {what} after {PATIENCE:.0f} s"
                raise RuntimeError(msg)
            time.sleep(LOOK)

    def finish(self) -> None:
        """Tell them, if need be, that this is the end, and wait for it."""
        for process in self._processes:
            if self._program.stays:
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        self.check()

    def end(self) -> None:
        """End what still runs: a fleet is asked twice, so that it does not wait for its handlers."""
        for process in self._processes:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(3.0)
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.close()


@contextlib.contextmanager
def running(program: Program) -> Iterator[Running]:
    """Run a program; have it end at the end, one way or the other."""
    with tempfile.TemporaryFile() as log:
        started = Running(program, log)
        try:
            started.start()
            yield started
            started.finish()
        finally:
            started.end()


def fleet(
    url: str, workers: int, *, handlers: str, environment: dict[str, str] | None = None, concurrency: int = 0
) -> Program:
    """Return our fleet, with the slots a worker that it is given, or as many as it has by default."""
    slots = ("--concurrency", str(concurrency)) if concurrency else ()
    arguments = (url, str(workers), "--handlers", handlers, *slots)
    return Program("benchmarks.fleet", arguments, environment or {})


def _start(program: Program, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", program.module, *program.arguments],
        cwd=ROOT,
        env=os.environ | program.environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        process_group=0,  # Ctrl-C is for us: `Running.end` passes it on
    )
