"""Schedules by the hundred thousand: what a look, a round of planning, a finished run and a page of them cost."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from poller.client.job_queries import JobQueries
from poller.db.connection import Link
from poller.db.statements import array, statement
from poller.jobs import job_store
from poller.jobs.job import job
from poller.services.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

MANY = 100_000
DUE = 5_000


@job()
def plain() -> None:
    """What all of the schedules run."""


@pytest.fixture
def many(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with a hundred thousand schedules, of which some thousands are due."""
    job_store.declare(db, [plain])
    db.execute(
        "insert into poller.job (name, function, schedule, declared, next_at)"
        " select 's' || i, 'plain', '0 * * * *', false,"
        "        date_trunc('hour', now()) + case when i <= %s then interval '0' else interval '2 hours' end"
        "   from generate_series(1, %s) as i",
        [DUE, MANY],
    )
    db.execute("vacuum analyze poller.job")
    return db


@pytest.fixture
def scheduler(many: psycopg.Connection[Any], url: str) -> Iterator[Scheduler]:
    """A planner of theirs."""
    link = Link(url, "test")
    yield Scheduler(link, [plain])
    link.close()


def milliseconds(work: Callable[[], object], times: int = 20) -> float:
    """Return how long something takes, as the median of some times."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


@pytest.mark.alone
def test_a_hundred_thousand_schedules_are_planned_in_bulk(
    scheduler: Scheduler, many: psycopg.Connection[Any], url: str
) -> None:
    """What fails here is ten times as slow as it was measured on a busy machine; the failure says how slow."""
    began = time.perf_counter()
    while scheduler.run_once() == 0:
        pass
    rate = DUE / (time.perf_counter() - began)
    assert many.execute("select count(*) from poller.run").fetchone() == (DUE,)

    link = Link(url, "test")
    look = milliseconds(lambda: job_store.look(link.connection, array(["plain"]), "{}", "x"))
    page = milliseconds(lambda: JobQueries(link.connection).jobs(101))
    link.close()
    many.execute("update poller.run set status = 'running' where id in (select id from poller.run limit 500)")
    began = time.perf_counter()
    many.execute("update poller.run set status = 'succeeded' where status = 'running'")
    finish = (time.perf_counter() - began) * 1000 / 500
    measured = (
        f"{rate:,.0f} slots/s; a look {look:.1f} ms, a page {page:.1f} ms, a finished run {finish:.2f} ms"
    )
    assert (rate > 500, look < 50, page < 1000, finish < 10) == (True,) * 4, measured


def test_neither_a_look_nor_a_finished_run_reads_all_jobs(many: psycopg.Connection[Any]) -> None:
    """The plans go by their indexes: one probe a known function, and the followers alone."""
    asked = {"known": "{plain}", "aside": "{}", "digest": "x"}
    many.execute("update poller.job set next_at = next_at + interval '2 hours' where next_at < now()")
    plan = explained(many, "next_plan", asked)
    assert "Seq Scan on job" not in plan
    assert "job_next" in plan
    condition = "after <> '{}' and after @> array['plain'] and paused_at is null"
    followers = f"explain select from poller.job where {condition}"
    rows = many.execute(followers.encode()).fetchall()
    assert any("job_after" in row[0] for row in rows)


def test_what_is_due_of_all_jobs_is_one_question(many: psycopg.Connection[Any]) -> None:
    """It grows by the number of jobs that have something waiting: its text by a number for each job."""
    many.execute("insert into poller.run (job, function) select 'plain', 'plain' from generate_series(1, 20)")
    many.execute("insert into poller.handler (table_name, status) values ('poller.run', 'plain')")
    question = statement("peek_runs", handlers=array_of(many, "plain"), in_turn=array_of(many))
    assert len(many.execute(question, {}).fetchall()) == 1
    many.execute("update poller.job set paused_at = now() where name = 'plain'")
    assert many.execute(question, {}).fetchall() == []


def explained(db: psycopg.Connection[Any], name: str, asked: dict[str, Any]) -> str:
    """Return the plan of a statement."""
    text = statement(name).as_string(db).replace("with clock", "explain with clock", 1)
    return "\n".join(row[0] for row in db.execute(text.encode(), asked).fetchall())


def array_of(db: psycopg.Connection[Any], *jobs: str) -> Any:
    """Return the handlers of jobs as a literal."""
    found = db.execute("select id from poller.handler where status = any (%s)", [list(jobs)]).fetchall()
    return sql.Literal([row[0] for row in found])
