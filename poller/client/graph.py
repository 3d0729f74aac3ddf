"""Builds the state machines of handlers: their statuses, and the moves that lead from one to another.

Declared moves come from the handlers' code where the client has it, else from the definitions that a worker has
registered. Further moves in the history are `seen`: an older version of the code made them, or a person's order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from poller.client.handler_lookup import declared
from poller.client.refusals import NothingSelectedError
from poller.client.seen import seen
from poller.client.selector import of_table
from poller.client.status import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

    from poller.client.counts import Count
    from poller.client.handler_lookup import Declared
    from poller.client.seen import SeenMove
    from poller.model.handler import Handler

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
    found = graph(known, seen(connection, known))
    return counted(connection, known, found) if counts else found


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
