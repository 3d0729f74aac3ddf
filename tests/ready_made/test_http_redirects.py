"""HTTP jobs: which redirects are followed, how, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from poller.model.answers import Fail
from poller.ready_made.http import send_request
from poller.ready_made.http.job import RequestFailed, http
from tests.website import serving

if TYPE_CHECKING:
    from tests.website import Server


def test_redirects_to_the_same_host_are_followed(site: Server) -> None:
    """By a path or a whole URL; what was set on the way (a cookie) is sent on."""
    site.answers["/one"] = lambda visit: visit.answer(302, "", location="/two", set_cookie="seen=1; Path=/")
    site.redirect("/two", site.url("/three"), 308)
    site.at("/three", body="there")
    http("ping", site.url("/one"), expect_body="there", headers={"X-Key": "v"})()
    assert [got.path for got in site.received] == ["/one", "/two", "/three"]
    assert site.received[2].headers["cookie"] == "seen=1"
    assert site.received[2].headers["x-key"] == "v"


@pytest.mark.parametrize(
    ("method", "status", "follows"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 302, "PUT"),
        ("HEAD", 303, "HEAD"),
    ],
)
def test_a_redirect_keeps_the_method_as_http_says(
    site: Server, method: str, status: int, follows: str
) -> None:
    """With its body, or with none."""
    http("post", site.redirect("/x", "/", status), method=method, data={"a": "b"})()
    got = site.received[1]
    assert got.method == follows
    assert got.body == (b"" if follows == "GET" else b"a=b")
    assert ("content-type" in got.headers) == (follows != "GET")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed_unless_asked(site: Server, status: int) -> None:
    """Another port is another server; with `redirects="any"` it is followed, without the job's headers."""
    with serving() as other:
        url = site.redirect("/x", other.url("/"), status)
        headers = {"X-Key": "v", "Authorization": "Bearer v", "Cookie": "a=b", "User-Agent": "mine"}
        with pytest.raises(Fail, match=rf"redirected to http://127\.0\.0\.1:{other.port}; .*redirects='any'"):
            http("ping", url, headers=headers)()
        assert not other.received

        http("ping", url, headers=headers, redirects="any")()
        [got] = other.received
        assert not {"x-key", "authorization", "cookie"} & {*got.headers}
        assert got.headers["user-agent"] == "mine"
        assert got.headers["host"] == f"127.0.0.1:{other.port}"


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a/x", "http://A:80/y", True),
        ("http://a/x", "https://a/y", True),
        ("http://a:8080/x", "https://a:8443/y", True),
        ("https://a/x", "http://a/y", False),
        ("https://a/x", "https://a:8443/y", False),
        ("https://a/x", "https://b.a/y", False),
        ("https://a/x", "https://a.evil/y", False),
    ],
)
def test_the_same_host_is_the_same_server(here: str, there: str, *, same: bool) -> None:
    """From http to https it may go, and never back."""
    assert send_request._is_same_host(httpx2.URL(here), httpx2.URL(there)) is same


@pytest.mark.parametrize(
    "to", ["ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://x", "data:,x", "javascript:x"]
)
def test_a_redirect_to_what_is_no_http_is_refused(site: Server, to: str) -> None:
    """Whatever the job allows."""
    with pytest.raises(Fail, match="redirected to an address that is not http"):
        http("ping", site.redirect("/x", to), redirects="any")()


@pytest.mark.parametrize(
    "to", ["http://[::1", "http://a:99999999/", "http://" + "a" * 70 + "/", "//", "http://\x00/"]
)
def test_a_redirect_to_nonsense_fails_in_one_line(site: Server, to: str) -> None:
    """A server may send anything."""
    with pytest.raises((Fail, RequestFailed)) as caught:
        http("ping", site.redirect("/x", to), redirects="any")()
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_valid_is_not_put_down_to_a_redirect(site: Server) -> None:
    """And one that a redirect led to is told with its own name."""
    with pytest.raises(RequestFailed, match=r"GET http://\u2603\.net: the host name is not valid$"):
        http("ping", "http://\u2603.net/?token=s3cret")()
    with pytest.raises(RequestFailed, match=r"GET http://a\.\.b: the host name is not valid$"):
        http("ping", site.redirect("/x", "http://a..b/"), redirects="any")()
    with pytest.raises(RequestFailed, match=rf"{site.port}: redirected to an address that is not valid$"):
        http("ping", site.redirect("/y", "http://[::1"))()


def test_redirects_in_a_circle_end(site: Server) -> None:
    """After ten."""
    with pytest.raises(RequestFailed, match="more than 10 redirects"):
        http("ping", site.redirect("/x", "/x"))()
    assert len(site.received) == 11
