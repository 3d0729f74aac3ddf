"""The pages of tables, trouble, jobs, runs, workers and orders: what they show, and to whom what not."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from poller import Client
from poller.client import brief_sessions, counts, database
from poller.errors import ConfigurationError
from poller.testing import Engine
from poller.web.api_routes import CALLS
from poller.web.job_pages import LISTED
from poller.web.rights import ALL, Right
from poller.web.routes import ROUTES
from tests.command_line import value
from tests.engines import moves
from tests.web.desks import browser, named, path_of
from tests.web.fleets import SECRET

if TYPE_CHECKING:
    from poller.web.route import Route

PEOPLED = True

PAGES = [
    "/",
    "/machine?table=public.tenants",
    "/rows?table=public.tenants&status=closing",
    "/rows?table=tenants&status=normal",
    "/row?table=tenants&key=6",
    "/row?table=public.tenants&key=999",
    "/trouble",
    "/trouble?table=public.tenants&status=closing",
    "/jobs",
    "/job?name=tick",
    "/runs",
    "/runs?job=tick",
    "/runs/1",
    "/workers",
    "/count?table=tenants&status=normal",
    "/count?table=tenants&status=normal&go=1",
    "/limits",
    "/check",
    "/actions",
    "/alerts",
    "/find",
    "/find?q=nothing",
    "/healthz",
    "/readyz",
]
KEY = r'class="mono" href="[^"]*key=(\d+)"'
SHOW = {"tenants": {"show": ["note"]}}


def link(text: str, rel: str) -> str:
    """Return where a link of a page leads; "" if it is not there."""
    found = re.search(rf'rel="{rel}" href="([^"]*)"', text)
    return found[1].replace("&amp;", "&") if found else ""


@pytest.fixture
def whole(url: str, db: psycopg.Connection[Any]) -> str:
    """The URL of a database with a fleet in each state, and an order whose target has a value."""
    db.execute("update poller.run set error = %s", [f"OSError: {SECRET}"])
    Client(url).retry("tenants:closing", error=f"ValueError: error of 7 {SECRET}")
    db.execute("update poller.attempt set state = 'waiting', attempt = 2 where key = '7'")
    return url


def test_each_page_is_there(whole: str) -> None:
    """For a viewer who may all, and one who may only look; small, and without style or script of its own."""
    for rights in (ALL, Right.LOOK):
        client = browser(whole, rights, tables=SHOW)
        for path in PAGES:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert len(answer.content) <= 60 * 1024
            assert "style=" not in answer.text


def test_whoever_may_only_look_is_shown_no_value(whole: str) -> None:
    """Of columns, errors, output and targets of orders: nowhere; and there is no button."""
    client = browser(whole, Right.LOOK, tables=SHOW)
    for path in PAGES:
        for headers in ({}, {"HX-Request": "true"}):
            answer = client.get(path, headers=headers)
            assert SECRET not in answer.text, path
            assert SECRET not in str(answer.headers)
            assert '"/confirm"' not in answer.text
    assert client.get("/runs/1/output").status_code == 403


def test_whoever_may_see_values_is_shown_them(whole: str) -> None:
    """What the test above looks for is there to be seen; columns only where the settings name them."""
    client = browser(whole, Right.LOOK | Right.VALUES, tables=SHOW)
    shown = [path for path in PAGES if SECRET in client.get(path).text]
    assert {
        "/rows?table=public.tenants&status=closing",
        "/row?table=tenants&key=6",
        "/trouble",
        "/runs",
        "/runs/1",
    } <= {*shown}
    assert client.get("/runs/1/output").text.startswith(f"ticked {SECRET}\nagain")
    unnamed = browser(whole, ALL)
    assert SECRET not in unnamed.get("/rows?table=tenants&status=normal").text
    row = unnamed.get("/row?table=tenants&key=1").text
    assert SECRET not in row
    assert re.search(r"<dt>note</dt><dd><span class=\"hint\">text, not shown", row)


def test_all_columns_may_be_shown_but_those_that_sound_secret(url: str, db: psycopg.Connection[Any]) -> None:
    """Unless they are named; binary values by their length, long ones cut."""
    db.execute(
        "alter table tenants add column api_token text default 'hunter2', add column logo bytea default '\\x001122'"
    )
    db.execute("update tenants set note = repeat('x', 100000)")
    text = (
        browser(url, ALL, tables={"public.tenants": {"show": "*"}})
        .get("/row?table=public.tenants&key=1")
        .text
    )
    assert "hunter2" not in text
    assert "3 bytes" in text
    assert "x" * 2000 in text
    assert len(text) < 20_000
    named = browser(url, ALL, tables={"tenants": {"show": ["*", "api_token"]}})
    assert "hunter2" in named.get("/row?table=public.tenants&key=1").text


@pytest.mark.parametrize(
    "tables", [[], {"t": 1}, {"t": {"show": 1}}, {"t": {"shows": ["a"]}}, {"t": {"show": [1]}}]
)
def test_settings_that_make_no_sense_are_refused(url: str, tables: Any) -> None:
    """Rather than show too much, or too little."""
    with pytest.raises(ConfigurationError, match=r"desk\.tables"):
        browser(url, tables=tables)


def test_rows_come_a_page_at_a_time(url: str, db: psycopg.Connection[Any]) -> None:
    """By their keys, along an index; each is on one page, whichever way one goes."""
    db.execute("insert into tenants (status) select 'normal' from generate_series(1, 120)")
    client, found, path, pages = (
        browser(url),
        list[str](),
        "/rows?table=tenants&status=normal",
        list[list[str]](),
    )
    while path:
        text = client.get(path).text
        pages.append(re.findall(KEY, text))
        found += pages[-1]
        last, path = text, link(text, "next")
    expected = [
        row[0]
        for row in db.execute("select id::text from tenants where status = 'normal' order by tenants.id")
    ]
    assert found == expected
    back, path = [pages[-1]], link(last, "prev")
    while path:
        text = client.get(path).text
        back.append(re.findall(KEY, text))
        path = link(text, "prev")
    assert back[::-1] == pages
    assert link(text, "next")
    assert client.get("/rows?table=tenants&status=normal&after=nonsense").status_code == 200


def test_rows_are_filtered_by_what_an_index_begins_with(url: str, db: psycopg.Connection[Any]) -> None:
    """The filter is in the address, and kept from page to page; other columns are told with the index that they lack."""
    db.execute("alter table tenants add plan text, add slug text")
    db.execute(
        "insert into tenants (status, plan, slug) select 'normal', case when i % 2 = 0 then 'a&b' else 'c' end, i"
        " from generate_series(1, 120) as i"
    )
    db.execute("create index on tenants (plan)")
    client = browser(url, ALL, tables={"tenants": {"show": ["plan", "slug", "note"]}})
    text = client.get(
        "/rows", params={"table": "tenants", "status": "normal", "by": "plan", "is": "a&b"}
    ).text
    assert len(re.findall(KEY, text)) == 50
    assert len(re.findall(KEY, client.get(link(text, "next")).text)) == 10
    assert '<option value="slug" disabled>' in text
    assert "ON &#34;public&#34;.&#34;tenants&#34; (&#34;status&#34;, &#34;slug&#34;, &#34;id&#34;)" in text
    assert 'name="chosen" value="only"' in text
    every = {"act": "retry", "table": "tenants", "status": "closing", "chosen": "only"}
    assert client.post("/confirm", data=every).status_code == 400
    refused = client.get("/rows?table=tenants&status=normal&by=slug&is=1").text
    assert "no index begins with &#39;slug&#39;" in refused
    assert client.get("/rows?table=tenants&status=normal&by=created_at&is=1").status_code == 404
    looking = browser(url, Right.LOOK, tables={"tenants": {"show": "*"}})
    assert looking.get("/rows?table=tenants&status=normal&by=plan&is=c").status_code == 404
    assert "plan" not in looking.get("/rows?table=tenants&status=normal").text


def test_a_table_that_has_lost_its_status_column_is_told(url: str, db: psycopg.Connection[Any]) -> None:
    """By each page and each question about it: what it has instead."""
    client = browser(url)
    db.execute("alter table tenants rename status to state")
    asked = "table=tenants&status=closing"
    said = [client.get(f"/{page}?{asked}").text for page in ("rows", "count")]
    said += [client.get(f"/api/v1/{name}?{asked}").text for name in ("rows", "count")]
    assert all("has no column" in each and "state" in each for each in said), said
    assert client.get("/row?table=tenants&key=6").status_code == 200


@pytest.mark.parametrize("is_common", [True, False])
def test_a_status_of_a_large_table_is_listed_along_an_index_or_not_at_all(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, *, is_common: bool
) -> None:
    """The page says which index would serve; with it all pages are as quick, whatever the planner would rather do."""
    db.execute("insert into tenants (status) select 'normal' from generate_series(1, 12000)")
    if not is_common:
        db.execute("update tenants set status = 'closing' where id > 500")
    db.execute("analyze tenants")
    client = browser(url)
    refused = client.get("/rows?table=tenants&status=normal").text
    assert (
        "CREATE INDEX CONCURRENTLY ON &#34;public&#34;.&#34;tenants&#34; (&#34;status&#34;, &#34;id&#34;)"
        in refused
    )
    db.execute("create index on tenants (status, id)")
    monkeypatch.setattr(counts, "LARGEST_SCAN_COST", 0.0)
    text = client.get("/rows?table=tenants&status=normal").text
    assert text.count('name="key"') == 50
    assert client.get(link(text, "next")).text.count('name="key"') == 50


def test_a_row_tells_what_is_and_what_was(whole: str) -> None:
    """Its status, its trouble, why nobody works on it, and what has happened."""
    client = browser(whole)
    text = client.get("/row?table=tenants&key=7").text
    assert "closing" in text
    assert "waiting" in text
    assert "shop.py:7" in text
    assert "Why it is not being worked on" in text
    moved = client.get("/row?table=tenants&key=1").text
    assert ">moved</span>" in moved
    assert "This row is gone" in client.get("/row?table=tenants&key=999").text


KEYS = [
    "a/b?c#d%",
    "..",
    "a\nb",
    '["a", "b"]',
    "<img src=x onerror=alert(1)>",
    "\u202egnp",
    "x" * 3000,
    "a&key=b",
    "'\"`",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:10].encode("unicode_escape").decode())
def test_a_key_of_any_form_has_its_page(url: str, db: psycopg.Connection[Any], key: str) -> None:
    """The link of a listing leads to exactly that row, and an act takes exactly that one."""
    db.execute("create table papers (id text primary key, status text)")
    db.execute("insert into papers values (%s, 'new'), ('another', 'new')", [key])
    db.execute("insert into poller.handler (table_name, status) values ('public.papers', 'new')")
    client = browser(url)
    listing = client.get("/rows?table=papers&status=new").text
    links = [each.replace("&amp;", "&") for each in re.findall(r'class="mono" href="([^"]*)"', listing)]
    assert f"/row?table=public.papers&key={quote(key, safe='')}".replace("%20", "+") in links
    for link in links:
        assert client.get(link).status_code == 200
    form = {"act": "move", "table": "public.papers", "key": key, "to": "old"}
    shown = client.post("/confirm", data=form)
    hidden = re.findall(r'name="(shown|token)" value="([^"]*)"', shown.text)
    assert client.post("/confirm", data=form | dict(hidden)).status_code == 200
    assert db.execute("select id from papers where status = 'old'").fetchall() == [(key,)]
    for bad in ("<img", "\u202e"):
        assert bad not in listing + shown.text


def test_output_and_errors_become_no_more_than_text(url: str, db: psycopg.Connection[Any]) -> None:
    """With escapes of a terminal, markup, and names of any form; the file's name is the run's number."""
    bad = "\x1b]8;;https://evil.example\x07x\x1b[31m<script>alert(1)</script>\u202e"
    db.execute("update poller.run set output = %s, error = %s where id = 1", [f"{bad}\nline two", bad])
    db.execute("update poller.worker set host = %s", [bad])
    db.execute("update poller.attempt set error = %s, kind = %s, place = %s", [bad, bad, bad])
    client = browser(url)
    for path in PAGES:
        text = client.get(path).text
        assert not re.search("<script>|\x1b|\u202e|\x07", text), path
    assert '\n<a id="L2" href="#L2">2</a>line two' in client.get("/runs/1").text
    answer = client.get("/runs/1/output")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="run-1.txt"'
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_role_that_sees_little_sees_all_pages(whole: str, db: psycopg.Connection[Any]) -> None:
    """What it may not know is said to be hidden; a run that has ended at no time hides nothing."""
    db.execute(
        "create role looker login; grant usage on schema poller to looker; grant select on tenants to looker"
    )
    db.execute(
        "grant select on all tables in schema poller to looker; grant update (status) on tenants to looker"
    )
    db.execute("grant execute on all functions in schema poller to looker")
    db.execute("update poller.run set finished_at = 'infinity', status = 'failed' where id = 2")
    try:
        client = browser(make_conninfo(whole, user="looker"), tables=SHOW)
        told = {path: client.get(path) for path in PAGES}
        client.app._inner.state.desk.snapshot._thread.join()  # type: ignore[attr-defined]
    finally:
        db.execute("drop owned by looker; drop role looker")
    assert {path: answer.status_code for path, answer in told.items() if answer.status_code != 200} == {}
    assert "pg_read_all_stats" in told["/limits"].text
    assert "as the role <code>looker</code>" in told["/check"].text


def test_lines_of_an_output_can_be_linked_to(url: str, db: psycopg.Connection[Any]) -> None:
    """Without what only a terminal understands; of a great many lines there are none. Its neighbours are a link away."""
    db.execute(
        "update poller.run set output = E'one\n\x1b[1;32m<two>\x1b[0m\r\n\x1b]0;title\x07three\n' where id = 2"
    )
    client = browser(url)
    text = client.get("/runs/2").text
    assert (
        '<a id="L1" href="#L1">1</a>one\n<a id="L2" href="#L2">2</a>&lt;two&gt;\n<a id="L3" href="#L3">3</a>three</pre>'
        in text
    )
    assert client.get("/runs/2/output").text.startswith("one\n\x1b[1;32m<two>")
    assert link(text, "prev") == "/runs/1"
    assert link(text, "next") == ""
    assert link(client.get("/runs/1").text, "next") == "/runs/2"
    db.execute("update poller.run set output = repeat(E'x\n', 32000) where id = 2")
    text = client.get("/runs/2").text
    assert 'id="L1"' not in text
    assert len(text) < 100_000


def test_a_job_shows_the_days_on_which_it_failed(url: str, db: psycopg.Connection[Any]) -> None:
    """As squares and as a table, thirteen weeks; those of a schedule made of it are its own."""
    db.execute(
        "insert into poller.run (job, function, planned_at, status, finished_at)"
        " select case when i % 2 = 0 then 'tick' else 'of tick' end, 'tick', now() - i * interval '1 second', 'failed',"
        " now() - case when i <= 6 then interval '3 days' when i = 7 then interval '90 days' else interval '92 days' end"
        " from generate_series(1, 9) as i"
    )
    text = browser(url, Right.LOOK).get("/job?name=tick").text
    assert "7 failed runs on 2 days of 91, UTC" in text
    assert [text.count(f'<rect class="{kind}"') for kind in ("none", "few", "many")] == [89, 1, 1]
    assert re.search(r'data-label="Failed runs" class="num">6</td>', text)


def test_the_page_of_a_job_is_not_longer_than_a_thumb_likes(url: str, db: psycopg.Connection[Any]) -> None:
    """All recent runs are drawn, the newest are listed without its name, and the others stand behind a link."""
    db.execute(
        "insert into poller.run (job, function, planned_at, started_at, status, finished_at) select 'tick', 'tick',"
        " now() + i * interval '1 s', now(), 'succeeded', now() from generate_series(1, 40) as i"
    )
    page, _, runs = browser(url).get("/job?name=tick").text.partition("<h2>Runs</h2>")
    assert page.count('<rect class="run"') > 40
    assert runs.count('data-label="Run"') == LISTED
    assert 'data-label="Job"' not in runs
    assert 'href="/runs?job=tick"' in runs


@pytest.mark.parametrize(
    ("q", "leads"),
    [
        ("tick", "/job?name=tick"),
        ("tenants", "/machine?table=public.tenants&column="),
        ("10", "/row?table=public.tenants&key=10"),
        ("tenants:closing", "/rows?table=public.tenants&status=closing"),
        ("do_nothing", ""),
    ],
)
def test_what_is_found_at_once_is_gone_to(whole: str, q: str, leads: str) -> None:
    """A job, a table, a key; of several there is a list."""
    answer = browser(whole).get("/find", params={"q": q})
    if not leads:
        assert answer.text.count("handler do_nothing of public.tenants:") == 2
        return
    assert answer.status_code == 303
    assert leads.startswith(answer.headers["Location"]) or answer.headers["Location"] == leads
    assert "run 1" in browser(whole).get("/find", params={"q": "1"}).text


def test_what_is_not_found_leads_to_what_is_like_it(whole: str) -> None:
    """Names that contain it; else the keys next to it, before and after, in tables whose key it could be."""
    client = browser(whole, Right.LOOK)
    alike = client.get("/find", params={"q": "ENAN"}).text
    for each in (
        "table public.tenants",
        "handler do_nothing of public.tenants:closing",
        "status stuck of public.tenants",
    ):
        assert each in alike
    near = client.get("/find", params={"q": "999"}).text
    assert re.findall(r">row (\d+) of public.tenants<", near) == ["10", "9"]
    assert re.findall(r">row (-?\d+) of", client.get("/find", params={"q": "-3"}).text) == ["1", "2"]
    assert "Nothing has this key or name" in client.get("/find", params={"q": "a\tb"}).text


def test_what_runs_often_hides_no_other_job(url: str, db: psycopg.Connection[Any]) -> None:
    """The night's run is drawn beside those of every second."""
    db.execute(
        "insert into poller.job (name, function, declared) select n, n, true from unnest(array['a', 'b']) as n"
    )
    db.execute(
        "insert into poller.run (job, function, planned_at, started_at, finished_at, status)"
        " select 'a', 'a', at, at, at, 'succeeded'"
        " from generate_series(now() - interval '10 min', now(), '1 s') as at"
        " union all select 'b', 'b', at, at, at, 'failed' from (select now() - interval '10 h') as t (at)"
    )
    text = browser(url).get("/jobs").text
    assert re.findall(r'aria-label="([ab]: [^,]*)', text) == [
        "a: more than 166 runs within a day back",
        "b: 1 run within a day back",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/rows",
        "/rows?table=nothing&status=x",
        "/row?table=nothing&key=1",
        "/row?table=tenants&key=abc",
        "/machine",
        "/trouble?table=nothing",
        "/trouble?table=tenants&after=x",
        "/job",
        "/job?name=nothing",
        "/runs?job=nothing",
        "/runs/999",
        f"/runs/{'9' * 30}",
        f"/runs/{'9' * 5000}",
        "/runs/1.5",
        "/actions?after=x",
        "/nothing",
    ],
    ids=lambda path: path[:40],
)
def test_what_is_not_there_is_told(whole: str, path: str) -> None:
    """A page that says so: no traceback, and no fault of the desk's."""
    answer = browser(whole).get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "Not Found" in answer.text or "Not found" in answer.text


