"""Compresses what is sent, for browsers that take it.

Only what does not repeat anything of the request: else its length could tell whether a text that was asked for stands on
the page, too (BREACH).
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

LEVEL = 5  # of the pages: a millisecond for a large one
HEADERS = {"Content-Encoding": "gzip"}


def is_wanted(request: Request) -> bool:
    """Tell whether the answer to a request may be compressed."""
    given = request.headers.get("accept-encoding", "").replace(" ", "").split(",")
    return request.method == "GET" and not request.url.query and bool({"gzip", "gzip;q=1.0"} & set(given))


def packed(data: bytes, level: int = 9) -> bytes:
    """Return data in its compressed form, the same for the same data."""
    return gzip.compress(data, level, mtime=0)
