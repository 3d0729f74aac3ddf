"""The page of what is wrong with the set-up. It looks when it is asked to, never by itself: no tick renews it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from poller.web import api_hidden
from poller.web.pages import page
from poller.web.rights import Right
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SECONDS = 5.0
LASTS = 2.0  # seconds: several viewers who ask at once share an answer
_STATEMENT = re.compile(r"(create|alter|grant|drop|reset) ", re.IGNORECASE)
ORDER = ("error", "warning", "advice")


def check(request: Request) -> Response:
    """Look, and show what was found."""
    desk = desk_of(request)
    found = desk.shared.ask("check", lambda: desk.client.check_registered(seconds=SECONDS), LASTS)
    may_see = viewer_of(request).may(Right.VALUES)
    shown = [each if may_see else api_hidden.finding(each) for each in found.findings]
    lines = sorted(shown, key=lambda each: ORDER.index(each.severity))
    return page(
        request,
        "check.html",
        found=found,
        lines=[(each, bool(_STATEMENT.match(each.todo))) for each in lines],
        counts=[(name, sum(each.severity == name for each in lines)) for name in ORDER],
    )
