"""Claims rows: asks for as much as the executor can work on soon, and no more.

The model. How much that is follows from what each handler has been taking: about `HORIZON` seconds of work
may wait in this process beside what is running, so that quick handlers get large batches and a slow one
leaves its rows to other workers. A handler whose only attempt it would be, or a row in trouble, is claimed
only when a slot is free: a claim that ends with its worker counts as an attempt.

Rows in trouble (waiting, parked) keep their status, and each look from the beginning walks over them. So a
claim goes on where the last one ended, and a handler starts from the beginning again only as often as that
costs a twentieth of the time. `order_by` asks for the first row always, so there each look begins anew; so it
does with `per_key`, whose rows have to wait for the ones before them.

A row that an outcome of this worker's has moved to another handler's status is looked for at once, or as soon as a
look from the top is affordable: the next step of a chain does not wait for a poll. What else is due is asked when the
handlers have begun: the question would take the CPU, and Python's lock, in that very moment.

The connection listens while the claimer sleeps; the next look finds a cut that this would sleep through.

Workers take turns to look (`turn`). Whoever finds in its turn that something is due for which it has no room wakes
the others.

While suspects are on trial here (`suspects`) nothing else is claimed, and they are claimed before what is fresh.

While no session can be opened for transactional handlers, or no process started for those that run in one, none of their
rows are claimed (`Executor.shut_until`).

A handler at a limit of the fleet is held: not looked at until the limit can have changed, which is when one of
its rows here has been settled, or after a while, or at the time at which its rate allows another.

How much a worker holds is bounded (`MOST_HELD`), however slow the writing is: what is handled and not written must be
done again if the worker dies. While the outcomes of a handler cannot be written, none of its rows are claimed.

On failure: a claim whose COMMIT was answered by an error may have been committed. Its rows would be leased to
a living worker that does not know it, so after every fault the rows that it holds by the database are held against
those known here, and what is unknown is given back.

Whether an error is the connection's is found out by asking. If it is not, it is one handler's trouble: that handler is
put aside for a while, which grows from `FIRST_WAIT` to `OUT_OF_ORDER`, and is asked apart from the others until it works
again. Where one of its rows may be the cause (its size, a value that cannot be read), rows are claimed one by one at
first, and read by their keys, so that the attempt of that row has failed and all others go on.

How many bytes a claim brings is bounded by its statement (`fitting.sql`); how many lie here, handled or not, by what
a handler's rows came to.

A worker may be declared dead while its claim is under way. The claim asks for that, and brings nothing then; what an
older registration has claimed is not begun (`_submit`).
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from poller.db.connection import heard, is_passing, is_servers
from poller.errors import ConfigurationError
from poller.errors_in_words import reason
from poller.model.outcome import Became
from poller.services.poll_turns import Turn
from poller.services.suspects import Trial
from poller.store.binding import BYTES
from poller.store.claims import Claims, DeclaredDeadError
from poller.store.lease import Lease, Result, Task
from poller.store.liveness import wake
from poller.store.outcomes import BEGAN_LATE, not_shown, released
from poller.telemetry.bus import emit, is_heard
from poller.telemetry.events import (
    ClaimFailed,
    ClaimLost,
    HandlerPutAside,
    HandlerRestored,
    RowsBegunLate,
    RowsClaimed,
)
from poller.telemetry.outage import BACKOFF_MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.db.connection import Link
    from poller.executor.executor import Executor
    from poller.runtime.bell import Bell
    from poller.services.circling import Circling
    from poller.services.postponed import Postponed
    from poller.store.binding import Binding
    from poller.store.claims import Claimed

LARGEST = 1000  # rows in one claim
MOST_HELD = 2000  # rows of a worker that wait, run, or are handled and not written yet
RESERVED = 200  # of these, for other handlers than one whose outcomes cannot be written
FEW = 3  # handlers, for each of which is claimed at a notification, before it is asked what else is due
HORIZON = 0.1  # seconds of work that may wait in this process
A_THREADS_WORTH = 0.005  # seconds of work for which another thread is woken
A_MOMENT = 0.002  # seconds in which handlers begin
OVERDUE = 0.02  # seconds for which the question what else is due may wait for that
SHARE = 20  # a look from the beginning may take one part in so many of the time
QUICK = 0.005  # seconds; a look this short needs no sparing
MOVES = (Became.MOVED, Became.FAILED)
SECOND_LOOK = 0.3  # seconds until what is unknown is looked at again
NOT_NOW = 0.5  # seconds until retries are looked for again, of which none could be taken
FIRST_WAIT = 1.0  # seconds until a handler that has failed is tried again; twice that after each further time
OUT_OF_ORDER = 30.0  # seconds, at most
A_WRITE = 0.02  # seconds in which results are written, and rows of many bytes go
TELL_AGAIN = 600.0  # seconds until what goes on is said once more
_ABOUT_TABLES = ("28", "3F", "40", "42", "55P03")  # classes of errors that no row can be the cause of


@dataclass(slots=True)
class Position:
    """How far a handler's claims have come.

    Attributes:
        after: the last key looked at; the next look goes on past it.
        at_end: nothing was found past it: the next look begins at the top, if it is time.
        top_at: when a look from the top is affordable again (monotonic).
        held_until: when a handler whose table is broken, or which is at a limit, is looked at again (monotonic).
        until_settled: an outcome of the handler ends that, too.
        retry_at: when retries are looked for again, of which none could be taken (monotonic).
        settled: how many times such outcomes have come.
        came: how many times rows are known to have come to this status.
        seen: what that was before the last look from the top; if it is more now, another one is wanted.
        failures: how many times in a row it could not be looked at or claimed for.
        at_claim: the last of them was a claim, so that a look which works proves nothing.
        told: the reason that was told last.
    """

    after: str | None = None
    at_end: bool = True
    top_at: float = 0.0
    held_until: float = 0.0
    until_settled: bool = False
    retry_at: float = 0.0
    settled: int = 0
    came: int = 0
    seen: int = 0
    failures: int = 0
    at_claim: bool = False
    told: str = ""


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
    late_told_at: float = -TELL_AGAIN

    def learn(self, row: float) -> None:
        """Take note of a claim that worked: larger rows count at once, smaller ones by and by."""
        self.row = max(row, (self.row + row) / 2)
        self.careful = 2 * self.careful if self.careful * 2 <= LARGEST else 0


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
        circling: tells which rows are not to begin yet, since they go round.
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
        circling: Circling | None = None,
    ) -> None:
        self._link = link
        self._claims = Claims(link)
        self._bindings = list(bindings)
        self._executor = executor
        self._worker = worker
        self._mean_seconds = mean_seconds
        self._give_back = give_back
        self._held = held
        self._unwritten = unwritten
        self._postponed = postponed
        self._poll = poll
        self._turn = turn
        self._deny = deny
        self._circling = circling
        self._dead: int | None = None
        self._handing_over = threading.Lock()
        self._turn_at = 0.0
        self._is_lookout = False
        self._session: psycopg.Connection[Any] | None = None
        self._positions = {binding: Position() for binding in bindings}
        self._sizes = {binding: Size() for binding in bindings}
        self._first_in_line: set[Binding] = set()  # with a rate, and due, while no slot is free
        self._by_status = {
            (str(each.table), each.handler.column, each.handler.status): each for each in bindings
        }
        self._first = 0  # of the bindings, in the next round
        self._expected: set[Binding] = set()  # to whose statuses rows are known to have come
        self._trial = Trial()
        self._is_new = True  # the connection: retries may be due, of which nobody has told
        self._more: set[Binding] = set()
        self._idle = True
        self._asked = False
        self._low: int | None = None
        self._is_crowded = False  # the queue has run low, but too much is not written yet
        self._ask_by = 0.0  # the question what else is due has been put off, until then (monotonic)
        self._in_doubt = False
        self._unknown: set[tuple[str, int, str]] = set()
        self._look_again_at = 0.0

    def run_once(self) -> float:
        """Claim for each handler that has something due. Returns the seconds to the next look."""
        self._low, self._is_crowded = None, False
        worker = self._worker()
        if worker is None or worker == self._dead:
            return self._poll
        try:
            return self._round(worker)
        except DeclaredDeadError:
            self._dead = worker
            self._deny(worker)
            return self._poll
        except psycopg.Error:
            if self._executor.draining:  # its claim was cancelled
                return self._poll
            raise

    def _round(self, worker: int) -> float:
        self._listen()
        self._first_in_line = self._in_line()
        if self._in_doubt and monotonic() >= self._look_again_at:
            self._give_unknown_back(worker)
        if on_trial := self._trial.seconds_left:
            return on_trial
        expected = self._claim_expected(worker)
        if expected and self._executor.busy and not self._more:
            self._ask_by = self._ask_by or monotonic() + OVERDUE
            if monotonic() < self._ask_by:
                return A_MOMENT
        self._ask_by = 0.0
        fresh, retries = self._due(ask=not expected)
        in_turn = self._in_turn(fresh | retries)
        for binding in in_turn:
            self._claim(binding, worker, fresh=False, retries=binding in retries)
        for binding in in_turn:
            self._claim(binding, worker, fresh=binding in fresh, retries=False)
        self._idle = not (fresh or retries)
        if self._idle:
            return self._until_next()
        if self._first_in_line:
            return self._wait_for_slot()
        return self._wait_for_room() if self._more else 0.0

    def _claim_expected(self, worker: int) -> bool:
        """Claim for the handlers to whose statuses rows are known to have come; tell whether there were any."""
        expected, self._expected = self._expected, set()
        now = monotonic()
        for binding in self._in_turn(expected):
            if self._held_until(binding) <= now:
                self._claim(binding, worker, fresh=True, retries=self._is_new)
                self._positions[binding].retry_at = 0.0  # it was not known that there are any
        self._is_new = False
        return bool(expected)

    def sleep(self, seconds: float, bell: Bell) -> None:
        """Sleep for so long, or until the bell rings, or somebody says that there is something new."""
        if heard(self._link.connection, seconds, bell):
            self.notice()

    def _listen(self) -> None:
        """Make sure that the present connection listens."""
        connection = self._link.connection
        if connection is not self._session:
            connection.execute("listen poller")
            self._session = connection
            self.notice()  # whatever was said while nobody listened
            self._is_new = True

    def look(self) -> None:
        """Have the next round ask what is due, instead of going on with what it knows."""
        self._asked = True

    def written(self, binding: Binding, results: Sequence[Result]) -> bool:
        """Take note of results that have been written; tell whether there is something to look for at once.

        That is the next rows of a handler at a limit, and the next step of a chain.
        """
        if binding.handler.rate is not None:
            self._note_late(binding, sum(each.outcome.error == BEGAN_LATE for each in results))
        acquitted = self._end_trial(results)
        freed = self._free(binding)
        outcomes = {id(result.outcome): result.outcome for result in results}.values()
        expected = self._expect(binding, {each.to for each in outcomes if each.verdict in MOVES})
        return acquitted or freed or expected

    def _end_trial(self, results: Sequence[Result]) -> bool:
        """Look for the next suspects, and all else, once what came of those here is written; tell whether it is."""
        if not self._trial.written(result.task for result in results):
            return False
        for position in self._positions.values():
            position.retry_at = 0.0
        self.look()
        return True

    def forget(self) -> None:
        """Forget what was claimed, here and in the executor: the leases are lost."""
        with self._handing_over:
            self._trial.forget()
            self._executor.forget()

    def _note_late(self, binding: Binding, rows: int) -> None:
        """Give rows of a rate more time to begin after their claim, if some were given back since they had none left."""
        if not rows or self._executor.draining:
            return
        slack, size, now = self._claims.limits.give_more_slack(binding), self._sizes[binding], monotonic()
        if now >= size.late_told_at + TELL_AGAIN:
            size.late_told_at = now
            emit(RowsBegunLate(**binding.named, rows=rows, may_take_seconds=slack))

    def _free(self, binding: Binding) -> bool:
        """Have a handler at a limit looked at again, since some of its rows have been settled; tell whether it is."""
        position = self._positions[binding]
        position.settled += 1
        if not position.until_settled:
            return False
        position.held_until = 0.0
        self.look()
        return True

    def _expect(self, binding: Binding, statuses: set[str | None]) -> bool:
        """Have the handlers looked at whose statuses rows of this one have come to; tell whether there is one."""
        machine = str(binding.table), binding.handler.column
        ones = [self._by_status.get((*machine, status)) for status in statuses if status is not None]
        for each in ones:
            if each is not None:
                self._positions[each].came += 1
                self._expected.add(each)
        return any(ones)

    def notice(self) -> None:
        """Have all be looked at: somebody says that there is something new.

        From the top, too, as soon as that is affordable: the new row may be one that came between the last look
        and the question for the last key (`_rest`).
        """
        self.look()
        for position in self._positions.values():
            position.came += 1
            if position.until_settled:
                position.held_until = 0.0
        watching = [each for each in self._bindings if not each.handler.is_job]
        if len(watching) <= FEW:  # it is quicker to claim than to ask first
            self._expected.update(watching)

    def start_over(self) -> None:
        """Have the next looks begin at the top, whatever that costs."""
        self.look()
        for position in self._positions.values():
            position.at_end, position.top_at, position.held_until, position.retry_at = True, 0.0, 0.0, 0.0

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
        if not self._is_crowded or self._under_way() > MOST_HELD // 2:
            return False
        self._is_crowded = False  # whoever is told wakes the claimer, and its round begins anew
        return True

    def recover(self) -> None:
        """Start over on a new connection, from the top."""
        self._link.close()
        self._more.clear()
        self.look()
        self._in_doubt = True

    def _give_unknown_back(self, worker: int) -> None:
        """Give back rows that the database says are ours, and of which we know nothing.

        A fault at COMMIT has left them to us; or the database was set back, and has forgotten what we wrote. What is
        unknown is looked at twice: a task may just be on its way from one hand to the next.
        """
        held = {(task.lease.id, task.key) for task in self._held()}
        unknown = {each for each in self._claims.claims_of(worker) if (each[0], each[2]) not in held}
        bindings = {binding.id: binding for binding in self._bindings}
        for lease_id, handler_id, key in unknown & self._unknown:
            binding = bindings[handler_id]
            task = Task(Lease(lease_id, worker, binding, None, 0.0), key, ())
            self._give_back([Result(task, released(binding.handler, 1), 0.0)])
        self._unknown = unknown - self._unknown
        self._in_doubt = bool(self._unknown)
        self._look_again_at = monotonic() + SECOND_LOOK

    def _wait_for_room(self) -> float:
        """Sleep until the executor's queue has run down to half, which wakes this loop."""
        self._low = self._executor.waiting // 2
        roomy = any(self._room(binding) > 0 for binding in self._more)
        return 0.0 if roomy and self.is_hungry() else self._until_next()

    def _until_next(self) -> float:
        """Return the seconds to the next look at all handlers, or at one that is held until then."""
        now = monotonic()
        held = [
            at for each in self._bindings for at in (self._held_until(each), self._positions[each].retry_at)
        ]
        ends = [at for at in held if at > now]
        if self._in_doubt:
            ends.append(self._look_again_at)
        if on_trial := self._trial.seconds_left:
            ends.append(now + on_trial)
        for binding, each in self._positions.items():
            if each.came > each.seen and self._held_until(binding) <= now and binding not in self._more:
                ends.append(each.top_at)
        return max(0.0, min([self._turn_at, *ends]) - now)

    def _held_until(self, binding: Binding) -> float:
        """Return when a handler is looked at again (monotonic): it may be held, or its rows could not begin."""
        return max(self._positions[binding].held_until, self._executor.shut_until(binding))

    # --- what is due ------------------------------------------------------------------------------

    def _due(self, *, ask: bool) -> tuple[set[Binding], set[Binding]]:
        """Return the handlers with fresh rows, and those with retries due.

        While rows are known to be there, the others are asked for when it is this worker's turn only.
        """
        now = monotonic()
        able = [each for each in self._bindings if self._held_until(each) <= now]
        self._is_lookout = now >= self._turn_at
        if self._is_lookout:
            self._turn_at = now + self._turn().wait(self._poll)
        elif (self._more or not ask) and not self._asked:
            return self._more.intersection(able), set()
        self._asked = False
        fresh, retries = self._peek(able)
        retries = {each for each in retries if self._positions[each].retry_at <= now}
        return fresh | self._more.intersection(able), retries

    def _peek(self, able: list[Binding]) -> tuple[set[Binding], set[Binding]]:
        """Ask for all handlers at once, and for each apart that has been in trouble."""
        troubled = [each for each in able if self._positions[each].failures]
        sound = [each for each in able if not self._positions[each].failures] if troubled else able
        parts = [self._peek_at(sound), *(self._peek_at([each]) for each in troubled)]
        return set().union(*(part[0] for part in parts)), set().union(*(part[1] for part in parts))

    def _peek_at(self, able: list[Binding]) -> tuple[set[Binding], set[Binding]]:
        """Ask for handlers at once; if one of their tables is broken or locked, ask for each apart."""
        if not able:
            return set(), set()
        after = {binding: self._after(binding) for binding in able}
        came = {binding: self._positions[binding].came for binding in able}
        began = monotonic()
        try:
            fresh, retries = self._claims.peek(able, after)
            seconds = (monotonic() - began) / len(able)
            for binding in able:
                if binding.id not in fresh and after[binding] is None:
                    self._rest(binding, seconds, came[binding])
        except psycopg.Error as error:
            self._require_connection(error)
            if len(able) == 1:
                self._put_aside(able[0], error, at_claim=False)
                return set(), set()
            parts = [self._peek_at([each]) for each in able]
            return set().union(*(part[0] for part in parts)), set().union(*(part[1] for part in parts))
        for binding in able:
            if not self._positions[binding].at_claim:
                self._note_works(binding)
        known = {binding.id: binding for binding in able}
        return {known[each] for each in fresh}, {known[each] for each in retries}

    def _after(self, binding: Binding) -> str | None:
        """Return the key to go on from, or None for the top."""
        position = self._positions[binding]
        if not binding.goes_on:
            return None
        return None if position.at_end and monotonic() >= position.top_at else position.after

    def _rest(self, binding: Binding, seconds: float, came: int) -> None:
        """A look from the top found less than it asked for: the next such look waits in proportion.

        Until then looks go on from the last row there is, so that what is added at the end is seen.

        Args:
            binding: the handler.
            seconds: how long the look took.
            came: the position's, before it.
        """
        position = self._positions[binding]
        position.at_end, position.seen = True, came
        position.top_at = monotonic() + SHARE * seconds
        if seconds > QUICK and binding.goes_on:
            position.after = self._claims.last_key(binding) or position.after

    def _require_connection(self, error: Exception) -> None:
        """Make sure that an error is not the connection's, or the whole server's, by asking; raise it if it is."""
        if not self._link.lives() or is_servers(error):
            raise error

    def _put_aside(self, binding: Binding, error: Exception, *, at_claim: bool) -> None:
        """Leave a handler out for a while, which grows; its table is looked at anew by then."""
        before, said = self._positions[binding], reason(error)
        most = BACKOFF_MOST if is_passing(error) else OUT_OF_ORDER
        wait = min(most, FIRST_WAIT * 2 ** min(before.failures, 10))
        if said != before.told:
            emit(HandlerPutAside(**binding.named, error=said, retry_seconds=wait))
        self._positions[binding] = Position(
            held_until=monotonic() + wait, failures=before.failures + 1, at_claim=at_claim, told=said
        )
        self._more.discard(binding)
        if not is_passing(error):
            with contextlib.suppress(ConfigurationError, psycopg.Error):
                binding.rebind(self._link.connection)
                self._claims.forget_questions()

    def _note_works(self, binding: Binding) -> None:
        position = self._positions[binding]
        if position.failures:
            emit(HandlerRestored(**binding.named, failures=position.failures))
            position.failures, position.at_claim, position.told = 0, False, ""

    def _in_turn(self, due: Iterable[Binding]) -> list[Binding]:
        """Return the handlers that are due, each round beginning with another."""
        wanted = set(due)
        if not wanted:
            return []
        self._first = (self._first + 1) % len(self._bindings)
        turned = self._bindings[self._first :] + self._bindings[: self._first]
        return [binding for binding in turned if binding in wanted]

    # --- taking it --------------------------------------------------------------------------------

    def _claim(self, binding: Binding, worker: int, *, fresh: bool, retries: bool) -> None:
        if self._executor.draining:
            return
        if self._trial.seconds_left:
            self.look()
            return
        try:
            if retries:
                self._claim_retries(binding, worker)
            if fresh and not self._trial.seconds_left:
                self._claim_fresh(binding, worker)
        except DeclaredDeadError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever reading a row may raise
            self._require_connection(error)
            self._note_trouble(binding, error)
        else:
            if fresh or retries:
                self._note_works(binding)

    def _note_trouble(self, binding: Binding, error: Exception) -> None:
        """Claim rows one by one after an error for which one of them may be the reason; else put the handler aside."""
        self._in_doubt = True  # it may have been raised by what came after the COMMIT
        size = self._sizes[binding]
        if size.careful or (getattr(error, "sqlstate", None) or "").startswith(_ABOUT_TABLES):
            self._put_aside(binding, error, at_claim=True)
            return
        size.careful = 1
        self._more.add(binding)
        self.look()
        emit(ClaimFailed(**binding.named, error=reason(error)))

    def _submit(self, tasks: list[Task], *, first: bool) -> None:
        """Hand tasks to the executor, but those that go round; the attempt of one that could not be shown has failed.

        What was claimed under a registration that has been lost meanwhile is not begun: others may hold it. The lock
        keeps that loss from coming between the question and the queue.
        """
        able = [task for task in tasks if task.refusal is None]
        put_off: list[Result] = []
        if self._circling is not None:
            able, put_off = self._circling.part(able)
        with self._handing_over:
            if tasks and tasks[0].lease.worker != self._worker():
                emit(ClaimLost(rows=len(tasks)))
                return
            self._executor.submit(able, first=first, threads=self._threads(able))
        if put_off:
            self._give_back(put_off)
        for task in tasks:
            if task.refusal is not None:
                outcome = not_shown(task.lease.binding.handler, task.refusal, task.attempt, task.age)
                self._give_back([Result(task, outcome, 0.0)])

    def _threads(self, tasks: list[Task]) -> int | None:
        """Return how many threads the tasks are worth, by what their handler has been taking; None if unknown.

        To wake a thread costs more than many a handler.
        """
        mean = self._mean_seconds.get(tasks[0].lease.binding) if tasks else None
        return None if mean is None else 1 + int(len(tasks) * mean / A_THREADS_WORTH)

    def _claim_retries(self, binding: Binding, worker: int) -> None:
        limit = min(self._allowed(binding), self._startable(binding))
        settled = self._positions[binding].settled
        if limit <= 0 or self._has_to_wait(binding):  # once there is room, they come before whatever is fresh
            self._more.add(binding)
            self.look()
            self._leave_to_others()
            return
        size = self._sizes[binding]
        suspects = max(limit, self._room(binding))
        if size.careful:
            limit, suspects = min(limit, size.careful), min(suspects, size.careful)
        waits = self._trial.single_waits(holds_others=any(self._held()))
        began = monotonic()
        claimed = self._claims.claim_retries(
            binding, worker, limit, suspects=suspects, single_waits=waits, careful=size.careful > 0
        )
        if claimed.tasks:
            size.learn(claimed.size)
            _tell(binding, claimed, began)
        self._trial.begin(claimed.tasks)
        self._submit(claimed.tasks, first=True)
        if self._hold(binding, claimed, settled):
            return
        if claimed.full:
            self.look()  # more of them may be due
        else:
            self._claims.tidy_retries(binding)
        if not claimed.tasks:
            self._positions[binding].retry_at = monotonic() + NOT_NOW

    def _hold(self, binding: Binding, claimed: Claimed, settled: int) -> bool:
        """Leave a handler alone for as long as a limit of the fleet allows no more of its rows.

        Args:
            binding: the handler.
            claimed: what a claim has brought.
            settled: the position's, before that claim: an outcome that came since is not to be missed.
        """
        if claimed.again_in is None and not claimed.until_settled:
            return False
        position = self._positions[binding]
        position.until_settled = claimed.until_settled
        position.held_until = monotonic() + (self._poll if claimed.again_in is None else claimed.again_in)
        if claimed.until_settled and position.settled != settled:
            position.held_until = 0.0
        return True

    def _claim_fresh(self, binding: Binding, worker: int) -> None:
        self._more.discard(binding)
        room = self._room(binding)
        if room <= 0:
            self._more.add(binding)
            self._leave_to_others()
            return
        position, size = self._positions[binding], self._sizes[binding]
        room = self._fitting(binding, room)
        if room <= 0 or self._has_to_wait(binding):
            self._more.add(binding)
            return
        after, settled, came = self._after(binding), position.settled, position.came
        began = monotonic()
        claimed = self._claims.claim(binding, worker, room, after, careful=size.careful > 0)
        if claimed.tasks:
            size.learn(claimed.size)
            _tell(binding, claimed, began)
        self._submit(claimed.tasks, first=_goes_first(binding))
        position.after = claimed.last or position.after
        position.at_end = not claimed.full
        if self._hold(binding, claimed, settled):
            return
        if claimed.full:
            self._more.add(binding)
            self._tell_others()
        elif after is None:
            self._rest(binding, monotonic() - began, came)

    def _fitting(self, binding: Binding, room: int) -> int:
        """Return how many of so many rows to claim, by what they come to; those held here count."""
        size = self._sizes[binding]
        most = min(room, size.careful or room)
        if size.row * 4 * LARGEST < BYTES:  # not even all that may be held comes to so much
            return most
        held = sum(task.lease.binding is binding for task in self._held())
        # Each slot may have a row, however large.
        fitting = max(int(BYTES / size.row), self._executor.slots) - held
        if fitting <= 0:
            self._positions[binding].held_until = monotonic() + A_WRITE
        return min(most, fitting)

    def _in_line(self) -> set[Binding]:
        """Return handlers with a rate which wait for a free slot: they claim only what can begin at once.

        Nobody else claims then, or a handler that fills the queue again and again would have each slot.
        """
        now = monotonic()
        return {
            each
            for each in self._more
            if each.handler.rate is not None and self._held_until(each) <= now and self._startable(each) <= 0
        }

    def _has_to_wait(self, binding: Binding) -> bool:
        return bool(self._first_in_line) and binding not in self._first_in_line

    def _wait_for_slot(self) -> float:
        """Sleep until a slot is free: a result wakes this loop once nothing waits."""
        self._low = 0
        is_free = any(self._startable(each) > 0 for each in self._first_in_line)
        return 0.0 if is_free else self._until_next()

    def _tell_others(self) -> None:
        """An idle worker's claim came back full: there is work for the others too."""
        if self._idle:
            self._idle = False
            wake(self._link.connection)

    def _leave_to_others(self) -> None:
        """The others may have room for what this worker has found in its turn and has none for."""
        if self._is_lookout:
            self._is_lookout = False
            wake(self._link.connection)

    def _room(self, binding: Binding) -> int:
        """Return how many rows to claim now."""
        return min(self._allowed(binding), self._workable(binding))

    def _allowed(self, binding: Binding) -> int:
        """Return how many rows of a handler may be claimed before this worker holds as many as it may.

        A part is reserved for the case that the outcomes of one handler cannot be written: the others go on.
        """
        if self._postponed.has_trouble(binding):
            return 0
        held = self._under_way()
        allowed = max(MOST_HELD - RESERVED - held, RESERVED - (held - self._postponed.count))
        batch = binding.handler.batch
        if allowed < batch:
            return 0 if held else batch
        return allowed - allowed % batch

    def _under_way(self) -> int:
        """Return how many rows this worker holds: those that wait, run, or are handled and not written yet."""
        return self._executor.held + self._unwritten()

    def _workable(self, binding: Binding) -> int:
        """Return how many rows of a handler can be worked on soon."""
        mean = self._mean_seconds.get(binding)
        if mean is None or _goes_first(binding):
            return self._startable(binding)
        waiting = self._executor.waiting
        ahead = int(HORIZON * self._executor.slots / max(mean, 1e-6))
        soon = min(LARGEST, min(ahead, 2 * LARGEST) - waiting)
        return _whole_batches(binding, max(self._executor.free * binding.handler.batch, soon))

    def _startable(self, binding: Binding) -> int:
        """Return how many rows could start at once, or as the next of a queue that moves."""
        executor = self._executor
        if binding.handler.rate is not None:
            return _whole_batches(binding, executor.free * binding.handler.batch)
        places = executor.free or (executor.slots if executor.waiting else 0)
        return _whole_batches(binding, places * binding.handler.batch)


def _whole_batches(binding: Binding, rows: int) -> int:
    """Return a number of rows that fills the batches of a handler, not much larger than a claim should be."""
    batch = binding.handler.batch
    return min(-(-rows // batch) * batch, max(LARGEST, batch))


def _goes_first(binding: Binding) -> bool:
    """Tell whether rows are claimed only when they can begin at once, or as the next."""
    handler = binding.handler
    return handler.limit is not None or handler.rate is not None or handler.has_one_attempt


def _tell(binding: Binding, claimed: Claimed, began: float) -> None:
    """Tell subscribers of a claim that began at some time (monotonic)."""
    if is_heard():
        emit(RowsClaimed(**binding.named, rows=len(claimed.tasks), seconds=monotonic() - began))
