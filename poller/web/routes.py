"""The table of routes. There is no route beside it: the middleware asks it before any endpoint is called."""

from __future__ import annotations

from poller.web import health
from poller.web.route import Route

ROUTES = (
    Route("GET", "/healthz", None, health.healthz),
    Route("GET", "/readyz", None, health.readyz),
)
