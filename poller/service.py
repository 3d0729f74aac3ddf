"""The shell of every background service: a `run_once` in a loop that can be woken, stopped and put off.

A service does one round and returns the seconds to the next. When the round raises, the loop logs it once,
waits with growing, jittered delays, and goes on: a database that is away is waited for, never a reason to
exit.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import psycopg

from poller.bell import Bell
from poller.database import reason
from poller.telemetry import event, problem

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER = 0.1  # of a delay, but no more than of a second; later, never sooner: it may not be time yet
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do some last work; tell whether it was done in time. It goes on if not, and nobody waits for it."""
    thread = threading.Thread(target=work, name="poller last words", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


class Loop(threading.Thread):
    """Runs `run_once` on a thread of its own until it is stopped.

    Args:
        name: what the log calls it.
        run_once: does one round and returns the seconds to the next; raising puts it off.
        recover: called after a round that raised, to drop what may be broken (a connection).
        sleep: sleeps for so many seconds, or until the bell rings, or something else comes.
    """

    def __init__(
        self,
        name: str,
        run_once: Callable[[], float],
        recover: Callable[[], None] = lambda: None,
        sleep: Callable[[float, Bell], None] = lambda seconds, bell: bell.wait(seconds),
    ) -> None:
        super().__init__(name=f"poller {name}", daemon=True)
        self._service = name
        self._run_once = run_once
        self._recover = recover
        self._sleep = sleep
        self._bell = Bell()
        self._stopping = threading.Event()
        self._failures = 0

    def wake(self) -> None:
        """Start the next round now, or right after the one under way."""
        self._bell.ring()

    def stop(self) -> None:
        """End the loop after the round under way."""
        self._stopping.set()
        self._bell.ring()

    def run(self) -> None:
        """Do rounds until stopped; `start()` runs this on the loop's thread."""
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - a service never dies of one bad round
                # A wake-up does not shorten what is there to spare the server.
                self._stopping.wait(self._put_off(error))

    def _round(self) -> None:
        delay = self._run_once()
        if self._failures:
            event(f"{self._service}: works again", after=f"{self._failures} failed rounds")
            self._failures = 0
        if delay > 0:
            self._sleep(delay + JITTER * min(delay, 1.0) * random.random(), self._bell)  # noqa: S311

    def _put_off(self, error: Exception) -> float:
        if not self._failures:
            problem(f"{self._service}: {_describe(error)}; trying again")
        self._failures += 1
        self._recover()
        most = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(self._failures, 10))
        return random.uniform(BACKOFF_FIRST / 2, most)  # noqa: S311


def _describe(error: Exception) -> str:
    """Return what a database's error says, or the kind of any other with its text."""
    if isinstance(error, psycopg.Error):
        return reason(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
