"""The JSON API: it answers what the command line prints, to whom may see it, and refuses what makes no sense."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

from poller import Client
from poller.client.answers import as_json
from poller.web import desk
from poller.web.answers import PROBLEM
from poller.web.api import BASE as API
from poller.web.api_asked import OneRow, query_of
from poller.web.api_routes import CALLS
from poller.web.entrances import accounts
from poller.web.rights import ALL, USUAL, Right, Viewer
from poller.web.routes import ROUTES
from tests.command_line import hold, trouble, value
from tests.engines import moves, run
from tests.harness import wait_until
from tests.times import one_in
from tests.web.desks import BASE, OWN, browser, checksum
from tests.web.fleets import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.command_line import InProcess
    from tests.conftest import Alter

PEOPLED = True
AS_JSON = {"Content-Type": "application/json"}
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
    "alerts": ["alerts"],
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
    "count": "count?table=tenants&status=closing",
    "performance": "performance?table=tenants",
    "upkeep": "upkeep?table=tenants",
    "find": "find?word=6",
    "jobs/next": "jobs/next",
    "runs/{id:int}": "runs/1",
    "runs/{id:int}/output": "runs/1/output",
    "silences": "silences",
    "limits": "limits",
    "limits/keys": "limits/keys",
    "limits/holdups": "limits/holdups",
    "openapi.json": "openapi.json",
}
# What a viewer with the right `values` is shown them in.
WITH_VALUES = {
    *("rows", "row", "trouble", "trouble/groups", "history", "jobs", "runs", "runs/{id:int}"),
    *("runs/{id:int}/output", "actions", "explain", "limits/holdups"),
}
# Each page, and where a program finds what it shows.
PAGES = {
    "/": {"status", "handlers", "graph", "trouble/groups", "jobs/next", "actions", "workers"},
    "/machine": {"graph", "status", "handlers", "performance", "upkeep"},
    "/rows": {"rows"},
    "/count": {"count"},
    "/row": {"row", "history", "explain"},
    "/trouble": {"trouble", "trouble/groups"},
    "/jobs": {"jobs", "runs"},
    "/job": {"jobs", "jobs/next", "runs"},
    "/trigger": {"jobs"},
    "/runs": {"runs"},
    "/runs/{id:int}": {"runs/{id:int}", "runs/{id:int}/output"},
    "/runs/{id:int}/output": {"runs/{id:int}/output"},
    "/workers": {"workers", "inflight"},
    "/actions": {"actions"},
    "/alerts": {"alerts", "silences"},
    "/find": {"find"},
    "/limits": {"limits", "limits/keys", "limits/holdups"},
    "/check": {"check"},
}
NO_DATA = {"/healthz", "/readyz", "/static/{digest}/{name}", "/enter", "/login", "/acts/{id:int}"}


@pytest.fixture
def whole(url: str, db: psycopg.Connection[Any]) -> Iterator[str]:
    """The URL of a database with a fleet, whose every text that may quote a value does."""
    db.execute("update poller.run set error = %s", [f"OSError: {SECRET}"])
    db.execute("update poller.job set args = jsonb_build_object('a', %s::text)", [SECRET])
    Client(url).retry("tenants:closing", error=f"ValueError: error of 7 {SECRET}")
    db.execute("update poller.attempt set state = 'waiting', attempt = 2 where key = '7'")
    db.execute("update poller.event set error = %s, traceback = %s", [SECRET, SECRET])
    with psycopg.connect(url) as other:  # its transaction stays open
        other.execute(f"select '{SECRET}'")
        yield url


@pytest.mark.parametrize("question", one_in(2, SAME))
def test_items_are_those_of_the_command_line(
    here: InProcess, url: str, db: psycopg.Connection[Any], question: str
) -> None:
    """Byte for byte; of handlers in the order of their names, since the database does not know that of the code."""
    ahead = "update poller.job set planned_to = now(), anchor = now(), changed_at = now()"
    db.execute(ahead)  # the fleet's clock was: of that each face tells what it has to do about it
    episode = "insert into poller.episode (subject_type, subject, kind, targets, times)"
    db.execute(f"{episode} values ('job', 'tick', 'failed', '{{}}', 1)")
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


def test_rows_are_filtered_and_listed_both_ways(url: str, db: psycopg.Connection[Any]) -> None:
    """By a column that is shown, and that an index begins with."""
    db.execute("update tenants set note = 'x' where id in (7, 9)")
    # Concurrently: else plans leave it out as long as a transaction elsewhere on the server is older than it.
    db.execute("create index concurrently on tenants (note, id)")
    client = browser(url, tables=SHOW)
    asked: dict[str, Any] = {"table": "tenants", "status": "closing", "by": "note", "is": "x", "limit": 1}
    first = client.get(f"{API}/rows", params=asked).json()
    second = client.get(f"{API}/rows", params=asked | {"after": first["next"]}).json()
    back = client.get(f"{API}/rows", params=asked | {"before": second["previous"]}).json()
    assert [each["items"][0]["key"] for each in (first, second, back)] == ["7", "9", "7"]
    assert client.get(f"{API}/rows", params=asked | {"by": "status"}).status_code == 404


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
    elsewhere = looks.get(f"{API}/{ASKED['count']}", headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403  # it may take half a minute of the database
    causes = looks.get(f"{API}/trouble?selector=tenants").json()["items"]
    assert {each["error"] for each in causes} == {"ValueError shop.py:7"}
    unnamed = browser(whole).get(f"{API}/{ASKED['rows']}").json()["items"]
    assert {*unnamed[0]["values"]} == {"created_at"}


def test_the_docs_name_routes_that_are_there() -> None:
    """In their examples."""
    text = (Path(__file__).parents[2] / "docs" / "desk.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"{API}(/[\w/.]+)", text))
    assert {"/status", "/retry", "/openapi.json"} <= named
    assert named - {"/openapi.json"} <= {each.path.replace("{id:int}", "4711") for each in CALLS}


def test_every_page_shows_what_the_api_has() -> None:
    """A page that is new has its line above, and so a route of the API."""
    pages = {each.path for each in ROUTES if each.is_safe and not each.path.startswith("/api/")}
    assert pages - NO_DATA <= PAGES.keys()
    assert {f"/{each}" for needs in PAGES.values() for each in needs} <= {each.path for each in CALLS}


# --- orders -------------------------------------------------------------------------------------------

# Each order, and what it answers and writes down.
ORDERS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], tuple[str, str, int]]] = {
    "retry": ({"selector": "tenants:closing", "keys": ["6"]}, {"rows": 1}, ("retry", "tenants:closing", 1)),
    "release": ({"selector": "all"}, {"rows": 1, "unknown": []}, ("release", "all", 1)),
    "move": ({"selector": "tenants:10", "to": "kept"}, {"rows": 1, "left": []}, ("move", "tenants:10", 1)),
    "jobs/trigger": ({"job": "tick", "args": {}}, {"run": 3, "job": "tick"}, ("trigger", "tick", 1)),
    "jobs/pause": ({"job": "tick", "for": "1h"}, {"changed": True}, ("pause", "tick", 1)),
    "jobs/resume": ({"job": "tick"}, {"changed": True}, ("resume", "tick", 1)),
    "handlers/pause": ({"handler": "tenants"}, {"changed": True, "until": None}, ("pause", "tenants", 2)),
    "handlers/resume": ({"handler": "tenants:closing"}, {"changed": True}, ("resume", "tenants:closing", 1)),
    "silence": ({"name": "ti*", "for": "2h", "reason": "why"}, {"subjects": ["tick"]}, ("silence", "ti*", 1)),
    "runs/3/cancel": (None, {"run": 3, "is_running": False}, ("cancel", "3", 1)),
}


def test_each_order_is_carried_out_and_written_down(url: str, db: psycopg.Connection[Any]) -> None:
    """With the viewer's name, and that it came by the API."""
    client = browser(url)
    orders = {each.path.replace("{id:int}", "3") for each in CALLS if each.method == "POST"}
    assert orders == {f"/{each}" for each in ORDERS}
    for path, (body, told, logged) in ORDERS.items():
        answer = client.post(f"{API}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        assert told.items() <= answer.json().items(), path
        question = "select action, target, affected, via, actor from poller.action order by id desc limit 1"
        row = db.execute(question).fetchone()
        assert row is not None
        assert row[:4] == (*logged, "api")
        assert "(ann)" in row[4]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("jobs/pause", {"job": "tenants"}, 404, "there is no job 'tenants'"),
        ("handlers/pause", {"handler": "tick"}, 404, "tick is a job"),
        ("runs/1/cancel", None, 404, "has ended already"),
        ("runs/1/cancel", {}, 404, "has ended already"),
        ("runs/3/cancel", {"force": True}, 422, "unknown field `force`"),
        ("runs/3/cancel?force=1", None, 400, "unknown field `force`"),
        ("runs/99999999999999999999/cancel", None, 404, "no run with this number"),
        ("retry", {"selector": "tenants:pending"}, 404, "no row"),
        ("retry", {"selector": "nowhere"}, 404, "no handler"),
        ("move", {"selector": "tenants:10"}, 422, "missing required field `to`"),
        ("move", {"selector": "tenants", "to": "kept"}, 422, "name a status"),
        ("jobs/trigger", {"job": "tick", "arguments": {}}, 422, "unknown field `arguments`"),
        ("jobs/pause", {"job": "tick", "for": "soon"}, 422, "is not a duration"),
        ("silence", {"name": "tick", "for": "soon"}, 422, "is not a duration"),
        ("silence", {"name": "nothing", "for": "1h"}, 404, "is named 'nothing'"),
    ],
)
def test_an_order_that_cannot_be_is_refused(  # noqa: PLR0913, PLR0917 - a table
    url: str, db: psycopg.Connection[Any], path: str, body: Any, status: int, said: str
) -> None:
    """In a line that says why; nothing has changed."""
    before = checksum(db)
    answer = browser(url).post(f"{API}/{path}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert said in answer.json()["detail"]
    assert answer.json()["status"] == status
    assert checksum(db) == before


def test_more_than_a_thousand_rows_need_the_right_to_move(url: str, db: psycopg.Connection[Any]) -> None:
    """As on the pages; also where the order names no number."""
    number = value(db, "select id from poller.handler where status = 'closing'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, error, visit)"
        " select %s, n::text, 'parked', 5, 1, 1, 'ValueError', gen_random_uuid() from generate_series(100, 1200) n",
        [number],
    )
    before = checksum(db)
    usual = browser(url, USUAL)
    refused = usual.post(f"{API}/retry", json={"selector": "all"})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "an order on more than 1,000 rows needs the right move",
    )
    assert checksum(db) == before
    assert usual.post(f"{API}/retry", json={"selector": "all", "keys": ["6"]}).status_code in {200, 403}
    assert browser(url).post(f"{API}/retry", json={"selector": "all"}).json()["rows"] >= 1101


