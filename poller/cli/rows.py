"""`poller retry` and `poller release`."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.cli import render
from poller.cli.asking import client
from poller.cli.options import Actor, Database, Handlers, Keys

Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="TABLE[:STATUS][:KEY], or all.")]


def retry(selector: Selector, keys: Keys = None, *, actor: Actor = None, database: Database = None) -> None:
    """Put rows in trouble back, due at once.

    These are parked rows and rows that wait for another attempt; a snoozed row only if its key is named.
    They have all their attempts before them. Exits with 1 if there are none. What follows TABLE is a status
    if there is a handler for it, else a key.
    """
    done = client(database, actor=actor).retry(selector, keys or ())
    typer.echo(f"put back {render.rows(done.rows)}")


def release(
    selector: Selector,
    keys: Keys = None,
    *,
    handlers: Handlers = "handlers",
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Give up leases by force.

    Rows in flight are taken from their workers, and are due at once. The attempt counts, and what its worker
    still answers is ignored; but its handler is not stopped, and may run beside the next attempt. Exits with
    1 if no such row is in flight. What follows TABLE is a status if there is a handler for it, else a key.
    """
    done = client(database, handlers, actor=actor).release(selector, keys or ())
    if done.unknown:
        names = ", ".join(done.unknown)
        note = f"{handlers} has no handler for {names}: if it has a during, that status was left as it is"
        render.say(note, err=True)
    typer.echo(f"released {render.rows(done.rows)}")
