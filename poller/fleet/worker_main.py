"""The entry of a worker process: gets its order on standard input, and ends when that closes.

The supervisor writes one JSON object and keeps the pipe open. When the supervisor dies in any way, the pipe closes, and
the worker gives its rows back and ends: no orphan keeps claiming. Through the same pipe the supervisor tells a worker
not to wait for its handlers. The worker sends signs that its interpreter runs (see `worker_process`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from time import sleep
from typing import TYPE_CHECKING, Any

import psycopg

from poller import registry
from poller.db.connection import Link, opener, session_tag
from poller.db.statements import read_all
from poller.errors import PollerError
from poller.fleet.metrics_sender import MetricsSender
from poller.fleet.worker import Worker, WorkerOptions
from poller.fleet.worker_order import WorkerOrder
from poller.fleet.worker_process import DRAINS, LEAVES, RETIRES, RUNS
from poller.integrations.switch import surrounded
from poller.jobs.run import handler_of
from poller.ready_made.housekeeping import housekeeping, jobs_of_site
from poller.services.loop import leave, persistently
from poller.store.binding_again import bind_again
from poller.store.liveness import register_handlers
from poller.telemetry import log
from poller.telemetry.bus import emit
from poller.telemetry.events import WorkerUnfit

if TYPE_CHECKING:
    from poller.model.handler import Handler
    from poller.store.binding import Binding

ORPHAN_SECONDS = 5.0  # that an orphan may take to give its rows back
SIGNS_IN_A_LEASE = 6  # in one lease time

FAULTY = 4  # the handlers do not fit the database (any more)


def main(given: dict[str, Any]) -> None:
    """Run a worker as the supervisor ordered it (`WorkerOrder`)."""
    order = WorkerOrder.read(given)
    options = order.options
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes on what concerns us
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(0))  # nothing has begun
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    begun: list[Worker] = []
    threading.Thread(target=_watch_supervisor, args=(_take_standard_input(), begun), daemon=True).start()
    log.setup(options.log_format, options.log_level, **order.logged)
    log.forgive_output()
    try:
        bindings = _bindings(order)
    except (PollerError, psycopg.Error) as error:
        emit(WorkerUnfit(error=str(error).splitlines()[0]))
        leave(FAULTY)
    read_all()
    signs = int(sys.argv[2])
    drains = threading.Event()
    worker = Worker(order.url, bindings, _options(order), lambda: _tell_drain(signs, drains))
    begun.append(worker)
    _obey(worker)
    sender = None
    if options.listen is not None:
        sender = MetricsSender(signs, worker, options.concurrency, map(str, bindings))
        sender.start()
    threading.Thread(target=_give_signs, args=(signs, options.lease / SIGNS_IN_A_LEASE), daemon=True).start()
    gc.freeze()  # what has been imported stays: the collector need not look through it again and again
    gc.set_threshold(10_000, 20, 20)  # nor through the thousands of tasks in flight, which are in no cycle
    is_retired = worker.run()
    if sender is not None:
        sender.send()
    _take_leave(signs, (DRAINS if drains.is_set() else b"") + (RETIRES if is_retired else b"") + LEAVES)
    leave(0)


def _take_standard_input() -> int:
    """Keep the supervisor's pipe to ourselves, and return it: a handler that reads finds the end at once."""
    pipe = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - for its descriptor
        os.dup2(nothing.fileno(), 0)
    return pipe


def _give_signs(number: int, every: float) -> None:
    """Tell the supervisor that the interpreter runs: it kills a worker that is silent for a lease time."""
    os.set_inheritable(number, False)  # noqa: FBT003 - as the library has it
    os.set_blocking(number, False)
    with contextlib.suppress(BrokenPipeError):  # which is another thread's to notice
        while True:
            _sign(number, RUNS)
            sleep(every)


def _tell_drain(number: int, drains: threading.Event) -> None:
    """Tell the supervisor that this worker ends and must not be replaced; without a supervisor it is not."""
    drains.set()
    with contextlib.suppress(BrokenPipeError):
        _sign(number, DRAINS)


def _take_leave(number: int, how: bytes) -> None:
    """Tell the supervisor how this worker ends; if it is stopped and the pipe is full, wait until it hears that."""
    os.set_blocking(number, True)
    with contextlib.suppress(BrokenPipeError):
        os.write(number, how)


def _sign(number: int, what: bytes) -> None:
    with contextlib.suppress(BlockingIOError):  # the supervisor is stopped, say
        os.write(number, what)


def _obey(worker: Worker) -> None:
    """Stop at the first signal; ignore others: a service manager and the supervisor may both send one."""
    asked: list[int] = []

    def stop(number: int, _: object) -> None:
        if not asked:
            worker.stop()
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, stop)


def _bindings(order: WorkerOrder) -> list[Binding]:
    options = order.options
    handlers, jobs = registry.load(options.handlers, options.only, options.without)
    middleware = registry.middleware(options.handlers)
    log.hear_others()
    jobs = jobs_of_site(jobs, is_first=order.is_first)
    able = [job for job in jobs if job.may_run_on(order.options.labels)]
    tag = session_tag(order.supervisor, os.getpid())
    runs = [handler_of(job, opener(order.url, tag)) for job in able]
    ours = [each for each in runs if each.name == housekeeping.name]
    users = [each for each in (*handlers, *runs) if each not in ours]
    ready = [*surrounded(users, {job.name: job for job in able}, middleware), *ours]
    bindings = persistently("start", lambda: _bound(order, ready))
    for binding in bindings:
        binding.database = order.database or binding.database
    return bindings


def _bound(order: WorkerOrder, handlers: list[Handler]) -> list[Binding]:
    with contextlib.closing(Link(order.url, "start")) as link:
        bindings = bind_again(link.connection, handlers, order.tables)
        register_handlers(link.connection, bindings)
    return bindings


def _options(order: WorkerOrder) -> WorkerOptions:
    given = order.options
    return WorkerOptions(
        supervisor=order.supervisor,
        slots=given.concurrency,
        lease=given.lease,
        poll=given.poll,
        grace=given.grace,
        replaces=order.replaces,
    )


def _watch_supervisor(pipe: int, begun: list[Worker]) -> None:
    """Stop at once when the supervisor says so, or is gone; then end even if stopping hangs."""
    while os.read(pipe, 1024):
        _stop_at_once(begun)
    _stop_at_once(begun)
    threading.Event().wait(ORPHAN_SECONDS)
    os._exit(1)


def _stop_at_once(begun: list[Worker]) -> None:
    if not begun:
        os._exit(0)  # it imports, or waits for the database
    begun[0].stop_at_once()