def test_an_order_for_an_error_of_more_than_a_thousand_rows_is_not_cut_in_silence(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """A cause is counted, and refused; of what cannot be counted a thousand rows are done, and the answer says so."""
    number = value(db, "select id from poller.handler where status = 'closing'")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, error, kind, visit)"
        " select %s, n::text, 'parked', 5, 1, 1, 'KeyError: of ' || n, 'KeyError', gen_random_uuid()"
        " from generate_series(1001, 2200) n",
        [number],
    )
    before = checksum(db)
    usual, order = browser(url, USUAL), {"selector": "tenants:closing"}
    for error in ("KeyError", "KeyError "):
        assert usual.post(f"{API}/retry", json=order | {"error": error}).status_code == 403
    assert checksum(db) == before
    assert usual.post(f"{API}/retry", json=order | {"error": "no such"}).status_code == 404
    done = [usual.post(f"{API}/retry", json=order | {"error": "Error: of"}).json() for _ in range(2)]
    assert [(each["rows"], each["stopped"]) for each in done] == [(1000, True), (200, False)]
    hold(db, number, *map(str, range(1001, 2201)))
    done = [usual.post(f"{API}/release", json=order | {"error": "KeyError"}).json() for _ in range(2)]
    assert [(each["rows"], each["stopped"]) for each in done] == [(1000, True), (200, False)]


