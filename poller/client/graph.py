"""Builds the state machines of handlers: their statuses, and the moves that lead from one to another.

Declared moves come from the handlers' code where the client has it, else from the definitions that a worker has
registered. Further moves in the history are `seen`: an older version of the code made them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from poller.client.refusals import NothingSelectedError
from poller.client.selector import of_table
from poller.client.status import rows_of
from poller.db.statements import statement
from poller.db.typed_rows import all_rows
from poller.errors import ConfigurationError
from poller.model.definition import rebuilt
from poller.store.binding import bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

    from poller.client.counts import Count
    from poller.model.handler import Handler
    from poller.store.binding import Binding

Kind = Literal["move", "failure", "retry", "seen"]


@dataclass(frozen=True, slots=True)
class Node:
    """A status.

    Attributes:
        status: as the column has it.
        rows: how many rows show it; None where they were not counted.
        exact: they were counted; else it is the planner's estimate; None as above.
    """

    status: str
    rows: int | None = None
    exact: bool | None = None


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A move, declared or seen, from one status to another.

    Attributes:
        from_: the status before.
        to: the status after.
        kind: `move`: a handler returns; `failure`: its rows are out of attempts; `retry`: an attempt failed, and the row
            is tried again; `seen`: the history shows it, and no handler declares it.
    """

    from_: str
    to: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Machine:
    """The state machine of one status column of one table."""

    table: str
    column: str
    statuses: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The machines, in the order of their tables."""

    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A handler, the name of its table in the database, and its binding, if it fits that table."""

    table: str
    handler: Handler
    binding: Binding | None = None


@dataclass(frozen=True, slots=True)
class SeenMove:
    """A move in the history."""

    table: str
    column: str
    from_status: str
    to_status: str


def machines(
    connection: psycopg.Connection[Any], handlers: Iterable[Handler], table: str | None, *, counts: bool
) -> Graph:
    """Return the state machines of handlers, and of those that workers have registered; of one table only, if named.

    Raises:
        NothingSelectedError: no handler is known for the table, or none at all.
    """
    known = declared(connection, handlers)
    if not known:
        msg = "no handler is known"
        raise NothingSelectedError(msg)
    if table is not None:
        known = of_table(table, known)
    found = graph(known, seen(connection))
    return counted(connection, known, found) if counts else found


def declared(connection: psycopg.Connection[Any], handlers: Iterable[Handler]) -> list[Declared]:
    """Return the client's handlers, and further ones that the database knows: their code is elsewhere, or gone."""
    ours = [_declared(connection, str(each.table), each) for each in handlers]
    named = {(each.table, each.handler.column, each.handler.status) for each in ours}
    rows = connection.execute(statement("definitions")).fetchall()
    others = [
        _declared(connection, table, rebuilt(table, status, column, definition))
        for table, column, status, definition in rows
        if definition is not None and (table, column, status) not in named
    ]
    return [*ours, *others]


def _declared(connection: psycopg.Connection[Any], table: str, handler: Handler) -> Declared:
    try:
        with connection.transaction():  # in the caller's, what Postgres refuses would end that
            binding = bind(connection, handler)
    except ConfigurationError:  # its table does not exist yet, or no longer, or is a different one
        return Declared(table, handler)
    return Declared(str(binding.table), handler, binding)


def seen(connection: psycopg.Connection[Any]) -> list[SeenMove]:
    """Return the moves that the handlers' counts show."""
    return all_rows(connection, statement("seen_moves"), {}, SeenMove)


def graph(handlers: Iterable[Declared], history: Iterable[SeenMove] = ()) -> Graph:
    """Return the handlers' machines, with further moves that the history shows."""
    edges: dict[tuple[str, str], list[Edge]] = {}
    for each in handlers:
        edges.setdefault((each.table, each.handler.column), []).extend(_edges(each.handler))
    for move in history:
        known = edges.get((move.table, move.column))
        if known is not None and not _leads(known, move.from_status, move.to_status):
            known.append(Edge(move.from_status, move.to_status, "seen"))
    return Graph(
        tuple(_machine(*named, found) for named, found in sorted(edges.items(), key=lambda each: each[0]))
    )


def counted(connection: psycopg.Connection[Any], handlers: Iterable[Declared], found: Graph) -> Graph:
    """Return a graph with the numbers of rows added, where they are known."""
    rows = rows_of(connection, [each.binding for each in handlers if each.binding is not None])
    return Graph(tuple(_with_rows(each, rows) for each in found.machines))


def _with_rows(machine: Machine, rows: Mapping[tuple[str, str, str], Count]) -> Machine:
    counts = [rows.get((machine.table, machine.column, each.status)) for each in machine.statuses]
    nodes = [
        each if count is None else Node(each.status, count.rows, count.exact)
        for each, count in zip(machine.statuses, counts, strict=True)
    ]
    return replace(machine, statuses=tuple(nodes))


def _edges(handler: Handler) -> list[Edge]:
    """Return the edges of a handler; while a row is leased it shows `during`, if there is one."""
    held = handler.held
    begun = [Edge(handler.status, handler.during, "move")] if handler.during else []
    moves = [Edge(held, to, "move") for to in handler.to]
    failed = [Edge(held, handler.on_failure, "failure")] if handler.on_failure is not None else []
    retried = [] if handler.has_one_attempt else [Edge(held, handler.status, "retry")]
    return [*begun, *moves, *failed, *retried]


def _leads(edges: Sequence[Edge], before: str, after: str) -> bool:
    return any((each.from_, each.to) == (before, after) for each in edges)


def _machine(table: str, column: str, edges: Sequence[Edge]) -> Machine:
    kept = tuple(dict.fromkeys(edges))
    statuses = dict.fromkeys(status for each in kept for status in (each.from_, each.to))
    return Machine(table, column, tuple(map(Node, statuses)), kept)
