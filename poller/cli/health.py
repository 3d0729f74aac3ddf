"""`poller health`."""

from __future__ import annotations

import typer

from poller.cli.options import HeartbeatFile
from poller.cli.probe import fault
from poller.telemetry import heartbeat_file


def health(*, heartbeat: HeartbeatFile = None) -> None:
    """Exit with 0 while this folder's poller run works, else with 1.

    Neither the database nor the handlers are looked at: it is for probes that may restart what they find dead.
    """
    wrong = fault(heartbeat_file.path(heartbeat))
    if wrong is not None:
        typer.echo(wrong, err=True)
        raise typer.Exit(1)
