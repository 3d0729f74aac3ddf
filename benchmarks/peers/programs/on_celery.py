"""Celery's side: see `benchmarks.peers.celery`."""

from __future__ import annotations

import sys
import time

from celery import Celery  # type: ignore[import-not-found,import-untyped,unused-ignore]


def application(url: str) -> Celery:
    """Return the application."""
    app = Celery("benchmark", broker=url)
    app.conf.task_ignore_result = True
    app.conf.worker_disable_rate_limits = True
    app.conf.worker_prefetch_multiplier = 128
    app.conf.worker_hijack_root_logger = False
    app.task(name="nothing")(nothing)
    return app


def work(url: str, number: str) -> None:
    """Work until told to stop."""
    switches = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    application(url).worker_main(["worker", "--pool=solo", f"--hostname=worker{number}@here", *switches])


def nothing(payload: str) -> None:
    """Do nothing."""


def put(url: str, rows: str) -> None:
    """Put so many jobs into a queue of another name, and let that be the workers'."""
    app = application(url)
    task = app.tasks["nothing"]
    with app.producer_pool.acquire() as producer:
        for number in range(int(rows)):
            task.apply_async((f"payload {number}",), producer=producer, queue="held")
        producer.channel.client.rename("held", "celery")
    print("committed", flush=True)  # noqa: T201 - whoever started it listens
    sys.stdin.read()


def count(url: str, rows: str) -> None:
    """Return once the workers say that they have done so many."""
    inspector = application(url).control.inspect()
    while sum(each["total"].get("nothing", 0) for each in (inspector.stats() or {}).values()) != int(rows):
        time.sleep(0.1)


if __name__ == "__main__":
    {"work": work, "put": put, "count": count}[sys.argv[1]](*sys.argv[2:])
