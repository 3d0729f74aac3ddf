"""Builds a job's HTTP request, and checks all that needs no network."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit

from poller.errors import ConfigurationError
from poller.ready_made.http.addresses import is_inside, is_plain, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

Redirects = Literal["same-host", "any"]

SHORTEST_SECRET_CHARACTERS = 6  # characters; shorter secrets also occur in texts by chance

LONGEST_LABEL_CHARACTERS = 63  # RFC 1035 2.3.4

# Headers that do not identify the sender.
PLAIN = {"accept", "accept-encoding", "content-type", "user-agent"}

_DEFAULTS = {"User-Agent": "poller", "Accept": "*/*", "Accept-Encoding": "identity"}
# Names that do not exist in public: RFC 6761, 6762, 8375; ICANN's .internal; of one label; and by custom.
_THIS_HOST = re.compile(r"(.+\.)?localhost\.?")
_INSIDE = re.compile(
    rf"{_THIS_HOST.pattern}|[^.]+|.+\.(internal|local|lan|home\.arpa|intranet|corp|private|test|svc)\.?"
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, checked.

    Attributes:
        method: in capitals.
        url: without userinfo, which is a header.
        headers: all that are sent, but for Host and Content-Length.
        content: the body.
        expected: the statuses of success.
        any_host: whether redirects to other hosts are followed.
        inside: the host that may be at an address of this host or network; None if none may.
        private: whether any address may be reached.
        wants_body: whether the body of the answer is read; without it the answer is there with its head.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    expected: frozenset[int]
    any_host: bool
    inside: str | None
    private: bool
    wants_body: bool = True


def order(  # noqa: PLR0913 - as `http` takes them
    url: Any,
    *,
    method: Any,
    headers: Any,
    json: Any,
    data: Any,
    expect: Any,
    redirects: Any,
    private: Any,
) -> tuple[HttpRequest, tuple[str, ...]]:
    """Return a request, and its secrets, the longest first. The network is not used.

    Raises:
        ConfigurationError: an option that cannot work. The text shows no secret.
    """
    parts = _parts(url)
    inside = _inside(parts.hostname or "", private)
    given = _headers(headers, parts)
    content, described = _content(json, data)
    every = _merged(_DEFAULTS, described, given)
    if redirects not in get_args(Redirects):
        msg = f"redirects must be one of {', '.join(get_args(Redirects))}, got {redirects!r}"
        raise ConfigurationError(msg)
    made = HttpRequest(
        method=_method(method),
        url=parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl(),
        headers=every,
        content=content,
        expected=_expected(expect),
        any_host=redirects == "any",
        inside=inside,
        private=private is True,
    )
    return made, _secrets(parts, given, json if json is not None else data)


def _merged(*many: Mapping[str, str]) -> dict[str, str]:
    """Return merged headers: the last of a name counts, in any case."""
    last = {name.lower(): (name, value) for headers in many for name, value in headers.items()}
    return dict(last.values())


# --- the address ---------------------------------------------------------------------------------------


def _parts(url: Any) -> SplitResult:
    if not isinstance(url, str) or not url.isprintable() or {*url} & {*" \\"}:
        msg = "url must be a string like 'https://example.com/path', without spaces"
        raise ConfigurationError(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        msg = "url is not valid: its host or port cannot be read"
        raise ConfigurationError(msg) from None
    if parts.scheme not in ("http", "https"):
        found = f"not {parts.scheme}:" if parts.scheme else "and this has no scheme"
        msg = f"url must begin with http:// or https://, {found}"
        raise ConfigurationError(msg)
    if not parts.hostname or port == 0:
        msg = "url has no host, or has port 0"
        raise ConfigurationError(msg)
    if not _may_be_host(parts.hostname):
        msg = "url is not valid: a part of its host name is empty, or has more than 63 characters"
        raise ConfigurationError(msg)
    return parts


def _may_be_host(host: str) -> bool:
    """Tell whether DNS could know a name, or it is an IPv6 address."""
    labels = host.removesuffix(".").split(".")
    return ":" in host or all(0 < len(each) <= LONGEST_LABEL_CHARACTERS for each in labels)


def _inside(host: str, private: Any) -> str | None:
    """Return the host if it may be inside, as its own name says; names are resolved when the job runs.

    Raises:
        ConfigurationError: the host is known, without resolving it, to be one that the job may not reach.
    """
    if private is not None and not isinstance(private, bool):
        msg = f"private must be True, False or None, got {private!r}"
        raise ConfigurationError(msg)
    addresses = _numeric(host)
    names_itself = is_plain(host) if addresses else bool(_INSIDE.fullmatch(host))
    inside = host if private is None and names_itself else None
    kinds = [refusal(each) for each in addresses if inside is None or not is_inside(each)]
    if inside is None and _THIS_HOST.fullmatch(host):
        kinds.append("this host")
    if private is not True and any(kinds):
        msg = f"url: {host} is {next(filter(None, kinds))}; if the job may go there, give it private=True"
        raise ConfigurationError(msg)
    return inside


def _numeric(host: str) -> list[str]:
    """Return the address that a host is written as, in any of the forms that the system takes: `0x7f.1`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


