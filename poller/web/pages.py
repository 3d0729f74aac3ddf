"""What all pages share: the frame, the viewer, and the version by which an unchanged page is not sent again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from poller.web import packing
from poller.web.entrances import Accounts, OneTimeLink
from poller.web.rendering import CLOCK, clock, frame, look_of, rendered
from poller.web.rights import Right
from poller.web.route import SAFE, path_of
from poller.web.state import desk_of, viewer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from starlette.requests import Request

    from poller.web.shared import Shared

NOT_MODIFIED = 304


def page(  # noqa: PLR0913 - what a page is made of
    request: Request,
    template: str,
    *,
    code: int = 200,
    known: object = None,
    every: int = 2,
    made: Shared | None = None,
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        request: the request for it.
        template: its name.
        code: the status of the answer.
        known: what the page is made of, if it shows itself anew by itself; the same is not sent twice.
        every: how many seconds lie between two looks at the least.
        made: keeps the page for others to whom it is the same, if `known` is all that it is made of.
        **values: what the template shows.
    """
    version = "" if known is None else version_of(request, known)
    headers = {"Vary": "HX-Request, Cookie, Accept-Encoding"} | (
        {"ETag": f'W/"{version}"', "HX-PTag": version} if version else {}
    )
    if version and version in {request.headers.get("hx-ptag"), *_etags(request)}:
        return Response(status_code=NOT_MODIFIED, headers=headers)
    look = look_of(request.cookies)
    viewer = viewer_of(request)
    now = datetime.now(UTC)
    around = frame(request.scope) | {
        "every": every,
        "can_leave": isinstance(desk_of(request).entrance, Accounts | OneTimeLink),
        "is_live": known is not None,
        "layout": "part.html" if request.headers.get("hx-request") == "true" else "base.html",
        "look": look,
        "may_move": viewer.may(Right.MOVE),
        "may_operate": viewer.may(Right.OPERATE),
        "may_see": viewer.may(Right.VALUES),
        "now": now,
        "place": desk_of(request).place,
        "self_path": _self_path(request, values),
        "version": version,
        "viewer": viewer,
    }
    text = _once(
        made, (version, viewer.name, around["layout"]), lambda: rendered(template, **(around | values))
    )
    body = text.replace(CLOCK, clock(now)).encode()
    if packing.is_wanted(request):
        headers, body = headers | packing.HEADERS, packing.packed(body, packing.LEVEL)
    return Response(body, code, headers, media_type="text/html")


def _once(made: Shared | None, key: Hashable, render: Callable[[], str]) -> str:
    return render() if made is None else made.ask(key, render, inf)


def version_of(request: Request, known: object) -> str:
    """Return a hash of a page's contents, its viewer and its display settings."""
    made = (
        known,
        viewer_of(request).rights,
        request.url.query,
        look_of(request.cookies),
        request.scope.get("root_path"),
    )
    return digest(made)


def digest(known: object) -> str:
    """Return a hash of what a page shows."""
    return hashlib.blake2b(repr(known).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def asked(request: Request, name: str) -> str | None:
    """Return a field of the query; None if it is missing or empty."""
    return request.query_params.get(name) or None


def _self_path(request: Request, values: Mapping[str, Any]) -> str:
    """Return where this page is asked for again; of one that was posted, the one that it leads back to."""
    if request.method not in SAFE:
        act = values.get("act")
        return "/" if act is None else str(act.back)
    query = request.url.query
    return path_of(request.scope) + (f"?{query}" if query else "")


def _etags(request: Request) -> set[str]:
    """Return the versions that are known to who asks; a proxy may name several (RFC 9110, section 13.1.2)."""
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    return {each.strip().removeprefix("W/").strip('"') for each in known}
