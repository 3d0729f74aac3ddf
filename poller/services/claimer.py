"""Claims rows: asks for as much as the executor can work on soon, and no more.

The model. A round asks what is due (`claim_looks`), and claims for each handler (`claim_taking`) as much as there is
room for (`claim_size`), from where its last claim ended (`claim_cursor`). A handler goes through these states:

                     its turn, a notification, an outcome that leads to it
        ┌─────────┐                    ┌─────────┐     a claim came back full     ┌──────────┐
        │ resting │ ──────────────────▶│ looked  │ ──────────────────────────────▶│ has more │
        │         │◀────────────────── │ at      │◀────────────────────────────── │          │
        └─────────┘   nothing is due   └─────────┘     as soon as there is room   └──────────┘
             ▲                              │ an error, a limit of the fleet, no session, its outcomes cannot be written
             │                              ▼
             │      some time passes,  ┌─────────┐
             └──────────────────────── │  held   │
              or an outcome is written └─────────┘

A round may end for all of them at once: while suspects are on trial here (`suspects`) nothing else is claimed, and they
are claimed before what is fresh; while a handler with a rate waits for a slot, nobody else claims.

A handler at a limit of the fleet is held until the limit can have changed, which is when one of its rows here has been
settled, or after a while, or at the time at which its rate allows another. While no session can be opened for
transactional handlers, or no process started for those that run in one, none of their rows are claimed
(`Executor.shut_until`). A handler that is paused is neither asked about nor claimed for, and what waits here for a slot
is given back. Each question what is due says which ones are; a claim that was too late to know brings nothing
(`poller.take`).

The connection listens while the claimer sleeps; the next look finds a cut that this would sleep through.

On failure: a claim whose COMMIT was answered by an error may have been committed, so that after every fault the worker
asks what it holds (`claim_doubt`). What is the trouble of one handler holds up no other (`claim_taking`). A worker may
be declared dead, or told to drain, while its claim is under way: then it brings nothing (`claim_handover`).

Threads. `run_once`, `sleep` and `recover` run on the claimer's; `look` and `written` on those that write results, too;
`notice` and `forget` also on the heartbeat's.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import heard
from poller.model.outcome import Became
from poller.services.claim_doubt import Doubt
from poller.services.claim_handover import HandOver, Registration
from poller.services.claim_looks import Expected, Looks
from poller.services.claim_size import Sizes
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

MOMENT_SECONDS = 0.002  # in which handlers begin
DRAIN = "drain"  # is said when some worker is to drain (drain_workers.sql)
_MOVES = (Became.MOVED, Became.FAILED)


class Claimer:
    """Claims for one worker.

    Args:
        link: of its own.
        bindings: the handlers to claim for.
        executor: where the tasks go.
        worker: returns the worker's id, or None while it has none (it must register anew).
        mean_seconds: how long each handler has been taking.
        give_back: takes the results of tasks that are given back.
        held: returns the tasks that are known, wherever they are.
        unwritten: tells how many results wait to be written.
        postponed: the results that cannot be written at present; their handlers are left alone.
        poll: seconds between two looks of an idle fleet.
        turn: returns whose turn it is to look, as far as is known.
        deny: called with the id of a worker that a claim has found to be declared dead.
        drain: called when the worker is told to drain; or may be, as somebody says to all workers.
        circling: tells which rows are not to begin yet, since they go round.

    Attributes:
        sizes: how many rows it wants, for those who report results.
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
        circling: Circling | None = None,
    ) -> None:
        # The claimer's thread has them all; where others write, too, it is said what.
        claims = Claims(link)
        self._link = link
        self._executor = executor
        self._drain = drain
        self._registration = Registration(worker, deny)
        self._handover = HandOver(executor, self._registration, give_back, circling)
        self._looks = Looks(link, claims, bindings, executor, turn, poll)  # any thread: `ask`, cursors
        self._expected = Expected(bindings, self._looks)  # any thread: what has come
        self._trial = Trial()  # any thread: what is written, or lost
        self._doubt = Doubt(claims, bindings, held, give_back)
        self._session: psycopg.Connection[Any] | None = None  # that listens
        self._is_new = True  # the session: retries may be due, of which nobody has told
        self.sizes = Sizes(  # any thread: whether it is hungry still
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
            doubt=self._doubt,
            handover=self._handover,
            executor=executor,
        )

    @property
    def asked_at(self) -> float:
        """When the last question what is due was sent that was answered (monotonic); from any thread."""
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
        self._doubt.resolve(worker)
        if on_trial := self._trial.seconds_left:
            return on_trial
        has_expected = self._claim_expected(worker)
        if has_expected and self._executor.busy and not looks.more and self._expected.puts_off():
            return MOMENT_SECONDS
        self._expected.end_wait()
        fresh, retries = looks.due(ask=not has_expected)
        in_turn = looks.in_turn(fresh | retries)
        for binding in in_turn:
            self._taker.take(binding, worker, fresh=False, retries=binding in retries)
        for binding in in_turn:
            self._taker.take(binding, worker, fresh=binding in fresh, retries=False)
        looks.is_idle = not (fresh or retries)
        if looks.is_idle:
            return self._until_next()
        if self.sizes.first_in_line:
            return 0.0 if self.sizes.has_slot() else self._until_next()
        return 0.0 if not looks.more or self.sizes.wants(looks.more) else self._until_next()

    def _claim_expected(self, worker: int) -> bool:
        """Claim for the handlers to whose statuses rows are known to have come; tell whether there were any."""
        expected = self._expected.take()
        for binding in self._looks.able(self._looks.in_turn(expected)):
            self._taker.take(binding, worker, fresh=True, retries=self._is_new)
            self._looks.cursors[binding].retry_at = 0.0  # it was not known that there are any
        self._is_new = False
        return bool(expected)

    def _until_next(self) -> float:
        on_trial = self._trial.seconds_left
        return self._looks.until_next([*self._doubt.ends, *([monotonic() + on_trial] if on_trial else ())])

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so long, or until the bell rings, or somebody says that there is something new."""
        if said := heard(self._link.connection, seconds, bell):
            self.notice()
            if DRAIN in said:
                self._drain()

    def _listen(self) -> None:
        """Make sure that the present connection listens."""
        connection = self._link.connection
        if connection is not self._session:
            connection.execute("listen poller")
            self._session = connection
            self.notice()  # whatever was said while nobody listened
            self._is_new = True

    def start_over(self) -> None:
        """Have the next looks begin at the top, whatever that costs."""
        self.look()
        for cursor in self._looks.cursors.values():
            cursor.start_over()

    def recover(self) -> None:
        """Start over on a new connection, from the top."""
        self._link.close()
        self._looks.more.clear()
        self.look()
        self._doubt.arises()

    # --- from other threads, too --------------------------------------------------------------------

    def look(self) -> None:
        """Have the next round ask what is due, instead of going on with what it knows."""
        self._looks.ask()

    def notice(self) -> None:
        """Have all be looked at: somebody says that there is something new.

        From the top, too, as soon as that is affordable: the new row may be one that came between the last look
        and the question for the last key (`claim_cursor`).
        """
        self.look()
        for cursor in self._looks.cursors.values():
            cursor.notice()
        self._expected.notice()

    def forget(self) -> None:
        """Forget what was claimed, here and in the executor: the leases are lost."""
        self._trial.forget()
        self._handover.forget()

    def written(self, binding: Binding, results: Sequence[Result]) -> bool:
        """Take note of results that have been written; tell whether there is something to look for at once.

        That is the next rows of a handler at a limit, and the next step of a chain.
        """
        if binding.handler.rate is not None:
            self.sizes.note_late(binding, sum(each.outcome.error == BEGAN_LATE for each in results))
        is_acquitted = self._end_trial(results)
        is_freed = self._looks.cursors[binding].free()
        if is_freed:
            self.look()
        outcomes = {id(result.outcome): result.outcome for result in results}.values()
        expected = self._expected.after(binding, {each.to for each in outcomes if each.verdict in _MOVES})
        for each in expected:
            self._looks.cursors[each].came += 1
        return is_acquitted or is_freed or bool(expected)

    def _end_trial(self, results: Sequence[Result]) -> bool:
        """Look for the next suspects, and all else, once what came of those here is written; tell whether it is."""
        if not self._trial.written(result.task for result in results):
            return False
        for cursor in self._looks.cursors.values():
            cursor.retry_at = 0.0
        self.look()
        return True
