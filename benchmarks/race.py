"""One race: a contestant drains a table of its own, from the gate to the last row.

The gate. The workers have been started, have imported everything, are connected and listen; no row is due. The rows
come in by one COPY whose transaction analyses the table and notifies, as the trigger of `poller migrate --triggers`
would have it. Its commit is the gate: the clock starts when it returns, and stops when the table shows nothing
unfinished. So both are measured from idle; ours with the growing of its first claims.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from benchmarks import by_hand, proc
from benchmarks.processes import at_work, module
from tests.servers import fresh_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmarks.processes import Command

Shape = Literal["lease", "transaction"]

# As of a table `item`; of others, too.
TABLE = """
create table {table} (
    id      bigint generated always as identity primary key,
    status  text not null default 'pending',
    payload text not null
);
create index {index} on {table} (id) where status = 'pending';
"""
# Backwards: workers go forwards, so that this finds a row at once until the end is near.
_UNFINISHED = "select id from {table} where status = 'pending' and id > {kept} order by id desc limit 1"
_LEFT = "select count(*) from {table} where status <> 'normal' and id > {kept}"
# The name of a session of ours goes on, with the worker that it is of.
_READY = """
select count(*) from pg_stat_activity
 where starts_with(application_name, %s) and state = 'idle' and query <> ''
