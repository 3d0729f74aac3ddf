"""Acts: nothing is done that was not shown before, to this viewer, a moment ago; and what is done is written down."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from psycopg import OperationalError

from poller import Client
from poller.client.answers import encoded
from poller.web import act as acts
from poller.web.rights import ALL, USUAL, Right
from poller.web.seal import LASTS, Seal
from tests.command_line import trouble, value
from tests.engines import moves, run
from tests.harness import wait_until
from tests.web.desks import browser, checksum, confirmed

if TYPE_CHECKING:
    import psycopg
    from starlette.testclient import TestClient

PEOPLED = True

FORMS: dict[str, dict[str, str]] = {
    "pause": {"act": "pause", "name": "public.tenants:closing"},
    "pause a job": {"act": "pause", "name": "tick"},
    "trigger": {"act": "trigger", "name": "tick"},
    "retry all": {"act": "retry", "table": "public.tenants", "status": "closing"},
    "retry one": {"act": "retry", "table": "public.tenants", "status": "closing", "key": "6"},
    "retry a cause": {"act": "retry", "table": "public.tenants:closing", "error": "ValueError shop.py:7"},
    "release": {"act": "release", "table": "public.tenants", "status": "closing"},
    "move": {"act": "move", "table": "public.tenants", "status": "closing", "to": "kept"},
    "move one": {"act": "move", "table": "public.tenants", "key": "10", "to": "kept"},
}
HALF = "WyJcdWQ4MDAiXQ"  # a cursor: a text of half a character
DONE = {
    "pause": ("pause", 1),
    "pause a job": ("pause", 1),
    "trigger": ("trigger", 1),
    "retry all": ("retry", 2),
    "retry one": ("retry", 1),
    "retry a cause": ("retry", 2),
    "release": ("release", 1),
    "move": ("move", 5),
    "move one": ("move", 1),
}


@pytest.fixture
def client(url: str, db: psycopg.Connection[Any]) -> TestClient:
    """A viewer who may all, of a fleet."""
    return browser(url)


class Fields(HTMLParser):
    """The fields of a page's forms, as a browser that has them all chosen sends them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field; browsers send an end of a line as CRLF."""
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            value = re.sub("\r\n|\r|\n", "\r\n", given.get("value") or "")
            self.sent.append((str(given["name"]), value))


def test_a_key_of_any_characters_is_what_is_acted_on(url: str, db: psycopg.Connection[Any]) -> None:
    """Also one that a browser or the page would change, and the empty one, which is not all rows."""
    db.execute("create table odd (id text primary key, status text not null)")
    run(url, moves("odd"))
    keys = ["a\nb", "x\u00a0y", "\u202eabc", "", "a%0Ab", "ä"]
    for key in keys:
        db.execute("insert into odd values (%s, 'pending')", [key])
    db.execute("analyze odd")
    client = browser(url)
    assert client.get("/row", params={"table": "odd", "key": ""}).status_code == 200
    listed = Fields(client.get("/rows?table=odd&status=pending").text).sent
    boxes = [each for each in listed if each[0].startswith("key")]
    assert len(boxes) == len(keys)
    for number, box in enumerate(boxes, 1):
        rest = [each for each in listed if each[0].rstrip("*") in {"table", "status"}]
        sent = [*rest, box, ("act", "move"), ("to", "normal")]
        shown = client.post("/confirm", data=_as_sent(sent))
        assert "<b>1 row</b>" in shown.text
        body = shown.text.partition('<main id="live"')[2]
        answer = client.post("/confirm", data=_as_sent(Fields(body).sent))
        assert "1 row was moved to normal." in answer.text
        assert value(db, "select count(*) from odd where status = 'normal'") == number


