"""The table of routes. There is no route beside it: the guard asks it before any endpoint is called."""

from __future__ import annotations

from poller.web import enter, health, home, static_files
from poller.web.rights import Right
from poller.web.route import Route

ROUTES = (
    Route("GET", "/healthz", None, health.healthz),
    Route("GET", "/readyz", None, health.readyz),
    Route("GET", "/static/{digest}/{name}", None, static_files.static),
    Route("GET", "/enter", None, enter.enter),
    Route("GET", "/login", None, enter.login),
    Route("POST", "/login", None, enter.log_in),
    Route("POST", "/logout", None, enter.log_out),
    Route("GET", "/", Right.LOOK, home.home),
    Route("GET", "/machine", Right.LOOK, home.machine),
    Route("POST", "/display", Right.LOOK, enter.display),
)
