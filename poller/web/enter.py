"""The pages to log in and out: the one-time link, and the form for name and password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from poller.web.answers import NOBODY, NOT_FOUND, refusal
from poller.web.entrances import Accounts, OneTimeLink, address_of
from poller.web.forms import form_of
from poller.web.rendering import SECONDS, SWITCH, THEMES, ZONES, part
from poller.web.route import API, SAFE, path_of
from poller.web.state import desk_of

if TYPE_CHECKING:
    from starlette.requests import Request

SEE_OTHER = 303
HOME = "/"
UNKNOWN = (
    "This name and password are not known here, or were tried too often. Wait a minute after five tries."
)
KEPT = 365 * 86400  # seconds


def invite(entrance: object, request: Request) -> Response:
    """Return the answer to a request without a viewer: how to log in."""
    if (
        isinstance(entrance, Accounts)
        and request.headers.get("hx-request") != "true"  # the page loads itself, then
        and not path_of(request.scope).startswith(API)
    ):
        if request.method not in SAFE:
            return _form(request, HOME, NOBODY, "You are not logged in any more, and nothing was done.")
        return _see(request, f"/login?{urlencode({'next': _target(request)})}")
    if isinstance(entrance, OneTimeLink):
        entrance.show()
        return refusal(
            request.scope,
            NOBODY,
            "open the link that stands in the desk's terminal; it is good once, for a minute",
        )
    return refusal(request.scope, NOBODY, "the desk does not know who you are")


def enter(request: Request) -> Response:
    """Let in the browser that has the one-time link, and redirect it to an address without the token."""
    entrance = desk_of(request).entrance
    if not isinstance(entrance, OneTimeLink):
        return refusal(request.scope, NOT_FOUND, "there is no such page")
    if request.method == "HEAD":  # of what looks at links beforehand, which is not to use it up
        return Response()
    viewer = entrance.redeem(request.query_params.get("token", ""))
    if viewer is None:
        return invite(entrance, request)
    response = _see(request, HOME)
    entrance.sessions.begin(request, response, viewer)
    return response


def login(request: Request) -> Response:
    """Show the form of name and password."""
    if not isinstance(desk_of(request).entrance, Accounts):
        return refusal(request.scope, NOT_FOUND, "there is no such page")
    return _form(request, local(request.query_params.get("next", HOME)))


async def log_in(request: Request) -> Response:
    """Log in with a name and a password."""
    entrance = desk_of(request).entrance
    if not isinstance(entrance, Accounts):
        return refusal(request.scope, NOT_FOUND, "there is no such page")
    form = await form_of(request)
    given = form.get("name", ""), form.get("password", ""), address_of(request)
    viewer = await run_in_threadpool(entrance.login, *given)
    target = local(form.get("next", HOME))
    if viewer is None:
        return _form(request, target, NOBODY, UNKNOWN)
    response = _see(request, target)
    entrance.sessions.begin(request, response, viewer)
    return response


def log_out(request: Request) -> Response:
    """End the browser's session."""
    entrance = desk_of(request).entrance
    response = _see(request, HOME)
    if isinstance(entrance, Accounts | OneTimeLink):
        entrance.sessions.end(request, response)
    return response


def local(target: str) -> str:
    """Return the path of the desk to redirect to; the home page, if the given path may lead elsewhere.

    >>> local("/rows?table=orders"), local("//evil.example/"), local("https://evil.example/")
    ('/rows?table=orders', '/', '/')
    """
    is_path = target.startswith("/") and target[1:2] not in {"/", "\\"} and target.isprintable()
    return target if is_path else HOME


async def display(request: Request) -> Response:
    """Keep the display settings in cookies of the browser; the database is not asked."""
    form = await form_of(request)
    response = _see(request, local(form.get("next", HOME)))
    for name, known in (("theme", THEMES), ("zone", ZONES), ("refresh", SECONDS), ("keys", SWITCH)):
        if form.get(name) in known:
            path = str(request.scope.get("root_path", "")) or HOME
            response.set_cookie(
                f"poller_{name}", form[name], KEPT, path=path, samesite="strict", httponly=True
            )
    return response


def _form(request: Request, target: str, status: int = 200, why: str | None = None) -> Response:
    text = part("login.html", request.scope, next=target, why=why)
    return Response(text, status, media_type="text/html")


def _target(request: Request) -> str:
    query = request.url.query
    return path_of(request.scope) + (f"?{query}" if query else "")


def _see(request: Request, path: str) -> Response:
    return RedirectResponse(str(request.scope.get("root_path", "")) + path, SEE_OTHER)
