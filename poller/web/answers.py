"""Answers that are not pages: JSON, and refusals in the form that the asker reads."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import PlainTextResponse, Response

from poller.web.route import API, path_of

if TYPE_CHECKING:
    from starlette.types import Scope

PROBLEM = "application/problem+json"  # RFC 9457


def encoded(value: Any, status: int = 200, kind: str = "application/json") -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type=kind)


def refusal(scope: Scope, status: int, detail: str) -> Response:
    """Return a refusal: a problem for programs, a line of text for people."""
    if path_of(scope).startswith(API):
        title = HTTPStatus(status).phrase
        return encoded(
            {"type": "about:blank", "title": title, "status": status, "detail": detail}, status, PROBLEM
        )
    return PlainTextResponse(f"{detail}\n", status)
