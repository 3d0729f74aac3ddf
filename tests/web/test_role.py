"""A desk whose database role may only read, as docs/desk.md makes it: it shows all, and changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from poller.web import state
from poller.web.rights import ALL, Right
from poller.web.routes import ROUTES
from tests.web.desks import browser, checksum, path_of
from tests.web.test_acts import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLED = True
DOCS = Path(__file__).parents[2] / "docs" / "desk.md"
PAGES = {
    "/machine": "/machine?table=public.tenants",
    "/rows": "/rows?table=public.tenants&status=closing",
    "/row": "/row?table=public.tenants&key=6",
    "/job": "/job?name=tick",
    "/count": "/count?table=public.tenants&status=closing&go=1",
}


@pytest.fixture
def role(url: str, db: psycopg.Connection[Any]) -> Iterator[str]:
    """The role of the page, whose SQL is executed to the letter; its database's URL."""
    [made] = re.findall(r"```sql\n(.*?poller_desk.*?)```", DOCS.read_text(), re.DOTALL)
    db.execute(made.replace("shop", db.info.dbname).replace("orders", "tenants"))
    yield make_conninfo(url, user="poller_desk")
    db.execute("drop owned by poller_desk; drop role poller_desk")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the database; nothing of it may be refused."""
    asked: list[str] = []
    plain = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = (
            query
            if isinstance(query, str)
            else query.decode()
            if isinstance(query, bytes)
            else query.as_string()
        )
        asked.append(text)
        try:
            return plain(self, query, *arguments, **options)
        except psycopg.errors.InsufficientPrivilege as error:
            asked.append(f"REFUSED: {error}: {text}")
            raise

    monkeypatch.setattr(psycopg.Cursor, "execute", execute)
    return asked


def test_all_pages_work_and_no_acts_are_there(
    role: str, statements: list[str], db: psycopg.Connection[Any]
) -> None:
    """Of columns that are not granted no statement has the name; what would change something is refused."""
    before = checksum(db)
    client = browser(role, ALL, tables={"tenants": {"show": "*"}})
    for route in ROUTES:
        if not route.is_safe or route.right is None or re.search("acts|api|check", route.path):
            continue  # `/check` tries what a worker's role has to be allowed
        answer = client.get(PAGES.get(route.path, path_of(route)))
        if Right.OPERATE in route.right:
            assert answer.status_code == 403, route.path
            continue
        assert answer.status_code == 200, (route.path, answer.text)
        assert "not counted" not in answer.text, route.path
        main = answer.text.partition('<main id="live"')[2]
        assert 'method="post"' not in main, route.path
        assert "/trigger" not in main, route.path
    for form in FORMS.values():
        answer = client.post("/confirm", data=form)
        assert answer.status_code == 403
        assert "the database role of this desk may only read" in answer.text
    row = client.get(PAGES["/row"]).text
    assert "text, not shown" in row
    assert 'name="q"' in client.get("/find").text
    assert statements
    assert [each for each in statements if re.search("note|created_at|REFUSED", each)] == []
    assert checksum(db) == before


def test_a_role_that_may_write_has_its_acts(
    role: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the role may do is asked again after a while; as long as the database is away it does not matter."""
    monkeypatch.setattr(state, "ROLE_LASTS", 0.0)
    client = browser(role, ALL)
    assert "Pause" not in client.get("/job?name=tick").text
    db.execute("grant update on poller.attempt to poller_desk")
    assert "Pause" in client.get("/job?name=tick").text
    away = browser("postgresql://127.0.0.1:1/nowhere", ALL)
    assert away.post("/confirm", data=FORMS["retry all"]).status_code == 503
