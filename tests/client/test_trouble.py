"""Trouble by its cause: the newest first, in groups, with what each was raised by; and orders for one group alone."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client, Fail, fixed_rate, handler
from poller.client.refusals import NothingSelectedError
from poller.db import migration
from poller.testing import Engine
from tests.client.watching import BOUND, watched
from tests.command_line import hold, known, make_tenants, objects, the_line, trouble, value
from tests.engines import moves, run
from tests.harness import wait_until
from tests.times import TIMES, one_in

if TYPE_CHECKING:
    from poller.client.trouble import Group
    from tests.command_line import InProcess
    from tests.harness import Project

FAR = 30_000 * TIMES  # rows in trouble


def raises(row: Any) -> None:
    """Fail for one of three reasons, by the row's key."""
    number = row["id"] % 3
    if number == 0:
        msg = f"no such thing: {row['id']}"
        raise ValueError(msg)
    if number == 1:
        _ = {}[row["id"]]  # type: ignore[var-annotated]
    raise Fail("it will not do")


LINES = [raises.__code__.co_firstlineno + offset for offset in (5, 7, 8)]


def place(number: int) -> str:
    """Return where the function above raises."""
    return f"test_trouble.py:{LINES[number]}"


def causes(url: str, selector: str = "all") -> dict[tuple[str, str], Group]:
    """Return the groups by class and place."""
    return {(each.error, each.place): each for each in Client(url).failure_groups(selector).items}


# --- what is known of an error -----------------------------------------------------------------------------


def test_the_class_and_the_place_stand_apart_from_the_text(url: str, db: psycopg.Connection[Any]) -> None:
    """With the failure, and with its event; the place is the last one in the user's own code."""
    make_tenants(db, *["pending"] * 3)
    run(url, moves("tenants", raises, attempts=2))
    for table in ("attempt", "event"):
        found = db.execute(f"select key, kind, place from poller.{table} order by key").fetchall()  # type: ignore[call-overload]
        assert found == [
            ("1", "KeyError", place(1)),
            ("2", "Fail", place(2)),
            ("3", "ValueError", place(0)),
        ], table


