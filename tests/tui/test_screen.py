"""The live screen by its keys, from 80 by 24 to 200 by 60 cells, on a real database."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from poller import fixed_rate
from poller.testing import Engine
from tests.command_line import hold, known, make_tenants, trouble, value
from tests.engines import fail, moves
from tests.times import one_in
from tests.tui.stage import NARROW, PERSON, SIZES, WIDE, play, stage

TENANTS = moves("tenants", lambda _: "normal", to=("normal", "rejected"), limit=5, rate="100/1m")
FAILING = moves("tenants", fail, status="closing", to="closed", attempts=1)


@fixed_rate("1h")
def tick() -> None:
    print("ticked")  # noqa: T201 - it is kept with the run


@pytest.fixture
def busy(url: str, db: psycopg.Connection[Any]) -> str:
    """A database that has something for each list: its URL."""
    make_tenants(db, *["pending"] * 3, *["closing"] * 2)
    with Engine(url, TENANTS, FAILING, tick) as engine:
        engine.run_due()
        engine.advance("2h")
        engine.run_due()
    for _ in range(4):
        db.execute("insert into tenants (status) values ('pending')")
    hold(db, value(db, "select id from poller.handler where status = 'pending'"), "7")
    return url


@pytest.mark.parametrize("size", one_in(2, SIZES), ids=str)
def test_each_list_is_reached_by_its_keys(busy: str, size: tuple[int, int]) -> None:
    """By `g` and its first letter, by its number, and from its neighbours."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick, size=size) as it:
            await it.see("tenants", "pending", "closing", "closed", "done/min", "1 in flight")
            await it.go("h", "pending → normal | rejected")
            await it.go("t", "ValueError")
            await it.go("i", "tenants:pending")
            await it.see("worker")
            await it.go("j", "tick")
            await it.go("r", "succeeded")
            await it.go("w", "elsewhere")
            await it.go("l", "1 of 5")
            await it.go("a", "no orders yet")
            for at, tab in enumerate(("Status", "Handlers", "Trouble"), 1):
                await it.press(str(at))
                assert it.top._main.listing.title == tab
            await it.press("tab", "right")
            assert it.top._main.listing.title == "Jobs"
            await it.press("shift+tab", "left", "g", "x")
            assert it.top._main.listing.title == "Trouble"

    play(scene())


@pytest.mark.parametrize("size", one_in(2, SIZES), ids=str)
def test_the_cursor_moves_and_opens_what_stands_behind_a_line(busy: str, size: tuple[int, int]) -> None:
    """And stays with its line, whatever comes before it."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick, size=size) as it:
            await it.see("pending", "closed")
            first = it.lines.chosen.status
            await it.press("j", "down")
            assert it.lines.chosen is it.lines.lines[2]
            await it.press("k", "up", "up")
            assert it.lines.chosen.status == first
            await it.press("G")
            assert it.lines.position == f"{len(it.lines.lines)}/{len(it.lines.lines)}"
            await it.press("home")
            await it.press("enter")
            await it.see("done per minute", "place", "oldest due")
            await it.press("escape")
            await it.go("t", "ValueError")
            await it.press("enter")
            await it.see("tenants:closing ▸ ValueError")
            await it.until(
                "rows are there", lambda: {getattr(each, "key", "") for each in it.lines.lines} == {"4", "5"}
            )
            await it.press("enter")
            await it.see(
                "why it is not worked on", "parked after 1 attempt", "what happened to it", "in fail"
            )
            await it.press("escape")
            await it.see("tenants:closing ▸ ValueError")
            await it.press("escape")
            await it.see("handler")
            await it.go("j", "tick")
            await it.press(*"j" * [each.name for each in it.lines.lines].index("tick"))
            await it.press("enter")
            await it.see("runs of tick")
            await it.press("enter")
            await it.see("output", "ticked")

    play(scene())


def test_lines_that_come_and_go_leave_the_cursor_with_its_line(url: str, db: psycopg.Connection[Any]) -> None:
    """Where the line itself goes, the cursor stays where it was."""
    make_tenants(db, "pending")
    number = known(db, "public.tenants", "pending")
    hold(db, number, "b", "c")

    async def scene() -> None:
        async with stage(url, TENANTS) as it:
            await it.go("i", "tenants:pending")
            await it.press("j")
            chosen = it.lines.chosen.key
            hold(db, number, "a")
            it.top.looking.wake()
            await it.until("the line is there", lambda: len(it.lines.lines) == 3)
            assert it.lines.chosen.key == chosen
            db.execute("delete from poller.claim")
            it.top.looking.wake()
            await it.see("nothing is in flight")
            assert it.lines.chosen is None
            await it.press("enter", "r", "l", "m", "j", "k")

    play(scene())


def test_a_word_finds_rows_runs_jobs_and_handlers(busy: str) -> None:
    """What it may mean is asked where that is several things; where it is nothing, that is told."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.find("tick")
            await it.see("runs of tick")
            await it.find("4")
            await it.see("why it is not worked on", "tenants:closing:4")
            await it.find("1")
            await it.see("1 may be", "run 1 of tick", "row public.tenants:1, normal")
            await it.press("j", "enter")
            await it.see("tenants:normal:1")
            await it.find("nowhere")
            await it.see("nothing is called nowhere")
            await it.press("slash")
            await it.see("a key, a run")
            await it.press(*"never", "escape", "escape")
            await it.see("Status")

    play(scene())


