"""Drops whole partitions that lie before the cut-off, where a table is partitioned by ranges of the column.

A purge may end at any instant and leaves no row in an unknown table, since a partition
is emptied and marked (its comment) in one transaction, detached without blocking any session, and dropped.
A partition left by an earlier purge, detached or not, is marked and empty, and the next one drops it.
Beside a default partition, Postgres cannot detach without blocking: then it is dropped in one step, if the
table's lock can be had quickly.

Where that cannot be done the run says so, and purges row by row: where foreign keys may need them,
where a trigger fires for each deleted row, where row level security may hide some, where the role is not the
owner. A partition with rows that handlers hold is left to a later run. One that cannot be emptied, detached or
dropped, whoever refuses it, costs itself only: the run says why, and goes on with the others.
"""

from __future__ import annotations

import contextlib
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from poller.db.connection import is_raised
from poller.db.search_path import OWN, SET_USERS
from poller.db.statements import statement, trusted
from poller.errors_in_words import reason
from poller.model.table_name import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from poller.ready_made.old_rows import Stale
    from poller.ready_made.retention_report import RetentionReport

MARK = "emptied by a poller purge of {}, to be dropped"
BRIEFLY = (
    "1500ms"  # other sessions queue behind us meanwhile; autovacuum gives way after 1 s (deadlock_timeout)
)
PATIENTLY = "10s"  # no session waits meanwhile
PAUSE_SECONDS = 1.0  # between two tries
_HELD = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# Classes of SQLSTATE (Postgres docs, appendix A) that concern the run, not one partition: a server that was demoted, is
# full or shuts down, somebody who cancels.
_OF_RUN = ("25", "53", "57", "58")


class Step(Enum):
    """What became of a step."""

    TAKEN = auto()
    REFUSED = auto()  # by Postgres or a trigger: a dependent object, rows in hand
    HELD = auto()  # somebody has the lock


def old(connection: psycopg.Connection[Any], made: Stale) -> list[Any]:
    """Return the partitions that are wholly old, as `old_partitions.sql` has them, if age alone decides."""
    if made.rule.move is not None or made.rule.where is not None:
        return []
    column = made.table.columns[made.rule.column]
    question = statement("old_partitions", type=trusted(column.time or column.type), cut_off=made.bound)
    asked = {"table": made.table.oid, "column": made.rule.column, "mark": _mark(made)}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(question, asked).fetchall())


def objection(partition: Any) -> str | None:
    """Return why the rows of a partition must be purged one by one, or None."""
    if partition.hides_rows:
        return "row level security may hide rows of them, and what is not seen is not deleted"
    if partition.is_referred_to:
        return "foreign keys refer to them"
    if partition.delete_trigger is not None:
        return f"the trigger {partition.delete_trigger} wants to see each row deleted"
    if partition.is_foreign:
        return "only their owner may drop them"
    return None


def droppable(connection: psycopg.Connection[Any], made: Stale) -> list[str]:
    """Return the names of the partitions that a purge would drop as a whole."""
    return [_name(each) for each in old(connection, made) if objection(each) is None]


def drop_old(
    connection: psycopg.Connection[Any], made: Stale, done: RetentionReport, pause: Callable[[float], None]
) -> None:
    """Drop the partitions that are wholly old, and what earlier purges have left.

    Args:
        connection: in autocommit mode.
        made: the rule and its table.
        done: called with what was done.
        pause: waits for some seconds, and raises if the run is cancelled.
    """
    if made.rule.move is not None:
        return
    _drop_left(connection, made, done)
    for partition in old(connection, made):
        pause(0)
        why = objection(partition)
        if why is not None:
            _note(done, f"partitions that are wholly old are purged row by row, since {why}")
        elif partition.beside_default:
            if _tried(partial(_drop_attached, connection, made, partition), partition, done, pause):
                done.partitions.append(_name(partition))
        elif not _tried(partial(_empty, connection, made, partition), partition, done, pause):
            continue  # its rows go one by one
        elif not _detach_and_drop(connection, made, partition, done):
            return


def _detach_and_drop(
    connection: psycopg.Connection[Any], made: Stale, partition: Any, done: RetentionReport
) -> bool:
    """Detach a partition and drop it; return whether another may be detached after it."""
    step = _taken(partial(_detach, connection, made, partition), partition, done, tries=1)
    if step is Step.TAKEN:
        _drop_detached(connection, partition, done)
        return True
    # Only one partition may be on its way at a time; and whoever holds the table's lock holds it for all.
    return step is Step.REFUSED and not _is_one_on_its_way(connection, made)


def _is_one_on_its_way(connection: psycopg.Connection[Any], made: Stale) -> bool:
    found = connection.execute(statement("pending_partition"), {"table": made.table.oid}).fetchone()
    return found == (True,)


