"""The doors: the checks that every request passes first, whatever its route.

1. `Host` must be a name that the desk is known by. A page of another site whose name was made to resolve to this
   host (DNS rebinding) is of one origin with the desk for the browser, and would get in with its cookies; but
   the request says which name was asked for, and scripts cannot change that.
2. A request that may change something must come from the desk's own pages: browsers say so in `Sec-Fetch-Site`, or, over
   plain HTTP from elsewhere than this host, in `Origin`. What says neither is not a browser, and needs a bearer token.
3. Where it is: under the path that a proxy names, if that is trusted.
4. Each response that can be shown, errors included, carries headers that allow no script, style, frame or request but
   the desk's own.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from poller.errors import ConfigurationError
from poller.web.answers import FORBIDDEN, MISDIRECTED, refusal
from poller.web.proxies import placed
from poller.web.route import SAFE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from poller.web.proxies import Network

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

WRONG = 400
IPV6 = 6
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
NOT_MODIFIED = 304
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?")


class Doors:
    """An ASGI application in front of the desk's.

    Raises:
        ConfigurationError: an allowed host is none that a browser could name.
    """

    def __init__(
        self, inner: ASGIApp, allowed_hosts: Iterable[str] = (), proxies: Iterable[Network] = ()
    ) -> None:
        self._inner = inner
        self._proxies = tuple(proxies)
        self._hosts = LOOPBACK | {_allowed(each) for each in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            refused: Response | None
            try:
                scope = placed(scope, self._proxies)
            except ValueError as error:
                refused = refusal(scope, WRONG, str(error))
            else:
                refused = self._refused(scope)
            await (refused or self._inner)(scope, receive, _with_headers(send))
        else:
            await self._inner(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_known(scope, headers):
            return refusal(
                scope, MISDIRECTED, "the desk is not known by this name; it has to be an allowed host"
            )
        if scope["method"] not in SAFE and not is_own(scope, headers):
            return refusal(scope, FORBIDDEN, "this request does not come from a page of the desk")
        return None

    def _is_known(self, scope: Scope, headers: Headers) -> bool:
        """Tell whether a request's one `Host` is a name of the desk; its target is a path, and no URL of a proxy's."""
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or not str(scope["path"]).startswith("/"):
            return False
        return found[1].lower() in self._hosts or _is_address(found[1], scope)


def is_own(scope: Scope, headers: Headers) -> bool:
    """Tell whether a request comes from the desk's own pages, or from a program that has a token."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if sites:
        return sites == ["same-origin"]
    if origins:
        return origins == [f"{scope['scheme']}://{headers['host']}"]
    return is_bearer(headers)


def is_bearer(headers: Headers) -> bool:
    """Tell whether a request brings a token, which no browser does by itself."""
    return headers.get("authorization", "").lower().startswith("bearer ")


def _is_address(host: str, scope: Scope) -> bool:
    """Tell whether a host is the very address at which the server has got the request."""
    server = scope.get("server")
    try:
        return server is not None and ipaddress.ip_address(host.strip("[]")) == _address(server[0])
    except ValueError:  # one of them is a name, or a socket's path
        return False


def _address(text: str) -> Address:
    """Return an address without its interface; one of IPv4 as such, though the server listens for both kinds."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _allowed(given: str) -> str:
    """Return an allowed host as browsers name it.

    Raises:
        ConfigurationError: none would.
    """
    name = given.lower()
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name.strip("[]"))
        return f"[{address}]" if address.version == IPV6 else str(address)
    found = _HOST.fullmatch(name)
    if found is None or found[2] is not None:
        msg = f"an allowed host is a name without scheme and port, such as shop.example, got {given!r}"
        raise ConfigurationError(msg)
    return name


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if (
                message["status"] != NOT_MODIFIED
            ):  # which has nothing to be shown; a page asks every two seconds
                headers.update(HEADERS)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
