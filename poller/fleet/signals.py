"""What signals ask of `poller run`, from its first moment on.

Three times follow each other. Until the options are known a request to stop is only remembered (`listen`). While the
fleet is set up, which imports the user's package and may take long, a request ends the process at once, since nothing
has begun (`end_at_once`). From then on requests are counted, and the supervisor looks at the count (`count_only`).
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
_IDLE = (signal.SIGUSR1, signal.SIGUSR2)  # tools send them to have a program reopen its log, say


class Requests:
    """The requests to stop that this process has got."""

    def __init__(self) -> None:
        self.count = 0
        self._leave: Callable[[], None] | None = None
        self._before: dict[int, object] = {}

    def listen(self) -> None:
        """Remember requests. Ctrl-C is left to Python until it is known what the command is."""
        for number in _STOPPING:
            # With nohup a terminal that closes is no reason to stop.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._hear(number, self._note)
        for number in _IDLE:
            self._hear(number, _do_nothing)

    def forget(self) -> None:
        """Let signals do what they did before; what has come meanwhile does it now."""
        for number, action in self._before.items():
            signal.signal(number, action)  # type: ignore[arg-type]  # as it was got
        self._before.clear()
        if self.count:
            signal.raise_signal(signal.SIGTERM)

    def end_at_once(self, leave: Callable[[], None]) -> None:
        """Have a request end the process, one that has come already included.

        Args:
            leave: ends the process; called by a signal handler.
        """
        self.listen()
        self._hear(signal.SIGINT, self._note)
        self._leave = leave
        if self.count:
            leave()

    def count_only(self) -> None:
        """Count requests from now on: whoever looks at the count stops what goes on."""
        self._leave = None

    def _hear(self, number: int, act: Callable[[int, FrameType | None], None]) -> None:
        self._before.setdefault(number, signal.signal(number, act))

    def _note(self, number: int, _: FrameType | None) -> None:
        # A terminal that closes says it twice, by the kernel and by its shell: that is no second request.
        self.count = max(self.count, 1) if number == signal.SIGHUP else self.count + 1
        if self._leave is not None:
            self._leave()


def _do_nothing(*_: object) -> None:
    """Survive it. To ignore it would have the programs that handlers start ignore it, too."""


requests = Requests()


def reap_orphans(ours: Collection[int]) -> None:
    """As process 1, wait for processes whose parents have ended: they are given to us, and nobody else does.

    Args:
        ours: the process ids of children that somebody here waits for.
    """
    if os.getpid() != 1:
        return
    try:
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:
                return  # whoever waits for it is about to, and comes by here again
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        return
