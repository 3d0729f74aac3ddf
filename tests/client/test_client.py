"""`poller.Client`: what people ask and order, as data, from a URL or on a connection of the caller's."""

from __future__ import annotations

import doctest
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

import poller
from poller import Client, PollerError, fixed_rate
from poller.cli.exit_status import CommandLineState, answer
from poller.client import answers, client
from poller.client.refusals import NothingSelectedError
from poller.errors import ConfigurationError
from poller.ready_made.housekeeping import housekeeping
from poller.testing import Engine
from tests.command_line import known, make_tenants, trouble, value
from tests.engines import moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.client.answers import Page


@fixed_rate("1h")
def tick() -> None:
    print("ticked")  # noqa: T201 - it is kept with the run


TENANTS = moves("tenants", to="normal")


def worked(url: str, db: psycopg.Connection[Any]) -> Client:
    """A client of a database in which rows have moved and a job has run."""
    make_tenants(db, *["pending"] * 5)
    with Engine(url, TENANTS, tick) as engine:
        engine.run_due()
        engine.advance("3h")
        engine.run_due()
    return Client(url, [TENANTS, tick])


def all_pages(ask: Callable[[str | None], Page[Any]]) -> list[Any]:
    """Return the items of all pages, having seen that none is empty."""
    found, after = [], None
    while True:
        page = ask(after)
        assert page.items
        found.append(page.items)
        after = page.next
        if after is None:
            return found


def test_who_may_only_read_may_look(url: str, db: psycopg.Connection[Any], role: str) -> None:
    """Questions ask for no right to change a table; orders do, and so does a worker."""
    worked(url, db)
    db.execute(f"insert into tenants (status) values ('pending'); grant select on tenants to {role}")
    looker = Client(f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}", [TENANTS])
    assert {(each.status, each.rows) for each in looker.status().items} == {("pending", 1), ("normal", 5)}
    assert [each.due for each in looker.handlers().items] == [1]
    told: Any = looker.explain("tenants:pending:6")
    assert [each.reason for each in told.reasons] == ["no_worker"]
    assert len(looker.rows("tenants", "normal").items) == 5
    with pytest.raises(ConfigurationError, match=r"may not read and update public\.tenants"):
        looker.move("tenants:pending", "normal")
    assert any("may not read and update" in each.what for each in looker.check().items)


KEYS = [  # type, as it is stored, as a person may write it
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    ("numeric", "2.50", "2.5"),
    ("timestamptz", "2024-01-01 00:00:00+00", "2024-01-01 02:00+02"),
    ("text", "A", None),
]


@pytest.mark.parametrize(("kind", "stored", "written"), KEYS)
def test_a_key_may_be_written_in_any_way_that_means_it(
    url: str, db: psycopg.Connection[Any], kind: str, stored: str, written: str | None
) -> None:
    """What is kept of a row is kept by its key as text, and found by its value, also of a row that is gone."""
    db.execute(f"create table thing (id {kind} primary key, status text default 'pending')")
    db.execute("insert into thing values (%s)", [stored])

    @poller.handler("thing", status="pending", to="normal", attempts=1)
    def fails(row: Any) -> None:
        raise ValueError

    with Engine(url, fails) as engine:
        engine.run_due()
    asked = Client(url, [fails])
    key = written or stored
    assert [each.key for each in asked.failures(f"thing:pending:{key}").items] == [stored]
    assert [each.verdict for each in asked.history("thing", key).items] == ["parked"]
    assert asked.retry("thing", [key]).rows == 1
    if written is None:
        with pytest.raises(NothingSelectedError):
            asked.retry("thing:pending:a")
    db.execute("delete from thing")
    assert len(asked.history("thing", stored if kind == "numeric" else key).items) == 2


def test_a_table_that_is_locked_keeps_no_other_answer_back(url: str, db: psycopg.Connection[Any]) -> None:
    """Neither what poller itself knows; what needs the table is refused with its name, and who has it."""
    make_tenants(db, "pending")

    @poller.handler("tenants", status="pending", to="normal", on_failure="stuck", attempts=1)
    def fails(row: Any) -> None:
        raise ValueError

    with Engine(url, fails) as engine:
        engine.run_due()
    asked = Client(url, [fails], hurried=True)
    with psycopg.connect(url, application_name="dump") as person:
        person.execute("lock table tenants in access exclusive mode")
        assert [each.key for each in asked.failures().items] == ["1"]
        assert [each.verdict for each in asked.history("tenants", "1").items] == ["failed"]
        with pytest.raises(psycopg.errors.LockNotAvailable) as refused:
            asked.status()
        told = answer(refused.value, CommandLineState())
        assert told is not None
        assert told.status == 2
        assert told.line.startswith(
            f"session {person.info.backend_pid} of postgres (dump) has public.tenants locked, in a transaction since "
        )


def test_the_face_has_it() -> None:
    """Though it is imported when it is asked for only."""
    assert poller.Client is client.Client
    with pytest.raises(AttributeError, match="nothing"):
        poller.nothing  # noqa: B018 - it is asked for


