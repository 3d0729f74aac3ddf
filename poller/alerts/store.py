"""The statements of alerts, on one link: each method runs one of `sql/alerts/`. The link's thread is the only user."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from poller.db.statements import array, statement
from poller.db.typed_rows import all_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from poller.db.connection import Link

STOPPED_TIMEOUT = (
    "10s"  # after which a process that was stopped in a transaction keeps the others waiting no longer
)
Found = dict[str, Any]  # a row of open_episodes.sql


@dataclass(frozen=True, slots=True)
class Signal:
    """What a run has left: it started, succeeded or failed. `counts`: enough runs of its job have failed in a row."""

    event: str
    run_id: int
    job: str
    function: str
    planned_at: datetime
    error: str | None
    place: str | None
    at: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class JobTrouble:
    """A job in trouble, as a survey found it; of missed slots, `at` is the last one's time, and `more` their number."""

    kind: str
    job: str
    function: str
    since: datetime
    at: datetime | None
    more: int


@dataclass(frozen=True, slots=True)
class HandlerTrouble:
    """What a survey has counted of a handler; see survey_handlers.sql."""

    id: int
    name: str
    parked: int
    parked_signatures: list[str]
    moved: int
    failed: int
    ended: int
    ended_at: datetime | None
    ended_signatures: list[str]


