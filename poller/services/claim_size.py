"""How many rows a worker claims: as many as its executor can work on soon, and no more.

The model. The number follows from how long each handler's attempts have taken: about `HORIZON_SECONDS` of work may wait
in this process beside the running handlers, so that quick handlers get large batches and a slow one leaves its rows to
other workers. Rows in trouble, and rows of handlers that allow one attempt, are claimed only when a slot is free: a
claim that ends with its worker counts as an attempt.

The rows that a worker holds are bounded (`MOST_HELD_ROWS`), however slow the writing is: rows that are handled but not
written must be handled again if the worker dies. While a handler's outcomes cannot be written, its rows are not claimed.

A claim's statement bounds the bytes that it brings (`fitting.sql`); the mean size of a handler's rows bounds the bytes
held here, handled or not.

Threads. The claimer's thread writes every field but `_low` and `_is_crowded`: threads that report or write results ask
whether the claimer is hungry, and one of them is notified, once. Threads that write results also note late rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from poller.store.binding import CLAIM_BYTES
from poller.telemetry.bus import emit
from poller.telemetry.events import RowsBegunLate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.executor.executor import Executor
    from poller.services.postponed import Postponed
    from poller.store.binding import Binding
    from poller.store.lease import Task
    from poller.store.limits import Limits

LARGEST_ROWS = 1000  # in one claim
MOST_HELD_ROWS = 2000  # that one worker holds: they wait, run, or are handled and not written yet
RESERVED_ROWS = 200  # of these, kept for other handlers when one handler's outcomes cannot be written
HORIZON_SECONDS = 0.1  # of work that may wait in this process
THREADS_WORTH_SECONDS = 0.005  # of work for which another thread is woken
TELL_AGAIN_SECONDS = 600.0  # until a condition that lasts is logged again


@dataclass(slots=True)
class ClaimSize:
    """How large a handler's claims may be.

    Attributes:
        row: the mean size of a row, about, in bytes.
        careful: how many rows to claim next after a failed claim: one, then two, then four …; 0 if none has failed.
        late_told_at: when late rows of a handler with a rate were last logged (monotonic).
    """

    row: float = 0.0
    careful: int = 0
    late_told_at: float = -TELL_AGAIN_SECONDS

    def learn(self, row: float) -> None:
        """Learn from a claim that worked: the mean size grows at once, and shrinks gradually."""
        self.row = max(row, (self.row + row) / 2)
        self.careful = 2 * self.careful if self.careful * 2 <= LARGEST_ROWS else 0


class ClaimSizes:
    """How many rows a worker may claim of each handler.

    Attributes:
        of: the size of each handler's claims.
        first_in_line: handlers with a rate that wait for a free slot. They claim only rows that can begin at once, and
            no other handler claims meanwhile: one that keeps filling the queue would otherwise take every slot.
    """

    def __init__(  # noqa: PLR0913 - the inputs of the calculation
        self,
        *,
        bindings: Sequence[Binding],
        limits: Limits,
        executor: Executor,
        mean_seconds: dict[Binding, float],
        held: Callable[[], Iterable[Task]],
        unwritten: Callable[[], int],
        postponed: Postponed,
    ) -> None:
        self.of = {binding: ClaimSize() for binding in bindings}
        self.first_in_line: set[Binding] = set()
        self._limits = limits
        self._executor = executor
        self._mean_seconds = mean_seconds
        self._held = held
        self._unwritten = unwritten
        self._postponed = postponed
        self._low: int | None = (
            None  # the queue length at which the claimer gets hungry; any thread takes it, once
        )
        self._is_crowded = (
            False  # the queue has run low, but too much is not written yet; any thread ends it, once
        )

    # --- on the claimer's thread --------------------------------------------------------------------

    def room(self, binding: Binding) -> int:
        """Return how many rows to claim now."""
        return min(self.allowed(binding), self._workable(binding))

    def allowed(self, binding: Binding) -> int:
        """Return how many more rows of a handler this worker may hold.

        A part is reserved, so that other handlers continue when the outcomes of one cannot be written.
        """
        if self._postponed.has_trouble(binding):
            return 0
        held = self._under_way()
        allowed = max(MOST_HELD_ROWS - RESERVED_ROWS - held, RESERVED_ROWS - (held - self._postponed.count))
        batch = binding.handler.batch
        if allowed < batch:
            return 0 if held else batch
        return allowed - allowed % batch

    def startable(self, binding: Binding) -> int:
        """Return how many rows could start at once, or next in a queue that moves."""
        executor = self._executor
        if binding.handler.rate is not None:
            return _whole_batches(binding, executor.free * binding.handler.batch)
        places = executor.free or (executor.slots if executor.waiting else 0)
        return _whole_batches(binding, places * binding.handler.batch)

    def fitting(self, binding: Binding, room: int) -> int:
        """Return how many of `room` rows to claim by their size in bytes; the handler's rows held here count."""
        size = self.of[binding]
        most = min(room, size.careful or room)
        if size.row * 4 * LARGEST_ROWS < CLAIM_BYTES:  # even all rows that may be held are not that large
            return most
        held = sum(task.lease.binding is binding for task in self._held())
        # At least one row for each slot, however large.
        return min(most, max(int(CLAIM_BYTES / size.row), self._executor.slots) - held)

    def of_retries(self, binding: Binding) -> tuple[int, int]:
        """Return how many rows in trouble to claim, and how many suspects."""
        limit = min(self.allowed(binding), self.startable(binding))
        suspects = max(limit, self.room(binding)) if limit > 0 else 0
        careful = self.of[binding].careful
        return (min(limit, careful), min(suspects, careful)) if careful else (limit, suspects)

    def holds_any(self) -> bool:
        """Return whether this worker holds any row."""
        return any(self._held())

    def threads(self, tasks: list[Task]) -> int | None:
        """Return how many threads to wake for the tasks, by their handler's mean time; None if that is unknown.

        Waking a thread costs more than running many a handler.
        """
        mean = self._mean_seconds.get(tasks[0].binding) if tasks else None
        return None if mean is None else 1 + int(len(tasks) * mean / THREADS_WORTH_SECONDS)

    def line_up(self, bindings: Iterable[Binding]) -> None:
        """Put the handlers with a rate that wait for a free slot first in line, out of handlers with due rows."""
        self.first_in_line = {
            each for each in bindings if each.handler.rate is not None and self.startable(each) <= 0
        }

    def has_to_wait(self, binding: Binding) -> bool:
        """Return whether other handlers are ahead of this one in the line for slots."""
        return bool(self.first_in_line) and binding not in self.first_in_line

    def has_slot(self) -> bool:
        """Return whether a handler first in line can start now; arm `is_hungry` for when no task waits."""
        self._low = 0
        return any(self.startable(each) > 0 for each in self.first_in_line)

    def wants(self, bindings: Iterable[Binding]) -> bool:
        """Return whether there is room for more rows; arm `is_hungry` for when half of the queue is gone."""
        self._low = self._executor.waiting // 2
        roomy = any(self.room(binding) > 0 for binding in bindings)
        return roomy and self.is_hungry()

    def begin_round(self) -> None:
        """Note that the claimer begins a round, so that it need not be woken."""
        self._low, self._is_crowded = None, False

    def _workable(self, binding: Binding) -> int:
        """Return how many rows of a handler can be worked on soon."""
        mean = self._mean_seconds.get(binding)
        if mean is None or goes_first(binding):
            return self.startable(binding)
        waiting = self._executor.waiting
        ahead = int(HORIZON_SECONDS * self._executor.slots / max(mean, 1e-6))
        soon = min(LARGEST_ROWS, min(ahead, 2 * LARGEST_ROWS) - waiting)
        return _whole_batches(binding, max(self._executor.free * binding.handler.batch, soon))

    # --- on any thread ------------------------------------------------------------------------------

    def is_hungry(self) -> bool:
        """Return True, once, if the queue has run low since the last round found more rows than it had room for.

        Called at each report, so it counts the held rows only when the queue has just run low. If the worker holds too
        many, `has_room` reports once enough are written.
        """
        low = self._low
        if low is None or self._executor.waiting > low:
            return False
        # Set before counting: the thread that writes the last result counts after that.
        self._is_crowded, self._low = True, None
        return self._is_relieved()

    def has_room(self) -> bool:
        """Return True, once, if the worker wants rows and holds few enough; called when results are written."""
        return self.is_hungry() or self._is_relieved()

    def _is_relieved(self) -> bool:
        if not self._is_crowded or self._under_way() > MOST_HELD_ROWS // 2:
            return False
        self._is_crowded = False  # the caller now wakes the claimer, which begins a new round
        return True

    def note_late(self, binding: Binding, rows: int) -> None:
        """Give rows of a handler with a rate more time to begin, if some were given back for beginning too late."""
        if not rows or self._executor.draining:
            return
        slack, size, now = self._limits.give_more_slack(binding), self.of[binding], monotonic()
        if now >= size.late_told_at + TELL_AGAIN_SECONDS:
            size.late_told_at = now
            emit(RowsBegunLate(**binding.named, rows=rows, may_take_seconds=slack))

    def _under_way(self) -> int:
        """Return how many rows this worker holds: those that wait, run, or are handled and not written yet."""
        return self._executor.held + self._unwritten()


def goes_first(binding: Binding) -> bool:
    """Return whether rows are claimed only when they can begin at once, or next."""
    handler = binding.handler
    return handler.limit is not None or handler.rate is not None or handler.has_one_attempt


def _whole_batches(binding: Binding, rows: int) -> int:
    """Round a number of rows up to whole batches of a handler, within the largest size of a claim."""
    batch = binding.handler.batch
    return min(-(-rows // batch) * batch, max(LARGEST_ROWS, batch))
