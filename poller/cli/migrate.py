"""`poller migrate`."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from poller.cli import render
from poller.cli.asking import VIA, person, place
from poller.cli.options import Database, Handlers
from poller.client.client import Client
from poller.client.handlers import required
from poller.db import schema
from poller.db.connection import reachable

Print = Annotated[bool, typer.Option("--sql", help="Print the statements instead of executing them.")]
To = Annotated[str, typer.Option("--to", metavar="REV", help="The revision to go to.")]
Triggers = Annotated[
    bool,
    typer.Option(
        "--triggers", help="Also have the handlers' tables wake the workers, by a trigger on each of them."
    ),
]


def migrate(
    *,
    print_sql: Print = False,
    to: To = "head",
    triggers: Triggers = False,
    handlers: Handlers = "handlers",
    database: Database = None,
) -> None:
    """Bring poller's own schema up to date. Your tables are not touched without --triggers."""
    if print_sql:
        schema.print_sql(to)
        return
    known = required(handlers) if triggers else None
    where = place(database, starts=True)
    with contextlib.closing(reachable(where, statement_timeout="0")) as connection:
        before = schema.migrate(where.url, to)
        after = schema.version(connection)
    was = "" if before == after else f" (was: {before or 'none'})"
    typer.echo(f"poller's schema is at {after}{was}")
    if known is not None:
        for table in Client(where, known, via=VIA, person=person()).add_triggers():
            render.say(f"{table} wakes the workers")
