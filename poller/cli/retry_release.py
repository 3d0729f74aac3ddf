"""`poller retry` and `poller release`."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.exit_status import INTERRUPTED
from poller.cli.options import Actor, Database, Handlers, Keys
from poller.cli.progress import bar, stopped_by_interrupt

Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="TABLE[:STATUS][:KEY], or all.")]
Error = Annotated[
    str | None,
    typer.Option(
        "--error",
        metavar="TEXT",
        show_default=False,
        help="Only those with this error: its class, or class and place, as poller failures --group shows them; "
        "or a part of its text.",
    ),
]


def retry(
    selector: Selector,
    keys: Keys = None,
    *,
    error: Error = None,
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Retry rows in trouble: they are due at once.

    These are parked rows and rows that wait for another attempt; a snoozed row only if its key is named. Their attempt
    count starts over. One that still shows its handler's during goes back to the handler's status, or is left. Exits
    with 1 if there are none. What follows TABLE is a status if there is a handler for it, else a key. Rows are retried
    in batches of 1,000: Ctrl-C stops between two batches, and what is retried stays so.
    """
    with bar("retrying") as progress, stopped_by_interrupt() as stop:
        asked = client(database, actor=actor)
        done = asked.retry(selector, keys or (), error=error, progress=progress, stop=stop)
    if done.locked:
        note = f"left {render.rows(done.locked)} that another transaction has locked"
        render.say(note, err=True)
    for each in done.why:
        render.say(f"left {each}", err=True)
    if done.kept > len(done.why):
        render.say(f"left {done.kept - len(done.why):,} more", err=True)
    if done.untried:
        render.say(f"left {done.untried:,} more that were not tried one by one", err=True)
    if done.unseen:
        note = f"{render.rows(done.unseen)} could not be looked at, and may still show their handler's during"
        render.say(note, err=True)
    _say(
        f"retrying {render.rows(done.rows)}",
        is_stopped=done.stopped,
        status=int(bool(done.kept) and not done.rows),
    )


def release(  # noqa: PLR0913 - the contract's options
    selector: Selector,
    keys: Keys = None,
    *,
    error: Error = None,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Release leases by force.

    Rows in flight are taken from their workers and are due at once. The attempt counts, and its result is ignored; but
    the handler is not stopped, and may run beside the next attempt. Exits with 1 if no such row is in flight. What
    follows TABLE is a status if there is a handler for it, else a key. With --error, only rows whose previous attempt
    failed with this error.
    """
    with bar("releasing") as progress, stopped_by_interrupt() as stop:
        asked = client(database, handlers, actor=actor)
        done = asked.release(selector, keys or (), error=error, progress=progress, stop=stop)
    if done.unknown:
        names = ", ".join(done.unknown)
        note = f"{handlers} has no handler for {names}, and no definition is registered; if the handler has a during, "
        note += "its rows still show that status"
        render.say(note, err=True)
    _say(f"released {render.rows(done.rows)}", is_stopped=done.stopped)


def _say(done: str, *, is_stopped: bool, status: int = 0) -> None:
    typer.echo(f"stopped; {done}" if is_stopped else done)
    raise typer.Exit(INTERRUPTED if is_stopped else status)
