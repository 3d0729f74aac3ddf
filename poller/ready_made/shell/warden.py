"""Stands between a worker and the command of a shell job, so that nothing of the command outlives its run.

A program of its own, `python -I -S warden.py`, one for each command; it imports the standard library alone.
Its standard input is one end of a socket whose other end the worker holds. It reads its orders there, starts
the command in a session of its own, and reports there how the command ended.

Who ends what:

- The command ended by itself: what it left behind in its process group has `LINGER_SECONDS` seconds to finish, and is
  ended then. What it has detached on purpose (a daemon, by `setsid`) lives on.
- The worker closes its end (timeout, cancel, shutdown), or dies, however it dies, so that the kernel closes
  it: SIGTERM to everything that the command has started, and SIGKILL some seconds later. On Linux that means
  everything: the warden reaps the command's orphans (PR_SET_CHILD_SUBREAPER), so that what has left the group
  turns up among its children as soon as its parent is gone. Elsewhere it means the process group.
- The warden is killed: the worker sees the socket close, and kills the group. If the worker is killed
  with it, the kernel kills the command's first process (PR_SET_PDEATHSIG), and nothing ends its children.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LINK = 0  # the socket to the worker
LINGER_SECONDS = 2.0  # for what a command that has ended left in the background
LOOK_SECONDS = 0.5  # between two checks whether the worker lives, should the socket not tell
TICK_SECONDS = 0.02

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Warden:
    """The warden of one command.

    Args:
        orders: `argv`, `env` and `cwd` of the command; `parent`, the worker's process id; and in seconds,
            `grace`, from SIGTERM to SIGKILL, and `killing`, after which what is left is left alone.
    """

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._wake = _wake_on_signals()
        self._status: int | None = None
        _control(PR_SET_CHILD_SUBREAPER, 1)
        # Kept: a dropped Popen would reap the command, and its status would be lost.
        self._process = subprocess.Popen(  # noqa: S603 - to run it is the purpose
            orders["argv"],
            env=orders["env"],
            cwd=orders["cwd"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_the_warden,  # noqa: PLW1509 - safe: this process has a single thread
        )
        self.pid = self._process.pid

    def run(self) -> dict[str, Any]:
        """Wait until the command has ended, or must; then end the rest. Returns the last report."""
        by_itself = self._wait(self._has_ended, float("inf"))
        if by_itself and self._wait(self._is_gone, LINGER_SECONDS):
            return {"status": self._status, "left": False}
        found = self._end(everyone=not by_itself or not self._is_wanted())
        return {"status": self._status, "left": found}

    # --- waiting -----------------------------------------------------------------------------------

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds; False if the time is up, or the worker wants an end or is gone."""
        until = monotonic() + seconds
        while not is_so():
            if monotonic() >= until or not self._is_wanted():
                return False
            select.select([LINK, self._wake], [], [], min(LOOK_SECONDS, max(0.0, until - monotonic())))
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 1024)
        return True

    def _is_wanted(self) -> bool:
        """Tell whether the worker lives and has not asked for the end."""
        readable, _, _ = select.select([LINK], [], [], 0)
        return not readable and os.getppid() == self._orders["parent"]

    def _has_ended(self) -> bool:
        self._reap()
        return self._status is not None

    def _is_gone(self) -> bool:
        """Tell whether the command's process group is empty."""
        self._reap()
        return not _exists(-self.pid)

    def _reap(self) -> bool:
        """Take note of children that have ended; return whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self._status = status

    # --- ending ------------------------------------------------------------------------------------

    def _end(self, *, everyone: bool) -> bool:
        """End the group, or all processes; return whether any was left."""
        found = False
        for number, seconds in ((signal.SIGTERM, "grace"), (signal.SIGKILL, "killing")):
            signalled: set[int] = set()
            until = monotonic() + self._orders[seconds]
            while monotonic() < until and self._is_anybody_left(everyone=everyone):
                found = True
                targets = self._targets(everyone=everyone)
                for target in targets - signalled:
                    _signal(target, number)
                if number == signal.SIGTERM:
                    signalled |= targets  # once: a second SIGTERM may cut a clean-up short
                sleep(TICK_SECONDS)
        return found

    def _is_anybody_left(self, *, everyone: bool) -> bool:
        has_children = self._reap()
        return _exists(-self.pid) or (everyone and has_children)

    def _targets(self, *, everyone: bool) -> set[int]:
        """Return the targets of a signal: the group, as a negative number, and our children outside it.

        A child's number is not reused before we have reaped it.
        """
        targets = {-self.pid} if _exists(-self.pid) else set()
        if everyone:
            targets |= {child for child in _children() if _group(child) != self.pid}
        return targets


def main() -> None:
    """Watch over one command."""
    line = _line()
    if not line:
        return
    try:
        warden = Warden(json.loads(line))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        filename = getattr(error, "filename", None)
        _tell(error=getattr(error, "strerror", None) or str(error), filename=filename)
        return
    _tell(pid=warden.pid)
    _tell(**warden.run())


def _line() -> bytes:
    """Read the orders: one line; nothing if the worker is gone."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            more = os.read(LINK, 65536)
        except ConnectionResetError:
            return b""
        if not more:
            return b""
        line += more
    return line


def _tell(**report: Any) -> None:
    with contextlib.suppress(OSError):  # the worker is gone
        os.write(LINK, json.dumps(report).encode() + b"\n")


def _wake_on_signals() -> int:
    """Return what becomes readable when a child ends; what ends others must not end the warden.

    The signals get a function rather than SIG_IGN, which the command would inherit.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    return reading


def _end_with_the_warden() -> None:
    """Runs in the command's process before the command does."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _children() -> set[int]:
    """Return our children on Linux; elsewhere an empty set."""
    me = os.getpid()
    try:
        return {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()}
    except OSError:
        return set()


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _exists(target: int) -> bool:
    try:
        os.kill(target, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal(target: int, number: int) -> None:
    """Send a signal, and continue stopped processes so that they receive it; another user's process is not ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(target, number)
        os.kill(target, signal.SIGCONT)


if __name__ == "__main__":
    main()
