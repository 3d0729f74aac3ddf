"""Names, keys and errors that would act on a terminal, or be taken for markup, are shown as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from poller import handler
from poller.tui.frame import PANELS, frame
from poller.tui.looks import LookResult
from tests.command_line import hold, known
from tests.tui.stage import WIDE, looks_at, play, stage

if TYPE_CHECKING:
    import psycopg

EVIL = "[red]\x1b[31m\u202e\n\x9b2J[/red]"
CANARY = "canary-7f3a"


@handler('"evil [red]\x1b[31m\u202e"', status=EVIL, to="[link=x]normal")
def work(row: Any) -> None:
    """Do nothing."""


@pytest.fixture
def evil(url: str, db: psycopg.Connection[Any]) -> str:
    """A database in which all names are hostile, and a column that nobody is to see: its URL."""
    table = sql.Identifier("evil [red]\x1b[31m\u202e")
    db.execute(sql.SQL("create table {} (id text primary key, status text, secret text)").format(table))
    db.execute(
        sql.SQL("insert into {} values (%s, %s, %s), ('2', %s, %s)").format(table),
        [EVIL, EVIL, CANARY, EVIL, CANARY],
    )
    number = known(db, "public.evil [red]\x1b[31m\u202e", EVIL)
    hold(db, number, "2")
    db.execute(
        "insert into poller.attempt"
        " (handler_id, key, state, attempt, crashes, company, next_at, error, kind, place, visit)"
        " values (%s, %s, 'parked', 5, 1, 1, now(), %s, %s, %s, gen_random_uuid())",
        [number, EVIL, EVIL, EVIL, EVIL],
    )
    db.execute("update poller.worker set host = %s", [EVIL])
    db.execute(
        "insert into poller.action (actor, via, action, target, affected) values (%s, %s, %s, %s, 1)",
        [EVIL] * 4,
    )
    return url


def test_hostile_names_are_text_and_no_value_of_a_users_column_is_shown(evil: str) -> None:
    """In all lists, details and dialogs."""
    seen: list[str] = []

    async def scene() -> None:
        async with stage(evil, work, size=WIDE) as it:
            for tab in "shtijrwla":
                await it.press("g", tab)
                await it.until("it is answered", lambda: it.lines.answer is not None)
                await it.pilot.pause()
                seen.append(it.text)
                if it.lines.lines and tab not in "jr":
                    await it.press("enter")
                    await it.pilot.pause()
                    seen.append(it.text)
                    await it.press("escape")
            await it.press("g", "t")
            await it.see("[red]")
            await it.press("r")
            await it.see("Retry 1 row")
            seen.append(it.text)
            await it.press("escape", "enter")
            await it.see("parked")
            await it.press("enter")
            await it.see("why it is not worked on")
            seen.append(it.text)
            await it.press("escape", "escape")
            await it.find("2")
            await it.see("worker")
            seen.append(it.text)

    play(scene())
    everything = "\n".join(seen)
    assert "[red]" in everything
    assert "\\x1b[31m" in everything
    assert all(each.isprintable() for each in everything.splitlines())
    assert CANARY not in everything


def test_a_frame_is_text(evil: str) -> None:
    """As the screen is."""
    looks = looks_at(evil, work)
    seen = looks.look(PANELS)
    assert isinstance(seen, LookResult)
    text = frame("shop", seen)
    assert "[red]" in text
    assert all(each.isprintable() for each in text.splitlines())
    assert CANARY not in text
    looks.connection.close()
