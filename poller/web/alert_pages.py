"""The page of alerts: what goes wrong, what was told of it, and what is silenced."""

from __future__ import annotations

from dataclasses import replace
from heapq import nlargest
from typing import TYPE_CHECKING

from poller.web.act import SILENCES
from poller.web.api_hidden import episode
from poller.web.pages import page
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST = 100  # episodes that are shown
NOTICES = 20
EVERY = 5  # seconds between two looks


def alerts(request: Request) -> Response:
    """Show open episodes, what was over within a day, the last notices, and the silences that hold."""
    desk = desk_of(request)
    found = desk.shared.ask("alerts", desk.client.alerts)
    silences = desk.shared.ask("silences", desk.client.silences)
    if not viewer_of(request).may(Right.VALUES):
        found = replace(found, items=tuple(map(episode, found.items)))
    told = ((each, notice) for each in found.items for notice in each.notices)
    return page(
        request,
        "alerts.html",
        known=(found.items, silences.items, f"{found.as_of:%H:%M}"),
        every=EVERY,
        found=found.items[:MOST],
        more=len(found.items) - MOST,
        told=nlargest(NOTICES, told, key=lambda pair: pair[1].at),
        silences=silences.items,
        durations=SILENCES,
        as_of=found.as_of,
    )
