"""What people look at costs the same, whatever tables have grown to: no statement goes through more than 12,000 rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from poller import Client, handler
from poller.db.statements import statement
from poller.errors import PollerError
from poller.tui.looks import ScreenClients
from poller.tui.run_lists import NEXT
from tests.client.watching import BOUND, watched
from tests.command_line import hold, known, objects, value
from tests.harness import wait_until
from tests.times import one_in
from tests.web.desks import browser

if TYPE_CHECKING:
    from poller.client.status import StatusLine
    from tests.harness import Project

ROWS = 205_000
FORMS = ("index", "no index", "partitions")


@handler("thing", status="pending", to=("normal", "odd"))
def work(row: Any) -> str:
    return "normal"


def make_things(db: psycopg.Connection[Any], form: str, *, analyzed: bool, rows: int = ROWS) -> None:
    """Make a table in which one row of 41 is pending, one of ten is strange, and the others are normal."""
    db.execute("set synchronous_commit = off")
    columns = "id bigint primary key, status text not null, created_at timestamptz not null"
    if form == "partitions":
        db.execute(f"create table thing ({columns}) partition by range (id)")  # type: ignore[call-overload]
        for at in range(16):
            low, high = at * rows // 16, (at + 1) * rows // 16 + (at == 15)
            db.execute(
                f"create table thing_{at} partition of thing for values from ({low}) to ({high})"  # type: ignore[call-overload]
                " with (autovacuum_enabled = false)"
            )
    else:
        db.execute(f"create table thing ({columns}) with (autovacuum_enabled = false)")  # type: ignore[call-overload]
    if form != "no index":
        db.execute("create index on thing (id) where status = 'pending'")
    db.execute(
        "insert into thing select i,"
        " case when i %% 41 = 0 then 'pending' when i %% 10 = 0 then 'strange' else 'normal' end,"
        " now() - interval '3 days' + i * interval '1 second' from generate_series(1, %s) as i",
        [rows],
    )
    if analyzed:
        db.execute("analyze thing")


def by_status(url: str, **options: Any) -> dict[str, StatusLine]:
    """Return the lines of the status, by it."""
    return {each.status: each for each in Client(url, [work]).status(**options).items}


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
@pytest.mark.parametrize("form", one_in(3, FORMS))
def test_g12_status_and_handlers_go_through_a_bounded_part_of_a_large_table(
    url: str, db: psycopg.Connection[Any], form: str, analyzed: Any
) -> None:
    """With and without the index of the claims, whatever Postgres knows of the table."""
    make_things(db, form, analyzed=analyzed)
    with watched() as watch:
        Client(url, [work]).status()
        Client(url, [work]).handlers()
    assert watch.most[0] <= BOUND, watch.most
    assert any("limit" in text and rows > 1000 for rows, text in watch.seen), "it has counted something"


def test_what_an_index_finds_is_counted_and_of_the_rest_there_is_an_estimate(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Within 10 % of the truth, marked, and with the time of the table's statistics."""
    make_things(db, "index", analyzed=True)
    found = by_status(url)
    assert (found["pending"].rows, found["pending"].exact) == (ROWS // 41, True)
    normal = value(db, "select count(*) from thing where status = 'normal'")
    assert not found["normal"].exact
    assert abs(found["normal"].rows - normal) < normal / 10
    analyzed_at = value(db, "select last_analyze from pg_stat_user_tables where relname = 'thing'")
    assert (found["normal"].statistics_at, found["pending"].statistics_at) == (analyzed_at, None)
    page = Client(url, [work]).status()
    assert not page.exact


def test_the_oldest_is_found_at_the_head_of_the_claims_index(url: str, db: psycopg.Connection[Any]) -> None:
    """Where none tells, nothing is read through for it."""
    make_things(db, "index", analyzed=True)
    first = value(db, "select created_at from thing where id = 41")
    assert by_status(url)["pending"].oldest == first
    assert by_status(url)["normal"].oldest is None
    db.execute("create index on thing (status, created_at)")
    assert by_status(url)["normal"].oldest == value(db, "select created_at from thing where id = 1")


def test_the_oldest_is_found_in_a_domain_over_a_time(url: str, db: psycopg.Connection[Any]) -> None:
    """As in the time itself."""
    make_things(db, "index", analyzed=True)
    db.execute("create domain written as timestamptz; alter table thing alter column created_at type written")
    db.execute("analyze thing")
    assert by_status(url)["pending"].oldest == value(db, "select created_at from thing where id = 41")


def test_an_index_that_does_not_begin_with_the_status_is_not_searched_for_it(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """All of its entries would be looked at, though no plan counts them."""
    make_things(db, "no index", analyzed=True)
    db.execute("create index on thing (created_at, status)")
    found = by_status(url)
    assert not any(line.exact for line in found.values())
    assert not any(line.oldest for line in found.values())
    db.execute("create index on thing (status, created_at)")
    assert by_status(url)["pending"].exact


def test_what_has_more_rows_than_are_counted_is_estimated(url: str, db: psycopg.Connection[Any]) -> None:
    """An index would find them, one by one."""
    make_things(db, "index", analyzed=True)
    db.execute("create index on thing (status)")
    with watched() as watch:
        found = by_status(url)
    assert (found["normal"].exact, found["normal"].rows > 150_000) == (False, True)
    assert (found["odd"].rows, found["odd"].exact) == (0, True)
    assert 10_000 < watch.most[0] <= BOUND


def test_statuses_that_no_handler_knows_are_shown(url: str, db: psycopg.Connection[Any]) -> None:
    """Those that the statistics know, or the type has; after those of the handlers."""
    make_things(db, "index", analyzed=True)
    assert [*by_status(url)] == ["pending", "normal", "odd", "strange"]
    db.execute("create type state as enum ('pending', 'normal', 'odd', 'strange', 'new', 'never')")
    db.execute("drop index thing_id_idx; alter table thing alter status type state using status::state")
    db.execute("create index on thing (status)")
    db.execute("insert into thing values (0, 'new', now())")
    db.execute("analyze thing")
    assert [*by_status(url)] == ["pending", "normal", "odd", "new", "strange"]


def test_a_table_of_few_rows_is_counted_whole(url: str, db: psycopg.Connection[Any]) -> None:
    """Without any index; the statuses that are there are all shown."""
    make_things(db, "no index", analyzed=False, rows=9_000)
    found = by_status(url)
    assert {status: line.rows for status, line in found.items()} == {
        "pending": 219, "normal": 7902, "odd": 0, "strange": 879
    }  # fmt: skip
    assert all(line.exact for line in found.values())


def test_exact_counts_every_row_and_says_so_before(project: Project, db: psycopg.Connection[Any]) -> None:
    """On standard error, with an estimate of how much it is."""
    make_things(db, "no index", analyzed=True)
    project.handlers('@handler("thing", status="pending", to=("normal", "odd"))\ndef work(row): ...\n')
    ended = project.run("status", "--exact", "--json")
    assert "counting public.thing: ≈ 20" in ended.stderr
    found = {line["status"]: (line["rows"], line["exact"]) for line in objects(ended)}
    counted = db.execute("select status, count(*), true from thing group by 1").fetchall()
    assert found == {status: (rows, exact) for status, rows, exact in counted} | {"odd": (0, True)}


def test_people_see_that_a_number_is_an_estimate_and_how_old_the_statistics_are(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Or that there are none."""
    make_things(db, "no index", analyzed=False)
    project.handlers('@handler("thing", status="pending", to=("normal", "odd"))\ndef work(row): ...\n')
    assert "never analyzed" in project.run("status").stdout
    db.execute("analyze thing")
    shown = wait_until(
        "the server says when", lambda: (said := project.run("status").stdout) and "s ago" in said and said
    )
    assert "≈ " in shown


# --- orders ------------------------------------------------------------------------------------------------


def moving(url: str, selector: str, to: str) -> tuple[int, int, int]:
    """Move rows; return how many, how many rows the order went through, and how many its largest statement."""
    with watched() as watch:
        done = Client(url).move(selector, to)
    return done.rows, sum(rows for rows, text in watch.seen if '"thing"' in text), watch.most[0]


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
@pytest.mark.parametrize("form", one_in(3, FORMS))
@pytest.mark.parametrize("status", ["rare", "strange"])
def test_g12_a_move_goes_through_a_table_once_where_no_index_finds_the_status(
    url: str, db: psycopg.Connection[Any], form: str, analyzed: Any, status: str
) -> None:
    """Not once for each batch, nor to see what is left; each statement through a bounded part of it."""
    make_things(db, form, analyzed=analyzed, rows=60_000)
    known(db, "public.thing", "pending")
    db.execute("update thing set status = 'rare' where id in (7, 30000, 59999)")
    expected = value(db, "select count(*) from thing where status = %s", status)
    rows, through, most = moving(url, f"thing:{status}", "normal")
    assert (rows, rows > 0) == (expected, True)
    assert 60_000 <= through < 60_000 + 8 * rows + 1000
    assert most <= BOUND


@pytest.mark.parametrize("index", ["(status)", "(status, id)", "(id) where status = 'rare'"])
def test_g12_a_move_goes_along_an_index_that_finds_the_status(
    url: str, db: psycopg.Connection[Any], index: str
) -> None:
    """In the order of the key or not."""
    make_things(db, "no index", analyzed=True, rows=60_000)
    known(db, "public.thing", "pending")
    db.execute(f"create index on thing {index}")  # type: ignore[call-overload]
    db.execute("update thing set status = 'rare' where id % 20 = 1")
    assert moving(url, "thing:rare", "normal")[0] == 3000
    db.execute("update thing set status = 'rare' where id in (7, 30000, 59999)")
    rows, through, _ = moving(url, "thing:rare", "normal")
    assert (rows, through < 100) == (3, True)


def test_g12_nor_does_it_twice_for_what_a_handler_has_in_hand(url: str, db: psycopg.Connection[Any]) -> None:
    """Of which the rows show `during`: they are found by their leases."""
    make_things(db, "index", analyzed=True, rows=60_000)
    number = known(db, "public.thing", "pending")
    db.execute('update poller.handler set definition = \'{"during": "busy"}\'')
    hold(db, number, "7", "8")
    db.execute("update thing set status = 'busy' where id in (7, 8)")
    rows, through, _ = moving(url, "thing:pending", "normal")
    assert (rows, through < 12 * rows) == (60_000 // 41 + 2, True)
    assert value(db, "select count(*) from thing where status in ('pending', 'busy')") == 0


# --- what poller has recorded ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["waiting", "parked"])
def test_g12_rows_in_trouble_are_counted_some_thousands_a_statement(
    url: str, db: psycopg.Connection[Any], state: str
) -> None:
    """However many they are, the number is right."""
    make_things(db, "index", analyzed=False, rows=100)
    in_trouble(db, known(db, "public.thing", "pending"), 35_001, state)
    with watched() as watch:
        found = by_status(url)["pending"]
    assert (found.waiting, found.parked) == ((35_001, 0) if state == "waiting" else (0, 35_001))
    assert watch.most[0] <= BOUND, watch.most


def in_trouble(db: psycopg.Connection[Any], handler: int, rows: int, state: str = "parked") -> None:
    """Put many rows in trouble, all at once."""
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, kind, place, visit, changed_at)"
        " select %s, i, %s, 5, 'ValueError: ' || i || ' (app.py:7)', 'ValueError', 'app.py:7', gen_random_uuid(), now()"
        " from generate_series(1, %s) as i",
        [handler, state, rows],
    )


@pytest.mark.parametrize("status", one_in(4, ["succeeded", "pending", "skipped", "failed"]))
def test_g12_listings_of_jobs_and_runs_are_bounded(
    url: str, db: psycopg.Connection[Any], status: str
) -> None:
    """Beside 100,000 runs, whatever became of them and whatever Postgres knows of them; each is listed once."""
    db.execute("alter table poller.run set (autovacuum_enabled = false)")
    db.execute(
        "insert into poller.job (name, function, declared)"
        " select 'job ' || i, 'job ' || i, true from generate_series(0, 120) as i"
    )
    db.execute(
        "insert into poller.run (job, function, planned_at, status, finished_at, started_at)"
        " select 'job ' || i %% 5, 'job ' || i %% 5, now() - i * interval '1 s', %s, now(), now()"
        " from generate_series(1, 100000) as i",
        [status],
    )
    db.execute(
        "insert into poller.run (job, function, status)"
        " values ('job 1', 'job 1', 'running'), ('mine', 'job 1', 'failed')"
    )
    asked = Client(url)
    for known_of_them in ("", "analyze poller.run"):
        db.execute(known_of_them.encode())
        with watched() as watch:
            assert asked.jobs().items[0].name == "job 0"
            asked.jobs(limit=1)
            assert len(asked.runs(limit=100).items) == 100
            assert {each.job for each in asked.runs("job 1", limit=100).items} <= {"job 1", "mine"}
            assert [each.job for each in asked.runs("mine").items] == ["mine"]
            assert len({each.id for each in asked.runs("job 1").items}) == 20_002
            newest = asked.newest_runs([f"job {number}" for number in range(100)], most=7).items
            assert [(each.job, each.id) for each in newest[:8]] == [
                *(("job 0", number) for number in range(5, 40, 5)),
                ("job 1", 100_001),
            ]
            assert len(newest) == 35
            beside = asked.runs_beside(50_000)
            assert {beside.before, beside.after} == {49_995, 50_005}
            failed = asked.failed_days("job 0")
            assert sum(failed.days.values()) == (10_000 if status == "failed" else 0)
            assert failed.exact == (status != "failed")
        assert watch.most[0] <= BOUND, (known_of_them, watch.most)


@pytest.mark.thorough
def test_g12_the_soonest_of_a_hundred_thousand_schedules_are_found_along_an_index(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Whatever their names and functions are; the home page, the live screen and the API show the same."""
    db.execute("alter table poller.job set (autovacuum_enabled = false)")
    db.execute(
        "insert into poller.job (name, function, schedule, declared, next_at, paused_at, exhausted)"
        " select 'job ' || lpad(i::text, 6, '0'), 'does ' || i % 300, '0 3 * * *', false,"
        " poller.now() + interval '1 hour' + interval '1 s' * ((i * 7919) % 100003),"
        " case when i > 99990 then now() end, i between 99980 and 99990"
        " from generate_series(1, 100000) as i"
    )
    db.execute(
        "insert into poller.job (name, function, schedule, declared) values ('new', 'does 7', '* * * * * *', false)"
    )
    expected = (
        "new",
        *(
            name
            for (name,) in db.execute(
                "select name from poller.job where paused_at is null and not exhausted and next_at is not null"
                " order by next_at, name limit 6"
            )
        ),
    )
    asked = Client(url, via="desk", hurried=True)
    for known_of_them in ("", "analyze poller.job"):
        db.execute(known_of_them.encode())
        with watched() as watch:
            assert tuple(each.name for each in asked.next_jobs(limit=7).items) == expected
            with asked.watch() as look:
                assert tuple(each.name for each in look.beside(100, 5).next_jobs) == expected[:5]
        assert watch.most[0] <= BOUND, (known_of_them, watch.most)
    page = NEXT.panel.ask(ScreenClients(asked, lambda _: asked, has_code=False))
    assert (tuple(each.name for each in page.items[:7]), len(page.items), bool(page.next)) == (
        expected,
        200,
        True,
    )
    slots = browser(url).get("/api/v1/jobs/next?limit=1").json()["items"]
    assert [each["job"] for each in slots] == ["new"]


def test_a_job_says_how_many_of_its_runs_wait(url: str, db: psycopg.Connection[Any]) -> None:
    """Up to ten thousand; and what its last run was, behind many slots that were skipped."""
    db.execute("insert into poller.job (name, function, declared) values ('a', 'a', true), ('b', 'b', true)")
    db.execute(
        "insert into poller.run (job, function, planned_at, status)"
        " select 'a', 'a', now() + i * interval '1 s', 'pending' from generate_series(1, 300) as i union all"
        " select 'b', 'b', now() + i * interval '1 s', 'skipped' from generate_series(1, 300) as i union all"
        " select 'b', 'b', now(), 'succeeded'"
    )
    a, b = Client(url).jobs().items
    assert (a.waiting, a.last_status, b.waiting, b.last_status) == (300, None, 0, "succeeded")


def test_g12_a_graph_looks_at_a_bounded_part_of_the_history(url: str, db: psycopg.Connection[Any]) -> None:
    """However much failed for good, and however much people have ordered."""
    make_things(db, "index", analyzed=False, rows=10)
    number = known(db, "public.thing", "pending")
    db.execute(
        "insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, lease, at)"
        " select %s, i::text, 'failed', 'pending', case i when 1 then 'first' else 'later' end, 1, gen_random_uuid(),"
        " now() + i * interval '1 s' from generate_series(1, 30000) as i",
        [number],
    )
    db.execute(
        "insert into poller.action (actor, via, action, target, affected, detail, filter)"
        " select 'ann', 'cli', case when i % 2 = 0 then 'move' else 'retry' end, 'thing:' || i, 1, 'to odd', array['7']"
        " from generate_series(1, 30000) as i"
    )
    with watched() as watch:
        [machine] = Client(url, [work]).graph().machines
    assert watch.most[0] <= BOUND, watch.most
    assert {each.to for each in machine.edges if each.kind == "seen"} == {"first", "later"}


def test_moves_before_the_time_that_is_asked_for_are_not_read(url: str, db: psycopg.Connection[Any]) -> None:
    """Their keys stand apart from them, and are most of what there is to read."""
    number = known(db, "public.thing", "pending")
    db.execute(
        "insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds, at)"
        " select %s, 'pending', 'normal', 1, gen_random_uuid(), array(select 'key ' || generate_series(1, 1000)), '{}',"
        " now() - interval '1 hour' * (100 - i) from generate_series(1, 100) as i",
        [number],
    )
    asked = {"handler": number, "keys": "{key 7}", "most": 10_000, "before": 2**63 - 1}
    explained = sql.SQL("explain (analyze, buffers, format json) ") + statement("moves_with")
    cursor, read = psycopg.ClientCursor(db), []
    for back in ("3 hours", "30 days"):
        since = value(db, "select now() - %s::interval", [back])
        cursor.execute(explained, {**asked, "since": since})
        read.append(cursor.fetchone()[0][0]["Plan"]["Shared Hit Blocks"])
    assert read[0] * 5 < read[1], read
    db.execute("create table thing (id text primary key, status text)")
    client = Client(url)
    assert len(client.history("thing", "key 7", back="3h").items) == 3
    assert len(client.history("thing", "key 7", back="30d").items) == 100


def test_a_history_looks_back_a_day_and_further_when_asked(
    project: Project, url: str, db: psycopg.Connection[Any]
) -> None:
    """Beside many moves, which no statement goes through; it says how far it has looked."""
    make_things(db, "index", analyzed=False, rows=10)
    number = known(db, "public.thing", "pending")
    db.execute(
        "insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds, at)"
        " select %s, 'pending', 'normal', 1, gen_random_uuid(), array[i::text, '-' || i], '{1,1}',"
        " now() - interval '30 days' + i * interval '26 s' from generate_series(1, 99500) as i",
        [number],
    )
    asked = Client(url)
    with watched() as watch:
        assert len(asked.history("thing", "99000").items) == 1
        with pytest.raises(PollerError, match="nothing is recorded of row -7 of thing in the last 24h"):
            asked.history("thing", "-7")
    assert sum(rows for rows, text in watch.seen if "poller.move" in text) < 2 * BOUND, "of a day alone"
    with watched() as watch:
        [moved] = asked.history("thing", "-7", back="31d").items
    assert (moved.verdict, moved.to, moved.seconds) == ("moved", "normal", 1.0)
    assert watch.most[0] <= BOUND, watch.most
    assert asked.history("thing", "-7", back=timedelta(days=31)).items == (moved,)

    ended = project.run("history", "thing", "7")
    assert (ended.returncode, "look further back with: --back 30d" in ended.stderr) == (1, True)
    ended = project.run("history", "thing", "7", "--back", "30d")
    assert ("moved" in ended.stdout, "looked back 30d" in ended.stderr) == (True, True)
