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
    """Put rows in trouble back, due at once.

    These are parked rows and rows that wait for another attempt; a snoozed row only if its key is named.
    They have all their attempts before them. Exits with 1 if there are none. What follows TABLE is a status
    if there is a handler for it, else a key. It is done in batches of 1,000 rows: Ctrl-C stops between two of them,
    and what is put back stays so.
    """
    with bar("putting back") as progress, stopped_by_interrupt() as stop:
        asked = client(database, actor=actor)
        done = asked.retry(selector, keys or (), error=error, progress=progress, stop=stop)
    if done.locked:
        note = f"left {render.rows(done.locked)} that another transaction has locked"
        render.say(note, err=True)
    _say(f"put back {render.rows(done.rows)}", is_stopped=done.stopped)


def release(  # noqa: PLR0913 - the contract's options
    selector: Selector,
    keys: Keys = None,
    *,
    error: Error = None,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Give up leases by force.

    Rows in flight are taken from their workers, and are due at once. The attempt counts, and what its worker
    still answers is ignored; but its handler is not stopped, and may run beside the next attempt. Exits with
    1 if no such row is in flight. What follows TABLE is a status if there is a handler for it, else a key.
    With --error: those that an attempt before has failed at so.
    """
    with bar("releasing") as progress, stopped_by_interrupt() as stop:
        asked = client(database, handlers, actor=actor)
        done = asked.release(selector, keys or (), error=error, progress=progress, stop=stop)
    if done.unknown:
        names = ", ".join(done.unknown)
        note = f"{handlers} has no handler for {names}: if it has a during, that status was left as it is"
        render.say(note, err=True)
    _say(f"released {render.rows(done.rows)}", is_stopped=done.stopped)


def _say(done: str, *, is_stopped: bool) -> None:
    typer.echo(f"stopped; {done}" if is_stopped else done)
    raise typer.Exit(INTERRUPTED if is_stopped else 0)
