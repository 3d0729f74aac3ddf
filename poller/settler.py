"""Settles results: gathers them for a moment, and writes them in batches, one statement for each handler.

The model. A result waits here until it is written, through any fault of the database: the leases stay ours
while the heartbeat goes on. Writing is fenced, so that repeating a batch whose commit is unknown is safe:
what was written is no longer held, and is skipped.

What an error means:
    the connection broke, or a lock or the disk was short   all is kept, and tried again
    Postgres refused the batch (a CHECK, a trigger, a type)  it is halved until the bad row is alone, and
                                                             that row's attempt has failed, with the reason
    the user's table is gone                                 its leases are given up: nothing is left to move
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from poller.database import is_passing, reason
from poller.failpoints import reach
from poller.lease import Result
from poller.outcome import Outcome, Verdict, of_error
from poller.store import SWALLOWED
from poller.telemetry import event, problem

if TYPE_CHECKING:
    from poller.binding import Binding
    from poller.lease import Task
    from poller.store import Store

BATCH = 1000
LINGER = 0.005  # seconds that a result waits for company while more is on its way
SHOWN = 3  # keys named in one line of the log
LATE = "the lease had ended; nothing was written"
WEIGHT = 0.1  # of a new measurement in the mean time of a handler

_TABLE_IS_GONE = (errors.UndefinedTable, errors.InvalidSchemaName)

_QUIET = ("moved", "snoozed", "released")

Observer = Callable[[Result, str], None]


class Refused(Exception):  # noqa: N818 - what became of an UPDATE
    """The UPDATE of a row reported no row, though it stood as it should: a trigger or rule swallowed it."""


class Settler:
    """Takes results from any thread and writes them on its own.

    Args:
        store: on a link of its own.
        busy: tells whether more results are on their way.
        written: called with a handler, and results of it that have been written, or given up.
        observe: called with each written result and what became of it (for tests and counts).
    """

    def __init__(
        self,
        store: Store,
        busy: Callable[[], bool] = lambda: False,
        observe: Observer | None = None,
        written: Callable[[Binding, list[Result]], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._busy = busy
        self._observe = observe
        self._written = written
        self._results: deque[Result] = deque()
        self._arrived = threading.Event()
        self._writing = 0
        self._batch: list[Result] = []
        self.mean_seconds: dict[Binding, float] = {}

    def report(self, results: Sequence[Result]) -> None:
        """Take results of one handler; called from any thread."""
        amend = results[0].task.lease.binding.handler.amend if results else None
        if amend is not None:
            results = [replace(each, outcome=amend(each)) for each in results]
        self._results.extend(results)
        if not self._arrived.is_set():
            self._arrived.set()

    @property
    def pending(self) -> int:
        """How many results are not written yet."""
        return len(self._results) + self._writing

    def run_once(self) -> float:
        """Wait for results, then write what there is. Returns 0: the next round follows at once."""
        self._arrived.wait()
        self._linger()
        self._arrived.clear()
        self._write(self._gather())
        return 0.0

    def flush(self) -> None:
        """Write all there is, now and on this thread."""
        while self._results:
            self._write(self._gather())

    def _write(self, batch: list[Result]) -> None:
        groups = deque(self._grouped(batch))
        try:
            while groups:
                results = groups.popleft()
                with self._keeping(*groups):
                    self._settle(results)
        finally:
            self._batch = []  # what could not be written is waiting again

    def recover(self) -> None:
        """Start over on a new connection."""
        self._store.link.close()
        self.wake()

    def wake(self) -> None:
        """End the wait for results."""
        self._arrived.set()

    def _linger(self) -> None:
        """Wait for company, as long as it is coming, and briefly."""
        until = monotonic() + LINGER
        while len(self._results) < BATCH and self._busy() and monotonic() < until:
            threading.Event().wait(0.001)

    def _gather(self) -> list[Result]:
        batch: list[Result] = []
        while self._results and len(batch) < BATCH:
            batch.append(self._results.popleft())
        if self._results:
            self._arrived.set()
        self._writing = len(batch)
        self._batch = batch
        return batch

    def tasks(self) -> list[Task]:
        """Return those whose results are not written yet."""
        return [result.task for result in [*list(self._results), *self._batch]]

    def _grouped(self, batch: list[Result]) -> Iterable[list[Result]]:
        """Return the results apart that take different statements."""
        groups: dict[tuple[Binding, tuple[str, ...], bool], list[Result]] = defaultdict(list)
        for result in batch:
            task = result.task
            groups[task.lease.binding, tuple(result.outcome.columns), task.refusal is None].append(result)
        return groups.values()

    def _settle(self, results: list[Result]) -> None:
        """Write a group; halve it where Postgres refuses it; keep it where the fault is passing."""
        binding = results[0].task.lease.binding
        try:
            became = self._store.settle(results)
        except _TABLE_IS_GONE as error:
            self._give_up(binding, results, error)
        except Exception as error:  # a value may fail in any way on its way to Postgres
            if is_passing(error) and not (_is_lock(error) and len(results) > 1):
                self._keep(results)
                raise
            self._divide(results, error)
        else:
            reach("settle committed")
            self._writing -= len(results)
            self._after(binding, results, became)

    @contextlib.contextmanager
    def _keeping(self, *unwritten: list[Result]) -> Iterator[None]:
        """Keep what has not had its turn when the turn of another ends with a passing fault."""
        try:
            yield
        except BaseException:
            for results in unwritten:
                self._keep(results)
            raise

    def _keep(self, results: list[Result]) -> None:
        self._results.extendleft(reversed(results))
        self._writing -= len(results)

    def _divide(self, results: list[Result], error: Exception) -> None:
        if len(results) > 1:
            middle = len(results) // 2
            with self._keeping(results[middle:]):
                self._settle(results[:middle])
            self._settle(results[middle:])
            return
        self._writing -= 1
        self._fail(results[0], error)

    def _fail(self, result: Result, error: Exception) -> None:
        """Put another outcome in the place of one that cannot be written: each asks less of the table."""
        task, refused = result.task, result.outcome
        if refused.verdict is Verdict.MOVED:
            failure = RuntimeError(f"the move was refused: {reason(error)}")
            outcome = of_error(task.lease.binding.handler, failure, task.attempt, task.age)
        elif refused.verdict is not Verdict.PARKED or refused.to is not None:
            what = "on_failure" if refused.verdict is Verdict.FAILED else "the way back"
            said = f"{refused.error or refused.verdict.value}; moreover {what} was refused: {reason(error)}"
            outcome = Outcome(Verdict.PARKED, attempt=refused.attempt, error=said)
        else:
            row = f"{task.lease.binding}:{task.key}"
            problem(f"{row} cannot be settled: {reason(error)}; it is held until this worker ends")
            self._written(task.lease.binding, [result])
            return
        self.report([Result(task, outcome, result.seconds)])

    def _give_up(self, binding: Binding, results: list[Result], error: psycopg.Error) -> None:
        problem(f"{binding}: {reason(error)}; giving up {len(results)} rows")
        self._store.forfeit({result.task.lease.id for result in results})
        self._writing -= len(results)
        self._written(binding, results)

    def _after(self, binding: Binding, results: list[Result], became: list[str]) -> None:
        self._measure(binding, results)
        noteworthy = []
        for result, what in map(_own_move, results, became):
            if what == "refused":
                self._fail(result, Refused(SWALLOWED))
            elif self._observe is not None:
                self._observe(result, what)
            if what not in _QUIET:
                noteworthy.append((result, what))
        _tell(binding, noteworthy)
        self._written(binding, results)

    def settled(self, pairs: list[tuple[Result, str]]) -> None:
        """Take note of results that are written already, and what became of them."""
        if pairs:
            binding = pairs[0][0].task.lease.binding
            self._after(binding, [result for result, _ in pairs], [became for _, became in pairs])

    def _measure(self, binding: Binding, results: list[Result]) -> None:
        """Keep the mean time of a handler: what a claim's size is reckoned from."""
        mean = sum(result.seconds for result in results) / len(results)
        known = self.mean_seconds.get(binding, mean)
        self.mean_seconds[binding] = known + WEIGHT * (mean - known)


