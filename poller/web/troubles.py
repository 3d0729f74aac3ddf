"""The page of trouble: its causes, and the rows of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.web.causes import told
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = 50  # rows
LASTS = 10.0  # seconds that the causes are shown before they are asked for again


def trouble(request: Request) -> Response:
    """Show what fails, by its causes; of a table or a cause also the rows."""
    table, status = asked(request, "table"), request.query_params.get("status")  # which may be the empty one
    error, place = asked(request, "error"), asked(request, "place")
    seen = desk_of(request).snapshot.seen()
    client, shared = desk_of(request).client, desk_of(request).shared
    selector = "all" if table is None else table if status is None else f"{table}:{status}"
    try:
        groups = shared.ask(("groups", selector), lambda: client.failure_groups(selector), LASTS)
        found = client.failures(selector, after=asked(request, "after"), limit=PAGE) if table else None
    except (NothingSelectedError, ConfigurationError) as wrong:
        return no_such(request, str(wrong))
    may_see = viewer_of(request).may(Right.VALUES)
    shown = [
        each
        for each in (found.items if found else ())
        if error is None
        or (each.kind or (each.error if may_see else None), each.place or "") == (error, place or "")
    ]
    chosen = [
        each
        for each in told(groups.items, may_see)
        if error is None or (each.error, each.place) == (error, place or "")
    ]
    return page(
        request,
        "trouble.html",
        known=(seen.fault, groups.items, groups.exact, shown),
        every=5 if table else 10,
        groups=groups,
        chosen=chosen,
        shown=shown,
        found=found,
        given={"table": table, "status": status, "error": error, "place": place},
    )
