"""Deletes or moves the old rows of a table, batch by batch, while other sessions use it.

A batch is one statement and one transaction. It never waits for a row: rows that others have locked are left to the next
run. `lock_timeout` bounds the waits of its triggers and cascades; a batch that took long makes the
next ones smaller. Between two batches it pauses, and ends there at once if the run is cancelled.

A batch that Postgres or a trigger refuses is undone as a whole, and tried again in halves until the rows that
are refused stand alone. That is expensive, so after `MOST_ALONE_ROWS` such rows a refused batch is left: the causes
are known by then. Any other error (the database goes away, the table is dropped) ends
the run; what is done stays done, and the next run does the rest. Since a batch that was lost is done again,
none waits for the disk.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import is_raised
from poller.db.search_path import own_names
from poller.db.statements import array, statement
from poller.errors import ConfigurationError
from poller.errors_in_words import message
from poller.ready_made import old_rows, partitions, ranges
from poller.ready_made.retention_report import MOST_ALONE_ROWS, RetentionReport, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.ready_made.old_rows import Stale
    from poller.ready_made.retention_report import RetentionRun
    from poller.ready_made.retention_rule import RetentionRule

LONG_BATCH_SECONDS = 0.5  # a batch that took longer makes the next ones smaller
LOCK_TIMEOUT = "500ms"
MOST_OFF = timedelta(days=1)  # seconds by which the database's clock may differ from this host's
# Lock timeouts, deadlocks, rows that were moved to another partition meanwhile.
_HELD = {"55P03", "40P01", "40001"}
# Errors of the statement, the role, the server or the connection: other rows would fail as well.
_FATAL = ("08", "0A", "25", "26", "28", "42", "53", "57", "58", "XX")


def _add(counts: dict[str, int], what: str, many: int) -> None:
    counts[what] = counts.get(what, 0) + many


class Purging:
    """One run of a rule.

    Args:
        connection: in autocommit mode, used by this run alone.
        rule: the rule.
        run: tells of progress, and when to stop.
    """

    def __init__(self, connection: psycopg.Connection[Any], rule: RetentionRule, run: RetentionRun) -> None:
        self._connection = connection
        self._rule = rule
        self._run = run
        self._size = rule.batch
        self._alone = 0
        self._total = 0
        self._done = RetentionReport(str(rule.table), "deleted" if rule.move is None else "moved")

    def all(self) -> RetentionReport:
        """Delete or move all rows that are old by now, and log the result.

        Raises:
            ConfigurationError: the rule does not fit its table; nothing was changed.
            StoppedError: the run was cancelled.
            psycopg.Error: the database went away, say.
        """
        with own_names(self._connection):
            return self._all()

    def _all(self) -> RetentionReport:
        _set_up(self._connection)
        _check_clock(self._connection)
        made = old_rows.bind(self._connection, self._rule)
        self._done.table = str(made.table)
        try:
            self._work(made)
        except StoppedError:
            self._run.tell(f"stopped; {self._done.line()}")
            raise
        self._run.tell(self._done.line())
        return self._done

    def _work(self, made: Stale) -> None:
        self._check_cancelled(0)
        partitions.drop_old(self._connection, made, self._done, self._check_cancelled)
        self._total = ranges.estimate(self._connection, made)
        self._tell()
        for keys in self._batches(made):
            if keys:
                began = monotonic()
                self._try(made, keys)
                self._resize(monotonic() - began)
                self._tell()
            self._check_cancelled(self._rule.pause if keys else 0)
        self._run.progress(self._done.seen, self._done.seen)

    def _batches(self, made: Stale) -> Iterator[list[str]]:
        """Yield the keys of rows that were old when they were listed; none for a stretch that had none."""
        for stretch in ranges.stretches(self._connection, made):
            with ranges.listed(self._connection, made, stretch) as cursor:
                while True:
                    keys = [row[0] for row in cursor.fetchmany(self._size)]
                    yield keys
                    if not keys:
                        break

    def _try(self, made: Stale, keys: Sequence[str]) -> None:
        """Delete or move some rows, without those that are refused."""
        try:
            row = self._connection.execute(made.batch, {"keys": array(keys)}, prepare=False).fetchone()
        except psycopg.Error as error:
            if _is_fatal(error):
                raise
            self._halve(made, keys, error)
        else:
            self._count(*(row or (0, 0, 0, 0, {})))

    def _halve(self, made: Stale, keys: Sequence[str], error: psycopg.Error) -> None:
        self._check_cancelled(0)
        if len(keys) == 1:
            self._alone += 1
            if error.sqlstate in _HELD:
                self._done.locked += 1
            else:
                self._refuse(error)
        elif self._alone >= MOST_ALONE_ROWS:
            self._done.untried += len(keys)
        else:
            middle = len(keys) // 2
            self._try(made, keys[:middle])
            self._try(made, keys[middle:])

    def _refuse(self, error: psycopg.Error) -> None:
        refusal = message(error) or type(error).__name__
        if error.sqlstate in ("23503", "23001") and error.diag.constraint_name:
            _add(self._done.kept, error.diag.constraint_name, 1)
        else:
            _add(self._done.refused, " ".join(refusal.split()), 1)

    def _count(self, free: int, locked: int, done: int, held: int, needed: dict[str, int]) -> None:
        self._done.rows += done
        self._done.held += held
        self._done.locked += free - locked
        for key, many in needed.items():
            _add(self._done.kept, key, many)
        if done + held < locked:
            _add(self._done.refused, "a trigger left them as they were", locked - done - held)

    def _resize(self, seconds: float) -> None:
        self._size = (
            max(1, self._size // 2) if seconds > LONG_BATCH_SECONDS else min(self._rule.batch, self._size * 2)
        )

    def _tell(self) -> None:
        self._run.progress(self._done.seen, max(self._total, self._done.seen))

    def _check_cancelled(self, pause: float) -> None:
        """Wait for so many seconds.

        Raises:
            StoppedError: the run is cancelled, or was meanwhile.
        """
        if self._run.cancelled.wait(pause):
            raise StoppedError(self._done)


def _is_fatal(error: psycopg.Error) -> bool:
    """Tell whether other rows would fail as well; a class that a trigger has chosen says nothing of that."""
    if error.sqlstate is None:
        return True
    return error.sqlstate not in _HELD and error.sqlstate.startswith(_FATAL) and not is_raised(error)


def _check_clock(connection: psycopg.Connection[Any]) -> None:
    """Refuse to delete by a clock that is a day off: if it runs ahead, young rows count as old.

    Raises:
        ConfigurationError: it differs by more than a day from this host's.
    """
    row = connection.execute(statement("server_clock")).fetchone()
    assert row is not None  # noqa: S101 - it has one always
    off = row[0] - datetime.now(UTC)
    if abs(off) > MOST_OFF:
        side = "ahead of" if off > timedelta(0) else "behind"
        msg = f"the database's clock is {abs(off).days}d {side} this host's; nothing is purged until one is corrected"
        raise ConfigurationError(msg)


def _set_up(connection: psycopg.Connection[Any]) -> None:
    # A cascade may take long; the batches after it are smaller.
    connection.execute(statement("session"), {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": "0"})
    connection.execute("set synchronous_commit = off")
