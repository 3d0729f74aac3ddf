"""The table of routes. There is no route beside it: the guard asks it before any endpoint is called."""

from __future__ import annotations

from poller.web import (
    acts,
    alert_pages,
    api_description,
    checks,
    counting,
    enter,
    fleet_pages,
    health,
    home,
    job_pages,
    limits,
    machine,
    search,
    static_files,
    tables,
    troubles,
)
from poller.web.api import BASE
from poller.web.api_routes import CALLS
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
    Route("GET", "/machine", Right.LOOK, machine.machine),
    Route("GET", "/rows", Right.LOOK, tables.rows),
    Route("GET", "/count", Right.LOOK, counting.count),
    Route("GET", "/row", Right.LOOK, tables.row),
    Route("GET", "/trouble", Right.LOOK, troubles.trouble),
    Route("GET", "/jobs", Right.LOOK, job_pages.jobs),
    Route("GET", "/job", Right.LOOK, job_pages.job),
    Route("GET", "/trigger", Right.LOOK | Right.OPERATE, job_pages.trigger),
    Route("GET", "/runs", Right.LOOK, job_pages.runs),
    Route("GET", "/runs/{id:int}", Right.LOOK, job_pages.run),
    Route("GET", "/runs/{id:int}/output", Right.VALUES | Right.LOOK, job_pages.output),
    Route("GET", "/workers", Right.LOOK, fleet_pages.workers),
    Route("GET", "/limits", Right.LOOK, limits.limits),
    Route("GET", "/check", Right.LOOK, checks.check),
    Route("GET", "/actions", Right.LOOK, fleet_pages.actions),
    Route("GET", "/alerts", Right.LOOK, alert_pages.alerts),
    Route("GET", "/find", Right.LOOK, search.find),
    Route("POST", "/confirm", Right.LOOK | Right.OPERATE, acts.confirm),
    Route("GET", "/acts/{id:int}", Right.LOOK, acts.under_way),
    Route("POST", "/acts/{id:int}/stop", Right.LOOK | Right.OPERATE, acts.stop),
    Route("POST", "/display", Right.LOOK, enter.display),
    Route("GET", f"{BASE}/openapi.json", Right.LOOK, api_description.served),
    *(each.route for each in CALLS),
)
