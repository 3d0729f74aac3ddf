"""`poller check`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from poller.cli import hints, render
from poller.cli.alert_settings import alert_settings
from poller.cli.command_client import client_of, location
from poller.cli.options import AsJson, Database, Handlers
from poller.lazy import lazy
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.client import known_handlers as registered
    from poller.client.checks import Finding
    from poller.targets import checking as alert_checks
else:
    alert_checks = lazy("poller.targets.checking")
    registered = lazy("poller.client.known_handlers")

COLOURS = {"error": "red", "warning": "yellow", "advice": "blue"}


def check(
    context: typer.Context,
    *,
    handlers: Handlers = "handlers",
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Check the handlers and jobs against the database.

    Lists all errors and suggestions, each with what to do about it. Exits with 1 if there are errors.
    """
    settings = alert_settings(context)
    known = registered.required(handlers)
    alert_checks.refuse_unknown(settings, known.handlers, known.jobs)
    found = client_of(location(database), known).check().items
    findings = [replace(each, todo=hints.todo_of(each)) for each in found]
    if as_json:
        typer.echo(render.as_array(findings, indent=2))
    else:
        _print(findings)
    raise typer.Exit(int(any(each.severity == "error" for each in findings)))


def _print(findings: Sequence[Finding]) -> None:
    for each in findings:
        mark = typer.style(each.severity, fg=COLOURS[each.severity], bold=True)
        typer.echo(f"{mark}: {render.near(one_line(each.where))}: {one_line(each.what)}")
        if each.todo:
            typer.echo(f"    {one_line(each.todo)}")
    typer.echo(_sum(findings))


def _sum(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each severity."""
    counts = {name: sum(each.severity == name for each in findings) for name in COLOURS}
    errors, warnings, advice = counts.values()
    if not findings:
        return "no problems found"
    parts = ((errors, "error"), (warnings, "warning"), (advice, "suggestion"))
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in parts)
