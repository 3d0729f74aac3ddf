"""HTTP jobs, against a real server of the test's own: what is sent, what is expected, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

from poller.errors import ConfigurationError
from poller.jobs.job import fixed_rate
from poller.model.answers import Fail, Interrupted, TimedOut
from poller.model.context import CancelEvent
from poller.ready_made.http import stoppable_match
from poller.ready_made.http.job import RequestFailed, http
from poller.ready_made.http.retry_after import asked_seconds
from poller.testing import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.website import Answering, Server, Visit

CANARY = "c4n4ry-s3cret"


@dataclass
class HttpRun:
    """What a request sees of a run."""

    cancelled: CancelEvent = field(default_factory=CancelEvent)


# --- what is sent --------------------------------------------------------------------------------------


def test_a_request_is_sent_as_given(site: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """And the output says what came of it: status, time, and the beginning of the body."""
    http("ping", site.url())(run=HttpRun())

    [got] = site.received
    assert (got.method, got.path, got.body) == ("GET", "/", b"")
    assert got.headers["user-agent"] == "poller"
    assert got.headers["host"] == f"127.0.0.1:{site.port}"
    assert re.fullmatch(
        rf"GET http://127\.0\.0\.1:{site.port}: 200 in \d\.\ds\nok\n", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        ({"json": {"a": [1, None]}}, "application/json", b'{"a": [1, null]}'),
        ({"data": {"a": "1 2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", b"a=1+2&b=x&b=y"),
        ({"data": "ä"}, None, "ä".encode()),
        ({"data": b"\0\1"}, None, b"\0\1"),
        ({"data": "<x/>", "headers": {"content-type": "text/xml"}}, "text/xml", b"<x/>"),
        ({"json": 1, "headers": {"CONTENT-TYPE": "a/b"}}, "a/b", b"1"),
    ],
    ids=str,
)
def test_a_body_is_sent_with_what_describes_it(
    site: Server, given: dict[str, Any], content_type: str | None, body: bytes
) -> None:
    """JSON, a form, a text or bytes; a header that was given counts."""
    http("post", site.url(), method="post", **given)()
    [got] = site.received
    assert (got.method, got.headers.get("content-type"), got.body) == ("POST", content_type, body)


def test_headers_and_userinfo_are_sent(site: Server) -> None:
    """The userinfo as basic authentication, not in the request's line."""
    url = site.url("/").replace("//", "//al%40ice:p%3Ass@")
    http("ping", url, method="PURGE", headers={"X-Key": "v", "User-Agent": "mine"})()
    [got] = site.received
    assert (got.headers["x-key"], got.headers["user-agent"]) == ("v", "mine")
    assert got.headers["authorization"] == "Basic YWxAaWNlOnA6c3M="


