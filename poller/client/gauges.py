"""Measures the fleet for monitoring, and reads what was measured: the table `poller.gauge`.

The model. Whoever wants the numbers looks how old they are; if they are, the process that gets an advisory lock measures
them and tells all supervisors, which read them then. So a fleet of any size is measured once, and all export the same.
Rows that are due are counted by a process that has the handlers' code; those of other programs' handlers by what was
registered of them, if no such process has done so for a minute.

What it costs does not grow with the tables: due rows are counted along the index of their claims and up to a limit,
those in trouble up to a larger one, and totals are kept (`sql/client/roll_row_totals.sql`).

On failure: a table that is locked, broken or too slow costs its own handlers' numbers of due rows, and no others.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from poller.client.answers import aside
from poller.client.gauges_due import COUNTED_ROWS, DueMeter, HandlerRows
from poller.client.handler_lookup import registered
from poller.client.row_queries import Known
from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows, only_row
from poller.telemetry.metrics import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from poller.store.binding import Binding

PERIOD_SECONDS = 15.0  # between two measurements
FRESH_SECONDS = 14.0  # younger than this, they are not measured again
LACKING_SECONDS = 300.0  # until handlers whose numbers could not be had are measured out of turn
OTHERS_SECONDS = 45.0  # for which due rows of other programs' handlers are left to who has their code
ROLL_SECONDS = 600.0  # between two times at which minutes that are over are added up
KEPT = "60 seconds"  # older than this, they are not shown, and dropped by the next measurement


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of the fleet.

    Attributes:
        name: as `poller.gauge` has it.
        labels: what it is about.
        age: seconds since it was measured.
    """

    name: str
    labels: Mapping[str, str]
    value: float
    age: float = aside()

    @property
    def metric(self) -> str:
        """The name of its metric (`poller.telemetry.metrics`)."""
        return "poller_rows" if self.name in STATES else f"poller_{self.name}"

    @property
    def metric_labels(self) -> dict[str, str]:
        """The labels that it has there."""
        return {**self.labels, "state": self.name} if self.name in STATES else {**self.labels}


class _Turn(NamedTuple):
    """Whether this process measures now, whether the fleet's numbers are old, and whose due rows are not.

    `recent` are the handlers whose due rows were measured within `OTHERS_SECONDS`, by a process that has their code.
    """

    taken: bool
    is_old: bool
    due: list[dict[str, str]]
    recent: list[dict[str, str]]


