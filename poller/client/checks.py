"""Checks handlers and jobs against the database, and returns all problems and suggestions, not only the first.

A finding is certain: where the catalogue cannot tell, nothing is said. An error keeps a handler or job from running,
a warning costs time or hides rows, advice should be read once. The checks change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from poller.client import status
from poller.client.answers import aside
from poller.client.row_queries import RowQueries
from poller.db import schema, tables
from poller.db.connection import is_pooled, role_of
from poller.db.server import READ_ONLY
from poller.db.statements import statement, trusted
from poller.errors import PollerError
from poller.errors_in_words import reason
from poller.jobs import job_store
from poller.jobs.circles import circles
from poller.model.context import Row
from poller.model.definition import has_code
from poller.ready_made.housekeeping import housekeeping
from poller.ready_made.protocol import AboutATable
from poller.store.binding import Binding, bind, refuse_equal
from poller.store.claim_plan import plan_claim

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from poller.client.row_queries import Index
    from poller.db.tables import Table
    from poller.jobs.job import Job
    from poller.model.handler import Handler
    from poller.registry import Registered

Severity = Literal["error", "warning", "advice"]
Findings = Iterator["Finding"]

SKEW_SECONDS = 2.0  # by which this host's clock may differ from the database's
STATEMENTS_AT_A_TIME = 16  # statements at a time, for whose locks there should be room
NAMED_STATUSES = 20  # statuses that are named one by one


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found: how bad, where, what, and what to do about it.

    Attributes:
        reason: a word for what was found, where a face may name what does it; else "".
    """

    severity: Severity
    where: str
    what: str
    todo: str
    reason: str = aside(default="")


def check(connection: psycopg.Connection[Any], registered: Registered) -> list[Finding]:
    """Return all findings, those about the database first.

    Raises:
        psycopg.OperationalError: the database is gone.
        DatabaseError: an untrusted role owns poller's schema, so nothing in it may be queried.
    """
    schema.refuse_strangers(connection)
    checks = Checks(connection, registered)
    return [*checks.of_database(), *checks.of_handlers(), *checks.of_tables(), *checks.of_jobs()]


class OutOfTimeError(PollerError):
    """There is no time for the checks that are left."""


