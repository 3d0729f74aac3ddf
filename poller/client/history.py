"""What happened to one row, a page at a time: the latest page first, and in it the latest event last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from poller.client.answers import Page, encoded, one_more
from poller.client.key_forms import key_forms
from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import RowQueries
from poller.client.selector import of_table
from poller.duration import seconds, words
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from poller.client.row_queries import HistoryEvent


def history(  # noqa: PLR0913, PLR0917 - the parts of one question
    connection: psycopg.Connection[Any],
    table: str,
    key: str,
    age: float,
    before: Sequence[Any] | None,
    limit: int | None,
) -> Page[HistoryEvent]:
    """Return the events of a row in the last `age` seconds.

    Args:
        connection: in autocommit mode, or in a transaction.
        table: with or without its schema.
        key: the primary key as text; a JSON array if composite.
        age: how far to look back.
        before: the time of the first event of the page before, and how many of exactly that time are known.
        limit: how many at the most, the latest; None for all.

    Raises:
        NothingSelectedError: nothing is recorded of the row since then, or no handler is known for the table.
        ConfigurationError: the table is not valid.
    """
    queries = RowQueries(connection)
    known = of_table(table, queries.known_handlers())
    keys = key_forms(connection, known[0].table, [key])
    now = queries.now()
    found = queries.history([each.id for each in known], keys, _ago(now, age), before, one_more(limit))
    if not found and before is None:
        msg = f"nothing is recorded of row {key} of {table} in the last {words(age)}"
        raise NothingSelectedError(msg, "nothing_recorded")
    if limit is None or len(found) <= limit:
        return Page(tuple(found), None, now)
    return Page(tuple(found[-limit:]), encoded(_before(found[-limit:], before)), now)


def _before(shown: Sequence[HistoryEvent], before: Sequence[Any] | None) -> list[Any]:
    """Return where the previous page ends: the time of the first event, and how many of that time are known."""
    first = shown[0].at.astimezone(UTC)  # the next page may be asked for from another time zone
    known = sum(each.at == first for each in shown)
    again = before is not None and before[0] == str(first)
    return [first, known + (before[1] if again and before is not None else 0)]


def seconds_of(name: str, given: str | float | timedelta) -> float:
    """Return a time span in seconds.

    Raises:
        ConfigurationError: it is not valid.
    """
    age = float(given) if isinstance(given, int | float) else seconds(given)
    if not age > 0:
        msg = f"{name} must be a time span such as 1d, got {given!r}"
        raise ConfigurationError(msg)
    return age


def _ago(now: datetime, age: float) -> datetime:
    """Return the time so many seconds ago; that at which the calendar begins, if that is later."""
    try:
        return now - timedelta(seconds=age)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
