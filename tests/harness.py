"""Runs poller as its users do: a project folder with a `handlers` package, and processes started in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from tests.forked import Forked, forks

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

Popen = subprocess.Popen[bytes] | Forked
PATIENCE = 120.0  # seconds that any awaited thing may take before a test has failed, however busy the machine


def wait_until(what: str, holds: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Return what `holds` returns once that is true; fail, naming what was awaited, if it never is."""
    until = time.monotonic() + timeout
    while (began := time.monotonic()) < until:
        value = holds()
        if value:
            return value
        # What takes long to ask is asked less often: else it would take the machine from what is awaited.
        time.sleep(max(0.01, 2 * (time.monotonic() - began)))
    msg = f"waited {timeout:.0f}s in vain until {what}"
    raise AssertionError(msg)


class Project:
    """A user's project: a folder, a database, and the processes started there, all ended at the end."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        living = [process for process in self.processes if process.popen.poll() is None]
        for process in living:  # all, before any is waited for
            process.signal(signal.SIGTERM)
        for process in living:
            process.end()

    def handlers(self, code: str) -> None:
        """Write the project's handlers; `from poller import …` is there already."""
        package = self.folder / "handlers"
        package.mkdir(exist_ok=True)
        head = "from poller import Context, Fail, Retry, Row, Snooze, Transition, handler\n"
        (package / "__init__.py").write_text(head + textwrap.dedent(code))

    def shell(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the shell in the folder, and wait for its end."""
        return subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of a user who has chosen the test's database."""
        plain = {
            k: v for k, v in os.environ.items() if not k.startswith(("POLLER_", "DATABASE_URL", "COLUMNS"))
        }
        kept = {
            "PYTHONDONTWRITEBYTECODE": "1"
        }  # handlers may be written twice in a second, which no cache would notice
        return {**plain, **kept, "POLLER_DATABASE_URL": self.url, **extra}

    def run(self, *arguments: str, timeout: float = 60, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run `poller …` to its end; it has been imported already, unless Python itself is told something."""
        environment = self.environment(**extra)
        if _may_fork(extra):
            return forks().run(arguments, self.folder, environment, timeout)
        return subprocess.run(
            [sys.executable, "-m", "poller", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str, **extra: str) -> Process:
        """Start `poller …` and go on; it is ended with the test. It has been imported already, as in `run`."""
        if not _may_fork(extra):
            return self.start_python("-m", "poller", *arguments, **extra)
        environment = self.environment(**extra)
        return self._started(lambda out: forks().start(arguments, self.folder, environment, (out, out)))

    def start_python(self, *arguments: str, **extra: str) -> Process:
        """Start Python with its own title and imports, and go on; it is ended with the test."""
        return self._started(
            lambda out: subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environment(**extra),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        )

    def _started(self, begin: Callable[[IO[bytes]], Popen]) -> Process:
        log = self.folder / f"log-{len(self.processes)}.txt"
        with log.open("wb") as out:
            process = Process(begin(out), log)
        self.processes.append(process)
        return process


def _may_fork(extra: dict[str, str]) -> bool:
    """Tell whether a command may be forked from one that was imported: not if it is told what is read at imports."""
    return not any(name.startswith(("PYTHON", "POLLER_TEST_")) for name in extra)


class Process:
    """A running `poller` and its log."""

    def __init__(self, popen: Popen, log: Path) -> None:
        self.popen = popen
        self._log = log

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return the exit status, once it has ended."""
        return self.popen.wait(timeout)

    def wait_for_log(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until the log says something."""
        wait_until(f"the log says {text!r}", lambda: text in self.log, timeout)

    def end(self) -> None:
        """End the process, kindly and then not."""
        if self.popen.poll() is not None:
            return
        self.popen.send_signal(signal.SIGCONT)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self.popen.send_signal(number)
            try:
                self.popen.wait(3)
            except subprocess.TimeoutExpired:
                continue
            return


def cpu_seconds(pid: int) -> float:
    """Return how long a process has been on a core."""
    fields = _numbers(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """Return the id of the process that has started a process."""
    return int(_numbers(pid)[1])


def _numbers(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def workers_of(db: psycopg.Connection[Any]) -> list[tuple[int, int]]:
    """Return (id, pid) of the workers that are alive."""
    return db.execute("select id, pid from poller.worker where died_at is null order by id").fetchall()
