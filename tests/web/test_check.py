"""The page of what is wrong with the set-up: what needs no code of the handlers, on demand, within its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller import Client
from poller.testing import Engine
from poller.web.rights import ALL, Right
from tests.command_line import known, make_tenants, value
from tests.engines import moves
from tests.web.desks import browser

if TYPE_CHECKING:
    import psycopg
    import pytest


def test_it_finds_what_needs_no_code(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the statement that mends it; what needs the code is named, and not guessed."""
    make_tenants(db, "pending", "odd")
    monkeypatch.setattr("poller.registry.load", lambda _: 1 / 0)
    with Engine(url, moves("tenants"), moves("tenants", status="closing", to="closed", where="id > 1")):
        pass
    known(db, "public.elder", "new")
    client = browser(url, Right.LOOK)
    text = client.get("/check").text
    assert "no index serves its claims" in text
    assert "CREATE INDEX CONCURRENTLY ON &#34;public&#34;.&#34;tenants&#34;" in text
    assert "no handler takes or leads to the status &#39;odd&#39; (1 rows)" in text
    assert text.count("no index serves") == 1
    assert "how rows are claimed for public.tenants:closing" in text
    assert "public.elder:new: no worker of this version" in text
    assert "could not be checked" not in text
    assert "hx-get" not in text
    assert "1 warning" in text
    db.execute("create index on tenants (id) where status = 'pending'; update tenants set status = 'normal'")
    client.app._inner.state.desk.shared.forget()  # type: ignore[attr-defined]
    assert "No problems found" in client.get("/check").text


def test_a_handler_that_looks_at_another_column_now_is_no_error(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """What the version before has registered takes no rows."""
    db.execute("create table inv (id int primary key, state text, state2 text)")
    for column in ("state", "state2"):
        with Engine(url, moves("inv", status="open", to="sent", column=column)):
            pass
    assert [each for each in Client(url).check_registered().findings if each.severity == "error"] == []


def test_it_ends_when_its_time_is_over(url: str, db: psycopg.Connection[Any]) -> None:
    """Between two looks and within one: what was found until then stands there."""
    make_tenants(db, "pending")
    with Engine(url, moves("tenants", during="busy")):
        pass
    client = Client(url, hurried=True)
    none = client.check_registered(seconds=0)
    assert none.findings == ()
    assert "the rest: it took longer than 0 s" in none.unchecked
    Client(db).check_registered()
    Client(db).count("tenants", "pending")
    assert value(db, "show statement_timeout") == "0"
    with db.transaction():
        db.execute("lock table tenants in access exclusive mode")
        cut = client.check_registered(seconds=0.3)
        seen, looked = (browser(url, rights).get("/check").text for rights in (ALL, Right.LOOK))
    assert "the rest: it took longer than 0.3 s" in cut.unchecked
    assert "this could not be checked: canceling statement due to lock timeout" in seen
    assert "this could not be checked</td>" in looked