def _is_lock(error: Exception) -> bool:
    return isinstance(error, errors.LockNotAvailable)


def _own_move(result: Result, became: str) -> tuple[Result, str]:
    """Return what became of a row, of one that its handler has moved by itself (`ctx.settle`) included."""
    if became != "late" or result.context is None or (move := result.context.settled) is None:
        return result, became
    moved = Outcome(Verdict.MOVED, to=move.status, attempt=result.task.attempt)
    return replace(result, outcome=moved), Verdict.MOVED


def _tell(binding: Binding, noteworthy: list[tuple[Result, str]]) -> None:
    """Say what became of rows that did not simply move on: a line for each kind, not for each row."""
    kinds: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result, became in noteworthy:
        why = result.outcome.error or f"was to become {result.outcome.to}"
        kinds[became, LATE if became == "late" else why].append(result)
    for (became, why), results in kinds.items():
        tell = event if became in ("superseded", "gone") else problem
        rows = ", ".join(each.task.key for each in results[:SHOWN])
        more = f" and {len(results) - SHOWN} more" if len(results) > SHOWN else ""
        delay = results[0].outcome.delay
        again = {"again_in": f"{delay:.1f}s"} if became == "retrying" and delay is not None else {}
        attempt = results[0].outcome.attempt
        tell(f"{became}: {why}", table=binding, rows=rows + more, attempt=attempt, **again)