@pytest.mark.parametrize("spelled", ["tenants", "public.tenants"])
def test_what_is_shown_of_a_table_does_not_depend_on_how_it_is_spelled(whole: str, spelled: str) -> None:
    """It is the table that the settings name, and the full name goes before the short one."""
    tables = {"public.tenants": {"show": ["note"]}, "tenants": {"show": []}}
    text = browser(whole, tables=tables).get(f"/row?table={spelled}&key=6").text
    assert SECRET in text.partition("<h2>Columns</h2>")[2].partition("</section>")[0]


def test_no_page_is_large_for_a_large_value(whole: str) -> None:
    """Of a megabyte in a shown column, in an error or in a job's arguments, no more than the beginning is shown."""
    large = "x y" * 350_000
    with psycopg.connect(whole, autocommit=True) as db:
        db.execute("update tenants set note = %s", [large])
        db.execute("update poller.attempt set error = 'ValueError: ' || %s", [large])
        db.execute("update poller.run set error = %s", [large])
        db.execute("update poller.job set args = jsonb_build_object('a', %s::text)", [large])
        run = value(db, "select max(id) from poller.run")
    client = browser(whole, tables={"tenants": {"show": ["note"]}})
    rows = "table=public.tenants&status=closing"
    for path in (
        "/",
        f"/rows?{rows}",
        "/row?table=public.tenants&key=7",
        "/trouble",
        f"/trouble?{rows}",
        "/runs",
    ):
        assert len(client.get(path).content) < 64 * 1024, path
    for path in (f"/runs/{run}", "/jobs", "/job?name=tick", "/trigger?name=tick"):
        assert len(client.get(path).content) < 64 * 1024, path


