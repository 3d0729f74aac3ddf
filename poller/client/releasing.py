"""Releases rows in flight, on an operator's order: takes them away from the workers that hold them.

What may be trusted: nothing that was read before; each batch is one statement that checks the state itself, in its own
transaction, which also logs what the order has reached so far. Rows that are being settled are left alone, and the
holder of a released lease finds it gone by its fence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from psycopg import sql

from poller.client import known_handlers as known_here
from poller.client.handler_lookup import registered, selected_for_order
from poller.client.refusals import NothingSelectedError
from poller.client.retrying import WITH_ERROR, chunks
from poller.client.row_queries import RowQueries
from poller.client.selector import is_named
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from poller.client.actions import Batches
    from poller.client.known_handlers import Source
    from poller.client.row_queries import Known
    from poller.model.handler import Handler
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True)
class Released:
    """How many rows were taken from their workers.

    Attributes:
        rows: how many.
        unknown: their handlers, as `table:status`, of which neither the code is here nor a definition is registered: if
            one has a `during`, the row still shows it.
        stopped: the order was stopped before its end.
    """

    rows: int
    unknown: tuple[str, ...] = ()
    stopped: bool = False


def release(  # noqa: PLR0913, PLR0917 - the parts of one order
    connection: psycopg.Connection[Any],
    selector: str,
    keys: Sequence[str],
    error: str | None,
    source: Source,
    batches: Batches,
) -> Released:
    """Take rows away from the workers that hold them: the attempt counts, and the rows are due at once.

    Args:
        connection: in autocommit mode, or in a transaction.
        selector: which rows, as `selector.select` reads it.
        keys: further keys.
        error: only those whose earlier attempt failed with this error, as for `retry`.
        source: the handlers, for the status that a `during` has replaced; others are taken as they were registered.
        batches: carries the order out.

    Raises:
        NothingSelectedError: no worker holds such a row.
        ConfigurationError: the selector is not valid, or a handler with `during` does not fit its table.
    """
    queries = RowQueries(connection)
    chosen, known = selected_for_order(connection, selector, keys)
    asked = (queries.in_flight(chosen.handlers, chosen.keys, *each) for each in _held(error))
    held = next(filter(None, asked), [])
    numbers = {number for number, *_ in held}
    noted = {number for number, _, during in held if during is not None}
    replaced, unknown = _replaced(connection, source, [each for each in known if each.id in numbers], noted)
    released: set[int] = set()
    for number, those in groupby(held, lambda each: each[0]):
        for chunk in chunks([key for _, key, _ in those]):
            if batches.is_over:
                break
            with batches.next():
                rows = queries.release([number], chunk[: batches.room])
                if number in replaced:
                    _restore(queries, replaced[number], rows)
                batches.reached(len(rows))
                if rows:
                    queries.wake()
                    released.add(number)
    if not (batches.rows or batches.is_stopped):
        about = f" after {error!r}" if error is not None else ""
        msg = f"nothing to release: no row of {chosen} is in flight{about}"
        raise NothingSelectedError(msg)
    names = (f"{each.table}:{each.status}" for each in known if each.id in released & unknown)
    return Released(batches.rows, tuple(dict.fromkeys(names)), batches.is_stopped)


def _restore(queries: RowQueries, binding: Binding, rows: Sequence[tuple[int, str, str | None]]) -> None:
    """Restore the status of rows that show a `during`: that of the program which has leased them."""
    keys_of: dict[str | None, list[str]] = defaultdict(list)
    for _, key, during in rows:
        keys_of[during].append(key)
    for during, keys in keys_of.items():
        leased = binding.leased_as(during)
        if leased.handler.during is not None:
            queries.restore_status(leased, keys)


def _held(error: str | None) -> Iterator[tuple[sql.SQL, str | None]]:
    """Yield the condition that selects rows in flight, and the error; then a looser one."""
    if error is None:
        yield sql.SQL("true"), None
        return
    remembered = (
        "exists (select from poller.attempt as a where a.handler_id = c.handler_id"
        " and poller.digest(a.key) = poller.digest(k.key) and {})"
    )
    for each in WITH_ERROR:
        yield sql.SQL(remembered.replace("{}", each)), error


def _replaced(
    connection: psycopg.Connection[Any], source: Source, known: Sequence[Known], noted: set[int]
) -> tuple[dict[int, Binding], set[int]]:
    """Return those handlers that have a `during`, by number; and the numbers of those of which that is not known.

    Args:
        connection: where their tables are.
        source: those whose code is here.
        known: which.
        noted: those of which a lease has noted that its rows show one.

    Raises:
        ConfigurationError: one whose code is here does not fit its table.
    """
    here = _handlers(source, known)
    bound = {
        number: bind(connection, each)
        for number, each in here.items()
        if each.during is not None or number in noted
    }
    unknown = set()
    for each in known:
        if each.id not in here:
            binding = registered(connection, each)
            if binding is None:
                unknown.add(each.id)
            elif binding.handler.during is not None or each.id in noted:
                bound[each.id] = binding
    return bound, unknown


def _handlers(source: Source, chosen: Sequence[Known]) -> dict[int, Handler]:
    """Return those handlers that are among the selected, by number; empty if handlers are not known."""
    loaded = known_here.found(source)
    return {
        each.id: handler
        for handler in (loaded.handlers if loaded is not None else ())
        for each in chosen
        if (each.status, each.column) == (handler.status, handler.column)
        and is_named(each.table, handler.table)
    }
