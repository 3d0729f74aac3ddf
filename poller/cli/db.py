"""`poller db`: the embedded Postgres of the working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import typer

from poller.db import embedded

app = typer.Typer(help="The embedded Postgres of this folder.", no_args_is_help=True)


@app.command()
def start() -> None:
    """Start it if it is not running, leave it running, and print its URL."""
    typer.echo(embedded.start(Path.cwd()))


@app.command()
def stop() -> None:
    """Stop it, even while it is in use; the data stay."""
    typer.echo("stopped" if embedded.stop(Path.cwd()) else "the embedded Postgres was not running")


@app.command()
def url() -> None:
    """Print its URL; exit with 1 if it is not running."""
    found = embedded.running(Path.cwd())
    if found is None:
        typer.echo("the embedded Postgres is not running; start it: poller db start", err=True)
        raise typer.Exit(1)
    typer.echo(found)


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def psql(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="Passed on to psql.")] = None,
) -> None:
    """Open psql on it, and start it if needed; all arguments go to psql."""
    address = urlsplit(embedded.start(Path.cwd()))
    host, port = (parse_qs(address.query)[name][0] for name in ("host", "port"))
    # By environment, not as an argument: a database that is named after it would be taken for a user.
    ours = {"PGHOST": host, "PGPORT": port, "PGUSER": "postgres", "PGDATABASE": "postgres"}
    rest = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = ["psql", *(arguments or [])]
    os.execve(embedded.psql_path(), command, rest | ours)  # noqa: S606 - no shell is wanted
