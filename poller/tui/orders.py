"""Orders that people give from the screen: each first says what it would do now, and to how many rows.

What is proposed is true for the moment of the question; the order checks for itself. A confirmed order is carried out by
a client of its own, which may take long, and is stopped between two batches.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from poller.client.retrying import cause
from poller.telemetry.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.client.find import Found
    from poller.client.status import StatusLine
    from poller.tui.looks import ScreenClients

COUNTED_ROWS = 1000  # rows in flight that are counted one by one
COUNTED_RUNS = 100  # the newest of a job, among which those in progress are counted


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an order would do now.

    Attributes:
        question: the question, with the number of rows.
        effect: what becomes of them.
        yes: what the button says that carries it out; None if there is nothing to do.
    """

    question: str
    effect: str = ""
    yes: str | None = None


@dataclass(frozen=True, slots=True)
class Under:
    """An order under way: it tells how many rows it has reached, and may be stopped between two batches."""

    tell: Callable[[int], object]
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class DraftOrder:
    """An order, not given yet.

    Attributes:
        propose: asks what it would do now.
        act: carries it out, and returns what it has done.
    """

    propose: Callable[[ScreenClients], Proposal]
    act: Callable[[ScreenClients, Under], str]


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Rows of a handler: all of them, one, several, or those that failed with one error.

    Attributes:
        table: as the database names it.
        status: that the handler takes.
        key: of one row.
        error: the class and the place of the errors, as groups show them.
        others: keys of further rows.
        column: the status column, where the table has several and a line names it.
    """

    table: str
    status: str
    key: str | None = None
    error: str | None = None
    others: tuple[str, ...] = ()
    column: str | None = None

    @property
    def selector(self) -> str:
        """The rows as the client reads them, without the error."""
        return f"{self.handler}:{self.key}" if self.key is not None else self.handler

    @property
    def handler(self) -> str:
        """The handler's name."""
        return f"{self.table}:{self.status}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys beside the handler."""
        return () if self.key is None else (self.key, *self.others)

    @property
    def each(self) -> list[ChosenRows]:
        """Each of several rows."""
        return [replace(self, key=key, others=()) for key in self.keys]

    def __str__(self) -> str:
        about = f" with {self.error.strip()}" if self.error else ""
        return one_line(f"{self.handler if self.others else self.selector}{about}")


def together(rows: Sequence[ChosenRows]) -> ChosenRows:
    """Return several rows of one handler as one thing to give an order for."""
    return replace(rows[0], others=tuple(str(each.key) for each in rows[1:]))


def retry(rows: ChosenRows) -> DraftOrder:
    """Return the order to put rows in trouble back."""

    def propose(asked: ScreenClients) -> Proposal:
        count = _in_trouble(asked, rows)
        if not count:
            return Proposal(f"No row of {rows} is parked or waits for another attempt.")
        effect = "They become due at once, and their attempt count starts over."
        return Proposal(f"Retry {number(count)} of {rows}?", effect, f"Retry {number(count)}")

    def act(asked: ScreenClients, under: Under) -> str:
        done = asked.client.retry(
            rows.handler, rows.keys, error=rows.error, progress=under.tell, stop=under.stop
        )
        left = f"; {number(done.unseen)} of them could not be looked at" if done.unseen else ""
        left += (
            f"; {number(done.locked)} left, since another transaction has them locked" if done.locked else ""
        )
        left += f"; {number(done.kept + done.untried)} left: {done.why[0]}" if done.why else ""
        return f"{_stopped(done.stopped)}retrying {number(done.rows)} of {rows}{left}"

    return DraftOrder(propose, act)


