"""The JSON API: it answers what the command line prints, to whom may see it, and refuses what makes no sense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client
from poller.client.answers import as_json
from poller.web.api import BASE as API
from poller.web.api_routes import CALLS
from poller.web.rights import ALL, USUAL, Right
from poller.web.routes import ROUTES
from tests.web.desks import browser
from tests.web.fleets import SECRET

if TYPE_CHECKING:
    import psycopg

    from tests.command_line import InProcess

PEOPLED = True
SHOW = {"tenants": {"show": ["note"]}}
FLEET = ["--handlers", "tests.web.fleets"]

# A question, and the command that asks the same.
SAME: dict[str, list[str]] = {
    "status": ["status", *FLEET],
    "handlers": ["handlers", *FLEET],
    "inflight": ["inflight"],
    "trouble": ["failures"],
    "trouble/groups": ["failures", "--group"],
    "history?table=tenants&key=1": ["history", "tenants", "1"],
    "jobs": ["jobs"],
    "runs": ["runs"],
    "workers": ["workers"],
    "check": ["check", *FLEET],
    "actions": ["actions"],
    "explain?selector=tenants:closing:6": ["explain", "tenants:closing:6"],
    "explain?selector=tenants:closing": ["explain", "tenants:closing"],
    "graph": ["graph", "--format"],
    "graph?table=tenants&counts=true": ["graph", "tenants", "--counts", "--format"],
}
# Each question, as it is asked of the fleet.
ASKED = {
    **{path.partition("?")[0]: path for path in SAME},
    "explain": "explain?selector=tenants:closing:6",
    "history": "history?table=tenants&key=7",
    "rows": "rows?table=tenants&status=closing",
    "row": "row?table=tenants&key=6",
    "jobs/next": "jobs/next",
    "runs/{id:int}": "runs/1",
    "runs/{id:int}/output": "runs/1/output",
    "limits": "limits",
    "openapi.json": "openapi.json",
}
# What a viewer with the right `values` is shown them in.
WITH_VALUES = {
    *("rows", "row", "trouble", "trouble/groups", "history", "jobs", "runs", "runs/{id:int}"),
    *("runs/{id:int}/output", "actions", "explain"),
}
# Each page, and where a program finds what it shows.
PAGES = {
    "/": {"status", "handlers", "graph", "trouble/groups", "jobs/next", "actions", "workers"},
    "/machine": {"graph", "status", "handlers"},
    "/rows": {"rows"},
    "/row": {"row", "history", "explain"},
    "/trouble": {"trouble", "trouble/groups"},
    "/jobs": {"jobs", "runs"},
    "/job": {"jobs", "jobs/next", "runs"},
    "/runs": {"runs"},
    "/runs/{id:int}": {"runs/{id:int}", "runs/{id:int}/output"},
    "/runs/{id:int}/output": {"runs/{id:int}/output"},
    "/workers": {"workers", "inflight"},
    "/actions": {"actions"},
    "/find": {"row", "jobs", "runs/{id:int}", "graph"},
    "/limits": {"limits"},
    "/check": {"check"},
}
NO_DATA = {"/healthz", "/readyz", "/static/{digest}/{name}", "/enter", "/login", "/acts/{id:int}"}


@pytest.fixture
def whole(url: str, db: psycopg.Connection[Any]) -> str:
    """The URL of a database with a fleet, whose every text that may quote a value does."""
    db.execute("update poller.run set error = %s", [f"OSError: {SECRET}"])
    db.execute("update poller.job set args = jsonb_build_object('a', %s::text)", [SECRET])
    Client(url).retry("tenants:closing", error=f"ValueError: error of 7 {SECRET}")
    db.execute("update poller.attempt set state = 'waiting', attempt = 2 where key = '7'")
    db.execute("update poller.event set error = %s, traceback = %s", [SECRET, SECRET])
    return url


@pytest.mark.parametrize("question", SAME)
def test_items_are_those_of_the_command_line(
    here: InProcess, url: str, db: psycopg.Connection[Any], question: str
) -> None:
    """Byte for byte; of handlers in the order of their names, since the database does not know that of the code."""
    ahead = "update poller.job set planned_to = now(), anchor = now(), changed_at = now()"
    db.execute(ahead)  # the fleet's clock was: of that each face tells what it has to do about it
    Client(url).retry("tenants:closing:6")
    form = "json" if SAME[question][-1] == "--format" else "--json"
    command = [*SAME[question], form]
    before = here.run(*command)
    found = browser(url).get(f"{API}/{question}").json()
    after = here.run(*command)  # rates may have changed since the first
    printed = [json.loads(each.stdout) for each in (before, after)]
    assert as_json(printed[0], indent=2) == before.stdout.rstrip()
    told = found.get("items", found)
    assert told
    assert _lines(told) in [_lines(each) for each in printed]


def _lines(found: Any) -> list[str]:
    """Return each object as it is printed, without the age of heartbeats."""
    objects = found if isinstance(found, list) else [found]
    return sorted(as_json({k: v for k, v in each.items() if k != "heartbeat_age"}) for each in objects)


def test_a_listing_comes_page_by_page(url: str) -> None:
    """Each says where the next begins, when it was read, and whether its numbers were counted."""
    client = browser(url)
    first = client.get(f"{API}/trouble?limit=1").json()
    second = client.get(f"{API}/trouble", params={"limit": 1, "after": first["next"]}).json()
    assert [*first] == ["items", "next", "as_of", "exact"]
    assert [each["items"][0]["key"] for each in (first, second)] == ["7", "6"]
    assert (second["next"], second["exact"]) == (None, True)


def test_each_question_is_answered_by_the_rights_of_the_viewer(whole: str) -> None:
    """No value in any answer for whom may not see values; and what is looked for is there to be seen."""
    questions = {each.path[1:]: each for each in CALLS if each.method == "GET"}
    assert questions.keys() <= ASKED.keys()
    viewers = [browser(whole, rights, tables=SHOW) for rights in (Right.LOOK, ALL ^ Right.VALUES, USUAL)]
    looks, acts, *sees = viewers
    shown = set()
    for path, call in questions.items():
        for client in (looks, acts):
            answer = client.get(f"{API}/{ASKED[path]}")
            assert SECRET not in answer.text + str(answer.headers), path
            assert answer.status_code == (403 if Right.VALUES in call.right else 200), path
        for client in sees:
            answer = client.get(f"{API}/{ASKED[path]}")
            assert answer.status_code == 200, path
            shown |= {path} if SECRET in answer.text else set()
    assert shown == WITH_VALUES
    causes = looks.get(f"{API}/trouble?selector=tenants").json()["items"]
    assert {each["error"] for each in causes} == {"ValueError shop.py:7"}
    unnamed = browser(whole).get(f"{API}/{ASKED['rows']}").json()["items"]
    assert {*unnamed[0]["values"]} == {"created_at"}


def test_every_page_shows_what_the_api_has() -> None:
    """A page that is new has its line above, and so a route of the API."""
    pages = {each.path for each in ROUTES if each.is_safe and not each.path.startswith("/api/")}
    assert pages - NO_DATA <= PAGES.keys()
    assert {f"/{each}" for needs in PAGES.values() for each in needs} <= {each.path for each in CALLS}
