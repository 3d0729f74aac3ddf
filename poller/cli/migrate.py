"""`poller migrate`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client_of, location
from poller.cli.options import Database, Handlers
from poller.lazy import lazy

if TYPE_CHECKING:
    from poller.client import known_handlers as registered
    from poller.db import connection, migration, schema, upgrade
else:  # the help does not wait for them
    registered = lazy("poller.client.known_handlers")
    connection = lazy("poller.db.connection")
    migration = lazy("poller.db.migration")
    schema = lazy("poller.db.schema")
    upgrade = lazy("poller.db.upgrade")

Print = Annotated[bool, typer.Option("--sql", help="Print the statements instead of executing them.")]
To = Annotated[str, typer.Option("--to", metavar="REV", help="The revision to go to.")]
Triggers = Annotated[
    bool,
    typer.Option("--triggers", help="Also add a trigger to each handler's table that wakes the workers."),
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
        upgrade.print_sql(to)
        return
    known = registered.required(handlers) if triggers else None
    where = location(database, starts=True)
    with contextlib.closing(connection.reachable(where, statement_timeout="0")) as opened:
        before = migration.migrate(where.url, to)
        after = schema.version(opened)
    was = "" if before == after else f" (was: {before or 'none'})"
    typer.echo(f"poller's schema is at {after}{was}")
    if known is not None:
        for table in client_of(where, known).add_triggers():
            render.say(f"added a trigger to {table} that wakes the workers")
