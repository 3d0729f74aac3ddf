"""What probes ask: whether this process answers, and whether its database does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.errors import PollerError
from poller.web.answers import encoded
from poller.web.faults import Refused
from poller.web.state import desk_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

NOT_READY = 503


def healthz(request: Request) -> Response:  # noqa: ARG001 - an endpoint
    """Say that this process answers; the database is not asked."""
    return encoded({"status": "ok"})


def readyz(request: Request) -> Response:
    """Say whether the database answers and has poller's schema; what is not ready is named, and nothing else told."""
    desk = desk_of(request)
    try:
        desk.shared.ask("ready", desk.client.workers)
    except (PollerError, Refused) as error:
        part = "schema" if getattr(error, "reason", "") in {"no_schema", "old_schema"} else "database"
        return encoded({"status": "not ready", "not_ready": [part]}, NOT_READY)
    return encoded({"status": "ready", "not_ready": []})
