"""What the tests of purges and of ageing share: a run without an engine, and a table with old rows."""

from __future__ import annotations

import contextlib
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql

from poller.db.connection import connect
from poller.model.context import CancelEvent
from poller.ready_made.retention import purge
from tests.command_line import value
from tests.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from poller.jobs.job import Job
    from poller.ready_made.retention import Retention
    from poller.ready_made.retention_report import RetentionReport

DAYS = {"oldest": (400, 300), "older": (300, 200), "mixed": (200, 100), "young": (100, -100)}


class PurgeRun:
    """A run as a rule sees it. `look` is called with what it tells of its progress."""

    def __init__(self, url: str, look: Callable[[PurgeRun, float], object] = lambda *_: None) -> None:
        self.url = url
        self.cancelled = CancelEvent()
        self.logger = logging.getLogger("test.maintenance")
        self.told: list[tuple[float, float | None]] = []
        self._look = look

    def progress(self, done: float, total: float | None = None) -> None:
        self.told.append((done, total))
        self._look(self, done)

    def tell(self, line: str) -> None:
        self.logger.info("%s", line)

    @contextlib.contextmanager
    def connect(self) -> Iterator[psycopg.Connection[Any]]:
        with connect(self.url, "test") as connection:
            yield connection


def run(job: Job, url: str) -> RetentionReport:
    """Run a job once, without an engine."""
    return cast("RetentionReport", job(PurgeRun(url)))


def retention(job: Job) -> Retention:
    """Return what a ready-made job runs."""
    return cast("Retention", job.function)


def make_audit(db: psycopg.Connection[Any], old: int, young: int = 0, *, index: bool = True) -> None:
    """Make the table `audit`: keys from 1, first the old rows, from the oldest on, then the young."""
    db.execute("create table audit (id bigint primary key, kind text, created_at timestamptz)")
    db.execute(
        "insert into audit select n, 'x', now() - interval '200 days' + n * interval '1 second'"
        " from generate_series(1, %s) as n",
        [old],
    )
    db.execute(
        "insert into audit select %s + n, 'x', now() - interval '1 day' from generate_series(1, %s) as n",
        [old, young],
    )
    if index:
        db.execute("create index audit_age on audit (created_at)")
    db.execute("analyze audit")


def make_partitions(db: psycopg.Connection[Any], kind: str = "timestamptz", *, default: bool = False) -> None:
    """Make `audit`, with rows each 20 days for 400; two of its partitions are wholly older than 180 days."""
    db.execute(
        f"create table audit (id int, created_at {kind}, primary key (id, created_at))"
        " partition by range (created_at)".encode()
    )
    for name, (since, until) in DAYS.items():
        db.execute(
            sql.SQL(
                "do $$ begin execute format("
                "'create table {name} partition of audit for values from (%L) to (%L)',"
                " date_trunc('day', now()) - interval '{since} days',"
                " date_trunc('day', now()) - interval '{until} days'); end $$"
            ).format(name=sql.Identifier(name), since=sql.SQL(str(since)), until=sql.SQL(str(until)))
        )
    if default:
        db.execute("create table rest partition of audit default")
    db.execute(
        "insert into audit select n, date_trunc('day', now()) - n * interval '1 day' + interval '1 hour'"
        " from generate_series(20, 400, 20) as n"
    )


def relations(db: psycopg.Connection[Any]) -> set[str]:
    """Return which of the partitions there are, attached or not."""
    question = "select relname from pg_class where relname = any(%s) and relkind in ('r', 'p')"
    return {name for (name,) in db.execute(question, [[*DAYS, "rest", "part"]]).fetchall()}


def keys(db: psycopg.Connection[Any], table: str = "audit") -> list[Any]:
    """Return the keys of a table's rows, in order."""
    return [row[0] for row in db.execute(f"select id from {table} order by id").fetchall()]


def purge_audit(**options: Any) -> Job:
    """Return a purge of `audit` that does not dawdle."""
    given = {"table": "audit", "column": "created_at", "older_than": "180d", "pause": "0s", **options}
    return purge(**given)


def make_slow(db: psycopg.Connection[Any]) -> None:
    """Make `slow(id)`, a condition that is true, and takes a second to say so of row 1."""
    db.execute(
        "create function slow(id bigint) returns boolean volatile language plpgsql as $$"
        " begin if id = 1 then perform pg_sleep(1); end if; return true; end $$"
    )


def other_sessions(db: psycopg.Connection[Any]) -> int:
    """Return how many sessions the database has beside this one."""
    question = "select count(*) from pg_stat_activity where datname = current_database() and pid <> %s"
    return int(value(db, question, db.info.backend_pid))


def wait_for_batch(db: psycopg.Connection[Any]) -> None:
    """Wait until a batch has looked at the table (its snapshot is taken), and is held up by `slow`."""
    question = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%%listed%%'"
    wait_until("a batch is under way", lambda: db.execute(question, []).fetchone())


@contextlib.contextmanager
def beside(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Run something beside a block; give what returns its result, or raises its error, after the block."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future.result


@contextlib.contextmanager
def a_role(db: psycopg.Connection[Any], url: str, *grants: str) -> Iterator[str]:
    """Make a role that has been granted so much; give the URL for sessions that have its rights only."""
    name = f"poller_test_{uuid.uuid4().hex[:12]}"
    db.execute(f"create role {name}".encode())
    try:
        for grant in grants:
            db.execute(f"grant {grant} to {name}".encode())
        yield f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{name}"
    finally:
        db.execute(f"drop owned by {name}; drop role {name}".encode())
