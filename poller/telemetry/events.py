"""The events of the engine: what happened, as data.

An event is emitted in the process in which it happened (`bus.emit`), and heard there: by the log, which turns it into a
line (`sentences`), and by the subscribers of the user. Where many rows take part there is one event for the batch;
only rows in trouble have one each. The names of fields carry their units; keys and errors are texts.

docs/events.md has a table of them, which `tests/telemetry/events_page.py` makes from their docstrings.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        name: the class's name in snake case, as the JSON log has it.
    """

    name: ClassVar[str] = "event"

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def fields(self) -> dict[str, Any]:
        """What is known of it, by name."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}


@dataclass(frozen=True, kw_only=True)
class HandlerEvent(Event):
    """Something that happened to a handler, or to rows of it.

    Attributes:
        handler: as the log names it: `table:status`, or `poller.run:name` for a job.
        table: the table's name.
        status: the status that the handler takes rows from.
        database: the database's name, as `--database name=URL` has it, or its own.
    """

    handler: str
    table: str
    status: str
    database: str


# --- rows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RowsClaimed(HandlerEvent):
    """A worker has claimed a batch of rows. `seconds` is how long the claim took."""

    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RowsSettled(HandlerEvent):
    """The results of a batch of attempts are written.

    By what became of the rows (`moved`, `retrying`, `parked`, …): how many there were, and how many seconds each
    attempt took. Rows of a batch handler share the time of their call. `pickup_seconds` says for how long rows had been
    due when their handlers began, where that is known: retries, and rows of a handler with a `due` column.
    `write_seconds` is how long the settle took, unless it was part of a transaction.
    """

    rows: int
    outcomes: Mapping[str, int]
    seconds: Mapping[str, tuple[float, ...]]
    pickup_seconds: tuple[float, ...] = ()
    write_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RowEvent(HandlerEvent):
    """Something that happened to one row.

    Attributes:
        key: the primary key, as text.
        attempt: the number of the attempt, from 1.
        error: the error in one line, or why.
        error_class: the name of its class, if there is an error.
        error_place: the last frame in the user's own code, `file.py:12`, if there is one.
    """

    key: str
    attempt: int
    error: str
    error_class: str | None = None
    error_place: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptFailed(RowEvent):
    """An attempt at a row has failed; the next one follows in `retry_seconds`."""

    retry_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class RowFailed(RowEvent):
    """The last attempt at a row has failed; the row moved to the handler's `on_failure`, as `to` says."""

    to: str | None


@dataclass(frozen=True, kw_only=True)
class RowParked(RowEvent):
    """The last attempt at a row has failed; the row stays where it is until an operator retries it."""


@dataclass(frozen=True, kw_only=True)
class FailedAfterMove(RowEvent):
    """A handler has moved its row with `ctx.settle`, and failed after the commit; the row is moved, as `to` says."""

    to: str | None


@dataclass(frozen=True, kw_only=True)
class RowChanged(RowEvent):
    """A row's result was dropped: meanwhile another program changed its status (`superseded`) or deleted it (`gone`)."""

    became: str


@dataclass(frozen=True, kw_only=True)
class LeaseLost(RowEvent):
    """A row's result was dropped: its lease had ended, and another worker may hold the row."""


@dataclass(frozen=True, kw_only=True)
class ResultRefused(RowEvent):
    """A row's result was not written: a trigger or rule of the table swallowed the UPDATE."""


@dataclass(frozen=True, kw_only=True)
class RowCircling(HandlerEvent):
    """A row returns to the same status again and again, so it is slowed down. One event a handler and a while."""

    key: str
    moves: int
    seconds: float
    rows: int
    column: str
    to: str | None
    longest_wait_seconds: float


@dataclass(frozen=True, kw_only=True)
class RowsTakenBack(Event):
    """A supervisor has settled the rows that dead workers held."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class RowsBegunLate(HandlerEvent):
    """Rows of a handler with a rate began too late and were given back; rows may now begin `may_take_seconds` late."""

    rows: int
    may_take_seconds: float


@dataclass(frozen=True, kw_only=True)
class RowsForgotten(HandlerEvent):
    """A supervisor deleted what poller remembered of rows that are gone or show another status."""

    rows: int


# --- handlers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class HandlerPutAside(HandlerEvent):
    """A worker cannot claim rows of a handler, and tries again in `retry_seconds`."""

    error: str
    retry_seconds: float


@dataclass(frozen=True, kw_only=True)
class HandlerRestored(HandlerEvent):
    """A worker claims rows of a handler again after it had put the handler aside."""

    failures: int


@dataclass(frozen=True, kw_only=True)
class HandlerPaused(HandlerEvent):
    """A supervisor has seen that an operator paused a handler: no worker claims its rows until a resume, or `until`."""

    by: str | None
    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class HandlerResumed(HandlerEvent):
    """A supervisor has seen that a handler is no longer paused: an operator resumed it, or the pause has ended."""


@dataclass(frozen=True, kw_only=True)
class ClaimFailed(HandlerEvent):
    """A claim failed, perhaps because of one row: the handler's rows are claimed one at a time for a while."""

    error: str


