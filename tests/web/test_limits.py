"""The page of limits: what holds work up, and to whom what of it is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg

from poller.testing import Engine
from poller.web.rights import ALL, Right
from tests.command_line import hold, make_tenants, value
from tests.engines import moves
from tests.harness import wait_until
from tests.web.desks import browser

if TYPE_CHECKING:
    from starlette.testclient import TestClient

LIMITED = moves("tenants", limit=2, rate="3/1h", per_key="site")
SHOW = {"tenants": {"show": ["site"]}}


def test_it_is_empty_with_what_to_do(url: str) -> None:
    """Where no handler has a limit."""
    text = browser(url, Right.LOOK).get("/limits").text
    assert "Give one <code>limit=</code>" in text
    assert "No key is full" in text
    assert "No session of poller waits" in text


def test_it_shows_what_holds_work_up(url: str, db: psycopg.Connection[Any]) -> None:
    """Limits and rates that are reached, full keys, who waits for whom; values and statements to whom may see them."""
    make_tenants(db, *["pending"] * 3)
    db.execute("alter table tenants add site text default 's3cret'")
    with Engine(url, LIMITED) as engine:
        engine.run_due()
    db.execute("insert into tenants (status) select 'pending' from generate_series(1, 2)")
    hold(db, value(db, "select id from poller.handler"), "4", "5")
    seeing, looking = browser(url, ALL, tables=SHOW), browser(url, Right.LOOK, tables=SHOW)
    with (
        psycopg.connect(url, application_name="psql") as holder,
        psycopg.connect(url, application_name="poller 4711") as worker,
    ):
        holder.execute("lock table poller.job in exclusive mode /* s3cret */")
        thread = threading.Thread(target=worker.execute, args=["update poller.job set args = '{}'"])
        thread.start()
        wait_until("it waits", lambda: _page(seeing).count(">No session") == 0)
        seen, looked = _page(seeing), _page(looking)
        holder.rollback()
        thread.join()
        pid = holder.info.backend_pid
    for text in (seen, looked):
        assert "full</span>" in text
        assert 'href="/row?table=public.tenants&amp;key=4"' in text
        assert ">when one ends</td>" in text
        assert f"session {pid}" in text
        assert "the table poller.job" in text
    assert "site = s3cret" in seen
    assert "/* s3cret */" in seen
    assert "s3cret" not in looked


def test_what_stands_is_not_sent_again(url: str, db: psycopg.Connection[Any]) -> None:
    """Though transactions come and go beside it."""
    client = browser(url)
    tag = client.get("/limits").headers["HX-PTag"]
    for _ in range(5):
        db.execute("select poller.now(), pg_current_xact_id()")
    _forget(client)
    assert client.get("/limits", headers={"HX-PTag": tag}).status_code == 304


def _page(client: TestClient) -> str:
    _forget(client)
    return client.get("/limits").text


def _forget(client: TestClient) -> None:
    client.app._inner.state.desk.shared.forget()  # type: ignore[attr-defined]