def test_a_word_that_is_found_once_is_told_with_the_tables_that_were_left_out(
    busy: str, db: psycopg.Connection[Any]
) -> None:
    """It may be in them, too."""
    known(db, "public.elder", "new")

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.find("4")
            await it.see("tenants:closing:4", "public.elder is left out: it is gone")

    play(scene())


def test_times_are_told_in_utc_or_in_the_local_zone(busy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same moments, in other words."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.see("UTC")
            await it.press("z")
            await it.see("CST")
            assert it.top.zone is None
            await it.press("z")
            await it.see("UTC")

    try:
        play(scene())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_check_says_what_is_wrong_and_what_to_do(url: str, db: psycopg.Connection[Any]) -> None:
    """With the handlers' code; without it, that this is what lacks."""
    make_tenants(db, "pending")

    async def scene(*, package: bool) -> None:
        async with stage(url, TENANTS, package=package) as it:
            await it.press("C")
            if not package:
                await it.see("what is checked is the handlers' code")
                return
            await it.see("warning: public.tenants:pending", "CREATE INDEX CONCURRENTLY")
            await it.press("escape")
            await it.see_no("CREATE INDEX")

    for package in (True, False):
        play(scene(package=package))


def test_help_theme_and_the_way_out(busy: str) -> None:
    """Keys do nothing else while a dialog is open."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.press("question_mark")
            await it.see("what stands behind the line")
            await it.press("r", "z", "escape")
            await it.see_no("what stands behind the line")
            dark = it.top.current_theme.dark
            await it.press("d")
            assert it.top.current_theme.dark is not dark
            await it.press("q")
            await it.until("it ends", lambda: it.top._exit)

    play(scene())


def test_what_there_is_room_for_is_shown(busy: str) -> None:
    """A small screen has the list alone; a large one what a line holds, and what else is going on."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick, size=NARROW) as it:
            await it.see("done/min")
            assert "Next runs" not in it.text
            await it.pilot.resize_terminal(*WIDE)
            await it.see("Next runs", "no orders yet", "done per minute", "ValueError")
            await it.pilot.resize_terminal(90, 40)
            await it.see("ValueError")
            assert "Next runs" not in it.text
            await it.pilot.resize_terminal(40, 10)
            await it.see("pending")

    play(scene())


# --- orders --------------------------------------------------------------------------------------------


def actions(db: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return db.execute("select via, action, target, affected from poller.action order by id").fetchall()


def test_an_order_asks_first_with_how_many_rows_there_are_now(busy: str, db: psycopg.Connection[Any]) -> None:
    """No is what Enter says; yes is written down with the face and the person."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.go("t", "ValueError")
            for key in ("n", "escape", "enter"):
                await it.press("r")
                await it.see("Retry 2 rows of public.tenants:closing with ValueError")
                await it.press(key)
                await it.see_no("Retry 2 rows")
            trouble(db, value(db, "select id from poller.handler where status = 'closing'"), "6")
            assert actions(db) == []
            await it.press("r")
            await it.see("Retry 2 rows", "Cancel (n)")
            await it.press("y")
            await it.see("retrying 2 rows of public.tenants:closing with ValueError")
            await it.until("they wait", lambda: it.lines.chosen.waiting == 2)

    play(scene())
    [(via, action, target, affected)] = actions(db)
    assert (via, action, affected) == ("top", "retry", 2)
    assert target.startswith("public.tenants:closing with ValueError")
    assert PERSON in value(db, "select actor from poller.action")


def test_a_cause_without_a_place_is_retried_alone(url: str, db: psycopg.Connection[Any]) -> None:
    """As many rows as the question says, and not the others of its class."""
    make_tenants(db, *["closing"] * 3)
    with Engine(url, FAILING) as engine:
        engine.run_due()
    db.execute("update poller.attempt set place = null, changed_at = now() + interval '1 s' where key = '1'")

    async def scene() -> None:
        async with stage(url, FAILING) as it:
            await it.go("t", "ValueError")
            await it.press("r")
            await it.see("Retry 1 row of public.tenants:closing with ValueError?")
            await it.press("y")
            await it.see("retrying 1 row")

    play(scene())
    assert value(db, "select string_agg(key, ',') from poller.attempt where attempt = 0") == "1"


def test_one_row_is_retried_released_and_moved(busy: str, db: psycopg.Connection[Any]) -> None:
    """From its line, or from its detail."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.go("t", "ValueError")
            await it.press("enter")
            await it.see("parked")
            await it.press("enter")
            await it.see("what happened to it")
            await it.press("r")
            await it.see("Retry 1 row of public.tenants:closing:")
            await it.press("y")
            await it.see("retrying 1 row")
            await it.press("escape")
            await it.go("i", "tenants:pending")
            await it.press("l")
            await it.see("Release 1 row of public.tenants:pending:7?")
            await it.press("y")
            await it.see("nothing is in flight")
            await it.press("1")
            await it.see("rejected")
            await it.press("m")
            await it.see("Move public.tenants:pending to", "rejected")
            await it.press("enter")
            await it.see("Move 4 rows of public.tenants:pending to normal?")
            await it.press("y")
            await it.see("moved 4 rows of public.tenants:pending to normal")

    play(scene())
    found = [(action, affected) for _, action, _, affected in actions(db)]
    assert found == [("retry", 1), ("release", 1), ("move", 4)]
    assert value(db, "select count(*) from tenants where status = 'pending'") == 0


def test_rows_are_moved_in_the_column_that_their_line_names(url: str, db: psycopg.Connection[Any]) -> None:
    """Not in another that has the same status; and the statuses of that one are offered."""
    db.execute("create table ord (id int primary key, state text default 'new', mail text default 'new')")
    state = moves("ord", status="new", to="paid", column="state")
    mail = moves("ord", status="queued", to="sent", column="mail")
    with Engine(url, state, mail):
        pass
    db.execute(
        "insert into ord (id) select generate_series(1, 3); update ord set state = 'paid' where id > 1"
    )

    async def scene() -> None:
        async with stage(url, state, mail) as it:
            await it.see("new (mail)", "queued (mail)")
            while it.top._main.lines.chosen.column != "mail" or it.top._main.lines.chosen.status != "new":
                await it.press("j")
            await it.press("m")
            await it.see("Move public.ord:new to", "queued")
            await it.press("enter")
            await it.see("Move 3 rows of public.ord:new to queued?")
            await it.press("y")
            await it.see("moved 3 rows of public.ord:new to queued")

    play(scene())
    assert db.execute("select state, mail from ord order by id").fetchall() == [
        ("new", "queued"),
        ("paid", "queued"),
        ("paid", "queued"),
    ]


def test_rows_that_are_chosen_together_are_ordered_together(busy: str, db: psycopg.Connection[Any]) -> None:
    """Those of one handler, and no others; they are forgotten once that is done, at Esc, and in another list."""
    number = value(db, "select id from poller.handler where status = 'closing'")
    db.execute("insert into tenants (status) values ('closing')")
    hold(db, value(db, "select id from poller.handler where status = 'pending'"), "8")
    hold(db, number, "10")

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.go("t", "ValueError")
            await it.see_no("Choose")
            await it.press("enter")
            await it.see("Choose", "1/2")
            await it.press("x", "x")
            await it.see("2 chosen  2/2", "•4", "•5")
            await it.press("escape")
            await it.see_no("chosen")
            await it.press("home", "x", "down", "x", "r")
            await it.see("Retry 2 rows of public.tenants:closing?")
            await it.press("y")
            await it.see("retrying 2 rows of public.tenants:closing")
            await it.go("i", "tenants:pending")
            await it.press("home", "x", "end", "x")
            await it.see("are of public.tenants:pending", "1 chosen")
            await it.press("up", "x", "l")
            await it.see("Release 2 rows of public.tenants:pending?")
            await it.press("y")
            await it.see("released 2 rows of public.tenants:pending")
            await it.see_no("2 chosen")

    play(scene())
    found = [(action, affected) for _, action, _, affected in actions(db)]
    assert found == [("retry", 2), ("release", 2)]
    assert value(db, "select count(*) from poller.claim") == 1


def test_handlers_and_jobs_are_paused_and_resumed_jobs_triggered_runs_cancelled_and_workers_drained(
    busy: str, db: psycopg.Connection[Any]
) -> None:
    """What is nothing to do says so."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.go("h", "pending → normal")
            await it.press("p")
            await it.see("Pause public.tenants:pending?", "1 row in flight will finish")
            await it.press("y")
            await it.see("0  paused by")
            assert it.top.under is None
            await it.see_no("Esc")
            await it.press("p")
            await it.see("Resume public.tenants:pending?")
            await it.press("y")
            await it.see("resumed public.tenants:pending")
            await it.go("j", "tick")
            await it.press(*"j" * [each.name for each in it.lines.lines].index("tick"))
            await it.press("t")
            await it.see("Run the job tick now?", "no run of it is in progress")
            await it.press("y")
            await it.see("entered run")
            await it.press("p")
            await it.see("Pause the job tick?")
            await it.press("y")
            await it.until("it is paused", lambda: it.lines.chosen.state == "paused")
            await it.go("r", "pending")
            await it.press(*"j" * [each.status for each in it.lines.lines].index("pending"))
            await it.press("c")
            await it.see("Cancel run", "It has not begun")
            await it.press("y")
            await it.see("cancelled run")
            await it.press("c")
            await it.see("has ended: cancelled")
            await it.go("w", "heartbeat")
            holder = max(it.lines.lines, key=lambda each: each.in_flight)
            await it.press(*"j" * it.lines.lines.index(holder), "D")
            await it.see(f"Drain worker {holder.id} on", "1 row now")
            await it.press("y")
            await it.until("it drains", lambda: it.lines.chosen.state == "draining")
            await it.press("D")
            await it.see(f"Worker {holder.id} is draining already.")

    play(scene())
    given = ["pause", "resume", "trigger", "pause", "cancel", "drain"]
    assert [each[1] for each in actions(db)] == given


def test_a_long_order_tells_how_far_it_has_come_and_is_stopped_by_escape(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Between two batches; what was done stays so, and is written down."""
    make_tenants(db, "pending")
    number = known(db, "public.tenants", "pending")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, crashes, company, next_at, error, visit)"
        " select %s, i::text, 'parked', 5, 1, 1, now(), 'no', gen_random_uuid() from generate_series(1, 1500) as i",
        [number],
    )

    async def scene() -> None:
        async with stage(url, TENANTS) as it:
            await it.see("pending")
            with psycopg.connect(url) as other:  # for a row that is locked an order waits
                other.execute("select from poller.attempt where key = '7' for update")
                await it.press("r")
                await it.see("Retry 1,500 rows")
                await it.press("y")
                await it.see("1,499 rows so far; Esc stops")
                await it.press("r")
                await it.see("Retry 1")
                await it.press("y")
                await it.see("an order is under way")
                assert it.top.under is not None
                await it.press("escape")
                await it.see("stopped; retrying 1,499 rows of public.tenants:pending")
                await it.see_no("Esc stops")

    play(scene())
    assert [each[1::2] for each in actions(db)] == [("retry", 1499)]


def test_keys_without_an_order_do_nothing_and_are_not_shown(busy: str, db: psycopg.Connection[Any]) -> None:
    """A status that no handler takes cannot be paused, a worker not cancelled."""

    async def scene() -> None:
        async with stage(busy, TENANTS, FAILING, tick) as it:
            await it.see("Retry", "Pause")
            at = [each.status for each in it.lines.lines].index("normal")
            await it.press(*"j" * at)
            await it.see_no("Pause")
            await it.press("r", "p", "l", "t", "c")
            await it.go("w", "elsewhere")
            await it.press("r", "p", "l", "m", "t", "c")
            await it.go("a", "no orders yet")

    play(scene())
    assert actions(db) == []


def test_an_order_that_is_refused_says_why(url: str, db: psycopg.Connection[Any]) -> None:
    """In one line, and the screen goes on."""
    make_tenants(db, "pending")

    async def scene() -> None:
        async with stage(url, TENANTS) as it:
            await it.go("h", "pending → normal")
            await it.press(
                "p",
            )
            await it.see("no handler is known for table public.tenants")
            await it.press("g", "s")
            await it.see("pending")

    play(scene())
