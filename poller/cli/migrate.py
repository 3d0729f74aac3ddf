"""`poller migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.cli import render
from poller.cli.options import Database, Handlers, connected, loaded, place

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
    from poller.client.triggers import add_triggers  # noqa: PLC0415 - `--help` is not to wait for it
    from poller.db import schema  # noqa: PLC0415 - as above

    if print_sql:
        schema.print_sql(to)
        return
    found = loaded(handlers) if triggers else []
    where = place(database, starts=True)
    with connected(where, migrated=False) as connection:
        before = schema.migrate(where.url, to)
        after = schema.version(connection)
        was = "" if before == after else f" (was: {before or 'none'})"
        typer.echo(f"poller's schema is at {after}{was}")
        for table in add_triggers(connection, found):
            render.say(f"{table} wakes the workers")
