"""`poller workers drain`: whom it means, and whom it reaches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from poller import Client
from poller.client.refusals import NothingSelectedError
from poller.db.statements import statement
from tests.command_line import hold, known, the_line, value
from tests.harness import wait_until

if TYPE_CHECKING:
    from tests.command_line import InProcess


@pytest.fixture
def workers(db: psycopg.Connection[Any]) -> list[int]:
    """Three living workers, two of them on a host whose name is the first one's number."""
    pending = known(db, "public.tenants", "pending")
    made = [hold(db, pending, str(key)) for key in range(3)]
    db.execute("update poller.worker set host = %s where id <> %s", [str(made[0]), made[0]])
    return made


def entered_after(worker: psycopg.Connection[Any], of: int) -> tuple[int, bool]:
    """Enter the process that a worker's supervisor starts in its place; return its number, and whether it drains."""
    row = worker.execute("select supervisor, host, pid from poller.worker where id = %s", [of]).fetchone()
    assert row is not None
    names = ("supervisor", "host", "after")
    asked = dict(zip(names, row, strict=True)) | {"pid": 1, "slots": 1, "handlers": [], "lease": 30.0}
    [number, drains] = worker.execute(statement("register_worker"), asked).fetchone() or ()
    return number, drains


def waits(db: psycopg.Connection[Any]) -> bool:
    """Tell whether a session waits for a lock."""
    question = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return value(db, question) == 1


def test_a_process_that_is_entered_at_the_same_moment_drains_whichever_is_first(
    url: str, db: psycopg.Connection[Any], workers: list[int]
) -> None:
    """The order waits for it and reaches it; or it waits for the order, and is told."""
    with ThreadPoolExecutor(1) as beside:
        with psycopg.connect(url) as supervisor:
            after, drains = entered_after(supervisor, workers[0])
            assert not drains
            ordered = beside.submit(Client(url).drain, "elsewhere")
            wait_until("the order waits", lambda: waits(db))
        assert [each.worker for each in ordered.result()] == [workers[0], after]
        with psycopg.connect(url) as person, psycopg.connect(url, autocommit=True) as supervisor:
            person.execute("select")  # the order is part of this transaction
            Client(person).drain(workers[1])
            entered = beside.submit(entered_after, supervisor, workers[1])
            wait_until("the process waits", lambda: waits(db))
            person.commit()
            assert entered.result()[1]


def draining(db: psycopg.Connection[Any]) -> list[int]:
    """Return the workers that are to drain."""
    rows = db.execute("select id from poller.worker where drain_at is not null order by id").fetchall()
    return [number for (number,) in rows]


def test_a_name_of_digits_is_a_number_and_never_a_host(
    url: str, db: psycopg.Connection[Any], workers: list[int]
) -> None:
    """As text or as a number."""
    first, *_ = workers
    for name in (str(first), first):
        assert [each.worker for each in Client(url).drain(name)] == [first]
        assert draining(db) == [first]


def test_where_only_a_host_is_called_so_its_workers_are_told(
    here: InProcess, db: psycopg.Connection[Any], workers: list[int]
) -> None:
    """They have numbers of their own; nothing is changed. No number is too long."""
    first, *others = workers
    db.execute("update poller.worker set died_at = now() where id = %s", [first])
    assert the_line(here.run("workers", "drain", str(first)), 1) == (
        f"no live worker has the number {first}; on the host {first} run the workers "
        f"{', '.join(map(str, others))}: name those"
    )
    assert "has the number 9" in the_line(here.run("workers", "drain", "9" * 5000), 1)
    assert draining(db) == []


def test_of_a_host_those_that_may_come_back_are_reached_and_those_that_live_are_told(
    here: InProcess, url: str, db: psycopg.Connection[Any], workers: list[int]
) -> None:
    """One whose heartbeat has lapsed, and one that was declared dead."""
    first, second, third = workers
    db.execute("update poller.worker set host = 'db'")
    db.execute("update poller.worker set heartbeat_at = now() - interval '1 day' where id = %s", [second])
    db.execute("update poller.worker set died_at = now() where id = %s", [third])
    told = Client(url).drain("db")
    assert [(each.worker, each.has_lapsed, each.in_flight) for each in told] == [
        (first, False, 1),
        (second, True, 1),
    ]
    assert draining(db) == workers
    assert "its heartbeat has lapsed: it drains if it comes back" in here.run("workers", "drain", "db").stdout
    assert value(db, "select affected from poller.action order by id desc limit 1") == 2
    with pytest.raises(NothingSelectedError, match="no live worker runs on a host DB"):
        Client(url).drain("DB")
