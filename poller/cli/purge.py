"""`poller purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.exit_status import INTERRUPTED
from poller.cli.options import Actor, AsJson, Database, Handlers, duration
from poller.cli.progress import bar, stopped_by_interrupt
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from poller.client.purge import Counted, Purged, PurgeOptions

Table = Annotated[str, typer.Argument(metavar="TABLE", help="With or without its schema.")]
Column = Annotated[
    str | None,
    typer.Option(
        "--column", metavar="C", show_default=False, help="The timestamp or date that tells a row's age."
    ),
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How old a row must be: 180d.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="SQL", show_default=False, help="A further condition on its columns."),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", metavar="N", show_default=False, help="How many rows at a time.  [default: 1000]"
    ),
]
Pause = Annotated[
    float | None,
    typer.Option(
        "--pause",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long to wait between two batches.  [default: 50ms]",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the rows, and name the partitions.")]


def purge(  # noqa: PLR0913 - the contract's options
    table: Table,
    *,
    column: Column = None,
    older_than: OlderThan = None,
    where: Where = None,
    batch: Batch = None,
    pause: Pause = None,
    dry_run: DryRun = False,
    handlers: Handlers = "handlers",
    as_json: AsJson = False,
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Delete the old rows of a table, once, while others use it.

    If your handlers package declares a purge of TABLE, its options are the defaults; otherwise --column and
    --older-than are needed. Rows that other sessions have locked are left; rows that foreign keys need are kept. Ctrl-C
    stops between two batches; what is deleted stays so, and the next purge deletes the rest.
    """
    asked = client(database, handlers, actor=actor)
    rule: PurgeOptions = {
        "column": column,
        "older_than": older_than,
        "where": where,
        "batch": batch,
        "pause": pause,
    }
    if dry_run:
        _print_counted(asked.count_purge(table, **rule), as_json=as_json)
        return
    with bar(f"purging {table}") as progress, stopped_by_interrupt() as stop:
        done = asked.purge(table, **rule, progress=progress, stop=stop)
    _print(done, as_json=as_json)
    raise typer.Exit(INTERRUPTED if done.stopped else 0)


def _print_counted(counted: Counted, *, as_json: bool) -> None:
    if as_json:
        typer.echo(render.as_array([counted], indent=2))
        return
    among = f", all those of {', '.join(counted.partitions)} among them" if counted.partitions else ""
    kept = "".join(f"; would keep {render.rows(many)} that {key} needs" for key, many in counted.kept.items())
    typer.echo(
        f"would delete {render.rows(counted.rows)} of {counted.table}{one_line(among)}{one_line(kept)}"
    )


def _print(done: Purged, *, as_json: bool) -> None:
    if as_json:
        typer.echo(render.as_array([done], indent=2))
    else:
        typer.echo(one_line(f"stopped; {done.line}" if done.stopped else done.line))
