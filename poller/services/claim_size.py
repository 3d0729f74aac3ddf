"""How many rows a worker claims: as many as its executor can work on soon, and no more.

The model. How much that is follows from what each handler has been taking: about `HORIZON_SECONDS` of work may wait in
this process beside what is running, so that quick handlers get large batches and a slow one leaves its rows to other
workers. A handler whose only attempt it would be, or a row in trouble, is claimed only when a slot is free: a claim that
ends with its worker counts as an attempt.

How much a worker holds is bounded (`MOST_HELD_ROWS`), however slow the writing is: what is handled and not written must
be done again if the worker dies. While the outcomes of a handler cannot be written, none of its rows are claimed.

How many bytes a claim brings is bounded by its statement (`fitting.sql`); how many lie here, handled or not, by what a
handler's rows came to.

Threads. The claimer's writes all, but for `_low` and `_is_crowded`: whoever reports or writes results asks whether the
claimer is hungry, and is told so once. Who writes results notes rows that began too late, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from poller.store.binding import BYTES
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
MOST_HELD_ROWS = 2000  # of a worker: that wait, run, or are handled and not written yet
RESERVED_ROWS = 200  # of these, for other handlers than one whose outcomes cannot be written
HORIZON_SECONDS = 0.1  # of work that may wait in this process
THREADS_WORTH_SECONDS = 0.005  # of work for which another thread is woken
TELL_AGAIN_SECONDS = 600.0  # until what goes on is said once more


@dataclass(slots=True)
class Size:
    """How large a handler's claims may be.

    Attributes:
        row: about how many bytes a row has come to, in the mean.
        careful: how many rows to claim next, since a claim has failed: one, then two, and so on; 0 if none has.
        late_told_at: when it was said last that rows had begun too late for their rate (monotonic).
    """

    row: float = 0.0
    careful: int = 0
    late_told_at: float = -TELL_AGAIN_SECONDS

    def learn(self, row: float) -> None:
        """Take note of a claim that worked: larger rows count at once, smaller ones by and by."""
        self.row = max(row, (self.row + row) / 2)
        self.careful = 2 * self.careful if self.careful * 2 <= LARGEST_ROWS else 0


class Sizes:
    """How many rows a worker may claim of each handler.

    Attributes:
        of: what is known of each handler.
        first_in_line: handlers with a rate which wait for a free slot: they claim only what can begin at once, and
            nobody else claims then, or a handler that fills the queue again and again would have each slot.
    """

    def __init__(  # noqa: PLR0913 - what it is reckoned from
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
        self.of = {binding: Size() for binding in bindings}
        self.first_in_line: set[Binding] = set()
        self._limits = limits
        self._executor = executor
        self._mean_seconds = mean_seconds
        self._held = held
        self._unwritten = unwritten
        self._postponed = postponed
        self._low: int | None = (
            None  # how few waiting tasks make the claimer hungry; any thread takes it, once
        )
        self._is_crowded = (
            False  # the queue has run low, but too much is not written yet; any thread ends it, once
        )

    # --- on the claimer's thread --------------------------------------------------------------------

    def room(self, binding: Binding) -> int:
        """Return how many rows to claim now."""
        return min(self.allowed(binding), self._workable(binding))

    def allowed(self, binding: Binding) -> int:
        """Return how many rows of a handler may be claimed before this worker holds as many as it may.

        A part is reserved for the case that the outcomes of one handler cannot be written: the others go on.
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
        """Return how many rows could start at once, or as the next of a queue that moves."""
        executor = self._executor
        if binding.handler.rate is not None:
            return _whole_batches(binding, executor.free * binding.handler.batch)
        places = executor.free or (executor.slots if executor.waiting else 0)
        return _whole_batches(binding, places * binding.handler.batch)

    def fitting(self, binding: Binding, room: int) -> int:
        """Return how many of so many rows to claim, by what they come to; those held here count."""
        size = self.of[binding]
        most = min(room, size.careful or room)
        if size.row * 4 * LARGEST_ROWS < BYTES:  # not even all that may be held comes to so much
            return most
        held = sum(task.lease.binding is binding for task in self._held())
        # Each slot may have a row, however large.
        return min(most, max(int(BYTES / size.row), self._executor.slots) - held)

    def of_retries(self, binding: Binding) -> tuple[int, int]:
        """Return how many rows in trouble to claim, and how many of those that are suspects."""
        limit = min(self.allowed(binding), self.startable(binding))
        suspects = max(limit, self.room(binding)) if limit > 0 else 0
        careful = self.of[binding].careful
        return (min(limit, careful), min(suspects, careful)) if careful else (limit, suspects)

    def holds_any(self) -> bool:
        """Tell whether this worker holds any row."""
        return any(self._held())

    def threads(self, tasks: list[Task]) -> int | None:
        """Return how many threads the tasks are worth, by what their handler has been taking; None if unknown.

        To wake a thread costs more than many a handler.
        """
        mean = self._mean_seconds.get(tasks[0].binding) if tasks else None
        return None if mean is None else 1 + int(len(tasks) * mean / THREADS_WORTH_SECONDS)

    def line_up(self, bindings: Iterable[Binding]) -> None:
        """Put those first in line that wait for a free slot, of handlers that have rows due."""
        self.first_in_line = {
            each for each in bindings if each.handler.rate is not None and self.startable(each) <= 0
        }

    def has_to_wait(self, binding: Binding) -> bool:
        """Tell whether others are before a handler in the line for slots."""
        return bool(self.first_in_line) and binding not in self.first_in_line

    def has_slot(self) -> bool:
        """Tell whether one of those first in line could start now; if none can, be told once nothing waits."""
        self._low = 0
        return any(self.startable(each) > 0 for each in self.first_in_line)

    def wants(self, bindings: Iterable[Binding]) -> bool:
        """Tell whether there is room for more of these; if not, be told when the queue has run down to half."""
        self._low = self._executor.waiting // 2
        roomy = any(self.room(binding) > 0 for binding in bindings)
        return roomy and self.is_hungry()

    def begin_round(self) -> None:
        """Take note that the claimer looks: nobody needs to wake it."""
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
        """Tell, once, whether the queue has run low since the last round found more than there was room for.

        Asked at each report: what is held is counted only when the queue has just run low. If that is too much, the
        writing makes room (`has_room`).
        """
        low = self._low
        if low is None or self._executor.waiting > low:
            return False
        # Before it is counted: who writes the last result counts after that.
        self._is_crowded, self._low = True, None
        return self._is_relieved()

    def has_room(self) -> bool:
        """Tell, once, whether the worker wants rows and holds few enough of them; asked when results are written."""
        return self.is_hungry() or self._is_relieved()

    def _is_relieved(self) -> bool:
        if not self._is_crowded or self._under_way() > MOST_HELD_ROWS // 2:
            return False
        self._is_crowded = False  # whoever is told wakes the claimer, and its round begins anew
        return True

    def note_late(self, binding: Binding, rows: int) -> None:
        """Give rows of a rate more time to begin after their claim, if some were given back since they had none left."""
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
    """Tell whether rows are claimed only when they can begin at once, or as the next."""
    handler = binding.handler
    return handler.limit is not None or handler.rate is not None or handler.has_one_attempt


def _whole_batches(binding: Binding, rows: int) -> int:
    """Return a number of rows that fills the batches of a handler, not much larger than a claim should be."""
    batch = binding.handler.batch
    return min(-(-rows // batch) * batch, max(LARGEST_ROWS, batch))
