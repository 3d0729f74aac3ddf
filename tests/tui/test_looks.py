"""What a look costs, what it may do, and what becomes of the screen when the database cannot be asked."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from psycopg import sql

from poller.client.client import Client
from poller.client.database import LookingConnection, locate
from poller.db.connection import _NamedCursor
from poller.tui import looks as looking
from poller.tui.frame import HOME
from poller.tui.looks import Away, Fault, Looker, LookResult, LookThread, Panel
from poller.tui.row_lists import STATUS
from poller.tui.tabs import TABS
from tests.command_line import hold, known, make_tenants, trouble
from tests.engines import moves
from tests.harness import wait_until
from tests.servers import fresh_database
from tests.tui.stage import looks_at, play, stage

PENDING = moves("tenants", limit=5)
CLOSING = moves("tenants", status="closing", to="closed")
NEXT_ID = "select pg_snapshot_xmax(pg_current_snapshot())"
MOST_STATEMENTS = 40  # statements of a look at the first screen, with two handlers of a table


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that clients send."""
    sent: list[str] = []
    plain = _NamedCursor.execute

    def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(query if isinstance(query, str) else query.as_string(self.connection))
        return plain(self, query, *arguments, **options)

    monkeypatch.setattr(_NamedCursor, "execute", execute)
    return sent


def test_g12_a_look_takes_the_same_few_statements_each_time(
    url: str, db: psycopg.Connection[Any], statements: list[str]
) -> None:
    """However many rows there are, and however much trouble; on one session."""
    make_tenants(db, "pending", "closing")
    number = known(db, "public.tenants", "pending")
    trouble(db, number, "1")
    looks = looks_at(url, PENDING, CLOSING)
    panels = [each.panel for each in HOME]
    looks.look(panels)
    counts = []
    for _ in range(3):
        statements.clear()
        assert isinstance(looks.look(panels), LookResult)
        counts.append(len(statements))
        for key in range(50):
            trouble(db, number, f"{len(counts)}-{key}")
        db.execute("insert into tenants (status) select 'pending' from generate_series(1, 500)")
    sessions = (
        "select count(*) from pg_stat_activity"
        " where application_name = 'poller top' and datname = current_database()"
    )
    assert len(set(counts)) == 1
    assert counts[0] <= MOST_STATEMENTS
    assert db.execute(sessions).fetchone() == (1,)
    looks.connection.close()


def test_a_look_changes_nothing_and_soon_gives_up(url: str, db: psycopg.Connection[Any]) -> None:
    """It takes no transaction id, and its session could not write."""
    make_tenants(db, "pending")
    hold(db, known(db, "public.tenants", "pending"), "1")
    connection = LookingConnection(locate(url), "top")
    looks = Looker(connection, None)

    def takes_none() -> bool:
        before = db.execute(NEXT_ID).fetchone()
        seen = looks.look([each.panel for each in TABS])
        assert isinstance(seen, LookResult)
        assert not [each for each in seen.answers.values() if isinstance(each, Fault)]
        return db.execute(NEXT_ID).fetchone() == before

    wait_until("it is looked while nobody else on the server writes", takes_none)
    settings = {"statement_timeout": "2s", "lock_timeout": "250ms", "default_transaction_read_only": "on"}
    for name, value in settings.items():
        assert connection().execute(sql.SQL("show {}").format(sql.Identifier(name))).fetchone() == (value,)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection().execute("update public.tenants set status = 'normal'")
    connection.close()


def test_a_locked_table_costs_its_panel_only(url: str, db: psycopg.Connection[Any]) -> None:
    """The panel says so, within the time of a look; the others are filled."""
    make_tenants(db, "pending")
    hold(db, known(db, "public.tenants", "pending"), "1")

    async def scene() -> None:
        async with stage(url, PENDING) as it:
            await it.see("pending")
            with psycopg.connect(url) as other:
                other.execute("lock table tenants")
                it.top.looking.wake()
                await it.see("lock timeout")
                await it.go("i", "tenants:pending")
                assert it.top.late is None
            await it.go("s", "done/min")
            await it.see("pending")

    play(scene())


