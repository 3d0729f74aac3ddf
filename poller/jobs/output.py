"""Captures what a run prints and logs: bounded, and separate from the output of runs beside it.

Standard output and error are replaced once in a worker by streams that look, for each use, whether a run is
going on in this thread or coroutine (a context variable). If so text and bytes go to that run's sink; else all is
as with the stream that stood there before, which is what handlers find. Log records are captured likewise, where
every record passes that a logger lets through: a handler of ours could be removed by a user's package, which may
configure logging as it likes. A run that has ended takes no more output: what its leftover tasks print goes where
it went before, too.
"""

from __future__ import annotations

import codecs
import contextvars
import functools
import io
import logging
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

from poller.errors_in_words import plain, storable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from _typeshed import ReadableBuffer

HEAD, TAIL = 16_000, 48_000  # characters kept of the beginning and of the end

current: contextvars.ContextVar[Sink | None] = contextvars.ContextVar("sink", default=None)


class Sink:
    """The output of one run: its beginning and its end, with a note of what is left out between."""

    def __init__(self) -> None:
        self.has_ended = False
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._head: list[str] = []
        self._room = HEAD
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._dropped = 0

    def write(self, text: str) -> None:
        """Add text; what exceeds the room is dropped from the middle."""
        with self._lock:
            self._add(self._decoder.decode(b"", final=True) + text)

    def write_bytes(self, data: bytes) -> None:
        """Add bytes of UTF-8; a character may come in parts, and what is none is escaped."""
        with self._lock:
            self._add(self._decoder.decode(data))

    def replace(self, text: str) -> None:
        """Keep this, as another sink has it, and nothing else."""
        with self._lock:
            self._head[:] = [text]
            self._tail.clear()
            self._tail_length = self._dropped = 0

    def end(self) -> None:
        """Accept no more text: the run has ended."""
        self.write("")  # what is left of a character
        self.has_ended = True

    def text(self) -> str:
        """Return what is kept."""
        with self._lock:
            middle = f"\n… {self._dropped} characters left out …\n" if self._dropped else ""
            return "".join(self._head) + middle + "".join(self._tail)

    def _add(self, text: str) -> None:
        text = storable(text)
        if self._room:
            self._head.append(text[: self._room])
        rest = text[self._room :]
        self._room -= len(text) - len(rest)
        if rest:
            self._tail.append(rest[-TAIL:])
            self._tail_length += len(rest)
            self._trim(len(rest) - len(rest[-TAIL:]))

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


class _Bytes(io.BufferedIOBase):
    """The `buffer` of a run's standard output or error; once the run has ended, of the stream before."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    @property
    def raw(self) -> Any:
        """Itself: nothing is buffered here."""
        return self

    def write(self, data: ReadableBuffer, /) -> int:
        chunk = bytes(memoryview(data))  # a TypeError for text
        sink = _open_sink()
        if sink is not None:
            sink.write_bytes(chunk)
        else:
            self._stream.write_late(chunk)
        return len(chunk)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Stay open: the worker goes on. It is also called when this is collected as garbage."""


class _InRun(io.TextIOBase):
    """What standard output or error is to a run, but for what `_Stream` does itself."""

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = write_through = True

    def __init__(self, stream: _Stream, name: str) -> None:
        self.buffer = _Bytes(stream)
        self.name = name
        self.mode = "w"

    def writable(self) -> bool:
        return True

    def reconfigure(self, **_: object) -> None:
        """Leave all as it is: the worker's stream is not this run's to change."""

    def detach(self) -> _Bytes:  # type: ignore[override]  # typeshed wants a buffer of its own kinds
        return self.buffer

    def close(self) -> None:
        """Stay open: the worker goes on. It is also called when this is collected as garbage."""


class _Stream:
    """Stands where standard output or error stood.

    What a package keeps of it (itself, a method) outlives a run, so each call decides anew where it goes.

    Args:
        before: the stream that stood there; None in a process that has none.
        name: how it is called.
    """

    def __init__(self, before: TextIO | None, name: str) -> None:
        self._before = before
        self._in_run = _InRun(self, name)

    def __getattr__(self, name: str) -> Any:
        if name in ("_before", "_in_run"):  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._before if _open_sink() is None else self._in_run, name)

    def write(self, text: str) -> int:
        sink = _open_sink()
        if sink is not None:
            text = plain(text)
            sink.write(text)
        elif self._before is not None:
            return self._before.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def write_late(self, data: bytes) -> None:
        """Write bytes that came by the buffer of a run that has ended to the stream before."""
        buffer = getattr(self._before, "buffer", None)
        if buffer is None:
            self.write(data.decode("utf-8", "backslashreplace"))
        else:
            buffer.write(data)

    def flush(self) -> None:
        if self._before is not None and _open_sink() is None:
            self._before.flush()

    def fileno(self) -> int:
        if self._before is None:
            msg = "fileno"
            raise io.UnsupportedOperation(msg)
        return self._before.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


io.TextIOBase.register(
    _Stream
)  # not a subclass, which has all attributes itself, and closes when it is collected


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
    """Begin to capture in this process; what is captured already stays as it is."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _Stream):
            setattr(sys, name, _Stream(getattr(sys, name), f"<{name}>"))
    _listen()


@functools.cache  # once, whatever a package does with the streams, or each record would be kept twice
def _listen() -> None:
    listener = _Listener()
    listener.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    call_theirs = logging.Logger.callHandlers

    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        listener.emit(record)
        call_theirs(logger, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[assignment,method-assign]