def test_the_traceback_is_kept_with_the_failure_and_shown_on_demand(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """Also where no history is kept."""
    make_tenants(db, *["pending"] * 3)
    run(url, moves("tenants", raises, history="off", attempts=1))
    shown = here.run("failures", "--traceback").stdout
    assert "KeyError: 1" in shown
    assert "in raises" in shown
    assert f'test_trouble.py", line {LINES[0]}' in shown
    assert "public.tenants:pending:3  parked" in shown
    assert "in raises" not in here.run("failures").stdout
    [line] = Client(url).failures("tenants:3", traceback=True).items
    assert "ValueError: no such thing: 3" in str(line.traceback)
    assert (line.kind, line.place, line.parked) == ("ValueError", place(0), True)
    assert Client(url).failures("tenants:3").items[0].traceback is None


def test_a_class_is_known_from_another_process_and_of_a_timeout(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Whether the exception itself can be sent or not."""
    make_tenants(db, *["pending"] * 2)
    db.execute("create table slow as select * from tenants")
    db.execute("alter table slow add primary key (id)")
    project.handlers("""
        import threading

        class Odd(Exception):
            def __init__(self, one, two):
                super().__init__(one)

        @handler("tenants", status="pending", to="normal", attempts=1, executor="process")
        def work(row):
            if row.id == 1:
                raise Odd(1, 2)
            raise LookupError("no")

        @handler("slow", status="pending", to="normal", attempts=1, timeout="100ms")
        def wait(row):
            threading.Event().wait(0.3)
    """)
    assert project.run("run", "--drain").returncode == 1
    found = objects(project.run("failures", "--group", "--json"))
    assert {(each["error"], each["place"].partition(":")[0]) for each in found} == {
        ("Odd", "__init__.py"), ("LookupError", "__init__.py"), ("TimedOut", "")
    }  # fmt: skip


# --- groups ------------------------------------------------------------------------------------------------


def test_groups_tell_causes_apart_with_what_they_have(url: str, db: psycopg.Connection[Any]) -> None:
    """Rows, those that wait and those that are parked, since when, until when, and the last one as the example."""
    make_tenants(db, *["pending"] * 30)
    run(url, moves("tenants", raises, attempts=2))
    found = causes(url)
    assert [*found] != []
    assert {cause: (each.rows, each.waiting, each.parked) for cause, each in found.items()} == {
        ("ValueError", place(0)): (10, 10, 0),
        ("KeyError", place(1)): (10, 10, 0),
        ("Fail", place(2)): (10, 0, 10),
    }
    group = found["ValueError", place(0)]
    assert (group.table, group.status) == ("public.tenants", "pending")
    assert group.example == f"ValueError: no such thing: {group.example_key} ({place(0)})"
    first, last = db.execute(
        "select min(first_at), max(changed_at) from poller.attempt where kind = 'ValueError'"
    ).fetchall()[0]
    assert (group.first_at, group.last_at) == (first, last)


def test_groups_of_a_selector_are_those_of_its_rows(
    here: InProcess, url: str, db: psycopg.Connection[Any]
) -> None:
    """A handler's, or a row's."""
    make_tenants(db, *["pending"] * 6)
    run(url, moves("tenants", raises, attempts=2))
    in_trouble(db, known(db, "shop.orders", "paid"), 7, "parked")
    assert [
        (each["error"], each["rows"])
        for each in objects(here.run("failures", "shop.orders", "--group", "--json"))
    ] == [("ConnectError", 7)]
    [one] = objects(here.run("failures", "tenants:3", "--group", "--json"))
    assert (one["error"], one["rows"], one["example_key"]) == ("ValueError", 1, "3")
    assert here.run("failures", "--group").stdout.splitlines()[1].split()[:6] == [
        "shop.orders", "paid", "ConnectError", "client.py:88", "7", "0"
    ]  # fmt: skip


@pytest.mark.parametrize("option", [["--traceback"], ["--after", "x"]])
def test_an_option_that_means_nothing_for_groups_is_refused(here: InProcess, option: list[str]) -> None:
    """It was ignored."""
    assert f"leave out {option[0]}" in the_line(here.run("failures", "--group", *option))


def test_what_an_older_version_has_written_is_grouped_by_what_its_text_begins_with(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """It knows no class; a text without one is its own group."""
    number = known(db, "public.tenants", "pending")
    for key in range(5):
        trouble(db, number, str(key))
    db.execute("update poller.attempt set error = 'OSError: ' || key where key < '3'")
    db.execute("update poller.attempt set error = 'released by force' where key >= '3'")
    found = causes(url)
    assert {cause: each.rows for cause, each in found.items()} == {
        ("OSError", ""): 3,
        ("released by force", ""): 2,
    }
    assert Client(url).retry("all", error="OSError").rows == 3


def test_rows_that_went_to_an_on_failure_are_in_the_list(
    project: Project, url: str, db: psycopg.Connection[Any]
) -> None:
    """And in the groups, for as long as they show that status."""
    make_tenants(db, *["pending"] * 6)
    failing = handler("tenants", status="pending", to="normal", on_failure="stuck", attempts=1)(raises)
    run(url, failing)
    found = Client(url).failures()
    assert {each.key for each in found.items} == {"1", "2", "3", "4", "5", "6"}
    assert {(each.to, each.parked, each.next_at) for each in found.items} == {("stuck", False, None)}
    assert "went to stuck" in project.run("failures").stdout
    assert causes(url)["KeyError", place(1)].rows == 2

    db.execute("update tenants set status = 'done' where id <= 4")
    db.execute("delete from tenants where id = 5")
    assert [each.key for each in Client(url).failures().items] == ["6"]
    assert [(each.error, each.rows, each.waiting, each.parked) for each in causes(url).values()] == [
        ("ValueError", 1, 0, 0)
    ]
    db.execute("update tenants set status = 'pending' where id = 6")
    run(url, failing)
    assert [each.key for each in Client(url).failures().items] == ["6"], "it has failed twice, and is one row"
    assert Client(url).failures("tenants:6").items == Client(url).failures().items


@fixed_rate("1h")
def breaks() -> None:
    msg = "no disk"
    raise OSError(msg)


def test_failed_runs_of_jobs_are_grouped_as_well(url: str, db: psycopg.Connection[Any]) -> None:
    """The status is the job; the example is the number of its last run."""
    with Engine(url, breaks) as engine:
        for _ in range(3):
            engine.run_due()
            engine.advance("1h")
    [group] = Client(url).failure_groups().items
    assert (group.table, group.status, group.error, group.rows) == ("poller.run", "breaks", "OSError", 3)
    assert group.place.startswith("test_trouble.py:")
    assert group.example_key == str(value(db, "select max(id) from poller.run where status = 'failed'"))
    assert [each.rows for each in causes(url, "poller.run:breaks").values()] == [3]


# --- however much trouble there is ---------------------------------------------------------------------------


def in_trouble(
    db: psycopg.Connection[Any], number: int, rows: int, state: str, kind: str = "ConnectError"
) -> None:
    """Put many rows in trouble, one after the other."""
    db.execute("set synchronous_commit = off")
    db.execute(
        "insert into poller.attempt (handler_id, key, state, attempt, error, kind, place, visit, changed_at)"
        " select %(handler)s, %(kind)s || i, %(state)s, 5, %(kind)s || ': no host ' || i || ' (client.py:88)', %(kind)s,"
        " 'client.py:88', gen_random_uuid(), now() - i * interval '1 ms' from generate_series(1, %(rows)s) as i",
        {"handler": number, "state": state, "rows": rows, "kind": kind},
    )


@pytest.mark.parametrize("analyzed", one_in(3, ["analyzed", "analyzed too early", "never analyzed"]))
def test_the_newest_trouble_comes_first_by_an_index(
    url: str, db: psycopg.Connection[Any], analyzed: str
) -> None:
    """Of several handlers and states, and of rows that have failed for good, beside 100,000 of them."""
    numbers = [known(db, "public.tenants", status) for status in ("a", "b", "c")]
    db.execute("alter table poller.attempt set (autovacuum_enabled = false)")
    for number, state in zip(numbers, ("parked", "waiting", "parked"), strict=True):
        in_trouble(db, number, FAR // 3, state)
        if analyzed == "analyzed too early" and number == numbers[0]:
            db.execute("analyze poller.attempt")
    db.execute(
        "insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, error, lease, at)"
        " select %s, 'ConnectError' || i, 'failed', 'c', 'stuck', 1, 'no', gen_random_uuid(),"
        " now() - i * interval '1 ms' from generate_series(1, 50000) as i",
        [numbers[2]],
    )
    db.execute("update poller.attempt set changed_at = now() - substr(key, 13)::int * interval '1 ms'")
    if analyzed == "analyzed":
        db.execute("analyze")
    asked = Client(url)
    with watched() as watch:
        page = asked.failures(limit=100)
        second = asked.failures(limit=100, after=page.next)
        [one] = asked.failures("tenants:b:ConnectError7").items
        groups = asked.failure_groups()
    assert watch.most[0] <= BOUND, watch.most
    assert {each.status for each in page.items} == {"a", "b", "c"}
    times = [each.at for each in (*page.items, *second.items)]
    assert times == sorted(times, reverse=True)  # type: ignore[type-var]
    assert len({(each.status, each.key, each.to) for each in (*page.items, *second.items)}) == 200
    assert one.status == "b"
    counted = {(each.status, each.error): each.rows for each in groups.items}
    assert counted["a", "ConnectError"] == counted["b", "ConnectError"] == FAR // 3
    assert not groups.exact, "of those that failed for good the newest are counted"


def runs_failed(db: psycopg.Connection[Any], job: str, rows: int, kind: str = "OSError") -> None:
    """Have a job failed so often, once a second, some of them at the same moment."""
    db.execute(
        "insert into poller.handler (table_name, status_column, status) values ('poller.run', 'status', %s)"
        " on conflict do nothing",
        [job],
    )
    db.execute(
        "insert into poller.run (job, function, planned_at, started_at, finished_at, status, attempt, error, kind,"
        " place)"
        " select %(job)s, %(job)s, now() - n * interval '1 s', now() - n * interval '1 s',"
        "        now() - n / 3 * interval '1 s', 'failed', 1, %(kind)s || ': no disk', %(kind)s, 'disk.py:7'"
        "   from generate_series(1, %(rows)s) as n",
        {"job": job, "rows": rows, "kind": kind},
    )


def test_failed_runs_of_many_jobs_are_grouped_part_by_part(url: str, db: psycopg.Connection[Any]) -> None:
    """All of a job's, up to ten thousand; a statement asks for many jobs, and goes through a part of their runs only."""
    few, jobs = 7, [f"job_{number:02}" for number in range(45)]
    for job in jobs:
        runs_failed(db, job, few)
    for job, rows in (("job_03", 6_000), ("job_07", 5_500), ("job_44", 10_500)):
        runs_failed(db, job, rows, "TimeoutError")
    with watched() as watch:
        found = Client(url).failure_groups()
    counted = {(each.status, each.error): each.rows for each in found.items}
    assert [counted[job, "OSError"] for job in jobs if job != "job_44"] == [few] * 44
    assert (counted["job_03", "TimeoutError"], counted["job_07", "TimeoutError"]) == (6_000, 5_500)
    assert counted["job_44", "TimeoutError"] + counted.get(("job_44", "OSError"), 0) == 10_000
    assert not found.exact
    assert watch.most[0] <= BOUND, watch.most
    assert sum("run" in text and "cross join lateral" in text for _, text in watch.seen) <= 6


def test_pages_have_each_row_once_whatever_their_times(url: str, db: psycopg.Connection[Any]) -> None:
    """Also where one statement has put all of them in trouble."""
    for status in ("a", "b"):
        in_trouble(db, known(db, "public.tenants", status), 10, "parked")
    db.execute("update poller.attempt set changed_at = now()")
    asked, found, after = Client(url), [], None
    while True:
        page = asked.failures(limit=3, after=after)
        found += [(each.status, each.key) for each in page.items]
        after = page.next
        if after is None:
            break
    assert (len(found), len(set(found))) == (20, 20)


# --- orders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    ["KeyError", f"KeyError {place(1)}", place(1), "KeyError: 1", "1"],
    ids=["class", "both", "place", "text", "part"],
)
def test_one_group_is_put_back_and_no_other(
    here: InProcess, url: str, db: psycopg.Connection[Any], error: str
) -> None:
    """By its class, its place, or both; or, if no row has those, by a part of its text."""
    make_tenants(db, *["pending"] * 9)
    run(url, moves("tenants", raises, attempts=3))
    ended = here.run("retry", "tenants", "--error", error)
    rows = db.execute("select key from poller.attempt where attempt = 0 order by key").fetchall()
    expected = [("1",)] if error == "KeyError: 1" else [("1",), ("4",), ("7",)]
    if error == "1":
        expected = value(
            db, "select array_agg(key order by key) from poller.attempt where error like '%%1%%'"
        )
        assert [key for (key,) in rows] == expected
    else:
        assert rows == expected
    assert (ended.returncode, ended.stdout) == (0, f"retrying {len(rows)} row{'s' * (len(rows) > 1)}\n")
    [action] = Client(url).actions().items
    assert (action.target, action.affected) == (f"tenants with {error}", len(rows))


def test_a_class_is_not_taken_for_a_part_of_another(url: str, db: psycopg.Connection[Any]) -> None:
    """`Error` has a group of its own; that other names end so is nothing to it."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, 3, "parked", "Error")
    in_trouble(db, number, 5, "parked", "MyError")
    asked = Client(url)
    assert asked.retry("all", error="Error").rows == 3
    assert asked.retry("all", error="MyError: no host 2 ").rows == 1
    with pytest.raises(NothingSelectedError, match=r"nothing to retry: no row of all .* for 'OtherError'"):
        asked.retry("all", error="OtherError")


def test_a_cause_without_a_place_is_put_back_alone(url: str, db: psycopg.Connection[Any]) -> None:
    """By its class and the blank that would part it from its place; in flight as well, and of older versions' rows."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, 8, "parked", "ValueError")
    db.execute("update poller.attempt set place = null where key < 'ValueError5'")
    db.execute("update poller.attempt set kind = null, error = 'released by force' where key < 'ValueError3'")
    asked = Client(url)
    assert {(each.error, each.place): each.rows for each in asked.failure_groups().items} == {
        ("ValueError", "client.py:88"): 4,
        ("ValueError", ""): 2,
        ("released by force", ""): 2,
    }
    assert asked.retry("tenants", error="ValueError ").rows == 2
    assert asked.retry("tenants", error="released by force ").rows == 2
    assert asked.retry("tenants", error="ValueError").rows == 4
    hold(db, number, "ValueError3", "ValueError5")
    assert asked.release("tenants", error="ValueError ").rows == 1


def test_a_group_in_flight_is_released_and_no_other(url: str, db: psycopg.Connection[Any]) -> None:
    """By the error of the attempt before."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, 4, "waiting", "Slow")
    in_trouble(db, number, 4, "waiting", "Fast")
    hold(db, number, "Slow1", "Slow2", "Fast1", "fresh")
    assert Client(url).release("tenants", error="Slow").rows == 2
    assert db.execute("select keys from poller.claim").fetchall() == [(["Fast1", "fresh"],)]
    with pytest.raises(NothingSelectedError, match="is in flight after 'Gone'"):
        Client(url).release("tenants", error="Gone")
    assert Client(url).release("tenants", most=1).rows == 1


def test_very_many_rows_in_one_order_beside_another_operators(url: str, db: psycopg.Connection[Any]) -> None:
    """In statements of at most 1,000 rows; both orders together put each row back once, and none is lost."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, FAR, "parked")
    seen: list[int] = []
    begun = threading.Event()

    def progress(rows: int) -> None:
        seen.append(rows)
        begun.set()

    def other() -> int:
        begun.wait()
        return Client(url).retry("tenants").rows

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(other)
        first = Client(url).retry("all", progress=progress).rows
        second = beside.result()
    assert first + second == FAR
    assert value(db, "select count(*) from poller.attempt where state = 'waiting' and attempt = 0") == FAR
    assert value(db, "select count(*) from poller.event where verdict = 'retried'") == FAR
    assert value(db, "select count(distinct key) from poller.event where verdict = 'retried'") == FAR
    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert max(steps) <= 1000
    assert sorted(each.affected for each in Client(url).actions().items) == sorted([first, second])
    assert second > 0


def test_g12_statements_of_an_order_are_bounded(url: str, db: psycopg.Connection[Any]) -> None:
    """Whatever is meant: here none of 30,000 rows that are looked at."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, 30_000, "parked")
    with watched() as watch, pytest.raises(NothingSelectedError):
        Client(url).retry("all", error="OtherError")
    assert watch.most[0] <= BOUND, watch.most


def test_an_order_stops_between_two_batches_and_what_it_has_done_is_written_down(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """It is said, too."""
    in_trouble(db, known(db, "public.tenants", "pending"), 5000, "parked")
    stop = threading.Event()
    done = Client(url).retry("all", progress=lambda rows: stop.set() if rows >= 2000 else None, stop=stop)
    assert done.stopped
    assert 2000 <= done.rows < 5000
    assert value(db, "select count(*) from poller.attempt where attempt = 0") == done.rows
    assert [each.affected for each in Client(url).actions().items] == [done.rows]


def test_an_order_reaches_no_more_rows_than_it_may(url: str, db: psycopg.Connection[Any]) -> None:
    """Neither of all nor of those named; rows that are locked meanwhile are no reason to go on for ever."""
    in_trouble(db, known(db, "public.tenants", "pending"), 2500, "parked")
    seen: list[int] = []
    assert Client(url).retry("all", most=1200, progress=seen.append).rows == 1200
    assert seen == [1000, 1200]
    assert Client(url).retry("all", most=1).rows == 1
    parked = [row[0] for row in db.execute("select key from poller.attempt where state = 'parked'")]
    done = Client(url).retry("tenants:pending", parked, most=1100)
    assert (done.rows, done.locked) == (1100, 0)
    assert value(db, "select count(*) from poller.attempt where attempt = 0") == 2301
    with psycopg.connect(url) as other:
        other.execute("select from poller.attempt where key = %s for update", [parked[0]])
        assert Client(url).retry("all", most=198).rows == 198
    assert [each.affected for each in Client(url).actions().items] == [198, 1100, 1, 1200]


def test_what_an_order_has_done_when_it_is_killed_is_written_down(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Each batch with its rows, in one transaction."""
    in_trouble(db, known(db, "public.tenants", "pending"), FAR // 2, "parked")
    order = project.start("retry", "all")
    wait_until("it is on its way", lambda: value(db, "select count(*) from poller.action"))
    order.signal(signal.SIGKILL)
    order.wait()
    written = value(db, "select sum(affected) from poller.action")
    assert 0 < written == value(db, "select count(*) from poller.attempt where attempt = 0")


def test_ctrl_c_stops_an_order_between_two_batches(project: Project, db: psycopg.Connection[Any]) -> None:
    """It says what was done, and exits as what Ctrl-C has ended."""
    number = known(db, "public.tenants", "pending")
    in_trouble(db, number, 3000, "parked")
    last = value(db, "select max(poller.digest(key)) from poller.attempt")
    with db.transaction():  # what the last batch would lock is held: it goes round, until it is told to stop
        db.execute("select from poller.attempt where poller.digest(key) = %s for update", [last])
        order = project.start("retry", "all")
        with psycopg.connect(db.info.dsn, password=db.info.password, autocommit=True) as look:
            wait_until(
                "most is done",
                lambda: value(look, "select coalesce(sum(affected), 0) from poller.action") == 2999,
            )
        order.signal(signal.SIGINT)
        assert order.wait() == 130
    assert "stopped; retrying 2,999 rows" in order.log


def test_rows_that_are_locked_are_put_back_once_they_are_free(url: str, db: psycopg.Connection[Any]) -> None:
    """They are not lost to the order, though it waits for none of them."""
    in_trouble(db, known(db, "public.tenants", "pending"), 10, "parked")
    passed = threading.Event()
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("select from poller.attempt where key in ('ConnectError3', 'ConnectError4') for update")
        order = pool.submit(Client(url).retry, "all", progress=lambda _: passed.set())
        passed.wait(10)
        other.rollback()
        done = order.result()
    assert (done.rows, done.locked) == (10, 0)


def test_named_keys_are_put_back_in_batches(url: str, db: psycopg.Connection[Any]) -> None:
    """However many are named."""
    in_trouble(db, known(db, "public.tenants", "pending"), 2500, "parked")
    seen: list[int] = []
    wanted = [f"ConnectError{at}" for at in range(1, 2501)]
    assert Client(url).retry("tenants", wanted, progress=seen.append).rows == 2500
    assert seen == [1000, 2000, 2500]


# --- from a version before ----------------------------------------------------------------------------------


def test_what_was_in_trouble_before_the_migration_has_its_class_and_place(empty_url: str) -> None:
    """As far as its text says them; what an older worker writes beside it is as readable as ever."""
    migration.migrate(empty_url, "0014")
    errors = {
        "1": "ValueError: no (a: b) (shop.py:7)",
        "2": "KeyError (shop.py:9)",
        "3": "took longer than 5s",
    }
    with psycopg.connect(empty_url, autocommit=True) as db:
        number = known(db, "public.tenants", "pending")
        for key, error in errors.items():
            trouble(db, number, key)
            db.execute("update poller.attempt set error = %s where key = %s", [error, key])
        migration.migrate(empty_url)
        found = db.execute("select kind, place from poller.attempt order by key").fetchall()
        trouble(db, number, "4")
    assert found == [("ValueError", "shop.py:7"), ("KeyError", "shop.py:9"), (None, None)]
    assert {each.error for each in Client(empty_url).failure_groups().items} == {
        "ValueError", "KeyError", "took longer than 5s", "error of 4"
    }  # fmt: skip