def test_the_examples_do_as_they_say() -> None:
    """Those in its docstrings."""
    for module in (client, answers):
        assert doctest.testmod(module).failed == 0


def test_it_answers_with_data(url: str, db: psycopg.Connection[Any]) -> None:
    """Whatever is asked, from a URL."""
    asked = worked(url, db)
    assert [(each.status, each.rows) for each in asked.status().items] == [("pending", 0), ("normal", 5)]
    assert [each.status for each in asked.handlers().items] == ["pending"]
    assert isinstance(asked.workers().as_of, datetime)
    assert asked.failures().items == ()
    assert [each.verdict for each in asked.history("tenants", "1").items] == ["moved"]
    assert [each.name for each in asked.jobs().items] == ["tick"]
    run = asked.runs("tick").items[0]
    assert (asked.logs(run.id).output, asked.logs("tick").run) == ("ticked\n", run.id)
    assert all(each.severity != "error" for each in asked.check().items)


def test_rows_in_trouble_come_page_by_page(url: str, db: psycopg.Connection[Any]) -> None:
    """Each once, in the order of the whole list, whatever their keys; parked ones of a status first."""
    for table, status in (("public.tenants", "pending"), ("public.tenants", "closing"), ("shop.a", "x")):
        handler = known(db, table, status)
        for number in range(7):
            trouble(db, handler, f'{number}"ü,\n', "parked" if number % 2 else "waiting")
    asked = Client(url)
    whole = asked.failures()
    assert (len(whole.items), whole.next, whole.exact) == (21, None, True)
    pages = all_pages(lambda after: asked.failures(after=after, limit=4))
    assert [len(each) for each in pages] == [4, 4, 4, 4, 4, 1]
    assert tuple(each for page in pages for each in page) == whole.items


def test_runs_and_jobs_come_page_by_page(url: str, db: psycopg.Connection[Any]) -> None:
    """Each once."""
    asked = worked(url, db)
    for number in range(5):
        asked.add_job(f"s{number}", "tick", when="@every 5m")
    runs = all_pages(lambda after: asked.runs(after=after, limit=1))
    assert tuple(each for page in runs for each in page) == asked.runs().items
    jobs = all_pages(lambda after: asked.jobs(after=after, limit=2))
    assert [each.name for page in jobs for each in page] == [each.name for each in asked.jobs().items]


def test_a_history_is_paged_from_its_end(url: str, db: psycopg.Connection[Any]) -> None:
    """Events of one moment included."""
    handler = known(db, "public.tenants", "pending")
    db.execute(
        "insert into poller.event (at, handler_id, key, verdict, from_status, attempt, worker_id, lease)"
        " select timestamptz '2030-01-01Z' + n / 4 * interval '1 s', %s, '7', 'failed', 'pending', n, 1,"
        " gen_random_uuid() from generate_series(1, 10) as n",
        [handler],
    )
    asked = Client(url)
    pages = all_pages(lambda after: asked.history("tenants", "7", after=after, limit=3))
    assert [[each.attempt for each in page] for page in pages] == [[8, 9, 10], [5, 6, 7], [2, 3, 4], [1]]
    assert [each.attempt for each in asked.history("tenants", "7").items] == [*range(1, 11)]


def cursor(*position: Any) -> str:
    """Return a cursor as it may be made by hand."""
    return answers.encoded(position)


def test_a_page_of_a_history_may_be_asked_for_from_another_zone(
    url: str, db: psycopg.Connection[Any]
) -> None:
    """Lines of one time are told apart by how many were shown, whatever zone that time is written in."""
    number = known(db, "public.tenants", "pending")
    db.execute(
        "insert into poller.event (handler_id, key, verdict, from_status, attempt, lease, at)"
        " select %s, '7', 'retrying', 'pending', i, gen_random_uuid(), '2030-01-01' from generate_series(1, 5) as i",
        [number],
    )
    found, after = [], None
    for zone in ("UTC", "Asia/Kolkata", "America/New_York", "UTC", "Europe/Berlin"):
        with psycopg.connect(url, options=f"-c timezone={zone}") as connection:
            page = Client(connection).history("tenants", "7", back="365d", after=after, limit=1)
        found += [each.attempt for each in page.items]
        after = page.next
    assert (found, after) == ([5, 4, 3, 2, 1], None)


@pytest.mark.parametrize(
    "after", ["x", "", "ä", "WzFd", "W10", cursor("x", 1), cursor("2030-01-01 00:00:00+00:00", 2**70)]
)
def test_a_cursor_of_another_listing_is_refused(url: str, after: str) -> None:
    """In one line."""
    with pytest.raises(ConfigurationError, match="after must be the `next` cursor of a page of this listing"):
        Client(url).runs(after=after)


@pytest.mark.parametrize("limit", [0, -1, True, "7"])
def test_a_limit_that_is_none_is_refused(url: str, limit: Any) -> None:
    """In one line."""
    with pytest.raises(ConfigurationError, match="limit must be a whole number of at least 1"):
        Client(url).failures(limit=limit)