def _as_sent(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    return {name: [value for each, value in pairs if each == name] for name, _ in pairs}


@pytest.mark.parametrize("name", FORMS)
def test_an_act_is_shown_then_done_and_written_down(
    client: TestClient, db: psycopg.Connection[Any], name: str
) -> None:
    """The first answer changes nothing; the second does just that, with the viewer's name."""
    form, before = FORMS[name], checksum(db)
    shown = client.post("/confirm", data=form)
    assert shown.status_code == 200
    assert checksum(db) == before
    action, affected = DONE[name]
    if name not in {"pause", "pause a job", "trigger"}:
        assert f"<b>{affected} row" in shown.text
    answer = client.post("/confirm", data=confirmed(client, form))
    assert answer.status_code in {200, 303}, answer.text
    row = db.execute(
        "select action, affected, via, actor from poller.action order by id desc limit 1"
    ).fetchone()
    assert row is not None
    assert row[:3] == (action, affected, "desk")
    assert "(ann)" in row[3]


def test_what_was_shown_to_another_or_for_something_else_is_shown_again(
    client: TestClient, url: str, db: psycopg.Connection[Any]
) -> None:
    """A token is for one viewer, one act, its rows and their number."""
    good = confirmed(client, FORMS["retry all"])
    before = checksum(db)
    others = [
        good | {"status": "pending"},
        good | {"act": "release"},
        good | {"key": "6"},
        good | {"error": "ValueError"},
        good | {"shown": "3"},
        good | {"token": "x"},
        good | {"token": good["token"][:-1] + "z"},
        good | {"token": f"{'9' * 11}.{good['token'].partition('.')[2]}"},
    ]
    for form in others:
        answer = client.post("/confirm", data=form)
        assert "were taken" not in answer.text
        assert "due again" not in answer.text
    elsewhere = browser(url)
    assert "too old, or not for this" in elsewhere.post("/confirm", data=good).text
    assert checksum(db) == before


def test_a_confirm_page_is_good_for_two_minutes() -> None:
    """Then it has to be looked at again; and nothing but these parts, in this order, is what was signed."""
    now = [1000.0]
    seal = Seal(clock=lambda: now[0])
    token = seal.sign(["ann", "retry", 1])
    assert seal.holds(token, ["ann", "retry", "1"])
    assert not seal.holds(token, ["ann", "retry1"])
    assert not Seal(clock=lambda: now[0]).holds(token, ["ann", "retry", 1])
    now[0] += LASTS + 1
    assert not seal.holds(token, ["ann", "retry", 1])
    for junk in ("", ".", "x.y", "٣.y", f"{'9' * 5000}.y"):
        assert not seal.holds(junk, ["ann", "retry", 1])


def test_what_was_confirmed_is_carried_out_once(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """A double click, or a page that is loaded again, is asked about anew."""
    good = confirmed(client, FORMS["trigger"])
    assert client.post("/confirm", data=good).status_code == 303
    before = checksum(db)
    for token in (good["token"], f"0{good['token']}"):
        assert client.post("/confirm", data=good | {"token": token}).status_code == 200
    assert "carried out already" in client.post("/confirm", data=good).text
    assert checksum(db) == before


def test_what_was_refused_may_be_confirmed_again(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """Once the database does it: the page was not used up. Two pages for the same are two."""
    name = value(db, "select quote_ident(current_database())")
    first, second = (confirmed(client, FORMS["trigger"]) for _ in range(2))
    before = value(db, "select count(*) from poller.run")
    db.execute(f"alter database {name} set default_transaction_read_only = on")  # type: ignore[call-overload]
    assert client.post("/confirm", data=first).status_code == 503
    db.execute(f"alter database {name} reset default_transaction_read_only")  # type: ignore[call-overload]
    for form in (first, second):
        assert client.post("/confirm", data=form).status_code == 303
    assert "carried out already" in client.post("/confirm", data=first).text
    assert value(db, "select count(*) from poller.run") == before + 2


def test_what_may_have_been_done_is_asked_about_anew(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection is lost meanwhile, nobody knows."""
    good = confirmed(client, FORMS["trigger"])
    with monkeypatch.context() as lost:
        lost.setattr("poller.web.acts.carry_out", Mock(side_effect=OperationalError("it is gone")))
        assert client.post("/confirm", data=good).status_code == 503
    assert "may be carried out already" in client.post("/confirm", data=good).text


def test_a_job_is_run_with_arguments(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """Which the confirm page shows, whatever they hold; empty are the job's own."""
    db.execute("""update poller.job set args = '{"day": "a<b>\u202e"}' where name = 'tick'""")
    assert '<a class="button small" href="/trigger?name=tick">' in client.get("/job?name=tick").text
    text = client.get("/trigger?name=tick").text
    assert "&#34;day&#34;: &#34;a&lt;b&gt;\\u202e&#34;" in text
    assert (
        "a&lt;b" not in browser(str(db.info.dsn), Right.LOOK | Right.OPERATE).get("/trigger?name=tick").text
    )
    assert client.get("/trigger?name=nothing").status_code == 404
    given = {
        "act": "trigger",
        "name": "tick",
        "args": '{\r\n "day": "<i>\u202e\\ud83d\\ude00",\r\n "n": 1}\r\n',
    }
    shown = client.post("/confirm", data=given)
    assert "<pre" in shown.text
    assert "&lt;i&gt;\\u202e" in shown.text
    body = shown.text.partition('<main id="live"')[2]
    before = checksum(db)
    for other in ({"args": '{"n": 2}'}, {"args": ""}):
        assert client.post("/confirm", data=confirmed(client, given) | other).status_code == 200
    assert checksum(db) == before
    assert client.post("/confirm", data=_as_sent(Fields(body).sent)).status_code == 303
    assert value(db, "select args from poller.run order by id desc limit 1") == {"day": "<i>\u202e😀", "n": 1}
    client.post("/confirm", data=confirmed(client, {"act": "trigger", "name": "tick", "args": " "}))
    assert value(db, "select args from poller.run order by id desc limit 1") == {"day": "a<b>\u202e"}


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ("[1]", 400),
        ("1", 400),
        ("{", 400),
        ('{"a": NaN}', 400),
        ("{'a': 1}", 400),
        ('{"a": ' + "[" * 4900 + "]" * 4900 + "}", 400),
        ('{"a": "' + "x" * 10_000 + '"}', 413),
        (r'{"a": "\ud800"}', 400),
        ('{"a": 1' + "0" * 5000 + "}", 400),
    ],
    ids=lambda each: str(each)[:12],
)
def test_arguments_that_are_none_are_refused(
    client: TestClient, db: psycopg.Connection[Any], args: str, status: int
) -> None:
    """With what is wrong, and nothing begun."""
    before, form = checksum(db), {"act": "trigger", "name": "tick", "args": args}
    answer = client.post("/confirm", data=form)
    assert answer.status_code == status, answer.text
    assert "arguments" in answer.text
    assert checksum(db) == before


def test_a_row_is_moved_from_the_status_that_its_page_shows(client: TestClient) -> None:
    """Not from one that it comes to have meanwhile."""
    text = client.get("/row?table=tenants&key=10").text
    form = re.search(r'value="move">(.*?)</form>', text)
    assert form is not None
    assert 'name="status" value="closing"' in form[1]


def test_more_than_was_shown_is_shown_again(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """The filter is counted again: what has come meanwhile was not confirmed."""
    good = confirmed(client, FORMS["retry all"])
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, next_at, error, visit)"
        " select handler_id, '9', state, attempt, crashes, company, next_at, error, gen_random_uuid()"
        " from poller.attempt where key = '6'"
    )
    answer = client.post("/confirm", data=good)
    assert "There are more by now." in answer.text
    assert value(db, "select count(*) from poller.attempt where state = 'parked'") == 2
    assert "3 rows are due again" in client.post("/confirm", data=confirmed(client, FORMS["retry all"])).text


def test_what_is_gone_meanwhile_is_told(client: TestClient, url: str) -> None:
    """By who was quicker, say: nothing is done twice."""
    good = confirmed(client, FORMS["retry all"])
    Client(url).retry("tenants:closing")
    answer = client.post("/confirm", data=good)
    assert answer.status_code == 409
    assert "no row of public.tenants:closing" in answer.text


@pytest.mark.parametrize("name", ["retry all", "release", "move"])
def test_two_people_at_once_do_each_row_once(url: str, db: psycopg.Connection[Any], name: str) -> None:
    """Both have confirmed; each is told what came of it, and who was second that there was nothing left."""
    desks = [browser(url), browser(url)]
    given = [confirmed(each, FORMS[name]) for each in desks]
    ready = threading.Barrier(2)

    def confirm(each: int) -> str:
        ready.wait(20)
        return desks[each].post("/confirm", data=given[each]).text

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(confirm, range(2)))
    action, affected = DONE[name]
    assert value(db, "select sum(affected) from poller.action where action = %s", action) == affected
    for each in told:
        assert re.search(
            r"rows? (is|are|was|were) (due again|taken|moved)|There are more|no row of|nothing ", each
        )


