"""Serves the desk's own files, each under an address that has a hash of it: browsers may keep it for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from poller.web import packing
from poller.web.answers import NOT_FOUND, refusal
from poller.web.assets import KINDS, assets

if TYPE_CHECKING:
    from starlette.requests import Request

FOR_GOOD = "public, max-age=31536000, immutable"


async def static(request: Request) -> Response:
    """Return a file."""
    name = request.path_params["name"]
    found = assets().get(name)
    if found is None or found.digest != request.path_params["digest"]:
        return refusal(request.scope, NOT_FOUND, "there is no such file")
    headers, data = {"Cache-Control": FOR_GOOD, "Vary": "Accept-Encoding"}, found.data
    if packing.is_wanted(request):
        headers, data = headers | packing.HEADERS, found.packed
    return Response(data, media_type=KINDS[Path(name).suffix], headers=headers)
