"""Claims rows of one handler, and hands them to the executor.

The model. `claim_size` decides how many rows, `claim_cursor` from where, and `claim_handover` keeps back rows that may
not begin. Rows for which there is no room are noted (`Looks.more`), and left to the other workers if they were found in
this worker's turn.

On failure: an error that is not the connection's concerns one handler. Where one of its rows may be the cause (its size,
a value that cannot be read, a program that keeps moving it between partitions), rows are at first claimed one by one and
read by their keys, so that only the attempt at that row fails; otherwise the handler is put aside for a while.

Threads. The claimer's.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from poller.errors_in_words import reason
from poller.services.claim_size import goes_first
from poller.store.claims import DeclaredDeadError, DrainsError
from poller.telemetry.bus import emit, is_heard
from poller.telemetry.events import ClaimFailed, RowsClaimed

if TYPE_CHECKING:
    from poller.executor.executor import Executor
    from poller.services.claim_handover import HandOver
    from poller.services.claim_looks import Looks
    from poller.services.claim_reconciler import ClaimReconciler
    from poller.services.claim_size import ClaimSizes
    from poller.services.suspects import Trial
    from poller.store.binding import Binding
    from poller.store.claims import Claimed, Claims

NOT_NOW_SECONDS = 0.5  # until the next look for retries, after none could be taken
WRITE_SECONDS = 0.02  # to wait for results to be written, which frees the bytes of large rows
_ABOUT_TABLES = ("28", "3F", "40P", "42", "55P03")  # classes of errors that no row can cause


class Taker:
    """Takes rows for a claimer, with the claimer's other parts."""

    def __init__(  # noqa: PLR0913 - the parts of a claimer
        self,
        *,
        claims: Claims,
        looks: Looks,
        sizes: ClaimSizes,
        trial: Trial,
        reconciler: ClaimReconciler,
        handover: HandOver,
        executor: Executor,
    ) -> None:
        self._claims = claims
        self._looks = looks
        self._sizes = sizes
        self._trial = trial
        self._reconciler = reconciler
        self._handover = handover
        self._executor = executor
        self._has_taken = False  # rows of a user's table, since `goes_on` was asked last

    def goes_on(self) -> bool:
        """Return whether rows of users' tables have been taken, so that more may have come; runs are announced."""
        has_taken, self._has_taken = self._has_taken, False
        return has_taken

    def take(self, binding: Binding, worker: int, *, fresh: bool, retries: bool) -> None:
        """Claim rows of a handler: fresh ones, or those whose next attempt is due.

        Raises:
            DeclaredDeadError, DrainsError: the worker may no longer claim.
            Exception: the connection broke, or the whole server is in trouble.
        """
        if self._executor.draining:
            return
        if self._trial.seconds_left:
            self._looks.ask()
            return
        try:
            if retries:
                self._take_retries(binding, worker)
            if fresh and not self._trial.seconds_left:
                self._take_fresh(binding, worker)
        except (DeclaredDeadError, DrainsError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever reading a row may raise
            self._looks.require_connection(error)
            self._note_trouble(binding, error)
        else:
            if fresh or retries:
                self._looks.note_works(binding)

    def _note_trouble(self, binding: Binding, error: Exception) -> None:
        """Claim rows one by one after an error that one of them may have caused; otherwise put the handler aside."""
        self._reconciler.note_fault()  # the error may have come after the COMMIT
        size = self._sizes.of[binding]
        is_about_table = (getattr(error, "sqlstate", None) or "").startswith(_ABOUT_TABLES)
        if size.careful or (is_about_table and not binding.handler.is_job):
            self._looks.put_aside(binding, error, at_claim=True)
            return
        size.careful = 1
        self._looks.more.add(binding)
        self._looks.ask()
        emit(ClaimFailed(**binding.named, error=reason(error)))

    def _take_retries(self, binding: Binding, worker: int) -> None:
        looks, sizes = self._looks, self._sizes
        limit, suspects = sizes.of_retries(binding)
        cursor = looks.cursors[binding]
        settled = cursor.settled
        if limit <= 0 or sizes.has_to_wait(binding):  # once there is room, retries come before fresh rows
            looks.more.add(binding)
            self._looks.ask()
            looks.leave_to_others(binding, worker)
            return
        waits = self._trial.single_waits(holds_others=sizes.holds_any())
        careful, began = sizes.of[binding].careful > 0, monotonic()
        claimed = self._claims.claim_retries(
            binding, worker, limit, suspects=suspects, single_waits=waits, careful=careful
        )
        self._learn(binding, claimed, began)
        self._trial.begin(claimed.tasks)
        self._handover.submit(claimed.tasks, first=True, threads=sizes.threads)
        if self._is_held(binding, claimed, settled):
            return
        if claimed.full:
            self._looks.ask()  # more of them may be due
        else:
            self._claims.tidy_retries(binding)
        if not claimed.tasks:
            cursor.retry_at = monotonic() + NOT_NOW_SECONDS

    def _take_fresh(self, binding: Binding, worker: int) -> None:
        looks, sizes, cursor = self._looks, self._sizes, self._looks.cursors[binding]
        looks.more.discard(binding)
        room = sizes.room(binding)
        if room <= 0 or sizes.has_to_wait(binding):
            looks.more.add(binding)
            looks.leave_to_others(binding, worker)
            return
        room = sizes.fitting(binding, room)
        if room <= 0:
            cursor.held_until = monotonic() + WRITE_SECONDS
            looks.more.add(binding)
            return
        after, settled, came = looks.after(binding), cursor.settled, cursor.came
        careful, began = sizes.of[binding].careful > 0, monotonic()
        claimed = self._claims.claim(binding, worker, room, after, careful=careful)
        self._learn(binding, claimed, began)
        self._handover.submit(claimed.tasks, first=goes_first(binding), threads=sizes.threads)
        cursor.advance(claimed)
        if self._is_held(binding, claimed, settled):
            return
        if claimed.tasks:
            cursor.fresh_at, cursor.misses = 0.0, 0
        if claimed.full:
            looks.more.add(binding)
            looks.tell_others(binding, worker)
            return
        if not claimed.tasks:
            cursor.miss(looks.poll)
            if after is None:  # else what was announced may be above: the look from the top is still to come
                cursor.seen = came
        elif after is None:
            looks.rest(binding, monotonic() - began, came)

    def _is_held(self, binding: Binding, claimed: Claimed, settled: int) -> bool:
        """Hold a handler while it is paused or a fleet-wide limit allows no more of its rows; return whether it is held.

        Args:
            binding: the handler.
            claimed: the result of a claim.
            settled: the cursor's `settled` before that claim, so that an outcome written since is not missed.
        """
        if claimed.paused:
            self._looks.heed_pauses({*self._looks.paused, binding})
            return True
        return self._looks.cursors[binding].hold(claimed, settled, self._looks.poll)

    def _learn(self, binding: Binding, claimed: Claimed, began: float) -> None:
        """Learn from a claim that began at `began` (monotonic), and tell subscribers of it."""
        if not claimed.tasks:
            return
        self._has_taken |= not binding.handler.is_job
        self._sizes.of[binding].learn(claimed.size)
        if is_heard():
            emit(RowsClaimed(**binding.named, rows=len(claimed.tasks), seconds=monotonic() - began))