def test_a_row_that_moves_meanwhile_is_told(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """It is left where it is."""
    form = {"act": "move", "table": "public.tenants", "status": "closing", "to": "kept", "key": ["10", "9"]}
    given = confirmed(client, form)
    db.execute("update tenants set status = 'closed' where id = 10")
    answer = client.post("/confirm", data=given)
    assert "1 row was moved to kept; 1 left: row 10 shows &#39;closed&#39;." in answer.text
    assert value(db, "select status from tenants where id = 10") == "closed"


def test_what_a_table_says_of_a_row_that_it_refuses_is_told_to_who_may_see_values(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words may quote them; nobody else is told, nor is the page of an act that goes on by itself."""
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " raise exception 'customer has hunter2'; end $$;"
        "create trigger refuse before update on tenants for each row when (new.id = 10) execute function refuse()"
    )
    blind = Right.LOOK | Right.OPERATE | Right.MOVE
    for rights, is_told in ((blind, False), (ALL, True)):
        client = browser(url, rights)
        for keys in (["10"], ["9", "10"]):
            form = {"act": "move", "table": "public.tenants", "status": "closing", "to": "kept", "key": keys}
            text = client.post("/confirm", data=confirmed(client, form)).text
            assert ("hunter2" in text) == is_told, text
        db.execute("update tenants set status = 'closing' where id = 9")
    monkeypatch.setattr("poller.web.acts.MOST", 1)
    client = browser(url, ALL)
    form = {"act": "move", "table": "public.tenants", "status": "closing", "to": "kept", "key": ["9", "10"]}
    place = client.post("/confirm", data=confirmed(client, form)).headers["Location"]
    wait_until("it has ended", lambda: "left: the table refused them" in client.get(place).text)
    assert "hunter2" not in client.get(place).text


def test_a_row_that_does_not_leave_its_during_is_told_with_the_reason_to_who_may_see_values(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Others are told how many there are."""
    key = str(value(db, "insert into tenants (status) values ('busy') returning id"))
    trouble(db, value(db, "select id from poller.handler where status = 'pending'"), key)
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " raise exception 'customer has hunter2'; end $$;"
        "create trigger refuse before update on tenants for each row execute function refuse()"
    )
    form = {"act": "retry", "table": "public.tenants", "status": "pending", "key": key}
    for rights, told in (
        (
            USUAL,
            f"1 left: public.tenants:pending:{key}: it still shows 'busy'; the table refuses the way back",
        ),
        (USUAL ^ Right.VALUES, "1 left: the table does not let them leave their handler's during"),
    ):
        client = browser(url, rights)
        text = unescape(client.post("/confirm", data=confirmed(client, form)).text)
        assert told in text
        assert ("hunter2" in text) == (Right.VALUES in rights)


def test_an_error_is_chosen_by_its_text_by_those_who_may_see_it(url: str) -> None:
    """Others would find it out, letter by letter; its class and place are known to all."""
    form = {"act": "retry", "table": "public.tenants", "status": "closing", "key": "6", "error": "error of 6"}
    blind = browser(url, Right.LOOK | Right.OPERATE)
    assert blind.post("/confirm", data=form).status_code == 403
    assert blind.post("/confirm", data=form | {"error": "ValueError"}).status_code == 200
    assert browser(url, USUAL).post("/confirm", data=form).status_code == 200
    order = {"selector": "public.tenants:closing", "keys": ["6"], "error": "error of 6"}
    assert blind.post("/api/v1/retry", json=order).status_code == 403
    assert blind.post("/api/v1/retry", json=order | {"error": "shop.py:7"}).status_code == 200


@pytest.mark.parametrize("rights", [USUAL, Right.LOOK | Right.OPERATE])
def test_a_cause_without_a_place_is_retried_alone(
    url: str, db: psycopg.Connection[Any], rights: Right
) -> None:
    """Not with the other rows of its class."""
    db.execute("update poller.attempt set place = null where key = '6'")
    client = browser(url, rights)
    listed = client.get("/trouble?table=public.tenants&status=closing").text
    error = 'name="error" value="ValueError "'
    assert error in listed
    form = {"act": "retry", "table": "public.tenants", "status": "closing", "error": "ValueError "}
    asked = client.post("/confirm", data=form).text
    assert "<b>1 row</b>" in asked
    assert error in asked
    assert "1 row is due again" in client.post("/confirm", data=confirmed(client, form)).text
    assert value(db, "select key from poller.attempt where attempt = 0") == "6"


@pytest.mark.parametrize("rights", [USUAL, Right.LOOK | Right.OPERATE])
def test_rows_are_moved_by_those_who_may(url: str, db: psycopg.Connection[Any], rights: Right) -> None:
    """To operate is not enough; nor is it for more than a thousand rows."""
    before = checksum(db)
    client = browser(url, rights)
    assert client.post("/confirm", data=FORMS["move"]).status_code == 403
    assert "Move" not in client.get("/rows?table=tenants&status=closing").text
    assert checksum(db) == before


def test_more_than_a_thousand_rows_need_the_right_to_move(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done to them."""
    monkeypatch.setattr("poller.web.acts.MOST", 1)
    assert browser(url, USUAL).post("/confirm", data=FORMS["retry all"]).status_code == 403
    assert browser(url, USUAL).post("/confirm", data=FORMS["retry one"]).status_code == 200
    assert browser(url, ALL).post("/confirm", data=FORMS["retry all"]).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"act": ""},
        {"act": "purge", "table": "tenants"},
        {"act": "add_triggers", "name": "x"},
        {"act": "__class__", "name": "x"},
        {"act": "pause"},
        {"act": "cancel", "run": "x"},
        {"act": "cancel", "run": "٣"},
        {"act": "cancel", "run": "9" * 30},
        {"act": "move", "table": "public.tenants", "status": "closing"},
        {"act": "retry"},
    ],
)
def test_there_are_no_other_acts(client: TestClient, form: dict[str, str]) -> None:
    """Of the client's methods those that the desk names."""
    assert client.post("/confirm", data=form).status_code == 400


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"act": "pause", "name": "nothing"}, "no job or handler is named"),
        ({"act": "trigger", "name": "nothing"}, "there is no job"),
        ({"act": "trigger", "name": "tick", "args": r'{"a": "\u0000"}'}, "Postgres cannot store"),
        ({"act": "cancel", "run": "999"}, "no run"),
        ({"act": "retry", "table": "nothing"}, "no handler is known"),
        ({"act": "move", "table": "public.tenants", "status": "closing", "to": "closing"}, "has the status"),
    ],
)
def test_what_cannot_be_done_is_told(
    client: TestClient, db: psycopg.Connection[Any], form: dict[str, str], said: str
) -> None:
    """On a page, with nothing changed."""
    before = checksum(db)
    answer = client.post("/confirm", data=form)
    if answer.status_code == 200:
        answer = client.post("/confirm", data=confirmed(client, form))
    assert answer.status_code in {400, 409}
    assert said in answer.text
    assert checksum(db) == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"key=1" for _ in range(3000)), "application/x-www-form-urlencoded", 400),
        (b"act=pause&name=a%00b", "application/x-www-form-urlencoded", 400),
        (b"act=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"", "", 415),
    ],
)
def test_a_body_that_is_no_form_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    """Too long, too many fields, no text, another kind."""
    assert client.post("/confirm", content=body, headers={"Content-Type": kind}).status_code == status


