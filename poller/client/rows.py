"""An operator's orders for rows in trouble: put them back, or take them away from whoever holds them.

What may be trusted: nothing that was read before; each order is one statement that looks for itself. It may
cross a worker at any moment: rows that are being settled are left to their settling, and a lease that was
taken away is found gone by its holder's fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from poller import registry
from poller.client.row_queries import Operators
from poller.client.selector import NothingSelectedError, is_named, select
from poller.errors import ConfigurationError
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from poller.client.row_queries import Known
    from poller.model.handler import Handler


class Done(NamedTuple):
    """How many rows an order reached, and what the operator should know beside that."""

    rows: int
    note: str | None = None


def retry(connection: psycopg.Connection[Any], selector: str, keys: Sequence[str]) -> Done:
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
    return Done(len(rows))


def release(connection: psycopg.Connection[Any], selector: str, keys: Sequence[str], package: str) -> Done:
    """Take rows away from the workers that hold them: the attempt counts, and the rows are due at once.

    Args:
        connection: in autocommit mode.
        selector: which rows, as `selector.select` reads it.
        keys: further keys.
        package: the handlers' package, asked only which status a `during` has replaced.

    Raises:
        NothingSelectedError: nobody holds such a row.
        ConfigurationError: a handler with `during` does not fit its table.
    """
    operators = Operators(connection)
    known = operators.known_handlers()
    chosen = select(selector, keys, known)
    handlers = _handlers(package, [each for each in known if each.id in chosen.handlers])
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
    return Done(len(rows), _note(package, [each for each in known if each.id in unknown]))


def _handlers(package: str, chosen: Sequence[Known]) -> dict[int, Handler]:
    """Return those of a package's handlers that are among the chosen, by number; none if it has none."""
    try:
        loaded = registry.load(package).handlers
    except ConfigurationError:
        return {}
    return {
        each.id: handler
        for handler in loaded
        for each in chosen
        if (each.status, each.column) == (handler.status, handler.column)
        and is_named(each.table, handler.table)
    }


def _note(package: str, unknown: Sequence[Known]) -> str | None:
    if not unknown:
        return None
    names = ", ".join(dict.fromkeys(f"{each.table}:{each.status}" for each in unknown))
    return f"{package} has no handler for {names}: if it has a during, that status was left as it is"
