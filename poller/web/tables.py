"""The pages of users' tables: the rows of a status, and one row with what happened to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from poller.client.refusals import NothingSelectedError
from poller.client.selector import is_spelled
from poller.errors import ConfigurationError, PollerError
from poller.web.faults import Refused
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.rendering import address
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.client.client import Client
    from poller.client.explain import ClaimExplained, RowExplained
    from poller.client.listed import RowShown
    from poller.client.row_queries import HistoryEvent

PAGE = 50  # rows
EVENTS = 50
BACK = "1d"  # how far events are looked for with the page of a row
FURTHER = ("30d", BACK)  # and beside it; the second, if the first takes too long


def rows(request: Request) -> Response:
    """Show the rows of a table that have a status."""
    table, status = asked(request, "table"), request.query_params.get("status")  # which may be empty
    if table is None or status is None:
        return no_such(request, "name a table and a status")
    by, value = asked(request, "by"), request.query_params.get("is", "")
    given: dict[str, Any] = {"table": table, "status": status, "column": asked(request, "column")}
    where = None if by is None else (by, value)
    try:
        listed, found = desk_of(request).client.listed(
            table,
            status,
            column=given["column"],
            show=show_of(request, table),
            where=where,
            after=asked(request, "after"),
            before=asked(request, "before"),
            limit=PAGE,
        )
    except NothingSelectedError as error:
        return no_such(request, str(error))
    except ConfigurationError as error:
        return page(
            request,
            "rows.html",
            refused=str(error),
            listed=None,
            found=None,
            targets=(),
            where=where,
            **given,
        )
    given["table"] = listed.table
    targets = _targets(request, listed.table, listed.column, status)
    return page(
        request,
        "rows.html",
        known=(listed, found.next),
        every=5,
        refused=None,
        listed=listed,
        found=found,
        targets=targets,
        where=where,
        **given,
    )


def row(request: Request) -> Response:
    """Show a row: its columns, why it is not being worked on, and what happened to it.

    All moves of the table are looked through for those of the row. So a browser asks for those of more than a day
    after it has shown the page, and gets their part of it alone.
    """
    table, key = asked(request, "table"), request.query_params.get("key")  # which may be empty
    if table is None or key is None:
        return no_such(request, "name a table and a key")
    looks = FURTHER if asked(request, "back") == FURTHER[0] else (BACK,)
    if looks is FURTHER and request.headers.get("hx-request") == "true":
        return _further(request, table, key)
    try:
        with desk_of(request).client.together() as client:
            shown = client.row(table, key, show=show_of(request, table))
            back, events = _history(client, shown.table, shown.key, looks)
            taken = _taken(request, shown.table)
            status = next((each for each in shown.statuses.values() if each in taken), None)
            why = _why(client, shown, status)
    except (NothingSelectedError, ConfigurationError) as error:
        return no_such(request, str(error))
    moves = [
        (column, value, _targets(request, shown.table, column, value))
        for column, value in shown.statuses.items()
        if value is not None
    ]
    return page(
        request,
        "row.html",
        shown=shown,
        events=events[::-1],
        back=back,
        further=None if looks is FURTHER else _address(request, shown.table, shown.key),
        why=why,
        status=status,
        moves=moves,
    )


def _why(client: Client, shown: RowShown, status: str | None) -> RowExplained | ClaimExplained | None:
    """Return why a row is not being worked on; None if that cannot be told: the rest of the page is worth something."""
    if status is not None:
        with contextlib.suppress(PollerError, Refused):
            return client.explain(f"{shown.table}:{status}", shown.key)
    return None


def _further(request: Request, table: str, key: str) -> Response:
    """Show what happened to a row in a month: the part of its page."""
    try:
        back, events = _history(desk_of(request).client, table, key, FURTHER)
    except ConfigurationError as error:
        return no_such(request, str(error))
    return page(request, "history.html", back=back, events=events[::-1], further=None)


def _address(request: Request, table: str, key: str) -> str:
    root = str(request.scope.get("root_path", ""))
    return address(root, "/row", table=table, key=key, back=FURTHER[0])


def _history(
    client: Client, table: str, key: str, looks: Sequence[str]
) -> tuple[str, tuple[HistoryEvent, ...]]:
    """Return what happened to a row, and how far back that was looked for: as far as there is time for."""
    for back in looks:
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            try:
                return back, client.history(table, key, back=back, limit=EVENTS).items
            except NothingSelectedError:
                return back, ()
    return "", ()


def show_of(request: Request, table: str) -> Callable[[str], bool]:
    """Return which columns the viewer sees of a table: by its full name, however it was spelled."""
    if not viewer_of(request).may(Right.VALUES):
        return lambda _: False
    overview = desk_of(request).snapshot.seen().overview
    known = {each.machine.table for each in (overview.machines if overview else ())}
    meant = [each for each in known if is_spelled(each, table)]
    return desk_of(request).show.of(meant[0]) if len(meant) == 1 else lambda _: False


def _targets(request: Request, table: str, column: str | None, status: str | None) -> list[str]:
    """Return the statuses of a machine that a row may be moved to, as the snapshot knows them."""
    overview = desk_of(request).snapshot.seen().overview
    return [
        node.status
        for each in (overview.machines if overview else ())
        if each.machine.table == table and column in {None, each.machine.column}
        for node in each.machine.statuses
        if node.status != status
    ]


def _taken(request: Request, table: str) -> set[str]:
    """Return the statuses of a table that handlers take."""
    overview = desk_of(request).snapshot.seen().overview
    machines = [each for each in (overview.machines if overview else ()) if each.machine.table == table]
    return {each.status for machine in machines for each in machine.handlers}
