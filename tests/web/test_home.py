"""The home page, and the one look that all share: what it costs, and what it shows when something is away."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import fixed_rate
from poller.client import brief_sessions
from poller.client.database import DatabaseLocation, LookingConnection
from poller.client.overview import Watch
from poller.testing import Engine
from poller.tui.looks import Away, Looker
from poller.web import snapshot
from poller.web.rights import ALL, Right
from tests.command_line import hold, trouble
from tests.engines import moves
from tests.harness import wait_until
from tests.web.desks import browser
from tests.web.fleets import SECRET

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PEOPLED = True

LOOK = Right.LOOK
SESSIONS = (
    "select count(*) from pg_stat_activity where application_name = 'poller desk' and leader_pid is null"
    " and datname = current_database()"
)


def named(name: str) -> Any:
    """Return a function of this name."""

    def does() -> None:
        """Sweep."""

    does.__name__ = does.__qualname__ = name
    return does


@pytest.fixture
def page(url: str, db: psycopg.Connection[Any]) -> TestClient:
    """A desk about a fleet, for a viewer who may all."""
    return browser(url)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each look that was taken."""
    taken: list[int] = []
    plain = Watch.look
    monkeypatch.setattr(Watch, "look", lambda eye, **how: (taken.append(1), plain(eye, **how))[1])
    return taken


def test_the_home_page_shows_the_fleet(page: TestClient) -> None:
    """Each status of each machine, drawn and beneath as a table, with the same numbers."""
    text = page.get("/").text
    for status, rows in (("pending", 0), ("busy", 0), ("normal", 5), ("closing", 5), ("stuck", 0)):
        assert f'aria-label="{status}: {rows} rows' in text
        assert re.search(rf'status={status}">{status}</a><td>{rows}<td>', text)
    assert "closing: 5 rows, 1 in flight, 1 waiting, 1 parked" in text
    assert "ValueError" in text
    assert ">tick</a>" in text
    assert "style=" not in text


def test_the_page_of_a_large_fleet_is_small(url: str, db: psycopg.Connection[Any]) -> None:
    """60 KiB before it is compressed: ten tables, 20 handlers and 20 jobs, with rows in flight and in trouble."""
    work: list[Any] = [fixed_rate("1h")(named(f"sweep_{number}")) for number in range(20)]
    for name in (f"parcel_{number}" for number in range(9)):  # besides the tenants
        db.execute(
            f"create table {name} (id int primary key, status text, created_at timestamptz default now());"
            f"insert into {name} select n, (array['pending', 'held', 'normal'])[1 + n % 3]"
            " from generate_series(1, 9000) as n"
        )
        work += [moves(name), moves(name, status="held", to=("normal", "lost"))]
    with Engine(url, *work):
        pass
    known = "select id from poller.handler where table_name like '%parcel%' and status = 'pending'"
    for (number,) in db.execute(known).fetchall():
        trouble(db, number, "3")
        trouble(db, number, "6", "waiting", 2)
        hold(db, number, "9")
    text = browser(url).get("/").text
    assert text.count('<svg class="graph') == 20
    assert text.count("pending: 3,000 rows, 1 in flight, 1 waiting, 1 parked") == 18
    assert len(text.encode()) <= 60 * 1024


def test_whoever_may_only_look_sees_no_value_and_no_act(url: str, page: TestClient) -> None:
    """Buttons without right are absent, and so is what may quote values."""
    looking = browser(url, LOOK).get("/").text
    assert SECRET not in looking
    assert 'action="/confirm"' in page.get("/").text
    assert 'action="/confirm"' not in looking


def test_fifty_browsers_cost_what_one_costs(page: TestClient, looks: list[int]) -> None:
    """They share one look, however many they are."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: page.get("/").status_code, range(50)))
    assert answers == [200] * 50
    assert len(looks) <= 3


def test_nobody_is_looked_for_when_nobody_looks(
    page: TestClient, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look's connection is closed with its thread, then those of questions; the next viewer has all opened again."""
    monkeypatch.setattr(snapshot, "EVERY", 0.05)
    monkeypatch.setattr(snapshot, "SHARE", 0)
    monkeypatch.setattr(brief_sessions, "IDLE_SECONDS", 0.3)
    page.get("/")
    seen = page.app._inner.state.desk.snapshot  # type: ignore[attr-defined]
    thread = seen._thread
    assert db.execute(SESSIONS).fetchone() in {(1,), (2,)}, (
        "on a busy machine that of questions is closed already"
    )
    monkeypatch.setattr(snapshot, "WATCHED", 0.3)
    wait_until("it looks no more", lambda: seen._thread is None)
    thread.join()
    wait_until("their backends have ended", lambda: db.execute(SESSIONS).fetchone() == (0,))
    assert page.get("/").status_code == 200


