"""Runs one purge now, by the given rule or the one that the handlers declare."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from poller.client import known_handlers as known_here
from poller.client.answers import aside
from poller.client.refusals import RefusedError
from poller.duration import seconds
from poller.model.options import refuse_unknown
from poller.model.table_name import table_name
from poller.ready_made import old_rows, partitions, ranges
from poller.ready_made.retention import Retention
from poller.ready_made.retention_report import StoppedError
from poller.ready_made.retention_rule import RetentionRule, check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    import psycopg

    from poller.client.known_handlers import Source
    from poller.model.table_name import TableName
    from poller.ready_made.retention_report import RetentionReport

    Age = str | float | timedelta
    Progress = Callable[[float, float | None], None]

DEFAULTS = {"where": None, "batch": 1000, "pause": 0.05}


class PurgeOptions(TypedDict, total=False):
    """The options of one purge.

    Attributes:
        column: the timestamp or date that tells a row's age.
        older_than: how old a row must be: `"180d"`, seconds, or a `timedelta`.
        where: a further condition, as SQL.
        batch: how many rows one transaction deletes at the most; 1000 by default.
        pause: how long to wait between two of them; 50 ms by default.
    """

    column: str | None
    older_than: Age | None
    where: str | None
    batch: int | None
    pause: Age | None


@dataclass(frozen=True, slots=True)
class Counted:
    """The forecast of a purge.

    Attributes:
        table: the table, with its schema.
        rows: how many it would delete.
        partitions: those that it would drop, with all their rows.
        kept: how many it would leave because a foreign key needs them, by its name.
    """

    table: str
    rows: int
    partitions: list[str]
    kept: dict[str, int]


@dataclass(frozen=True, slots=True)
class Purged:
    """The result of a purge.

    Attributes:
        table: the table, with its schema.
        rows: how many were deleted.
        locked: how many were left because another session had them, or dependent rows, locked.
        held: how many were left because handlers hold them.
        kept: how many were left because a foreign key needs them, by its name.
        refused: how many were left because a trigger or a constraint refused them, by its message.
        untried: how many were left beside others that were refused, after too many of those.
        partitions: the partitions that were dropped.
        notes: further remarks, a line each.
        stopped: it was told to stop, and the next purge does the rest.
        line: all of it in one line.
    """

    table: str
    rows: int
    locked: int
    held: int
    kept: dict[str, int]
    refused: dict[str, int]
    untried: int
    partitions: list[str]
    notes: list[str]
    stopped: bool = aside()
    line: str = aside()


def rule_of(table: str, options: PurgeOptions, source: Source) -> RetentionRule:
    """Return the rule that the options make, alone or on top of a declared purge's.

    Args:
        table: with or without its schema.
        options: what is not given, or None, is that of a declared purge, or the default.
        source: the handlers and jobs, among which a purge may be declared.

    Raises:
        ConfigurationError: they do not make a rule.
    """
    named, given = table_name(table), _given(options)
    if {"column", "older_than"} <= given.keys():
        rule = RetentionRule(table=named, move=None, **{**DEFAULTS, **given})
    else:
        rule = replace(_declared(named, given.get("column"), source), **given)
    check_options(rule)
    return rule


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are given, durations in seconds."""
    refuse_unknown(options, PurgeOptions)
    found = {name: value for name, value in options.items() if value is not None}
    for name in ("older_than", "pause"):
        if name in found and not isinstance(found[name], int | float):
            found[name] = seconds(found[name])
    return found


def count(connection: psycopg.Connection[Any], rule: RetentionRule) -> Counted:
    """Count what a purge would do, and change nothing."""
    made = old_rows.bind(connection, rule)
    rows, kept = ranges.count(connection, made)
    return Counted(str(made.table), rows - sum(kept.values()), partitions.droppable(connection, made), kept)


def purge(
    connection: psycopg.Connection[Any],
    rule: RetentionRule,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Purged:
    """Delete what is old, a batch at a time.

    Args:
        connection: in autocommit mode, and in no transaction.
        rule: which rows.
        progress: called after each batch with how many rows are done, and an estimate of all.
        stop: the purge ends after the current batch once this is set.
    """
    try:
        done, stopped = Retention(rule)(_Run(connection, progress, stop)), False
    except StoppedError as error:
        done, stopped = error.done, True
    return _purged(done, stopped=stopped)


def _purged(done: RetentionReport, *, stopped: bool) -> Purged:
    return Purged(
        table=done.table,
        rows=done.rows,
        locked=done.locked,
        held=done.held,
        kept=done.kept,
        refused=done.refused,
        untried=done.untried,
        partitions=done.partitions,
        notes=done.notes,
        stopped=stopped,
        line=done.line(),
    )


def _declared(table: TableName, column: str | None, source: Source) -> RetentionRule:
    """Return the rule of the one purge of a table, and column if given, that is declared.

    Raises:
        ConfigurationError: there is no declared purge, or more than one.
    """
    jobs = [each for each in _purges(source) if _same(each.function.rule.table, table)]
    found = [each for each in jobs if column in (None, each.function.rule.column)]
    where = repr(source) if isinstance(source, str) else "the handlers"
    if not found:
        msg = f"no purge of {table} is declared in {where}"
        raise RefusedError(msg, "no_purge", table=str(table))
    if len(found) > 1:
        names = [(each.name, each.function.rule.column) for each in found]
        shown = ", ".join(f"{name!r} (by {column})" for name, column in names)
        msg = f"several purges of {table} are declared in {where}: {shown}"
        raise RefusedError(msg, "several_purges", table=str(table), where=where, purges=names)
    rule: RetentionRule = found[0].function.rule
    return rule


def _purges(source: Source) -> list[Any]:
    jobs = known_here.required(source).jobs
    return [each for each in jobs if isinstance(each.function, Retention) and each.function.rule.move is None]


def _same(declared: TableName, asked: TableName) -> bool:
    """Tell whether two names mean one table; without a schema it may be in any."""
    return declared.name == asked.name and (
        declared.schema == asked.schema or None in (declared.schema, asked.schema)
    )


class _Run:
    """Stands in for a job's run: gives the rule the call's connection, and passes its progress on."""

    def __init__(
        self, connection: psycopg.Connection[Any], progress: Progress | None, stop: threading.Event | None
    ) -> None:
        self.cancelled = _Cancelled(stop or threading.Event())
        self.logger = logging.getLogger("poller.purge")
        self.logger.addHandler(logging.NullHandler())
        self.logger.propagate = False  # the answer has it
        self._progress = progress
        self._connection = connection

    def tell(self, line: str) -> None:
        """Say nothing: the answer says what was done."""

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell the caller how far it has come."""
        if self._progress is not None:
            self._progress(done, total)

    def connect(self) -> contextlib.nullcontext[psycopg.Connection[Any]]:
        """Return the call's connection."""
        return contextlib.nullcontext(self._connection)


class _Cancelled:
    """The caller's event, in the form that a rule checks."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so many seconds at most; return whether it is."""
        return self._event.wait(timeout)
