"""Finds what a word means: a row by its key, in any table that has handlers; a run, a job, or a handler by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from poller.client.answers import rare
from poller.client.counts import along_indexes
from poller.client.each_table import reason
from poller.client.job_queries import JobQueries
from poller.client.key_forms import may_be_key
from poller.client.known_tables import known_tables
from poller.client.listed import row_by_key
from poller.client.one_round import OneRound, Question
from poller.client.selector import is_spelled, same_key
from poller.db.statements import statement
from poller.model.table_name import split_off_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poller.client.known_tables import KnownTable
    from poller.db.statements import Statement
    from poller.db.tables import Table
    from poller.model.handler import Handler

RUN_DIGITS = 18  # that a run's number has at the most
_GONE = "it is gone, or may not be looked at"
_NO_KEY = (psycopg.DataError, psycopg.ProgrammingError)  # the word is none of the table's, unless it is:
_OF_TABLE = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)
_NOT_NOW = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)


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
        column: the status column in which the row shows its status, where the table has several.
    """

    kind: Literal["row", "handler", "job", "run"]
    table: str | None = None
    status: str | None = None
    key: str | None = None
    job: str | None = None
    run: int | None = None
    column: str | None = rare()


class Search(NamedTuple):
    """What was found, and why tables are left out, a line each: what is not found may be there."""

    found: Sequence[Found]
    faults: tuple[str, ...] = ()


def find(connection: psycopg.Connection[Any], word: str, handlers: Iterable[Handler]) -> Search:
    """Return all that a word may mean: names first, then rows. Each table with handlers costs one look by its key.

    Args:
        connection: in autocommit mode, or in the caller's transaction.
        word: a key, a run's number, a job's name, a table, `TABLE:STATUS`, or `TABLE:KEY`.
        handlers: the client's; those that the database knows are looked at, too.
    """
    if "\0" in word:  # Postgres has no such text
        return Search(())
    known = known_tables(connection, handlers)
    faults = _Faults.of_missing(known)
    found = [*_handlers(word, known), *_jobs(connection, word), *_rows(connection, word, known, faults)]
    return Search(found, faults.lines)


@dataclass(frozen=True, slots=True)
class _Faults:
    """Why tables could not be searched, each once."""

    told: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_missing(cls, known: Iterable[KnownTable]) -> _Faults:
        """Return those of the tables that are not there, or not to be looked at."""
        return cls({each.name: _GONE for each in known if each.described is None})

    def note(self, table: Table, error: psycopg.Error) -> None:
        """Note that a table could not be searched; that a word is no key of it is no fault."""
        if isinstance(error, _NO_KEY) and not isinstance(error, _OF_TABLE):
            return
        is_late = isinstance(error, psycopg.errors.QueryCanceled)
        self.told.setdefault(str(table), "the search took too long" if is_late else reason(error))

    @property
    def lines(self) -> tuple[str, ...]:
        """A line each."""
        return tuple(f"{table} is left out: {why}" for table, why in self.told.items())


def _handlers(word: str, known: Sequence[KnownTable]) -> Iterator[Found]:
    name, rest = split_off_table(word)
    for each in known:
        if is_spelled(each.name, name) and rest in (None, "", each.status):
            yield Found("handler", each.name, each.status)


def _jobs(connection: psycopg.Connection[Any], word: str) -> Iterator[Found]:
    timetable = JobQueries(connection)
    if timetable.job(word) is not None:
        yield Found("job", job=word)
    if word.isascii() and word.isdigit() and len(word) <= RUN_DIGITS:
        run = timetable.run(int(word))
        if run is not None:
            yield Found("run", job=run.job, run=int(word))


def _rows(
    connection: psycopg.Connection[Any], word: str, known: Sequence[KnownTable], faults: _Faults
) -> Iterator[Found]:
    """Yield the rows with a key, in all tables where it can be one: asked for in one round trip."""
    machines: dict[str, _Keyed] = {}
    for each in known:
        table = each.described
        if table is not None and each.column in table.columns and table.columns[each.column].readable:
            machines.setdefault(each.name, _Keyed(table)).columns[each.column] = None
    asked = [(each, each.questions(word)) for each in machines.values()]
    answers = OneRound(connection, [question for _, questions in asked for question in questions])
    for keyed, questions in asked:
        yield from keyed.found(answers, questions, faults)


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A table in which a row is looked for by its key, and its status columns in their order."""

    table: Table
    columns: dict[str, None] = field(default_factory=dict)

    def questions(self, word: str) -> list[Question]:
        """Return the questions for the row whose key a word is, or is behind the table's name."""
        name, rest = split_off_table(word)
        keys = [word, rest] if rest and is_spelled(str(self.table), name) else [word]
        forms = [form for key in keys if may_be_key(self.table, key) for form in same_key(key)]
        query = row_by_key(self.table, self.columns)
        return [Question(query, {"key": form}) for form in forms]

    def found(self, answers: OneRound, questions: Sequence[Question], faults: _Faults) -> Iterator[Found]:
        """Yield what the first row that there is shows in each column; nothing, if the table is locked."""
        for each in questions:
            try:
                rows = answers.rows(each)
            except _NO_KEY as error:
                faults.note(self.table, error)
                continue
            except _NOT_NOW as error:
                faults.note(self.table, error)
                return  # one table that is locked leaves the others to be looked at
            for key, statuses, _ in rows:
                for name, status in zip(self.columns, statuses, strict=True):
                    column = name if len(self.columns) > 1 else None
                    yield Found("row", str(self.table), status, key, column=column)
                return


def nearest(connection: psycopg.Connection[Any], word: str, handlers: Iterable[Handler], most: int) -> Search:
    """Return the rows whose keys are next to a word in the order of the key, in each table whose key it could be.

    Args:
        connection: in autocommit mode.
        word: a key, as text.
        handlers: the client's; those that the database knows are looked at, too.
        most: how many before, and as many after it.
    """
    known = known_tables(connection, handlers)
    faults, found = _Faults.of_missing(known), list[Found]()
    for table in {each.described.oid: each.described for each in known if each.described}.values():
        if not may_be_key(table, word):
            continue
        try:
            with along_indexes(connection):
                rows = connection.execute(_nearest(table), {"key": word, "limit": most}).fetchall()
        except (*_NO_KEY, *_NOT_NOW) as error:
            faults.note(table, error)
            continue
        found += [Found("row", str(table), key=row[0]) for row in rows]
    return Search(found, faults.lines)


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