def _tried(
    step: Callable[[], None], partition: Any, done: RetentionReport, pause: Callable[[float], None]
) -> bool:
    """Take a step, retrying while locks are not available; return whether it was taken, and note why not."""
    return _taken(step, partition, done, pause=pause, tries=3) is Step.TAKEN


def _taken(
    step: Callable[[], None],
    partition: Any,
    done: RetentionReport,
    *,
    tries: int,
    pause: Callable[[float], None] = lambda _: None,
) -> Step:
    """Take a step, with so many tries if somebody has the lock; return what became of it, and note why not.

    Raises:
        psycopg.Error: it concerns the whole run.
    """
    for left in reversed(range(tries)):
        try:
            step()
        except _HELD:
            if left:
                pause(PAUSE_SECONDS)
        except psycopg.Error as error:
            if _is_of_run(error):
                raise
            _note(done, f"{_name(partition)} cannot be dropped: {reason(error)}")
            return Step.REFUSED
        else:
            return Step.TAKEN
    _note(done, f"{_name(partition)} is in use, and is dropped by a later run")
    return Step.HELD


def _is_of_run(error: psycopg.Error) -> bool:
    """Tell whether an error concerns the whole run: any other partition would fail as well."""
    if error.sqlstate is None or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
        return True  # the session is lost
    return error.sqlstate.startswith(_OF_RUN) and not is_raised(error)


def _drop_attached(connection: psycopg.Connection[Any], made: Stale, partition: Any) -> None:
    with _waiting(connection, BRIEFLY):
        _check_in_hand(connection, made, partition)
        connection.execute(SET_USERS)
        connection.execute(statement("drop_partition", partition=_identifier(partition)))


def _empty(connection: psycopg.Connection[Any], made: Stale, partition: Any) -> None:
    if partition.is_pending:
        return  # an earlier purge has done this
    name, mark = _identifier(partition), sql.Literal(_mark(made))
    with _waiting(connection, BRIEFLY):
        _check_in_hand(connection, made, partition)
        connection.execute(SET_USERS)  # of triggers on truncate, and of event triggers
        connection.execute(statement("empty_partition", partition=name))
        connection.execute(statement("mark_partition", partition=name, mark=mark))


def _check_in_hand(connection: psycopg.Connection[Any], made: Stale, partition: Any) -> None:
    """Lock a partition, and leave it if handlers hold rows of it.

    Raises:
        psycopg.errors.ObjectInUse: they do.
    """
    if not made.knows_handlers:
        return
    name = _identifier(partition)
    connection.execute(sql.SQL("lock table {} in access exclusive mode").format(name))
    if connection.execute(made.is_in_hand(name)).fetchone() == (True,):
        msg = "handlers hold some of its rows"
        raise psycopg.errors.ObjectInUse(msg)


def _detach(connection: psycopg.Connection[Any], made: Stale, partition: Any) -> None:
    how = sql.SQL("finalize" if partition.is_pending else "concurrently")
    names = {"table": made.table.identifier, "partition": _identifier(partition)}
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(PATIENTLY)))
    connection.execute("set search_path to default")  # of event triggers; not within a transaction
    try:
        connection.execute(statement("detach_partition", how=how, **names))
    finally:
        connection.execute(f"set search_path = {OWN}")
        connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(BRIEFLY)))


def _drop_left(connection: psycopg.Connection[Any], made: Stale, done: RetentionReport) -> None:
    """Drop emptied and detached partitions; no session sees them any more, so none waits for this."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        left = cursor.execute(statement("left_partitions"), {"mark": _mark(made)}).fetchall()
    for each in left:
        _drop_detached(connection, each, done)


def _drop_detached(connection: psycopg.Connection[Any], partition: Any, done: RetentionReport) -> None:
    step = _taken(partial(_drop_empty, connection, partition), partition, done, tries=1)
    if step is Step.TAKEN:
        done.partitions.append(_name(partition))


def _drop_empty(connection: psycopg.Connection[Any], partition: Any) -> None:
    name = _identifier(partition)
    with _waiting(connection, PATIENTLY):
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(name))
        if connection.execute(sql.SQL("select from {} limit 1").format(name)).fetchone() is not None:
            msg = "it has rows again"
            raise psycopg.errors.IntegrityConstraintViolation(msg)
        connection.execute(SET_USERS)
        connection.execute(statement("drop_partition", partition=name))


@contextlib.contextmanager
def _waiting(connection: psycopg.Connection[Any], patience: str) -> Iterator[None]:
    """Open a transaction with this timeout for each of its locks."""
    with connection.transaction():
        connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(patience)))
        yield


def _note(done: RetentionReport, note: str) -> None:
    if note not in done.notes:
        done.notes.append(note)


def _name(partition: Any) -> str:
    return dotted(partition.schema, partition.name)


def _identifier(partition: Any) -> sql.Identifier:
    return sql.Identifier(partition.schema, partition.name)


def _mark(made: Stale) -> str:
    return MARK.format(made.table)