def test_a_row_is_asked_about_on_one_connection(whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer to open one than to ask."""
    client, opened = browser(whole), list[str]()
    client.get("/")
    monkeypatch.setattr(brief_sessions, "LIFE_SECONDS", 0.0)  # none is lent again
    plain = database.reachable
    monkeypatch.setattr(
        database, "reachable", lambda *given, **options: (opened.append(""), plain(*given, **options))[1]
    )
    assert client.get("/row?table=tenants&key=7").status_code == 200
    assert len(opened) == 1


def test_what_happened_is_looked_for_as_far_back_as_there_is_time(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day with the page, and thirty behind it; else the day again, which it says; else that there is too much."""
    monkeypatch.setattr(database, "HURRIED_STATEMENT", "500ms")
    client = browser(url)
    first = client.get("/row?table=tenants&key=1").text
    assert "in the last day" in first
    [behind] = re.findall(r'hx-get="([^"]*)" hx-trigger="load"', first)
    assert f'href="{behind}">Look back 30 days' in first
    behind = unescape(behind)
    whole, part = client.get(behind).text, client.get(behind, headers={"HX-Request": "true"}).text
    assert "<h2>Now</h2>" in whole
    assert part.strip().startswith('<section class="card" id="history">')
    assert "in the last 30 days" in whole
    assert "in the last 30 days" in part
    assert "Look back" not in whole + part
    db.execute(
        "alter table poller.event rename to event_kept;"
        "create function public.slow() returns bool language sql volatile cost 100000 as"
        " $$ select pg_catalog.pg_sleep(2) is not null $$;"
        "create view poller.event as select * from poller.event_kept"
        " where at > now() - interval '25 hours' or public.slow()"
    )
    db.execute("update poller.event_kept set at = at - interval '2 days' where verdict <> 'moved'")
    db.execute(
        "insert into poller.event_kept (at, handler_id, key, verdict, from_status, attempt, lease)"
        " select now() - interval '3 days', handler_id, key, 'retrying', from_status, 1, gen_random_uuid()"
        " from poller.event_kept where key = '1' limit 1"
    )
    text = client.get(behind).text
    assert "in the last day" in text
    assert ">moved</span>" in text
    db.execute("update poller.event_kept set at = now() - interval '3 days'")
    db.execute("create or replace view poller.event as select * from poller.event_kept where public.slow()")
    assert "There is too much to look through." in client.get(behind).text


@pytest.mark.parametrize("route", [each for each in ROUTES if each.is_safe and each.right], ids=named)
def test_while_the_database_is_away_each_page_says_so(route: Route) -> None:
    """None breaks, and none shows where it is, or as whom one goes there."""
    away = browser("postgresql://some:hunter2@127.0.0.1:1/nowhere")
    given = {"table": "t", "status": "s", "key": "k", "name": "n", "q": "q", "word": "q", "selector": "t:s:k"}
    calls = {each.route.path: each.asked.__struct_fields__ for each in CALLS}
    answer = away.get(
        path_of(route), params={name: given[name] for name in calls.get(route.path, given) if name in given}
    )
    assert answer.status_code in {200, 404, 503}, answer.text
    assert not re.search(r"hunter2|Traceback|127\.0\.0\.1", answer.text)
    if answer.status_code == 503:
        assert re.search("database|connect", answer.text)


def test_a_question_that_waits_too_long_is_given_up(whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And told, without what the server has said of it."""
    monkeypatch.setattr("poller.client.database.HURRIED_STATEMENT", "300ms")
    with psycopg.connect(whole) as other:
        other.execute("lock table tenants in access exclusive mode")
        answer = browser(whole).get("/rows?table=public.tenants&status=closing")
    assert answer.status_code == 503
    assert "this took too long" in answer.text


def test_a_search_does_not_deny_what_it_could_not_look_at(whole: str) -> None:
    """Where a table is locked, the page and the API say that it is left out."""
    client = browser(whole)
    assert client.get("/find?q=6").headers["Location"].startswith("/row?table=public.tenants")
    with psycopg.connect(whole) as other:
        other.execute("lock table tenants in access exclusive mode")
        page = client.get("/find?q=6")
        answer = client.get("/api/v1/find?word=6").json()
    assert page.status_code == 200
    fault = "public.tenants is left out: another session has its table locked"
    assert fault in page.text
    assert "Nothing that could be looked at has this key or name" in page.text
    assert fault in answer["faults"]


def test_a_row_that_is_found_beside_tables_that_were_not_looked_at_is_not_gone_to(
    whole: str, db: psycopg.Connection[Any]
) -> None:
    """Another may be meant: which tables are left out stands beside it."""
    db.execute(
        "create table other (id int primary key, status text); create table gone (like other including all)"
    )
    db.execute("insert into other values (6, 'pending')")
    with Engine(whole, moves("other"), moves("gone")):
        pass
    db.execute("drop table gone")
    with psycopg.connect(whole) as locking:
        locking.execute("lock table tenants in access exclusive mode")
        page = browser(whole).get("/find?q=6")
    assert page.status_code == 200
    assert "row 6 of public.other" in page.text
    assert "public.tenants is left out: another session has its table locked" in page.text
    assert "public.gone is left out: it is gone, or may not be looked at" in page.text


def test_what_pages_ask_cannot_write(whole: str, db: psycopg.Connection[Any]) -> None:
    """Their sessions are read-only, whatever a function of the user's would do."""
    client = Client(whole, via="desk", hurried=True)
    with client._database.session() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("delete from poller.job")
    assert value(db, "select count(*) from poller.job") > 0
