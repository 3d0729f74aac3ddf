"""Runs one command under a warden (see `warden`), and passes its output on while it runs.

One thread does it all, the one that calls `run`: it reads both outputs and the warden's report, and checks
between two reads whether the command must end. So a command that floods its output is never kept waiting, nor
keeps a cancel waiting, and no more of the output is held than one line of each.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRAM = Path(__file__).with_name("warden.py")

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL; a worker's patience with a job that was cut short is 5
KILLING_SECONDS = 1.0  # after SIGKILL; processes left then cannot be ended (they wait for a disk, say)
LOOK_SECONDS = 0.1  # between two checks whether the command must end
LONGEST_END_SECONDS = (
    GRACE_SECONDS + KILLING_SECONDS + 2.0
)  # seconds from the moment that a command must end until `run` returns, on a busy machine
CHUNK_BYTES = 65536  # bytes read at once
LONGEST_LINE_CHARACTERS = 8192  # characters; a longer line is handed on in pieces
LAST_BYTES = 2**20  # what is still read of an output after the command has ended; no pipe holds more


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        status: as `os.waitstatus_to_exitcode` gives it: negative for a signal; None if unknown.
        error: why it could not be started, or None.
        last: the last line of its standard error that was not blank.
        left: it left processes behind in the background, which were ended.
        stopped: it was ended because `must_end` said so.
    """

    status: int | None
    error: str | None
    last: str
    left: bool
    stopped: bool


def run(argv: Sequence[str], env: Mapping[str, str], cwd: str | None, must_end: Callable[[], bool]) -> Ended:
    """Run a command to its end; what it prints goes to `sys.stdout` and `sys.stderr` meanwhile.

    Args:
        argv: the program and its arguments.
        env: its whole environment.
        cwd: its working directory; None for our own.
        must_end: asked every 0.1 s; once it says so, everything that the command has started is ended.

    Raises:
        OSError: this process can start no other.
    """
    with _Process({"argv": list(argv), "env": dict(env), "cwd": cwd}) as process:
        while process.goes_on and not must_end():
            process.pump()
        stopped = process.goes_on
        if stopped:
            process.stop()
        return process.ended(stopped=stopped)


class _Process:
    """A warden, its command, and what comes from them."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._link, theirs = socket.socketpair()
        try:
            with theirs:
                self._warden = _start_warden(theirs)
        except OSError:
            self._link.close()
            raise
        assert self._warden.stdout is not None  # noqa: S101 - asked for above
        assert self._warden.stderr is not None  # noqa: S101
        self._outputs = (
            _Output(self._warden.stdout, "stdout"),
            _Output(self._warden.stderr, "stderr"),
        )
        self._report = b""
        self._selector = selectors.DefaultSelector()
        for output in self._outputs:
            self._selector.register(output.source, selectors.EVENT_READ, output)
        self._selector.register(self._link, selectors.EVENT_READ)
        self.goes_on = True
        self._is_stopped = False
        orders = {**order, "parent": os.getpid(), "grace": GRACE_SECONDS, "killing": KILLING_SECONDS}
        with contextlib.suppress(OSError):  # the warden is gone already: `ended` says so
            self._link.sendall(json.dumps(orders).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything; the warden ends what still runs."""
        self._link.close()
        self._selector.close()
        for output in self._outputs:
            output.source.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._warden.wait(LOOK_SECONDS if self._is_stopped else GRACE_SECONDS + KILLING_SECONDS)

    def pump(self) -> None:
        """Hand on what has come, or wait a moment for it."""
        for key, _ in self._selector.select(LOOK_SECONDS):
            if key.data is None:
                self._hear()
            elif key.data.read() == 0:
                self._selector.unregister(key.fileobj)

    def stop(self) -> None:
        """Have the warden end everything, and hand on the last words meanwhile."""
        self._is_stopped = True
        with contextlib.suppress(OSError):  # the warden has just ended
            self._link.shutdown(socket.SHUT_WR)
        until = monotonic() + GRACE_SECONDS + KILLING_SECONDS + LOOK_SECONDS
        while self.goes_on and monotonic() < until:
            self.pump()

    def ended(self, *, stopped: bool) -> Ended:
        """Hand on the rest of the output, and return how it ended."""
        for output in self._outputs:
            output.finish()
        report: dict[str, Any] = {}
        for line in self._report.split(b"\n")[:-1]:
            report |= json.loads(line)
        status = report.get("status")
        if status is None and "pid" in report:
            _kill_group(report["pid"])
        return Ended(
            status=None if status is None else os.waitstatus_to_exitcode(status),
            error=_reason(report) if "error" in report else None,
            last=self._outputs[1].last,
            left=report.get("left", False),
            stopped=stopped,
        )

    def _hear(self) -> None:
        """Take the warden's report; its end is the warden's."""
        more = b""
        with contextlib.suppress(ConnectionResetError):
            more = self._link.recv(CHUNK_BYTES)
        self._report += more
        if not more:
            self._selector.unregister(self._link)
            self.goes_on = False


class _Output:
    """One of a command's two outputs: bytes come in, whole lines go on."""

    def __init__(self, source: IO[bytes], target: Literal["stdout", "stderr"]) -> None:
        os.set_blocking(source.fileno(), False)
        self.source = source
        self.last = ""
        self._target = target
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def read(self) -> int | None:
        """Hand on what has come; returns how many bytes, 0 at the end, None if there is nothing for now."""
        try:
            more = os.read(self.source.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return None
        self._take(self._decoder.decode(more))
        return len(more)

    def finish(self) -> None:
        """Hand on what is still in the pipe; a daemon of the command's may hold its other end for ever."""
        for _ in range(LAST_BYTES // CHUNK_BYTES):
            if not self.read():
                break
        self._take(self._decoder.decode(b"", final=True))
        if self._rest:
            self._hand_on(self._rest + "\n")

    def _take(self, text: str) -> None:
        lines, end, rest = (self._rest + text).rpartition("\n")
        if len(rest) > LONGEST_LINE_CHARACTERS:
            lines, end, rest = lines + end + rest, "", ""
        self._rest = rest
        if lines or end:
            self._hand_on(lines + end)

    def _hand_on(self, text: str) -> None:
        getattr(sys, self._target).write(text)  # looked up each time: a run's output takes its place
        tail = text[-LONGEST_LINE_CHARACTERS:].rstrip()
        self.last = tail.rpartition("\n")[2].strip() or self.last


def _start_warden(link: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", "-S", str(PROGRAM)],
        stdin=link.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that a signal to the worker's group does not reach the warden
    )


def _reason(report: dict[str, Any]) -> str:
    filename = report.get("filename")
    return f"{report['error']}: {filename}" if filename else str(report["error"])


def _kill_group(pid: int) -> None:
    """Kill a command whose warden was killed, or could not end it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