@dataclass(frozen=True, slots=True)
class HostTrouble:
    """A host that has lost workers, and when it lost the last one."""

    host: str
    workers: int
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenSubject:
    """What an open episode is of, and whom it tells; the function of a job that is known."""

    id: int
    subject_type: str
    subject: str
    function: str | None
    targets: list[str]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was taken to be sent: for which time, and how many seconds after it was made."""

    key: UUID
    target: str
    ping: str | None
    payload: dict[str, Any]
    attempts: int
    age: float


class AlertStore:
    """Episodes, notices and messages as the database has them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The link's connection."""
        return self._link.connection

    def now(self) -> datetime:
        """Return the time."""
        [row] = self.connection.execute(statement("clock")).fetchall()
        now: datetime = row[0]
        return now

    def watch(self, pings: Mapping[str, bool]) -> None:
        """Say that these functions of jobs, and handlers, are known; runs that ping leave signals of each step, too."""
        asked = {"functions": array(pings), "pings": array(pings.values())}
        self.connection.execute(statement("watch_functions"), asked)

    def take_turn(self, name: str, seconds: float) -> bool:
        """Take the turn at a task that the fleet does once every so many seconds; False if it is not time yet."""
        asked = {"name": name, "seconds": seconds}
        return self.connection.execute(statement("take_turn"), asked).fetchone() is not None

    def give_back_turn(self, name: str, seconds: float, pause: float) -> None:
        """Give back a turn of so many seconds that has come to nothing: it may be taken again after a pause."""
        asked = {"name": name, "seconds": seconds, "pause": pause}
        self.connection.execute(statement("give_back_turn"), asked)

    def work_waits(self, functions: Iterable[str], targets: Iterable[str]) -> bool:
        """Tell whether there is anything to do besides the survey."""
        asked = {"functions": array(functions), "targets": array(targets)}
        row = self.connection.execute(statement("work_waits"), asked).fetchone()
        return bool(row and row[0])

    # --- what goes wrong ----------------------------------------------------------------------------

    def take_signals(self, functions: Iterable[str], after: int, most: int) -> list[Signal]:
        """Take signals; the caller's transaction deletes them."""
        asked = {"functions": array(functions), "after": after, "most": most}
        return all_rows(self.connection, statement("take_signals"), asked, Signal)

    def set_back(self) -> None:
        """Bring back what a clock that ran ahead has written."""
        self.connection.execute(statement("set_back_alerts"))

    def survey_jobs(
        self, functions: Iterable[str], long: Iterable[Any], expect: Iterable[Any]
    ) -> list[JobTrouble]:
        """Look for jobs in trouble."""
        asked = {"functions": array(functions), "long": array(long), "expect": array(expect)}
        return all_rows(self.connection, statement("survey_jobs"), asked, JobTrouble)

    def survey_handlers(self, ids: Iterable[int], names: Iterable[str]) -> list[HandlerTrouble]:
        """Count the trouble of handlers; one that is paused is left out."""
        asked = {"handlers": array(ids), "names": array(names)}
        return all_rows(self.connection, statement("survey_handlers"), asked, HandlerTrouble)

    def survey_hosts(self) -> list[HostTrouble]:
        """Look for hosts that have lost workers."""
        return all_rows(self.connection, statement("survey_hosts"), {}, HostTrouble)

    def open_episodes(self, found: Sequence[Found]) -> None:
        """Open an episode for each thing that goes wrong, unless its subject has an open one of that kind."""
        self.connection.execute(statement("open_episodes"), {"found": json.dumps(found, default=str)})

    def close_failed(self, *, recovery: bool) -> int:
        """Close the episodes whose subject has succeeded since; return how many."""
        return self.connection.execute(statement("close_failed"), {"recovery": recovery}).rowcount

    def close_states(
        self,
        kinds: Sequence[str],
        found: Sequence[Found],
        functions: Iterable[str],
        handlers: Iterable[str],
        *,
        recovery: bool,
    ) -> int:
        """Close the episodes of these kinds whose trouble the survey no longer found; return how many."""
        asked = {"kinds": array(kinds), "functions": array(functions), "handlers": array(handlers)}
        beside = {"found": json.dumps(found, default=str), "recovery": recovery}
        return self.connection.execute(statement("close_states"), asked | beside).rowcount

    def close_gone(self, since: datetime) -> int:
        """End the episodes of what is there no more, as one says who has been there since then; return how many."""
        return self.connection.execute(statement("close_gone"), {"since": since}).rowcount

    def open_subjects(self) -> list[OpenSubject]:
        """Return what episodes are open of."""
        return all_rows(self.connection, statement("open_subjects"), {}, OpenSubject)

    def route(self, routed: Sequence[Mapping[str, Any]]) -> None:
        """Write down whom some episodes tell."""
        self.connection.execute(statement("route_episodes"), {"routed": json.dumps(routed)})

    # --- what is told ---------------------------------------------------------------------------------

    def make_notices(self, *, repeat: float | None, recovery: bool, most: int) -> int:
        """Make the notices that are owed; return how many."""
        asked = {"repeat": repeat, "recovery": recovery, "most": most}
        self.connection.execute(statement("notify_added"), asked)
        return self.connection.execute(statement("make_notices"), asked).rowcount

    def targets_due(self, targets: Iterable[str], group: float, most: int) -> list[str]:
        """Return the targets whose notices have been gathered for long enough."""
        asked = {"targets": array(targets), "group": group, "most": most}
        return [row[0] for row in self.connection.execute(statement("targets_due"), asked)]

    def hold_target(self, target: str) -> bool:
        """Be the only one to make a message for a target, in the caller's transaction; False if another is."""
        asked = {"target": target, "timeout": STOPPED_TIMEOUT}
        row = self.connection.execute(statement("hold_target"), asked).fetchone()
        return bool(row and row[0])

    def gather_notices(self, target: str, most: int) -> list[dict[str, Any]]:
        """Return the notices of a target that no message carries yet, the oldest first."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement("gather_notices"), {"target": target, "most": most}).fetchall()

    def write_message(self, target: str, payload: Mapping[str, Any], notices: Iterable[int]) -> None:
        """Make a message of some notices."""
        asked = {"target": target, "payload": json.dumps(payload), "notices": array(notices)}
        self.connection.execute(statement("write_message"), asked)

    def give_up_pings(self, seconds: float) -> None:
        """Give up pings that have waited for too long."""
        self.connection.execute(statement("give_up_pings"), {"seconds": seconds})

    def write_pings(self, pings: Sequence[Mapping[str, Any]]) -> None:
        """Make a message of each ping."""
        self.connection.execute(statement("write_pings"), {"pings": json.dumps(pings)})

    def take_messages(self, targets: Iterable[str], seconds: float) -> list[Message]:
        """Take the next message of each target, to be sent within so many seconds."""
        asked = {"targets": array(targets), "seconds": seconds}
        return all_rows(self.connection, statement("take_messages"), asked, Message)

    def output(self, run: int, most: int) -> str:
        """Return the last characters that a run has printed."""
        row = self.connection.execute(statement("output_of"), {"run": run, "most": most}).fetchone()
        return str(row[0]) if row else ""

    def sent(self, message: Message) -> None:
        """Write down that a message has arrived."""
        self.connection.execute(statement("message_sent"), {"key": message.key, "attempts": message.attempts})

    def failed(self, message: Message, delay: float | None, error: str) -> None:
        """Write down that a message has not arrived, and after which delay it is sent again; None for never."""
        asked = {"key": message.key, "attempts": message.attempts, "delay": delay, "error": error}
        self.connection.execute(statement("message_failed"), asked)
