"""The client: one method for each question and order that people have, used by every face.

What may be trusted: an answer is true for the moment at which it was read, and an order checks for itself. Each call
is independent: it opens what it needs, and leaves nothing behind if it fails. An order is logged in the transaction
that carries it out (`poller.action`); a purge, which has many, after the last.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from poller.client import (
    actions,
    checks,
    counting,
    draining,
    handler_lookup,
    jobs,
    moves,
    named_columns,
    pausing,
    purge,
    releasing,
    retrying,
    triggers,
)
from poller.client import alerts as alerting
from poller.client import explain as explaining
from poller.client import find as finding
from poller.client import gauges as measured
from poller.client import graph as graphs
from poller.client import history as histories
from poller.client import holdups as held_up
from poller.client import inflight as held
from poller.client import known_handlers as known_here
from poller.client import limits as limited
from poller.client import listed as table_rows
from poller.client import performance as performing
from poller.client import registered_checks as code_free
from poller.client import status as overview
from poller.client import totals as sums
from poller.client.actions import Author, Batches
from poller.client.answers import Page, cut, decoded, encoded, one_more
from poller.client.database import Database
from poller.client.handler_lookup import selected
from poller.client.job_queries import JobQueries
from poller.client.jobs import Scheduled
from poller.client.once import RepeatableTrigger
from poller.client.overview import Watch
from poller.client.row_queries import RowQueries
from poller.client.trouble import Troubles
from poller.db.tables import described_once
from poller.jobs import runtime_schedules
from poller.targets import settings as alert_settings
from poller.targets import trial

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from typing import Unpack

    import psycopg

    from poller.client.actions import Action
    from poller.client.alerts import Episode, Silence, Silenced
    from poller.client.checks import Finding
    from poller.client.counting import CountAhead, ExactCount
    from poller.client.database import DatabaseLocation, LookingConnection
    from poller.client.draining import Draining
    from poller.client.explain import ClaimExplained, RowExplained
    from poller.client.find import Found
    from poller.client.gauges import Gauge
    from poller.client.graph import Graph
    from poller.client.holdups import FullKey, Holdups
    from poller.client.inflight import Held
    from poller.client.job_queries import FailedDays, RunLine, RunsBeside
    from poller.client.jobs import Cancelled, JobLine, Logs, Paused, Removed, Resumed, Triggered
    from poller.client.known_handlers import Source
    from poller.client.limits import LimitLine
    from poller.client.listed import Listed, Listing, RowLine, RowShown, Show
    from poller.client.moves import Moved
    from poller.client.pausing import HandlersPaused, HandlersResumed
    from poller.client.performance import Performance, Upkeep
    from poller.client.purge import Counted, Progress, Purged, PurgeOptions
    from poller.client.registered_checks import Checked
    from poller.client.releasing import Released
    from poller.client.retrying import Retried
    from poller.client.row_queries import HistoryEvent, WorkerLine
    from poller.client.status import HandlerLine, StatusLine
    from poller.client.totals import Totals
    from poller.client.trouble import Failure, Group
    from poller.jobs.job import When
    from poller.model.handler import Handler

    Age = str | float | timedelta


DAY_SECONDS = 86400.0


class Client:
    """Does what the command line does, with answers as data.

    Made from a URL it may be used by any thread: each call has a connection of its own. Made from a connection, each
    call is part of the caller's transaction if there is one, and threads take turns.

    Every call raises `DatabaseError` if the database cannot be reached or has no schema poller, and psycopg's errors for
    what the server refuses.

    Args:
        database: a `postgresql://` URL, or psycopg 3's connection.
        handlers: the name of the package that the handlers and jobs are in, or a list of them. `status`, `handlers`,
            `check` and `add_triggers` need them; orders for jobs are checked against them if they can be imported.
        via: the face that asks: orders are written down with it.
        person: who orders, if the face knows more than the database's role.
        hurried: it gives no orders, no statement of its questions takes longer than three seconds, and made from a URL
            it keeps some connections for a few seconds, for the questions that come next.

    Raises:
        ConfigurationError: the URL is not valid, or it is neither a URL nor a connection.

    >>> from poller import Client
    >>> Client("mysql://localhost/shop")
    Traceback (most recent call last):
    poller.errors.ConfigurationError: the database URL begins with 'mysql'; poller needs postgres:// or postgresql://
    """

    def __init__(
        self,
        database: str | DatabaseLocation | psycopg.Connection[Any] | LookingConnection,
        handlers: Source = None,
        *,
        via: str = "python",
        person: str | None = None,
        hurried: bool = False,
    ) -> None:
        self._database = Database(database, via, hurried=hurried)
        self._handlers = handlers
        self._author = Author(via, person)

    @contextmanager
    def together(self) -> Iterator[Client]:
        """Give a client whose questions share one connection, for as long as the block lasts; one thread uses it.

        What a table looks like is found out once: the block is to be short.
        """
        with self._database.session() as connection, described_once(connection):
            made = copy.copy(self)
            made._database = Database.of_call(connection)  # noqa: SLF001 - it is of this class
            yield made

    def informed(self, handlers: Source) -> Client:
        """Return a client that asks as this one does, and knows these handlers."""
        made = copy.copy(self)
        made._handlers = handlers  # noqa: SLF001 - it is of this class
        return made

    # --- questions --------------------------------------------------------------------------------

    def status(self, *, exact: bool = False, progress: overview.Progress | None = None) -> Page[StatusLine]:
        """Return how many rows show each status that a handler takes or leads to, and each other one in the tables.

        Its cost does not grow with the tables: up to 10,000 rows are counted, of more there is the planner's estimate.
        A table that is gone, locked, or does not fit its handlers costs its own lines only: the page's `faults` say so.

        Args:
            exact: read the tables through, and count every row.
            progress: called before each table that is read through, with its name and an estimate of its rows.

        Raises:
            ConfigurationError: no handlers were given, or none fits its table.
        """
        known = known_here.required(self._handlers).handlers
        with self._database.session() as connection:
            lines, faults = overview.status(connection, known, exact=exact, progress=progress)
            now = RowQueries(connection).now()
        return Page(tuple(lines), None, now, exact=all(each.exact for each in lines), faults=faults)

    def count_ahead(self, table: str, status: str, *, column: str | None = None) -> CountAhead:
        """Return how much `count` would read, and how long that may take.

        Args:
            table: with or without its schema; one that handlers are known for.
            status: the status.
            column: the status column, where the table has several.

        Raises:
            NothingSelectedError: no handler is known for the table.
        """
        with self._database.session() as connection:
            return counting.Counter(connection, table, status, column).ahead()

    def count(
        self, table: str, status: str, *, column: str | None = None, seconds: float = 30.0
    ) -> ExactCount:
        """Count all rows of one status, however many they are.

        Args:
            table: with or without its schema; one that handlers are known for.
            status: the status.
            column: the status column, where the table has several.
            seconds: after which it is given up.

        Raises:
            NothingSelectedError: no handler is known for the table.
            psycopg.errors.QueryCanceled: there was not enough time.
        """
        with self._database.session(alone=True) as connection:
            return counting.Counter(connection, table, status, column).count(seconds)

    def watch(self) -> Watch:
        """Open a watch, which looks at the whole fleet again and again on a connection of its own.

        Raises:
            ConfigurationError: the client was made from a connection.
        """
        return Watch(self._database.kept(), self._handlers)

    def handlers(self) -> Page[HandlerLine]:
        """Return the handlers and how they perform; the page's `faults` name the tables that could not be looked at.

        Raises:
            ConfigurationError: no handlers were given, or none fits its table.
        """
        known = known_here.required(self._handlers).handlers
        with self._database.session() as connection:
            lines, faults = overview.handlers(connection, known)
            return Page(tuple(lines), None, RowQueries(connection).now(), faults=faults)

    def registered(self) -> list[Handler]:
        """Return the handlers as workers have registered them last: to be shown and counted, without their code.

        Their `where` is not known: `handlers` counts rows as due that it leaves out.
        """
        with self._database.session() as connection:
            return [each.handler for each in handler_lookup.declared(connection, ())]

    def totals(self) -> Totals:
        """Return what the whole fleet does now, in sums over all handlers and workers."""
        with self._database.session() as connection:
            return sums.totals(connection)

    def gauges(self) -> Page[Gauge]:
        """Return the fleet's numbers for monitoring, as one process has measured them for all.

        If they are older than fifteen seconds they are measured first. The handlers' code is not needed, but by it alone
        what their `where` leaves out is left out.

        Raises:
            ConfigurationError: the client was made from a connection that is in a transaction.
        """
        with self._database.session(alone=True) as connection:
            return _all(connection, measured.gauges(connection))

    def limits(self) -> Page[LimitLine]:
        """Return the handlers that have a limit, a rate or turns by key, with what the whole fleet has used of each."""
        with self._database.session() as connection:
            return _all(connection, limited.limits(connection))

    def full_keys(self, *, show: Callable[[str], Show] = lambda _: (), limit: int = 20) -> Page[FullKey]:
        """Return the values of `per_key` of which no further row may begin now, with the row in front of each.

        Of each handler 2,000 rows in flight are looked at, and as many in backoff that hold back those behind them.

        Args:
            show: returns what `rows` takes as `show`, of a table; a value is told if all columns of it are shown.
            limit: how many of each handler at the most.
        """
        known = known_here.found(self._handlers)
        with self._database.session() as connection:
            found = held_up.full_keys(connection, known.handlers if known else (), show, limit)
            return _all(connection, tuple(found))

    def holdups(self) -> Holdups:
        """Return poller's sessions that wait for a lock, who holds it, and the oldest transaction and snapshot.

        What other roles' sessions do is known to roles with `pg_read_all_stats`.
        """
        with self._database.session() as connection:
            return held_up.holdups(connection)

    def performance(self, table: str, *, back: str = "1h") -> Performance:
        """Return what a table's handlers have done in spans of time, and how long their attempts take.

        Args:
            table: with or without its schema.
            back: how far: `"1h"`, by minutes; `"24h"`, by half hours; `"7d"`, by three hours.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: it is not told so far back.
        """
        with self._database.session() as connection:
            return performing.performance(connection, table, back)

    def upkeep(self, table: str) -> Upkeep:
        """Return how the server keeps a table: dead row versions, indexes, when it was last vacuumed and analyzed.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: it is not there.
        """
        with self._database.session() as connection:
            return performing.upkeep(connection, table)

    def missing_columns(self, named: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
        """Return what is named of users' tables and is not there: a line each, which says what is.

        Args:
            named: columns by their table, with or without its schema.
        """
        with self._database.session(migrated=False) as connection:
            return tuple(named_columns.missing(connection, named))

    def find(self, word: str) -> Page[Found]:
        """Return all that a word may mean: a handler, a job, a run, or a row by its key.

        Rows are looked for in each table that has handlers, by its primary key. Tables that are locked, gone or not to
        be read are named in the page's `faults`: a row that is not found may be there.

        Args:
            word: a key, a run's number, a job's name, a table, `TABLE:STATUS`, or `TABLE:KEY`.
        """
        known = known_here.found(self._handlers)
        with self._database.session() as connection:
            found, faults = finding.find(connection, word, known.handlers if known else ())
            return _all(connection, found, faults)

    def nearest(self, word: str, *, limit: int = 2) -> Page[Found]:
        """Return the rows whose keys are next to a word, which need not be a key, in each table that has handlers.

        The page's `faults` name the tables that could not be looked at.

        Args:
            word: a key, as text; a composite key is a JSON array.
            limit: how many before it, and as many after it.
        """
        known = known_here.found(self._handlers)
        with self._database.session() as connection:
            found, faults = finding.nearest(connection, word, known.handlers if known else (), limit)
            return _all(connection, found, faults)

    def graph(self, table: str | None = None, *, counts: bool = False) -> Graph:
        """Return the state machines that handlers make: of the client's own, and of those that workers have registered.

        Moves that handlers have made, or people by hand, as the history shows, and that no handler declares are `seen`.

        Args:
            table: of one table only, with or without its schema.
            counts: with how many rows show each status, as `status` tells it.

        Raises:
            NothingSelectedError: no handler is known for the table, or none at all.
        """
        known = known_here.found(self._handlers)
        with self._database.session() as connection:
            return graphs.machines(connection, known.handlers if known else (), table, counts=counts)

    def workers(self) -> Page[WorkerLine]:
        """Return the worker processes of the whole fleet; those that died are listed for a day."""
        with self._database.session() as connection:
            return _all(connection, RowQueries(connection).workers())

    def failures(
        self,
        selector: str = "all",
        *,
        traceback: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> Page[Failure]:
        """Return the rows in trouble, the newest first: parked, waiting for another attempt, or gone to an `on_failure`.

        Args:
            selector: `TABLE[:STATUS][:KEY]`, or `all`.
            traceback: with the tracebacks of their errors.
            after: the `next` of the page before.
            limit: how many at the most; None for all.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: the selector, the cursor or the limit is not valid.
        """
        place, _ = decoded(after, datetime, str, int), one_more(limit)
        with self._database.session() as connection:
            chosen, known = selected(connection, selector)
            found, ends = Troubles(connection, known).failures(chosen, place, limit, traceback=traceback)
            now = RowQueries(connection).now()
            return Page(tuple(found), None if ends is None else encoded(ends), now)

    def failure_groups(self, selector: str = "all") -> Page[Group]:
        """Return the causes of the trouble, the newest first: of rows, and of runs of jobs that have failed.

        Of rows that went to an `on_failure`, and of runs, the newest 10,000 of each handler or job are counted.

        Args:
            selector: `TABLE[:STATUS][:KEY]`, or `all`; `poller.run:JOB` for a job.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: the selector is not valid.
        """
        with self._database.session() as connection:
            chosen, known = selected(connection, selector)
            found, is_all = Troubles(connection, known).groups(chosen)
            return Page(tuple(found), None, RowQueries(connection).now(), exact=is_all)

    def alerts(self) -> Page[Episode]:
        """Return what goes wrong, the newest first, then what was over within a day; each with the notices of it."""
        with self._database.session() as connection:
            return _all(connection, alerting.episodes(connection))

    def silences(self) -> Page[Silence]:
        """Return the silences that hold, the one that ends last first."""
        with self._database.session() as connection:
            return _all(connection, alerting.silences(connection))

    def rows(self, table: str, status: str, **options: Unpack[Listing]) -> Page[RowLine]:
        """Return rows of a user's table that show a status, in the order of their keys.

        Args:
            table: with or without its schema; one that handlers are known for.
            status: the status.
            **options: see `Listing`.

        Raises:
            NothingSelectedError: no handler is known for the table, or its rows cannot be filtered by the column.
            ConfigurationError: no index serves and the table is large; or the status, cursor or limit is not valid.
        """
        return self.listed(table, status, **options)[1]

    def listed(self, table: str, status: str, **options: Unpack[Listing]) -> tuple[Listed, Page[RowLine]]:
        """Return what `rows` does, and beside it the columns that are shown and hidden, filters, and the page before."""
        with self._database.session() as connection:
            rows_of = table_rows.Rows(connection, table, options.get("show", ()))
            return table_rows.page(rows_of, status, options, RowQueries(connection).now)

    def row(self, table: str, key: str, *, show: Show = ()) -> RowShown:
        """Return a row of a user's table, and what is known of it; one that is gone has no statuses.

        Args:
            table: with or without its schema; one that handlers are known for.
            key: as text; a composite key is a JSON array.
            show: as for `rows`.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: the key cannot be one of the table.
        """
        with self._database.session() as connection:
            return table_rows.Rows(connection, table, show).shown(key)

    def inflight(
        self, selector: str = "all", *, after: str | None = None, limit: int | None = None
    ) -> Page[Held]:
        """Return the rows in flight with their workers, the longest in flight first.

        Args:
            selector: `TABLE[:STATUS][:KEY]`, or `all`.
            after: the `next` of the page before.
            limit: how many at the most; None for all.

        Raises:
            NothingSelectedError: no handler is known for the table.
            ConfigurationError: the selector, the cursor or the limit is not valid.
        """
        place, most = decoded(after, datetime, str, str), one_more(limit)
        with self._database.session() as connection:
            chosen, _ = selected(connection, selector)
            found = held.inflight(connection, chosen, place, most)
            page = cut(found, limit, RowQueries(connection).now(), lambda each: each[1])
        return Page(tuple(line for line, _ in page.items), page.next, page.as_of)

    def history(
        self,
        table: str,
        key: str,
        *,
        back: Age = DAY_SECONDS,
        after: str | None = None,
        limit: int | None = None,
    ) -> Page[HistoryEvent]:
        """Return what happened to a row, the latest event last; the next page has the events before.

        Args:
            table: with or without its schema.
            key: the primary key as text; a JSON array if composite.
            back: how far to look back: `"30d"`, seconds, or a `timedelta`. What happened to many rows together has to be
                read through for one of them, which takes some 20 ms a million rows.
            after: the `next` of the page before.
            limit: how many at the most, the latest; None for all.

        Raises:
            NothingSelectedError: nothing is recorded of the row since then, or no handler is known for the table.
            ConfigurationError: the table, the time, the cursor or the limit is not valid.
        """
        before, _ = decoded(after, datetime, int), one_more(limit)
        age = histories.seconds_of("back", back)
        with self._database.session() as connection:
            return histories.history(connection, table, key, age, before, limit)

    def jobs(self, *, after: str | None = None, limit: int | None = None) -> Page[JobLine]:
        """Return the jobs in the order of their names, with their next and last runs.

        Args:
            after: the `next` of the page before.
            limit: how many at the most; None for all.

        Raises:
            ConfigurationError: the cursor or the limit is not valid.
        """
        place, most = decoded(after, str), one_more(limit)
        here = known_here.defined(self._handlers)
        with self._database.session() as connection:
            found = jobs.lines(connection, here, most, place[0] if place else None)
            return cut(found, limit, RowQueries(connection).now(), lambda each: [each.name])

    def next_jobs(self, *, limit: int = 5) -> Page[JobLine]:
        """Return the jobs that run next, the soonest first; those that are paused, or over, do not.

        Args:
            limit: how many at the most.

        Raises:
            ConfigurationError: the limit is not valid.
        """
        one_more(limit)
        here = known_here.defined(self._handlers)
        with self._database.session() as connection:
            return _all(connection, jobs.soonest(connection, here, limit))

    def runs(
        self, job: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Page[RunLine]:
        """Return the runs of one job or of all, the newest first.

        Args:
            job: its name, or that of a schedule made at run time; None for all.
            after: the `next` of the page before.
            limit: how many at the most; None for all.

        Raises:
            NothingSelectedError: there is no such job, nor a run of it.
            ConfigurationError: the cursor or the limit is not valid.
        """
        place, most = decoded(after, datetime, int), one_more(limit)
        with self._database.session() as connection:
            found = jobs.runs(connection, job, most, place)
            return cut(found, limit, RowQueries(connection).now(), lambda each: [each.planned_at, each.id])

    def job(self, name: str) -> JobLine:
        """Return a job, with its next and last run.

        Raises:
            NothingSelectedError: there is no such job.
        """
        here = known_here.defined(self._handlers)
        with self._database.session() as connection:
            return jobs.line(connection, name, here)

    def newest_runs(self, names: Sequence[str], *, most: int) -> Page[RunLine]:
        """Return the newest runs of each of some jobs.

        Args:
            names: the jobs'.
            most: how many of one.
        """
        with self._database.session() as connection:
            found = JobQueries(connection).newest_runs(names, most)
            return Page(tuple(found), None, RowQueries(connection).now())

    def failed_days(self, name: str, *, days: int = 90) -> FailedDays:
        """Return on which days runs of a job have failed.

        Args:
            name: the job's.
            days: how many days to look back.

        Raises:
            NothingSelectedError: there is no such job.
        """
        with self._database.session() as connection:
            return jobs.failed_days(connection, name, days)

    def runs_beside(self, number: int) -> RunsBeside:
        """Return the numbers of the runs of the same job before and after one."""
        with self._database.session() as connection:
            return JobQueries(connection).beside(number)

    def run(self, number: int) -> RunLine:
        """Return a run.

        Raises:
            NothingSelectedError: there is no run with this number.
        """
        with self._database.session() as connection:
            return jobs.run(connection, number)

    def logs(self, run: int | str) -> Logs:
        """Return a run's output so far: what it printed and logged.

        Args:
            run: its number; or a job's name, for its last run.

        Raises:
            NothingSelectedError: there is no such run or job, or no run of it has begun.
        """
        with self._database.session() as connection:
            number = run if isinstance(run, int) else jobs.last_run(connection, run)
            return jobs.logs(connection, number)

    def check(self) -> Page[Finding]:
        """Check the handlers and jobs against the database, and return all problems and suggestions.

        poller's own schema need not be there.

        Raises:
            ConfigurationError: no handlers were given, or the connection is in a transaction.
        """
        known = known_here.required(self._handlers)
        with self._database.session(migrated=False, alone=True) as connection:
            return _all(connection, checks.check(connection, known))

    def check_registered(self, *, seconds: float = 5.0) -> Checked:
        """Check the handlers as workers have registered them last: without their code, so that not all can be checked.

        Args:
            seconds: after which what is left is not checked.

        Raises:
            ConfigurationError: the connection is in a transaction.
        """
        with self._database.session(alone=True) as connection:
            return code_free.check(connection, seconds)

    def explain(self, selector: str, key: str | None = None) -> RowExplained | ClaimExplained:
        """Explain why a row is not being worked on, or how a handler's rows are claimed.

        Args:
            selector: `TABLE:STATUS:KEY`, or `TABLE:STATUS`.
            key: the row's, of any form, behind `TABLE:STATUS`.

        Raises:
            NothingSelectedError: no such handler is known, by its code or by the database.
            ConfigurationError: no status is named, the key cannot be one, or the handler does not fit its table.
        """
        with self._database.session() as connection:
            return explaining.explain(connection, selector, self._handlers, key)

    def actions(self, *, after: str | None = None, limit: int | None = None) -> Page[Action]:
        """Return the orders that people have given, by any face, the newest first; they are kept for 90 days.

        Args:
            after: the `next` of the page before.
            limit: how many at the most; None for all.

        Raises:
            ConfigurationError: the cursor or the limit is not valid.
        """
        place, most = decoded(after, int), one_more(limit)
        with self._database.session() as connection:
            found = actions.actions(connection, place[0] if place else None, most)
            return cut(found, limit, RowQueries(connection).now(), lambda each: [each.id])

    def may_order(self) -> bool:
        """Tell whether the database's role may give orders, or only ask: whether it may write `poller.attempt`."""
        with self._database.session() as connection:
            return actions.may_order(connection)

    # --- orders for rows --------------------------------------------------------------------------

    def retry(  # noqa: PLR0913 - what makes an order
        self,
        selector: str,
        keys: Sequence[str] = (),
        *,
        error: str | None = None,
        progress: Callable[[int], object] | None = None,
        stop: threading.Event | None = None,
        most: int | None = None,
    ) -> Retried:
        """Retry rows in trouble: they are due at once, and their attempts are counted from the start.

        It is done in batches of 1,000 rows at the most. From a URL each is committed by itself, with what was reached so
        far written down; on a connection in a transaction all are parts of that.

        Args:
            selector: `TABLE[:STATUS][:KEY]`, or `all`; snoozed rows only where their keys are named.
            keys: further keys, as text.
            error: only those with this error: its class, its place, both as `failure_groups` shows them with a blank
                between, which ends it where there is no place; or, if there is no such row, a part of its text.
            progress: called after each batch with how many rows are done.
            stop: an event; once it is set, the order ends after the current batch.
            most: how many rows at the most; None for all.

        Raises:
            NothingSelectedError: there is no such row.
        """
        with self._database.session() as connection:
            target = _target(selector, error)
            enter = partial(self._enter_rows, connection, "retry", target, keys)
            return retrying.retry(
                connection, selector, keys, error, Batches(connection, enter, progress, stop, most)
            )

    def release(  # noqa: PLR0913 - what makes an order
        self,
        selector: str,
        keys: Sequence[str] = (),
        *,
        error: str | None = None,
        progress: Callable[[int], object] | None = None,
        stop: threading.Event | None = None,
        most: int | None = None,
    ) -> Released:
        """Take rows away from the workers that hold them: the attempt counts, and the rows are due at once.

        Their handlers are not stopped, and may run beside the next attempt. It is done in batches, as `retry` is.

        Args:
            selector: `TABLE[:STATUS][:KEY]`, or `all`.
            keys: further keys, as text.
            error: only those that an attempt before has failed at with this error, as for `retry`.
            progress: called after each batch with how many rows are done.
            stop: an event; once it is set, the order ends after the current batch.
            most: how many rows at the most; None for all.

        Raises:
            NothingSelectedError: no such row is in flight.
            ConfigurationError: a handler with `during` does not fit its table.
        """
        with self._database.session() as connection:
            target = _target(selector, error)
            enter = partial(self._enter_rows, connection, "release", target, keys)
            batches = Batches(connection, enter, progress, stop, most)
            return releasing.release(connection, selector, keys, error, self._handlers, batches)

    def _enter_rows(
        self,
        connection: psycopg.Connection[Any],
        action: str,
        target: str,
        keys: Sequence[str],
        affected: int,
    ) -> int:
        return self._author.enter(connection, action, target, affected, keys)

    def move(  # noqa: PLR0913 - what makes an order
        self,
        selector: str,
        status: str,
        keys: Sequence[str] = (),
        *,
        shown: str | None = None,
        column: str | None = None,
        progress: Callable[[int], object] | None = None,
        stop: threading.Event | None = None,
        most: int | None = None,
    ) -> Moved:
        """Move rows to another status by hand, a thousand at a time; each batch is committed by itself.

        A row is moved only if it still shows the status that it is moved from. What is in flight is not stopped, and its
        outcome is superseded; what is remembered of its attempts is forgotten. Rows that the table refuses are left.

        Args:
            selector: `TABLE:STATUS`, `TABLE:STATUS:KEY` or `TABLE:KEY`.
            status: the one that the rows are to have.
            keys: further keys, as text.
            shown: the status that the rows show, apart from the selector, which is `TABLE` or `TABLE:KEY` then.
            column: the status column that they show it in, where the table has several; else the one that knows both
                statuses is meant.
            progress: called after each batch with how many rows were moved.
            stop: an event; once it is set, the move ends after the current batch.
            most: how many rows at the most; None for all.

        Raises:
            NothingSelectedError: there is no such row, or none could be moved: the text says why.
            ConfigurationError: neither a status nor keys are named, the column cannot have the status, or several may be
                meant.
        """
        with self._database.session() as connection:
            order = moves.GivenMove(selector, status, keys, shown, column)
            return moves.move(connection, self._author, order, progress, stop, most)

    # --- orders for workers -----------------------------------------------------------------------

    def drain(self, name: str | int) -> tuple[Draining, ...]:
        """Drain a worker, or a host's: they stop claiming, end once they hold nothing, and are not replaced.

        Args:
            name: the worker's number; or the host's name, if that is not of digits alone.

        Raises:
            NothingSelectedError: no such worker lives.
        """
        with self._database.order() as connection:
            done = draining.drain(connection, str(name))
            self._author.enter(connection, "drain", name, len(done))
        return done

    # --- orders for jobs and handlers -------------------------------------------------------------

    def trigger(
        self, job: str, args: Mapping[str, Any] | None = None, *, once: str | None = None
    ) -> Triggered:
        """Trigger a run of a job now, beside its schedule.

        Args:
            job: its name, or that of a schedule made at run time.
            args: what the function is called with, as JSON has it; None for the job's own.
            once: a word of the caller's for this order. Given again within a day, it makes no other run: the answer is
                that of the first time.

        Raises:
            NothingSelectedError: there is no such job.
            ConfigurationError: the function does not take these arguments, or the word was another order's.
        """
        here = known_here.defined(self._handlers)
        order = None if once is None else RepeatableTrigger(once, self._author.person, job, args)
        with self._database.order() as connection:
            done = order.earlier(connection) if order else None
            if done is None:
                done = jobs.trigger(connection, job, args, here)
                detail = order.detail(done.run) if order else None
                self._author.enter(connection, "trigger", done.job, 1, detail=detail)
        return done

    def pause(
        self, name: str, duration: Age | None = None, *, is_handler: bool = False
    ) -> Paused | HandlersPaused:
        """Pause a job, or handlers, across the whole fleet: nothing of theirs starts; what is running finishes.

        Args:
            name: the job's name; or `TABLE` or `TABLE:STATUS`, for handlers.
            duration: for how long, by the database's clock; a number is seconds. None: until it is resumed.
            is_handler: handlers are meant, though a job may have just this name.

        Raises:
            NothingSelectedError: no job and no handler has this name.
            ConfigurationError: the duration is not valid.
        """
        with self._database.order() as connection:
            who = self._author.person
            done, changed = pausing.pause(connection, name, duration, who, is_handler=is_handler)
            if changed:
                lasts = pausing.lasting(duration)
                self._author.enter(connection, "pause", name, changed, detail=lasts)
        return done

    def resume(self, name: str, *, is_handler: bool = False) -> Resumed | HandlersResumed:
        """Resume a job, or handlers, from now; slots missed meanwhile are not made up for.

        Args:
            name: as for `pause`.
            is_handler: as for `pause`.

        Raises:
            NothingSelectedError: no job and no handler has this name.
        """
        with self._database.order() as connection:
            done, changed = pausing.resume(connection, name, is_handler=is_handler)
            if changed:
                self._author.enter(connection, "resume", name, changed)
        return done

    def silence(self, name: str, duration: Age, reason: str | None = None) -> Silenced:
        """Silence alerts about jobs, handlers and hosts for a while; trouble that still lasts at the end is reported.

        Args:
            name: as alerts have it: a job's, a host's, `TABLE` or `TABLE:STATUS`; with `*` and `?` for several.
            duration: for how long, by the database's clock; a number is seconds, and 0 ends the silence of this name.
            reason: why; shown with the silence.

        Raises:
            NothingSelectedError: nothing is known by the name; or it was not silenced.
            ConfigurationError: the duration is not valid.
        """
        with self._database.order() as connection:
            done = alerting.silence(connection, name, duration, reason, self._author.person)
            detail = alerting.detail(done, duration, reason)
            self._author.enter(connection, "silence", name, len(done.subjects), detail=detail)
        return done

    @staticmethod
    def try_target(name: str, settings: Mapping[str, Any]) -> None:
        """Send a message to a target of alerts, now; no database is asked.

        Args:
            name: of the target.
            settings: the section `alerts` of the settings: `{"targets": {"oncall": {"url": "env:ONCALL_URL"}}}`.

        Raises:
            UnreachedError: it did not arrive; a `PollerError` whose `exit_status` is 1.
            ConfigurationError: the settings have no such target, or its address is not there or not valid.
        """
        trial.try_target(alert_settings.parse(settings), name)

    def cancel(self, run: int) -> Cancelled:
        """Cancel a waiting run; ask a running one to stop.

        Raises:
            NothingSelectedError: it has ended, or there is no run with this number.
        """
        with self._database.order() as connection:
            done = jobs.cancel(connection, run)
            self._author.enter(connection, "cancel", run, 1)
        return done

    def add_job(  # noqa: PLR0913 - what a schedule is made of
        self,
        name: str,
        job: str,
        *,
        when: When | str | None = None,
        at: datetime | None = None,
        args: Mapping[str, Any] | None = None,
        tz: str = "UTC",
    ) -> Scheduled:
        """Create a schedule of a declared job, or edit the one of that name.

        Args:
            name: the schedule's name.
            job: the name of the job whose function runs.
            when: as `poller.schedule` takes it: `cron(…)`, say, or `"@every 5m"`.
            at: in the place of `when`: run once, at this time.
            args: what the function is called with, as JSON has it.
            tz: the IANA zone of a `when` that is a text.

        Raises:
            ConfigurationError: it cannot work as given, or the name is a declared job's.
        """
        known = (known_here.defined(self._handlers) or {}).get(job, job)
        with self._database.order() as connection:
            runtime_schedules.schedule(connection, known, when=when, at=at, args=args, name=name, tz=tz)
            row = JobQueries(connection).job(name)
            self._author.enter(connection, "add_job", name, 1)
        return Scheduled(name, job, jobs.words(row.schedule, row.tz) if row is not None else "")

    def remove_job(self, name: str) -> Removed:
        """Remove a schedule made at run time, or a job that no program declares any more.

        Its runs that wait are cancelled, those in progress finish.

        Raises:
            NothingSelectedError: there is no such job, nor a waiting run of it.
            ConfigurationError: a program declares it.
        """
        here = known_here.defined(self._handlers)
        with self._database.order() as connection:
            done = jobs.remove(connection, name, here)
            self._author.enter(connection, "remove_job", name, 1)
        return done

    # --- orders for tables ------------------------------------------------------------------------

    def purge(
        self,
        table: str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        **options: Unpack[PurgeOptions],
    ) -> Purged:
        """Delete the old rows of a table, once, while others use it.

        What is not given is that of the purge of this table which the handlers package declares.

        Args:
            table: with or without its schema.
            progress: called after each batch with how many rows are done, and an estimate of all.
            stop: an event; once it is set, the purge ends after the current batch.
            **options: see `PurgeOptions`; one that is None is not given.

        Raises:
            ConfigurationError: this makes no purge, it does not fit the table, or the connection is in a transaction.
        """
        rule = purge.rule_of(table, options, self._handlers)
        with self._database.session(migrated=False, alone=True) as connection:
            done = purge.purge(connection, rule, progress, stop)
            if actions.may_enter(connection):
                self._author.enter(connection, "purge", done.table, done.rows)
        return done

    def count_purge(self, table: str, **options: Unpack[PurgeOptions]) -> Counted:
        """Return what `purge` would do now, and change nothing.

        Args:
            table: with or without its schema.
            **options: as for `purge`.

        Raises:
            ConfigurationError: this makes no purge, it does not fit the table, or the connection is in a transaction.
        """
        rule = purge.rule_of(table, options, self._handlers)
        with self._database.session(migrated=False, alone=True) as connection:
            return purge.count(connection, rule)

    def add_triggers(self) -> tuple[str, ...]:
        """Add a trigger to each handler's table that wakes the workers; return the tables.

        Raises:
            ConfigurationError: no handlers were given, or one does not fit its table.
            DatabaseError: the role does not own a table.
        """
        known = known_here.required(self._handlers).handlers
        with self._database.order(migrated=False) as connection:
            tables = tuple(triggers.add_triggers(connection, known))
            for table in tables if actions.may_enter(connection) else ():
                self._author.enter(connection, "add_triggers", table, 1)
        return tables


def _all(
    connection: psycopg.Connection[Any], found: Sequence[Any], faults: tuple[str, ...] = ()
) -> Page[Any]:
    return Page(tuple(found), None, RowQueries(connection).now(), faults=faults)


def _target(selector: str, error: str | None) -> str:
    """Return the target of an order, as it is logged."""
    return selector if error is None else f"{selector} with {error}"