"""
_DEAD = "select sum(n_tup_upd + n_tup_del) from pg_stat_user_tables"
_WAL = "select pg_current_wal_lsn() - '0/0'::pg_lsn"


@dataclass(frozen=True)
class Contestant:
    """What is measured.

    Attributes:
        name: as the report shows it.
        workers: how many processes work.
        module: the program to start, with the database's URL, `argument`, and `more`.
        copies: how many of it.
        stays: whether it has to be told that this is the end.
        session: what the sessions that claim are called, one a worker.
        handled: the query that counts the calls of its function.
        shape: of its transactions: what is compared with each other.
        schema: what it needs beside the table.
    """

    name: str
    workers: int
    module: str
    argument: int
    copies: int
    stays: bool
    session: str
    handled: str
    shape: Shape
    schema: str = ""
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    more: tuple[str, ...] = ()

    def commands(self, url: str) -> list[Command]:
        """Return what is to run."""
        arguments = (url, str(self.argument), *self.more)
        return [module(self.module, *arguments, environment=self.environment)] * self.copies


@dataclass(frozen=True)
class Setting:
    """What is done to the database before the race, and during it.

    Attributes:
        name: as the report shows it.
        template: the URL of a database to copy, which has the tables; an empty one without.
        kept: the rows of the template's table that may be unfinished for good are those with ids up to this.
        beside: returns what goes on beside the race, given the database's URL.
        tables: those over which the rows are spread evenly.
    """

    name: str = "an empty table"
    template: str | None = None
    kept: int = 0
    beside: Callable[[str], AbstractContextManager[Any]] | None = None
    tables: tuple[str, ...] = ("item",)


PLAIN = Setting()


@dataclass(frozen=True)
class Finish:
    """What a race came to.

    Attributes:
        rows: how many were drained.
        seconds: from the gate to the last row.
        wal: bytes written from the gate until the contestant had ended.
        dead: row versions that updates and deletes left dead in that time.
        cpu: seconds of CPU, of the contestant and the server together, from the gate to the last row.
    """

    rows: int
    seconds: float
    wal: int
    dead: int
    cpu: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_a_row(self) -> float:
        """Microseconds of CPU a row."""
        return self.cpu / self.rows * 1e6


def ours(workers: int, **options: Any) -> Contestant:
    """Return our fleet, whose handler has these options."""
    said = ", ".join(f"{name} {value}" if value is not True else name for name, value in options.items())
    return Contestant(
        name=f"poller, {said}" if said else "poller",
        workers=workers,
        module="benchmarks.fleet",
        argument=workers,
        copies=1,
        stays=True,
        session="poller claimer",
        # A call's outcome is tallied as moved, or stands in the history, whatever is kept there.
        handled="""select sum(moved) + (select count(*) from poller.history where verdict <> 'moved')
                     from poller.tally""",
        shape="transaction" if options.get("transactional") else "lease",
        environment={"BENCHMARK_OPTIONS": json.dumps(options)},
    )


def with_handlers(workers: int, module: str, concurrency: int) -> Contestant:
    """Return our fleet with the handlers of a module, and so many slots a worker."""
    more = ("--handlers", module, "--concurrency", str(concurrency))
    return replace(ours(workers), name=f"poller, {module.rpartition('.')[2]}", more=more)


def hand_written(workers: int, batch: int, shape: Shape = "lease") -> Contestant:
    """Return the hand-written program."""
    how = "" if shape == "lease" else ", in a transaction"
    return Contestant(
        name=f"by hand, batches of {batch}{how}",
        workers=workers,
        module="benchmarks.by_hand",
        argument=batch,
        copies=workers,
        stays=False,
        session=by_hand.NAME,
        handled="select sum(rows) from handled",
        shape=shape,
        environment={"BENCHMARK_SHAPE": shape},
        schema=by_hand.SCHEMA,
    )


def race(server_url: str, contestant: Contestant, rows: int, setting: Setting = PLAIN) -> float:
    """Return how many rows a second the contestant drains.

    Raises:
        RuntimeError: it did not get there, or handled a row twice.
    """
    return run(server_url, contestant, rows, setting).rate


def run(server_url: str, contestant: Contestant, rows: int, setting: Setting = PLAIN) -> Finish:
    """Race once, and return what it came to.

    Raises:
        RuntimeError: it did not get there, or handled a row twice.
    """
    with (
        fresh_database(server_url, setting.template) as url,
        psycopg.connect(url, autocommit=True) as db,
    ):
        track = Track(db, setting)
        track.build(contestant.schema)
        beside = setting.beside(url) if setting.beside else contextlib.nullcontext()
        with at_work(contestant.commands(url)) as crew:
            crew.wait("ready", lambda: ready(db, contestant.session) == contestant.workers)
            with beside:
                all_of_them = proc.family([*crew.pids, proc.parent(db.info.backend_pid)])
                dead, wal = track.open_gate(rows)
                began, used = time.perf_counter(), proc.cpu_seconds(all_of_them)
                crew.wait("done", track.is_over)
                seconds, cpu = time.perf_counter() - began, proc.cpu_seconds(all_of_them) - used
            crew.finish(told=contestant.stays)
        finish = Finish(rows, seconds, count(db, _WAL) - wal, count(db, _DEAD) - dead, cpu)
        left, handled = track.left(), count(db, contestant.handled)
    if (left, handled) != (0, rows):
        msg = f"{contestant.name}: of {rows} rows {left} are left, and {handled} were handled"
        raise RuntimeError(msg)
    return finish


class Track:
    """The tables of a race.

    Args:
        db: a session in autocommit mode.
        setting: says which they are.
    """

    def __init__(self, db: psycopg.Connection[Any], setting: Setting) -> None:
        self._db = db
        self._setting = setting
        self._watched = list(setting.tables)

    def build(self, schema: str) -> None:
        """Make what the template does not have."""
        if self._setting.template is None:
            for table in self._setting.tables:
                create_table(self._db, table)
        self._db.execute(schema.encode())

    def open_gate(self, rows: int) -> tuple[int, int]:
        """Let the rows in. Returns what was dead before, and where the WAL is now."""
        self._db.execute("checkpoint")  # so that none falls into the race
        dead = count(self._db, _DEAD)
        share, rest = divmod(rows, len(self._setting.tables))
        with self._db.transaction():
            for number, table in enumerate(self._setting.tables):
                self._fill(table, share + (number < rest))
            self._db.execute(f"notify {by_hand.CHANNEL}")
        return dead, count(self._db, _WAL)

    def is_over(self) -> bool:
        """Tell whether nothing is unfinished; a table that is finished is not looked at again."""
        while self._watched and self._db.execute(self._of(_UNFINISHED, self._watched[-1])).fetchone() is None:
            self._watched.pop()
        return not self._watched

    def left(self) -> int:
        """Return how many rows are not where they should be."""
        return sum(count(self._db, self._of(_LEFT, table)) for table in self._setting.tables)

    def _fill(self, table: str, rows: int) -> None:
        with self._db.cursor().copy(self._of("copy {table} (payload) from stdin", table)) as copy:
            copy.write("".join(f"payload {number}\n" for number in range(rows)))
        self._db.execute(self._of("analyze {table}", table))

    def _of(self, statement: str, table: str) -> sql.Composed:
        names = {"table": sql.Identifier(table), "kept": sql.Literal(self._setting.kept)}
        return sql.SQL(statement).format(**names)


def create_table(db: psycopg.Connection[Any], name: str) -> None:
    """Make a table for a race."""
    names = {"table": sql.Identifier(name), "index": sql.Identifier(f"{name}_pending")}
    db.execute(sql.SQL(TABLE).format(**names))


def ready(db: psycopg.Connection[Any], session: str) -> int:
    """Return how many sessions of this name wait for work."""
    return count(db, _READY, session)


def count(db: psycopg.Connection[Any], query: str | sql.Composed, *arguments: str) -> int:
    """Return the one number that a query gives; none is 0."""
    text = query.encode() if isinstance(query, str) else query
    row = db.execute(text, arguments).fetchone()
    return int(row[0] or 0) if row else 0
