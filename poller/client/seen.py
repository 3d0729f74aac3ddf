"""Finds the moves that the history shows: those that handlers have made, and those that people have ordered.

What may be trusted: that a row has gone there. Of what is recorded a bounded part is looked at, the newest and the
oldest of it, so that a move of long ago may be missing.

An order to move rows by their keys is found in these rows' histories, with the status that they were moved from. One
that names a status alone is read as the orders have it; where it may mean several columns, it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from poller.client.counts import along_indexes
from poller.client.move_order import in_column
from poller.client.refusals import NothingSelectedError
from poller.client.selector import of_table, same_key
from poller.db.statements import array, numbers, statement
from poller.db.typed_rows import all_rows
from poller.errors import ConfigurationError
from poller.model.table_name import split_off_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import psycopg

    from poller.client.handler_lookup import Declared

LOOKED = 10_000  # events, or orders, that one statement goes through
ORDERS = 200  # that are read


@dataclass(frozen=True, slots=True)
class SeenMove:
    """A move in the history."""

    table: str
    column: str
    from_status: str
    to_status: str


class Ordered(NamedTuple):
    """An order to move rows, as it is logged; `affected` is how many it has moved at the most."""

    target: str
    keys: list[str] | None
    detail: str | None
    affected: int


def seen(connection: psycopg.Connection[Any], handlers: Sequence[Declared]) -> list[SeenMove]:
    """Return the moves that handlers' counts and events show, and people's orders."""
    counted = all_rows(connection, statement("seen_moves"), {}, SeenMove)
    most = max(1, LOOKED // (2 * max(1, len(handlers))))
    with along_indexes(connection):
        failed = all_rows(connection, statement("seen_failures"), {"most": most}, SeenMove)
        orders = all_rows(connection, statement("moves_by_hand"), {"most": LOOKED, "limit": ORDERS}, Ordered)
        by_hand = list(_by_hand(connection, handlers, orders))
    return [*counted, *failed, *by_hand]


def _by_hand(
    connection: psycopg.Connection[Any], handlers: Sequence[Declared], orders: Sequence[Ordered]
) -> Iterator[SeenMove]:
    """Yield the moves that people have ordered in the tables of some handlers."""
    read = [(order, *named) for order in orders for named in _named(order, handlers)]
    rows = _of_rows(connection, [(table, _keys(order, rest)) for order, table, rest in read])
    for place, (order, table, rest) in enumerate(read):
        found = [SeenMove(table, *each) for at, *each in rows if at == place]
        yield from found
        if not found and rest is not None:
            yield from _of_status(table, rest, order, handlers)


def _named(order: Ordered, handlers: Sequence[Declared]) -> Iterator[tuple[str, str | None]]:
    """Yield the table that an order means, and what follows it, if the table can still be told."""
    name, rest = split_off_table(order.target)
    try:
        yield of_table(name, handlers)[0].table, rest
    except (ConfigurationError, NothingSelectedError):  # its handlers are gone
        return


def _keys(order: Ordered, rest: str | None) -> list[str]:
    """Return what may be keys in an order: what it has as such, and each end of its target."""
    parts = [] if rest is None else rest.split(":")
    ends = [":".join(parts[at:]) for at in range(len(parts))]
    return [form for key in (*ends, *(order.keys or ())) for form in same_key(key)]


def _of_rows(
    connection: psycopg.Connection[Any], asked: Sequence[tuple[str, Sequence[str]]]
) -> list[tuple[Any, ...]]:
    """Return the moves by hand of rows with some keys, each with its place among the questions."""
    flat = [(table, key, place) for place, (table, keys) in enumerate(asked) for key in keys]
    columns = {
        "tables": array(table for table, _, _ in flat),
        "keys": array(key for _, key, _ in flat),
        "places": numbers(place for _, _, place in flat),
    }
    return connection.execute(statement("moved_by_hand"), columns).fetchall()


def _of_status(table: str, status: str, order: Ordered, handlers: Sequence[Declared]) -> Iterator[SeenMove]:
    """Yield the move of all rows of a status, if a target may mean one: a key means one row alone."""
    machines: dict[str, set[str]] = {}
    for each in handlers:
        if each.table == table:
            machines.setdefault(each.handler.column, set()).update(each.handler.reachable)
    to, named = _read(order.detail or "", machines)
    knowing = {column for column, known in machines.items() if status in known}
    leading = {column for column, known in machines.items() if to in known}
    meant = named or [
        each for each in machines if all(each in (those or machines) for those in (knowing, leading))
    ]
    if len(meant) == 1 and (knowing or order.affected > 1):
        yield SeenMove(table, meant[0], status, to)


def _read(detail: str, columns: Iterable[str]) -> tuple[str, list[str]]:
    """Return the status that an order has moved rows to, and the column, if it is named and one of these."""
    to = detail.removeprefix("to ")
    named = [each for each in columns if to.endswith(in_column("", each))]
    return to.removesuffix(in_column("", named[0])) if named else to, named[:1]
