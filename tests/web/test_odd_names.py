"""Pages of tables whose statuses and keys look like one another, are empty or not set, or stand in several columns."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, fixed_rate
from poller.testing import Engine
from poller.tui import orders
from poller.tui.looks import ScreenClients
from poller.tui.orders import ChosenRows, Under
from poller.web.rendering import address
from tests.command_line import trouble, value
from tests.engines import moves
from tests.harness import wait_until
from tests.web.desks import browser, confirmed

if TYPE_CHECKING:
    import psycopg
    from starlette.testclient import TestClient

TABLES = """\
create table parcels (id text primary key, status text, pay text not null default 'open');
insert into parcels values ('x', 'new', 'open'), ('y', 'done', 'open'), ('z', null, 'done'), ('u', '', 'done');
create table letters (id int primary key, status text not null);
insert into letters values (1, ''), (2, ''), (3, 'sent');
"""
HANDLERS = (
    moves("parcels", status="new", to="done"),
    moves("parcels", status="new:x", to="done"),
    moves("parcels", status="open", to=("done", "void"), column="pay"),
    moves("letters", status="", to="sent"),
)
LINK = r'href="(/rows\?[^"]*)"'


@pytest.fixture
def client(url: str, db: psycopg.Connection[Any]) -> TestClient:
    """A viewer who may all, of tables of that kind; nothing has run yet."""
    db.execute(TABLES)
    with Engine(url, *HANDLERS):
        pass
    return browser(url)


def keys(client: TestClient, path: str) -> set[str]:
    """Return the keys of the rows that a page lists."""
    answer = client.get(unescape(path))
    assert answer.status_code == 200, path
    return set(re.findall(r'class="mono" href="[^"]*key=(\w+)"', answer.text))


def links(text: str, status: str) -> set[str]:
    """Return where the links of a status lead that stand in a text."""
    return {unescape(each) for each in re.findall(LINK, text) if f"status={status}" in each.split("&amp;")}


def test_each_link_of_a_machine_leads_to_its_own_rows(client: TestClient) -> None:
    """Of several status columns of a table; from the picture, its table, the row, and what was found."""
    text = client.get("/machine", params={"table": "public.parcels", "column": "status"}).text
    assert [keys(client, each) for each in links(text, "done")] == [{"y"}]
    text = client.get("/machine", params={"table": "public.parcels", "column": "pay"}).text
    assert [keys(client, each) for each in links(text, "done")] == [{"z", "u"}]
    found = {frozenset(keys(client, each)) for each in links(client.get("/").text, "done")}
    assert found == {frozenset("y"), frozenset("zu")}
    assert [keys(client, each) for each in links(client.get("/row?table=parcels&key=z").text, "done")] == [
        {"z", "u"}
    ]
    assert {frozenset(keys(client, each)) for each in links(client.get("/find?q=done").text, "done")} == found


def test_a_row_is_explained_though_its_name_may_mean_another_thing(url: str, client: TestClient) -> None:
    """Status and key in one word are the status of another handler."""
    answer = client.get("/row", params={"table": "public.parcels", "key": "x"})
    assert answer.status_code == 200
    assert "no_worker" in answer.text
    assert Client(url).explain("parcels:new", "x").row == "public.parcels:new:x"  # type: ignore[union-attr]


def test_an_act_is_on_the_handler_that_has_the_row(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """Not on the first whose status the row shows."""
    trouble(db, value(db, "select id from poller.handler where status = 'open'"), "x")
    text = client.get("/row", params={"table": "public.parcels", "key": "x"}).text
    form = {
        name: unescape(text)
        for name, text in re.findall(
            r'name="(\w+)" value="([^"]*)"', text.partition('value="retry"')[2].partition("</form>")[0]
        )
    }
    assert form == {"table": "public.parcels", "status": "open", "key": "x"}
    sent = {"act": "retry", **form}
    assert "1 row is due again" in client.post("/confirm", data=confirmed(client, sent)).text


def test_a_status_may_be_the_empty_text(client: TestClient, url: str, db: psycopg.Connection[Any]) -> None:
    """Its rows are listed, counted, and moved there and away, by pages and by programs."""
    assert [keys(client, each) for each in links(client.get("/").text, "") if "letters" in each] == [
        {"1", "2"}
    ]
    assert "2 rows</b>" in client.get("/count?table=letters&status=&go=1").text
    assert [each["key"] for each in client.get("/api/v1/rows?table=letters&status=").json()["items"]] == [
        "1",
        "2",
    ]
    assert client.get("/api/v1/count?table=letters&status=").json()["rows"] == 2
    text = client.get("/row?table=letters&key=3").text
    assert '<option value="">&#34;&#34;</option>' in text
    there = {"act": "move", "table": "public.letters", "status": "sent", "key": "3", "to": ""}
    assert 'Move rows of public.letters:sent to ""?' in unescape(client.post("/confirm", data=there).text)
    done = unescape(client.post("/confirm", data=confirmed(client, there)).text)
    assert '1 row was moved to "".' in done
    assert value(db, "select count(*) from letters where status = ''") == 3
    body = {"selector": "letters:", "keys": ["3"], "to": "sent"}
    assert client.post("/api/v1/move", json=body).json()["rows"] == 1
    body = {"selector": "letters:sent", "keys": ["3"], "to": ""}
    assert client.post("/api/v1/move", json=body).json()["rows"] == 1
    with Engine(url, moves("letters", status="sent", to="read")):
        pass
    paused = client.post("/confirm", data=confirmed(client, {"act": "pause", "name": "public.letters:"}))
    assert client.get(paused.headers["Location"]).status_code == 200
    assert value(db, "select string_agg(status, ',') from poller.handler where paused_at is not null") == ""
    body = {"handler": "letters:"}
    assert client.post("/api/v1/handlers/resume", json=body).json()["handlers"] == ["public.letters:"]
    assert "of public.letters: " in client.get("/trouble?table=public.letters&status=").text


def test_a_status_is_not_taken_for_a_key(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """Of a page of rows with a status, though a row has it as its key, and even if by then no row shows it."""
    db.execute("insert into parcels values ('lost', 'done', 'open'), ('a', 'lost', 'open')")
    form = {"act": "move", "table": "public.parcels", "status": "lost", "to": "new"}
    answer = client.post("/confirm", data=confirmed(client, form | {"key": "a"}))
    assert "1 row was moved to new" in answer.text
    answer = client.post("/confirm", data=confirmed(client, form), follow_redirects=True)
    wait_until("it has ended", lambda: "No row could be moved" in client.get(answer.url.path).text)
    db.execute("update parcels set status = 'lost' where id = 'a'")
    body = {"selector": "parcels:lost", "to": "new"}
    assert "may mean" in client.post("/api/v1/move", json=body).json()["detail"]
    body = {"selector": "parcels", "from": "lost", "to": "new"}
    assert client.post("/api/v1/move", json=body).json()["rows"] == 1
    assert value(db, "select status from parcels where id = 'lost'") == "done"


ORDERS = """\
create table ord (id int primary key, state text not null, mail text not null, ready boolean);
insert into ord values (1, 'new', 'sent'), (2, 'new', 'sent'), (3, 'paid', 'new'), (4, 'new', 'new');
insert into ord values (5, 'held', 'lost');
"""
STATE = moves("ord", status="new", to="paid", column="state", where="ready")
MAIL = moves("ord", status="queued", to="sent", column="mail")


def fields(text: str, act: str) -> dict[str, str]:
    """Return the hidden fields of the form on a page that has an act."""
    forms = [each for each in text.split("<form") if f'name="act" value="{act}"' in each]
    hidden = [re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', each) for each in forms]
    return {name: unescape(text) for name, text in hidden[-1]} | {"act": act}


def test_rows_are_moved_in_the_column_that_was_shown(url: str, db: psycopg.Connection[Any]) -> None:
    """By the page of a status, by that of a row, and by a program, though no handler knows the status there."""
    db.execute(ORDERS)  # type: ignore[call-overload]
    with Engine(url, STATE, MAIL):
        pass
    client = browser(url)

    def shown() -> list[tuple[str, str]]:
        return db.execute("select state, mail from ord order by id").fetchall()

    page = client.get("/rows?table=public.ord&status=new&column=mail").text
    form = fields(page, "move") | {"to": "queued"}
    asked = client.post("/confirm", data=form).text
    assert "Move rows of public.ord:new (mail) to queued?" in unescape(asked)
    assert "<b>2 rows</b>" in asked
    answer = client.post("/confirm", data=confirmed(client, form))
    assert "2 rows were moved to queued" in answer.text
    assert "<h1>Move public.ord:new (mail)</h1>" in answer.text
    assert "to queued (mail)" in client.get("/actions").text
    none = client.post("/confirm", data=confirmed(client, form | {"key": "5"}))
    assert "no row of public.ord:new 5 (mail) shows" in unescape(none.text)
    assert 'href="/rows?table=public.ord&amp;status=new&amp;column=mail"' in answer.text
    moved = [("new", "sent"), ("new", "sent"), ("paid", "queued"), ("new", "queued"), ("held", "lost")]
    assert shown() == moved
    form = fields(client.get("/row?table=public.ord&key=5").text, "move") | {"to": "queued"}
    assert "1 row was moved to queued" in client.post("/confirm", data=confirmed(client, form)).text
    assert shown() == [*moved[:4], ("held", "queued")]
    body = {"selector": "ord:new", "to": "queued"}
    assert "name the column" in client.post("/api/v1/move", json=body).json()["detail"]
    assert client.post("/api/v1/move", json=body | {"column": "state", "keys": ["1"]}).json()["rows"] == 1
    assert shown()[0] == ("queued", "sent")
    found = client.get("/api/v1/find?word=4").json()["items"]
    assert [(each["column"], each["status"]) for each in found] == [("state", "new"), ("mail", "queued")]


def test_a_handler_is_paused_and_no_job_of_its_name(url: str, db: psycopg.Connection[Any]) -> None:
    """By the button of the handler, by a program and by the terminal screen; a name alone is a job's first."""

    @fixed_rate("1h", name="public.parcels:new")
    def odd() -> None: ...

    db.execute(TABLES)
    with Engine(url, *HANDLERS, odd):
        pass
    client = browser(url)
    button = r'<button form="pause" name="(\w+)" value="(public\.parcels:new)"'
    [(name, target)] = set(re.findall(button, client.get("/machine?table=parcels&column=status").text))
    paused = "select string_agg(status, ',') from poller.handler where paused_at is not null"
    answer = client.post("/confirm", data=confirmed(client, {"act": "pause", name: target}))
    assert answer.headers["Location"] == "/"
    assert value(db, paused) == "new"
    body = {"handler": target}
    assert client.post("/api/v1/handlers/resume", json=body).json()["handlers"] == [target]
    screen = ScreenClients(Client(url), lambda _: Client(url), has_code=False)
    for give, expected in (
        (orders.pause(ChosenRows("public.parcels", "new")), "new"),
        (orders.resume(target, is_handler=True), None),
    ):
        give.act(screen, Under(lambda _: None))
        assert value(db, paused) == expected
    assert value(db, "select count(*) from poller.job where paused_at is not null") == 0
    client.post("/confirm", data=confirmed(client, {"act": "pause", "name": target}))
    assert value(db, "select name from poller.job where paused_at is not null") == target


