"""What the tests of the desk share: a desk with a viewer of any rights, and requests to each of its routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

from poller.web import desk
from poller.web.rights import ALL, NONE, Right, Viewer
from poller.web.routes import ROUTES

if TYPE_CHECKING:
    from poller.web.route import Route

BASE = "http://localhost"
OWN = {"Sec-Fetch-Site": "same-origin"}
SETS = [
    NONE,
    Right.LOOK,
    Right.VALUES,
    Right.LOOK | Right.VALUES,
    Right.LOOK | Right.OPERATE,
    ALL ^ Right.LOOK,
    ALL,
]
UNSAFE = [each for each in ROUTES if not each.is_safe]
SAMPLES = {"digest": "0" * 16, "name": "desk.css", "id": "1", "run": "1"}


def browser(url: str, rights: Right = ALL, **options: Any) -> TestClient:
    """Return what asks a desk as a browser would that is on its pages."""
    made = desk(url, authorize=lambda _: Viewer("ann", rights), **options)
    return TestClient(made, base_url=BASE, headers=OWN, follow_redirects=False)


def path_of(route: Route) -> str:
    """Return a path of a route."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: SAMPLES[found[1]], route.path)


def named(route: Route) -> str:
    """Return a route's name in the report of a test."""
    return f"{route.method} {route.path}"


def checksum(db: Any) -> list[Any]:
    """Return what orders could have changed."""
    tables = ("handler", "attempt", "claim", "job", "run", "action", "worker")
    return [
        db.execute(
            f"select count(*), md5(coalesce(string_agg(t::text, '' order by t::text), '')) from poller.{each} as t"
        ).fetchone()
        for each in tables
    ]


def confirmed(client: Any, form: dict[str, Any]) -> dict[str, Any]:
    """Return what the form of the confirm page sends."""
    text = client.post("/confirm", data=form).text
    return {**form, **dict(re.findall(r'name="(shown|token)" value="([^"]*)"', text))}
