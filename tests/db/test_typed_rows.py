"""What a statement answers is read by the names of its columns: one that is moved changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import job, schedule
from poller.client.job_queries import JobQueries
from poller.client.row_queries import RowQueries
from poller.db.connection import Link
from poller.jobs import job_store
from poller.store.binding import bind
from poller.store.liveness import Liveness
from tests.engines import moves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.claiming import NewWorker
    from tests.conftest import Alter


@pytest.fixture
def link(url: str) -> Iterator[Link]:
    made = Link(url, "test")
    yield made
    made.close()


@job()
def greet() -> None:
    """Be scheduled."""


PENDING = "\n       count(*) filter (where r.status = 'pending') as pending,"
RUNNING = "\n       count(*) filter (where r.status = 'running') as running"
ASKED: dict[str, tuple[str, str, Callable[[Link], Any]]] = {
    "known_handlers": (
        'id, table_name as "table", status, status_column as "column"',
        'status_column as "column", status, table_name as "table", id',
        lambda link: RowQueries(link.connection).known_handlers(),
    ),
    "run": (
        "r.job, r.status, r.output",
        "r.output, r.status, r.job",
        lambda link: JobQueries(link.connection).run(1),
    ),
    "unfinished": (
        f"{PENDING}{RUNNING}",
        f"{RUNNING},{PENDING}".removesuffix(","),
        lambda link: job_store.unfinished(link.connection, ["greet"]),
    ),
    "dead_claims": (
        "c.lease::text as lease, c.worker_id as worker, c.handler_id, k.key",
        "k.key, c.handler_id, c.worker_id as worker, c.lease::text as lease",
        lambda link: [
            (each.lease, each.worker, each.handler_id, each.key) for each in Liveness(link).dead_claims([1])
        ],
    ),
    "declared_job": (
        "j.declared, j.function, j.overlap, j.misfire",
        "j.misfire, j.overlap, j.function, j.declared",
        lambda link: schedule(link.connection, "greet", when="0 3 * * *", name="mine"),
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_columns_may_stand_in_any_order(
    db: psycopg.Connection[Any], link: Link, join: NewWorker, alter: Alter, name: str
) -> None:
    """Of each statement whose rows become something; two texts that were exchanged would be told by nobody."""
    db.execute("create table thing (id int primary key, status text not null default 'pending')")
    db.execute("insert into thing select generate_series(1, 3)")
    worker = join(bind(db, moves("thing")))
    assert (worker.binding.id, len(worker.claim())) == (1, 3)
    db.execute("update poller.worker set died_at = poller.now()")
    job_store.declare(db, [greet])
    db.execute("insert into poller.run (job, function, output) values ('greet', 'greet', 'hello')")
    stands, moved, ask = ASKED[name]
    before = ask(link)
    alter(name, stands, moved)
    assert before
    assert ask(link) == before