@pytest.mark.parametrize("name", ["HX-PTag", "If-None-Match"])
def test_what_has_not_changed_is_not_sent_again(
    page: TestClient, db: psycopg.Connection[Any], name: str
) -> None:
    """Forty bytes; to another viewer, of another page or in another look it is something else."""
    db.execute("delete from poller.claim")
    first = page.get("/")
    tag = first.headers["ETag" if name == "If-None-Match" else name]
    same = page.get("/", headers={name: tag})
    assert (same.status_code, same.content) == (304, b"")
    assert sum(len(key) + len(value) + 4 for key, value in same.headers.items()) < 900
    assert page.get("/?x=1", headers={name: tag}).status_code == 200
    if name == "If-None-Match":  # of what a proxy between keeps for several viewers
        assert page.get("/", headers={name: f'"another", {tag}'}).status_code == 304
    assert page.get("/machine?table=public.tenants", headers={name: tag}).status_code == 200
    page.cookies.set("session", "of the host, new with each request")
    assert page.get("/", headers={name: tag}).status_code == 304
    page.cookies.set("poller_theme", "dark")
    assert page.get("/", headers={name: tag}).status_code == 200


def test_what_is_asked_for_by_a_page_is_its_part(page: TestClient) -> None:
    """Without the frame, which stays."""
    part = page.get("/", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "public.tenants" in part


def test_the_page_is_as_it_was_asked_to_be(page: TestClient) -> None:
    """Kept in cookies, so that the server renders it; nonsense in them is ignored."""
    page.post("/display", data={"theme": "dark", "refresh": "10", "zone": "local", "next": "/"})
    text = page.get("/").text
    assert 'data-theme="dark"' in text
    assert 'data-refresh="10" data-zone="local"' in text
    for each in ("theme", "refresh", "zone"):
        page.cookies.set(f"poller_{each}", '"><script>')
    assert '"><script>' not in page.get("/").text


def test_a_slot_that_has_come_is_now(page: TestClient, db: psycopg.Connection[Any]) -> None:
    """It waits for its planner, and is not in the past."""
    db.execute("update poller.job set next_at = poller.now() - interval '5 s' where schedule is not null")
    assert re.search(
        r'data-label="Next" class="fit"><time [^>]* data-due>now</time></td>', page.get("/jobs").text
    )
    assert re.search(r'class="num"><time [^>]* data-due>now</time></td>', page.get("/").text)


def test_without_handlers_it_says_how_to_have_one(url: str, db: psycopg.Connection[Any]) -> None:
    """In three lines of code."""
    db.execute("truncate poller.handler cascade")
    assert "No handler is known yet" in browser(url).get("/").text


def test_without_a_schema_it_says_so(empty_url: str) -> None:
    """And the probe does."""
    client = browser(empty_url)
    assert "not ready for poller" in client.get("/").text
    assert client.get("/readyz").json() == {"status": "not ready", "not_ready": ["schema"]}


def test_a_database_that_refuses_is_not_ready(url: str, db: psycopg.Connection[Any]) -> None:
    """A probe is told so in JSON, as of any other reason."""
    with db.transaction():
        db.execute("lock table poller.worker")
        answer = browser(url).get("/readyz")
    assert (answer.status_code, answer.json()["not_ready"]) == (503, ["database"])


def test_a_database_that_is_away_leaves_the_last_picture(
    page: TestClient, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its age, and what is wrong; it is itself again as soon as the database is back."""
    monkeypatch.setattr(snapshot, "EVERY", 0.05)
    monkeypatch.setattr(snapshot, "SHARE", 0)
    assert "does not answer" not in page.get("/").text
    plain = Watch.look

    def away(_: Watch, **__: object) -> Any:
        raise snapshot.PollerError("cannot connect to the database: refused")

    monkeypatch.setattr(Watch, "look", away)
    wait_until("it is told", lambda: "The database does not answer" in page.get("/").text)
    text = page.get("/").text
    assert "what is below was seen" in text
    assert "public.tenants" in text
    monkeypatch.setattr(Watch, "look", plain)
    wait_until("it is back", lambda: "does not answer" not in page.get("/").text)


def test_a_database_that_refuses_is_said_to_and_why(url: str, db: psycopg.Connection[Any]) -> None:
    """By each page's banner and each problem, as by the live screen; without a name or an address."""
    db.execute("create role crowd login connection limit 0")
    try:
        for change, words in {
            "user=crowd": "no connection free: too many are open",
            "user=stranger": "no such role, or it may not log in",
            "dbname=elsewhere": "no database of this name",
        }.items():
            there = psycopg.conninfo.make_conninfo(url, **dict([change.split("=")]))
            client = browser(there)
            home, workers, problem = (client.get(each) for each in ("/", "/workers", "/api/v1/workers"))
            assert "The database refuses the desk" in home.text
            assert workers.status_code == problem.status_code == 503
            assert words in problem.json()["detail"]
            away = Looker(LookingConnection(DatabaseLocation(there), "top"), None).look([])
            assert isinstance(away, Away)
            for text in (home.text, workers.text, problem.text, away.why):
                assert words in text
                assert not re.search(r"crowd|stranger|127\.0\.0\.1", text), text
    finally:
        db.execute("drop role crowd")


def test_a_table_that_is_locked_is_told_and_the_rest_is_there(url: str, page: TestClient) -> None:
    """Within a second, not when the lock is gone."""
    with psycopg.connect(url) as other:
        other.execute("lock table tenants in access exclusive mode")
        text = page.get("/").text
    assert "not counted: another session has its table locked" in text
    assert "ValueError" in text


def test_a_table_that_nobody_handles_has_no_page(page: TestClient) -> None:
    """404; with one it has."""
    assert page.get("/machine?table=nothing").status_code == 404
    assert "Leads to" in page.get("/machine?table=public.tenants").text


def test_the_page_of_a_machine_tells_how_it_does_and_is_kept(
    url: str, page: TestClient, db: psycopg.Connection[Any]
) -> None:
    """Each part for itself: as a picture and as a table; one that cannot be told leaves the others."""
    path = "/machine?table=public.tenants&back="
    text = page.get(f"{path}24h").text
    assert '<svg class="stacked"' in text
    assert "5 moved, 0 failed, 0 parked" in text
    assert re.search(r'data-label="Moved" class="num">5</td>', text)
    assert re.search(r'data-label="p95" class="num">\d+ ms', text)
    assert "tenants_pkey" in text
    assert 'aria-current="true">24h</a>' in text
    assert "style=" not in text
    assert page.get(f"{path}8d").status_code == 404
    db.execute("truncate poller.tally; revoke all on poller.tally from public")
    assert "Nothing was done in the last 7d" in page.get(f"{path}7d").text
    with psycopg.connect(url) as other:
        other.execute("lock table poller.tally in access exclusive mode")
        text = page.get(f"{path}1h").text
    assert "not counted: another session has a table locked" in text
    assert "tenants_pkey" in text


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '" hx-get="/x',
    "{{1234*5678}}",
    "javascript:alert(1)",
    "\u202egnp",
    "a\nb\x1b[31m",
    "'; --",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_more_than_text(url: str, db: psycopg.Connection[Any], name: str) -> None:
    """As a table, status, column, function, job, and host."""
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(f"create table {quoted} (id int primary key, {quoted} text)".replace("%", "%%"))
    db.execute(f"insert into {quoted} values (1, %s)".replace("%%", "%"), [name])
    db.execute(
        "insert into poller.handler (table_name, status, status_column, definition) values (%s, %s, %s, %s)",
        [
            f"public.{quoted}",
            name,
            name,
            psycopg.types.json.Jsonb({"to": [name, f"{name}2"], "function": name, "place": name}),
        ],
    )
    db.execute(
        "insert into poller.job (name, function, schedule, next_at, declared) values (%s, %s, '@every 5m', now(), true)",
        [name, name],
    )
    text = browser(url, ALL).get("/").text
    for bad in ("<img", ' hx-get="/x', "\u202e", "\x1b", "7006652"):
        assert bad not in text.replace('hx-get="/"', "")
    text = text.replace('href="data:image/svg+xml', "")
    assert re.findall(r'href="([^"]*)"', text) == [
        each for each in re.findall(r'href="([^"]*)"', text) if each[0] in "/#"
    ]
