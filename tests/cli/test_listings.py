"""The listings: what they show, to people and as JSON."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.command_line import HANDLERS, hold, keys, known, make_tenants, objects, the_line, trouble, value
from tests.engines import moves
from tests.engines import run as run_due
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.command_line import InProcess
    from tests.harness import Project


def test_status_counts_the_rows_of_every_status_of_the_graph(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Those with a handler and those they lead to, in the order of the work; then those that rows have besides."""
    make_tenants(db, "pending", "pending", "pending", "pending", "busy", "normal", "unheard-of")
    project.handlers(HANDLERS)
    pending = known(db, "public.tenants", "pending")
    trouble(db, pending, "1")
    trouble(db, pending, "2", "waiting")
    trouble(db, pending, "3", "snoozed")
    trouble(db, pending, "5", "waiting")
    hold(db, pending, "5")

    lines = objects(project.run("status", "--json"))

    assert [(line["status"], line["rows"]) for line in lines] == [
        ("pending", 4), ("busy", 1), ("normal", 1), ("closing", 0), ("closed", 0), ("kept", 0), ("stuck", 0),
        ("unheard-of", 1),
    ]  # fmt: skip
    assert lines[0] | {"oldest": None} == {
        "table": "public.tenants", "status": "pending", "rows": 4, "exact": True, "oldest": None,
        "in_flight": 0, "waiting": 2, "parked": 1, "paused": False,
    }  # fmt: skip
    assert lines[1]["in_flight"] == 1, "a row in flight counts where it shows"


