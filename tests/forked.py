"""Runs `poller …` in processes that are forked from one which has imported all of it: half a second less for each.

A command is a process still, with its own folder, environment, output, signals and exit status. What it does not have is
a start of its own: how Python and its imports begin is for tests that start `python -m poller` themselves.

`Forks` talks to the process that `python -m tests.forked` is. That reads from its standard input, a socket: for each
command come a socket to answer on and the files for its output; the rest is asked on that socket.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import poller
from poller.cli import main

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parents[1]


@functools.cache
def forks() -> Forks:
    """Return the one of this process, made when it is first asked for."""
    return Forks()


class Forks:
    """A process that has imported poller, and forks for each command; it ends with this one."""

    def __init__(self) -> None:
        self._channel, its = socket.socketpair()
        with its:
            subprocess.Popen(
                [sys.executable, "-m", "tests.forked"],
                cwd=_ROOT,
                stdin=its,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # what is sent to end the tests ends us, and that ends it
            ).returncode = 0  # nobody waits for it

    def run(
        self, arguments: Sequence[str], folder: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `poller …` to its end, as `subprocess.run` does.

        Raises:
            TimeoutExpired: it took longer, and was killed.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            forked = self.start(arguments, folder, environment, (out, errors))
            try:
                status = forked.wait(timeout)
            except subprocess.TimeoutExpired:
                forked.send_signal(signal.SIGKILL)
                raise
            printed = [_text(each) for each in (out, errors)]
        return subprocess.CompletedProcess(["poller", *arguments], status, *printed)

    def start(
        self, arguments: Sequence[str], folder: Path, environment: dict[str, str], files: Sequence[IO[bytes]]
    ) -> Forked:
        """Start `poller …`, whose output and errors go to two open files."""
        asked = {"arguments": [os.fsencode(each).hex() for each in arguments], "folder": str(folder)}
        ours, its = socket.socketpair()
        with its:
            socket.send_fds(self._channel, [b"."], [its.fileno(), *(each.fileno() for each in files)])
        ours.sendall(json.dumps({**asked, "environment": environment}).encode() + b"\n")
        return Forked(["poller", *arguments], ours)


class Forked:
    """A command that runs, with what `subprocess.Popen` knows of one.

    Args:
        arguments: what was called.
        answers: where its process id is told, and its exit status.
    """

    def __init__(self, arguments: list[str], answers: socket.socket) -> None:
        self._arguments = arguments
        self._answers = answers
        self._rest = b""
        self.pid = int(self._line(None))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, once it has ended.

        Raises:
            TimeoutExpired: it goes on.
        """
        if self.returncode is None:
            try:
                self.returncode = int(self._line(timeout))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self._arguments, timeout or 0) from None
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _line(self, timeout: float | None) -> bytes:
        self._answers.settimeout(timeout)
        while b"\n" not in self._rest:
            read = self._answers.recv(100)
            assert read, "whoever waits for the command was killed"
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    with open(os.dup(file.fileno())) as text:  # noqa: PTH123 - an open file
        return text.read()


def serve() -> None:
    """Fork for each command that is asked for, until nobody can ask any more."""
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever has asked is told by the child how it ended
    with socket.socket(fileno=os.dup(0)) as channel:
        while True:
            asked, files, *_ = socket.recv_fds(channel, 1, 3)
            if not asked:
                return
            if os.fork() == 0:
                break
            for each in files:
                os.close(each)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _watch(socket.socket(fileno=files[0]), files[1:])


def _import_all() -> None:
    """Import poller's modules, and run a command for what is imported later still."""
    for module in pkgutil.walk_packages(poller.__path__, "poller."):
        if not module.name.startswith(("poller.__main__", "poller.migrations")):
            importlib.import_module(module.name)
    sys.argv = ["poller", "next", "@daily"]
    with contextlib.suppress(SystemExit):
        main()
    gc.freeze()  # a child that looked through all of this for garbage would copy it


def _watch(answers: socket.socket, files: Sequence[int]) -> None:
    """Have a child be the command, and tell its id and its exit status."""
    with answers, answers.makefile("rw") as lines:
        asked = json.loads(lines.readline())
        if (pid := os.fork()) != 0:
            with contextlib.suppress(BrokenPipeError):
                lines.write(f"{pid}\n")
                lines.flush()
                lines.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
                lines.flush()
            os._exit(0)
    _be(asked, files)


def _be(asked: dict[str, Any], files: Sequence[int]) -> None:
    """Become `python -m poller …` in a folder."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    os.chdir(asked["folder"])
    sys.path.insert(0, asked["folder"])
    sys.argv = ["poller", *(os.fsdecode(bytes.fromhex(each)) for each in asked["arguments"])]
    try:
        main()
    except SystemExit as ended:
        _leave(ended.code)


def _leave(status: str | int | None) -> NoReturn:
    """End as Python does, but for freeing all that was imported: that takes longer than most commands."""
    assert isinstance(status, int), "poller exits with numbers"
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()
