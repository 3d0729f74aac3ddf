"""A worker process, seen from its supervisor: started, watched, told to stop, and replaced.

What may be trusted: that the process has ended, since the kernel says so; and that it hangs, when it has given no sign
for longer than its lease. One thread of the worker only gives signs at intervals, and waits neither for the database nor
for a lock. If it is silent, a call into C holds the interpreter, so no other thread can have renewed the lease. A
stopped process (a debugger, SIGSTOP) does not count as hanging, nor does one that was paused together with its
supervisor (a suspended host).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import poller
from poller.telemetry.bus import emit
from poller.telemetry.events import ProcessEnded, ProcessHung, ProcessNotStarted
from poller.telemetry.metrics import BY_NAME
from poller.telemetry.metrics_gathered import parsed

if TYPE_CHECKING:
    from poller.fleet.worker_order import WorkerOrder
    from poller.telemetry.metrics_gathered import Gathered, Series

LOOK_SECONDS = 2.0  # between two looks at workers that live: a death is told
LONG_ENOUGH_SECONDS = 10.0  # after which a worker's death is not held against the next one
RESTART_FIRST, RESTART_MOST = 0.1, 30.0
# The signs of a worker: that its interpreter runs; that it was told to end; that a handler does not stop, so another
# process is to take its place; that it has taken leave. Its exit status says nothing: a handler may end it with any.
RUNS, DRAINS, RETIRES, LEAVES = b".", b"d", b"r", b"l"

# -P: no module of the working directory is to hide one of Python's own, or of ours; `registry` puts the folder in its
# place.
_START = (
    "import json, sys; given = json.loads(sys.stdin.readline()); sys.path[:] = given['path']; "
    "from poller.fleet.worker_main import main; main(given['order'])"
)


class WorkerProcess:
    """A worker process, and when to start another in its place.

    Args:
        lease: seconds without a sign after which it hangs.
        gathered: takes what the worker has gathered of its work.

    Attributes:
        restarts: how many processes were started in place of others.
        gauges: what the worker has told last of its slots.
    """

    def __init__(self, lease: float, gathered: Gathered) -> None:
        self._lease = lease
        self._gathered = gathered
        self._rest = b""  # of what was read: a line that is not whole yet
        self.restarts = 0
        self.gauges: dict[Series, float] = {}
        self._quick_deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._signs = -1
        self._signed_at: float | None = None
        self.noticed_at: float | None = None
        self.restart_at = 0.0
        self.drains = False  # it was told to end, and is not to be replaced
        self._retires = self._has_left = False

    @property
    def pid(self) -> int:
        """The process id of the worker that runs, or ran last; 0 if none has been started."""
        return 0 if self._process is None else self._process.pid

    def ended_well(self) -> bool:
        """Return whether it has ended as it should, so that it holds nothing any more."""
        if self._process is None:
            return True
        self._has_signed()  # what it may have said at last
        return self._has_left and self._process.returncode == 0

    @property
    def is_drained(self) -> bool:
        """Whether it has ended as it was told to, so that no other takes its place."""
        return self.drains and self.has_ended()

    def start(self, order: WorkerOrder) -> None:
        """Start a process and give it its order; the pipe stays open for as long as we live."""
        self._close()
        self.restarts += self._process is not None
        self._rest, self.gauges = b"", {}
        self._retires = self._has_left = False
        self._signs, theirs = os.pipe()
        os.set_blocking(self._signs, False)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-P", "-c", _START, "poller worker", str(theirs)],
                stdin=subprocess.PIPE,
                pass_fds=(theirs,),
                process_group=0,  # Ctrl-C in a terminal is for the supervisor to pass on
            )
        except OSError as error:  # no more processes, no memory
            emit(ProcessNotStarted(error=str(error), retry_seconds=RESTART_MOST))
            self.noticed_at = monotonic()
            self.restart_at = self.noticed_at + RESTART_MOST
            return
        finally:
            os.close(theirs)
        self._tell(order.line(_import_path()))
        self._started_at = self._looked_at = monotonic()
        self._signed_at = None  # until it has begun, what it imports may take its time
        self.noticed_at = None

    @property
    def is_up(self) -> bool:
        """Whether it runs, and has begun to work."""
        return not self.has_ended() and self._signed_at is not None

    def has_ended(self) -> bool:
        """Return whether no process runs: none was started, or it has ended."""
        return self._process is None or self._process.poll() is not None

    def end_if_it_hangs(self) -> None:
        """Kill it if it has given no sign for longer than its lease; called at least every `LOOK_SECONDS` seconds."""
        now = monotonic()
        if self._has_signed():
            self._signed_at = now
        if self._signed_at is None:
            return
        if self._is_stopped() or now - self._looked_at > 2 * LOOK_SECONDS:
            self._signed_at = now
        self._looked_at = now
        if now - self._signed_at > self._lease + LOOK_SECONDS:
            emit(ProcessHung(pid=self.pid))
            self.kill()

    def notice(self) -> None:
        """Note that the process has ended, and decide when to start another."""
        assert self._process is not None  # noqa: S101 - it has ended
        self.noticed_at = monotonic()
        status = self._process.returncode
        self._has_signed()  # what it may have said at last
        self.gauges = {}  # it has no slots any more
        if self.drains:
            self.restart_at = inf
            return
        if self._retires:
            self.restart_at = self.noticed_at
            return
        lived = self.noticed_at - self._started_at
        self._quick_deaths = 0 if lived > LONG_ENOUGH_SECONDS else self._quick_deaths + 1
        delay = min(RESTART_MOST, RESTART_FIRST * 2**self._quick_deaths)
        self.restart_at = self.noticed_at + delay
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        emit(ProcessEnded(pid=self.pid, how=how, restart_seconds=delay))

    def stop(self) -> None:
        """Ask it to stop."""
        if self._process is not None and not self.has_ended():
            self._process.send_signal(signal.SIGTERM)

    def stop_at_once(self) -> None:
        """Tell it not to wait for its handlers; by the pipe, since a service manager may send it SIGTERM, too."""
        self._tell(b"at once\n")

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and not self.has_ended():
            self._process.kill()

    def _tell(self, what: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._process.stdin.write(what)
            self._process.stdin.flush()

    def _has_signed(self) -> bool:
        heard = self._rest
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._signs, 65536):
                heard += part
        if heard == self._rest:
            return False
        *told, last = heard.split(b"\n")
        signs, bracket, begun = last.partition(b"[")
        self._rest = bracket + begun
        for each in told:
            more, bracket, line = each.partition(b"[")
            signs += more
            self._note(bracket + line)
        self.drains = self.drains or DRAINS in signs
        self._retires = self._retires or RETIRES in signs
        self._has_left = self._has_left or LEAVES in signs
        return True

    def _note(self, line: bytes) -> None:
        """Note a number that the worker has sent, unless it is torn, or of another version."""
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
            name, labels, numbers = parsed(line)
            if BY_NAME[name].kind == "gauge":
                self.gauges[name, labels] = numbers[0]
            else:
                self._gathered.add(name, labels, numbers)

    def _is_stopped(self) -> bool:
        if not hasattr(os, "waitid"):
            return False
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def _close(self) -> None:
        """Close our ends of the pipes to the previous process."""
        if self._signs >= 0:
            os.close(self._signs)
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _import_path() -> list[str]:
    """Return a worker's import path: that of this process, without the working directory in first place."""
    here = str(Path.cwd())
    home = str(Path(poller.__file__).parents[1])
    elsewhere = [each for each in sys.path if each not in ("", here)]
    return elsewhere if home in elsewhere else [*elsewhere, home]
