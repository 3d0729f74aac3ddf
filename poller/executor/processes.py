"""Runs handlers outside the worker process: in its child processes, or in an executor of the user's.

The thread that has the handler's slot waits here for the answer. So the executor sees no difference, except that a call
here can be ended by force.

A child (`executor="process"`) runs one call at a time. It is killed at the call's timeout; if it dies by itself, only
that call has failed. A child always dies with its worker: the pipe to its parent raises SIGIO when the other end closes,
which ends the child even while it holds the interpreter.

An executor of the user's (`executor="module:factory"`) is made once in each worker, and again after it broke. A call
that it cannot cancel is abandoned at its timeout: its result is ignored.

On failure: when a child does not start (the host can make no process, the interpreter was replaced) or a factory raises,
no row is at fault. The call has not begun, and no rows for that place are claimed before the next try (`shut_until`),
which comes after a growing delay.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
from poller.executor import around, attempt, remote_call
from poller.jobs.output import Sink
from poller.jobs.run import Notes
from poller.model.answers import Unexpected
from poller.telemetry import log
from poller.telemetry.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from poller.executor.attempt import Call
    from poller.model.context import Context

IDLE_SECONDS = 10.0  # after which an idle child is ended, to free its memory
REPORT_SECONDS = 0.5  # between two reports of a child on its run's output and progress
REPLY, PROGRESS = b"R", b"S"  # the first byte of a child's messages

ENDING_SECONDS = 1.0  # for the kernel to end a killed process

_SPAWN = multiprocessing.get_context("spawn")  # a worker has threads, so that it must not fork


class ProcessPool:
    """Runs those handlers of one worker that do not run on its threads."""

    def __init__(self) -> None:
        self._children = Children()
        self._executors: dict[str, Executor] = {}
        self._making = threading.Lock()
        self._pauses: dict[str, Pause] = {}

    def shut_until(self, place: str) -> float:
        """Return when calls can begin there again (monotonic); a time in the past if they can now."""
        pause = self._pauses.get(place)
        return 0.0 if pause is None else pause.until

    def why_shut(self, place: str) -> str:
        """Return why calls cannot begin there now."""
        return self._pauses[place].outage.why

    def call(self, call: Call) -> Any:
        """Call a handler; return its result.

        Raises:
            NotBegun: no process or executor is available now.
            BaseException: what the handler raises; `Unexpected` if its process died.
        """
        given = attempt.arguments(call)[0]
        request = remote_call.packed(call.handler, given, call.context, call.about)
        surrounded = partial(around.call, around.local(call.handler), given)
        if call.handler.is_job and call.context is not None:
            call.context.notes = Notes(Sink())
        if call.handler.executor == "process":
            with self._lent() as lent:
                for module in (call.handler.function.__module__, *around.modules(call.handler)):
                    lent.child.load(module)
                call.begin_in(lent)
                return surrounded(lambda: _ask(lent.child.call, request, call.context))
        submitted = Submitted(self._executor(call.handler.executor))
        call.begin_in(submitted)
        try:
            return surrounded(lambda: _ask(submitted.call, request, call.context))
        except BrokenExecutor as error:
            self._executors.pop(call.handler.executor, None)
            msg = f"the executor failed: {error}"
            raise Unexpected(msg) from error

    def trim(self) -> None:
        """End the children that have been idle for `IDLE_SECONDS` seconds."""
        self._children.trim(monotonic() - IDLE_SECONDS)

    def close(self) -> None:
        """End all children and shut down the executors, without waiting."""
        self._children.trim(float("inf"))
        for executor in self._executors.values():
            with contextlib.suppress(Exception):  # this worker ends, whatever the executor raises
                executor.shutdown(wait=False)

    @contextlib.contextmanager
    def _lent(self) -> Iterator[ChildLoan]:
        """Lend a child for one call.

        Raises:
            NotBegun: no child starts.
        """
        with contextlib.ExitStack() as stack:
            with self._trying("process", NotStartedError):
                lent = stack.enter_context(self._children.one())
            yield lent

    def _executor(self, name: str) -> Executor:
        """Return an executor of the user's.

        Raises:
            NotBegun: it cannot be made now.
            ConfigurationError: the factory makes something else.
        """
        with self._making:
            if name not in self._executors:
                with self._trying(name, Exception):
                    self._executors[name] = _make_executor(name)
            return self._executors[name]

    @contextlib.contextmanager
    def _trying(self, place: str, failure: type[Exception]) -> Iterator[None]:
        """Try to open a place; a failure shuts it for a while, and is logged once.

        Raises:
            NotBegun: the try failed.
        """
        try:
            yield
        except ConfigurationError:
            raise
        except failure as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            self._pauses.setdefault(place, Pause(_service(place))).begin(cause)
            raise attempt.NotBegun from error
        if place in self._pauses:
            self._pauses[place].end()


class Pause:
    """The pause before the next try to open a place that failed to open.

    Attributes:
        until: when it ends (monotonic); a time in the past if there is no pause.
        outage: the reason why the place is shut.
    """

    def __init__(self, service: str) -> None:
        self.until = 0.0
        self.outage = Outage(service)
        self._lock = threading.Lock()

    def begin(self, error: Exception) -> None:
        """Note a failure; failures of several threads at the same time count as one."""
        with self._lock:
            if self.until <= monotonic():
                self.outage.goes_on(error)
                self.until = monotonic() + self.outage.pause()

    def end(self) -> None:
        """Note that the place works again."""
        with self._lock:
            self.outage.is_over()
            self.until = 0.0


class NotStartedError(Exception):
    """A child failed before it was ready for a call; the cause says why."""


def _ask(call: Callable[[bytes, Context | None], bytes], request: bytes, context: Context | None) -> Any:
    """Send a request, with what this context carries; return the answer.

    Raises:
        BaseException: what the handler raises; `Unexpected` if its process died.
    """
    return remote_call.unpacked(call(remote_call.loaded(request), context), context)


def _service(place: str) -> str:
    return "processes of handlers" if place == "process" else f"executor {place}"


def _make_executor(name: str) -> Executor:
    made = remote_call.find_factory(name)()
    if not isinstance(made, Executor):
        msg = f"executor={name!r} returns {type(made).__name__}; it must return a concurrent.futures.Executor"
        raise ConfigurationError(msg)
    return made


class Submitted:
    """A call submitted to an executor of the user's."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._done = threading.Event()
        self._future: Future[bytes] | None = None
        self._ended = False

    def call(self, request: bytes, _: Context | None) -> bytes:
        """Submit it, and wait until it is done or ended.

        Raises:
            BrokenExecutor: the executor no longer takes calls.
        """
        try:
            self._future = self._executor.submit(remote_call.run, request)
        except Exception as error:
            raise BrokenExecutor(str(error)) from error
        self._future.add_done_callback(lambda _: self._done.set())
        self._done.wait()
        if self._ended:
            raise Unexpected  # never reported: the watchdog ended this call and reported why
        return self._future.result()

    def end(self) -> None:
        """Cancel the call and stop waiting for it."""
        self._ended = True
        if self._future is not None:
            self._future.cancel()
        self._done.set()


