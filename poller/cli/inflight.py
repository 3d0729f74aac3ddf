"""`poller inflight`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.cli import render
from poller.cli.command_client import client
from poller.cli.options import After, AsJson, Database, Limit, Selector, most, say_if_cut

if TYPE_CHECKING:
    from datetime import datetime


def inflight(
    selector: Selector = "all",
    *,
    limit: Limit = None,
    after: After = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show the rows in flight: by which worker, and since when.

    Rows that have been in flight for longest come first. What follows TABLE is a status if there is a handler for it,
    else a key.
    """
    page = client(database).inflight(selector, after=after, limit=most(limit, as_json=as_json))
    render.listing(page.items, _columns(page.as_of), as_json=as_json, empty="nothing is in flight")
    say_if_cut(page, as_json=as_json)


def _columns(now: datetime) -> tuple[render.ListingColumn, ...]:
    return (
        render.ListingColumn("table", lambda line: line.table, roomy=True),
        render.ListingColumn("status", lambda line: line.status),
        render.ListingColumn("key", lambda line: line.key, roomy=True),
        render.ListingColumn("worker", lambda line: str(line.worker), right=True),
        render.ListingColumn("since", lambda line: render.since(line.since, now)),
    )
