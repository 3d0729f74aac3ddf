"""The pages that are looked at, by a short name: an address each, of what the shop has."""

from __future__ import annotations

NOWHERE = "postgresql://127.0.0.1:1/nowhere?connect_timeout=1"
PAGES = {
    "home": "/",
    "machine": "/machine?table=public.orders",
    "rows": "/rows?table=public.orders&status=pending",
    "row": "/row?table=public.orders&key=1200",
    "trouble": "/trouble",
    "cause": "/trouble?table=public.orders&status=pending&error=ConnectError&place=client.py:88",
    "jobs": "/jobs",
    "job": "/job?name=sync_prices",
    "runs": "/runs",
    "run": "/runs/3",
    "trigger": "/trigger?name=sync_prices",
    "workers": "/workers",
    "limits": "/limits",
    "alerts": "/alerts",
    "check": "/check",
    "count": "/count?table=public.orders&status=pending",
    "actions": "/actions",
    "find": "/find?q=1200",
    "missing": "/nowhere",
}