def test_any_thread_may_use_it(url: str, db: psycopg.Connection[Any]) -> None:
    """A lost row would be one too few, a shared connection a failure; a connection given to it is used in turns."""
    handler = known(db, "public.tenants", "pending")
    for number in range(40):
        trouble(db, handler, str(number))
    for asked in (Client(url), Client(db)):
        with ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(lambda _, asked=asked: len(asked.failures().items), range(16)))  # type: ignore[misc]
        assert counts == [40] * 16


def test_a_connection_is_left_as_it_was(url: str) -> None:
    """Its rows' form, its path, its transaction; orders are part of that."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        handler = known_in(connection)
        asked = Client(connection)
        assert asked.retry("all").rows == 1
        assert asked.failures().items[0].attempt == 0
        assert connection.execute("select 1 as one").fetchone() == {"one": 1}
        assert connection.execute("show search_path").fetchone() == {"search_path": '"$user", public'}
        with pytest.raises(NothingSelectedError):
            asked.retry("tenants", ["8"])
        assert connection.execute("select 2 as two").fetchone() == {"two": 2}
        connection.rollback()
        assert Client(url).failures().items == ()
        assert handler


def known_in(connection: psycopg.Connection[Any]) -> int:
    """Put a row in trouble, uncommitted."""
    [row] = connection.execute(
        "insert into poller.handler (table_name, status) values ('public.tenants', 'pending') returning id"
    ).fetchall()
    trouble(connection, row["id"], "7")
    return int(row["id"])


def test_what_commits_as_it_goes_is_no_part_of_a_transaction(url: str, db: psycopg.Connection[Any]) -> None:
    """It is refused there, and works on the same connection afterwards."""
    db.execute("create table audit (id int primary key, created_at timestamptz)")
    db.execute("insert into audit select n, now() - interval '200 d' from generate_series(1, 5) as n")
    with psycopg.connect(url) as connection:
        asked = Client(connection)
        connection.execute("select 1")
        with pytest.raises(ConfigurationError, match="end the transaction on the connection first"):
            asked.purge("audit", column="created_at", older_than="180d")
        connection.rollback()
        assert asked.count_purge("audit", column="created_at", older_than="180d").rows == 5
        assert asked.purge("audit", column="created_at", older_than="180d", batch=2, pause=0).rows == 5
        assert connection.autocommit is False
    assert value(db, "select count(*) from audit") == 0


def test_a_purge_is_stopped_by_an_event(url: str, db: psycopg.Connection[Any]) -> None:
    """After the batch in hand; what looks on is told of each."""
    db.execute("create table audit (id int primary key, created_at timestamptz)")
    db.execute("insert into audit select n, now() - interval '200 d' from generate_series(1, 50) as n")
    stop, seen = threading.Event(), []

    def progress(done: float, total: float | None = None) -> None:
        seen.append(done)
        stop.set()

    rule = {"column": "created_at", "older_than": "180d", "batch": 10, "pause": "10ms"}
    done = Client(url).purge("audit", **rule, progress=progress, stop=stop)  # type: ignore[arg-type]
    assert (done.stopped, done.rows < 50, bool(seen)) == (True, True, True)


def test_orders_for_jobs_answer_with_data(url: str, db: psycopg.Connection[Any]) -> None:
    """What was changed, and what goes on."""
    asked = worked(url, db)
    paused, again = asked.pause("tick"), asked.pause("tick")
    assert (paused.changed, again.changed, paused.running) == (True, False, 0)
    triggered = asked.trigger("tick")
    assert triggered.is_paused
    cancelled = asked.cancel(triggered.run)
    assert (cancelled.job, cancelled.is_running) == ("tick", False)
    resumed = asked.resume("tick")
    assert (resumed.changed, resumed.next_at is not None, resumed.schedule) == (True, True, "@every 1h")
    assert asked.add_job("often", "tick", when="@every 5m").when == "every 5m"
    assert asked.remove_job("often").cancelled == 0


def test_questions_about_handlers_need_them(url: str) -> None:
    """Others do not."""
    for ask in (Client(url).status, Client(url).handlers, Client(url).check):
        with pytest.raises(ConfigurationError, match="needs the handlers"):
            ask()
    with pytest.raises(ConfigurationError, match="takes a package's name, or handlers and jobs; got 7"):
        Client(url, [7]).status()  # type: ignore[list-item]


@pytest.mark.parametrize("database", [None, "", "mysql://x", 7])
def test_what_is_no_database_is_refused(database: Any) -> None:
    """When the client is made."""
    with pytest.raises(PollerError):
        Client(database)


def test_an_option_of_a_purge_that_there_is_not_is_refused(url: str) -> None:
    """With those that there are; None stands for one that is not given."""
    with pytest.raises(
        ConfigurationError, match="unexpected keyword argument 'age'; known: batch, column, older_than"
    ):
        Client(url).purge("audit", age="1d")  # type: ignore[call-arg]
    with pytest.raises(PollerError, match="no purge of audit"):
        Client(url, handlers=[housekeeping]).count_purge("audit", column=None)
