"""A route of the desk: a line of the one table that pages, API, middleware and tests read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from poller.web.rights import Right

SAFE = frozenset({"GET", "HEAD"})  # they change nothing
API = "/api/"  # what begins so is answered in JSON, errors too


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        method: GET, which brings HEAD along, or POST.
        path: as Starlette has it: `/runs/{id:int}`.
        right: what the viewer needs; None for a route that is open to all who pass the doors.
        endpoint: returns the response; a coroutine function is awaited, any other is called on a thread.
    """

    method: str
    path: str
    right: Right | None
    endpoint: Callable[[Request], Response | Awaitable[Response]]

    @property
    def is_safe(self) -> bool:
        """It changes nothing."""
        return self.method in SAFE


def path_of(scope: Scope) -> str:
    """Return a request's path within the desk, wherever that is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
