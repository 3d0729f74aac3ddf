"""The event loop that coroutine handlers run on: it has its own thread, and survives whatever they do to it.

A task that a handler left behind may raise `SystemExit`, and any code may call `loop.stop()`: both end `run_forever`,
which is then called again, and the log says so. A coroutine that does not yield blocks all others: `blocker` finds the
call it belongs to by the context variable of each attempt's context, which its tasks and callbacks inherit.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from poller.errors_in_words import guarded
from poller.executor.forked import STATUS
from poller.model.answers import describe
from poller.telemetry.bus import emit
from poller.telemetry.current_attempt import variable
from poller.telemetry.events import EventLoopBlocked, EventLoopInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from poller.executor.attempt import Call

BLOCKED_SECONDS = 0.5  # without an answer after which the loop counts as blocked
LOGGED_AFTER_SECONDS = 5.0  # of blocking, after which it is logged

_STEP = asyncio.Handle._run.__code__  # noqa: SLF001 - each step of a loop goes through it


class EventLoop:
    """An event loop and its thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._asked_at: float | None = None  # a question that the loop has not answered yet (monotonic)
        self._has_said = False
        self._thread = threading.Thread(target=self._run, name="poller loop", daemon=True)
        end = WeakMethod(self._end_fork)
        os.register_at_fork(after_in_child=lambda: (found := end()) and found())
        self._thread.start()

    def _end_fork(self) -> None:
        """End a process that a coroutine has forked at its next await: its loop is a copy, with all that waits there."""
        if threading.get_ident() == self._thread.ident:
            ready: Any = getattr(self._loop, "_ready", [])  # other loops than asyncio's end one step later
            ready.clear()
            guarded(lambda: self._loop.call_soon(os._exit, STATUS), None)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended; it does not end by itself, so a handler or `close` closed it."""
        return self._loop.is_closed() or not self._thread.is_alive()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread, in its own context."""
        guarded(lambda: self._loop.call_soon_threadsafe(function, context=contextvars.Context()), None)

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function on the loop after a while; from the loop's own thread."""
        self._loop.call_later(seconds, function, context=contextvars.Context())

    def begin(self, call: Call, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the coroutine of a call, in the call's own context; from the loop's own thread.

        Raises:
            BaseException: the user has given the loop a task factory, which raises it.
        """
        scope = contextvars.Context()
        scope.run(variable.set, call)
        return self._loop.create_task(coroutine, context=scope)

    def close(self) -> None:
        """End it, without waiting for what runs."""
        self._closing = True
        self.call(self._loop.stop)

    def blocker(self) -> Call | None:
        """Return the call whose coroutine, task or callback has blocked the loop for `BLOCKED_SECONDS`, if any.

        Call it repeatedly: each call sends a question to the loop, unless one is still unanswered.
        """
        if self._asked_at is None:
            self._asked_at, self._has_said = monotonic(), False
            self.call(self._answer)
            return None
        since = monotonic() - self._asked_at
        if since < BLOCKED_SECONDS:
            return None
        call = self._running()
        if since > LOGGED_AFTER_SECONDS and not self._has_said:
            self._has_said = True
            whose = None if call is None else f"{call.task.binding}:{call.task.key}"
            emit(EventLoopBlocked(attempt=whose, seconds=since))
        return call

    def _answer(self) -> None:
        self._asked_at = None

    def _running(self) -> Call | None:
        """Return the call that the loop's thread is running, found by its stack frames."""
        frame: FrameType | None = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - there is no other way
        while frame is not None and frame.f_code is not _STEP:
            frame = frame.f_back
        if frame is None:
            return None
        step = frame
        return guarded(lambda: step.f_locals["self"]._context.get(variable), None)  # type: ignore[no-any-return]  # noqa: SLF001

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closing and not self._loop.is_closed():
            try:
                self._loop.run_forever()
                how = "was stopped"
            except BaseException as error:  # noqa: BLE001 - a task that a handler left behind may raise anything
                how = f"was interrupted by {describe(error)}"
            if not self._closing:
                emit(EventLoopInterrupted(how=how))
        self._loop.close()
