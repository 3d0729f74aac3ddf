"""A web server of a test's own, which answers as the test says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@dataclass
class Received:
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answering = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request to the test's server; `answers` of the server says what each path does."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.command, self.path, headers, body))
        self.server.answers[self.path.partition("?")[0]](self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PURGE = _any  # noqa: N815 - so BaseHTTPRequestHandler looks for them

    def answer(self, status: int = 200, body: bytes | str = b"ok\n", **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"content_length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server on 127.0.0.1 that answers 200 at `/`, and elsewhere as a test says."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, Answering] = {"/": Visit.answer}
        self.release = threading.Event()
        super().__init__(("127.0.0.1", 0), Visit)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str, status: int = 200, body: bytes | str = b"ok\n", **headers: str) -> str:
        """Have a path answered so, and return its URL."""
        self.answers[path] = lambda visit: visit.answer(status, body, **headers)
        return self.url(path)

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        return self.at(path, status, "", location=to)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server() as site:
        if context is not None:
            site.socket = context.wrap_socket(site.socket, server_side=True)
        thread = threading.Thread(target=site.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield site
        finally:
            site.release.set()
            site.shutdown()
            thread.join()
