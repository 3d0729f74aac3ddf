"""Reads rows that a claim has locked: after setting the handler's `during`, or one by one where some are unreadable.

This runs within the transaction of the claim, so that no row shows `during` without a worker that holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.db.connection import is_servers
from poller.db.statements import array, statement
from poller.db.values import fetch
from poller.errors_in_words import reason
from poller.store.outcomes import SWALLOWED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import sql

    from poller.db.connection import Borrowed, Link
    from poller.db.values import Fetched
    from poller.store.binding import Binding


class KeyChanged(Exception):  # noqa: N818 - what became of an UPDATE
    """The UPDATE to a handler's `during` has given a row another key: a trigger did."""


def read(
    link: Link | Borrowed, binding: Binding, leases: Iterable[str], rows: list[Fetched], *, careful: bool
) -> tuple[list[Fetched], dict[str, str]]:
    """Set rows to the handler's `during`, if it has one, and read rows whose keys only were read.

    Args:
        link: on which they were claimed, in the same transaction.
        binding: their handler.
        leases: theirs, which note the `during`.
        rows: which.
        careful: read them, whatever the handler is.

    Returns:
        the rows as they are then, and the reason (by key) for rows that could not be set or read.
    """
    question = binding.show_during or (binding.read_rows if careful else None)
    if question is None or not rows:
        return rows, {}
    if binding.handler.is_job and not careful:  # the table is poller's own: no row of it is expected to fail
        shown = {row[0]: row for row in fetch(link.connection, question, _keys(rows), users=False).rows}
        return _with_lost(rows, shown)
    if binding.show_during is not None and not binding.handler.is_job:  # that of jobs never changes
        noted = {"during": binding.handler.during, "leases": array(leases)}
        link.connection.execute(statement("note_during"), noted)
    link.connection.execute("set local lock_timeout = '2s'")  # triggers may wait; a claim itself does not
    return _shown(link, binding, question, rows)


def _shown(
    link: Link | Borrowed, binding: Binding, question: sql.Composed, rows: list[Fetched]
) -> tuple[list[Fetched], dict[str, str]]:
    """Fetch rows by their keys; if that fails, fetch them in halves, until the row that causes it is alone."""
    try:
        with link.connection.transaction():  # a savepoint: the claim itself stands
            users = not binding.handler.is_job
            answer = fetch(link.connection, question, _keys(rows), users=users)
            shown = {row[0]: row for row in answer.rows}
            _refuse_other_keys(rows, shown)
            link.connection.execute("set constraints all immediate")  # or COMMIT would fail for all
    except Exception as error:
        if not link.lives() or is_servers(error):
            raise
        if len(rows) == 1:
            return rows, {rows[0][0]: reason(error)}
        middle = len(rows) // 2
        halves = [_shown(link, binding, question, part) for part in (rows[:middle], rows[middle:])]
        return halves[0][0] + halves[1][0], halves[0][1] | halves[1][1]
    return _with_lost(rows, shown)


def _refuse_other_keys(rows: list[Fetched], shown: dict[Any, Fetched]) -> None:
    """Refuse what a trigger has made of rows that would be found by their keys no more.

    Raises:
        KeyChanged: one of them has another key now.
    """
    if others := shown.keys() - {row[0] for row in rows}:
        msg = f"a trigger of the table changed the key to {min(others)}"
        raise KeyChanged(msg)


def _keys(rows: list[Fetched]) -> dict[str, str]:
    return {"keys": array(row[0] for row in rows)}


def _with_lost(rows: list[Fetched], shown: dict[Any, Fetched]) -> tuple[list[Fetched], dict[str, str]]:
    """Return rows as they are shown, and the reason for those that a trigger or rule kept from it."""
    lost = {row[0]: SWALLOWED for row in rows if row[0] not in shown}
    return [shown.get(row[0], row) for row in rows], lost
