"""Measures the fleet for monitoring, and reads what was measured: the table `poller.gauge`.

The model. Whoever wants the numbers looks how old they are; if they are, the process that gets an advisory lock measures
them and tells all supervisors, which read them then. So a fleet of any size is measured once, and all export the same.
Rows that are due are counted by a process that has the handlers' code; those of other programs' handlers by what was
registered of them, if no such process has done so for a minute.

What it costs does not grow with the tables: due rows are counted along the index of their claims and up to a limit,
those in trouble up to a larger one, and totals are kept (`sql/client/roll_row_totals.sql`).

A counter never goes back. Should the database, after a failover or a restore, count less than it has said before, a
process that has heard it adds to the totals what they lack.

On failure: what is locked, broken or too slow costs its own numbers, and no others: those of a handler's due rows, of
its rows in trouble, of jobs (`Apart`).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from poller.client.answers import aside
from poller.client.apart import Apart
from poller.client.gauges_due import COUNTED_ROWS, DueMeter, HandlerRows
from poller.client.handler_lookup import registered
from poller.client.row_queries import Known, RowQueries
from poller.db.connection import is_servers
from poller.db.statements import Statement, array, statement
from poller.db.typed_rows import all_rows, only_row
from poller.jobs.run import TABLE as RUNS
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
RAISED = {"raise_totals": ("rows_total", "alerts_total"), "raise_run_totals": ("runs_total",)}
TOTALS = ("gauge_workers", "gauge_row_totals", "gauge_jobs", "gauge_alerts")


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

    def lacking(self, known: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
        """Return what counters lack of the numbers that they are known to have had."""
        return {
            counter: known[counter] - value
            for counter, value in self._values.items()
            if value < known.get(counter, value)
        }

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
        self._rows, self._totals = Apart(), Apart()
        self._known: dict[tuple[str, str], float] = {}  # what counters have been, at the most
        self._goes_back = False  # one has been more than the database says now
        self._again_at = 0.0  # when handlers are measured again whose numbers are missing (monotonic)
        self._roll_at = 0.0

    def read(self, connection: psycopg.Connection[Any]) -> list[Gauge]:
        """Return what was measured last; no counter is less than it was."""
        self._goes_back = False
        return [
            self._in_order(each) for each in all_rows(connection, statement("gauges"), {"kept": KEPT}, Gauge)
        ]

    def _in_order(self, found: Gauge) -> Gauge:
        if not found.name.endswith("_total"):
            return found
        counter = found.name, _key(found.labels)
        known = self._known.setdefault(counter, found.value)
        if found.value < known:
            self._goes_back = True
            return replace(found, value=known)
        self._known[counter] = found.value
        return found

    def wants(self, found: Iterable[Gauge]) -> bool:
        """Return whether it is time to measure: they are old, a handler here lacks some, a counter goes back."""
        fresh = [each for each in found if each.age < FRESH_SECONDS]
        return (
            self._goes_back
            or all(each.name != "workers" for each in fresh)
            or self._misses(each.labels for each in fresh if each.name == "due")
        )

    def refresh(self, connection: psycopg.Connection[Any]) -> bool:
        """Measure what is old, if it is this process's turn; return whether it did."""
        try:
            return self._refresh(connection, apart=False)
        except psycopg.Error as error:
            if connection.closed or is_servers(error):
                raise
            return self._refresh(connection, apart=True)

    def _refresh(self, connection: psycopg.Connection[Any], *, apart: bool) -> bool:
        for each in (self._rows, self._totals, self._meter.apart):
            each.apart = apart
        with connection.transaction():
            asked = {"fresh": f"{FRESH_SECONDS} seconds", "others": f"{OTHERS_SECONDS} seconds"}
            turn = only_row(connection, statement("gauge_turn"), asked, _Turn)
            turn = turn._replace(is_old=turn.is_old or self._goes_back)
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
        rows = self._counted(connection)
        if turn.is_old:
            for name, labels, value in self._added_up(connection):
                measured.add(name, labels, value)
            self._set_forward(connection, measured)
            for each in rows:
                _add_states(measured, each)
        for each, due in self._due(connection, rows, turn):
            measured.add("due", each.labels, due.rows)
            if due.seconds is not None:
                measured.add("oldest_due_seconds", each.labels, due.seconds)
        return measured

    def _counted(self, connection: psycopg.Connection[Any]) -> list[HandlerRows]:
        """Return the handlers with their rows in poller's own tables."""
        known = {
            each.id: each.id for each in RowQueries(connection).known_handlers() if each.table != str(RUNS)
        }

        def ask(handlers: Sequence[int]) -> list[HandlerRows]:
            asked = {"most": COUNTED_ROWS, "handlers": array(handlers)}
            return all_rows(connection, statement("gauge_rows"), asked, HandlerRows)

        return [each for answer in self._rows.ask(connection, known, ask) for each in answer]

    def _added_up(self, connection: psycopg.Connection[Any]) -> list[tuple[str, dict[str, str], float]]:
        """Return the totals, and what is of no handler."""

        def ask(names: Sequence[str]) -> list[tuple[str, dict[str, str], float]]:
            parts = [sql.SQL("({})").format(statement(each)) for each in names]
            return connection.execute(Statement(sql.SQL(" union all ").join(parts))).fetchall()

        answers = self._totals.ask(connection, {each: each for each in TOTALS}, ask)
        return [each for answer in answers for each in answer]

    def _set_forward(self, connection: psycopg.Connection[Any], measured: _Measured) -> None:
        """Add to totals what they lack of what they have been; without the right to, those begin anew."""
        lacking = measured.lacking(self._known)
        for raising, names in RAISED.items():
            those = {counter: value for counter, value in lacking.items() if counter[0] in names}
            if those and self._raise(connection, raising, those):
                for (name, labels), value in those.items():
                    measured.add(name, json.loads(labels), value)

    def _raise(
        self, connection: psycopg.Connection[Any], raising: str, lacking: Mapping[tuple[str, str], float]
    ) -> bool:
        asked = {
            "names": array(name for name, _ in lacking),
            "labels": array(labels for _, labels in lacking),
            "values": array(lacking.values()),
        }
        try:
            with connection.transaction():
                connection.execute(statement(raising), asked)
        except psycopg.errors.LockNotAvailable:  # by a purge of minutes: the next time, then
            return False
        except psycopg.errors.InsufficientPrivilege:
            for counter in lacking:
                del self._known[counter]
            return False
        return True

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