def release(rows: ChosenRows) -> DraftOrder:
    """Return the order to take rows from the workers that hold them."""

    def propose(asked: ScreenClients) -> Proposal:
        count = held(asked, rows)
        if not count.rows:
            return Proposal(f"No row of {rows} is in flight.")
        effect = "They are due at once, and the attempt counts. Their handlers are not stopped, and may run beside it."
        return Proposal(f"Release {count} of {rows}?", effect, f"Release {count}")

    def act(asked: ScreenClients, under: Under) -> str:
        done = asked.client.release(rows.handler, rows.keys, progress=under.tell, stop=under.stop)
        note = "; its during was left as it is, since its code is not here" if done.unknown else ""
        return f"{_stopped(done.stopped)}released {number(done.rows)} of {rows}{note}"

    return DraftOrder(propose, act)


def move(rows: ChosenRows, to: str) -> DraftOrder:
    """Return the order to move rows to another status by hand."""

    def propose(asked: ScreenClients) -> Proposal:
        count = _showing(asked, rows)
        if not count.rows:
            return Proposal(f"No row of {rows} shows this status now.")
        effect = "Only rows that still show it are moved. What is in flight is not stopped: its outcome is superseded."
        question = f"Move {count} of {rows} to {one_line(to)}?"
        return Proposal(question, effect, f"Move {count}")

    def act(asked: ScreenClients, under: Under) -> str:
        done = asked.client.move(
            rows.table,
            to,
            rows.keys,
            shown=rows.status,
            column=rows.column,
            progress=under.tell,
            stop=under.stop,
        )
        left = (
            f"; {number(done.locked)} left, since another transaction has them locked" if done.locked else ""
        )
        return f"{_stopped(done.stopped)}moved {number(done.rows)} of {rows} to {one_line(to)}{left}"

    return DraftOrder(propose, act)


def pause(rows: ChosenRows) -> DraftOrder:
    """Return the order to pause a handler over the whole fleet."""

    def propose(asked: ScreenClients) -> Proposal:
        count = held(asked, rows)
        ends = f"{count} in flight will finish" if count.rows else "nothing of it is in flight"
        effect = f"No worker of the fleet claims its rows until it is resumed; {ends}."
        return Proposal(f"Pause {rows}?", effect, "Pause it")

    def act(asked: ScreenClients, _: Under) -> str:
        asked.client.pause(rows.handler, is_handler=True)
        return f"paused {rows}"

    return DraftOrder(propose, act)


def resume(name: str, *, is_handler: bool = False) -> DraftOrder:
    """Return the order to let a job or a handler go on."""
    shown = one_line(name)

    def propose(_: ScreenClients) -> Proposal:
        return Proposal(f"Resume {shown}?", "It goes on from now.", "Resume it")

    def act(asked: ScreenClients, _: Under) -> str:
        done = asked.client.resume(name, is_handler=is_handler)
        return f"resumed {shown}" if done.changed else f"{shown} was not paused"

    return DraftOrder(propose, act)


def pause_job(name: str) -> DraftOrder:
    """Return the order to pause a job."""
    shown = one_line(name)

    def propose(asked: ScreenClients) -> Proposal:
        ends = _going_on(asked, name)
        effect = f"Nothing of it is planned or starts until it is resumed; {ends}."
        return Proposal(f"Pause the job {shown}?", effect, "Pause it")

    def act(asked: ScreenClients, _: Under) -> str:
        asked.client.pause(name)
        return f"paused {shown}"

    return DraftOrder(propose, act)


def trigger(name: str) -> DraftOrder:
    """Return the order to run a job now."""
    shown = one_line(name)

    def propose(asked: ScreenClients) -> Proposal:
        effect = f"It runs beside its schedule, with its own arguments; {_going_on(asked, name)}."
        return Proposal(f"Run the job {shown} now?", effect, "Run it")

    def act(asked: ScreenClients, _: Under) -> str:
        done = asked.client.trigger(name)
        waits = "; the job is paused, so it waits" if done.is_paused else ""
        return f"entered run {done.run} of {shown}{waits}"

    return DraftOrder(propose, act)


