"""Sessions of browsers: a random cookie for each, known here by its hash only, for twelve hours.

They are kept in memory: after a restart people come in anew.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from poller.web.rights import Viewer

LASTS = 12 * 3600  # seconds
MOST = 10_000  # the oldest goes, when there are more


@dataclass(frozen=True, slots=True)
class _Session:
    viewer: Viewer
    until: float


class Sessions:
    """The sessions of one desk."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[bytes, _Session] = {}

    def begin(self, request: Request, response: Response, viewer: Viewer) -> None:
        """Give a viewer's browser its cookie."""
        value = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[_digest(value)] = _Session(viewer, self._clock() + LASTS)
        response.set_cookie(
            cookie_name(request),
            value,
            max_age=LASTS,
            path=str(request.scope.get("root_path", "")) or "/",
            secure=_is_secure(request),
            httponly=True,
            samesite="strict",
        )

    def viewer(self, request: Request) -> Viewer | None:
        """Return whose browser it is that asks, if it has a session."""
        digest = _digest(request.cookies.get(cookie_name(request), ""))
        found = self._known.get(digest)
        if found is not None and found.until < self._clock():
            self._known.pop(digest, None)
            return None
        return None if found is None else found.viewer

    def end(self, request: Request, response: Response) -> None:
        """Forget a browser's session."""
        name = cookie_name(request)
        self._known.pop(_digest(request.cookies.get(name, "")), None)
        response.delete_cookie(name, path=str(request.scope.get("root_path", "")) or "/")


def _is_secure(request: Request) -> bool:
    """Tell whether the browser speaks TLS, to the desk or to a proxy before it."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def cookie_name(request: Request) -> str:
    """Return the cookie's name: browsers send a host's cookies to all its ports, and there may be a desk at each."""
    return f"poller_desk_{(request.scope.get('server') or ('', 0))[1] or 0}"


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