def test_the_empty_status_is_compared_too(client: TestClient, db: psycopg.Connection[Any]) -> None:
    """A row that shows another by then is left; the table's name alone means any status."""
    body = {"selector": "letters", "from": "", "to": "lost", "keys": ["3"]}
    assert client.post("/api/v1/move", json=body).status_code == 404
    assert client.post("/api/v1/move", json=body | {"keys": []}).json()["rows"] == 2
    body = {"selector": "letters", "to": "lost", "keys": ["3"]}
    assert client.post("/api/v1/move", json=body).json()["rows"] == 1
    assert value(db, "select count(*) from letters where status = 'lost'") == 3


def test_rows_without_a_status_are_told(client: TestClient) -> None:
    """As the command line tells them; they have no page, since no handler takes them."""
    row = client.get("/").text.partition("null</span>")[2].partition("</table>")[0]
    assert row.startswith("<td>1<td>")
    assert keys(client, "/rows?table=parcels&status=&column=status") == {"u"}


@pytest.mark.parametrize("table", ["letters", "public.letters"])
def test_a_machine_is_found_by_either_name(client: TestClient, table: str) -> None:
    """As rows are; by none it is asked for."""
    assert "public.letters" in client.get("/machine", params={"table": table}).text
    nameless = client.get("/machine?table=")
    assert (nameless.status_code, "name a table" in nameless.text) == (404, True)


@pytest.mark.parametrize("key", [" a b ", "long " * 150], ids=["spaces around it", "750 characters"])
def test_a_key_is_found_as_it_is(client: TestClient, db: psycopg.Connection[Any], key: str) -> None:
    """And what was pasted with a space before its name is found, too."""
    db.execute("insert into parcels values (%s, 'new', 'open')", (key,))
    there = client.get("/find", params={"q": key}, follow_redirects=False)
    assert there.headers["location"] == address("", "/row", table="public.parcels", key=key)
    assert client.get("/find", params={"q": " x "}, follow_redirects=False).status_code == 303


def test_an_address_ends_where_it_ends(client: TestClient) -> None:
    """A line break behind it is part of it; a page that can only be read says so of HEAD, too."""
    assert client.get("/healthz%0a").status_code == 404
    assert client.get("/api/v1/status%0a").status_code == 404
    refused = client.post("/healthz", headers={"Sec-Fetch-Site": "same-origin"})
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
