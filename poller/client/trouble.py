"""Rows in trouble, the newest first, and their groups by cause: the handler, the error's class, and its place.

The model. What is in trouble stands in `poller.attempt`: parked, or waiting for another attempt after one that failed. A
row that went to its handler's `on_failure` has left that table; it is found among the events, and shown for as long as
the user's row shows that status. Each statement reads along an index and stops at its limit, so that it costs the same
however much trouble there is; what takes more is asked again, from where the last one has ended.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from poller.client.answers import aside
from poller.client.counts import along_indexes
from poller.db import tables
from poller.db.statements import array, statement
from poller.errors import ConfigurationError
from poller.model.table_name import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from poller.client.row_queries import Known
    from poller.client.selector import Selection
    from poller.db.statements import Statement

PAGE_ROWS = 5000  # rows that one statement lists
GROUPED_ROWS = 10_000  # rows that one statement groups
AT_ONCE = 20  # handlers or jobs whose rows one statement groups
FAILED_ROWS = (
    10_000  # rows of a handler that went to its `on_failure`, and failed runs of a job, that are grouped
)
RUNS = "poller.run"
_STATES = ("waiting", "parked", "failed")
_NEWEST = ("infinity", "", 2**31 - 1)
_NOTHING = sql.SQL("null::text")
# The errors of a table that cannot be asked: it is gone, changed, forbidden, or locked by another session.
_UNTOLD = (
    ConfigurationError,
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.errors.LockNotAvailable,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A row in trouble; `next_at` is None for one that has no further attempt.

    Attributes:
        parked: its status was left alone, and it is not taken again until it is put back.
        to: the status that it went to, since it had no attempts left (`on_failure`).
        kind: the class of the error.
        place: the last frame in the user's own code: `file.py:12`.
        at: when it got into this state.
        traceback: of the error, if it was asked for.
    """

    table: str
    status: str
    key: str
    attempt: int
    error: str | None
    parked: bool
    next_at: datetime | None
    to: str | None = aside()
    kind: str | None = aside()
    place: str | None = aside()
    at: datetime | None = aside()  # noqa: RUF009 - a field without a default
    traceback: str | None = aside()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one handler that are in trouble for one cause; or failed runs of a job.

    Attributes:
        error: the class of the error; the text itself, if that has none.
        place: the last frame in the user's own code; empty if there is none.
        rows: how many; those that neither wait nor are parked went to the handler's `on_failure`.
        first_at: when the first attempt at one of them began.
        last_at: when the last of them failed.
        example_key: the last one's key; or the number of the run.
        example: its error.
    """

    table: str
    status: str
    error: str
    place: str
    rows: int
    waiting: int
    parked: int
    first_at: datetime
    last_at: datetime
    example_key: str
    example: str

    def joined(self, other: Group) -> Group:
        """Return this group with the rows of another part of it."""
        newest = max(self, other, key=lambda each: each.last_at)
        return replace(
            newest,
            rows=self.rows + other.rows,
            waiting=self.waiting + other.waiting,
            parked=self.parked + other.parked,
            first_at=min(self.first_at, other.first_at),
        )


class Troubles:
    """The questions, on a connection in autocommit mode.

    Args:
        connection: where to ask.
        known: the handlers that the database knows.
        looks_along: the session itself looks along indexes (`watch_settings.sql`).
    """

    def __init__(
        self, connection: psycopg.Connection[Any], known: Sequence[Known], *, looks_along: bool = False
    ) -> None:
        self._connection = connection
        self._looks_along = looks_along
        self._known = {each.id: each for each in known}

    # --- the listing ------------------------------------------------------------------------------

    def failures(
        self,
        chosen: Selection,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        *,
        traceback: bool = False,
    ) -> tuple[list[Failure], list[Any] | None]:
        """Return the rows in trouble, the newest first, and where the next page begins, if there is one.

        Args:
            chosen: which rows.
            after: the place behind which they begin; None for the first.
            limit: how many at the most.
            traceback: with the tracebacks of their errors.
        """
        branches = [] if chosen.keys else self._troubled(chosen.handlers)
        return self._listed(chosen, branches, after, limit, traceback=traceback)

    def _listed(
        self,
        chosen: Selection,
        branches: Sequence[tuple[int, str]],
        after: Sequence[Any] | None,
        limit: int | None,
        *,
        traceback: bool = False,
    ) -> tuple[list[Failure], list[Any] | None]:
        found: list[Failure] = []
        place: Sequence[Any] | None = after
        while chosen.keys or branches:
            wanted = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(found))
            at, digest, rank = place or ((None, None, 0) if chosen.keys else _NEWEST)
            asked = {"at": at, "digest": digest, "rank": rank, "limit": wanted + 1}
            asked |= {"handlers": array(chosen.handlers), "keys": array(chosen.keys or ())}
            question = _listing_with(traceback) if chosen.keys else _listing(branches, rank, traceback)
            with self._along():
                rows = self._connection.execute(question, asked).fetchall()
            found += self._standing(rows[:wanted])
            if len(rows) <= wanted:
                break
            place = [str(rows[wanted - 1][6]), *rows[wanted - 1][7:9]]
            if len(found) == limit:
                return found, list(place)
        return found, None

    def _troubled(self, handlers: Iterable[int]) -> list[tuple[int, str]]:
        """Return the handlers that have rows in trouble, with the states of those."""
        with self._along():
            return self._connection.execute(
                statement("handlers_in_trouble"), {"handlers": array(handlers)}
            ).fetchall()

    def _along(self) -> AbstractContextManager[None]:
        return nullcontext() if self._looks_along else along_indexes(self._connection)

    def _standing(self, rows: Sequence[Any]) -> list[Failure]:
        """Return the rows that are in trouble still: those that went to an `on_failure` may have moved on."""
        failed: dict[int, list[Any]] = {}
        for row in rows:
            if row[4] == "failed":
                failed.setdefault(row[0], []).append(row)
        moved_on = {
            (number, row[1], row[6])
            for number, those in failed.items()
            for row in self._moved_on(number, those)
        }
        return [
            self._line(row) for row in rows if row[4] != "failed" or (row[0], row[1], row[6]) not in moved_on
        ]

    def _moved_on(self, number: int, rows: Sequence[Any]) -> list[Any]:
        """Return those of one handler's rows that show another status now, or have failed again since."""
        keys = array({row[1] for row in rows})
        asked = {"handler": number, "keys": keys}
        with self._along():
            last = dict(self._connection.execute(statement("last_failed"), asked).fetchall())
        shown = self._statuses(self._known[number], keys)
        return [
            row
            for row in rows
            if row[6] != last.get(row[1], row[6]) or (shown is not None and shown.get(row[1]) != row[9])
        ]

    def _statuses(self, known: Known, keys: str) -> dict[str, str] | None:
        """Return the statuses that rows show, by their keys; None where the table cannot be asked."""
        try:
            with self._connection.transaction():
                table = tables.describe(self._connection, table_name(known.table), look=True)
                question = statement(
                    "statuses_of",
                    table=table.identifier,
                    users=table.users,
                    status=sql.Identifier(known.column),
                    is_own=table.is_key("o.poller_key"),
                )
                return dict(self._connection.execute(question, {"keys": keys}).fetchall())
        except _UNTOLD:
            return None

    def _line(self, row: Sequence[Any]) -> Failure:
        number, key, attempt, error, state, next_at, at, _, _, to, kind, place, traceback = row
        known = self._known[number]
        return Failure(
            table=known.table,
            status=known.status,
            key=key,
            attempt=attempt,
            error=error,
            parked=state == "parked",
            next_at=next_at,
            to=to,
            kind=kind,
            place=place,
            at=at,
            traceback=traceback,
        )

    # --- the groups -------------------------------------------------------------------------------

    def groups(self, chosen: Selection) -> tuple[list[Group], bool]:
        """Return the causes of the trouble, the newest first, and whether all of it is counted."""
        found: dict[tuple[str, ...], Group] = {}
        if chosen.keys:
            parts: list[Iterable[Group]] = [map(_alone, self.failures(chosen)[0])]
            is_all = True
        else:
            parts, is_all = self._of_handlers(chosen)
        for group in (each for part in parts for each in part):
            cause = (group.table, group.status, group.error, group.place)
            found[cause] = found[cause].joined(group) if cause in found else group
        return sorted(found.values(), key=lambda each: each.last_at, reverse=True), is_all

    def _of_handlers(self, chosen: Selection) -> tuple[list[Iterable[Group]], bool]:
        """Return the groups of some handlers and jobs, in parts, and whether all is counted."""
        troubled, is_all = self._troubled(chosen.handlers), True
        parts: list[Iterable[Group]] = [self._grouped(each for each in troubled if each[1] != "failed")]
        for number in {number for number, state in troubled if state == "failed"}:
            lines, more = self._listed(chosen, [(number, "failed")], None, FAILED_ROWS)
            parts.append(map(_alone, lines))
            is_all &= more is None
        known = (self._known[each] for each in chosen.handlers)
        runs = list(self._failed_runs(each.status for each in known if each.table == RUNS))
        rows: Counter[str] = Counter()
        for each in runs:
            rows[each.status] += each.rows
        return [*parts, runs], is_all and max(rows.values(), default=0) < FAILED_ROWS

    def _grouped(self, troubled: Iterable[tuple[int, str]]) -> Iterator[Group]:
        """Return the groups of handlers' rows in one state each."""
        begin = [(*each, "-infinity", "") for each in troubled]
        for (number, state, *_), (kind, at, count, *rest) in self._parts(_TROUBLE, begin):
            known, waiting = self._known[number], count if state == "waiting" else 0
            yield Group(known.table, known.status, kind, at, count, waiting, count - waiting, *rest)

    def _failed_runs(self, jobs: Iterable[str]) -> Iterator[Group]:
        """Return the groups of the newest failed runs of some jobs."""
        begin = [(each, "infinity", 0, FAILED_ROWS) for each in jobs]
        for (job, *_), (kind, at, count, *rest) in self._parts(_FAILED_RUNS, begin):
            yield Group(RUNS, job, kind, at, count, 0, 0, *rest)

    def _parts(self, grouping: _Grouping, begin: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        """Yield groups with what was asked for them, part by part of so many rows."""
        for first in range(0, len(begin), AT_ONCE):
            asked, looked = begin[first : first + AT_ONCE], GROUPED_ROWS
            while looked == GROUPED_ROWS:
                columns = map(array, zip(*asked, strict=True))
                named = dict(zip(grouping.names, columns, strict=True))
                with self._along():
                    question = statement(grouping.statement), named | {"most": GROUPED_ROWS}
                    rows = self._connection.execute(*question).fetchall()
                yield from ((asked[row[0]], row[4:]) for row in rows if row[4] is not None)
                ends = {row[0]: row[1:4] for row in rows}
                looked = sum(each[0] for each in ends.values())
                asked = [
                    grouping.behind(each, ends[at]) if at in ends else each for at, each in enumerate(asked)
                ]


@dataclass(frozen=True, slots=True)
class _Grouping:
    """A statement that groups rows of several handlers, part by part.

    Attributes:
        statement: its name.
        names: of its parameters, each of which has a value for each handler.
        behind: what is asked for next of a handler, by what was asked for, and by how many rows were found and the last.
    """

    statement: str
    names: tuple[str, ...]
    behind: Callable[[tuple[Any, ...], Sequence[Any]], tuple[Any, ...]]


_TROUBLE = _Grouping(
    "group_trouble",
    ("handlers", "states", "changed_at", "digests"),
    lambda asked, end: (*asked[:2], *end[1:]),
)
_FAILED_RUNS = _Grouping(
    "group_failed_runs",
    ("jobs", "finished_at", "ids", "most_of"),
    lambda asked, end: (asked[0], *end[1:], asked[3] - end[0]),
)


def _alone(line: Failure) -> Group:
    """Return the group of one row."""
    assert line.at is not None  # noqa: S101 - it was listed
    waits = not line.parked and line.to is None
    return Group(
        table=line.table,
        status=line.status,
        error=line.kind or line.error or "",
        place=line.place or "",
        rows=1,
        waiting=int(waits),
        parked=int(line.parked),
        first_at=line.at,
        last_at=line.at,
        example_key=line.key,
        example=line.error or "",
    )


def _listing(branches: Sequence[tuple[int, str]], after: int, traceback: bool) -> Statement:  # noqa: FBT001 - a part of it
    """Return the listing of some handlers' rows, behind a place in the branch of this rank."""
    return statement(
        "failures",
        branches=sql.SQL(" union all ").join(_branch(*each, after, traceback) for each in branches),
    )


def _branch(number: int, state: str, after: int, traceback: bool) -> Statement:  # noqa: FBT001 - as above
    rank = number * len(_STATES) + _STATES.index(state)
    failed = state == "failed"
    column = sql.SQL("e.traceback" if failed else "a.traceback")
    parts: dict[str, sql.Composable] = {
        "handler": sql.Literal(number),
        "rank": sql.Literal(rank),
        "before": sql.SQL("<=" if rank > after else "<"),
        "traceback": column if traceback else _NOTHING,
    }
    return (
        statement("failed_of", **parts)
        if failed
        else statement("trouble_of", state=sql.Literal(state), **parts)
    )


def _listing_with(traceback: bool) -> Statement:  # noqa: FBT001 - as above
    """Return the listing of rows with some keys."""
    return statement(
        "failures_with",
        traceback_of_attempt=sql.SQL("a.traceback") if traceback else _NOTHING,
        traceback_of_event=sql.SQL("e.traceback") if traceback else _NOTHING,
    )
