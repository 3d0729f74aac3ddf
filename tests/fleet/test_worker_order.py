"""A worker is told what its supervisor said, whatever that is: a word that is lost on the pipe is a wrong fleet."""

from __future__ import annotations

import json
from uuid import uuid4

from poller.fleet.options import FleetOptions
from poller.fleet.worker_order import WorkerOrder

GIVEN = FleetOptions(concurrency=3, only=("thing:pending",), labels=("gpu", "big"), lease=7.5, drain=True)


def test_a_worker_reads_what_its_supervisor_wrote() -> None:
    """All of it; in one line, since a worker reads no more before it goes on to listen for its end."""
    order = WorkerOrder(
        options=GIVEN,
        supervisor=uuid4(),
        url="postgresql://someone:p%22%0Aw@host/db",
        database="eu\nus",
        is_first=False,
        logged={"database": "eu"},
        tables={"thing:status:pending": ("public", "thing")},
        replaces=4711,
    )
    line = order.line(["/one", "/two"])
    assert line.count(b"\n") == 1
    told = json.loads(line)
    assert told["path"] == ["/one", "/two"]
    assert WorkerOrder.read(told["order"]) == order
