"""The desk within another application: under any path, every link, form and file stays there."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from poller.web import desk
from poller.web.entrances import OneTimeLink
from poller.web.rights import ALL, Viewer
from tests.web.desks import BASE, OWN

if TYPE_CHECKING:
    import psycopg

PEOPLED = True

ADDRESSES = re.compile(r'(?:href|src|action|formaction|hx-get)="([^"#][^"]*)"')


def mounted(inner: Any, prefix: str) -> TestClient:
    """Return what asks an application that has a desk under a path."""
    host = Route("/", lambda _: PlainTextResponse("the host's"))
    app = Starlette(routes=[host, Mount(prefix, inner)]) if prefix else inner
    return TestClient(app, base_url=BASE, headers=OWN, follow_redirects=False)


@pytest.mark.parametrize("prefix", ["", "/ops/desk"])
def test_every_link_leads_to_a_page_of_the_desk(url: str, db: psycopg.Connection[Any], prefix: str) -> None:
    """From page to page, as far as links go: none is missing, and none leads out."""
    client = mounted(desk(url, authorize=lambda _: Viewer("ann", ALL)), prefix)
    seen, ahead = set[str](), [f"{prefix}/"]
    while ahead:
        path = ahead.pop()
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code in {200, 303}, path
        assert answer.headers.get("Location", f"{prefix}/").startswith(f"{prefix}/")
        found = {unescape(each) for each in ADDRESSES.findall(answer.text)}
        forms = {f"{prefix}/{each}" for each in ("confirm", "display", "logout")}
        for each in found - forms:
            assert each.startswith((f"{prefix}/", "data:image/svg+xml")), (path, each)
            if each not in seen and each.startswith("/") and each not in ahead:
                ahead.append(each)
    assert len(seen) > 25
    kinds = {each.removeprefix(prefix).partition("?")[0] for each in seen}
    assert kinds >= {
        "/",
        "/machine",
        "/rows",
        "/row",
        "/trouble",
        "/jobs",
        "/job",
        "/runs",
        "/runs/1",
        "/workers",
        "/actions",
    }
    assert prefix == "" or client.get("/").text == "the host's"


def test_cookies_and_redirects_stay_under_the_prefix() -> None:
    """Of the session, and of how pages are to be; a Host or a header says nothing of where that is."""
    shown: list[str] = []
    entrance = OneTimeLink(Viewer("ann", ALL), shown.append)
    entrance.show()
    client = mounted(desk("postgresql://127.0.0.1:1/nowhere", authorize=entrance), "/ops/desk")
    forged = {
        "X-Forwarded-Prefix": "//evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    came = client.get("/ops/desk/enter", params={"token": shown[0]}, headers=forged)
    went = client.post("/ops/desk/display", data={"theme": "dark", "next": "/jobs"}, headers=forged)
    assert (came.headers["Location"], went.headers["Location"]) == ("/ops/desk/", "/ops/desk/jobs")
    for answer in (came, went):
        assert "Path=/ops/desk" in answer.headers["Set-Cookie"]
    assert client.get("/ops/desk/healthz").json() == {"status": "ok"}


def test_the_desk_has_no_lifespan_of_its_own() -> None:
    """A host that does not pass it on mounts it all the same; one that does waits for nothing."""
    with TestClient(
        desk("postgresql://127.0.0.1:1/nowhere", authorize=lambda _: None), base_url=BASE
    ) as client:
        assert client.get("/healthz").status_code == 200
