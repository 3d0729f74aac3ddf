"""The protocol of leases alone, as a state machine small enough to be searched through.

Two workers and a sweeper take any steps in any order; a process may be stopped between any two, and be declared dead
meanwhile, while its claim goes on. What else befalls them comes as often as a `Protocol` says: a worker is told to
stop, the reply of a claim is lost, every settling statement is refused for a while, a person locks a row.

Each guard can be taken away, to see that the search then finds what it is for. What is modelled of Postgres: a
statement sees what was committed when it began (its snapshot), but a row that it has locked as it is now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKERS = (0, 1)
ATTEMPTS = 2  # after which a row is parked

# What each is for, and what has to happen for it to be missed (the arguments of a Protocol).
GUARDS: dict[str, tuple[str, dict[str, int]]] = {
    "row lock": ("a claim skips a row that another claim has locked", {}),
    "second look": ("under the row's lock, a claim looks again for leases", {}),
    "fence": ("an outcome counts only if its lease is there", {}),
    "fence of the sweeper": ("a lease is swept only if it is there", {}),
    "compare and set": ("a row moves only from the status that it was leased with", {}),
    "attempts count": ("a lease that ends with its worker counts as an attempt", {}),
    "own registration": ("what a claim brings is trusted by the registration that asked for it only", {}),
    "a claim asks for its worker": ("a worker that was declared dead takes no rows, though it goes on", {}),
    "the unknown is given back": (
        "a worker holds what is its own against what it knows, after a fault",
        {"losses": 1},
    ),
    "given back after a stop": (
        "what a claim brings to a worker that stops is given back",
        {"stops": 1, "deaths": 0},
    ),
    "counted before it leaves the queue": (
        "a task counts as running before it has left the queue",
        {"stops": 1, "deaths": 0},
    ),
    "an error is judged by what it concerns": (
        "an error of the whole statement is no row's",
        {"refusals": 1},
    ),
    "a locked row is set apart": (
        "what a person has locked waits by itself",
        {"locks": 1, "rows": 2, "leases": 2, "deaths": 0},
    ),
}


class RowModel(NamedTuple):
    """A row, and what has happened to it: `moves` by outcomes, `starts` of handlers, `leases` granted."""

    status: str = "pending"
    attempts: int = 0
    parked: bool = False
    moves: int = 0
    starts: int = 0
    leases: int = 0
    stale: int = 0  # writes by who had lost the lease
    overwritten: bool = False  # a person's edit
    odd: str = ""  # what was done to it that must not be


class LeaseModel(NamedTuple):
    """A lease of one row: its number, the registration that it was granted to, and the row."""

    number: int
    of: int
    row: int


class WorkerModel(NamedTuple):
    """A worker: what its claim has seen, locked and written so far, the leases it believes to hold, what it runs."""

    id: int  # of its registration
    alive: bool = True  # in the database's eyes
    asks: int = -1  # the registration under which its claim asks
    seen: tuple[LeaseModel, ...] | None = None  # the claims, in its snapshot
    locked: int | None = None
    taken: LeaseModel | None = None  # the claim that it has written, and not committed yet
    brought: LeaseModel | None = None  # what has been committed, and is on its way to the worker
    queued: tuple[LeaseModel, ...] = ()
    between: tuple[LeaseModel, ...] = ()  # out of the queue, and not yet running
    running: tuple[LeaseModel, ...] = ()
    in_doubt: bool = False
    stopping: bool = False
    done: bool = False  # it has seen that nothing runs

    @property
    def known(self) -> tuple[LeaseModel, ...]:
        """Return the leases it knows of."""
        on_its_way = () if self.brought is None else (self.brought,)
        return (*on_its_way, *self.queued, *self.between, *self.running)


class LeaseState(NamedTuple):
    """All there is."""

    rows: tuple[RowModel, ...]
    workers: tuple[WorkerModel, ...] = (WorkerModel(0), WorkerModel(1))
    claims: tuple[LeaseModel, ...] = ()
    swept: tuple[LeaseModel, ...] = ()  # what the sweeper has read, and not written yet
    is_refused: bool = False  # every settling statement fails just now
    locked: int | None = None  # by a person
    leases: int = 0
    deaths: int = 0
    edits: int = 0
    stops: int = 0
    losses: int = 0
    refusals: int = 0
    locks: int = 0


@dataclass(frozen=True)
class Protocol:
    """The steps that can be taken, with some guard taken away or none.

    Attributes:
        without: the guard.
        rows: how many rows there are.
        leases: after so many no more are granted: it bounds the search.
        deaths: after so many no worker is declared dead.
        edits: how many rows people edit.
        stops: how many workers are told to stop.
        losses: how many replies of claims are lost.
        refusals: how often every settling statement fails for a while.
        locks: how often a person locks a row, and lets it go.
    """

    without: str = ""
    rows: int = 1
    leases: int = 3
    deaths: int = 2
    edits: int = 1
    stops: int = 0
    losses: int = 0
    refusals: int = 0
    locks: int = 0

    def start(self) -> LeaseState:
        """Return the state in which all begins."""
        return LeaseState((RowModel(),) * self.rows)

    def steps(self, state: LeaseState) -> Iterator[tuple[str, LeaseState]]:
        """Return each step that can be taken, and what it leads to."""
        for number, worker in enumerate(state.workers):
            yield from self._claim(state, number, worker)
            yield from self._bring(state, number, worker)
            yield from self._work(state, number, worker)
            yield from self._register(state, number, worker)
            yield from self._stop(state, number, worker)
        yield from self._sweep(state)
        yield from self._befall(state)

    def broken(self, state: LeaseState) -> str | None:
        """Return which promise a state breaks, if any."""
        held = [claim.row for claim in state.claims]
        if len(held) != len(set(held)):
            return "a row is held by two leases"
        for worker in state.workers:
            mine = {claim for claim in state.claims if claim.of == worker.id}
            if worker.alive and not worker.in_doubt and not mine.issubset(worker.known):
                return (
                    "a row is neither due, nor waiting, nor parked: a worker holds it that does not know it"
                )
            ready = [task for task in worker.running if not _is_locked(state, task.row)]
            if ready and not any(map(self._can_settle(state, worker), ready)):
                return "a row waits for what a person has locked, though that is another"
        for row in state.rows:
            for is_broken, why in (
                (row.odd, row.odd),
                (row.stale, "who had lost a lease has moved the row"),
                (row.moves > 1, "a row has moved twice"),
                (row.overwritten, "a person's edit was overwritten"),
                (row.starts > row.leases, "a handler was begun without a lease of its own"),
                (row.leases > ATTEMPTS + state.stops + state.losses, "a row is handed out for ever"),
                (row.attempts > row.leases - row.moves, "an attempt was counted that never was"),
                (row.attempts > state.deaths, "one death has cost a row more than an attempt"),
            ):
                if is_broken:
                    return why
        return None

    # --- claiming ------------------------------------------------------------------------------------

    def _claim(self, state: LeaseState, number: int, worker: WorkerModel) -> Iterator[tuple[str, LeaseState]]:
        """Take the steps of a claim, which a worker goes on with whatever its heartbeat has come to know."""
        if worker.seen is None and worker.brought is None and not worker.in_doubt and not worker.stopping:
            if state.leases < self.leases:
                looking = worker._replace(seen=state.claims, asks=worker.id)
                yield f"{number} looks", _worker(state, number, looking)
            return
        if worker.seen is not None and worker.locked is None:
            for at, row in enumerate(state.rows):
                is_free = not any(claim.row == at for claim in worker.seen)
                is_due = row.status == "pending" and not row.parked
                if is_due and is_free and (not _is_locked(state, at) or self.without == "row lock"):
                    yield f"{number} locks {at}", _worker(state, number, worker._replace(locked=at))
            yield f"{number} finds nothing", _worker(state, number, worker._replace(seen=None))
        if worker.locked is not None and worker.taken is None:
            yield f"{number} takes {worker.locked}", self._take(state, number, worker)
        if worker.taken is not None:
            committed = self._commit(state, number, worker)
            yield f"{number} commits {worker.locked}", committed
            if state.losses < self.losses:
                in_doubt = self.without != "the unknown is given back"
                lost = committed.workers[number]._replace(brought=None, in_doubt=in_doubt)
                unknown = _worker(committed, number, lost)._replace(losses=state.losses + 1)
                yield f"the reply to {number} is lost", unknown

    def _take(self, state: LeaseState, number: int, worker: WorkerModel) -> LeaseState:
        at = worker.locked
        assert at is not None
        known = worker.seen if self.without == "second look" else state.claims
        assert known is not None
        is_living = worker.alive and worker.asks == worker.id
        is_dead = not is_living and self.without != "a claim asks for its worker"
        if any(claim.row == at for claim in known) or state.rows[at].parked or is_dead:
            return _worker(state, number, worker._replace(seen=None, locked=None))
        taken = LeaseModel(state.leases, worker.asks, at)
        return _worker(state, number, worker._replace(taken=taken))._replace(leases=state.leases + 1)

    def _commit(self, state: LeaseState, number: int, worker: WorkerModel) -> LeaseState:
        taken = worker.taken
        assert taken is not None
        after = worker._replace(seen=None, locked=None, taken=None, brought=taken, asks=-1)
        state = _worker(state, number, after)
        row = state.rows[taken.row]
        state = _row(state, taken.row, row._replace(leases=row.leases + 1))
        return state._replace(claims=(*state.claims, taken))

    def _bring(self, state: LeaseState, number: int, worker: WorkerModel) -> Iterator[tuple[str, LeaseState]]:
        """Have the worker get what a claim brings, or give back what a claim has left to it unknown."""
        brought = worker.brought
        if worker.in_doubt:
            mine = {claim for claim in state.claims if claim.of == worker.id}
            certain = _worker(state, number, worker._replace(in_doubt=False))
            yield f"{number} gives the unknown back", _give_back(certain, mine.difference(worker.known))
        if brought is None:
            return
        rest = worker._replace(brought=None)
        if brought.of != worker.id and self.without != "own registration":
            yield f"{number} leaves {brought.row} to the sweeper", _worker(state, number, rest)
        elif worker.stopping and self.without != "given back after a stop":
            yield f"{number} gives {brought.row} back", _give_back(_worker(state, number, rest), {brought})
        else:
            queued = rest._replace(queued=(*worker.queued, brought))
            yield f"{number} queues {brought.row}", _worker(state, number, queued)

    # --- running -------------------------------------------------------------------------------------

    def _work(self, state: LeaseState, number: int, worker: WorkerModel) -> Iterator[tuple[str, LeaseState]]:
        is_counted = self.without != "counted before it leaves the queue"
        for task in worker.queued:
            rest = worker._replace(queued=_less(worker.queued, task))
            if is_counted:
                yield f"{number} begins {task.row}", _begin(state, number, rest, task)
            else:
                taken = rest._replace(between=(*worker.between, task))
                yield f"{number} takes {task.row} from its queue", _worker(state, number, taken)
        for task in worker.between:
            rest = worker._replace(between=_less(worker.between, task))
            yield f"{number} begins {task.row}", _begin(state, number, rest, task)
        can_settle = self._can_settle(state, worker)
        for task in worker.running:
            ended = _worker(state, number, worker._replace(running=_less(worker.running, task)))
            if state.is_refused:
                if self.without == "an error is judged by what it concerns":
                    yield f"{number} blames {task.row}", ended
                continue  # its result waits
            if can_settle(task):
                yield f"{number} settles {task.row}", self._settle(ended, task)

    def _can_settle(self, state: LeaseState, worker: WorkerModel) -> Callable[[LeaseModel], bool]:
        """Return what tells whether a result can be written now: its UPDATE does not wait, nor what comes before it."""

        def can(task: LeaseModel) -> bool:
            before = worker.running[: worker.running.index(task)]
            in_the_way = self.without == "a locked row is set apart" and any(
                each.row == state.locked for each in before
            )
            return not in_the_way and not _is_locked(state, task.row)

        return can

    def _settle(self, state: LeaseState, task: LeaseModel) -> LeaseState:
        row = state.rows[task.row]
        is_held = task in state.claims
        if not is_held and self.without != "fence":
            return state
        claims = tuple(claim for claim in state.claims if claim != task)
        if row.status != "pending" and self.without != "compare and set":
            return state._replace(claims=claims)
        moved = row._replace(
            status="normal",
            moves=row.moves + 1,
            stale=row.stale + (not is_held),
            overwritten=row.overwritten or row.status == "edited",
        )
        return _row(state._replace(claims=claims), task.row, moved)

    # --- being alive ---------------------------------------------------------------------------------

    def _register(
        self, state: LeaseState, number: int, worker: WorkerModel
    ) -> Iterator[tuple[str, LeaseState]]:
        """Declare a worker dead, and have it find out: it forgets what it has not begun, and gets another id."""
        if worker.alive and state.deaths < self.deaths:
            dead = _worker(state, number, worker._replace(alive=False))
            yield f"{number} is declared dead", dead._replace(deaths=state.deaths + 1)
        if not worker.alive:
            anew = worker._replace(id=worker.id + len(WORKERS), alive=True, queued=(), in_doubt=False)
            yield f"{number} joins anew", _worker(state, number, anew)

    def _stop(self, state: LeaseState, number: int, worker: WorkerModel) -> Iterator[tuple[str, LeaseState]]:
        """Tell a worker to stop: it gives back what waits, sees that nothing runs, and interrupts what does then."""
        if not worker.stopping and state.stops < self.stops:
            told = _worker(state, number, worker._replace(stopping=True, queued=()))._replace(
                stops=state.stops + 1
            )
            yield f"{number} is told to stop", _give_back(told, set(worker.queued))
        if worker.stopping and not worker.done and not worker.running:
            yield f"{number} sees that nothing runs", _worker(state, number, worker._replace(done=True))
        if worker.done:
            for task in worker.running:
                row = state.rows[task.row]
                interrupted = row._replace(odd="a handler was interrupted within its grace")
                yield f"{number} interrupts {task.row}", _row(state, task.row, interrupted)

    def _sweep(self, state: LeaseState) -> Iterator[tuple[str, LeaseState]]:
        living = {each.id for each in state.workers if each.alive}
        dead = tuple(claim for claim in state.claims if claim.of not in living)
        if dead and not state.swept:
            yield "the sweeper looks", state._replace(swept=dead)
        for claim in state.swept:
            rest = state._replace(swept=_less(state.swept, claim))
            if claim not in state.claims and self.without != "fence of the sweeper":
                yield "the sweeper finds nothing", rest
                continue
            row = state.rows[claim.row]
            attempts = row.attempts + (self.without != "attempts count")
            back = row._replace(attempts=attempts, parked=row.parked or attempts >= ATTEMPTS)
            claims = _less(state.claims, claim)
            yield "the sweeper settles", _row(rest._replace(claims=claims), claim.row, back)

    # --- what people do ------------------------------------------------------------------------------

    def _befall(self, state: LeaseState) -> Iterator[tuple[str, LeaseState]]:
        for at, row in enumerate(state.rows):
            if row.status == "pending" and state.edits < self.edits and not _is_locked(state, at):
                edited = _row(state, at, row._replace(status="edited"))
                yield f"{at} is edited", edited._replace(edits=state.edits + 1)
            if state.locks < self.locks and not _is_locked(state, at):
                yield f"a person locks {at}", state._replace(locked=at, locks=state.locks + 1)
        if state.locked is not None:
            yield f"a person lets {state.locked} go", state._replace(locked=None)
        if state.refusals < self.refusals:
            yield "a column is renamed", state._replace(is_refused=True, refusals=state.refusals + 1)
        if state.is_refused:
            yield "it is renamed back", state._replace(is_refused=False)


def _begin(state: LeaseState, number: int, worker: WorkerModel, task: LeaseModel) -> LeaseState:
    row = state.rows[task.row]
    is_lost = task.of != worker.id
    odd = "a worker begins a row whose lease it knows to be lost" if is_lost else row.odd
    begun = _worker(state, number, worker._replace(running=(*worker.running, task)))
    return _row(begun, task.row, row._replace(starts=row.starts + 1, odd=odd))


def _give_back(state: LeaseState, leases: set[LeaseModel]) -> LeaseState:
    return state._replace(claims=tuple(claim for claim in state.claims if claim not in leases))


def _is_locked(state: LeaseState, at: int) -> bool:
    return state.locked == at or any(worker.locked == at for worker in state.workers)


def _less(leases: tuple[LeaseModel, ...], less: LeaseModel) -> tuple[LeaseModel, ...]:
    return tuple(each for each in leases if each != less)


def _row(state: LeaseState, at: int, row: RowModel) -> LeaseState:
    return state._replace(rows=(*state.rows[:at], row, *state.rows[at + 1 :]))


def _worker(state: LeaseState, number: int, worker: WorkerModel) -> LeaseState:
    return state._replace(workers=(*state.workers[:number], worker, *state.workers[number + 1 :]))