def cancel(run: int) -> DraftOrder:
    """Return the order to stop a run."""

    def propose(asked: ScreenClients) -> Proposal:
        found = asked.client.logs(run)
        if found.status not in {"pending", "running"}:
            return Proposal(f"Run {run} of {one_line(found.job)} has ended: {found.status}.")
        effect = "It is asked to stop." if found.status == "running" else "It has not begun, and never will."
        return Proposal(f"Cancel run {run} of {one_line(found.job)}?", effect, "Cancel the run")

    def act(asked: ScreenClients, _: Under) -> str:
        done = asked.client.cancel(run)
        said = "asked run {} of {} to stop" if done.is_running else "cancelled run {} of {}"
        return said.format(run, one_line(done.job))

    return DraftOrder(propose, act)


def drain(worker: int) -> DraftOrder:
    """Return the order to have a worker end once it holds nothing."""

    def propose(asked: ScreenClients) -> Proposal:
        line = next((each for each in asked.client.workers().items if each.id == worker), None)
        if line is None or line.state == "dead":
            return Proposal(f"Worker {worker} is not alive.")
        if line.state != "alive":
            return Proposal(f"Worker {worker} is {line.state} already.")
        holds = number(line.in_flight)
        effect = f"It claims nothing more, ends when it holds nothing ({holds} now), and is not replaced."
        return Proposal(f"Drain worker {worker} on {one_line(line.host)}?", effect, "Drain it")

    def act(asked: ScreenClients, _: Under) -> str:
        asked.client.drain(worker)
        return f"draining worker {worker}"

    return DraftOrder(propose, act)


# --- counts --------------------------------------------------------------------------------------------


def number(rows: int) -> str:
    """Return a number of rows in words."""
    return f"{rows:,} row" if rows == 1 else f"{rows:,} rows"


@dataclass(frozen=True, slots=True)
class RowCount:
    """A number of rows, and what stands before it if it is not exact."""

    rows: int
    about: str = ""

    def __str__(self) -> str:
        return f"{self.about}{number(self.rows)}"


def held(asked: ScreenClients, rows: ChosenRows) -> RowCount:
    """Return how many rows workers hold."""
    if rows.others:
        return RowCount(sum(held(asked, each).rows for each in rows.each))
    page = asked.client.inflight(rows.selector, limit=COUNTED_ROWS)
    return RowCount(len(page.items), "more than " if page.next is not None else "")


def _in_trouble(asked: ScreenClients, rows: ChosenRows) -> int:
    if rows.others:
        return sum(_in_trouble(asked, each) for each in rows.each)
    if rows.key is not None:
        found: Any = asked.client.failures(rows.selector).items
        return sum(each.to is None for each in found)
    groups = asked.client.failure_groups(rows.handler).items
    return sum(
        each.waiting + each.parked for each in groups if rows.error in {None, cause(each.error, each.place)}
    )


def _showing(asked: ScreenClients, rows: ChosenRows) -> RowCount:
    """Return how many rows show the status that they are to be moved from."""
    if rows.others:
        return RowCount(sum(_showing(asked, each).rows for each in rows.each))
    if rows.key is not None:
        found = asked.client.find(f"{rows.table}:{rows.key}").items
        shown = [each for each in found if each.kind == "row" and is_of(rows, each)]
        return RowCount(sum(each.status == rows.status for each in shown))
    lines = asked.machines.status().items
    those = [each for each in lines if is_of(rows, each) and each.status == rows.status]
    return RowCount(sum(each.rows for each in those), "" if all(each.exact for each in those) else "≈ ")


def is_of(rows: ChosenRows, line: Found | StatusLine) -> bool:
    """Tell whether a line is of the table, and of the status column if one is chosen: a line names it among several."""
    return line.table == rows.table and (rows.column is None or line.column in {None, rows.column})


def _going_on(asked: ScreenClients, job: str) -> str:
    found = asked.client.runs(job, limit=COUNTED_RUNS).items
    running = sum(each.status == "running" for each in found)
    if not running:
        return "no run of it is in progress"
    return "1 run of it is in progress" if running == 1 else f"{running} runs of it are in progress"


def _stopped(is_stopped: bool) -> str:  # noqa: FBT001 - an answer's
    return "stopped; " if is_stopped else ""