def test_the_environments_proxies_and_netrc_are_not_used(
    site: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy would resolve the name again; a file beside the job would add a password."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    http("ping", site.url())()
    assert "authorization" not in site.received[0].headers


def test_the_job_is_a_job_like_any_other(site: Server) -> None:
    """Its schedule and options are the contract's, and its place is where it was made."""
    job = http(
        "warm-cache", "https://example.com/warm", schedule=fixed_rate("30s"), expect=200, timeout="10s"
    )
    assert (job.name, job.options.timeout, job.run_parameter) == ("warm-cache", 10.0, "run")
    assert "test_http.py" in job.place
    with pytest.raises(ConfigurationError):
        job.check_arguments({"x": 1})


# --- what must come back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expect"),
    [(200, 200), (204, {200, 204}), (299, range(200, 300)), (404, 404), (503, [503]), (302, 302)],
)
def test_an_expected_status_is_success(site: Server, status: int, expect: Any) -> None:
    """One, or any of several; a redirect that is expected is not followed."""
    http("ping", site.at("/x", status, "", location="/nowhere"), expect=expect)()


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (200, "200"),
        ({200, 204}, "200 or 204"),
        (range(200, 300), "200 to 299"),
    ],
    ids=str,
)
def test_another_status_fails_with_both(
    site: Server, expect: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came, and what was expected; the body is in the output."""
    with pytest.raises(RequestFailed, match=rf"^GET http://127\.0\.0\.1:\d+: 503 in .*s, expected {words}$"):
        http("ping", site.at("/x", 503, "try later"), expect=expect)()
    assert "try later" in capsys.readouterr().out


NOON = "Fri, 27 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("given", "date", "seconds"),
    [
        ("0", None, 0),
        (" 120 ", None, 120),
        ("7200", None, 3600),
        ("9" * 18, None, 3600),
        ("Fri, 27 Nov 2026 12:00:30 GMT", NOON, 30),
        ("Friday, 27-Nov-26 12:01:00 GMT", NOON, 60),
        ("Fri Nov 27 12:01:30 2026", NOON, 90),
        ("Sat, 28 Nov 2026 12:00:00 GMT", NOON, 3600),
        ("Fri, 27 Nov 2026 11:00:00 GMT", NOON, 0),
        ("Wed, 31 Dec 9999 23:59:59 -2359", NOON, 0),
        *((given, NOON, 0) for given in (None, "", "-1", "1.5", "1e3", "soon", "12, 60", "٣", "9" * 5000, NOON[:11])),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_time(given: str | None, date: str | None, seconds: float) -> None:
    """Of RFC 9110 10.2.3; a time is measured from the answer's own, and what makes no sense is no wish."""
    assert asked_seconds(given, date) == seconds


def test_a_server_that_asks_for_time_gets_it(url: str, site: Server) -> None:
    """The next attempt is not before it, and not before the wait policy either."""
    short = http("short", site.at("/x", 503, retry_after="60"), attempts=2, wait=wait_fixed(1))
    long = http("long", site.url("/x"), attempts=2, wait=wait_fixed(90))
    with Engine(url, short, long) as engine:
        engine.trigger(short)
        engine.trigger(long)
        assert [each.became for each in engine.run_due()] == ["retrying", "retrying"]
        engine.advance("50s")
        assert engine.run_due() == []
        site.at("/x")
        engine.advance("11s")
        assert [(each.status, each.became) for each in engine.run_due()] == [("short", "moved")]
        engine.advance("30s")
        assert [(each.status, each.became) for each in engine.run_due()] == [("long", "moved")]


def test_a_body_must_hold_what_is_expected(site: Server) -> None:
    """A text as it stands, or an expression."""
    url = site.at("/x", body="all is well, 17 checks")
    http("ping", url, expect_body="is well, 17")()
    http("ping", url, expect_body=re.compile(r"\b\d+ checks$"))()
    for wanted in ("is w.ll", re.compile("^17")):
        with pytest.raises(RequestFailed, match=r"is not in its body$"):
            http("ping", url, expect_body=wanted)()


GREEDY = re.compile("(a+)+b")  # takes 2^n steps on n times "a"


def test_a_pattern_that_takes_for_ever_is_left_at_the_timeout(site: Server) -> None:
    """It holds no interpreter but its own: a stranger's body is no reason for a worker to be declared dead."""
    url = site.at("/x", body="a" * 40)
    turns = 0
    over = threading.Event()

    def count() -> None:
        nonlocal turns
        while not over.wait(0.01):
            turns += 1

    threading.Thread(target=count, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"timed out after 1\.0s"):
        http("ping", url, expect_body=GREEDY, timeout="1s")()
    over.set()
    assert 0.9 < time.monotonic() - began < 10
    assert turns > 10, "other threads have run"


def test_a_pattern_that_takes_for_ever_is_left_when_it_is_cancelled(site: Server) -> None:
    """Within a moment."""
    url = site.at("/x", body="a" * 40)
    run = HttpRun()
    threading.Timer(0.3, run.cancelled.set).start()
    with pytest.raises(Interrupted):
        http("ping", url, expect_body=GREEDY)(run=run)


@pytest.mark.parametrize("flags", [re.IGNORECASE, re.VERBOSE | re.DOTALL, re.ASCII])
def test_a_pattern_keeps_its_flags(site: Server, flags: re.RegexFlag) -> None:
    """In the process that matches it, and with a body of its full size."""
    body = "x" * 2**19 + "\nWELL é\n"
    wanted = re.compile(r"well\s(?#either)(é|\w)" if flags == re.IGNORECASE else r"WELL.é", flags)
    if flags & re.VERBOSE:
        wanted = re.compile(r"x . WELL  # and a word", flags)
    http("ping", site.at("/x", body=body), expect_body=wanted)()


def test_a_process_that_is_slow_to_begin_gets_all_of_the_body(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has hardly been made when it is first asked whether it must end; the pipe holds a part of the body only."""
    monkeypatch.setattr(stoppable_match, "LOOK_SECONDS", 0.0001)
    body = "x" * 2**19 + "end"
    http("ping", site.at("/x", body=body), expect_body=re.compile("end"), timeout="10s")()


def test_a_body_is_read_as_its_charset_says(site: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """UTF-8 unless it says otherwise, and what cannot be read is replaced."""
    latin = site.at("/latin", body="größe".encode("latin-1"), content_type="text/plain; charset=latin-1")
    http("ping", latin, expect_body="größe")()
    unknown = site.at("/unknown", body="größe", content_type="text/plain; charset=klingon")
    http("ping", unknown, expect_body="größe")()
    endless = site.at("/idna", body="größe" + "ä" * 500_000, content_type="text/plain; charset=idna")
    http("ping", endless, expect_body="größe", timeout="5s")()
    http("ping", site.at("/broken", body=b"a\xffb"))()
    assert capsys.readouterr().out.endswith("a\ufffdb\n")


def test_a_body_is_not_unpacked(site: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """None is asked for; one that comes all the same could be any size."""
    http("ping", site.at("/x", body=b"\x1f\x8b" + b"x" * 100, content_encoding="gzip"))()
    assert site.received[0].headers["accept-encoding"] == "identity"
    assert "(packed by gzip)" in capsys.readouterr().out


def test_a_huge_body_is_read_in_part(site: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A mebibyte is looked at, two thousand characters are shown, and the rest is not waited for."""

    def flood(visit: Visit) -> None:
        visit.send_response(200)
        visit.send_header("content-length", str(10**12))
        visit.end_headers()
        with contextlib.suppress(OSError):
            while True:
                visit.wfile.write(b"0123456789abcdef" * 4096)

    site.answers["/flood"] = flood
    http("ping", site.url("/flood"), expect_body="f0123")()
    assert 2000 < len(capsys.readouterr().out) < 2100
    with pytest.raises(RequestFailed, match=r"is not in the beginning of its body$"):
        http("ping", site.url("/flood"), expect_body="ok")()


def test_what_could_play_with_a_terminal_is_taken_out(
    site: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """A body comes from elsewhere, and is shown on the operator's screen."""
    http("ping", site.at("/x", body="a\x1b[2Jb\r\nc\td\x9b1m"))()
    assert capsys.readouterr().out.endswith("a\ufffd[2Jb\nc\td\ufffd1m\n")
    http("ping", site.at("/y", body="PNG\0\0"))()
    assert capsys.readouterr().out.endswith("(no text)\n")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 10**6,
    ],
    ids=["nothing", "another protocol", "a body that breaks off", "endless headers"],
)
def test_an_answer_that_is_none_fails_in_one_line(broken: bytes) -> None:
    """Whatever a server may say, or leave unsaid."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(broken)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RequestFailed, match=rf"^GET {url}: .+$") as caught:
            http("ping", url)()
        thread.join()
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_fails_in_one_line(free_port: int) -> None:
    """Nobody listens; the name does not resolve."""
    with pytest.raises(RequestFailed, match=rf"^GET http://127\.0\.0\.1:{free_port}: .+"):
        http("ping", f"http://127.0.0.1:{free_port}/")()
    for private in (True, False, None):
        with pytest.raises(RequestFailed, match=r"^GET http://no\.such\.invalid: .+"):
            http("ping", "http://no.such.invalid/", private=private)()


@pytest.fixture
def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- its time ------------------------------------------------------------------------------------------


def hang(visit: Visit) -> None:
    """Answer never."""
    visit.server.release.wait(20)


def drip(visit: Visit) -> None:
    """Answer for ever, a byte at a time."""
    visit.send_response(200)
    visit.send_header("content-length", "100000")
    visit.end_headers()
    with contextlib.suppress(OSError):
        while not visit.server.release.wait(0.05):
            visit.wfile.write(b".")


@pytest.mark.parametrize("slow", [hang, drip])
def test_a_slow_server_is_left_at_the_timeout(site: Server, slow: Answering) -> None:
    """Also one that always sends a little more."""
    site.answers["/slow"] = slow
    began = time.monotonic()
    with pytest.raises((TimedOut, RequestFailed)) as caught:
        http("ping", site.url("/slow"), timeout="500ms")()
    assert 0.4 < time.monotonic() - began < 5
    assert "timed out after 0.5s" in str(caught.value) or "no answer in time" in str(caught.value)


@pytest.mark.parametrize("slow", [hang, drip])
def test_a_cancel_breaks_a_request_off_at_once(site: Server, slow: Answering) -> None:
    """Cancelled, the lease lost, the worker stopping."""
    site.answers["/slow"] = slow
    run = HttpRun()
    threading.Timer(0.3, run.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        http("ping", site.url("/slow"))(run=run)
    assert time.monotonic() - began < 5


def test_a_cancel_does_not_wait_for_a_name_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver cannot be broken off; its thread is left behind."""
    release = threading.Event()

    def resolve(*_: Any, **__: Any) -> Any:
        release.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    job = http("ping", "http://slow.example/")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    run = HttpRun()
    threading.Timer(0.2, run.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        job(run=run)
    assert time.monotonic() - began < 5
    release.set()


# --- secrets -------------------------------------------------------------------------------------------


def test_secrets_are_in_no_output_and_no_error(
    site: Server, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where the server sends everything back, and where whoever embeds poller logs everything."""
    caplog.set_level(logging.INFO)

    def echo(visit: Visit) -> None:
        visit.answer(500, json.dumps({"path": visit.path, **dict(visit.headers)}))

    site.answers["/echo"] = echo
    url = site.url(f"/echo?token={CANARY}").replace("//", f"//user:{CANARY}@")
    jobs = [
        http("a", url),
        http("a", site.url("/echo"), headers={"Authorization": f"Bearer {CANARY}"}),
        http("a", site.url("/echo"), headers={"X-Api-Key": CANARY}),
        http("a", site.redirect("/r", f"http://127.0.0.1:1/{CANARY}?x={CANARY}")),
        http("a", f"http://u:{CANARY}@no.such.invalid/?x={CANARY}"),
    ]
    for job in jobs:
        with pytest.raises((RequestFailed, Fail)) as caught:
            job()
        assert CANARY not in str(caught.value)
    shown = capsys.readouterr()
    assert "***" in shown.out
    assert CANARY not in shown.out + shown.err + caplog.text
    assert "dXNlcjpjNG40cnktczNjcmV0" not in shown.out  # the same in base64, as it is sent


@pytest.mark.parametrize(
    "answer",
    [
        b"%b\r\n\r\n",
        b"HTTP/1.1 %b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n%b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n",
    ],
    ids=["another protocol", "its status", "a header", "its length", "its encoding", "the length of a part"],
)
def test_nothing_is_quoted_of_an_answer_that_is_no_http(answer: bytes) -> None:
    """It may repeat the request's first line: the path of a webhook is its secret."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(answer % connection.recv(65536).partition(b"\r\n")[0])

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RequestFailed) as caught:
            http("ping", f"{url}/hook/{CANARY}")()
        thread.join()
    assert str(caught.value) == f"GET {url}: the answer is no HTTP"


def test_an_answer_that_breaks_off_is_told_so() -> None:
    """That is no fault of its form: who looks for it looks at the server's log."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for said in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for reason in (
            "Server disconnected without",
            "peer closed connection .*received 3 bytes, expected 10",
        ):
            with pytest.raises(RequestFailed, match=reason):
                http("ping", url)()
        thread.join()


def test_nothing_is_quoted_of_a_header_that_cannot_be_sent(site: Server) -> None:
    """The library shows it in a form of its own, in which it would not be found to be masked."""
    secret = f"{CANARY}\\x "
    with pytest.raises(
        RequestFailed, match=f"{site.port}: the request is no HTTP: one of its headers is not"
    ):
        http("ping", site.url(), headers={"X-Key": secret})()


def test_a_secret_is_masked_in_whatever_case_it_comes_back(
    site: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of a host is in small letters, as the one of a redirect; a server may write it large."""
    secret = "C4n4ryTopSecret"
    given: dict[str, Any] = {"headers": {"Authorization": f"Bearer {secret}"}}
    away = site.redirect("/away", f"http://{secret}.invalid/")
    for redirects in ("same-host", "any"):
        with pytest.raises((Fail, RequestFailed), match=r"http://\*\*\*\.invalid") as caught:
            http("ping", away, redirects=redirects, **given)()
        assert secret.lower() not in str(caught.value).lower()
    http("ping", site.at("/large", body=f"{secret.upper()} \u03a3 {secret}"), **given)()
    assert capsys.readouterr().out.endswith("*** \u03a3 ***\n")


def test_a_host_that_a_redirect_made_of_a_secret_is_masked_in_the_answers_error(
    site: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where such a host is there, and answers."""
    secret = "C4n4ryTopSecret"
    resolve = socket.getaddrinfo

    def resolve_any(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_any)
    away = site.redirect("/away", f"http://{secret}.invalid:{site.port}/")
    for expected in ({"expect": 204}, {"expect_body": "not there"}):
        with pytest.raises(RequestFailed, match=rf"^GET http://\*\*\*\.invalid:{site.port}: \d+ in"):
            http("ping", away, redirects="any", private=True, headers={"X-Key": secret}, **expected)()  # type: ignore[arg-type]
    assert secret.lower() not in capsys.readouterr().out


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"user": "me", "auth": [{"password": CANARY}], "pin": 12345678}},
        {"json": CANARY},
        {"data": {"password": CANARY, "pin": "12345678"}},
        {"data": f"password={CANARY}&pin=12345678"},
        {"data": json.dumps({"password": CANARY, "pin": 12345678})},
        {"data": f"<pass>{CANARY}</pass>".encode()},
    ],
    ids=str,
)
@pytest.mark.parametrize("repeats", ["as it is", "as JSON", "as JSON within JSON", "at the cut"])
def test_a_body_that_the_server_repeats_is_masked(
    site: Server, capsys: pytest.CaptureFixture[str], body: dict[str, Any], repeats: str
) -> None:
    """As it answers 422 to what it does not like: in its own form, and where the output is cut off."""

    def echo(visit: Visit) -> None:
        got = visit.server.received[-1].body.decode()
        forms = {
            "as it is": got,
            "as JSON": json.dumps({"got": got, "canary": CANARY}),
            "as JSON within JSON": json.dumps({"got": json.dumps({"canary": CANARY})}),
            "at the cut": "x" * (2000 - 3) + CANARY,
        }
        visit.answer(422, forms[repeats])

    site.answers["/echo"] = echo
    with pytest.raises(RequestFailed):
        http("a", site.url("/echo"), method="POST", **body)()
    shown = capsys.readouterr().out
    if "<pass>" not in str(body) or repeats == "as it is":  # a text without form is masked whole
        assert CANARY[:3] not in shown
    assert "12345678" not in shown


# --- beside others ----------------------------------------------------------------------------------


def test_httpx_is_imported_by_the_first_request_only() -> None:
    """Commands that send none start as quickly as without it."""
    code = "from poller.ready_made.http.job import http; http('a', 'http://example.com')"
    code += "; import sys; print('httpx2' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_a_request_may_run_beside_a_loop_and_many_others(site: Server) -> None:
    """Each on a loop and a thread of its own; nothing is left."""
    job = http("ping", site.url())

    async def many() -> None:
        await asyncio.gather(*(asyncio.to_thread(job) for _ in range(8)))

    asyncio.run(many())
    assert len(site.received) == 8
