"""Each request passes the doors: the desk's own name, and for what may change something its own pages."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from poller.errors import ConfigurationError
from poller.web import desk
from poller.web.doors import HEADERS
from poller.web.rights import ALL, Viewer
from poller.web.routes import ROUTES
from tests.web.desks import BASE, UNSAFE, browser, checksum, named, path_of

if TYPE_CHECKING:
    import psycopg
    from starlette.types import Receive, Scope, Send

    from poller.web.route import Route

STRANGE_HOSTS = [
    "evil.example",
    "127.0.0.1.nip.io",
    "localhost.",
    "localhost:80:80",
    "localhost@evil.example",
    "192.0.2.1",
    "[::2]",
    "0.0.0.0",
    "local host",
    "",
]
ORIGINS: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost:81"},
    {"Origin": "http://evil.example"},
    {"Authorization": "Basic YTpi"},
]
BODIES: list[tuple[str | None, bytes]] = [
    ("application/x-www-form-urlencoded", b"act=pause&name=public.tenants"),
    ("text/plain", b"act=pause"),
    ("application/json", b'{"name": "public.tenants"}'),
    (None, b""),
]
FORGED = {"HX-Request": "true", "X-HTTP-Method-Override": "POST", "X-Forwarded-Host": "localhost"}


@pytest.fixture(scope="module")
def nowhere() -> TestClient:
    """A desk whose database is not there: whatever is answered, it was not asked."""
    return browser("postgresql://127.0.0.1:1/nowhere")


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_a_desk_that_is_asked_for_by_another_name_answers_nothing(nowhere: TestClient, route: Route) -> None:
    """421 on each route, and on one that is not there: the page of a rebound name is not let in."""
    for host, path in product(STRANGE_HOSTS, (path_of(route), "/nowhere")):
        answer = nowhere.request(route.method, path, headers={"Host": host})
        assert answer.status_code == 421, host
        assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]", "desk.example:8443"])
def test_a_desk_is_known_by_the_loopback_and_by_the_names_that_it_is_given(host: str) -> None:
    """With any port: one may be forwarded."""
    client = browser("postgresql://127.0.0.1:1/nowhere", allowed_hosts=["Desk.example"])
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("host", "status"), [("192.0.2.7:8765", 200), ("192.0.2.8", 421), ("server", 421)])
def test_a_desk_is_known_by_the_address_that_was_connected_to(host: str, status: int) -> None:
    """That which the server says, not the request."""
    client = TestClient(
        desk("postgresql://127.0.0.1:1/x", authorize=lambda _: None), base_url="http://192.0.2.7:8765"
    )
    assert client.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("listens", "asked", "status"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7:8765", 200),
        ("::ffff:192.0.2.7", "192.0.2.8:8765", 421),
        ("fe80::1%eth0", "[fe80::1]:8765", 200),
    ],
)
def test_an_address_is_the_same_in_whichever_form_the_server_has_it(
    listens: str, asked: str, status: int
) -> None:
    """As one that listens for both kinds of addresses names those of IPv4."""
    inner = desk("postgresql://127.0.0.1:1/x", authorize=lambda _: None)

    async def at(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "server": (listens, 8765)}, receive, send)

    client = TestClient(at, base_url="http://localhost")
    assert client.get("/healthz", headers={"Host": asked}).status_code == status


def test_an_allowed_address_is_written_as_people_write_it() -> None:
    """Browsers put brackets around one of IPv6, and its shortest form within."""
    client = browser("postgresql://127.0.0.1:1/nowhere", allowed_hosts=["FD00:0::1", "[fd00::2]"])
    for host in ("[fd00::1]:8765", "[fd00::2]"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["shop.example:8443", "https://shop.example", "*.example", "bücher.example", "shop example", ""]
)
def test_an_allowed_host_that_no_browser_would_name_is_refused(host: str) -> None:
    """Rather than that nobody is let in by it."""
    with pytest.raises(ConfigurationError, match="without scheme and port"):
        browser("postgresql://127.0.0.1:1/nowhere", allowed_hosts=[host])


def test_two_hosts_are_none(nowhere: TestClient) -> None:
    """A proxy may have looked at the other one."""
    twice = [("host", "localhost"), ("host", "localhost")]
    request = nowhere.build_request("GET", "/healthz", headers=twice)
    assert nowhere.send(request).status_code == 421


@pytest.mark.parametrize("route", UNSAFE, ids=named)
def test_what_may_change_something_comes_from_the_desks_own_pages(
    db: psycopg.Connection[Any], url: str, route: Route
) -> None:
    """From another site, a sibling, a sandbox, or from nowhere, whatever the body is: 403, and nothing has changed."""
    before = checksum(db)
    with TestClient(desk(url, authorize=lambda _: Viewer("ann", ALL)), base_url=BASE) as client:
        for origin, (kind, body), forged in product(ORIGINS, BODIES, ({}, FORGED)):
            headers = origin | forged | ({"Content-Type": kind} if kind else {})
            assert client.post(path_of(route), content=body, headers=headers).status_code == 403, headers
        for method in ("GET", "HEAD"):
            answer = client.request(method, path_of(route), headers=FORGED, follow_redirects=False)
            is_there = any(each.path == route.path and each.is_safe for each in ROUTES)
            assert is_there or answer.status_code == 405
            assert is_there or answer.headers["Allow"] == "POST"
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            assert (
                client.request(method, path_of(route), headers={"Sec-Fetch-Site": "same-origin"}).status_code
                == 405
            )
    assert checksum(db) == before


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_the_desks_own_pages_are_let_through(nowhere: TestClient, headers: dict[str, str]) -> None:
    """By what browsers send: over plain HTTP from elsewhere they send only the origin."""
    client = TestClient(nowhere.app, base_url=BASE, headers=headers, follow_redirects=False)
    answer = client.post("/display", data={"theme": "dark", "next": "/jobs"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs")


def test_a_program_with_a_token_is_let_through_the_doors(nowhere: TestClient) -> None:
    """It has no pages; no browser sends a bearer token by itself."""
    client = TestClient(nowhere.app, base_url=BASE, follow_redirects=False)
    assert (
        client.post("/display", data={"next": "/"}, headers={"Authorization": "Bearer x"}).status_code == 303
    )


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/api/nowhere", "/static/0/desk.css"])
def test_each_answer_says_what_browsers_may_do(nowhere: TestClient, path: str) -> None:
    """Errors, too; and none is kept by anybody, but files that have their hash in their address."""
    answer = nowhere.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_websocket_is_closed(nowhere: TestClient) -> None:
    """The desk has none."""
    with pytest.raises(Exception, match=r"^$|1008"), nowhere.websocket_connect("/"):
        pass


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y"],
)
def test_nobody_is_led_elsewhere(nowhere: TestClient, target: str) -> None:
    """Where a form says what comes next, it is a page of the desk."""
    assert nowhere.post("/display", data={"next": target}).headers["Location"] == "/"
