"""HTTP jobs: where a cloud keeps its metadata is not reached, however it is named."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from poller import fetch
from poller.addresses import may_hold_metadata
from poller.errors import ConfigurationError
from poller.http import RequestFailed, http
from poller.outcome import Fail
from tests.website import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.website import Server


@pytest.fixture
def site() -> Iterator[Server]:
    """A server on this host."""
    with serving() as site:
        yield site


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
    ],
)
def test_what_may_hold_metadata_is_known(address: str) -> None:
    """Also through what carries one address in another."""
    assert may_hold_metadata(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "169.253.255.255", "::1", "fd00::1", "8.8.8.8"],
)
def test_private_addresses_may_be_reached(address: str) -> None:
    """Most jobs call what is inside; so they need no option."""
    assert not may_hold_metadata(address)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.43518",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fd00:ec2::254]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_of_metadata_is_refused_when_the_job_is_made(scheme: str, host: str) -> None:
    """However it is written; with the way out."""
    with pytest.raises(
        ConfigurationError, match=r"test_http_\w+\.py:\d+ \(ping\): url: .*give it metadata=True"
    ) as caught:
        http("ping", f"{scheme}://{host}:8080/x")
    assert "\n" not in str(caught.value)
    http("ping", f"{scheme}://{host}:8080/x", metadata=True)


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
    "addresses", [["169.254.169.254"], ["8.8.8.8", "169.254.0.1"], ["10.0.0.1", "fe80::1"]], ids=str
)
def test_a_name_is_refused_for_any_address_that_may_hold_metadata(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """Once it has been resolved, and before anybody is connected to; the line says what it resolved to."""
    job = http("ping", "http://rebound.example/x")
    monkeypatch.setattr(socket, "getaddrinfo", resolving(addresses))
    with pytest.raises(Fail, match=r"^refused: rebound\.example resolves to \S+, which is .*metadata=True$"):
        job()


def test_the_connection_goes_to_the_address_that_was_looked_at(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what the name resolves to a moment later is never asked. The server sees the name."""
    asked: list[Any] = []
    first, later = resolving(["127.0.0.1"]), resolving(["169.254.169.254"])

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        if host == "rebound.example":
            asked.append(host)
            return (first if len(asked) == 1 else later)(host, port)
        return real(host, port, *rest, **named)

    real = socket.getaddrinfo
    job = http("ping", f"http://rebound.example:{site.port}/")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
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
    job()
    assert site.received


def test_a_redirect_passes_the_same_gate(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any host to the cloud's metadata, by number or by name, also where any host is allowed."""
    names = {"any.example": ["127.0.0.1"], "metadata.example": ["169.254.169.254"]}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        return resolving(names[host])(host, port) if host in names else real(host, port, *rest, **named)

    targets = {"/a": "http://169.254.169.254/latest", "/b": "http://metadata.example/", "/c": "//[fe80::1]/"}
    jobs = [http("ping", f"http://any.example:{site.port}{path}", redirects="any") for path in targets]
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for path, job in zip(targets, jobs, strict=True):
        site.redirect(path, targets[path])
        with pytest.raises(Fail, match=r"refused: .*metadata=True"):
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
    with serving(certificate) as site:
        pinned = http("ping", f"https://pinned.example:{site.port}/")
        other = http("ping", f"https://other.example:{site.port}/")
        monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1"]))
        trusted = tmp_path / "cert.pem"
        for job, trust, works in ((pinned, None, False), (pinned, trusted, True), (other, trusted, False)):
            monkeypatch.setattr(fetch, "_trust", lambda trust=trust: ssl.create_default_context(cafile=trust))
            if works:
                job()
            else:
                with pytest.raises(RequestFailed, match="CERTIFICATE_VERIFY_FAILED"):
                    job()
        assert len(site.received) == 1
    assert names == ["pinned.example", "pinned.example", "other.example"]
