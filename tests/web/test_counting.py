"""The page that counts the rows of one status: on demand, told before, one at a time, and given up in time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from poller.client import counts
from poller.web import counting
from poller.web.rights import Right
from tests.client.watching import watched
from tests.web.desks import browser

if TYPE_CHECKING:
    import psycopg
    import pytest

PEOPLED = True
PATH = "/count?table=tenants&status=normal"


def test_a_status_is_counted_when_that_is_asked_for(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: the page tells what it would read. Where a page shows an estimate, a link leads to it."""
    db.execute("insert into tenants (status) select 'normal' from generate_series(1, 20000)")
    db.execute("analyze tenants")
    client = browser(url, Right.LOOK)
    with watched() as seen:
        text = client.get(PATH).text
    assert not [each for _, each in seen.seen if '"tenants"' in each]
    assert "No index finds them" in text
    assert re.search(r"≈ \d\d,\d\d\d</span> rows, by the planner", text)
    assert "hx-get" not in text
    with watched() as seen:
        assert "<b>20,005 rows</b>" in client.get(f"{PATH}&go=1").text
    assert max(seen.seen)[0] > 20_000
    assert "by the planner" in client.get(f"{PATH}&go=1", headers={"Sec-Fetch-Site": "cross-site"}).text
    db.execute("create index on tenants (status)")
    assert "An index finds them" in client.get("/count?table=tenants&status=closing").text
    monkeypatch.setattr(counts, "LARGEST_SCAN_COST", -1.0)
    assert 'href="/count?table=public.tenants&amp;status=normal&amp;column=status"' in client.get("/").text
    for wrong in ("table=nothing&status=x", "table=tenants", "table=tenants&status=normal&column=id"):
        assert client.get(f"/count?{wrong}").status_code == 404


def test_a_count_is_given_up_in_time_and_is_the_only_one(
    url: str, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no number of viewers keeps the database busy."""
    monkeypatch.setattr(counting, "SECONDS", 0.001)
    db.execute("insert into tenants (status) select 'normal' from generate_series(1, 60000)")
    client = browser(url)
    assert "was given up" in client.get(f"{PATH}&go=1").text
    with counting._one_at_a_time:
        assert "Another count is under way" in client.get(f"{PATH}&go=1").text
