"""Processes of a peer: started together, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LOOK = 0.002  # seconds between two looks, as of `benchmarks.race`
PATIENCE = 600.0  # seconds that anything may take: the slowest need a minute for 20,000 jobs
_SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class Command:
    """What is started.

    Attributes:
        arguments: the program and what it is told.
        environment: what is added to ours.
    """

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *more: str) -> None:
        """Run it to its end, told more.

        Raises:
            RuntimeError: it failed.
        """
        with _started([self.telling(*more)]) as crew:
            crew.wait_until("finished", lambda: crew.processes[0].poll() == 0)

    def telling(self, *more: str) -> Command:
        """Return the command that is told more."""
        return Command((*self.arguments, *more), self.environment)


@dataclass(frozen=True)
class Crew:
    """Processes that run, and the file that has what they say."""

    processes: list[subprocess.Popen[bytes]]
    log: IO[bytes]

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        """Look every two milliseconds until it holds.

        Raises:
            RuntimeError: one of the processes has failed, or it does not come to hold.
        """
        until = time.monotonic() + PATIENCE
        while not holds():
            if any(process.poll() for process in self.processes):
                msg = f"a process has failed:\n{self._said()}"
                raise RuntimeError(msg)
            if time.monotonic() > until:
                msg = f"not {what} after {PATIENCE:.0f} s:\n{self._said()}"
                raise RuntimeError(msg)
            time.sleep(LOOK)

    def _said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def at_work(commands: Sequence[Command]) -> contextlib.AbstractContextManager[Crew]:
    """Start these workers; end them at the end."""
    return _started(commands)


@contextlib.contextmanager
def put(command: Command) -> Iterator[float]:
    """Have a program put jobs in; give when it said that they have been committed.

    It stays until the end, so that the ending of its process is no part of what is measured.

    Raises:
        RuntimeError: it failed.
    """
    with _started([command], output=subprocess.PIPE) as crew:
        stream = crew.processes[0].stdout
        said = stream.readline() if stream else b""
        began = time.perf_counter()
        if not said:
            crew.wait_until("committed", lambda: False)
        yield began


@contextlib.contextmanager
def _started(commands: Sequence[Command], output: int | None = None) -> Iterator[Crew]:
    with tempfile.TemporaryFile() as log:
        crew = Crew([], log)
        try:
            for command in commands:
                crew.processes.append(_start(command, log, output))
            yield crew
        finally:
            _end(crew.processes)


def _start(command: Command, log: IO[bytes], output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - commands of ours
        command.arguments,
        env=os.environ | command.environment,
        stdin=subprocess.PIPE,
        stdout=output or log,
        stderr=log,
        process_group=0,  # Ctrl-C is for us: `_end` passes it on
    )


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End them all, with what they have started: asked at first, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, number)
        until = time.monotonic() + _SECONDS_TO_END
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, until - time.monotonic()))
    for process in processes:
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
