"""`poller run`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from poller.cli.alert_settings import alert_settings
from poller.cli.command_client import locations
from poller.cli.options import Databases, Handlers, HeartbeatFile, duration
from poller.fleet.options import FleetOptions
from poller.fleet.signals import requests
from poller.lazy import lazy
from poller.telemetry import log, stderr
from poller.telemetry.bus import emit
from poller.telemetry.events import FleetNotBegun
from poller.telemetry.log import LogFormat

if TYPE_CHECKING:
    from poller.fleet import listening
else:  # few have it
    listening = lazy("poller.fleet.listening")

LogLevel = Literal["debug", "info", "warning", "error"]

Workers = Annotated[int, typer.Option("--workers", metavar="N", help="How many worker processes.")]
Concurrency = Annotated[
    int, typer.Option("--concurrency", metavar="M", help="How many handlers each of them runs at a time.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME",
        show_default=False,
        help="Only this handler or job: a table, table:status, a function's or a job's name. May be repeated.",
    ),
]
Except = Annotated[
    list[str] | None,
    typer.Option(
        "--except",
        metavar="NAME",
        show_default=False,
        help="All but this one, named as for --only. May be repeated.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="NAME",
        show_default=False,
        help="A label of these workers: a job with `on` runs only where all its labels are. May be repeated.",
    ),
]
Drain = Annotated[
    bool,
    typer.Option("--drain", help="Exit once nothing is due: with 0, or 1 if rows ended parked or failed."),
]
Grace = Annotated[
    float,
    typer.Option(
        "--grace",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long handlers may take to finish after a stop.  [default: 30s]",
    ),
]
Lease = Annotated[
    float,
    typer.Option(
        "--lease",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long a worker that hangs keeps its rows.  [default: 30s]",
    ),
]
Poll = Annotated[
    float,
    typer.Option(
        "--poll",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How often an idle worker looks for due rows without a notification.  [default: 1s]",
    ),
]
Migrate = Annotated[
    bool, typer.Option("--migrate/--no-migrate", help="Bring poller's own schema up to date first.")
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        show_default=False,
        help="Answer /metrics, /healthz and /readyz there, such as at 127.0.0.1:9091.",
    ),
]
Format = Annotated[LogFormat, typer.Option("--log-format", help="For people, or one JSON object a line.")]
Level = Annotated[LogLevel, typer.Option("--log-level", case_sensitive=False, help="What is logged.")]


def run(  # noqa: PLR0913 - the contract's options
    context: typer.Context,
    *,
    workers: Workers = 1,
    concurrency: Concurrency = 8,
    handlers: Handlers = "handlers",
    only: Only = None,
    without: Except = None,
    labels: Labels = None,
    drain: Drain = False,
    grace: Grace = 30.0,
    lease: Lease = 30.0,
    poll: Poll = 1.0,
    migrate: Migrate = True,
    listen: Listen = None,
    heartbeat: HeartbeatFile = None,
    log_format: Format = "text",
    log_level: Level = "info",
    database: Databases = None,
) -> None:
    """Run the handlers on due rows until told to stop.

    At SIGTERM, Ctrl-C, SIGQUIT or SIGHUP the workers claim no more rows, handlers may finish within --grace, and the
    rest is given back. A second signal stops at once.
    """
    log.setup(log_format, log_level)
    requests.end_at_once(lambda: _leave_early(drain=drain))

    from poller.fleet.supervisor import supervise  # noqa: PLC0415 - a request to stop ends the process while it imports

    listener = listening.bound(listen) if listen else None
    options = FleetOptions(
        workers=workers,
        concurrency=concurrency,
        handlers=handlers,
        only=tuple(only or ()),
        without=tuple(without or ()),
        labels=tuple(labels or ()),
        drain=drain,
        grace=grace,
        lease=lease,
        poll=poll,
        migrate=migrate,
        log_format=log_format,
        log_level=log_level,
        alerts=alert_settings(context),
        listen=listen or None,
        heartbeat_file=heartbeat,
    )
    supervise(locations(database), options, listener)


def _leave_early(*, drain: bool) -> None:
    """End before anything was begun; a drain's work is then left."""
    emit(FleetNotBegun())
    stderr.drain()
    os._exit(int(drain))
