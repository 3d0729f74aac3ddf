"""Sends one HTTP request and follows its redirects: the part of `http` that imports httpx2.

What is refused. Unless the order says otherwise, the name is resolved here, once. If any address that
it resolves to is not public (or inside, where the order allows that for the host) the request is refused; and
the connection is made to one of the checked addresses, while the Host header, SNI and the check
of the certificate keep the name. So a name that resolves to something else a moment later (DNS rebinding)
changes nothing. Each redirect passes the same gate.

Proxies of the environment are not used, since a proxy would resolve the name again; `.netrc` is not read.
httpx2's client is left out on purpose: it logs whole URLs, whose queries may hold secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from poller.model.answers import Fail
from poller.ready_made.http.addresses import is_inside, refusal
from poller.ready_made.http.request import PLAIN
from poller.ready_made.http.retry_after import ASKING, asked_seconds

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from poller.ready_made.http.request import HttpRequest

BODY_BYTES = 2**20  # read of a body; the rest is left unread
CONNECT_SECONDS = 10.0  # for each address
LOOK_SECONDS = 0.1  # between two checks whether the request must end
CLOSING_SECONDS = 1.0  # for closing its connection then
MOST_REDIRECTS = 10

# The server names the charset, and Python has some that take for ever (idna) or are not charsets (zip).
_CHARSET = re.compile(
    r"utf-(8|16|32)|us-ascii|iso-8859-\d+|latin-?1|windows-\d+|koi8-[ru]|shift_jis|euc-(jp|kr)|gb\w+|big5",
    re.IGNORECASE,
)

# What is told of an answer that breaks off, as the library words it; its other errors quote the answer.
_BROKEN_OFF = re.compile(r"Server disconnected|peer (unexpectedly )?closed connection")

MOVED = (301, 302)
SEE_OTHER = 303


class NoAnswer(Exception):  # noqa: N818 - what happened to the request
    """The server could not be reached, or did not answer in HTTP; the text begins with its origin."""


class RedirectedAway(Fail):
    """The server leads to another host, or to what is no web address: the request does not follow."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back.

    Attributes:
        origin: scheme, host and port of the server that answered.
        status: of the last answer.
        body: its beginning, decoded, up to `BODY_BYTES`.
        more: there was more of it.
        seconds: from the beginning to here, redirects included.
        retry_after: seconds for which the server asks to be left alone.
    """

    origin: str
    status: int
    body: str
    more: bool
    seconds: float
    retry_after: float = 0.0


def send_stoppably(order: HttpRequest, timeout: float, why: Callable[[], Exception | None]) -> HttpResponse:
    """Run `send` on its own event loop, until it is done or there is a reason to end it, which is raised.

    Not by `asyncio.run`, which would wait for the thread that resolves a name.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_watched(order, timeout, why))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(_let_others_end())
        loop.close()


async def _watched(order: HttpRequest, timeout: float, why: Callable[[], Exception | None]) -> HttpResponse:  # noqa: ASYNC109
    task = asyncio.ensure_future(send(order, timeout))
    while not task.done():
        await asyncio.wait({task}, timeout=LOOK_SECONDS)
        if not task.done() and (reason := why()) is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSING_SECONDS)
            raise reason
    return task.result()


async def _let_others_end() -> None:
    """Wait for the nested generators that read a body and now close in the background."""
    await asyncio.sleep(0)  # some of them are only about to begin
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=CLOSING_SECONDS)


