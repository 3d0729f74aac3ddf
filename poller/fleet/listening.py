"""The door for monitoring: `/metrics`, `/healthz` and `/readyz` by HTTP, on threads beside the supervisor's own.

One thread accepts. A request has a thread of its own for as long as it takes, so that a client which says nothing, or
drips bytes, holds up no probe; it is cut off after some seconds, whatever it sends or reads. There are so many threads
at the most: the client that has been there longest makes room for one that comes. None of them asks the database.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.lazy import lazy
from poller.telemetry.bus import emit
from poller.telemetry.events import FleetListens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from poller.fleet.vitals import Vitals
    from poller.telemetry import metrics_text
    from poller.telemetry.metrics_text import Sample
else:  # it needs the extra
    metrics_text = lazy("poller.telemetry.metrics_text")

MOST_CLIENTS = 64  # at a time
MOST_SECONDS = 5.0  # that a client may take to ask and to take its answer
_PORT = re.compile(r"[0-9]{1,5}")
INSTALL = "metrics need prometheus_client; run: pip install 'poller[metrics]'"


def bound(address: str) -> socket.socket:
    """Return a socket that listens at HOST:PORT.

    Raises:
        ConfigurationError: it is not an address, or cannot be listened at.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:  # noqa: PLR2004 - of TCP
        msg = f"the address to listen at must be HOST:PORT, such as 127.0.0.1:9091, got {address!r}"
        raise ConfigurationError(msg)
    try:
        return _first_listening(host, int(port))
    except (OSError, UnicodeError) as error:
        msg = f"cannot listen at {address}: {getattr(error, 'strerror', None) or error}"
        raise ConfigurationError(msg) from None


def _first_listening(host: str, port: int) -> socket.socket:
    """Return a socket at the first of a name's addresses that there is here: `localhost` may be `::1`, without IPv6.

    Raises:
        OSError: there is none; that of the last one.
    """
    refusal = OSError(f"{host} has no address")
    for family, kind, number, _, place in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            with contextlib.ExitStack() as undone:
                made = undone.enter_context(socket.socket(family, kind, number))
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(place)
                made.listen(128)
                undone.pop_all()
                return made
        except OSError as error:
            refusal = error
    raise refusal


def has_metrics() -> bool:
    """Return whether the extra is installed."""
    return importlib.util.find_spec("prometheus_client") is not None


class Door(ThreadingHTTPServer):
    """Answers probes and scrapes.

    Args:
        listener: a socket that listens.
        vitals: what probes are told.
        collect: returns the numbers.
    """

    daemon_threads = True

    def __init__(
        self, listener: socket.socket, vitals: Vitals, collect: Callable[[], Iterable[Sample]]
    ) -> None:
        super().__init__(listener.getsockname()[:2], _Request, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.vitals = vitals
        self.collect = collect
        self._lock = threading.Lock()
        self._clients: dict[
            socket.socket, None
        ] = {}  # those that are served, in the order in which they came

    def start(self) -> None:
        """Answer from now on."""
        host, port = self.socket.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        emit(FleetListens(address=shown, metrics=has_metrics()))
        threading.Thread(target=self.serve_forever, name="poller door", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a request on a thread of its own, in the place of the oldest if there are too many."""
        with self._lock:
            self._clients[request] = None
            oldest = next(iter(self._clients)) if len(self._clients) > MOST_CLIENTS else None
            self._clients.pop(oldest, None)  # type: ignore[arg-type]  # None is none of them
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread finds that it is gone
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client is gone, or has sent something that is not a request."""


class _Exchange(io.RawIOBase):
    """What a client sends and is sent, until its time is up: one that drips bytes would else keep its thread."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._ends = monotonic() + MOST_SECONDS

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._in_time().recv_into(buffer)

    def write(self, data: Any) -> int:
        return self._in_time().send(data)

    def _in_time(self) -> socket.socket:
        self._client.settimeout(max(0.001, self._ends - monotonic()))
        return self._client


class _Request(BaseHTTPRequestHandler):
    server: Door
    server_version, sys_version = "poller", ""

    def setup(self) -> None:
        exchange = _Exchange(self.request)
        # Head and body leave together: else the second waits for the first to be acknowledged.
        self.connection, self.rfile, self.wfile = (
            self.request,
            io.BufferedReader(exchange),
            io.BufferedWriter(exchange),
        )

    def do_GET(self) -> None:
        answers = {"/healthz": self._health, "/readyz": self._ready, "/metrics": self._metrics}
        answer = answers.get(self.path.partition("?")[0])
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")
        else:
            answer()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _health(self) -> None:
        still = self.server.vitals.standing_still()
        self._say({"healthy": not still, "standing_still": still}, is_well=not still)

    def _ready(self) -> None:
        failing = self.server.vitals.unready()
        self._say({"ready": not failing, "failing": failing}, is_well=not failing)

    def _metrics(self) -> None:
        if not has_metrics():
            self._send(HTTPStatus.NOT_IMPLEMENTED, f"{INSTALL}\n".encode())
            return
        try:
            body = metrics_text.text(self.server.collect)
        except Exception as error:  # noqa: BLE001 - who scrapes is to see why there is nothing
            self._send(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {reason(error)}\n".encode()
            )
        else:
            self._send(HTTPStatus.OK, body, metrics_text.CONTENT_TYPE)

    def _say(self, said: dict[str, Any], *, is_well: bool) -> None:
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        self._send(status, json.dumps(said).encode() + b"\n", "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""