def test_a_database_that_is_away_leaves_the_last_picture_greyed_with_its_age(
    server: str, template: str
) -> None:
    """And the screen is itself again once it is back, by itself."""
    with fresh_database(server, template=template) as url, psycopg.connect(server, autocommit=True) as admin:
        name, original = (
            sql.Identifier(psycopg.conninfo.conninfo_to_dict(each)["dbname"]) for each in (url, template)
        )  # type: ignore[arg-type]
        with psycopg.connect(url, autocommit=True) as db:
            make_tenants(db, "pending")

        async def scene() -> None:
            async with stage(url, PENDING) as it:
                await it.see("pending", "● ")
                admin.execute(sql.SQL("drop database {} with (force)").format(name))
                it.top.looking.wake()
                await it.see("○ as of", "s ago", "pending")
                assert it.lines.has_class("-late")
                assert "no database of this name" in it.top.why or "terminating" in it.top.why
                await it.press("r")
                await it.until("the order is refused", lambda: it.top._notifications)
                await it.press("g", "t")
                await it.press("g", "s")
                admin.execute(sql.SQL("create database {} template {}").format(name, original))
                with psycopg.connect(url, autocommit=True) as db:
                    make_tenants(db, "pending", "pending")
                await it.see("● ")
                await it.until("it is itself again", lambda: it.lines.lines and it.lines.lines[0].rows == 2)
                assert not it.lines.has_class("-late")

        play(scene())


def test_without_their_code_handlers_are_shown_as_workers_have_registered_them(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """And new ones appear once they are registered."""
    make_tenants(db, "pending")

    async def scene() -> None:
        async with stage(url, package=False) as it:
            await it.see(STATUS.empty)
            define = '{"to": ["normal"], "attempts": 3, "limit": 2, "per_key": [], "place": "there.py:1"}'
            db.execute(
                "insert into poller.handler (table_name, status, definition) values ('public.tenants', 'pending', %s)",
                [define],
            )
            it.top.looking.wake()
            await it.see("tenants", "normal")
            await it.go("h", "pending → normal")
            await it.go("l", "0 of 2")

    play(scene())


# --- the thread that looks -----------------------------------------------------------------------------


class Scripted:
    """A looker that is told what to see."""

    def __init__(self, *seen: LookResult | Away) -> None:
        self.seen = list(seen)
        self.panels: list[Any] = []
        self.connection: Any = self

    def look(self, panels: Any) -> LookResult | Away:
        self.panels.append(panels)
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]

    def close(self) -> None:
        """Be closed."""


class Waits(threading.Event):
    """An event that notes for how long it was waited for, and is never waited for really."""

    def __init__(self, ends: int, stopped: threading.Event) -> None:
        super().__init__()
        self.waited: list[float | None] = []
        self._ends = ends
        self._stopped = stopped

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        if len(self.waited) == self._ends:
            self._stopped.set()
        return False


def waited(*seen: LookResult | Away) -> list[float | None]:
    """Return for how long the thread waits after each look."""
    watch = LookThread(Scripted(*seen), lambda _: None)  # type: ignore[arg-type]
    watch._woken = Waits(1 + len(seen), watch._stopped)
    watch.start()
    watch._thread.join(10)
    return watch._woken.waited[1:]  # type: ignore[attr-defined]


def test_a_look_takes_a_twentieth_of_the_time_at_the_most() -> None:
    """A cheap one comes every two seconds; where the database is away, the pauses grow up to five seconds."""
    cheap, dear = LookResult(None, {}, 0.01, 0.0), LookResult(None, {}, 1.0, 0.0)  # type: ignore[arg-type]
    assert waited(cheap, dear) == [pytest.approx(looking.LOOK_SECONDS - 0.01), pytest.approx(19.0)]
    away = Away("gone")
    assert waited(away, away, away, away, away, cheap, away)[:7] == [
        0.5,
        1,
        2,
        5,
        5,
        pytest.approx(1.99),
        0.5,
    ]


def test_only_what_is_on_the_screen_is_asked_for(url: str, db: psycopg.Connection[Any]) -> None:
    """One question for each panel, and one for the totals."""
    make_tenants(db, "pending")
    asked: list[str] = []
    panel = Panel("one", lambda each: asked.append("one") or each.client.workers())  # type: ignore[func-returns-value]
    looks = looks_at(url, PENDING)
    seen = looks.look([panel])
    assert isinstance(seen, LookResult)
    assert (asked, list(seen.answers)) == (["one"], ["one"])
    assert Client(url).totals().workers == seen.totals.workers == 0
    looks.connection.close()
