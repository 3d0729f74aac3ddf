"""Adds up what the whole fleet does now: a few numbers, at a cost that does not grow with the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.client.row_queries import RowQueries
from poller.jobs.run import TABLE as RUNS

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


@dataclass(frozen=True, slots=True)
class Totals:
    """What the whole fleet does; rows are those of all handlers that the database knows, runs of jobs left out.

    Attributes:
        workers: those that live.
        slots: how many handlers those run at a time.
        waiting: rows that wait for another attempt, or were snoozed.
        done_per_minute: rows that have moved.
        failed_per_minute: attempts that failed.
        as_of: when it was read, by the database's clock.
    """

    workers: int
    slots: int
    in_flight: int
    waiting: int
    parked: int
    done_per_minute: float
    failed_per_minute: float
    as_of: datetime


def totals(connection: psycopg.Connection[Any]) -> Totals:
    """Return the sums over all handlers and workers."""
    operators = RowQueries(connection)
    handlers = [each.id for each in operators.known_handlers() if each.table != str(RUNS)]
    pulses = operators.pulse(handlers).values()
    living = [each for each in operators.workers() if each.state != "dead"]
    return Totals(
        workers=len(living),
        slots=sum(each.slots for each in living),
        in_flight=sum(each.in_flight for each in pulses),
        waiting=sum(each.waiting for each in pulses),
        parked=sum(each.parked for each in pulses),
        done_per_minute=round(sum(each.done_per_minute for each in pulses), 1),
        failed_per_minute=round(sum(each.failed_per_minute for each in pulses), 1),
        as_of=operators.now(),
    )
