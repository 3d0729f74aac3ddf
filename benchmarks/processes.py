"""The processes that are measured, ours and those of others: started together, watched, and ended in any case."""

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
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
LOOK = 0.002  # seconds between two looks
PATIENCE = 600.0  # seconds that anything may take: the slowest peer needs a minute for 20,000 jobs
SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class Command:
    """What is started.

    Attributes:
        arguments: the program and what it is told.
        environment: what it has in its environment beside ours.
    """

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *more: str) -> None:
        """Run it to its end, told more.

        Raises:
            RuntimeError: it failed.
        """
        with at_work([self.telling(*more)]) as crew:
            crew.finish()

    def telling(self, *more: str) -> Command:
        """Return the command that is told more."""
        return Command((*self.arguments, *more), self.environment)


def module(name: str, *arguments: str, environment: dict[str, str] | None = None) -> Command:
    """Return the command that runs a module of ours."""
    return Command((sys.executable, "-m", name, *arguments), environment or {})


def fleet(
    url: str, workers: int, *, handlers: str, environment: dict[str, str] | None = None, concurrency: int = 0
) -> Command:
    """Return our fleet, with the slots a worker that it is given, or as many as it has by default."""
    slots = ("--concurrency", str(concurrency)) if concurrency else ()
    arguments = (url, str(workers), "--handlers", handlers, *slots)
    return module("benchmarks.fleet", *arguments, environment=environment)


@dataclass(frozen=True)
class Crew:
    """Processes that run, and the file that has what they say."""

    processes: list[subprocess.Popen[bytes]]
    log: IO[bytes]

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that were started; a fleet's workers are their children."""
        return [each.pid for each in self.processes]

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds, looking every two milliseconds.

        Raises:
            RuntimeError: it takes too long, or a process has failed; the text has what it wrote.
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

    def finish(self, *, told: bool = False) -> None:
        """Wait until all have ended well; tell them first, if they need to be told that this is the end.

        Raises:
            RuntimeError: one has failed.
        """
        for process in self.processes:
            if told:
                process.send_signal(signal.SIGTERM)
        self.wait("finished", lambda: all(process.poll() == 0 for process in self.processes))

    def _said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


@contextlib.contextmanager
def at_work(commands: Sequence[Command], output: int | None = None) -> Iterator[Crew]:
    """Start these; end at the end what has not ended by itself."""
    with tempfile.TemporaryFile() as log:
        crew = Crew([], log)
        try:
            for command in commands:
                crew.processes.append(_start(command, log, output))
            yield crew
        finally:
            _end(crew.processes)


@contextlib.contextmanager
def put(command: Command) -> Iterator[float]:
    """Have a program put jobs in; give when it said that they have been committed.

    It stays until the end, so that the ending of its process is no part of what is measured.

    Raises:
        RuntimeError: it failed.
    """
    with at_work([command], output=subprocess.PIPE) as crew:
        stream = crew.processes[0].stdout
        said = stream.readline() if stream else b""
        began = time.perf_counter()
        if not said:
            crew.wait("committed", lambda: False)
        yield began


def _start(command: Command, log: IO[bytes], output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - commands of ours
        command.arguments,
        cwd=ROOT,
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
        until = time.monotonic() + SECONDS_TO_END
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, until - time.monotonic()))
    for process in processes:
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
