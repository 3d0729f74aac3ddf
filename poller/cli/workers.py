"""`poller workers` with `drain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import Actor, AsJson, Database, refuse_options_before

if TYPE_CHECKING:
    from datetime import datetime

app = typer.Typer(invoke_without_command=True)


@app.callback()
def workers(context: typer.Context, *, as_json: AsJson = False, database: Database = None) -> None:
    """Show the worker processes of the whole fleet; drain some.

    Workers that died are shown for a day.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    page = client(database).workers()
    render.listing(
        page.items, _workers(page.as_of), as_json=as_json, empty="no workers; start some: poller run"
    )


@app.command()
def drain(
    name: Annotated[
        str, typer.Argument(metavar="HOST|ID", help="A worker's number, or a host: all workers there.")
    ],
    *,
    actor: Actor = None,
    database: Database = None,
) -> None:
    """Drain a worker, or all workers of a host, and replace none.

    They stop claiming, and end once they hold nothing. Handlers that have begun finish, however long that takes; rows
    that wait are given back. A poller run without any worker left ends with 0. A worker that is stopped or cut off
    drains once it comes back. A name of digits alone is a worker's number. Exits with 1 if no such worker is alive.
    """
    for each in client(database, actor=actor).drain(name):
        holds = (
            f"ends with the {render.rows(each.in_flight)} in its hand" if each.in_flight else "holds nothing"
        )
        lapsed = "; its heartbeat has lapsed: it drains if it comes back" if each.has_lapsed else ""
        render.say(f"draining worker {each.worker} ({each.host}, pid {each.pid}): {holds}{lapsed}")


def _workers(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("id", lambda line: str(line.id), right=True),
        render.ListingColumn("host", lambda line: line.host, roomy=True),
        render.ListingColumn("pid", lambda line: str(line.pid), right=True),
        render.ListingColumn("state", lambda line: line.state),
        render.ListingColumn("slots", lambda line: line.slots, right=True),
        render.ListingColumn("in flight", lambda line: line.in_flight, right=True),
        render.ListingColumn("heartbeat", lambda line: render.since(line.heartbeat_at, now)),
        render.ListingColumn("started", lambda line: render.clock(line.started_at)),
    )
