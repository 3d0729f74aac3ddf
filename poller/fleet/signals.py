"""The signals that `poller run` handles, from its first moment on.

There are three phases. Until the options are known, a request to stop is only remembered (`listen`). While the fleet is
set up, which imports the user's package and may take long, a request ends the process at once, since nothing has begun
(`end_at_once`). From then on requests are counted, and the supervisor reads the count (`count_only`).
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
_IDLE = (signal.SIGUSR1, signal.SIGUSR2)  # tools send them to make a program reopen its log, for example


class Requests:
    """The requests to stop that this process has received."""

    def __init__(self) -> None:
        self.count = 0
        self._leave: Callable[[], None] | None = None
        self._before: dict[int, object] = {}

    def listen(self) -> None:
        """Remember requests. Python handles Ctrl-C until the command is known."""
        # A program that waits for its own signals blocks them, and what it starts inherits that: no stop would come.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_STOPPING, *_IDLE, signal.SIGINT, signal.SIGCHLD))
        for number in _STOPPING:
            # With nohup a terminal that closes is no reason to stop.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._hear(number, self._note)
        for number in _IDLE:
            self._hear(number, _do_nothing)

    def forget(self) -> None:
        """Restore the earlier signal handlers; if a request has come meanwhile, raise it again."""
        for number, action in self._before.items():
            signal.signal(number, action)  # type: ignore[arg-type]  # as it was got
        self._before.clear()
        if self.count:
            signal.raise_signal(signal.SIGTERM)

    def end_at_once(self, leave: Callable[[], None]) -> None:
        """Let a request end the process, even one that has come already.

        Args:
            leave: ends the process; a signal handler calls it.
        """
        self.listen()
        self._hear(signal.SIGINT, self._note)
        self._leave = leave
        if self.count:
            leave()

    def count_only(self) -> None:
        """Only count requests from now on; the supervisor reads the count and stops its workers."""
        self._leave = None

    def _hear(self, number: int, act: Callable[[int, FrameType | None], None]) -> None:
        self._before.setdefault(number, signal.signal(number, act))

    def _note(self, number: int, _: FrameType | None) -> None:
        # A closing terminal sends SIGHUP twice, from the kernel and from its shell: that is one request.
        self.count = max(self.count, 1) if number == signal.SIGHUP else self.count + 1
        if self._leave is not None:
            self._leave()


def _do_nothing(*_: object) -> None:
    """Survive the signal. If it were ignored, the programs that handlers start would ignore it, too."""


requests = Requests()


def reap_orphans(ours: Collection[int]) -> None:
    """As process 1, wait for orphaned processes: the kernel gives them to this process, and nothing else reaps them.

    Args:
        ours: the process ids of children that other code of this process waits for.
    """
    if os.getpid() != 1:
        return
    try:
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:
                return  # the code that waits for it will do so soon, and then calls this again
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        return