@dataclass(frozen=True, kw_only=True)
class ClaimLost(Event):
    """A worker claimed rows, and was declared dead meanwhile: it leaves them to other workers."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class ResultsWait(HandlerEvent):
    """Results of a handler cannot be written now, for this `reason`; they wait."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ResultsWritable(HandlerEvent):
    """The results of a handler can be written again."""


@dataclass(frozen=True, kw_only=True)
class ResultsGivenUp(HandlerEvent):
    """A handler's table is gone: the worker drops the results and releases the leases of its rows."""

    rows: int
    error: str


@dataclass(frozen=True, kw_only=True)
class KeysDropped(HandlerEvent):
    """A table's key has become another: what was known of rows by keys that it cannot be, as `key`, is dropped."""

    rows: int
    key: str


@dataclass(frozen=True, kw_only=True)
class ForgettingFailed(HandlerEvent):
    """A supervisor cannot check which rows in trouble have moved on, and leaves the handler out of that for a while."""

    error: str


@dataclass(frozen=True, kw_only=True)
class TransactionSlow(HandlerEvent):
    """A transactional handler has kept its transaction open for long."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class TransactionLost(Event):
    """The rows of a transaction were given back: their lease had ended before the commit."""

    error: str


@dataclass(frozen=True, kw_only=True)
class TransactionUnwritable(HandlerEvent):
    """No result of a transactional handler can be written; its rows wait for `retry_seconds`."""

    error: str
    retry_seconds: float


@dataclass(frozen=True, kw_only=True)
class EventLoopBlocked(Event):
    """A coroutine handler has blocked a worker's event loop for long; `attempt` names it, if it is known."""

    attempt: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EventLoopInterrupted(Event):
    """A coroutine handler, or what it left behind, has interrupted the event loop of a worker; the loop goes on."""

    how: str


# --- jobs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunPlanned(Event):
    """A supervisor has entered a job's run, or several that were due (`runs`); `latest` is the last one's slot."""

    job: str
    runs: int
    latest: datetime


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """A run of a job has ended; its `status` is `succeeded`, `failed` or `cancelled`."""

    job: str
    run: int
    status: str
    attempt: int
    seconds: float
    error: str | None


@dataclass(frozen=True, kw_only=True)
class RunCancelled(Event):
    """A running run was told to stop, since an operator cancelled it."""

    job: str
    run: int


@dataclass(frozen=True, kw_only=True)
class JobUnplannable(Event):
    """A supervisor cannot plan a job's runs; others may."""

    job: str
    error: str


@dataclass(frozen=True, kw_only=True)
class JobRedeclared(Event):
    """Two programs declare a job of one name differently: `here` is where this one does, `there` the other's process."""

    job: str
    here: str
    there: str


@dataclass(frozen=True, kw_only=True)
class JobLocked(Event):
    """A job cannot be declared yet: another session has locked its row."""

    job: str


@dataclass(frozen=True, kw_only=True)
class ClockSetBack(Event):
    """The database's clock went back; what had been planned beyond it is planned anew."""

    seconds: float
    jobs: int


# --- workers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WorkerStarted(Event):
    """A worker has entered the fleet, and may claim."""

    worker: int
    slots: int


@dataclass(frozen=True, kw_only=True)
class WorkerStopped(Event):
    """A worker has left the fleet in order."""

    worker: int


@dataclass(frozen=True, kw_only=True)
class WorkerDrains(Event):
    """A worker was told to drain: it claims nothing any more, ends when it holds nothing, and is not replaced."""

    worker: int


@dataclass(frozen=True, kw_only=True)
class WorkerDied(Event):
    """A supervisor has declared a worker dead, of this host or another. `reason` says what showed it."""

    worker: int
    reason: str
    host: str
    pid: int


@dataclass(frozen=True, kw_only=True)
class WorkerDeclaredDead(Event):
    """A worker has learned that it was declared dead: all its leases are lost, and it enters the fleet anew."""

    worker: int


@dataclass(frozen=True, kw_only=True)
class WorkerStuck(Event):
    """A handler is still running after its timeout: its worker stops, and another one takes its place."""


@dataclass(frozen=True, kw_only=True)
class WorkerStarves(Event):
    """No file descriptor is left, since a handler leaks them, say: the worker stops, and another one takes its place."""


