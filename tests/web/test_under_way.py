"""Acts on many rows go on by themselves: a page shows how far they are, and they can be stopped."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller.web import progress, under_way
from poller.web.rights import ALL, USUAL, Right
from tests.command_line import value
from tests.harness import wait_until
from tests.web.desks import browser, confirmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.testclient import TestClient

PEOPLED = True
MANY = 2500
RETRY = {"act": "retry", "table": "public.tenants", "status": "closing"}
MOVE = {"act": "move", "table": "public.tenants", "status": "closing", "to": "kept"}
PATIENCE = 20.0  # seconds
DUE = "select count(*) from poller.attempt where state = 'waiting' and attempt = 0"
AFFECTED = "select coalesce(sum(affected), 0) from poller.action where action = %s"


@pytest.fixture
def client(url: str, db: psycopg.Connection[Any]) -> TestClient:
    """A viewer who may all, of a fleet with many rows in trouble."""
    db.execute(
        "delete from poller.attempt where state = 'waiting'"
    )  # so that those that are due are those retried
    park(db, 10_000, MANY - 1)
    return browser(url)


def park(db: psycopg.Connection[Any], first: int, rows: int) -> None:
    """Have rows parked, beside the one that is."""
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, next_at, error, visit)"
        " select handler_id, i::text, 'parked', 5, 1, 1, now(), 'no', gen_random_uuid()"
        " from poller.attempt, generate_series(%s::int, %s::int) as i where key = '6'",
        [first, first + rows - 1],
    )


@contextmanager
def held_up(url: str, table: str = "poller.action") -> Iterator[psycopg.Connection[Any]]:
    """No batch is committed meanwhile: none can be written down."""
    with psycopg.connect(url) as other:
        other.execute(f"lock table {table} in share mode")
        yield other
        other.rollback()


def begun(client: TestClient, form: dict[str, str]) -> str:
    """Confirm an act, and return the page that shows how far it is."""
    answer = client.post("/confirm", data=confirmed(client, form))
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def ended(client: TestClient, path: str) -> str:
    """Return what the page of an act says once that has ended."""
    text = wait_until(
        "it has ended", lambda: found if ">Go on<" in (found := client.get(path).text) else None
    )
    status = re.search(r'<p role="status">(.*)</p>', text)
    assert status is not None
    return re.sub(r"</?b>", "", status[1]).strip()


def test_many_rows_are_done_in_batches_never_more_than_were_confirmed(
    client: TestClient, url: str, db: psycopg.Connection[Any]
) -> None:
    """Its page renews itself, or by a link; a second tab is led to it; what comes meanwhile is left."""
    assert "can be stopped" in client.post("/confirm", data=RETRY).text
    with held_up(url):
        path = begun(client, RETRY)
        text = client.get(path).text
        assert f'<progress value="0" max="{MANY}"' in text
        assert f"0 of {MANY:,} rows</b> are done" in text
        assert f'hx-get="{path}"' in text
        assert f'<a class="button" href="{path}">Refresh</a>' in text
        assert begun(client, RETRY) == path, "it is under way already"
        assert f'<a href="{path}">Retry public.tenants:closing</a>' in client.get("/actions").text
        park(db, 20_000, 500)
    assert ended(client, path) == f"{MANY:,} of {MANY:,} rows are done. {MANY:,} rows are due again."
    assert (value(db, DUE), value(db, AFFECTED, "retry")) == (MANY, MANY)
    lines = db.execute("select affected, via, actor ~ '\\(ann\\)' from poller.action").fetchall()
    assert lines == [(MANY, "desk", True)]
    assert "Under way" not in client.get("/actions").text


@pytest.mark.parametrize("form", [RETRY, MOVE], ids=["retry", "move"])
def test_an_act_is_stopped_within_a_batch(
    client: TestClient, url: str, db: psycopg.Connection[Any], form: dict[str, str]
) -> None:
    """What is done until then stays, and is written down."""
    db.execute("insert into tenants (status) select 'closing' from generate_series(1, 1500)")
    done = DUE if form is RETRY else "select count(*) from tenants where status = 'kept'"
    before = value(db, done)
    with held_up(url):
        path = begun(client, form)
        waiting(db)
        assert client.post(f"{path}/stop").headers["Location"] == path
        assert "It ends after the current batch." in client.get(path).text
    assert re.fullmatch(
        r"1,000 of [\d,]+ rows are done\. 1,000 rows .*It was stopped before its end\.", ended(client, path)
    )
    assert value(db, AFFECTED, form["act"]) == 1000
    assert value(db, done) == before + 1000


def test_two_desks_at_once_do_each_row_once(
    client: TestClient, url: str, db: psycopg.Connection[Any]
) -> None:
    """Whatever each has confirmed: a row that another has locked is that one's."""
    both = [client, browser(url)]
    forms = [confirmed(each, RETRY) for each in both]
    ready = threading.Barrier(2)

    def confirm(desk: TestClient, form: dict[str, Any]) -> str:
        ready.wait(PATIENCE)
        return str(desk.post("/confirm", data=form).headers["Location"])

    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(confirm, both, forms))
    for desk, path in zip(both, paths, strict=True):
        ended(desk, path)
    assert (value(db, DUE), value(db, AFFECTED, "retry")) == (MANY, MANY)
    assert value(db, "select count(*) from poller.event where verdict = 'retried'") == MANY