# --- children ------------------------------------------------------------------------------------------


class Children:
    """The child processes of a worker: started when needed, kept for a while."""

    def __init__(self) -> None:
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._is_closed = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[ChildLoan]:
        """Lend a child for one call; a child that does not survive the call is not lent again.

        Raises:
            NotStartedError: no child starts.
            Unexpected: the pool was closed while the child started.
        """
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            try:
                child = Child()
            except Exception as error:
                raise NotStartedError from error
        self._all.add(child)
        if (
            self._is_closed
        ):  # checked after adding it: either `trim` has seen the child, or this is set already
            child.end()
            raise Unexpected
        lent = ChildLoan(child)
        try:
            yield lent
        finally:
            survives = lent.give_back()
            child.idle_since = monotonic()
            with self._lock:
                if survives:
                    self._idle.append(child)
                else:
                    self._all.discard(child)

    def trim(self, since: float) -> None:
        """End the children that have been idle since that time (monotonic); with infinity, end all for good."""
        self._is_closed = self._is_closed or since == float("inf")
        with self._lock:
            old = [child for child in self._idle if child.idle_since <= since]
            self._idle = [child for child in self._idle if child not in old]
            for child in list(self._all) if since == float("inf") else old:
                self._all.discard(child)
                child.end()


class ChildLoan:
    """A child on loan for one call: the watchdog can kill it only until it is given back."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._is_lent = True
        self._lock = threading.Lock()

    def end(self) -> None:
        """Kill the child, unless the call has ended: another call may have the child by then."""
        with self._lock:
            if self._is_lent:
                self.child.end()

    def give_back(self) -> bool:
        """Give the child back; return whether it can be lent again."""
        with self._lock:
            self._is_lent = False
            return self.child.is_alive


class Child:
    """A process that makes one call at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._loaded: set[str] = set()
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, log.settings()), daemon=True)
        self._sending = threading.Lock()
        self._process.start()
        theirs.close()
        self._receive()  # it is ready

    @property
    def is_alive(self) -> bool:
        """Whether it can make another call."""
        return self._process.is_alive() and not self._pipe.closed

    def load(self, module: str) -> None:
        """Import a handler's module, or its middleware's, before the handler's time starts.

        Raises:
            BaseException: what the import raises.
        """
        if module not in self._loaded:
            remote_call.unpacked(self.call(remote_call.import_of(module), None), None)
            self._loaded.add(module)

    def call(self, request: bytes, context: Context | None) -> bytes:
        """Make a call; cancelling the context here cancels it in the child, too.

        Raises:
            Unexpected: the process died.
        """
        if context is not None:
            context.cancelled.tell = lambda: self._send(b"")
        self._send(request)
        try:
            while (message := self._receive())[:1] == PROGRESS:
                if context is not None:
                    context.notes.take(pickle.loads(message[1:]))  # noqa: S301 - our own process pickled it
            return message[1:]
        finally:
            if context is not None:
                context.cancelled.tell = _nobody

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join(ENDING_SECONDS)

    def _send(self, message: bytes) -> None:
        """Send a message; a dead child is noticed while waiting for the reply."""
        with self._sending, contextlib.suppress(OSError):
            self._pipe.send_bytes(message)

    def _receive(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            self._process.join(ENDING_SECONDS)
            msg = f"its process died: {_how(self._process.exitcode)}"
            raise Unexpected(msg) from None


def _nobody() -> None: ...


def _how(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _serve(pipe: Connection, settings: dict[str, Any]) -> None:
    """Run the calls that come through the pipe, one after the other; the main function of a child."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(
            "1000"
        )  # the OOM killer should take this process before its worker or Postgres
    if settings:
        log.setup(**settings)
        log.forgive_output()
    multiprocessing.set_start_method(
        None, force=True
    )  # a package may set one when it is imported, as in its worker
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    running: list[Context | None] = [None]
    threading.Thread(target=_listen, args=(pipe, requests, running), daemon=True).start()
    sending = threading.Lock()
    threading.Thread(target=_tell, args=(pipe, sending, running), daemon=True).start()
    pipe.send_bytes(REPLY)
    while True:
        reply = remote_call.run(requests.get(), lambda context: running.__setitem__(0, context))
        log.hear_others()  # the user's package is imported by now, and may have configured logging
        with sending:
            running[0] = None
            pipe.send_bytes(REPLY + reply)


def _listen(pipe: Connection, requests: queue.SimpleQueue[bytes], running: list[Context | None]) -> None:
    """Read the pipe until it closes: a message is a request, an empty one cancels the running call."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv_bytes()
            if message:
                requests.put(message)
            elif running[0] is not None:
                running[0].cancelled.set()
    os._exit(0)


def _tell(pipe: Connection, sending: threading.Lock, running: list[Context | None]) -> None:
    """Send the worker the output and progress of a job's run, every `REPORT_SECONDS` seconds."""
    sent = None
    while True:
        sleep(REPORT_SECONDS)
        with sending, contextlib.suppress(OSError):
            progress = remote_call.progress(running[0])
            if progress is not None and progress != sent:
                pipe.send_bytes(PROGRESS + pickle.dumps(progress))
            sent = progress


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, whatever this process is doing."""
    parent = multiprocessing.parent_process()
    if parent is None or not hasattr(os, "O_ASYNC"):
        return
    sentinel = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if wait([sentinel], 0):
        os._exit(0)
