"""The pages for refusals, in the desk's frame for a known viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.web.answers import NOT_FOUND
from poller.web.pages import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def no_such(request: Request, detail: str, code: int = NOT_FOUND) -> Response:
    """Return the page that says what does not exist."""
    return page(
        request,
        "refusal.html",
        code=code,
        title="Not found" if code == NOT_FOUND else "Not valid",
        detail=detail,
    )
