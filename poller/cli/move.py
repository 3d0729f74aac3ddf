"""`poller move`."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.exit_status import INTERRUPTED
from poller.cli.options import Actor, Database, Keys
from poller.cli.progress import bar, stopped_by_interrupt

Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="TABLE:STATUS[:KEY], or TABLE:KEY.")]
Status = Annotated[str, typer.Argument(metavar="STATUS", help="The status that the rows are to have.")]


def move(
    selector: Selector, status: Status, keys: Keys = None, *, actor: Actor = None, database: Database = None
) -> None:
    """Move rows to another status by hand, a thousand at a time.

    Only rows that still show the status they are moved from. What is in flight is not stopped: its outcome is
    superseded. Their attempts are forgotten. Exits with 1 if there are no such rows. Ctrl-C stops between two
    batches; what is moved stays so. What follows TABLE is a status if the table's machine knows it, else a key.
    """
    asked = client(database, actor=actor)
    with bar(f"moving {selector}") as progress, stopped_by_interrupt() as stop:
        done = asked.move(selector, status, keys or (), progress=progress, stop=stop)
    left = (
        f"; {render.rows(done.locked)} left, since another transaction has them locked" if done.locked else ""
    )
    stopped = "stopped; " if done.stopped else ""
    render.say(f"{stopped}moved {render.rows(done.rows)} of {done.table} to {done.status}{left}")
    raise typer.Exit(INTERRUPTED if done.stopped else 0)
