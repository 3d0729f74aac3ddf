"""An operator's orders for rows in trouble: put them back, or take them away from whoever holds them.

What may be trusted: nothing that was read before; each order is one statement that looks for itself. It may
cross a worker at any moment: rows that are being settled are left to their settling, and a lease that was
taken away is found gone by its holder's fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from poller import registry
from poller.binding import bind
from poller.errors import ConfigurationError
from poller.operators import Operators
from poller.selector import NothingSelectedError, is_named, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from poller.binding import Binding
    from poller.handler import Handler
    from poller.operators import Known


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
    handlers, note = _loaded(package)
    replaced = _with_during(connection, handlers, [each for each in known if each.id in chosen.handlers])
    with connection.transaction():
        rows = operators.release(chosen.handlers, chosen.keys)
        for number, binding in replaced.items():
            operators.restore_status(binding, [key for handler, key in rows if handler == number])
    if not rows:
        msg = f"nothing to release: no row of {chosen} is in flight"
        raise NothingSelectedError(msg)
    operators.wake()
    return Done(len(rows), note)


def _loaded(package: str) -> tuple[list[Handler], str | None]:
    try:
        return registry.load(package), None
    except ConfigurationError as error:
        return [], f"a status that a handler's during has replaced was left as it is: {error}"


def _with_during(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], chosen: Sequence[Known]
) -> dict[int, Binding]:
    """Return the handlers chosen that have a `during`, bound, by their numbers."""
    return {
        each.id: bind(connection, handler)
        for handler in handlers
        if handler.during is not None
        for each in chosen
        if each.status == handler.status and is_named(each.table, handler.table)
    }
