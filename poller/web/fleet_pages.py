"""The pages of workers, of what they hold, and of orders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
from poller.web.pages import asked, page
from poller.web.refused import no_such
from poller.web.state import desk_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = 50
HELD = 100  # rows in flight that are shown


def workers(request: Request) -> Response:
    """Show the workers, and what is in flight."""
    desk = desk_of(request)
    found = desk.shared.ask("workers", desk.client.workers)
    held = desk.shared.ask("held", lambda: desk.client.inflight(limit=HELD))
    known: list[Any] = [replace(each, heartbeat_at=None, heartbeat_age=None) for each in found.items]  # type: ignore[arg-type]
    living = [each for each in found.items if each.state != "dead"]
    dead = [each for each in found.items if each.state == "dead"]
    return page(
        request,
        "workers.html",
        known=(known, held.items),
        living=living,
        dead=dead,
        held=held,
        as_of=found.as_of,
    )


def actions(request: Request) -> Response:
    """Show the orders and who gave them, the newest first."""
    try:
        found = desk_of(request).client.actions(after=asked(request, "after"), limit=PAGE)
    except ConfigurationError as error:
        return no_such(request, str(error))
    return page(request, "actions.html", found=found, under_way=desk_of(request).under_way.now())
