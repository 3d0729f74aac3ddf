"""The metrics that poller exports: their names, kinds, labels and buckets, in two tiers.

The model. Numbers of the fleet (`FLEET`) stand in `poller.gauge`, measured by one process for all, and each process that
is asked exports the same: totals that never go backwards, and states. Numbers of a process (`PROCESS`) are what its
workers have gathered since they began; they start over with it. No number is in both. Labels never hold keys, hosts,
process ids or errors. docs/operations.md has the table for users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Prometheus shows it.

    Attributes:
        name: with its prefix and, of a counter, its suffix.
        help: one line.
        buckets: the upper bounds of a histogram's buckets, without the infinite one.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_ROW, _JOB = ("table", "status"), ("job",)

FLEET = (
    Metric(
        "poller_rows_total",
        "counter",
        (*_ROW, "outcome"),
        "Rows whose attempts have ended, by what became of them.",
    ),
    Metric(
        "poller_rows",
        "gauge",
        (*_ROW, "state"),
        "Rows of a handler that are due (10,001 at the most), in flight, waiting or parked.",
    ),
    Metric(
        "poller_oldest_due_seconds",
        "gauge",
        _ROW,
        "For how long the row at the head of a handler's queue has been due; 0 if none is.",
    ),
    Metric("poller_runs_total", "counter", (*_JOB, "outcome"), "Runs of jobs that have ended."),
    Metric(
        "poller_job_last_success_timestamp_seconds", "gauge", _JOB, "When a run of the job last succeeded."
    ),
    Metric("poller_job_last_run_timestamp_seconds", "gauge", _JOB, "When a run of the job last ended."),
    Metric("poller_job_next_timestamp_seconds", "gauge", _JOB, "When the job is planned next."),
    Metric("poller_job_overdue_seconds", "gauge", _JOB, "For how long a run of the job should have begun."),
    Metric("poller_job_paused", "gauge", _JOB, "1 while the job is paused."),
    Metric("poller_workers", "gauge", ("state",), "Worker processes of the whole fleet."),
    Metric(
        "poller_alerts_total",
        "counter",
        ("target", "outcome"),
        "Messages about alerts that have been sent or given up, by their target.",
    ),
)

PROCESS = (
    Metric("poller_slots", "gauge", ("handler",), "Slots of this host's workers that may run the handler."),
    Metric("poller_slots_busy", "gauge", ("handler",), "Slots of this host's workers that run the handler."),
    Metric(
        "poller_handler_duration_seconds",
        "histogram",
        (*_ROW, "outcome"),
        "How long attempts took.",
        SECONDS,
    ),
    Metric(
        "poller_pickup_seconds",
        "histogram",
        _ROW,
        "From when a row was due until its handler began: retries, and rows of handlers with a due column.",
        SECONDS,
    ),
    Metric("poller_run_duration_seconds", "histogram", _JOB, "How long runs of jobs took.", SECONDS),
    Metric(
        "poller_run_lateness_seconds",
        "histogram",
        _JOB,
        "From when a run was due until it began.",
        SECONDS,
    ),
    Metric("poller_claim_duration_seconds", "histogram", _ROW, "How long claims took.", SECONDS),
    Metric(
        "poller_settle_duration_seconds", "histogram", _ROW, "How long it took to write results.", SECONDS
    ),
    Metric("poller_claim_rows", "histogram", _ROW, "Rows that a claim has brought.", ROWS),
    Metric("poller_leases_lost_total", "counter", (), "Rows whose lease had ended before their result."),
    Metric("poller_worker_restarts_total", "counter", (), "Worker processes started in place of others."),
    Metric("poller_build_info", "gauge", ("version",), "1, with the version of poller."),
    Metric("poller_up", "gauge", ("version",), "1 while the supervisor runs."),
)

BY_NAME = {each.name: each for each in (*FLEET, *PROCESS)}
STATES = ("due", "in_flight", "waiting", "parked")  # gauges of the fleet that are one metric: poller_rows