async def send(order: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - for each step, not for this call
    """Send a request, follow its redirects, and read the answer.

    Args:
        order: the request.
        timeout: seconds for each step: a write, a wait for more of the answer.

    Raises:
        Fail: it is refused: an address that is not public, a redirect to another host (`RedirectedAway`).
        NoAnswer: there is no answer.
    """
    started = monotonic()
    cookies = httpx2.Cookies()
    parts = urlsplit(order.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    try:
        async with _transport() as transport:
            for _ in range(MOST_REDIRECTS + 1):
                request = _request(order, cookies, timeout)
                origin = _origin(request.url)
                async with contextlib.aclosing(await _send(transport, request, order)) as response:
                    response.request = request
                    if not response.has_redirect_location or response.status_code in order.expected:
                        body, more = await _read(response) if order.wants_body else ("", True)
                        seconds, wait = monotonic() - started, _retry_after(response)
                        return HttpResponse(origin, response.status_code, body, more, seconds, wait)
                    cookies.extract_cookies(response)
                    order = _redirected(order, response)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        msg = f"{origin}: {_reason(error)}"
        raise NoAnswer(msg) from None
    msg = f"{origin}: more than {MOST_REDIRECTS} redirects"
    raise NoAnswer(msg)


def _transport() -> httpx2.AsyncHTTPTransport:
    """Return a transport that uses no connection twice: two names at one address are not one server."""
    return httpx2.AsyncHTTPTransport(verify=_trust(), limits=httpx2.Limits(max_keepalive_connections=0))


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return the trusted certificates: SSL_CERT_FILE or SSL_CERT_DIR, else the system's. Loading them is slow."""
    return httpx2.create_ssl_context()


def _request(order: HttpRequest, cookies: httpx2.Cookies, timeout: float) -> httpx2.Request:
    limits = httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
    return httpx2.Request(
        order.method,
        order.url,
        headers=order.headers,
        content=order.content,
        cookies=cookies,
        extensions={"timeout": limits.as_dict()},
    )


# --- the gate ------------------------------------------------------------------------------------------


async def _send(
    transport: httpx2.AsyncHTTPTransport, request: httpx2.Request, order: HttpRequest
) -> httpx2.Response:
    """Send a request to a checked address; to the next one if there is no connection."""
    if order.private:
        return await transport.handle_async_request(request)
    failure: Exception | None = None
    for address in await _addresses(request.url, order.inside):
        try:
            return await transport.handle_async_request(_pinned(request, address))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            failure = error
    raise failure or httpx2.ConnectError("the name has no address")


def _pinned(request: httpx2.Request, address: str) -> httpx2.Request:
    """Return the request with the address in the URL; the Host header is the name's already."""
    name = request.url.raw_host.decode("ascii")
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )


async def _addresses(url: httpx2.URL, inside: str | None) -> list[str]:
    """Resolve a name, once; refuse it if the job may not go to even one of its addresses."""
    addresses = await _resolve(url.raw_host.decode("ascii"), url.port)
    for address in addresses:
        if url.host == inside and is_inside(address):
            continue
        if (kind := refusal(address)) is not None:
            name = url.host if address == url.host else f"{url.host} resolves to {address}, which"
            msg = f"refused: {name} is {kind}; if the job may go there, give it private=True"
            raise Fail(msg)
    return addresses


async def _resolve(host: str, port: int | None) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


# --- redirects -----------------------------------------------------------------------------------------


def _redirected(order: HttpRequest, response: httpx2.Response) -> HttpRequest:
    """Return the request that a redirect asks for; the job's own headers go to its own host only."""
    here = httpx2.URL(order.url)
    try:
        there = here.join(response.headers["location"])
    except (httpx2.InvalidURL, ValueError):
        msg = f"{_origin(here)}: redirected to an address that is not valid"
        raise NoAnswer(msg) from None
    if there.scheme not in ("http", "https") or not there.host:
        msg = f"{_origin(here)}: redirected to an address that is not http"
        raise RedirectedAway(msg)
    is_same = _is_same_host(here, there)
    if not is_same and not order.any_host:
        msg = f"{_origin(here)}: redirected to {_origin(there)}; to follow it, give the job redirects='any'"
        raise RedirectedAway(msg)
    headers = {name: value for name, value in order.headers.items() if is_same or name.lower() in PLAIN}
    changed = replace(order, url=str(there), headers=headers)
    if _becomes_get(order.method, response.status_code):
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        changed = replace(changed, method="GET", content=None, headers=headers)
    return changed


def _becomes_get(method: str, status: int) -> bool:
    """As browsers do, and RFC 9110 15.4 allows."""
    return (status == SEE_OTHER and method != "HEAD") or (status in MOVED and method == "POST")


def _is_same_host(here: httpx2.URL, there: httpx2.URL) -> bool:
    """The same scheme, host and port; or from http to https on the same host, never back."""
    if here.host != there.host:
        return False
    schemes = (here.scheme, there.scheme)
    return schemes == ("http", "https") or (schemes[0] == schemes[1] and _port(here) == _port(there))


def _port(url: httpx2.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


def _origin(url: httpx2.URL) -> str:
    """Return the part of a URL that may be shown: paths and queries can hold secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


# --- the answer ----------------------------------------------------------------------------------------


def _retry_after(response: httpx2.Response) -> float:
    if response.status_code not in ASKING:
        return 0.0
    return asked_seconds(response.headers.get("retry-after"), response.headers.get("date"))


async def _read(response: httpx2.Response) -> tuple[str, bool]:
    """Read a bounded part of the body as it comes: unpacking all of it would mean trusting its size."""
    body = bytearray()
    async with contextlib.aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > BODY_BYTES:
                break
    packing = response.headers.get("content-encoding", "identity")
    if packing != "identity":
        return f"(packed by {packing})", True
    return _decode(bytes(body[:BODY_BYTES]), response.charset_encoding), len(body) > BODY_BYTES


def _decode(body: bytes, charset: str | None) -> str:
    known = charset is not None and _CHARSET.fullmatch(charset)
    try:
        return body.decode(charset if charset and known else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    """Say what went wrong, quoting neither the request nor the server, which may repeat it, secrets and all."""
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {error.strerror}"
    if isinstance(error, httpx2.InvalidURL | UnicodeError):
        return "the host name is not valid"
    if isinstance(error, httpx2.TimeoutException):
        return f"no answer in time ({type(error).__name__})"
    if isinstance(error, httpx2.LocalProtocolError):
        return "the request is no HTTP: one of its headers is not valid"
    if isinstance(error, httpx2.RemoteProtocolError | ValueError) and not _BROKEN_OFF.match(str(error)):
        return "the answer is no HTTP"
    return str(error) or type(error).__name__
