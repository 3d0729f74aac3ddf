"""The entry of a worker process: reads its orders from standard input, and ends when that closes.

The supervisor writes one JSON object and keeps the pipe open. When it dies, however it dies, the pipe closes,
and the worker gives its rows back and ends: no orphan goes on claiming.

A worker that is started while the database is away waits for it: the supervisor would take an end for a quick death, and
start the next one later and later.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from poller import registry, telemetry
from poller.binding import bind_all
from poller.database import Link, is_passing, mark_of, opener, reason
from poller.errors import PollerError
from poller.housekeeping import jobs_of_site
from poller.run import handler_of
from poller.store import Store
from poller.worker import STOPPED, Worker, WorkerOptions

if TYPE_CHECKING:
    from poller.binding import Binding

WAIT_FIRST, WAIT_MOST = 0.1, 2.0  # seconds between two tries while the database is away
ORPHAN_SECONDS = 5.0  # that an orphan may take to give its rows back

FAULTY = 4  # the handlers do not fit the database (any more)


def main() -> None:
    """Run a worker as the supervisor ordered it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes on what concerns us
    orders = json.loads(sys.stdin.readline())
    lifeline = _take_standard_input()
    _restore_python_path(orders["pythonpath"])
    telemetry.setup(orders["log_format"], orders["log_level"], **orders["logged"])
    signal.signal(signal.SIGTERM, lambda *_: _exit(STOPPED))  # while nothing has begun
    try:
        bindings = _wait_for_bindings(orders)
    except (PollerError, psycopg.Error) as error:
        telemetry.problem(f"this worker cannot start: {str(error).splitlines()[0]}")
        _exit(FAULTY)
    worker = Worker(orders["url"], bindings, _options(orders))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    threading.Thread(target=_watch_supervisor, args=(worker, lifeline), daemon=True).start()
    gc.freeze()  # what has been imported stays: the collector need not look through it again and again
    gc.set_threshold(10_000, 20, 20)  # nor through the thousands of tasks in flight, which are in no cycle
    _exit(worker.run())


def _restore_python_path(value: str | None) -> None:
    """Let the programs that handlers start see the user's PYTHONPATH: ours was for this process alone."""
    if value is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = value


def _wait_for_bindings(orders: dict[str, Any]) -> list[Binding]:
    """Bind the handlers, as soon as the database lets us.

    Raises:
        PollerError, psycopg.Error: they do not fit the database; that waiting would not change.
    """
    said, delay = "", WAIT_FIRST
    while True:
        try:
            return _bindings(orders)
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            if (why := reason(error)) != said:
                telemetry.problem(f"this worker waits for the database: {why}")
                said = why
        _sleep_while_supervised(random.uniform(delay / 2, delay))  # noqa: S311 - to part, not to hide
        delay = min(WAIT_MOST, delay * 2)


def _sleep_while_supervised(seconds: float) -> None:
    """Sleep; end if the supervisor is gone, which closes the pipe."""
    if select.select([0], [], [], seconds)[0] and not os.read(0, 1024):
        _exit(STOPPED)


def _bindings(orders: dict[str, Any]) -> list[Binding]:
    handlers, jobs = registry.load(orders["handlers"], orders["only"])
    link = Link(orders["url"], "start")
    jobs = jobs_of_site(jobs, is_first=orders["is_first"])
    able = [job for job in jobs if job.may_run_on(orders["labels"])]
    mark = mark_of(UUID(orders["supervisor"]), os.getpid())
    runs = [handler_of(job, opener(orders["url"], mark)) for job in able]
    bindings = bind_all(link.connection, [*handlers, *runs])
    for binding in bindings:
        binding.database = orders["database"] or binding.database
    Store(link).register_handlers(bindings)
    link.close()
    return bindings


def _options(orders: dict[str, Any]) -> WorkerOptions:
    return WorkerOptions(
        supervisor=UUID(orders["supervisor"]),
        slots=orders["concurrency"],
        lease=orders["lease"],
        poll=orders["poll"],
        grace=orders["grace"],
    )


def _take_standard_input() -> int:
    """Move the pipe from the supervisor away from standard input, which handlers, and what they start, find empty."""
    lifeline = os.dup(0)  # not inherited
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def _watch_supervisor(worker: Worker, lifeline: int) -> None:
    """Stop at once when the supervisor is gone; end even if stopping hangs."""
    while os.read(lifeline, 1024):
        pass
    worker.stop_at_once()
    threading.Event().wait(ORPHAN_SECONDS)
    os._exit(1)


def _exit(status: int) -> None:
    """End without waiting for threads: a handler that does not stop must not keep the process."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
