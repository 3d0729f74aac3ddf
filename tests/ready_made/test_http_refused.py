"""HTTP jobs: what cannot work is refused when the job is made."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from poller.errors import ConfigurationError
from poller.ready_made.http.job import http

CANARY = "c4n4ry-s3cret"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"url": "example.com"}, "url must begin with http:// or https://, and this has no scheme"),
        ({"url": "ftp://example.com"}, "url must begin with http:// or https://, not ftp:"),
        ({"url": "file:///etc/passwd"}, "url must begin with http:// or https://"),
        ({"url": ""}, "url must begin with"),
        ({"url": None}, "url must be a string"),
        ({"url": "http://"}, "url has no host"),
        ({"url": "http:///path"}, "url has no host"),
        ({"url": "http://[::1"}, "its host or port cannot be read"),
        ({"url": "http://example.com:99999"}, "its host or port cannot be read"),
        ({"url": "http://example.com:x"}, "its host or port cannot be read"),
        ({"url": "http://a..b/"}, "a part of its host name is empty, or has more than 63 characters"),
        ({"url": "http://.example.com"}, "a part of its host name is empty"),
        ({"url": "http://\u00fc..example.com"}, "a part of its host name is empty"),
        ({"url": f"http://{'x' * 64}.com/"}, "has more than 63 characters"),
        ({"url": "http://exa mple.com"}, "url must be a string"),
        ({"url": "http://example.com/\r\nX: y"}, "url must be a string"),
        ({"url": "http://example.com\\@127.0.0.1/"}, "url must be a string"),
        ({"method": "GE T"}, "method must be one such as"),
        ({"method": ""}, "method must be one such as"),
        ({"method": None}, "method must be one such as"),
        ({"headers": {"X Y": "v"}}, "headers: 'X Y' is not a header name"),
        ({"headers": {"X": "a\r\nY: b"}}, "headers: X must be a string of ASCII characters in one line"),
        ({"headers": {"X": 1}}, "headers: X must be a string"),
        ({"headers": ["X"]}, "headers must be a mapping"),
        ({"url": "http://u:p@example.com", "headers": {"authorization": "x"}}, "keep one"),
        ({"json": 1, "data": "x"}, "json and data both set the body"),
        ({"json": {1, 2}}, "the body cannot be sent"),
        ({"data": 1}, "data must be a string, bytes or a mapping"),
        ({"expect": 99}, "expect must be a status from 200 to 599"),
        ({"expect": "200"}, "expect must be a status"),
        ({"expect": True}, "expect must be a status"),
        ({"expect": set()}, "expect must be a status"),
        ({"expect_body": b"x"}, "expect_body must be a string"),
        ({"expect_body": re.compile(b"x")}, "expect_body must be a string"),
        ({"expect_body": "x", "method": "head"}, "the response to a HEAD request has no body"),
        ({"redirects": "all"}, "redirects must be one of same-host, any"),
        ({"timeout": "soon"}, "'soon' is not a duration"),
        ({"no_such": 1}, "no_such"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_when_the_job_is_made(given: dict[str, Any], reason: str) -> None:
    """In one line that names the place."""
    with pytest.raises(ConfigurationError, match=re.escape(reason)) as caught:
        http("ping", **{"url": "http://example.com", **given})
    assert re.match(r".*test_http_\w+\.py:\d+( \(ping\))?: ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_no_secret() -> None:
    """The place is enough to find the URL."""
    for url in (
        f"ftp://u:{CANARY}@h/?q={CANARY}",
        f"http://u:{CANARY}@[::1/",
        f"http://u:{CANARY}@169.254.169.254/",
    ):
        with pytest.raises(ConfigurationError) as caught:
            http("ping", url)
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["example.com.", f"{'x' * 63}.com", "a_b.example", "[2606:4700::1]", "m\u00fcller.de"]
)
def test_a_host_that_may_be_there_is_not_refused(host: str) -> None:
    """Its name is resolved when the job runs."""
    assert http("ping", f"http://{host}:8080/").name == "ping"


def test_without_httpx_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the job is made, not at night when it runs."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'poller\[http\]'"):
        http("ping", "http://example.com")
