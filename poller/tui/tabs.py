"""The lists of workers and of orders, and all lists in the order of their tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.telemetry.times import moment, since
from poller.tui import details, orders
from poller.tui.columns import BAD, GOOD, PLAIN, WARN, ListColumn
from poller.tui.listing import MOST_LINES, ScreenList, bar
from poller.tui.looks import Panel
from poller.tui.row_lists import HANDLERS, INFLIGHT, LIMITS, STATUS, TROUBLE
from poller.tui.run_lists import ALL_RUNS, JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.tui.listing import Shown


def _worker_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("worker", lambda line: str(line.id), right=True),
        ListColumn("host", lambda line: line.host, least=12, most=40),
        ListColumn("pid", lambda line: str(line.pid), right=True, rank=2),
        ListColumn("state", lambda line: line.state, tone=lambda line: _STATES.get(line.state, PLAIN)),
        ListColumn(
            "",
            lambda line: bar(min(line.in_flight, line.slots), line.slots, 10),
            rank=4,
            most=10,
            tone=lambda _: GOOD,
        ),
        ListColumn("in flight", lambda line: line.in_flight, right=True),
        ListColumn("slots", lambda line: line.slots, right=True),
        ListColumn("heartbeat", lambda line: since(line.heartbeat_at, seen.now)),
        ListColumn("started", lambda line: moment(line.started_at, seen.now, seen.zone), rank=3),
    )


_STATES = {"alive": GOOD, "draining": WARN, "stopping": WARN, "dead": BAD}

WORKERS = ScreenList(
    "Workers",
    Panel("workers", lambda asked: asked.client.workers()),
    _worker_columns,
    "no workers",
    lambda line: str(line.id),
    opens=lambda line: details.of_line(f"worker {line.id}", line),
    acts={"D": lambda line: orders.drain(line.id)},
)


def _action_columns(seen: Shown) -> Sequence[ListColumn]:
    return (
        ListColumn("at", lambda line: moment(line.at, seen.now, seen.zone)),
        ListColumn("actor", lambda line: line.actor, rank=2, most=40, least=14),
        ListColumn("via", lambda line: line.via, rank=3),
        ListColumn("order", lambda line: line.action),
        ListColumn("target", lambda line: line.meant, least=20, most=120),
        ListColumn("affected", lambda line: line.affected, right=True),
    )


ACTIONS = ScreenList(
    "Actions",
    Panel("actions", lambda asked: asked.client.actions(limit=MOST_LINES)),
    _action_columns,
    "no orders yet",
    lambda line: str(line.id),
    opens=lambda line: details.of_line(f"order {line.id}", line),
)

TABS = (STATUS, HANDLERS, TROUBLE, INFLIGHT, JOBS, ALL_RUNS, WORKERS, LIMITS, ACTIONS)
