"""A pause is in the claim itself: once it is committed nothing is taken, by whichever statement, of whichever worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import Client, cron, handler
from poller.store.binding import Binding, bind
from poller.store.claims import DrainsError
from poller.testing import Engine

if TYPE_CHECKING:
    import psycopg

    from poller.services.claimer import Claimer
    from tests.claiming import NewWorker


def _work(row: Any) -> None: ...


@pytest.fixture
def binding(db: psycopg.Connection[Any]) -> Binding:
    """A table of ten pending rows, and its handler."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 10)")
    return bind(db, handler("thing", status="pending", to="normal")(_work))


def test_nothing_fresh_is_claimed_while_a_handler_is_paused(
    join: NewWorker, binding: Binding, url: str
) -> None:
    """By the claim itself, which locks rows and takes none; it says why."""
    worker = join(binding)
    Client(url).pause("thing:pending")
    claimed = worker.claims.claim(binding, worker.id, 5)
    assert (claimed.tasks, claimed.paused) == ([], True)
    Client(url).resume("thing:pending")
    assert len(worker.claim(5)) == 5


def test_no_retry_is_claimed_while_a_handler_is_paused(join: NewWorker, binding: Binding, url: str) -> None:
    """However long it has been due."""
    worker = join(binding)
    worker.fail(worker.claim(3))
    Client(url).pause("thing")
    claimed = worker.claims.claim_retries(binding, worker.id, 5)
    assert (claimed.tasks, claimed.paused) == ([], True)
    Client(url).resume("thing")
    assert len(worker.claims.claim_retries(binding, worker.id, 5).tasks) == 3


def test_a_claim_whose_snapshot_is_older_than_the_pause_takes_nothing(
    join: NewWorker, binding: Binding, url: str, db: psycopg.Connection[Any]
) -> None:
    """The first look may be as old as it likes: the second has a newer snapshot."""
    worker = join(binding)
    with worker.link.connection.transaction():
        worker.link.connection.execute("select")
        Client(url).pause("thing")
        assert worker.claim(5) == []
    assert db.execute("select from poller.claim").rowcount == 0


@pytest.mark.parametrize("limits", [{"limit": 3}, {"per_key": "id"}, {"rate": "5/1m"}])
def test_a_handler_with_limits_is_paused_as_any(
    join: NewWorker, binding: Binding, url: str, db: psycopg.Connection[Any], limits: dict[str, Any]
) -> None:
    """None of its rows count as begun."""
    limited = bind(db, handler("thing", status="pending", to="normal", **limits)(_work))
    worker = join(limited)
    Client(url).pause("thing")
    assert worker.claims.claim(limited, worker.id, 5).tasks == []
    assert db.execute("select from poller.start").rowcount == 0
    Client(url).resume("thing")
    assert worker.claim(5)


def test_g8_a_pause_with_an_end_ends_by_the_clock_of_the_database(
    join: NewWorker, binding: Binding, url: str
) -> None:
    """A claim asks that clock; nobody else is needed."""
    worker = join(binding)
    until = Client(url).pause("thing", "1h").until
    assert until is not None
    assert worker.claim() == []
    worker.link.connection.execute("set poller.clock_offset = '59 minutes'")
    assert worker.claim() == []
    worker.link.connection.execute("set poller.clock_offset = '61 minutes'")
    assert len(worker.claim()) == 10


def test_what_is_in_flight_when_a_handler_is_paused_ends_normally(
    join: NewWorker, binding: Binding, url: str, db: psycopg.Connection[Any]
) -> None:
    """It is settled as ever."""
    worker = join(binding)
    tasks = worker.claim(4)
    assert Client(url).pause("thing").in_flight == 4
    assert worker.settle(tasks) == 4
    assert db.execute("select from thing where status = 'normal'").rowcount == 4


def test_a_worker_that_is_to_drain_claims_nothing(join: NewWorker, binding: Binding, url: str) -> None:
    """Neither fresh rows nor retries; others do."""
    drained, other = join(binding), join(binding)
    drained.fail(drained.claim(2))
    [told] = Client(url).drain(drained.id)
    assert (told.worker, told.in_flight) == (drained.id, 0)
    with pytest.raises(DrainsError):
        drained.claim(2)
    with pytest.raises(DrainsError):
        drained.claims.claim_retries(binding, drained.id, 2)
    assert len(other.claims.claim_retries(binding, other.id, 2).tasks) == 2
    assert len(other.claim(2)) == 2


def test_a_paused_handler_costs_nothing(url: str, db: psycopg.Connection[Any]) -> None:
    """Its table is read by no question what is due, and none of its rows is locked."""
    for name in ("thing", "other"):
        db.execute(f"create table {name} (id int primary key, status text not null default 'pending')")
        db.execute(f"insert into {name} select generate_series(1, 10)")
    handlers = [handler(name, status="pending", to="normal")(_work) for name in ("thing", "other")]
    with Engine(url, *handlers) as engine:
        Client(url).pause("thing")
        assert len(engine.run_due()) == 10
        looked = engine._claimer._link.connection
        assert _due(engine._claimer) == set()
        before = _scans(db, looked)
        for _ in range(20):
            assert engine.run_due() == []
        assert _scans(db, looked) - before < 20  # what other sessions did before may be handed in meanwhile
        Client(url).resume("thing")
        assert len(engine.run_due()) == 10


def _due(claimer: Claimer) -> set[Binding]:
    looks = claimer._looks
    return looks._peek(looks.able(looks.cursors))[0]


def _scans(db: psycopg.Connection[Any], looked: psycopg.Connection[Any]) -> int:
    """Return how often the table was scanned, by the statistics that a session has handed in."""
    looked.execute("select pg_stat_force_next_flush()" if db.info.server_version >= 150000 else "select 1")
    row = db.execute(
        "select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'thing'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_job_that_is_paused_for_a_while_is_planned_again_after_it(url: str) -> None:
    """Slots that came meanwhile are not made up for."""
    ran: list[int] = []

    @cron("* * * * *")
    def minutely() -> None:
        ran.append(1)

    with Engine(url, minutely) as engine:
        engine.run_due()
        Client(url).pause("minutely", "10m")
        engine.advance("9m")
        engine.run_due()
        assert ran == []
        engine.advance("2m")
        engine.run_due()
        engine.advance("61s")
        engine.run_due()
        assert len(ran) in (1, 2)