def test_a_move_that_a_table_refuses_tells_its_words_to_whom_may_see_values(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """They may quote any value."""
    db.execute(
        f"create function no() returns trigger language plpgsql as $$ begin raise '{SECRET}'; end $$;"
        " create trigger no before update on tenants for each row when (old.id = 9) execute function no()"
    )
    for keys in (["9"], ["9", "10"]):
        order = {"selector": "tenants:closing", "to": "kept", "keys": keys}
        hidden = browser(url, ALL ^ Right.VALUES).post(f"{API}/move", json=order)
        assert SECRET not in hidden.text
        db.execute("update tenants set status = 'closing' where id = 10")
        assert SECRET in browser(url).post(f"{API}/move", json=order).text


def test_a_retry_that_a_table_refuses_tells_its_words_to_whom_may_see_values(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """As a move: others are told how many rows are kept in their `during`."""
    key = str(value(db, "insert into tenants (status) values ('busy') returning id"))
    trouble(db, value(db, "select id from poller.handler where status = 'pending'"), key)
    db.execute(
        f"create function no() returns trigger language plpgsql as $$ begin raise '{SECRET}'; end $$;"
        " create trigger no before update on tenants for each row when (old.status = 'busy') execute function no()"
    )
    order = {"selector": f"tenants:pending:{key}"}
    hidden = browser(url, ALL ^ Right.VALUES).post(f"{API}/retry", json=order)
    assert (hidden.json()["kept"], hidden.json()["why"]) == (1, [])
    assert SECRET not in hidden.text
    assert SECRET in browser(url).post(f"{API}/retry", json=order).json()["why"][0]


def test_a_key_is_what_it_is(url: str, db: psycopg.Connection[Any]) -> None:
    """Also one of odd characters: in an address, in a body, and in what is told."""
    db.execute("alter table tenants add column name text")
    db.execute("create table odd (id text primary key, status text not null)")
    run(url, moves("odd"))
    keys = ["a\nb", "\u202eabc", "", "a%0Ab", "../x?y#z", '["a","b"]', "ä" * 1000]
    client = browser(url)
    for number, key in enumerate(keys, 1):
        db.execute("insert into odd values (%s, 'pending')", [key])
        assert client.get(f"{API}/row", params={"table": "odd", "key": key}).json()["key"] == key
        order = {"selector": "odd:pending", "keys": [key], "to": "normal"}
        assert client.post(f"{API}/move", json=order).json()["rows"] == 1
        assert value(db, "select count(*) from odd where status = 'normal'") == number
        assert client.get(f"{API}/history", params={"table": "odd", "key": key}).json()["items"]
    listed = client.get(f"{API}/rows?table=odd&status=normal").json()["items"]
    assert {each["key"] for each in listed} == {*keys}


# --- an order that is sent again ----------------------------------------------------------------------


def test_a_run_is_triggered_once_for_a_key(url: str, db: psycopg.Connection[Any]) -> None:
    """Over several desks; another person's key is another, and another order is refused."""
    ann, again = browser(url), browser(url)
    order, key = {"job": "tick", "args": {"a": 1}}, {"Idempotency-Key": '"8e03-1"'}
    answers = [each.post(f"{API}/jobs/trigger", json=order, headers=key) for each in (ann, again, ann)]
    assert {each.text for each in answers} == {'{"run": 3, "job": "tick", "is_paused": false}'}
    assert value(db, "select count(*) from poller.run") == 3
    assert ann.post(f"{API}/jobs/trigger", json={"job": "tick"}, headers=key).status_code == 422
    bob = TestClient(desk(url, authorize=lambda _: Viewer("bob", ALL)), base_url=BASE, headers=OWN)
    assert bob.post(f"{API}/jobs/trigger", json=order, headers=key).json()["run"] == 4
    assert ann.post(f"{API}/jobs/trigger", json=order).json()["run"] == 5
    db.execute("update poller.action set at = at - interval '25 h'")
    assert ann.post(f"{API}/jobs/trigger", json=order, headers=key).json()["run"] == 6
    for wrong in ("", "x" * 201, "two words"):
        refused = ann.post(f"{API}/jobs/trigger", json=order, headers={"Idempotency-Key": wrong})
        assert refused.status_code == 400


def test_a_key_that_comes_twice_at_the_same_time_makes_one_run(
    url: str, db: psycopg.Connection[Any], alter: Alter
) -> None:
    """The second waits until the first is committed, and reads what that has made."""
    waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    alter("lock_word", "'poller order ' || %(word)s", "'poller order'")
    with psycopg.connect(url) as gate, ThreadPoolExecutor() as threads:
        gate.execute("select pg_advisory_xact_lock(hashtextextended('poller order', 0))")
        orders = [
            threads.submit(Client(url).trigger, "tick", {"a": 1}, once="the same word") for _ in range(3)
        ]
        wait_until("all wait", lambda: value(db, waits) == 3)
        gate.rollback()
        assert len({each.result().run for each in orders}) == 1
    assert value(db, "select count(*) from poller.run") == 3


# --- whom it lets in, and what it refuses -------------------------------------------------------------


def test_a_program_comes_in_with_its_token(tmp_path: Path, url: str, db: psycopg.Connection[Any]) -> None:
    """It needs no `Sec-Fetch-Site`; one that says another site is refused, whatever else it brings."""
    file = tmp_path / "desk.toml"
    digest = hashlib.sha256(b"secret").hexdigest()
    file.write_text(f'[tokens.ci]\nsha256 = "{digest}"\nrights = "look, operate"\n')
    file.chmod(0o600)
    client = TestClient(desk(url, authorize=accounts(file)), base_url=BASE)
    token, order = {"Authorization": "Bearer secret"}, {"job": "tick"}
    before = checksum(db)
    for headers, status in [
        ({}, 403),
        (OWN, 401),
        ({"Authorization": "Bearer other"}, 401),
        (token | {"Sec-Fetch-Site": "cross-site"}, 403),
        (token | {"Origin": "null"}, 403),
        (token | {"Host": "evil.example"}, 421),
    ]:
        answer = client.post(f"{API}/jobs/trigger", json=order, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), headers
    assert client.get(f"{API}/status").status_code == 401
    assert checksum(db) == before
    assert client.post(f"{API}/jobs/trigger", json=order, headers=token).status_code == 200
    assert client.get(f"{API}/status", headers=token).status_code == 200
    assert client.get(f"{API}/runs/1/output", headers=token).status_code == 403


POISON = (
    "update poller.run set done = 'NaN', total = 'infinity' where id = 1",
    "update poller.run set output = E'\\x1b]52;c;\\x07' || repeat(U&'\\202E', 1000), error = E'\\x1b[2J' where id = 2",
    "update poller.job set schedule = 'what?', tz = 'Nowhere', args = '{\"a\": 1e400}'",
    "insert into poller.job (name, function, declared) values (E'<img>\\x1b\\u202e', 'tick', true)",
    "update poller.attempt set next_at = 'infinity', error = E'\\x1b[2J\\u202e' where key = '6'",
    "update poller.worker set host = E'<img>\\n', heartbeat_at = '-infinity', started_at = 'infinity'",
    "update poller.event set at = 'infinity', seconds = 'NaN' where key = '1'",
    "alter table tenants add at timestamptz default 'infinity', add number float8 default 'NaN'",
    "alter table tenants add day date default '5000000-01-01', add bytes bytea default '\\xff'",
)


def test_what_cannot_be_read_costs_itself_only(url: str, db: psycopg.Connection[Any]) -> None:
    """Each question is answered, in JSON that everybody reads; orders about it go by its name."""
    Client(url).retry("tenants:closing:7")
    for statement in POISON:
        db.execute(statement)
    client = browser(url, tables={"tenants": {"show": "*"}})
    for path in ASKED.values():
        answer = client.get(f"{API}/{path}")
        assert answer.status_code == 200, (path, answer.text)
        json.loads(answer.content, parse_constant=pytest.fail)
        assert b"\x1b" not in answer.content
    for path, body in (("pause", {}), ("resume", {}), ("trigger", {}), ("trigger", {"args": {}})):
        assert client.post(f"{API}/jobs/{path}", json={"job": "tick"} | body).status_code == 200, path


def test_a_handler_that_has_gone_to_another_column_is_told_with_the_former(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """As long as the table has both columns: what is registered is no package, and nothing in it is refused."""
    db.execute("create table inv (id int primary key, state text, state2 text)")
    db.execute("insert into inv values (1, 'open', null), (2, null, 'open')")
    for column in ("state", "state2"):
        run(url, moves("inv", lambda _: None, status="open", to="sent", column=column))
    client = browser(url)
    items = client.get(f"{API}/status").json()["items"]
    told = {(each["column"], each["status"], each["rows"]) for each in items if each["table"] == "public.inv"}
    assert {("state", "sent", 1), ("state2", "sent", 1)} <= told
    items = client.get(f"{API}/handlers").json()["items"]
    inv = [(each["column"], each["status"]) for each in items if each["table"] == "public.inv"]
    assert inv == [("state", "open"), ("state2", "open")]
    assert all("column" not in each for each in items if each["table"] != "public.inv")
    without_code = Client(url, Client(url).registered())  # as the terminal screen has one
    assert len([each for each in without_code.status().items if each.status == "sent"]) == 2


def test_a_mounted_desk_has_its_api_below_its_path(url: str) -> None:
    """Its description says where; what is refused there is a problem, too, and the host's own pages are not."""
    inner = desk(url, authorize=lambda _: Viewer("ann", Right.LOOK))
    client = TestClient(Starlette(routes=[Mount("/ops", inner)]), base_url=BASE, headers=OWN)
    assert client.get(f"/ops{API}/openapi.json").json()["servers"] == [{"url": f"/ops{API}"}]
    assert client.get(f"/ops{API}/workers").status_code == 200
    for path, status in (
        (f"/ops{API}/nowhere", 404),
        (f"/ops{API}/runs/1/output", 403),
        (f"/ops{API}/retry", 405),
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert client.get(f"{API}/workers").headers["content-type"].startswith("text/plain")


DEEP = 5000
BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "no JSON": (b"job=tick", 400),
    "no UTF-8": (b'{"job": "\xff"}', 400),
    "NaN": (b'{"job": "tick", "args": {"a": NaN}}', 400),
    "infinite": (b'{"job": "tick", "args": {"a": 1e999}}', 422),
    "many digits": (b'{"job": "tick", "args": {"a": ' + b"9" * DEEP + b"}}", 422),
    "deep": (b'{"job": "tick", "args": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}", 400),
    "deep objects": (b'{"job": "tick", "args": ' + b'{"a": ' * DEEP + b"1" + b"}" * DEEP + b"}", 400),
    "half a surrogate": (b'{"job": "\\ud800"}', 400),
    "half a surrogate in args": (b'{"job": "tick", "args": {"a": "\\udc00"}}', 400),
    "a NUL": (b'{"job": "ti\\u0000ck"}', 422),
    "a NUL in args": (b'{"job": "tick", "args": {"a\\u0000": 1}}', 422),
    "a list": (b"[]", 422),
    "args of a list": (b'{"job": "tick", "args": []}', 422),
    "too long": (b'{"job": "' + b"x" * 300_000 + b'"}', 413),
}
QUERIES = {
    "rows?table=tenants&status=closing&column=%00": 400,
    "rows?table=%ff&status=closing": 400,
    "rows?table=tenants&status=%ED%B0%80": 400,
    "rows?table=tenants&status=nowhere&column=nowhere": 404,
    "row?table=tenants&key=x": 400,
    "row?table=tenants&key=999": 404,
    "row?table=nowhere&key=1": 404,
    "trouble?limit=" + "9" * DEEP: 400,
    "trouble?limit=0": 400,
    "trouble?limit=1.5": 400,
    "trouble?limit=1&limit=2": 400,
    "trouble?after=WyJhIl0": 400,
    "trouble?order=key": 400,
    "runs?after=WyI5OTk5LTk5LTk5IDk5Ojk5Ojk5KzAwIiwxXQ": 400,
    "history?table=tenants&key=1&back=soon": 400,
    "explain?selector=tenants": 400,
    "runs/" + "9" * DEEP: 404,
    "nowhere": 404,
}


def test_what_makes_no_sense_is_refused_at_once(url: str, db: psycopg.Connection[Any]) -> None:
    """As a problem, within a part of a second of this process; nothing has changed."""
    client = browser(url)
    before = checksum(db)
    answers = {
        name: _refused(lambda body=body: client.post(f"{API}/jobs/trigger", content=body, headers=AS_JSON))
        for name, (body, _) in BODIES.items()
    }
    assert answers == {name: status for name, (_, status) in BODIES.items()}
    kinds = {
        _refused(lambda kind=kind: client.post(f"{API}/retry", content=b"{}", headers=kind))
        for kind in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"})
    }
    assert kinds == {415}
    assert {path: _refused(lambda path=path: client.get(f"{API}/{path}")) for path in QUERIES} == QUERIES
    assert checksum(db) == before
    with pytest.raises(HTTPException, match="more than 65,536 bytes"):  # no client sends that
        query_of(Request({"type": "http", "query_string": b"table=" + b"x" * 70_000}), OneRow)


def _refused(ask: Callable[[], Any]) -> int:
    began = process_time()
    answer = ask()
    assert process_time() - began < 0.4
    assert answer.headers["content-type"] == PROBLEM, str(answer.url)
    assert answer.json()["status"] == answer.status_code
    return int(answer.status_code)


def test_a_fault_is_a_problem_too(url: str) -> None:
    """Of the database's, of the desk's own, of a session that is over, of a method."""
    away = browser("postgresql://127.0.0.1:1/nowhere")

    def broken(_: object) -> Viewer:
        raise RuntimeError(SECRET)

    own = TestClient(desk(url, authorize=broken), base_url=BASE, raise_server_exceptions=False)
    answers = [
        (away.get(f"{API}/workers"), 503),
        (away.post(f"{API}/jobs/pause", json={"job": "tick"}), 503),
        (own.get(f"{API}/workers"), 500),
        (away.post(f"{API}/workers"), 405),
        (away.get(f"{API}/retry"), 405),
    ]
    for answer, status in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
        assert {*answer.json()} == {"type", "title", "status", "detail"}
        assert SECRET not in answer.text
