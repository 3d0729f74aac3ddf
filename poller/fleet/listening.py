"""The door for monitoring: `/metrics`, `/healthz` and `/readyz` by HTTP, on threads beside the supervisor's own.

One thread accepts. A request has a thread of its own for as long as it takes, so that a client which says nothing holds
up no probe; it is cut off once it has been silent for some seconds. There are so many threads at the most; who comes
beyond them is sent away. None of them asks the database.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from poller.errors import ConfigurationError
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

MOST_REQUESTS = 64  # at a time
SILENT_SECONDS = 5.0  # after which a client that says nothing is cut off
INSTALL = "metrics need prometheus_client; run: pip install 'poller[metrics]'"


def bound(address: str) -> socket.socket:
    """Return a socket that listens at HOST:PORT.

    Raises:
        ConfigurationError: it is not an address, or cannot be listened at.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - of TCP
        msg = f"the address to listen at must be HOST:PORT, such as 127.0.0.1:9091, got {address!r}"
        raise ConfigurationError(msg)
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, number)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(128)
    except (OSError, UnicodeError) as error:
        msg = f"cannot listen at {address}: {getattr(error, 'strerror', None) or error}"
        raise ConfigurationError(msg) from None
    return made


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
        self._room = threading.BoundedSemaphore(MOST_REQUESTS)

    def start(self) -> None:
        """Answer from now on."""
        host, port = self.socket.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        emit(FleetListens(address=shown, metrics=has_metrics()))
        threading.Thread(target=self.serve_forever, name="poller door", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a request on a thread of its own, if there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a request, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client is gone, or has sent something that is not a request."""


class _Request(BaseHTTPRequestHandler):
    server: Door
    server_version, sys_version = "poller", ""
    timeout = SILENT_SECONDS
    wbufsize = -1  # head and body leave together: else the second waits for the first to be acknowledged

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
        body, kind = metrics_text.text(self.headers.get("Accept", ""), self.server.collect)
        self._send(HTTPStatus.OK, body, kind)

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
