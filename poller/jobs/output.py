"""Captures what a run prints and logs: bounded, and separate from the output of runs beside it.

Standard output and error are replaced once in a worker by writers that look, for each write, whether a run is
going on in this thread or coroutine (a context variable). If so the text goes to that run's sink, else where it
went before. Log records are captured likewise, where every record passes that a logger lets through: a handler of
ours could be removed by a user's package, which may configure logging as it likes. A run that has ended takes no
more output: what its leftover tasks print goes where it went before, too.
"""

from __future__ import annotations

import contextvars
import io
import logging
import sys
import threading
from collections import deque
from typing import TextIO

from poller.errors_in_words import plain, storable

HEAD, TAIL = 16_000, 48_000  # characters kept of the beginning and of the end

current: contextvars.ContextVar[Sink | None] = contextvars.ContextVar("sink", default=None)


class Sink:
    """The output of one run: its beginning and its end, with a note of what is left out between."""

    def __init__(self) -> None:
        self.has_ended = False
        self._lock = threading.Lock()
        self._head: list[str] = []
        self._room = HEAD
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._dropped = 0

    def write(self, text: str) -> None:
        """Add text; what exceeds the room is dropped from the middle."""
        text = storable(text)
        with self._lock:
            self._head.append(text[: self._room])
            rest = text[self._room :]
            self._room -= len(text) - len(rest)
            if rest:
                self._tail.append(rest[-TAIL:])
                self._tail_length += len(rest)
                self._trim(len(rest) - len(rest[-TAIL:]))

    def replace(self, text: str) -> None:
        """Keep this, as another sink has it, and nothing else."""
        with self._lock:
            self._head[:] = [text]
            self._tail.clear()
            self._tail_length = self._dropped = 0

    def end(self) -> None:
        """Accept no more text: the run has ended."""
        self.has_ended = True

    def text(self) -> str:
        """Return what is kept."""
        with self._lock:
            middle = f"\n… {self._dropped} characters left out …\n" if self._dropped else ""
            return "".join(self._head) + middle + "".join(self._tail)

    def _trim(self, dropped: int) -> None:
        self._tail_length -= dropped
        self._dropped += dropped
        while self._tail_length > TAIL:
            excess = self._tail_length - TAIL
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            self._tail_length -= min(len(first), excess)
            self._dropped += min(len(first), excess)


def _open_sink() -> Sink | None:
    """Return the sink of the run in progress in this thread or coroutine, if there is one."""
    sink = current.get()
    return None if sink is None or sink.has_ended else sink


class _Writer(io.TextIOBase):
    """Replaces standard output or error."""

    def __init__(self, before: TextIO) -> None:
        self._before = before

    def write(self, text: str) -> int:
        sink = _open_sink()
        if sink is None:
            return self._before.write(text)
        text = plain(text)
        sink.write(text)
        return len(text)

    def flush(self) -> None:
        self._before.flush()

    def fileno(self) -> int:
        return self._before.fileno()


class _Listener(logging.Handler):
    """Gives what is logged during a run to its sink."""

    def emit(self, record: logging.LogRecord) -> None:
        sink = _open_sink()
        if sink is None:
            return
        try:
            sink.write(plain(self.format(record)) + "\n")
        except Exception:  # noqa: BLE001 - as every handler of `logging` does: the caller is not to fail
            self.handleError(record)


def install() -> None:
    """Begin to capture in this process; a second call does nothing."""
    if isinstance(sys.stdout, _Writer):
        return
    sys.stdout = _Writer(sys.stdout)
    sys.stderr = _Writer(sys.stderr)
    listener = _Listener()
    listener.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    call_theirs = logging.Logger.callHandlers

    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        listener.emit(record)
        call_theirs(logger, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[assignment,method-assign]