def test_a_thousand_chosen_rows_are_done_in_one_go(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """And no more than were chosen, in the order that they came; one that is named twice is one."""
    db.execute("insert into tenants (status) select 'closing' from generate_series(1, 50)")
    form = {"act": "move", "table": "public.tenants", "key": ["11", "12", "12", "13"], "to": "kept"}
    shown = client.post("/confirm", data=form).text
    assert "<b>3 rows</b>" in shown
    answer = client.post("/confirm", data=confirmed(client, form))
    assert "3 rows were moved to kept." in answer.text
    assert value(db, "select array_agg(id order by id) from tenants where status = 'kept'")[-3:] == [
        11,
        12,
        13,
    ]


def test_where_no_class_is_stored_the_text_of_an_error_is_not_told(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Not in an address or a form either, to who may not see values."""
    db.execute("update poller.attempt set kind = null, place = null, error = 'sentinel of ' || key")
    for path in ("/", "/trouble", "/trouble?table=public.tenants&status=closing"):
        text = browser(url, Right.LOOK | Right.OPERATE).get(path).text
        assert "an error" in text
        assert "sentinel" not in text
        assert "sentinel" in browser(url).get(path).text


@pytest.mark.parametrize(
    "path",
    [
        "/find?q=a%00b",
        "/job?name=%00",
        "/runs?after=%00",
        "/jobs?after=x",
        f"/jobs?after={HALF}",
        f"/runs?after={encoded(['2026-13-45 00:00:00+00', 1])}",
        f"/api/v1/jobs?after={HALF}",
        f"/api/v1/rows?table=tenants&status=closing&after={HALF}",
    ],
)
def test_an_address_that_makes_no_sense_is_refused(client: TestClient, path: str) -> None:
    """It is the asker's fault, not the database's."""
    assert client.get(path).status_code == 400


def test_an_act_says_what_follows() -> None:
    """Each that there is, in words of its own."""
    assert acts.SAID.keys() == {*acts.NAMED, *acts.OF_ROWS, "cancel", "silence", "end"}


@pytest.mark.parametrize("name", ["pause", "retry one", "trigger"])
def test_how_pages_look_can_be_chosen_on_one_that_was_posted(client: TestClient, name: str) -> None:
    """Who does that is led to a page that there is, not to the address of the form."""
    asked = client.post("/confirm", data=FORMS[name]).text
    done = client.post("/confirm", data=confirmed(client, FORMS[name]), follow_redirects=True).text
    for text in (asked, done):
        target = re.search(r'name="next" value="([^"]*)"', text)
        assert target is not None
        answer = client.post("/display", data={"next": unescape(target[1]), "theme": "dark"})
        assert client.get(answer.headers["Location"]).status_code == 200


def test_after_an_act_the_page_shows_what_is_now(client: TestClient) -> None:
    """Not the look of two seconds ago."""
    assert "Resume" not in client.get("/").text
    assert client.post("/confirm", data=confirmed(client, FORMS["pause"])).headers["Location"] == "/"
    text = client.get("/").text
    assert ', paused"' in text
    assert "Resume" in text
