"""Turns events into the lines of the log: the one subscriber that is always there.

Each event has a level and a sentence here, or is not logged; a sentence names the event's fields. What text form shows
beside the sentence is named as well; the JSON form shows all fields. Rows in trouble go to `troubles`, which
gathers them by their cause.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from poller.duration import words
from poller.telemetry import events as e
from poller.telemetry import log
from poller.telemetry.troubles import Trouble, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING

_GONE = "the history of the rows shows what this run has done"


class Sentence(NamedTuple):
    """How an event is logged.

    Attributes:
        level: of `logging`, or what gives it.
        text: a format that the event's fields fill, or what composes it.
        beside: what the text form shows beside it: the names of fields, or what composes them.
    """

    level: int | Callable[[Any], int]
    text: str | Callable[[Any], str]
    beside: tuple[str, ...] | Callable[[Any], dict[str, Any]] = ()


# Events without a line: others report the same, or they are too frequent.
SILENT: frozenset[type[e.Event]] = frozenset({e.RowsClaimed, e.RowsSettled, e.RunFinished})

# Events that `troubles` gathers, and its name for the row's fate; a `RowChanged` carries its own.
FATES: dict[type[e.Event], str] = {
    e.AttemptFailed: "retrying",
    e.RowFailed: "failed",
    e.RowParked: "parked",
    e.FailedAfterMove: "moved, then failed",
    e.LeaseLost: "late",
    e.ResultRefused: "refused",
    e.RowChanged: "",
}


def _circling(event: e.RowCircling) -> str:
    others = f", and {event.rows - 1:,} other rows" if event.rows > 1 else ""
    return (
        f"{event.handler}: row {event.key} circles: it was moved {event.moves} times within "
        f"{words(round(event.seconds))}{others}. Find what sets {event.column} back to {event.status!r} "
        f"after a move to {event.to!r}: a trigger, another program, a handler that moves it back, or a due time that "
        f"stays in the past. Such rows now wait, up to {words(event.longest_wait_seconds)}"
    )


def _pause(event: e.HandlerPaused | e.DrainLeftPaused) -> str:
    by = f" by {event.by}" if event.by else ""
    return by if event.until is None else f"{by} until {event.until.isoformat(timespec='seconds')}"


SENTENCES: dict[type[e.Event], Sentence] = {
    e.RowCircling: Sentence(WARNING, _circling),
    e.RowsTakenBack: Sentence(INFO, "took back {rows} rows from dead workers"),
    e.RowsBegunLate: Sentence(
        WARNING,
        lambda each: (
            f"{each.handler}: gave {each.rows} rows back, since they began too late after their claim to keep the "
            f"rate; rows may now begin up to {words(each.may_take_seconds)} late, which lowers the rate"
        ),
    ),
    e.RowsForgotten: Sentence(DEBUG, "{handler}: forgot {rows} rows that are gone or show another status"),
    e.HandlerPutAside: Sentence(
        WARNING, "{handler}: {error}; backing off for {retry_seconds:.0f}s, longer after each further failure"
    ),
    e.HandlerRestored: Sentence(
        INFO, "{handler}: works again", lambda each: {"after": f"{each.failures} failures"}
    ),
    e.HandlerPaused: Sentence(
        INFO, lambda each: f"{each.handler}: paused{_pause(each)}; nothing of it is claimed"
    ),
    e.HandlerResumed: Sentence(INFO, "{handler}: resumed"),
    e.ClaimFailed: Sentence(WARNING, "{handler}: {error}; claiming its rows one at a time for a while"),
    e.ClaimLost: Sentence(
        WARNING, "lost the lease of {rows} rows while claiming them; other workers will take them"
    ),
    e.ResultsWait: Sentence(WARNING, "{handler}: {reason}"),
    e.ResultsWritable: Sentence(INFO, "{handler}: its outcomes can be written again"),
    e.ResultsGivenUp: Sentence(WARNING, "{handler}: {error}; released the leases of {rows} rows"),
    e.KeysDropped: Sentence(
        WARNING,
        "{handler}: dropped {rows} rows known by keys that its table's key cannot be any more, as {key}",
    ),
    e.ForgettingFailed: Sentence(
        WARNING, "{handler}: cannot check which of its rows in trouble have moved on: {error}"
    ),
    e.TransactionSlow: Sentence(
        WARNING,
        lambda each: (
            f"{each.handler} held its transaction open for {words(each.seconds)}, which locks the row "
            "and holds back vacuum; move slow work to a handler that is not transactional"
        ),
    ),
    e.TransactionLost: Sentence(WARNING, "{error}; its rows were given back"),
    e.TransactionUnwritable: Sentence(
        WARNING, "{handler}: no outcome can be written: {error}; trying again in {retry_seconds:.0f}s"
    ),
    e.EventLoopBlocked: Sentence(
        WARNING,
        lambda each: (
            f"{each.attempt or 'something'} has blocked the event loop for {words(each.seconds)}: "
            "no other coroutine can run; await slow calls, or use a plain function"
        ),
    ),
    e.EventLoopInterrupted: Sentence(
        WARNING,
        "the event loop {how}, by a coroutine handler or a task that it left behind; restarted the loop",
    ),
    e.RunPlanned: Sentence(
        lambda each: DEBUG if each.runs == 1 else INFO,
        "planned {job}",
        lambda each: {"runs": each.runs, "latest": each.latest.isoformat()},
    ),
    e.RunCancelled: Sentence(INFO, "run {run} of {job} is cancelled"),
    e.JobUnplannable: Sentence(WARNING, "job {job} cannot be planned here: {error}"),
    e.JobRedeclared: Sentence(
        WARNING,
        "job {job} is declared differently by another program; the declaration here replaces the other, and"
        " either program may run the job. Rename it, unless the other program is an older version of this one",
        ("here", "there"),
    ),
    e.JobLocked: Sentence(WARNING, "job {job}: another session has locked its row; trying again"),
    e.ClockSetBack: Sentence(
        WARNING,
        "the database's clock went back by {seconds:.0f}s; planning again the runs that now lie too far ahead",
        ("jobs",),
    ),
    e.WorkerStarted: Sentence(INFO, "worker {worker} is ready", ("slots",)),
    e.WorkerStopped: Sentence(INFO, "worker {worker} has left"),
    e.WorkerDrains: Sentence(
        INFO, "worker {worker} drains: it claims nothing more, and ends when it holds nothing"
    ),
    e.MessageUndelivered: Sentence(WARNING, "alerts do not reach {target}: {error}; they are sent again"),
    e.MessageDelivered: Sentence(INFO, "alerts reach {target} again"),
    e.WorkerDied: Sentence(WARNING, "worker {worker} is dead: {reason}", ("host", "pid")),
    e.WorkerDeclaredDead: Sentence(
        WARNING, "worker {worker} was declared dead and has lost its leases; registering again"
    ),
    e.WorkerStuck: Sentence(WARNING, "a handler is still running after its timeout; restarting this worker"),
    e.WorkerStarves: Sentence(
        WARNING, "no file descriptor is left, so a handler may leak them; restarting this worker"
    ),
    e.WorkerUnfit: Sentence(WARNING, "this worker cannot start: {error}"),
    e.WorkerPooled: Sentence(
        WARNING, "connected through a pooler: notifications and instant crash detection are off"
    ),
    e.ResultsLeft: Sentence(
        WARNING, "{rows} results could not be written; the sweeper will take their rows back"
    ),
    e.ProcessEnded: Sentence(
        WARNING, "a worker process ended with {how}; starting another in {restart_seconds:.1f}s", ("pid",)
    ),
    e.ProcessHung: Sentence(
        WARNING, "a worker process does not respond and its lease has expired; killing it", ("pid",)
    ),
    e.ProcessNotStarted: Sentence(
        WARNING, "a worker process cannot be started: {error}; trying again in {retry_seconds:g}s"
    ),
    e.DatabaseLost: Sentence(WARNING, "{service}: {error}; trying again"),
    e.DatabaseBack: Sentence(
        INFO, "{service}: works again", lambda each: {"after": f"{each.failures} failed rounds"}
    ),
    e.ServiceFailed: Sentence(WARNING, "{service}: {error}; trying again"),
    e.ServiceRestored: Sentence(
        INFO, "{service}: works again", lambda each: {"after": f"{each.failures} failed rounds"}
    ),
    e.SweepFailed: Sentence(WARNING, "the last sweep failed: {error}; another supervisor will sweep"),
    e.MigrationWaits: Sentence(
        WARNING,
        "waiting for {holder}, which holds the migration lock; if it is not a migration, end it",
    ),
    e.FleetStarted: Sentence(INFO, lambda each: f"{each.kind}: {', '.join(each.names)}"),
    e.FleetListens: Sentence(
        INFO,
        lambda each: (
            f"listening at {each.address}: /healthz, /readyz"
            + (", /metrics" if each.metrics else "; for /metrics run: pip install 'poller[metrics]'")
        ),
    ),
    e.FleetStopping: Sentence(
        INFO,
        "stopping: no more claims; handlers may finish",
        lambda each: {"grace": f"{each.grace_seconds:g}s"},
    ),
    e.FleetProgress: Sentence(
        INFO,
        "{moved:,} moved ({rate:,.0f}/s), {in_flight:,} in flight, {waiting:,} waiting to retry, {parked:,} parked",
    ),
    e.FleetFinished: Sentence(INFO, "done: {moved} moved, {failed} failed, {parked} parked"),
    e.FleetNotBegun: Sentence(INFO, "stopped before anything began"),
    e.FleetSilenced: Sentence(
        WARNING,
        lambda each: f"the database {'is gone' if each.lost else 'does not answer'}; {_GONE}",
    ),
    e.DrainStarted: Sentence(INFO, "draining: {rows} rows are due"),
    e.DrainLeftAlone: Sentence(INFO, "left alone: {parked} parked, {snoozed} snoozed"),
    e.DrainLeftOnHold: Sentence(
        INFO, "left alone: {rows} rows of {handler} that have failed and are not due for now"
    ),
    e.DrainLeftPaused: Sentence(
        INFO, lambda each: f"left alone: {each.rows:,} rows of {each.handler}, which is paused{_pause(each)}"
    ),
    e.DrainWaits: Sentence(INFO, "waiting for the due rows of {handler}: {why}"),
    e.DrainLeftKept: Sentence(
        WARNING, "left {rows} due rows of {handler}: row security keeps this role from changing them"
    ),
    e.DrainStopped: Sentence(
        WARNING,
        "stopped before the end: {rows} rows are left, {waiting} of them waiting to retry, {in_flight} in flight",
    ),
}


def write(event: e.Event, /, **beside: Any) -> None:
    """Write the line of an event, if it has one and its level is asked for.

    Args:
        event: what happened.
        **beside: further fields of the line.
    """
    sentence = SENTENCES.get(type(event))
    if sentence is None:
        return
    level = sentence.level(event) if callable(sentence.level) else sentence.level
    if not log.is_asked_for(level):
        return
    fields = event.fields
    text = sentence.text(event) if callable(sentence.text) else sentence.text.format_map(fields)
    shown = (
        sentence.beside(event)
        if callable(sentence.beside)
        else {name: fields[name] for name in sentence.beside}
    )
    log.write(text, level, {**shown, **beside}, event=event.name, known=fields)


def gather(events: Sequence[e.RowEvent]) -> None:
    """Log rows in trouble, all of one handler: see `troubles`."""
    digest.report(events[0].handler, [_trouble(event) for event in events])


def _trouble(event: e.RowEvent) -> Trouble:
    fate = event.became if isinstance(event, e.RowChanged) else FATES[type(event)]
    delay = event.retry_seconds if isinstance(event, e.AttemptFailed) else None
    cause = f"{event.error_class} {event.error_place}" if event.error_class and event.error_place else None
    return Trouble(fate, event.error, event.key, event.attempt, delay, event.name, cause)
