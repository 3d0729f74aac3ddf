"""What a worker gathers from its events, and how it gets through the pipe to its supervisor."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, fixed_delay, handler
from poller.fleet.metrics_sender import MetricsSender
from poller.fleet.worker_process import DRAINS, RUNS, WorkerProcess
from poller.telemetry import bus
from poller.telemetry.events import ClaimLost, RowsSettled
from poller.telemetry.metrics import SECONDS
from poller.telemetry.metrics_gathered import MOST_BYTES, Gathered, lines
from poller.telemetry.metrics_text import Sample, text
from poller.testing import Engine
from tests.command_line import make_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

DURATION = "poller_handler_duration_seconds"


@fixed_delay("1h")
def tidy() -> None:
    """Succeed."""


@pytest.fixture
def gathered() -> Iterator[Gathered]:
    """What this process gathers during the test."""
    made = Gathered()
    end = bus.subscribe(made.hear)
    yield made
    end()


def test_what_happens_is_gathered_by_table_status_and_outcome(
    url: str, db: psycopg.Connection[Any], gathered: Gathered
) -> None:
    """Retries and rows with a time of their own tell how long they were due; a schedule counts for its function."""
    make_tenants(db, *["pending"] * 3, "timed")
    db.execute("update tenants set created_at = now() - interval '1 hour'")

    @handler("tenants", status="pending", to="normal", attempts=2)
    def sometimes(row: Any) -> None:
        if row.id == 1:
            raise ValueError

    @handler("tenants", status="timed", to="normal", due="created_at")
    def timed(_: Any) -> None:
        pass

    with Engine(url, sometimes, timed, tidy) as engine:
        Client(url, [tidy]).add_job("tidy more", "tidy", when="@every 1h")
        engine.run_due()
        engine.advance("2h")
        engine.run_due()
    seen = gathered.seen()
    rows = {labels: numbers for (name, labels), numbers in seen.items() if name == DURATION}
    pending, of_timed = ("public.tenants", "pending"), ("public.tenants", "timed")
    assert {labels: sum(numbers[:-1]) for labels, numbers in rows.items()} == {
        (*pending, "moved"): 2,
        (*pending, "retried"): 1,
        (*pending, "parked"): 1,
        (*of_timed, "moved"): 1,
    }
    pickup = {labels: numbers for (name, labels), numbers in seen.items() if name == "poller_pickup_seconds"}
    assert {labels: sum(numbers[:-1]) for labels, numbers in pickup.items()} == {pending: 1, of_timed: 1}
    assert pickup[of_timed][-1] == pytest.approx(3600, abs=60)
    assert pickup[pending][-1] == pytest.approx(7200, abs=60), "since its next attempt was due"
    assert sum(seen["poller_claim_rows", pending][:-1]) == 2
    assert seen["poller_claim_rows", pending][-1] == 4
    assert sum(seen["poller_settle_duration_seconds", of_timed][:-1]) == 1
    jobs = {
        labels: sum(numbers[:-1])
        for (name, labels), numbers in seen.items()
        if name.startswith("poller_run_")
    }
    assert set(jobs) == {("tidy",)}
    assert sum(seen["poller_run_duration_seconds", ("tidy",)][:-1]) >= 3


def test_values_fall_into_the_buckets_whose_bounds_they_do_not_exceed() -> None:
    """A value that equals a bound is below it; the largest has a bucket of its own."""
    made = Gathered()
    made.observe(DURATION, ("t", "s", "moved"), [0.0, 0.005, 0.0051, 1800.0, 1801.0])
    [numbers] = made.seen().values()
    assert numbers == [2, 1, *[0] * (len(SECONDS) - 3), 1, 1, pytest.approx(3601.0101)]


class _Idle:
    def slots_busy(self) -> dict[str, int]:
        return {"public.t:s": 3}


def test_what_is_sent_arrives_once_among_the_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is in the pipe, and however it is read; what it has no room for comes the next time."""
    ours, theirs = os.pipe()
    for each in (ours, theirs):
        os.set_blocking(each, False)
    whole = Gathered()
    process = WorkerProcess(30.0, whole)
    monkeypatch.setattr(process, "_signs", ours)
    sender = MetricsSender(theirs, _Idle(), 8, ["public.t:s"])
    labels = [("t" * 60, f"status {number}", "moved") for number in range(600)]
    for each in labels:
        sender._gathered.observe(DURATION, each, [0.01, 2.0])
    sender._gathered.hear(ClaimLost(rows=7))
    os.write(theirs, RUNS)
    sender.send()
    with pytest.raises(BlockingIOError):
        os.write(theirs, b"x" * MOST_BYTES)
    assert not process.drains
    for _ in range(5):
        assert process._has_signed()
        os.write(theirs, DRAINS)
        sender.send()
    process._has_signed()
    assert process.drains
    seen = whole.seen()
    assert {sum(seen[DURATION, each][:-1]) for each in labels} == {2}
    assert seen["poller_leases_lost_total", ()] == [7]
    assert process.gauges == {("poller_slots", ("public.t:s",)): 8, ("poller_slots_busy", ("public.t:s",)): 3}
    others = b'["poller_of_another_version", [], [1]]\n["poller_leases_lost_total", ["table"], [1]]\n'
    os.write(theirs, b'[{"torn\n' + others + b'["poller_claim_rows", ["public.t", "s"], [1, 2, 3]]\n')
    assert process._has_signed(), "what it does not understand costs it nothing"
    assert process.gauges.keys() == {
        ("poller_slots", ("public.t:s",)),
        ("poller_slots_busy", ("public.t:s",)),
    }
    assert whole.seen() == seen
    for each in (ours, theirs):
        os.close(each)


def test_a_line_is_never_longer_than_the_kernel_writes_as_a_whole() -> None:
    """A series whose labels are too long for that is left out, and no other one."""
    made = Gathered()
    for status in ("s" * 5000, "s"):
        made.observe(DURATION, ("t", status, "moved"), [1.0])
    assert [labels[1] for (_, labels), _, _ in lines(made.take())] == ["s"]


def test_a_database_is_a_further_label() -> None:
    """Several databases may have a table of one name; metrics of a newer version are left out."""
    samples = [
        Sample("poller_rows", {"table": "t", "status": "s", "state": "due", "database": name}, number)
        for number, name in enumerate(("eu", "us"))
    ]
    samples.append(Sample("poller_rows_total", {"table": "t", "status": "s", "outcome": "moved"}, 3))
    samples.append(Sample("poller_of_a_newer_version", {}, 1))
    plain = text(lambda: samples)
    assert b'poller_rows{database="us",state="due",status="s",table="t"} 1.0' in plain
    assert b"newer" not in plain


def test_threads_lose_nothing_of_each_other() -> None:
    """Batches of several threads, while another takes what there is."""
    made, whole = Gathered(), Gathered()
    event = RowsSettled(
        handler="public.t:s", table="public.t", status="s", database="", rows=2, outcomes={"moved": 2},
        seconds={"moved": (0.1, 0.2)},
    )  # fmt: skip

    def hear() -> None:
        for _ in range(500):
            made.hear(event)

    def collect() -> None:
        for (name, labels), numbers in made.take().items():
            whole.add(name, labels, numbers)

    threads = [threading.Thread(target=hear) for _ in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        collect()
    collect()
    assert sum(whole.seen()[DURATION, ("public.t", "s", "moved")][:-1]) == 4000
