"""The loop of every background service: calls `run_once` again and again, and can be woken, stopped and delayed.

A service does one round and returns the seconds to the next. When a round raises, the loop logs the error once, waits
with growing, jittered delays, and goes on: it waits for a database that is away, and never exits for that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, NoReturn, TypeVar

import psycopg

from poller.db.connection import is_transient
from poller.runtime.bell import Bell
from poller.telemetry import log, stderr
from poller.telemetry.outage import BACKOFF_FIRST_SECONDS, Outage
from poller.telemetry.troubles import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

FAREWELL_SECONDS = 2.0  # that the end of a process waits for what integrations have gathered
farewells: set[Callable[[], object]] = set()  # called at the end of a process, which leaves without atexit's

JITTER = (
    0.1  # the part of a delay, at most of one second, that is added at random; a round never starts early
)
BACKOFF_TO_BEGIN_SECONDS = 1.0  # a short limit, since at the start a retry costs one connection only


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do some last work; return whether it ended in time. If not, it goes on in the background."""
    thread = threading.Thread(target=work, name="poller last words", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def leave(status: int) -> NoReturn:
    """End the process without waiting for threads, and only briefly for the readers of its output."""
    digest.tell_rest()
    stderr.drain()
    if farewells:
        within(FAREWELL_SECONDS, _say_farewell)
    within(stderr.LAST_WORDS_SECONDS, _flush)
    os._exit(status)


def _say_farewell() -> None:
    for each in farewells:
        with contextlib.suppress(Exception):  # an exporter that fails must not keep the process
            each()


def _flush() -> None:
    with contextlib.suppress(Exception):  # the user's package may have replaced stdout
        sys.stdout.flush()
    logging.shutdown()  # the user's own handlers


@contextlib.contextmanager
def at_most(seconds: float, status: int) -> Iterator[None]:
    """Limit the time of some last work: after so many seconds the process exits with this status."""
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def persistently(name: str, work: Callable[[], T]) -> T:
    """Do some work, retrying while the database is away, and return its result.

    Args:
        name: what the log calls it.
        work: a function that leaves nothing behind when it raises.

    Raises:
        Exception: an error of the work that is not transient.
    """
    outage = Outage(name)
    while True:
        try:
            done = work()
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            outage.goes_on(error)
            sleep(random.uniform(BACKOFF_FIRST_SECONDS, BACKOFF_TO_BEGIN_SECONDS))  # noqa: S311
        else:
            outage.is_over()
            return done


class Loop(threading.Thread):
    """Runs `run_once` on a thread of its own until it is stopped.

    Args:
        name: what the log calls it.
        run_once: does one round and returns the seconds to the next; an error delays the next round.
        recover: called after a round that raised, to drop what may be broken (a connection).
        sleep: sleeps for so many seconds, or until the bell rings or a notification arrives.
        spacing: the least seconds between the beginnings of two rounds: one round hears all that has rung meanwhile.
        logged: fields of its lines in the log.
    """

    def __init__(  # noqa: PLR0913 - what makes a service of an object, and how it goes round
        self,
        name: str,
        run_once: Callable[[], float],
        recover: Callable[[], None] = lambda: None,
        sleep: Callable[[float, Bell], None] = lambda seconds, bell: bell.wait(seconds),
        spacing: float = 0.0,
        *,
        logged: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=f"poller {name}", daemon=True)
        self._outage = Outage(name)
        self._run_once = run_once
        self._recover = recover
        self._sleep = sleep
        self._spacing = spacing
        self._logged = logged or {}
        self._bell = Bell()
        self._stopping = threading.Event()
        self._busy_since: float | None = None  # when the round under way began (monotonic)

    @property
    def is_failing(self) -> bool:
        """Whether its last round has failed."""
        return self._outage.failures > 0

    def is_busy_for(self, seconds: float) -> bool:
        """Return whether the round under way has lasted for longer than that."""
        since = self._busy_since
        return since is not None and monotonic() - since > seconds

    def stands_still(self, seconds: float) -> bool:
        """Return whether a round has lasted for longer than that, or the thread is gone and was not stopped."""
        if self._stopping.is_set() or self.ident is None:
            return False
        return self.is_busy_for(seconds) or not self.is_alive()

    def wake(self) -> None:
        """Start the next round now, or right after the one under way."""
        self._bell.ring()

    def stop(self) -> None:
        """End the loop after the round under way."""
        self._stopping.set()
        self._bell.ring()

    def run(self) -> None:
        """Do rounds until stopped; `start()` runs this on the loop's thread."""
        with log.about(self._logged):
            self._go_round()

    def _go_round(self) -> None:
        began = 0.0
        while not self._stopping.wait(max(0.0, began + self._spacing - monotonic())):
            began = monotonic()
            self._bell.clear()
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - a service never dies of one bad round
                # A wake-up does not shorten this delay, which spares the server.
                self._stopping.wait(self._put_off(error))

    def _round(self) -> None:
        self._busy_since = monotonic()
        try:
            delay = self._run_once()
        finally:
            self._busy_since = None
        self._outage.is_over()
        if delay > 0:
            self._sleep(delay + JITTER * min(delay, 1.0) * random.random(), self._bell)  # noqa: S311

    def _put_off(self, error: Exception) -> float:
        self._outage.goes_on(error)
        self._recover()
        return self._outage.pause()