def test_who_may_not_confirm_may_look_and_operators_may_stop(client: TestClient, url: str) -> None:
    """To begin it needs the right move; an act that nobody knows is told."""
    assert browser(url, USUAL).post("/confirm", data=RETRY).status_code == 403
    looks = browser(url, Right.LOOK)
    for path in ("/acts/1", "/acts/99999999999999999999"):
        assert looks.get(path).status_code == 404
    assert looks.post("/acts/1/stop").status_code == 403
    assert browser(url, ALL).post("/acts/1/stop").status_code == 404


def test_what_goes_wrong_is_told(client: TestClient, url: str, db: psycopg.Connection[Any]) -> None:
    """With what was done before; the server's words are nobody's."""
    with held_up(url, "poller.event"):
        path = begun(client, RETRY)
        db.execute("select pg_terminate_backend(%s)", [waiting(db)])
    assert ended(client, path) == f"0 of {MANY:,} rows are done. the database went away; try again."
    assert value(db, "select count(*) from poller.action") == 0


def waiting(db: psycopg.Connection[Any]) -> int:
    """Return which session waits for a lock, once one does."""
    asked = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return int(wait_until("a session waits for a lock", lambda: db.execute(asked).fetchone())[0])


def test_pages_are_shown_while_acts_take_long(
    client: TestClient, url: str, db: psycopg.Connection[Any]
) -> None:
    """Acts have threads of their own; one that waits for another session's lock holds up no page."""
    given = confirmed(client, RETRY | {"key": "6"})
    with held_up(url) as other, ThreadPoolExecutor(1) as pool:
        act = pool.submit(client.post, "/confirm", data=given)
        waiting(db)
        assert client.get("/workers").status_code == 200
        assert not act.done()
        other.rollback()
        assert "1 row is due again" in act.result(PATIENCE).text


def test_the_end_of_the_process_ends_acts(client: TestClient, url: str, db: psycopg.Connection[Any]) -> None:
    """After the current batch: they are told, and waited for a moment."""
    with held_up(url):
        path = begun(client, RETRY)
        waiting(db)
        progress.end_all()
        began = monotonic()
        under_way.wait_for_all(0.1)
        assert 0.1 <= monotonic() - began < 5
    under_way.wait_for_all(PATIENCE)
    assert "1,000 rows are due again. It was stopped before its end." in ended(client, path)
    assert (value(db, DUE), value(db, AFFECTED, "retry")) == (1000, 1000)
