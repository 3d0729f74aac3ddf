"""Settles results: gathers them for a moment, and writes them in batches, one statement for each handler.

The model. A result waits here until it is written, through any fault of the database: the worker keeps its leases while
the heartbeat goes on. Writing is fenced, so repeating a batch whose commit is unknown is safe: rows that were written
are no longer held, and are skipped.

Results that cannot be written at once do not block others: they are handed to `postponed`, and so are further results of
a handler in trouble. Only if the connection broke are all results kept here and tried again.

The claimer bounds the number of handled but unwritten rows; it reads `pending` for that.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from poller.model.answers import Uncommitted
from poller.model.outcome import Became, Outcome
from poller.runtime.failpoints import reach
from poller.services import settle_events
from poller.services.postponed import Postponed, form_of, lesser
from poller.store.lease import Result, Settled
from poller.store.outcomes import SWALLOWED
from poller.store.settlements import SIMPLE_BATCH_ROWS, Settlements, simple_status
from poller.telemetry.bus import emit_rows, is_heard

if TYPE_CHECKING:
    from poller.db.connection import Link
    from poller.services.circling import Circling
    from poller.store.binding import Binding
    from poller.store.lease import Task

BATCH_ROWS = 1000
BATCH_CHARACTERS = 4_000_000  # of keys in a batch
LINGER_SECONDS = 0.005  # that a result waits for others to join its batch
WEIGHT = 0.1  # of a new measurement in the mean time of a handler

_QUIET = (Became.MOVED, Became.SNOOZED, Became.RELEASED)

Observer = Callable[[Result, Became], None]


class Refused(Exception):  # noqa: N818 - what became of an UPDATE
    """The UPDATE of a row reported no row, though it stood as it should: a trigger or rule swallowed it."""


class Settler:
    """Takes results from any thread and writes them on its own.

    Args:
        link: of its own.
        busy: returns whether more results are on their way.
        apart: the link on which `postponed` writes, on a thread of its own; without one, it writes on this thread.
        written: called with a handler and those of its results that have been written or given up.
        observe: called with each written result and what became of its row (for tests and counts).
        on_postponed: called when results have been postponed.
        circling: counts how often rows are moved.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        link: Link,
        *,
        busy: Callable[[], bool] = lambda: False,
        observe: Observer | None = None,
        written: Callable[[Binding, list[Result]], None] = lambda *_: None,
        apart: Link | None = None,
        on_postponed: Callable[[], None] = lambda: None,
        circling: Circling | None = None,
    ) -> None:
        self._settlements = Settlements(link)
        self._busy = busy
        self._observe = observe
        self._written = written
        self._circling = circling
        self._results: deque[Result] = deque()
        self._arrived = threading.Event()
        self._batch: list[Result] = []
        self._has_lost = False  # the last statement lost the connection
        self.mean_seconds: dict[Binding, float] = {}
        self.postponed = Postponed(apart or link, self._after, written, on_postponed)

    def report(self, results: Sequence[Result]) -> None:
        """Take results of one handler; called from any thread."""
        self._results.extend(amended(results))
        if not self._arrived.is_set():
            self._arrived.set()

    @property
    def pending(self) -> int:
        """How many results are not written yet."""
        return len(self._results) + len(self._batch) + self.postponed.count

    def run_once(self) -> float:
        """Wait for results, then write them. Returns 0: the next round follows at once."""
        self._arrived.wait()
        self._linger()
        self._arrived.clear()
        self._write(self._gather())
        return 0.0

    def flush(self) -> None:
        """Write all results that can be written now, on this thread; leave the others in `postponed`."""
        while self._results:
            self._write(self._gather())
            self.postponed.run_once()
        self.postponed.run_once()

    def recover(self) -> None:
        """Start over on a new connection."""
        self._settlements.link.close()
        self.wake()

    def wake(self) -> None:
        """End the wait for results."""
        self._arrived.set()

    def tasks(self) -> list[Task]:
        """Return the tasks whose results are not written yet."""
        results = [*list(self._results), *list(self._batch)]
        return [*(result.task for result in results), *self.postponed.tasks()]

    # --- writing -----------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Wait briefly for more results, as long as more are on their way."""
        until = monotonic() + LINGER_SECONDS
        while len(self._results) < BATCH_ROWS and self._busy() and monotonic() < until:
            threading.Event().wait(0.001)

    def _gather(self) -> list[Result]:
        batch: list[Result] = []
        characters = 0
        while self._results and len(batch) < BATCH_ROWS and characters < BATCH_CHARACTERS:
            batch.append(self._results.popleft())
            characters += len(batch[-1].task.key)
        if self._results:
            self._arrived.set()
        self._batch = batch
        return batch

    def _write(self, batch: list[Result]) -> None:
        """Write a batch; if the connection breaks, the unwritten results wait for the next round."""
        groups = deque(_grouped(batch))
        try:
            while groups:
                began = monotonic()
                settled = self._settle(*groups[0])
                took = monotonic() - began
                groups.popleft()
                # Before the callbacks: they count the held rows, which must not include written ones.
                self._batch = [result for _, group in groups for result in group]
                if settled.results:
                    self._after(settled, took)
        finally:
            self._results.extendleft(result for _, group in reversed(groups) for result in reversed(group))
            self._batch = []

    def _settle(self, status: str | None, results: list[Result]) -> Settled:
        """Write the results of one group, or hand them to `postponed`.

        Args:
            status: the status that all rows of the group simply move to, if so.
            results: the results of the group.

        Returns:
            the results that were written.

        Raises:
            Exception: the connection broke.
        """
        reach("settle begins")
        _ = self._settlements.link.connection  # failing to open it is not the fault of a row
        if self.postponed.has_trouble(results[0].task.binding):
            self.postponed.add(results)
            return Settled([], [])
        try:
            write = self._settlements.settle_each if status is None else self._settlements.settle_moved
            settled = write(results)
        except Exception:  # a value may fail in any way on its way to Postgres
            if not self._settlements.link.lives() and not self._has_lost:
                self._has_lost = True  # probably chance; the second time, a row may be the cause
                raise
            self.postponed.add(results)
            return Settled([], [])
        self._has_lost = False
        reach("settle committed")
        left, settled = settled.parted(Became.LEFT)
        if left:
            self.postponed.add(left)
        return settled

    def _after(self, settled: Settled, write_seconds: float | None = None) -> None:
        """Note written results; the thread that wrote them calls this."""
        binding, results = settled.binding, settled.results
        self._measure(binding, results)
        if Became.LATE in settled.became:
            settled = _with_own_moves(settled)
            emit_rows(settle_events.failed_after_moves(settled))
        if self._circling is not None and not binding.handler.is_job:
            self._circling.note(settled)
        if self._observe is not None or any(what not in _QUIET for what in set(settled.became)):
            self._take_note(settled)
        if is_heard():
            settle_events.tell(settled, write_seconds)
        self._written(binding, results)

    def _take_note(self, settled: Settled) -> None:
        noteworthy = []
        for result, what in settled:
            if what is Became.REFUSED:
                self._fail(result, Refused(SWALLOWED))
            elif self._observe is not None:
                self._observe(result, what)
            if what not in _QUIET:
                noteworthy.append((result, what))
        emit_rows(settle_events.in_trouble(settled.binding, noteworthy))

    def _fail(self, result: Result, error: Exception) -> None:
        """Report another outcome in place of one that cannot be written."""
        outcome = lesser(result, error)
        if outcome is not None:
            self.report([replace(result, outcome=outcome)])

    def settled(self, settled: Settled) -> None:
        """Note results that are already written, and what became of their rows."""
        if settled.results:
            self._after(settled)

    def _measure(self, binding: Binding, results: list[Result]) -> None:
        """Update the mean time of a handler, from which the size of a claim is calculated."""
        mean = sum(result.seconds for result in results) / len(results)
        known = self.mean_seconds.get(binding, mean)
        self.mean_seconds[binding] = known + WEIGHT * (mean - known)