@dataclass(frozen=True, kw_only=True)
class WorkerUnfit(Event):
    """A worker process cannot start, since its handlers do not fit the database."""

    error: str


@dataclass(frozen=True, kw_only=True)
class WorkerPooled(Event):
    """A worker is connected through a pooler: notifications and instant crash detection are off."""


@dataclass(frozen=True, kw_only=True)
class MessageUndelivered(Event):
    """A message of alerts has not reached its target, and is sent again. One event an error, until a message arrives."""

    target: str
    error: str


@dataclass(frozen=True, kw_only=True)
class MessageDelivered(Event):
    """A message of alerts has reached a target that earlier messages had not reached."""

    target: str


@dataclass(frozen=True, kw_only=True)
class ResultsLeft(Event):
    """A worker stops with results that it could not write; their rows are taken back by a supervisor."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class ProcessEnded(Event):
    """A worker process has ended by itself; another one starts in `restart_seconds`."""

    pid: int
    how: str
    restart_seconds: float


@dataclass(frozen=True, kw_only=True)
class ProcessHung(Event):
    """A worker process has given no sign for longer than its lease: it is killed."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class ProcessNotStarted(Event):
    """A worker process could not be started; it is tried again in `retry_seconds`."""

    error: str
    retry_seconds: float


# --- the database, and the fleet -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DatabaseLost(Event):
    """A service of the engine (`claimer`, `settler`, `heartbeat`, …) has lost the database, and tries again."""

    service: str
    error: str


@dataclass(frozen=True, kw_only=True)
class DatabaseBack(Event):
    """A service of the engine has the database again, after `failures` failed rounds."""

    service: str
    failures: int


@dataclass(frozen=True, kw_only=True)
class ServiceFailed(Event):
    """A service of the engine has failed, though it has not lost the database, and tries again."""

    service: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ServiceRestored(Event):
    """A service of the engine works again, after `failures` failed rounds."""

    service: str
    failures: int


@dataclass(frozen=True, kw_only=True)
class SweepFailed(Event):
    """A supervisor could not, at its end, take back the rows that its killed workers held; another supervisor will."""

    error: str


@dataclass(frozen=True, kw_only=True)
class MigrationWaits(Event):
    """A migration waits for the migration lock, which `holder` has."""

    holder: str


@dataclass(frozen=True, kw_only=True)
class FleetStarted(Event):
    """`poller run` begins, with these handlers (`kind` is `handlers`) or jobs (`jobs`)."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FleetListens(Event):
    """`poller run --listen` answers probes at this address; if `metrics` is set, also scrapes."""

    address: str
    metrics: bool


@dataclass(frozen=True, kw_only=True)
class FleetStopping(Event):
    """`poller run` was asked to stop: nothing is claimed any more, and handlers have `grace_seconds` to finish."""

    grace_seconds: float


@dataclass(frozen=True, kw_only=True)
class FleetProgress(Event):
    """What `poller run` has done so far; emitted now and then, if that has changed. `rate` is in rows a second."""

    moved: int
    rate: float
    in_flight: int
    waiting: int
    parked: int


@dataclass(frozen=True, kw_only=True)
class FleetFinished(Event):
    """`poller run` ends; the numbers say what it has done."""

    moved: int
    failed: int
    parked: int


@dataclass(frozen=True, kw_only=True)
class FleetNotBegun(Event):
    """`poller run` was asked to stop before it had begun anything."""


@dataclass(frozen=True, kw_only=True)
class FleetSilenced(Event):
    """`poller run` ends, and cannot tell what it has done: the database is gone (`lost`), or does not answer."""

    lost: bool


@dataclass(frozen=True, kw_only=True)
class DrainStarted(Event):
    """`poller run --drain` begins; so many `rows` are due."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class DrainLeftAlone(Event):
    """`poller run --drain` ends, and has left alone the rows that are parked or snoozed."""

    parked: int
    snoozed: int


@dataclass(frozen=True, kw_only=True)
class DrainLeftOnHold(HandlerEvent):
    """`poller run --drain` ends, and has left rows that have failed and are not due for now (`where`, `due`)."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class DrainLeftPaused(HandlerEvent):
    """`poller run --drain` ends, and has left the rows of a handler that is paused."""

    rows: int
    by: str | None
    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class DrainWaits(HandlerEvent):
    """`poller run --drain` waits for due rows that no worker has claimed for a while; `why` gives the reason."""

    why: str


@dataclass(frozen=True, kw_only=True)
class DrainLeftKept(HandlerEvent):
    """`poller run --drain` ends, and has left a handler's rows, which its role may see but not change."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class DrainStopped(Event):
    """`poller run --drain` was stopped before all due rows were done."""

    rows: int
    waiting: int
    in_flight: int