class Checks:
    """The checks, on one connection in autocommit mode.

    Args:
        connection: where to ask.
        registered: what to check.
        unread: handlers, as `TABLE:STATUS`, whose `where` or `order_by` is not known: how they claim is not checked.
        seconds: after which what is left is not checked; None for no end.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        registered: Registered,
        unread: Container[str] = (),
        seconds: float | None = None,
    ) -> None:
        self._connection = connection
        self._unread = unread
        self._until = None if seconds is None else monotonic() + seconds
        self._queries = RowQueries(connection)
        self._handlers, self._jobs = registered
        self._bindings: list[Binding] = []
        self._migrated = False

    # --- the database -----------------------------------------------------------------------------

    def of_database(self) -> Findings:
        """Find what is wrong with this host, the connection, the server and poller's own schema."""
        for look in (self._schema, self._read_only, self._pooler, self._clock, self._ahead, self._autovacuum):
            yield from self._guarded("database", look)

    def _read_only(self) -> Findings:
        row = self._connection.execute(statement("read_only_by_default")).fetchone()
        if row == (True,):
            what, todo = _halves(READ_ONLY)
            yield Finding("error", "database", what, todo)

    def _schema(self) -> Findings:
        role = role_of(self._connection)
        try:
            absent = schema.version(self._connection) is None
        except PollerError:
            what = f"the role {role} may not use the schema poller, or read its version"
            todo = f"grant usage on schema poller to {role}; grant select on poller.alembic_version to {role}"
            yield Finding("error", "database", what, todo)
            yield from self._grants(role)
            return
        try:
            schema.require(self._connection)
        except PollerError as error:
            what, todo = _halves(error)
            yield Finding("advice" if absent else "error", "database", what, todo, error.reason)
            return
        self._migrated = True
        yield from self._grants(role)

    def _grants(self, role: str) -> Findings:
        for table, privileges in self._queries.missing_grants():
            what = f"the role {role} may not {privileges} in poller.{table}, as a worker must"
            yield Finding("error", "database", what, f"grant {privileges} on poller.{table} to {role}")

    def _pooler(self) -> Findings:
        if is_pooled(self._connection):
            what = "connected through a pooler: notifications and instant crash detection are off"
            yield Finding("warning", "database", what, "give poller a direct connection")

    def _clock(self) -> Findings:
        before = datetime.now(UTC)
        there = self._queries.now()
        here = before + (datetime.now(UTC) - before) / 2
        skew = (here - there).total_seconds()
        if abs(skew) > SKEW_SECONDS:
            side = "ahead of" if skew > 0 else "behind"
            what = f"this host's clock is {abs(skew):.0f}s {side} the database's, which decides"
            yield Finding("warning", "database", what, "synchronise both clocks by NTP")

    def _ahead(self) -> Findings:
        """Find times in the future that the database's clock wrote while it ran ahead, before it was corrected."""
        if not self._migrated:
            return
        jobs, rows, runs = job_store.ahead(self._connection)
        if jobs or rows or runs:
            what = (
                f"the database's clock ran ahead for a while: {jobs} jobs, {rows} rows and {runs} runs wait for longer "
                "than their schedules and policies allow"
            )
            yield Finding(
                "warning", "database", what, "restart the fleet: it plans them from now", "ran_ahead"
            )

    def _autovacuum(self) -> Findings:
        if not self._queries.has_autovacuum():
            what = "autovacuum is off on the whole server, though each move leaves a dead row version behind"
            yield Finding("warning", "database", what, "set autovacuum = on in postgresql.conf")

    # --- each handler -----------------------------------------------------------------------------

    def of_handlers(self) -> Findings:
        """Find what keeps a handler from working on its table."""
        for handler in self._handlers:
            yield from self._guarded(str(handler), partial(self._handler, handler))
        yield from self._guarded("handlers", self._equal)
        if self._migrated:
            self._bindings = status.numbered(self._connection, self._bindings)
        for binding in self._bindings:
            claims = () if str(binding) in self._unread else (self._plan, self._index)
            for look in (*claims, self._orphans, self._without_zone):
                yield from self._guarded(str(binding), partial(look, binding))

    def _handler(self, handler: Handler) -> Findings:
        try:
            table = tables.describe(self._connection, handler.table)
        except PollerError as error:
            yield Finding("error", _where(handler), *_halves(error))
            return
        faults = list(tables.faults(self._connection, handler, table))
        for fault in faults:
            yield Finding("error", _where(handler), *_halves(fault))
        yield from _hidden_columns(handler, table)
        if faults:
            return
        try:
            self._bindings.append(bind(self._connection, handler))
        except PollerError as error:
            yield Finding("error", _where(handler), *_halves(str(error).removeprefix(f"{handler.place}: ")))

    def _equal(self) -> Findings:
        """Find two handlers of the code that would take the same rows, which no worker starts with."""
        try:
            refuse_equal(self._connection, [each for each in self._bindings if has_code(each.handler)])
        except PollerError as error:
            yield Finding("error", "handlers", *_halves(error))

    def _plan(self, binding: Binding) -> Findings:
        if not self._migrated:
            return
        try:
            plan_claim(self._connection, binding)
        except PollerError as error:
            what = str(error).removeprefix(f"{binding.handler.place}: ")
            mend = binding.handler.where or binding.handler.order_by
            yield Finding(
                "error",
                _where(binding.handler),
                what,
                "fix where= and order_by=" if mend else "fix the table's functions",
            )

    def _index(self, binding: Binding) -> Findings:
        indexes = self._queries.indexes(binding.table)
        if any(self._serves(binding, each) for each in indexes):
            return
        concurrently = not self._queries.health(binding.table).is_partitioned
        todo = self._queries.advised_index(binding, _plain_order(binding), concurrently=concurrently)
        what = "no index serves its claims, so each claim also reads rows that are done"
        yield Finding("warning", str(binding), what, todo)

    def _serves(self, binding: Binding, index: Index) -> bool:
        """Tell whether an index finds a handler's rows; true if that cannot be told."""
        if index.predicate is None:
            return index.leads == binding.handler.column
        column = binding.table.columns[binding.handler.column]
        try:
            return self._queries.index_covers(column, binding.handler.status, index.predicate)
        except psycopg.ProgrammingError:
            return binding.handler.where is not None

    def _orphans(self, binding: Binding) -> Findings:
        if binding.handler.during is None or not self._migrated:
            return
        rows = self._queries.orphans(binding)
        if rows:
            what = f"{rows} rows show {binding.handler.during!r}, but no worker holds them or will take them"
            todo = f"find out why, and set their {binding.handler.column} to {binding.handler.status!r}"
            yield Finding("warning", str(binding), what, todo)

    def _without_zone(self, binding: Binding) -> Findings:
        name = binding.handler.due
        if name is not None and binding.table.columns[name].time != "timestamp with time zone":
            kind, zone = binding.table.columns[name].type, binding.table.zone
            what = f"{name} is a {kind}: it is read as a time in the database's zone, {zone}"
            yield Finding(
                "advice", str(binding), what, "make it a timestamptz if it is written in another zone"
            )

    # --- each table -------------------------------------------------------------------------------

    def of_tables(self) -> Findings:
        """Find what hides rows of a table, slows it down, or leaves rows that no handler takes."""
        for group in status.by_column(self._bindings):
            for look in (self._hidden_rows, self._unvacuumed, self._locked, self._dead_ends):
                yield from self._guarded(str(group[0].table), partial(look, group))

    def _hidden_rows(self, group: list[Binding]) -> Findings:
        table = group[0].table
        health = self._queries.health(table)
        if not health.hides_rows:
            return
        role = role_of(self._connection)
        todo = f"alter role {role} bypassrls, or create a policy for it that shows the rows it is to work on"
        if health.policies:
            what = (
                f"row level security may hide rows from the role {role}, and poller never takes hidden rows"
            )
            yield Finding("warning", str(table), what, todo)
        else:
            what = f"row level security hides every row from the role {role}: there is no policy"
            yield Finding("error", str(table), what, todo)

    def _unvacuumed(self, group: list[Binding]) -> Findings:
        table = group[0].table
        for name in self._queries.health(table).without_autovacuum or ():
            what = f"autovacuum is off for {name}, though each move leaves a dead row version behind"
            yield Finding("warning", str(table), what, f"alter table {name} reset (autovacuum_enabled)")

    def _locked(self, group: list[Binding]) -> Findings:
        """Find partitions too many to lock: a statement locks each with its indexes, in the server's one lock table."""
        table = group[0].table
        if not self._queries.health(table).is_partitioned:
            return
        taken, each, sessions = self._queries.locks(table)
        if taken * STATEMENTS_AT_A_TIME > each * sessions:
            what = (
                f"a statement locks up to {taken:,} partitions and indexes, and the server has room for"
                f" {each * sessions:,} locks of all sessions"
            )
            enough = -(-taken * STATEMENTS_AT_A_TIME // sessions)
            yield Finding(
                "warning",
                str(table),
                what,
                f"set max_locks_per_transaction = {enough}, or have fewer partitions",
            )

    def _dead_ends(self, group: list[Binding]) -> Findings:
        """Find rows with a status that no handler takes, leads to or gives back: they wait for nothing."""
        known = {None, *status.graph(group)}
        column = group[0].handler.column
        counts = self._queries.status_counts(group[0].table, column, [])
        strange = {name: each.rows for name, each in counts.items() if name not in known}
        if strange and len(strange) <= NAMED_STATUSES:
            named = ", ".join(f"{name!r} ({rows} rows)" for name, rows in strange.items())
            what = f"no handler takes or leads to the {column} {named}"
            todo = "ignore this if another program does; else write a handler, or look for a misspelling"
            yield Finding("advice", str(group[0].table), what, todo)

    # --- each job ---------------------------------------------------------------------------------

    def of_jobs(self) -> Findings:
        """Find what keeps a job from running, and what makes a purge read more than it must."""
        for job in self._jobs:
            for look in (self._after, self._rule):
                yield from self._guarded(str(job), partial(look, job))
        for each in (self._taken_names, self._circles, self._orphan_runs):
            yield from self._guarded("jobs", each)

    def _taken_names(self) -> Findings:
        places = {job.name: job.place for job in self._jobs}
        for taken in job_store.schedules_named(self._connection, self._jobs) if self._migrated else ():
            todo = "give the job another name=, or remove the schedule"
            yield Finding("error", f"{taken.name} ({places[taken.name]})", taken.words, todo)

    def _circles(self) -> Findings:
        others = job_store.jobs_before(self._connection, self._jobs) if self._migrated else {}
        for job, words in circles(self._jobs, others):
            what = f"jobs run after each other in a circle, for ever: {words}"
            yield Finding("error", f"{job} ({job.place})", what, "leave one of these out of after=")

    def _orphan_runs(self) -> Findings:
        if not self._migrated:
            return
        known = {*(job.name for job in self._jobs), housekeeping.name}
        for name, runs in job_store.orphan_runs(self._connection, known):
            what = f"{runs} runs wait for a function that no program here and no worker has; was the job renamed?"
            todo = "remove the job, which cancels them; or run the program that declares it"
            yield Finding("warning", name, what, todo, "orphan_runs")

    def _after(self, job: Job) -> Findings:
        if not self._migrated:
            return
        names = {each.name for each in self._jobs}
        for name in job_store.unknown_jobs(self._connection, {*job.options.after} - names):
            todo = "fix the name, or run the program that declares it"
            yield Finding(
                "error", f"{job} ({job.place})", f"there is no job {name!r} for it to run after", todo
            )

    def _rule(self, job: Job) -> Findings:
        if not isinstance(job.function, AboutATable):
            return
        try:
            index = job.function.advice(self._connection)
        except PollerError as error:
            yield Finding("error", f"{job} ({job.place})", *_halves(error))
            return
        if index is not None:
            yield Finding(
                "warning", str(job), "no index finds the old rows, so each run reads the whole table", index
            )

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Let no statement take longer than there is time; the session's own timeout stays as it is.

        Raises:
            OutOfTimeError: there is no time left.
        """
        if self._until is None:
            yield
            return
        left = int((self._until - monotonic()) * 1000)
        if left <= 0:
            raise OutOfTimeError
        with self._connection.transaction():
            self._connection.execute(statement("limit_statement"), {"timeout": f"{left}ms"})
            yield

    def _guarded(self, where: str, look: Callable[[], Iterable[Finding]]) -> Findings:
        """Run a check; an error of Postgres becomes a finding, and the other checks go on.

        Raises:
            psycopg.OperationalError: the database is gone.
            OutOfTimeError: there is no time left.
        """
        try:
            with self._in_time():
                yield from look()
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            if isinstance(error, psycopg.errors.QueryCanceled) and self._until is not None:
                raise OutOfTimeError from None
            what = f"this could not be checked: {reason(error)}"
            todo = "check whether the role may read it"
            yield Finding("warning", where, " ".join(what.split()), todo, "unchecked")


def _hidden_columns(handler: Handler, table: Table) -> Findings:
    """Find the columns that a row's attributes cannot give, since methods have their names."""
    if handler.entity is not None:
        return
    taken = {*dir(Row)} - ({"key"} if table.key == ("key",) else set())
    for name in (each for each in table.columns if each in taken):
        what = f"row.{name} is not the column {name!r} of {table}, but an attribute that every row has"
        yield Finding("advice", _where(handler), what, f'write row["{name}"]')


def _plain_order(binding: Binding) -> sql.Composable:
    """Return the columns of the claim's order as an index needs them: without the table's alias."""
    if binding.handler.order_by is not None:
        return trusted(binding.handler.order_by)
    return sql.SQL(", ").join(sql.Identifier(name) for name in binding.table.key)


def _where(handler: Handler) -> str:
    return f"{handler} ({handler.place})"


def _halves(error: object) -> tuple[str, str]:
    """Split a line into the problem and the remedy."""
    what, _, todo = str(error).partition("; ")
    return what, todo
