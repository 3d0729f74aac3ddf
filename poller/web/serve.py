"""Serves the desk by itself, for `poller ui`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import uvicorn

from poller.web.progress import end_all
from poller.web.under_way import wait_for_all

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from poller.web.app import Desk

GRACE = 1  # seconds for requests in progress, when it is to stop
LAST_BATCH = 0.5  # seconds for acts that have a thread


def serve(desk: Desk, listener: socket.socket) -> None:
    """Serve until a signal comes.

    Variables of uvicorn's and forwarded addresses have no effect: who may do what is the desk's to decide. There is
    no access log, since queries hold keys.
    """
    settings = uvicorn.Config(
        desk,
        access_log=False,
        date_header=True,
        env_file=None,
        forwarded_allow_ips="",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ended)  # which uvicorn calls again, once it has ended
    _Server(settings).run(sockets=[listener])
    end_all()
    wait_for_all(LAST_BATCH)


class _Server(uvicorn.Server):
    """Tells acts to end when the process is to, before their requests are waited for."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Hear a signal."""
        end_all()
        super().handle_exit(sig, frame)


def _ended(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as it is called
    """Go on to the end of the process, which another signal ends at once."""
    signal.signal(number, signal.SIG_DFL)
