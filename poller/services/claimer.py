"""Claims rows: asks for as much as the executor can work on soon, and no more.

The model. A round asks what is due (`claim_looks`), and claims for each handler (`claim_taking`) as much as there is
room for (`claim_size`), from where its last claim ended (`claim_cursor`). A handler goes through these states:

                  its turn, its share of notifications, an outcome that leads to it
        ┌─────────┐                    ┌─────────┐     a claim came back full     ┌──────────┐
        │ resting │ ──────────────────▶│ looked  │ ──────────────────────────────▶│ has more │
        │         │◀────────────────── │ at      │◀────────────────────────────── │          │
        └─────────┘   nothing is due   └─────────┘     as soon as there is room   └──────────┘
             ▲                              │ an error, a limit of the fleet, no session, its outcomes cannot be written
             │                              ▼
             │      some time passes,  ┌─────────┐
             └──────────────────────── │  held   │
              or an outcome is written └─────────┘

Two conditions stop claims for all handlers: while suspects are on trial here (`suspects`), nothing else is claimed, and
suspects are claimed before fresh rows; while a handler with a rate waits for a slot, no other handler claims.

A handler at a fleet-wide limit is held until the limit may have changed: when one of its rows here has been settled,
after a while, or when its rate allows another row. While no session can be opened for transactional handlers, or no
process started for those that run in one, their rows are not claimed (`Executor.shut_until`). For a paused handler the
worker neither asks nor claims, and gives back the rows that wait for a slot. Each query for due rows also returns the
paused handlers; a claim sent before the worker knows of a pause brings nothing (`poller.take`).

The connection listens while the claimer sleeps; if the connection is cut meanwhile, the next look notices. Most
notifications are for one worker of all that hear them (`claim_notices`).

On failure: a claim whose COMMIT was answered by an error may have been committed, so after every fault the worker asks
what it holds (`claim_reconciler`). Trouble with one handler holds up no other (`claim_taking`). If a worker is declared
dead, or told to drain, while its claim is under way, the claim brings nothing (`claim_handover`).

Threads. `run_once`, `sleep` and `recover` run on the claimer's; threads that write results also call `look` and
`written`; the heartbeat's thread also calls `notice` and `forget`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import heard
from poller.model.outcome import Became
from poller.services.claim_handover import HandOver, WorkerRegistration
from poller.services.claim_looks import Expected, Looks
from poller.services.claim_notices import Notices
from poller.services.claim_reconciler import ClaimReconciler
from poller.services.claim_size import ClaimSizes
from poller.services.claim_taking import Taker
from poller.services.poll_turns import Turn
from poller.services.suspects import Trial
from poller.store.claims import Claims, DeclaredDeadError, DrainsError
from poller.store.outcomes import BEGAN_LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.db.connection import Link
    from poller.executor.executor import Executor
    from poller.runtime.bell import Bell
    from poller.services.circling import Circling
    from poller.services.postponed import Postponed
    from poller.store.binding import Binding
    from poller.store.lease import Result, Task

MOMENT_SECONDS = 0.002  # to wait while handlers begin
_MOVES = (Became.MOVED, Became.FAILED)


class Claimer:
    """Claims for one worker.

    Args:
        link: of its own.
        bindings: the handlers to claim for.
        executor: where the tasks go.
        worker: returns the worker's id, or None while it has none (it must register again).
        mean_seconds: the mean time of each handler's attempts.
        give_back: takes the results of tasks that are given back.
        held: returns the tasks that the worker knows, wherever they are.
        unwritten: returns how many results wait to be written.
        postponed: the results that cannot be written at present; their handlers are left alone.
        poll: seconds between two looks of an idle fleet.
        turn: returns this worker's place in the turns, as far as it is known.
        deny: called with the id of a worker that a claim has found to be declared dead.
        drain: called when the worker is told to drain, or a notification to all workers says that it may be.
        recount: called when a notification says that a worker has come or gone.
        circling: decides which rows must not begin yet, since they circle.

    Attributes:
        sizes: how many rows the claimer wants, for the threads that report results.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        link: Link,
        bindings: Sequence[Binding],
        executor: Executor,
        worker: Callable[[], int | None],
        mean_seconds: dict[Binding, float],
        give_back: Callable[[Sequence[Result]], None],
        held: Callable[[], Iterable[Task]],
        unwritten: Callable[[], int],
        postponed: Postponed,
        poll: float,
        turn: Callable[[], Turn] = Turn,
        deny: Callable[[int], None] = lambda _: None,
        drain: Callable[[], None] = lambda: None,
        recount: Callable[[], None] = lambda: None,
        circling: Circling | None = None,
    ) -> None:
        # The claimer's thread uses all of these; the comments say what other threads may call or write.
        claims = Claims(link)
        self._link = link
        self._executor = executor
        self._drain = drain
        self._registration = WorkerRegistration(worker, deny)
        self._handover = HandOver(executor, self._registration, give_back, circling)
        self._looks = Looks(link, claims, bindings, executor, turn, poll)  # any thread: `ask`, cursors
        self._expected = Expected(bindings, self._looks)  # any thread: arrivals
        self._notices = Notices(  # any thread: `notice`
            bindings, self._looks, self._expected, self._registration, turn, drain, recount
        )
        self._trial = Trial()  # any thread: results that are written, leases that are lost
        self._reconciler = ClaimReconciler(claims, bindings, held, give_back)
        self._session: psycopg.Connection[Any] | None = None  # the connection that listens
        self._is_new = True  # the session is new: retries may be due that no notification announced
        self.sizes = ClaimSizes(  # any thread: whether the claimer is hungry
            bindings=bindings,
            limits=claims.limits,
            executor=executor,
            mean_seconds=mean_seconds,
            held=held,
            unwritten=unwritten,
            postponed=postponed,
        )
        self._taker = Taker(
            claims=claims,
            looks=self._looks,
            sizes=self.sizes,
            trial=self._trial,
            reconciler=self._reconciler,
            handover=self._handover,
            executor=executor,
        )

    @property
    def asked_at(self) -> float:
        """When the last answered query for due rows was sent (monotonic); from any thread."""
        return self._looks.asked_at

    # --- rounds, on the claimer's thread ------------------------------------------------------------

    def run_once(self) -> float:
        """Claim for each handler that has something due. Returns the seconds to the next look."""
        self.sizes.begin_round()
        worker = self._registration.worker
        if worker is None:
            return self._looks.poll
        try:
            return self._round(worker)
        except DeclaredDeadError:
            self._registration.lose(worker)
            return self._looks.poll
        except DrainsError:
            self._drain()
            return self._looks.poll
        except psycopg.Error:
            if self._executor.draining:  # its claim was cancelled
                return self._looks.poll
            raise

    def _round(self, worker: int) -> float:
        self._listen()
        looks = self._looks
        self.sizes.line_up(looks.able(looks.more))
        self._reconciler.resolve(worker)
        if on_trial := self._trial.seconds_left:
            return on_trial
        has_expected = self._claim_expected(worker)
        may_wait = has_expected and looks.is_to_ask and not looks.more and self._executor.busy
        if may_wait and self._expected.puts_off():
            return MOMENT_SECONDS
        self._expected.end_wait()
        fresh, retries = looks.due(ask=not has_expected)
        in_turn = looks.in_turn(fresh | retries)
        for binding in in_turn:
            self._taker.take(binding, worker, fresh=False, retries=binding in retries)
        for binding in in_turn:
            self._taker.take(binding, worker, fresh=binding in fresh, retries=False)
        looks.end_watch()
        may_be_more = looks.more or looks.is_to_ask or self._taker.goes_on()
        looks.is_idle = not (in_turn and may_be_more)
        if looks.is_idle:
            return self._until_next()
        if self.sizes.first_in_line:
            return 0.0 if self.sizes.has_slot() else self._until_next()
        return 0.0 if not looks.more or self.sizes.wants(looks.more) else self._until_next()

    def _claim_expected(self, worker: int) -> bool:
        """Claim for the handlers at whose statuses rows are known to be; return whether there were any."""
        expected = self._expected.take().union(self._looks.due_again())
        for binding in self._looks.able(self._looks.in_turn(expected)):
            self._taker.take(binding, worker, fresh=True, retries=self._is_new)
            self._looks.cursors[binding].retry_at = 0.0  # finding none here must not delay them
        self._is_new = False
        return bool(expected)

    def _until_next(self) -> float:
        on_trial = self._trial.seconds_left
        return self._looks.until_next(
            [*self._reconciler.ends, *([monotonic() + on_trial] if on_trial else ())]
        )

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so many seconds, or until the bell rings or a notification has this worker look."""
        until = monotonic() + seconds
        while said := heard(self._link.connection, until - monotonic(), bell):
            if self._notices.heed(said) or bell.is_rung or monotonic() >= until:
                return

    def _listen(self) -> None:
        """Make sure that the present connection listens."""
        connection = self._link.connection
        if connection is not self._session:
            connection.execute("listen poller")
            self._session = connection
            self.notice()  # notifications may have been missed before this connection listened
            self._is_new = True

    def start_over(self) -> None:
        """Make the next looks begin at the top, whatever that costs."""
        self.look()
        for cursor in self._looks.cursors.values():
            cursor.start_over()

    def recover(self) -> None:
        """Start over on a new connection, from the top."""
        self._link.close()
        self._looks.more.clear()
        self.look()
        self._reconciler.note_fault()

    # --- from any thread ----------------------------------------------------------------------------

    def look(self) -> None:
        """Make the next round query for due rows instead of relying on what it knows."""
        self._looks.ask()

    def notice(self) -> None:
        """Look for rows of all handlers, from the top as soon as that is affordable."""
        self._notices.notice()

    def forget(self) -> None:
        """Forget the claimed rows, here and in the executor: the leases are lost."""
        self._trial.forget()
        self._handover.forget()

    def written(self, binding: Binding, results: Sequence[Result]) -> bool:
        """Note results that have been written; return whether there are rows to look for at once.

        Those are the next rows of a handler at a limit, and the next step of a chain.
        """
        if binding.handler.rate is not None:
            self.sizes.note_late(binding, sum(each.outcome.error == BEGAN_LATE for each in results))
        is_acquitted = self._end_trial(results)
        is_held = self._looks.cursors[binding].free()
        # A limit may have turned away rows in another worker, which does not know that there is room now.
        is_freed = is_held or binding.handler.is_limited or binding.handler.waits_its_turn
        if is_freed:
            self.look()
        outcomes = {id(result.outcome): result.outcome for result in results}.values()
        expected = self._expected.after(binding, {each.to for each in outcomes if each.verdict in _MOVES})
        for each in expected:
            self._looks.cursors[each].came += 1
        return is_acquitted or is_freed or bool(expected)

    def _end_trial(self, results: Sequence[Result]) -> bool:
        """End the trial once the outcomes of all suspects are written, and look again; return whether it ended."""
        if not self._trial.written(result.task for result in results):
            return False
        for cursor in self._looks.cursors.values():
            cursor.retry_at = 0.0
        self.look()
        return True
