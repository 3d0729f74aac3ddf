"""HTTP jobs: an address that is not public is reached only if the URL itself says so, or an option."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from poller.errors import ConfigurationError
from poller.model.answers import Fail
from poller.ready_made.http import send_request
from poller.ready_made.http.addresses import is_inside, refusal
from poller.ready_made.http.job import RequestFailed, http
from tests.website import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.website import Server

ANY_KIND = "some kind: versions of Python differ in which"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.255.0.1", "a loopback address"),
        ("0.0.0.0", "the unspecified address"),
        ("0.1.2.3", "a private address"),
        ("10.0.0.1", "a private address"),
        ("172.16.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.1.1", "a private address"),
        ("169.254.169.254", "a link-local address"),
        ("100.64.0.1", "a shared address"),
        ("100.100.100.200", "a shared address"),
        ("192.0.0.192", ANY_KIND),
        ("3fff::1", ANY_KIND),
        ("5f00::1", ANY_KIND),
        ("64:ff9b:1::1", ANY_KIND),
        ("198.18.0.1", "a private address"),
        ("203.0.113.1", "a private address"),
        ("224.0.0.1", "a multicast address"),
        ("240.0.0.1", "a private address"),
        ("255.255.255.255", "a private address"),
        ("::1", "a loopback address"),
        ("::", "the unspecified address"),
        ("fe80::1%eth0", "a link-local address"),
        ("fc00::1", "a private address"),
        ("fd00:ec2::254", "where a cloud keeps metadata"),
        ("168.63.129.16", "where a cloud keeps metadata"),
        ("fec0::1", "a site-local address"),
        ("ff02::1", "a multicast address"),
        ("2001:db8::1", "a private address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:10.0.0.1", "a private address"),
        ("::ffff:0:127.0.0.1", "a reserved address"),
        ("::127.0.0.1", "a reserved address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("64:ff9b::a9fe:a9fe", "a link-local address"),
        ("2002:7f00:1::", "a loopback address"),
        ("2002:a00:1::", "a private address"),
        ("2001:0:53aa:64c::1", ANY_KIND),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("2606:4700::1111", None),
        ("2001:4860:4860::8888", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
    ],
)
def test_only_public_addresses_are_public(address: str, kind: str | None) -> None:
    """By IANA's lists, and through what carries one address in another."""
    found = refusal(address)
    assert found is not None if kind is ANY_KIND else found == kind


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "10.0.0.1", "172.31.255.255", "192.168.1.1", "::1", "fd00::1"]
)
def test_inside_is_this_host_and_its_networks(address: str) -> None:
    """And not public."""
    assert is_inside(address)
    assert refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.64.0.1",
        "0.0.0.0",
        "::",
        "8.8.8.8",
        "172.32.0.1",
    ],
)
def test_nothing_else_is_inside(address: str) -> None:
    """Least of all what may hold a cloud's metadata."""
    assert not is_inside(address)


NEVER_PLAIN = [
    "127.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "0",
    "0xa9fea9fe",
    "169.254.169.254",
    "100.100.100.200",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
]
PLAIN = [
    "127.0.0.1",
    "10.0.0.1",
    "[::1]",
    "[fd00::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "db.localhost",
]


@pytest.mark.parametrize(
    ("host", "given"),
    [(host, {}) for host in NEVER_PLAIN] + [(host, {"private": False}) for host in NEVER_PLAIN + PLAIN],
    ids=str,
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_known_to_be_out_of_reach_is_refused_when_the_job_is_made(
    scheme: str, host: str, given: dict[str, Any]
) -> None:
    """However it is written; with the way out."""
    with pytest.raises(
        ConfigurationError, match=r"test_http_\w+\.py:\d+ \(ping\): url: .*give it private=True"
    ) as caught:
        http("ping", f"{scheme}://{host}:8080/x", **given)
    assert "\n" not in str(caught.value)
    http("ping", f"{scheme}://{host}:8080/x", private=True)


@pytest.mark.parametrize("host", PLAIN)
def test_an_address_inside_may_be_named_plainly(host: str) -> None:
    """Nobody writes it by mistake."""
    http("ping", f"http://{host}:8080/x")


Resolver = Callable[..., list[Any]]


def resolving(*answers: list[str]) -> Resolver:
    """Return a `getaddrinfo` that gives one answer after the other, and the last one for ever."""
    left = list(answers)

    def resolve(_host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    return resolve


@pytest.mark.parametrize(
    "private",
    [None, False],
    ids=str,
)
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["2606:4700::1111", "::1"],
        ["::ffff:10.0.0.1"],
        ["169.254.169.254"],
    ],
    ids=str,
)
def test_a_name_is_refused_for_any_address_that_is_not_public(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], private: Any
) -> None:
    """Once it has been resolved, and before anybody is connected to; the line says what it resolved to."""
    job = http("ping", "http://rebound.example/x", private=private)
    monkeypatch.setattr(socket, "getaddrinfo", resolving(addresses))
    with pytest.raises(Fail, match=r"^refused: rebound\.example resolves to \S+, which is a.*private=True$"):
        job()


