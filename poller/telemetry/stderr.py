"""Standard error that never makes its writer wait.

The model. A pipe without a reader is full after some 64 KiB: a thread that then writes blocks while it holds a lock of
the log, and blocks all other threads that log. So lines go into a queue, and one daemon thread writes them. Lines for
which the queue has no room are dropped and counted; once the pipe flows again, the number is logged.

What is lost: the lines in the queue when the process is killed, or when it ends and no reader reads within
`LAST_WORDS_SECONDS`.
"""

from __future__ import annotations

import atexit
import io
import os
import queue
import select
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

MOST_WAITING_WRITES = 4000  # writes that may wait: mostly a line each
LAST_WORDS_SECONDS = 0.5  # that the end of a process waits for them


class Queued(io.RawIOBase):
    """A file that is written by a thread of its own.

    Args:
        number: the file's descriptor.
        tell: called on that thread, when the file flows again, with the number of lines that were dropped.
    """

    def __init__(self, number: int, tell: Callable[[int], None]) -> None:
        self._number = number
        self._tell = tell
        self._dropped = 0
        # It takes no lock that a signal handler could find taken by its own thread.
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._is_alone = False
        os.register_at_fork(after_in_child=self._be_alone)
        threading.Thread(target=self._write_on, name="poller stderr", daemon=True).start()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for what programs that are started write themselves."""
        return self._number

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._number)

    def write(self, data: ReadableBuffer, /) -> int:
        """Take it for the thread to write, or drop it; nothing is waited for."""
        chunk = bytes(data)
        if self._is_alone:
            self._put(chunk)
        elif self._waiting.qsize() < MOST_WAITING_WRITES:
            self._waiting.put(chunk)
        else:
            self._dropped += chunk.count(b"\n") or 1
        return len(chunk)

    def drain(self, seconds: float) -> bool:
        """Wait for so long until what has been taken is written; return whether it is."""
        if self._is_alone:
            return True
        written = threading.Event()
        self._waiting.put(written)
        return written.wait(seconds)

    def _be_alone(self) -> None:
        """Write at once: in a process that a handler has forked there is no thread to do it."""
        self._is_alone = True

    def _write_on(self) -> None:
        while True:
            chunk = self._waiting.get()
            if isinstance(chunk, threading.Event):
                chunk.set()
                continue
            self._put(chunk)
            if self._dropped and self._waiting.qsize() < MOST_WAITING_WRITES / 2:
                dropped, self._dropped = self._dropped, 0
                self._tell(dropped)

    def _put(self, chunk: bytes) -> None:
        """Write all of it, however long that takes; not if the reader is gone for good."""
        while chunk:
            try:
                chunk = chunk[os.write(self._number, chunk) :]
            except BlockingIOError:  # another process that shares the pipe made it non-blocking
                ready = select.poll()
                ready.register(self._number, select.POLLOUT)
                ready.poll()
            except OSError:
                return


class _Lasting(io.TextIOWrapper):
    """A standard error that a package may close, as programs do that go to the background: the log goes on."""

    def close(self) -> None:
        self.flush()


_file: Queued | None = None
_stream: TextIO | None = None


def unblock(tell: Callable[[int], None]) -> TextIO:
    """Have this process's standard error, `sys.stderr` included, never wait; return it. Again does nothing.

    Args:
        tell: called with the number of lines that were dropped, when it flows again.
    """
    global _file, _stream  # noqa: PLW0603 - a process has one standard error
    if _file is None or _stream is None:
        buffer: Any = Queued(2, tell)
        _file = buffer
        sys.stderr = _stream = _Lasting(buffer, "utf-8", "backslashreplace", line_buffering=True)
        atexit.register(drain)
    return _stream


def drain(seconds: float = LAST_WORDS_SECONDS) -> None:
    """Wait for so long until what was said is written, before the process ends."""
    if _file is not None and _stream is not None:
        _stream.flush()
        _file.drain(seconds)
