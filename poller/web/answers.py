"""Answers that are no pages of the desk's: JSON, and refusals in the form that the asker reads."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from poller.web.rendering import part
from poller.web.route import API, path_of

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.types import Scope

PROBLEM = "application/problem+json"  # RFC 9457
NOBODY, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, MISDIRECTED = 401, 403, 404, 405, 421
BROKEN, UNAVAILABLE = 500, 503


def encoded(value: Any, status: int = 200, kind: str = "application/json") -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type=kind)


def refusal(scope: Scope, status: int, detail: str) -> Response:
    """Return a refusal: a problem for programs, a page for people."""
    title = HTTPStatus(status).phrase
    if path_of(scope).startswith(API):
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        answer = encoded(problem, status, PROBLEM)
        if status == NOBODY:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    text = part("refusal.html", scope, status=status, title=title, detail=detail)
    return Response(text, status, media_type="text/html")


def told(scope: Scope, error: HTTPException) -> Response:
    """Return a refusal that was raised, with its headers."""
    answer = refusal(scope, error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer
