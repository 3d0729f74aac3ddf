"""The shell of every background service: a `run_once` in a loop that can be woken, stopped and put off.

A service does one round and returns the seconds to the next. When the round raises, the loop logs it once,
waits with growing, jittered delays, and goes on: a database that is away is waited for, never a reason to
exit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
from time import sleep
from typing import TYPE_CHECKING, NoReturn, TypeVar

import psycopg

from poller.db.connection import is_transient
from poller.runtime.bell import Bell
from poller.telemetry import stderr
from poller.telemetry.outage import BACKOFF_FIRST, Outage
from poller.telemetry.troubles import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

JITTER = 0.1  # of a delay, but no more than of a second; later, never sooner: it may not be time yet
BACKOFF_TO_BEGIN = 1.0  # before there is anything to do, one connection is all that is asked for


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do some last work; tell whether it was done in time. It goes on if not, and nobody waits for it."""
    thread = threading.Thread(target=work, name="poller last words", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def leave(status: int) -> NoReturn:
    """End the process, and wait neither for threads, nor for long for whoever reads what it has written."""
    digest.tell_rest()
    stderr.drain()
    within(stderr.LAST_WORDS, _flush)
    os._exit(status)


def _flush() -> None:
    with contextlib.suppress(Exception):  # whatever the user's package has put in its place
        sys.stdout.flush()
    logging.shutdown()  # the user's own handlers


@contextlib.contextmanager
def at_most(seconds: float, status: int) -> Iterator[None]:
    """See to it that some last work ends: after so many seconds the process does, whatever holds it."""
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def persistently(name: str, work: Callable[[], T]) -> T:
    """Do some work, again and again while the database is away, and return what it gives.

    Args:
        name: what the log calls it.
        work: what raises leaves nothing behind.

    Raises:
        Exception: what the work raises that does not pass by itself.
    """
    outage = Outage(name)
    while True:
        try:
            done = work()
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            outage.goes_on(error)
            sleep(random.uniform(BACKOFF_FIRST, BACKOFF_TO_BEGIN))  # noqa: S311
        else:
            outage.is_over()
            return done


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
        self._outage = Outage(name)
        self._run_once = run_once
        self._recover = recover
        self._sleep = sleep
        self._bell = Bell()
        self._stopping = threading.Event()

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
        self._outage.is_over()
        if delay > 0:
            self._sleep(delay + JITTER * min(delay, 1.0) * random.random(), self._bell)  # noqa: S311

    def _put_off(self, error: Exception) -> float:
        self._outage.goes_on(error)
        self._recover()
        return self._outage.pause()