def amended(results: Sequence[Result]) -> Sequence[Result]:
    """Return results of one handler with its additions to each outcome (`amend`)."""
    binding = results[0].task.binding if results else None
    if binding is None or binding.handler.amend is None:
        return results
    amend, encoding = binding.handler.amend, binding.encoding
    return [replace(each, outcome=amend(each.outcome, each.context, encoding)) for each in results]


def _grouped(batch: list[Result]) -> list[tuple[str | None, list[Result]]]:
    """Group results by their statement; each group has the status that all its rows simply move to, if any."""
    kinds: dict[object, list[Result]] = defaultdict(list)
    for result in batch:  # most rows of a batch share one outcome
        task = result.task
        kinds[id(result.outcome), task.lease.binding, task.retaken, task.refusal is None].append(result)
    groups: dict[object, tuple[str | None, list[Result]]] = {}
    for results in kinds.values():
        status = simple_status(results[0]) if len(results) >= SIMPLE_BATCH_ROWS else None
        groups.setdefault((form_of(results[0]), status), (status, []))[1].extend(results)
    return list(groups.values())


def _with_own_moves(settled: Settled) -> Settled:
    """Count rows that their handler has moved by itself (`ctx.settle`) as moved, instead of late; errors stay."""
    pairs = [_own_move(result, became) for result, became in settled]
    return Settled([result for result, _ in pairs], [became for _, became in pairs])


def _own_move(result: Result, became: Became) -> tuple[Result, Became]:
    if became is not Became.LATE or result.context is None or (move := result.context.settled) is None:
        return result, became
    moved = Outcome(Became.MOVED, to=move.status, attempt=result.task.attempt)
    if result.outcome.kind != Uncommitted.__name__:  # what it raised or answered after its commit
        of = result.outcome
        moved = replace(moved, error=of.error, kind=of.kind, place=of.place, traceback=of.traceback)
    return replace(result, outcome=moved), Became.MOVED
