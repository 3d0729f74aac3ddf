"""Finds what a word means: a row by its key, in any table that has handlers; a run, a job, or a handler by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from poller.client import handler_lookup
from poller.client.counts import along_indexes
from poller.client.job_queries import JobQueries
from poller.client.key_forms import is_whole
from poller.client.selector import is_spelled, same_key
from poller.db.statements import statement
from poller.model.table_name import split_off_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poller.client.handler_lookup import Declared
    from poller.db.statements import Statement
    from poller.db.tables import Table
    from poller.model.handler import Handler
    from poller.store.binding import Binding

RUN_DIGITS = 18  # that a run's number has at the most


@dataclass(frozen=True, slots=True)
class Found:
    """What a word may mean.

    Attributes:
        kind: what it is.
        table: of a row or a handler.
        status: the one that the row shows, or that the handler takes.
        key: the row's.
        job: its name, or that of the run's.
        run: its number.
    """

    kind: Literal["row", "handler", "job", "run"]
    table: str | None = None
    status: str | None = None
    key: str | None = None
    job: str | None = None
    run: int | None = None


def find(connection: psycopg.Connection[Any], word: str, handlers: Iterable[Handler]) -> list[Found]:
    """Return all that a word may mean: names first, then rows. Each table with handlers costs one look by its key.

    Args:
        connection: in autocommit mode.
        word: a key, a run's number, a job's name, a table, `TABLE:STATUS`, or `TABLE:KEY`.
        handlers: the client's; those that the database knows are looked at, too.
    """
    if "\0" in word:  # Postgres has no such text
        return []
    declared = handler_lookup.declared(connection, handlers)
    return [*_handlers(word, declared), *_jobs(connection, word), *_rows(connection, word, declared)]


def _handlers(word: str, declared: Sequence[Declared]) -> Iterator[Found]:
    name, rest = split_off_table(word)
    for each in declared:
        status = each.handler.status
        if is_spelled(each.table, name) and rest in ("", status):
            yield Found("handler", each.table, status)


def _jobs(connection: psycopg.Connection[Any], word: str) -> Iterator[Found]:
    timetable = JobQueries(connection)
    if timetable.job(word) is not None:
        yield Found("job", job=word)
    if word.isascii() and word.isdigit() and len(word) <= RUN_DIGITS:
        run = timetable.run(int(word))
        if run is not None:
            yield Found("run", job=run.job, run=int(word))


def _rows(connection: psycopg.Connection[Any], word: str, declared: Sequence[Declared]) -> Iterator[Found]:
    name, rest = split_off_table(word)
    machines = {(each.table, each.handler.column): each.binding for each in declared}
    for (table, _), binding in machines.items():
        keys = [word, rest] if rest and is_spelled(table, name) else [word]
        row = next(filter(None, (_row(connection, binding, key) for key in keys)), None) if binding else None
        if row is not None:
            yield Found("row", table, row[1], row[0])


def _row(connection: psycopg.Connection[Any], binding: Binding, key: str) -> tuple[str, str | None] | None:
    """Return the key and the status of the row with a key; None if there is none, or the key cannot be one."""
    if not is_whole(binding.table, key):
        return None
    for form in same_key(key):
        try:
            with connection.transaction():
                row = connection.execute(binding.explain_row_bare, {"key": form}).fetchone()
        except (psycopg.DataError, psycopg.ProgrammingError):
            continue
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            return None  # one table that is locked leaves the others to be looked at
        if row is not None:
            return row[0], row[1]
    return None


def nearest(
    connection: psycopg.Connection[Any], word: str, handlers: Iterable[Handler], most: int
) -> Iterator[Found]:
    """Yield the rows whose keys are next to a word in the order of the key, in each table whose key it could be.

    Args:
        connection: in autocommit mode.
        word: a key, as text.
        handlers: the client's; those that the database knows are looked at, too.
        most: how many before, and as many after it.
    """
    bindings = [each.binding for each in handler_lookup.declared(connection, handlers) if each.binding]
    for table in {binding.table.oid: binding.table for binding in bindings}.values():
        if not is_whole(table, word):
            continue
        try:
            with along_indexes(connection):
                rows = connection.execute(_nearest(table), {"key": word, "limit": most}).fetchall()
        except (
            psycopg.DataError,
            psycopg.ProgrammingError,
        ):  # it cannot be a key, or this role may not read it
            continue
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            continue
        yield from (Found("row", str(table), key=row[0]) for row in rows)


def _nearest(table: Table) -> Statement:
    columns = [sql.Identifier("t", each) for each in table.key]
    return statement(
        "nearest_keys",
        key=table.key_text(),
        table=table.identifier,
        users=table.users,
        before=table.is_after("%(key)s", before=True),
        after=table.is_after("%(key)s"),
        ascending=sql.SQL(", ").join(columns),
        descending=sql.SQL(", ").join(each + sql.SQL(" desc") for each in columns),
    )
