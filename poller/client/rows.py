"""An operator's orders for rows in trouble: put them back, or take them away from whoever holds them.

What may be trusted: nothing that was read before; each order is one statement that looks for itself. It may
cross a worker at any moment: rows that are being settled are left to their settling, and a lease that was
taken away is found gone by its holder's fence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client import handlers as known_here
from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import Operators
from poller.client.selector import is_named, select
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from poller.client.handlers import Source
    from poller.client.row_queries import Known
    from poller.model.handler import Handler


@dataclass(frozen=True, slots=True)
class Retried:
    """How many rows were put back."""

    rows: int


@dataclass(frozen=True, slots=True)
class Released:
    """How many rows were taken from their workers.

    Attributes:
        rows: how many.
        unknown: the handlers of such rows, as `table:status`, that the client does not know: if one has a `during`, the
            row still shows it.
    """

    rows: int
    unknown: tuple[str, ...] = ()


def retry(connection: psycopg.Connection[Any], selector: str, keys: Sequence[str]) -> Retried:
    """Put rows that are parked or wait for another attempt back: due at once, with all their attempts.

    Raises:
        NothingSelectedError: there is no such row.
    """
    operators = Operators(connection)
    chosen = select(selector, keys, operators.known_handlers())
    rows = operators.retry(chosen.handlers, chosen.keys)
    if not rows:
        msg = f"nothing to put back: no row of {chosen} is parked or waits for another attempt"
        raise NothingSelectedError(msg)
    operators.wake()
    return Retried(len(rows))


def release(
    connection: psycopg.Connection[Any], selector: str, keys: Sequence[str], source: Source
) -> Released:
    """Take rows away from the workers that hold them: the attempt counts, and the rows are due at once.

    Args:
        connection: in autocommit mode, or in a transaction.
        selector: which rows, as `selector.select` reads it.
        keys: further keys.
        source: the handlers, asked only which status a `during` has replaced.

    Raises:
        NothingSelectedError: nobody holds such a row.
        ConfigurationError: a handler with `during` does not fit its table.
    """
    operators = Operators(connection)
    known = operators.known_handlers()
    chosen = select(selector, keys, known)
    handlers = _handlers(source, [each for each in known if each.id in chosen.handlers])
    replaced = {
        number: bind(connection, handler)
        for number, handler in handlers.items()
        if handler.during is not None
    }
    with connection.transaction():
        rows = operators.release(chosen.handlers, chosen.keys)
        for number, binding in replaced.items():
            operators.restore_status(binding, [key for handler, key in rows if handler == number])
    if not rows:
        msg = f"nothing to release: no row of {chosen} is in flight"
        raise NothingSelectedError(msg)
    operators.wake()
    unknown = {number for number, _ in rows}.difference(handlers)
    names = (f"{each.table}:{each.status}" for each in known if each.id in unknown)
    return Released(len(rows), tuple(dict.fromkeys(names)))


def _handlers(source: Source, chosen: Sequence[Known]) -> dict[int, Handler]:
    """Return those of the handlers that are among the chosen, by number; none if they are not known."""
    loaded = known_here.found(source)
    return {
        each.id: handler
        for handler in (loaded.handlers if loaded is not None else ())
        for each in chosen
        if (each.status, each.column) == (handler.status, handler.column)
        and is_named(each.table, handler.table)
    }