class _Measured:
    """Numbers by their names and labels; those with equal ones are added up, but of ages the highest counts."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], float] = {}

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        key = name, _key(labels)
        known = self._values.get(key, 0.0)
        self._values[key] = max(known, value) if name == "oldest_due_seconds" else known + value

    def lacks_any_of(self, handlers: Iterable[tuple[str, str]]) -> bool:
        due = {labels for name, labels in self._values if name == "due"}
        return not {_key({"table": table, "status": status}) for table, status in handlers} <= due

    def write(self, connection: psycopg.Connection[Any]) -> None:
        asked = {
            "names": array(name for name, _ in self._values),
            "labels": array(labels for _, labels in self._values),
            "values": array(self._values.values()),
            "kept": KEPT,
        }
        connection.execute(statement("write_gauges"), asked)


class FleetGauges:
    """The fleet's numbers, on one connection in autocommit mode.

    Args:
        bindings: the handlers whose code is here.
    """

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._here = {each.id: each for each in bindings if not each.handler.is_job}
        self._ours = {(str(each.table), each.handler.status) for each in self._here.values()}
        self._meter = DueMeter()
        self._again_at = 0.0  # when handlers are measured again whose numbers are missing (monotonic)
        self._roll_at = 0.0

    def read(self, connection: psycopg.Connection[Any]) -> list[Gauge]:
        """Return what was measured last."""
        return all_rows(connection, statement("gauges"), {"kept": KEPT}, Gauge)

    def wants(self, found: Iterable[Gauge]) -> bool:
        """Return whether it is time to measure: the numbers are old, or those of a handler that is here are missing."""
        fresh = [each for each in found if each.age < FRESH_SECONDS]
        return all(each.name != "workers" for each in fresh) or self._misses(
            each.labels for each in fresh if each.name == "due"
        )

    def refresh(self, connection: psycopg.Connection[Any]) -> bool:
        """Measure what is old, if it is this process's turn; return whether it did."""
        with connection.transaction():
            asked = {"fresh": f"{FRESH_SECONDS} seconds", "others": f"{OTHERS_SECONDS} seconds"}
            turn = only_row(connection, statement("gauge_turn"), asked, _Turn)
            if not turn.taken or not (turn.is_old or self._misses(turn.due)):
                self._again_at = max(self._again_at, monotonic() + FRESH_SECONDS)
                return False
            measured = self._measure(connection, turn)
            measured.write(connection)
        is_lacking = measured.lacks_any_of(self._ours)
        self._again_at = monotonic() + (LACKING_SECONDS if is_lacking else FRESH_SECONDS)
        if monotonic() >= self._roll_at:
            self._roll_at = monotonic() + ROLL_SECONDS
            # A purge of minutes has the lock: the next time, then. Without the right `check` says what is missing.
            with contextlib.suppress(psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
                self.roll(connection)
        return True

    def roll(self, connection: psycopg.Connection[Any]) -> None:
        """Add the counts of minutes that are long over to the totals of rows."""
        with connection.transaction():
            connection.execute(statement("lock_row_totals"))
            connection.execute(statement("roll_row_totals"))

    def _misses(self, due: Iterable[Mapping[str, str]]) -> bool:
        """Return whether a handler here is not among the measured; one that cannot be is not tried all the time."""
        known = {(each["table"], each["status"]) for each in due}
        return not self._ours <= known and monotonic() >= self._again_at

    def _measure(self, connection: psycopg.Connection[Any], turn: _Turn) -> _Measured:
        measured = _Measured()
        connection.execute(statement("gauge_settings"))
        rows = all_rows(connection, statement("gauge_rows"), {"most": COUNTED_ROWS}, HandlerRows)
        if turn.is_old:
            for name, labels, value in connection.execute(statement("gauge_totals")).fetchall():
                measured.add(name, labels, value)
            for each in rows:
                _add_states(measured, each)
        for each, due in self._due(connection, rows, turn):
            measured.add("due", each.labels, due.rows)
            if due.seconds is not None:
                measured.add("oldest_due_seconds", each.labels, due.seconds)
        return measured

    def _due(
        self, connection: psycopg.Connection[Any], rows: Sequence[HandlerRows], turn: _Turn
    ) -> Iterable[tuple[HandlerRows, Any]]:
        """Measure the due rows of handlers that are here, and of others that no process has measured for a minute."""
        known = {(each["table"], each["status"]) for each in turn.recent}
        bound: list[tuple[HandlerRows, Binding]] = []
        for each in rows:
            binding = self._here.get(each.id)
            if binding is None and each.is_live and (each.table_name, each.status) not in known:
                binding = self._meter.remembered(each.id, partial(_registered, connection, each))
            if binding is not None and each.is_live:
                bound.append((each, binding))
        found = self._meter.measure(connection, bound)
        return [(each, found[each.id]) for each, _ in bound if each.id in found]


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def gauges(connection: psycopg.Connection[Any]) -> list[Gauge]:
    """Return the fleet's numbers: those that are there, or measured now if they are old and this role may do so."""
    fleet = FleetGauges()
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        fleet.refresh(connection)
    return fleet.read(connection)


def _registered(connection: psycopg.Connection[Any], rows: HandlerRows) -> Binding | None:
    binding = registered(connection, Known(rows.id, rows.table_name, rows.status, rows.status_column))
    if binding is not None:
        binding.id = rows.id
    return binding


def _add_states(measured: _Measured, rows: HandlerRows) -> None:
    for state in ("in_flight", "waiting", "parked"):
        value = getattr(rows, state)
        if rows.is_live or value:
            measured.add(state, rows.labels, value)
