"""The guard: finds a request's line in the table of routes, and holds the viewer's rights against it.

It stands before all endpoints, so that none can forget to ask; a request without a line in the table gets no further.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as Matcher

from poller.web.answers import FORBIDDEN, NOBODY, NOT_ALLOWED, NOT_FOUND, refusal, told
from poller.web.entrances import Header, OneTimeLink, Open
from poller.web.own_threads import OwnThreads
from poller.web.rights import READING, names
from poller.web.route import SAFE
from poller.web.state import desk_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from poller.web.rights import Right, Viewer
    from poller.web.route import Route

    Invite = Callable[[Request], Response]
    Asked = Callable[[Request], Viewer | Awaitable[Viewer | None] | None]

WRONG = 400
THREADS = OwnThreads("guard")  # pages that wait for the database do not keep it from an act
READS_ONLY = "the database role of this desk may only read: it may not write poller.attempt"


def matcher(route: Route) -> Matcher:
    """Return a route as Starlette has it."""
    return Matcher(route.path, route.endpoint, methods=[route.method])


class Guard:
    """A middleware: refuses what the table does not allow."""

    def __init__(self, inner: ASGIApp, routes: Iterable[Route], authorize: Asked, invite: Invite) -> None:
        self._inner = inner
        self._invite = invite  # answers requests without a viewer
        self._lines = [(matcher(each), each) for each in routes]
        self._authorize = authorize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, and pass on any other."""
        if scope["type"] == "http":
            refused = await self._refused(scope, receive)
            await (refused or self._inner)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _refused(self, scope: Scope, receive: Receive) -> Response | None:
        """Return why a request is refused, if it is; else its viewer is known from now on."""
        found, others = self._found(scope)
        if found is None:
            return (
                _not_allowed(scope, others) if others else refusal(scope, NOT_FOUND, "there is no such page")
            )
        if b"%00" in scope["query_string"]:
            return refusal(scope, WRONG, "the address has a NUL, which no text of the database has")
        if found.right is None:
            return None
        request = Request(scope, receive)
        viewer = await self._asked(request)
        if isinstance(viewer, Response):
            return viewer
        held = await _held(request, viewer)
        if not held.may(found.right):
            is_role = viewer.may(found.right)
            return refusal(scope, FORBIDDEN, READS_ONLY if is_role else _lacking(found.right))
        request.state.viewer = held
        return None

    def _found(self, scope: Scope) -> tuple[Route | None, list[Route]]:
        """Return the line of the table for a request; and those of its path, for other methods."""
        others = []
        for made, route in self._lines:
            match _matches(made, scope):
                case Match.FULL:
                    return route, []
                case Match.PARTIAL:
                    others.append(route)
        return None, others

    async def _asked(self, request: Request) -> Viewer | Response:
        """Return the viewer; or the answer to who is none."""
        try:
            return await self._viewer(request) or self._invite(request)
        except HTTPException as error:
            return _raised(request, error)

    async def _viewer(self, request: Request) -> Viewer | None:
        if isinstance(self._authorize, Open | OneTimeLink | Header):  # they look into memory only
            return self._authorize(request)
        if inspect.iscoroutinefunction(self._authorize):
            found = self._authorize(request)
        else:
            found = await to_thread.run_sync(self._authorize, request, limiter=THREADS.limiter)  # type: ignore[arg-type] # it is called, whatever it returns
        viewer: Viewer | None = await found if inspect.isawaitable(found) else found
        return viewer


async def _held(request: Request, viewer: Viewer) -> Viewer:
    """Return a viewer with those rights that the database's role has, too."""
    if viewer.rights in READING or await to_thread.run_sync(
        desk_of(request).may_order, limiter=THREADS.limiter
    ):
        return viewer
    return replace(viewer, rights=viewer.rights & READING)


def _raised(request: Request, error: HTTPException) -> Response:
    """Return what `authorize` has raised: a redirect to the host's login, say, for which an open page loads anew."""
    if request.headers.get("hx-request") == "true" and error.status_code < WRONG:
        return refusal(request.scope, NOBODY, "log in again")
    return told(request.scope, error)


def _matches(made: Matcher, scope: Scope) -> Match:
    if scope["path"].endswith("\n"):  # before which the end of a pattern matches
        return Match.NONE
    try:
        return made.matches(scope)[0]
    except ValueError:  # a number with more digits than Python reads
        return Match.NONE


def _not_allowed(scope: Scope, others: Iterable[Route]) -> Response:
    methods = {each.method for each in others}
    answer = refusal(scope, NOT_ALLOWED, f"this can only be asked for with {', '.join(sorted(methods))}")
    answer.headers["Allow"] = ", ".join(sorted(methods | SAFE if methods & SAFE else methods))
    return answer


def _lacking(right: Right) -> str:
    return f"this needs the right {' and '.join(names(right))}"