def test_oldest_is_the_due_time_or_when_the_row_was_created(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """In ISO 8601 with offset; null where neither is there to tell."""
    make_tenants(db, "normal")
    db.execute("update tenants set created_at = '2020-01-02 03:04:05+02'")
    db.execute("alter table tenants add due timestamp")
    db.execute("insert into tenants (due) values ('2021-01-01'), ('infinity'), ('2022-01-01')")
    db.execute("create table orders (id int primary key, status text)")
    project.handlers(
        '@handler("tenants", status="pending", to="normal", due="due")\n'
        "def f(row): ...\n"
        '@handler("orders", status="paid", to="shipped")\n'
        "def g(row): ...\n"
    )
    found = {(line["table"], line["status"]): line for line in objects(project.run("status", "--json"))}
    assert found["public.tenants", "pending"]["oldest"] == "2021-01-01T00:00:00+00:00"
    assert found["public.tenants", "normal"]["oldest"] == "2020-01-02T01:04:05+00:00"
    assert found["public.orders", "paid"]["oldest"] is None


def test_status_tells_people_how_much_is_done(project: Project, db: psycopg.Connection[Any]) -> None:
    """Done a minute stands in the table, and only beside a status that has a handler."""
    make_tenants(db, "pending", "pending")
    project.handlers(HANDLERS)
    assert project.run("run", "--drain").returncode == 0
    head, first, *_, last = project.run("status").stdout.splitlines()
    assert head.split()[-1] == "done/min"
    assert 0 < float(first.split()[-1]) <= 2
    assert last.split() == ["public.tenants", "stuck", "0", "0", "0", "0"]


def test_watch_goes_on_until_it_is_told_to_stop(project: Project, db: psycopg.Connection[Any]) -> None:
    """Without a terminal each look is printed; Ctrl-C ends it with 0."""
    make_tenants(db)
    project.handlers(HANDLERS)
    watching = project.start("status", "--watch", "--json")
    wait_until("the table is seen empty", lambda: '"rows": 0' in watching.log)
    db.execute("insert into tenants default values")
    wait_until("the row is seen", lambda: '"rows": 1' in watching.log)
    watching.signal(signal.SIGINT)
    assert watching.wait() == 0
    assert "Traceback" not in watching.log


def test_handlers_shows_their_options_and_how_they_fare(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """Without registering anything."""
    make_tenants(db)
    project.handlers(HANDLERS)
    lines = objects(project.run("handlers", "--json"))
    place = lines[0].pop("place")
    assert place.endswith("handlers/__init__.py:3 (initialise)")
    assert lines[0] == {
        "table": "public.tenants", "status": "pending", "function": "initialise", "paused": False,
        "in_flight": 0, "due": 0, "oldest_due": None, "done_per_minute": 0.0, "failed_per_minute": 0.0,
        "p50": None, "p95": None,
    }  # fmt: skip
    assert value(db, "select count(*) from poller.handler") == 0
    shown = project.run("handlers").stdout
    assert "handlers/__init__.py:3 (initialise)" in shown
    for option in ("closed | kept", "busy", "stuck", "90s"):
        assert option in shown


def test_workers_shows_who_is_alive_and_what_they_hold(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """A worker whose heartbeat has lapsed is dead, whether anybody has said so or not."""
    handler = known(db, "public.tenants", "pending")
    alive = hold(db, handler, "1", "2")
    stopping, dead, lapsed = (hold(db, handler, "3") for _ in range(3))
    db.execute("update poller.worker set stopping_at = now() where id = %s", [stopping])
    db.execute("update poller.worker set died_at = now() where id = %s", [dead])
    db.execute("update poller.worker set heartbeat_at = now() - interval '2 hours' where id = %s", [lapsed])

    lines = objects(here.run("workers", "--json"))

    assert [(line["id"], line["state"], line["in_flight"]) for line in lines] == [
        (alive, "alive", 2), (stopping, "stopping", 1), (dead, "dead", 1), (lapsed, "dead", 1)
    ]  # fmt: skip
    assert {"host", "pid", "slots", "heartbeat_at", "heartbeat_age", "started_at"} < set(lines[0])
    assert datetime.fromisoformat(lines[0]["started_at"]).utcoffset() is not None
    assert 7200 <= lines[3]["heartbeat_age"] < 7300
    assert "4711" in here.run("workers").stdout


def test_failures_shows_parked_and_failed_rows_with_their_error(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """With the keys that the contract names; snoozed rows are in no trouble."""
    handler = known(db, "public.tenants", "pending")
    trouble(db, handler, "1")
    trouble(db, handler, "2", "waiting", attempt=2)
    trouble(db, handler, "3", "snoozed")

    waiting, parked = objects(here.run("failures", "--json"))

    assert list(parked) == ["table", "status", "key", "attempt", "error", "parked", "next_at"]
    assert parked == {
        "table": "public.tenants", "status": "pending", "key": "1", "attempt": 5,
        "error": "error of 1", "parked": True, "next_at": None,
    }  # fmt: skip
    assert (waiting["key"], waiting["attempt"], waiting["parked"]) == ("2", 2, False)
    assert datetime.fromisoformat(waiting["next_at"]) > datetime.now(UTC)


def test_failures_takes_a_selector(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """A table with or without its schema, a status, a key; an unknown table is the answer no."""
    for status in ("pending", "closing"):
        handler = known(db, "public.tenants", status)
        trouble(db, handler, f"{status}-1")
        trouble(db, handler, "same")
    trouble(db, known(db, "shop.orders", "paid"), "9")

    def found(selector: str) -> list[str]:
        return keys(objects(here.run("failures", selector, "--json")))

    assert len(found("all")) == 5
    assert len(found("tenants")) == len(found("public.tenants")) == 4
    assert found("tenants:closing") == ["same", "closing-1"], "the newest first"
    assert found("tenants:closing:same") == ["same"]
    assert found("tenants:same") == ["same", "same"]
    assert found("orders:pending") == [], "no status of that table, and no key"
    assert "shop.orders" in the_line(here.run("failures", "nothing"), status=1)


def test_a_table_name_that_two_schemas_share_must_be_told_apart(
    here: InProcess, db: psycopg.Connection[Any]
) -> None:
    """One line that names both."""
    trouble(db, known(db, "public.orders", "paid"), "1")
    trouble(db, known(db, "shop.orders", "paid"), "2")
    assert "public.orders or shop.orders" in the_line(here.run("failures", "orders"), status=1)
    assert keys(objects(here.run("failures", "shop.orders", "--json"))) == ["2"]


def test_long_listings_are_cut_off_for_people_only(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """100 rows and a word that there are more; --json gives all, --limit so many."""
    handler = known(db, "public.tenants", "pending")
    for key in range(1, 103):
        trouble(db, handler, str(key))
    ended = here.run("failures")
    assert len(ended.stdout.splitlines()) == 101
    assert "--limit" in ended.stderr
    assert len(objects(here.run("failures", "--json"))) == 102
    assert len(here.run("failures", "--limit", "102").stdout.splitlines()) == 103


def test_text_of_others_cannot_break_the_lines(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """Control characters in keys and errors are shown, not sent; JSON has them as they are."""
    key = "a\nb\x1b[2J\tü|'\""
    trouble(db, known(db, "public.tenants", "pending"), key)
    shown = here.run("failures").stdout
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown
    assert keys(objects(here.run("failures", "--json"))) == [key]


def test_history_tells_what_happened_to_a_row_in_order(project: Project, db: psycopg.Connection[Any]) -> None:
    """Over all its statuses, and with exit status 1 and one line for a row that nothing happened to."""
    make_tenants(db, "pending", "closing")
    project.handlers(
        '@handler("tenants", status="pending", to="closing", attempts=1)\ndef f(row): ...\n'
        '@handler("tenants", status="closing", to="closed", attempts=1)\ndef g(row): raise Fail("no")\n'
    )
    assert project.run("run", "--drain").returncode == 1

    first, second = objects(project.run("history", "tenants", "1", "--json"))

    assert list(first) == [
        "at",
        "status",
        "verdict",
        "to",
        "attempt",
        "seconds",
        "error",
        "worker",
        "traceback",
    ]
    assert (first["status"], first["verdict"], first["to"]) == ("pending", "moved", "closing")
    assert (second["status"], second["verdict"], second["error"]) == ("closing", "parked", "no")
    assert datetime.fromisoformat(first["at"]) < datetime.fromisoformat(second["at"])
    assert "parked" in project.run("history", "public.tenants", "1").stdout
    assert "nothing is recorded of row 7" in the_line(project.run("history", "tenants", "7"), status=1)


def test_history_tells_of_rows_that_moved_together_as_of_any_other(
    here: InProcess, db: psycopg.Connection[Any], url: str
) -> None:
    """They are recorded as one; each is shown by itself, beside what else happened to it."""
    make_tenants(db, *["pending"] * 100)
    run_due(url, moves("tenants", to="closing"))
    assert value(db, "select count(*) from poller.move") < 10
    assert value(db, "select count(*) from poller.event where key = '77'") == 0
    db.execute("update tenants set status = 'pending' where id = 77")
    run_due(url, moves("tenants", to="closing"))

    first, second = objects(here.run("history", "public.tenants", "77", "--json"))

    assert (first["status"], first["verdict"], first["to"], first["attempt"]) == (
        "pending",
        "moved",
        "closing",
        1,
    )
    assert first["seconds"] is not None
    assert first | {"at": second["at"], "seconds": second["seconds"], "worker": second["worker"]} == second
    assert "nothing is recorded of row 101" in the_line(here.run("history", "tenants", "101"), status=1)
    seen = db.execute(
        "select key, count(*) from poller.history where verdict = 'moved' group by 1"
    ).fetchall()
    assert sorted(seen) == sorted((str(key), 1 + (key == 77)) for key in range(1, 101))


def test_a_composite_key_may_be_written_with_any_spacing(
    project: Project, db: psycopg.Connection[Any]
) -> None:
    """It is a JSON array, which Postgres writes in its own way."""
    db.execute("create table part (a int, b text, status text, primary key (a, b))")
    db.execute("insert into part values (1, 'ü', 'new')")
    project.handlers('@handler("part", status="new", to="old")\ndef f(row): ...\n')
    assert project.run("run", "--drain").returncode == 0
    assert len(objects(project.run("history", "part", '[1,"ü"]', "--json"))) == 1
    assert len(objects(project.run("history", "part", '[1, "ü"]', "--json"))) == 1


def test_a_table_on_a_terminal_fits_the_screen(project: Project, db: psycopg.Connection[Any]) -> None:
    """Long texts are cut off, numbers are not; without a terminal nothing is."""
    trouble(db, known(db, "public.tenants", "pending"), "k" * 200)
    with terminal(60) as (ours, theirs):
        subprocess.run(
            [sys.executable, "-m", "poller", "failures"],
            env=project.environment(TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            check=True,
        )
        lines = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 65536).decode()).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    assert "pending" in lines[1]
    assert "k" * 200 in project.run("failures").stdout


def test_watch_on_a_terminal_is_a_live_table(project: Project, db: psycopg.Connection[Any]) -> None:
    """It is drawn over and over in its place, until Ctrl-C ends it with 0."""
    make_tenants(db)
    project.handlers(HANDLERS)
    with terminal(80) as (ours, theirs):
        watching = subprocess.Popen(
            [sys.executable, "-m", "poller", "status", "--watch"],
            cwd=project.folder,
            env=project.environment(TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        with ended(watching):
            seen = b""
            while seen.count(b"pending") < 3:
                seen += os.read(ours, 65536)
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate(timeout=30)
    assert b"\x1b[1A" in seen, "the cursor goes up again"
    assert (watching.returncode, errors) == (0, b"")


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind, whatever becomes of the test."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """Open a terminal of so many columns: its two ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def test_empty_listings_say_so_or_are_empty_arrays(here: InProcess) -> None:
    """Nothing to show is not an error."""
    for command in ("workers", "failures"):
        assert here.run(command).stdout.startswith("no ")
        assert objects(here.run(command, "--json")) == []


def test_a_listing_goes_on_page_by_page(here: InProcess, db: psycopg.Connection[Any]) -> None:
    """People are told how, and programs in a line of its own, so that what is printed stays an array."""
    handler = known(db, "public.tenants", "pending")
    for key in "12345":
        trouble(db, handler, key)
        here.run("retry", "tenants", key)
        db.execute(
            "insert into poller.event (handler_id, key, verdict, from_status, attempt, worker_id, lease)"
            " values (%s, '7', 'retrying', 'pending', %s, 1, gen_random_uuid())",
            [handler, key],
        )
        db.execute("insert into poller.job (name, function, declared) values (%s, %s, true)", [key, key])
        db.execute("insert into poller.run (job, function) values (%s, %s)", [key, key])
    for listing in (["failures"], ["history", "tenants", "7"], ["jobs"], ["runs"], ["actions"]):
        whole = objects(here.run(*listing, "--json"))
        pages = list(_pages(here, *listing, "--limit", "2"))
        assert [len(each) for each in pages] == [2, 2, 1], listing
        assert sorted(str(each) for page in pages for each in page) == sorted(map(str, whole))
        told = here.run(*listing, "--limit", "2").stderr
        assert re.match(r"only 2 are shown; there are more: --limit N, or --after \S+\n", told)


def _pages(here: InProcess, *listing: str) -> Iterator[list[dict[str, Any]]]:
    cursor = [""]
    while cursor:
        page = here.run(*listing, *filter(None, cursor), "--json")
        cursor = page.stderr.removeprefix("more: ").split()
        yield objects(page)


def test_a_cursor_that_is_none_is_refused(here: InProcess) -> None:
    """In one line, as usage."""
    assert "'nonsense'" in the_line(here.run("runs", "--after", "nonsense"))