# --- what is sent --------------------------------------------------------------------------------------


def _method(method: Any) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        msg = f"method must be one such as 'GET' or 'POST', got {method!r}"
        raise ConfigurationError(msg)
    return method.upper()


def _headers(headers: Any, parts: SplitResult) -> dict[str, str]:
    """Return the headers that were given, and the one that the userinfo of the URL makes."""
    if not isinstance(headers, Mapping | None):
        msg = f"headers must be a mapping of names to strings, got {type(headers).__name__}"
        raise ConfigurationError(msg)
    given = dict(headers or {})
    for name, value in given.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            msg = f"headers: {name!r} is not a header name"
            raise ConfigurationError(msg)
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            msg = f"headers: {name} must be a string of ASCII characters in one line"
            raise ConfigurationError(msg)
    if parts.username is None:
        return given
    if "authorization" in map(str.lower, given):
        msg = "the url has a user and headers has an Authorization; keep one of them"
        raise ConfigurationError(msg)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {**given, "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _content(json: Any, data: Any) -> tuple[bytes | None, dict[str, str]]:
    """Return the body, and the header that describes it."""
    if json is not None and data is not None:
        msg = "json and data both set the body; keep one"
        raise ConfigurationError(msg)
    try:
        if json is not None:
            return dumps(json).encode(), {"Content-Type": "application/json"}
        if isinstance(data, Mapping):
            form = urlencode(data, doseq=True).encode()
            return form, {"Content-Type": "application/x-www-form-urlencoded"}
    except (TypeError, ValueError) as error:
        msg = f"the body cannot be sent: {error}"
        raise ConfigurationError(msg) from None
    if data is not None and not isinstance(data, str | bytes):
        msg = f"data must be a string, bytes or a mapping, got {type(data).__name__}"
        raise ConfigurationError(msg)
    return (data.encode() if isinstance(data, str) else data), {}


def _secrets(parts: SplitResult, headers: Mapping[str, str], body: Any) -> tuple[str, ...]:
    """Return the texts to mask in an output, whole or in parts: `Bearer x` is two words.

    Each also in the encodings of JSON and forms, since servers may echo it so.
    """
    found = {parts.query, parts.username or "", parts.password or "", unquote(parts.password or "")}
    for name, value in headers.items():
        if name.lower() not in {*PLAIN, "host"}:
            found |= {value, *value.split()}
    found |= {value for _, value in parse_qsl(parts.query)}
    found |= set(_leaves(body))
    every = {form for each in found for form in _forms(each) if len(each) >= SHORTEST_SECRET_CHARACTERS}
    return tuple(sorted(every, key=len, reverse=True))


def _leaves(body: Any) -> Iterator[str]:
    """Return the texts and numbers in a body, without their names."""
    if isinstance(body, Mapping):
        body = list(body.values())
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        yield body
        with contextlib.suppress(ValueError, RecursionError):
            yield from (
                _leaves(loads(body)) if body[:1] in ("{", "[") else (value for _, value in parse_qsl(body))
            )
    elif isinstance(body, Collection):
        for each in body:
            yield from _leaves(each)
    elif body is not None:
        yield str(body)


def _forms(secret: str) -> set[str]:
    as_json = {dumps(secret)[1:-1], dumps(secret, ensure_ascii=False)[1:-1]}
    return {
        secret,
        *as_json,
        *(each.replace("/", "\\/") for each in as_json),
        quote_plus(secret),
        quote(secret),
    }


# --- what must come back -------------------------------------------------------------------------------


def _expected(expect: Any) -> frozenset[int]:
    many = list(expect) if isinstance(expect, Collection) and not isinstance(expect, str) else [expect]
    statuses = [status for status in many if type(status) is int and 200 <= status <= 599]  # noqa: PLR2004
    if not statuses or len(statuses) < len(many):
        msg = f"expect must be a status from 200 to 599, or a set or range of them, got {expect!r}"
        raise ConfigurationError(msg)
    return frozenset(statuses)