INSIDE_NAMES = [
    "app",
    "localhost",
    "app.internal",
    "app.ns.svc.cluster.local",
    "app.svc",
    "nas.home.arpa",
    "nas.lan.",
]


@pytest.mark.parametrize("name", INSIDE_NAMES)
def test_a_name_that_nobody_has_in_public_may_be_inside(
    site: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Most jobs call what is inside; so they need no option, unless it is one that forbids it."""
    allowed = http("ping", f"http://{name}:{site.port}/")
    forbidden = http("ping", f"http://{name.removesuffix('.')}.internal:{site.port}/", private=False)
    monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1"]))
    allowed()
    with pytest.raises(Fail, match="is a loopback address"):
        forbidden()
    assert len(site.received) == 1


@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["127.0.0.1", "fe80::1"], ["fd00:ec2::254"]], ids=str
)
@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata"])
def test_a_name_inside_never_leads_to_metadata(
    monkeypatch: pytest.MonkeyPatch, name: str, addresses: list[str]
) -> None:
    """Inside is this host and its networks: where clouds keep a machine's credentials is not."""
    job = http("ping", f"http://{name}/")
    monkeypatch.setattr(socket, "getaddrinfo", resolving(addresses))
    with pytest.raises(Fail, match=r"^refused: .*private=True$"):
        job()


def test_whatever_is_private_may_be_reached_by_an_option(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`private=True`, for a public name that resolves to what is inside."""
    job = http("ping", f"http://app.example:{site.port}/", private=True)
    monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1"]))
    job()
    assert site.received


@pytest.mark.parametrize("private", [0, "no", 1], ids=repr)
def test_private_is_yes_no_or_by_the_url(private: Any) -> None:
    """Anything else is a mistake that would open or close too much."""
    with pytest.raises(ConfigurationError, match="private must be True, False or None"):
        http("ping", "http://example.com", private=private)


def test_the_connection_goes_to_the_address_that_was_looked_at(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what the name resolves to a moment later is never asked. The server sees the name."""
    asked: list[Any] = []
    first, later = resolving(["127.0.0.1"]), resolving(["127.0.0.2"])

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        if host == "rebound.example":
            asked.append(host)
            return (first if len(asked) == 1 else later)(host, port)
        return real(host, port, *rest, **named)

    real = socket.getaddrinfo
    job = http("ping", f"http://rebound.example:{site.port}/")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(send_request, "refusal", {"127.0.0.1": None, "127.0.0.2": "evil"}.get)
    job()
    assert asked == ["rebound.example"]
    assert site.received[0].headers["host"] == f"rebound.example:{site.port}"


def test_an_address_that_does_not_answer_is_passed_over(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any client does, among the addresses that were looked at."""
    job = http("ping", f"http://two.example:{site.port}/")
    real = socket.getaddrinfo
    both = resolving(["127.0.0.9", "127.0.0.1"])
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: (both if host == "two.example" else real)(host, *a, **k)
    )
    monkeypatch.setattr(send_request, "refusal", lambda _: None)
    job()
    assert site.received


@pytest.mark.parametrize("host", ["public.example", "localhost", "app.internal"])
def test_a_redirect_passes_the_same_gate(site: Server, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """To what is not public, by number or by name: also where any host is allowed, and from one inside."""
    names = {host: ["127.0.0.1"], "metadata.example": ["169.254.169.254"], "other.internal": ["127.0.0.2"]}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        return resolving(names[host])(host, port) if host in names else real(host, port, *rest, **named)

    targets = {
        "/a": "http://169.254.169.254/latest",
        "/b": "http://metadata.example/",
        "/c": "//[::1]/",
        "/d": "http://other.internal/",
        "/e": "http://127.0.0.2/",
    }
    jobs = [http("ping", f"http://{host}:{site.port}{path}", redirects="any") for path in targets]
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(send_request, "refusal", lambda each: None if each == "127.0.0.1" else refusal(each))
    for path, job in zip(targets, jobs, strict=True):
        site.redirect(path, targets[path])
        with pytest.raises(Fail, match=r"refused: .*private=True"):
            job()


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate for `pinned.example`, in the folder that the test trusts."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem"
    )
    command += " -out cert.pem -subj /CN=pinned.example -addext subjectAltName=DNS:pinned.example"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def test_certificates_are_checked_for_the_name(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Though the connection goes to an address: SNI is the name's, and another name fails."""
    names: list[str | None] = []
    certificate.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setattr(send_request, "refusal", lambda _: None)
    with serving(certificate) as site:
        pinned = http("ping", f"https://pinned.example:{site.port}/")
        other = http("ping", f"https://other.example:{site.port}/")
        monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1"]))
        trusted = tmp_path / "cert.pem"
        for job, trust, works in ((pinned, None, False), (pinned, trusted, True), (other, trusted, False)):
            monkeypatch.setattr(
                send_request, "_trust", lambda trust=trust: ssl.create_default_context(cafile=trust)
            )
            if works:
                job()
            else:
                with pytest.raises(RequestFailed, match="CERTIFICATE_VERIFY_FAILED"):
                    job()
        assert len(site.received) == 1
    assert names == ["pinned.example", "pinned.example", "other.example"]
