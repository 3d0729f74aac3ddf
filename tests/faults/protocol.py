"""The protocol of leases alone, as a state machine small enough to be searched through.

Two workers and a sweeper take any steps in any order; a process may be stopped between any two, and be declared dead
meanwhile. Each guard can be taken away, to see that the search then finds what it is for. What is modelled of Postgres:
a statement sees what was committed when it began (its snapshot), but a row that it has locked as it is now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = (0, 1)
ATTEMPTS = 2  # after which a row is parked

GUARDS = {
    "row lock": "a claim skips a row that another claim has locked",
    "second look": "under the row's lock, a claim looks again for leases",
    "fence": "an outcome counts only if its lease is there",
    "fence of the sweeper": "a lease is swept only if it is there",
    "compare and set": "a row moves only from the status that it was leased with",
    "attempts count": "a lease that ends with its worker counts as an attempt",
}


class Row(NamedTuple):
    """A row, and what has happened to it: `moves` by outcomes, `starts` of handlers, `leases` granted."""

    status: str = "pending"
    attempts: int = 0
    parked: bool = False
    moves: int = 0
    starts: int = 0
    leases: int = 0
    stale: int = 0  # writes by who had lost the lease
    overwritten: bool = False  # a person's edit


class Worker(NamedTuple):
    """A worker: what its claim has seen, locked and written so far, the leases it believes to hold, what it runs."""

    id: int
    alive: bool = True  # in the database's eyes
    seen: tuple[tuple[int, int, int], ...] | None = None  # the claims, in its snapshot
    locked: int | None = None
    taken: tuple[int, int, int] | None = None  # the claim that it has written, and not committed yet
    queued: tuple[tuple[int, int], ...] = ()  # (lease, row)
    running: tuple[tuple[int, int], ...] = ()


class State(NamedTuple):
    """All there is. A claim is (lease, worker, row)."""

    rows: tuple[Row, ...]
    workers: tuple[Worker, ...] = (Worker(0), Worker(1))
    claims: tuple[tuple[int, int, int], ...] = ()
    swept: tuple[tuple[int, int, int], ...] = ()  # what the sweeper has read, and not written yet
    leases: int = 0
    deaths: int = 0
    edits: int = 0


@dataclass(frozen=True)
class Protocol:
    """The steps that can be taken, with some guard taken away or none.

    Attributes:
        without: the guard.
        rows: how many rows there are.
        leases: after so many no more are granted: it bounds the search.
        deaths: after so many no worker is declared dead.
    """

    without: str = ""
    rows: int = 1
    leases: int = 4
    deaths: int = 3

    def start(self) -> State:
        """Return the state in which all begins."""
        return State((Row(),) * self.rows)

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Return each step that can be taken, and what it leads to."""
        for number, worker in enumerate(state.workers):
            yield from self._claim(state, number, worker)
            yield from self._work(state, number, worker)
            if worker.alive and state.deaths < self.deaths:
                dead = _worker(state, number, worker._replace(alive=False))
                yield f"{number} is declared dead", dead._replace(deaths=state.deaths + 1)
            if not worker.alive:  # it finds out, forgets what it has not begun, and goes on under another id
                anew = Worker(worker.id + len(state.workers), running=worker.running)
                yield f"{number} joins anew", _worker(state, number, anew)
        yield from self._sweep(state)
        for at, row in enumerate(state.rows):
            if row.status == "pending" and state.edits < 1 and not _is_locked(state, at):
                yield f"{at} is edited", _row(state, at, row._replace(status="edited"))._replace(edits=1)

    def broken(self, state: State) -> str | None:
        """Return which promise a state breaks, if any."""
        held = [claim[2] for claim in state.claims]
        if len(held) != len(set(held)):
            return "a row is held by two leases"
        for row in state.rows:
            for is_broken, why in (
                (row.stale, "who had lost a lease has moved the row"),
                (row.moves > 1, "a row has moved twice"),
                (row.overwritten, "a person's edit was overwritten"),
                (row.starts > row.leases, "a handler was begun without a lease of its own"),
                (row.leases > ATTEMPTS, "a row that ends with its workers is handed out for ever"),
                (row.attempts > row.leases - row.moves, "an attempt was counted that never was"),
            ):
                if is_broken:
                    return why
        return None

    def _claim(self, state: State, number: int, worker: Worker) -> Iterator[tuple[str, State]]:
        if not worker.alive:
            return  # the lease's foreign key, and its own beat, keep it from that
        if worker.seen is None and state.leases < self.leases:
            yield f"{number} looks", _worker(state, number, worker._replace(seen=state.claims))
        if worker.seen is not None and worker.locked is None:
            for at, row in enumerate(state.rows):
                is_free = not any(claim[2] == at for claim in worker.seen)
                is_due = row.status == "pending" and not row.parked
                if is_due and is_free and (not _is_locked(state, at) or self.without == "row lock"):
                    yield f"{number} locks {at}", _worker(state, number, worker._replace(locked=at))
            yield f"{number} finds nothing", _worker(state, number, worker._replace(seen=None))
        if worker.locked is not None and worker.taken is None:
            yield f"{number} takes {worker.locked}", self._take(state, number, worker)
        if worker.taken is not None:
            yield f"{number} commits {worker.locked}", self._commit(state, number, worker)

    def _take(self, state: State, number: int, worker: Worker) -> State:
        at = worker.locked
        assert at is not None
        known = worker.seen if self.without == "second look" else state.claims
        assert known is not None
        if any(claim[2] == at for claim in known) or state.rows[at].parked:
            return _worker(state, number, worker._replace(seen=None, locked=None))
        taken = (state.leases, worker.id, at)
        return _worker(state, number, worker._replace(taken=taken))._replace(leases=state.leases + 1)

    def _commit(self, state: State, number: int, worker: Worker) -> State:
        assert worker.taken is not None
        lease, _, at = worker.taken
        queued = (*worker.queued, (lease, at))
        state = _worker(state, number, worker._replace(seen=None, locked=None, taken=None, queued=queued))
        row = state.rows[at]
        state = _row(state, at, row._replace(leases=row.leases + 1))
        return state._replace(claims=(*state.claims, worker.taken))

    def _work(self, state: State, number: int, worker: Worker) -> Iterator[tuple[str, State]]:
        for task in worker.queued:
            _, at = task
            row = state.rows[at]
            begun = worker._replace(
                queued=tuple(each for each in worker.queued if each != task), running=(*worker.running, task)
            )
            yield (
                f"{number} begins {at}",
                _row(_worker(state, number, begun), at, row._replace(starts=row.starts + 1)),
            )
        for task in worker.running:
            if _is_locked(state, task[1]):
                continue  # its UPDATE waits
            ended = worker._replace(running=tuple(each for each in worker.running if each != task))
            yield f"{number} settles {task[1]}", self._settle(_worker(state, number, ended), task)

    def _settle(self, state: State, task: tuple[int, int]) -> State:
        lease, at = task
        row = state.rows[at]
        is_held = any(claim[0] == lease for claim in state.claims)
        if not is_held and self.without != "fence":
            return state
        claims = tuple(claim for claim in state.claims if claim[0] != lease)
        if row.status != "pending" and self.without != "compare and set":
            return state._replace(claims=claims)
        moved = row._replace(
            status="normal",
            moves=row.moves + 1,
            stale=row.stale + (not is_held),
            overwritten=row.overwritten or row.status == "edited",
        )
        return _row(state._replace(claims=claims), at, moved)

    def _sweep(self, state: State) -> Iterator[tuple[str, State]]:
        dead = tuple(
            claim
            for claim in state.claims
            if claim[1] not in {each.id for each in state.workers if each.alive}
        )
        if dead and not state.swept:
            yield "the sweeper looks", state._replace(swept=dead)
        for claim in state.swept:
            rest = state._replace(swept=tuple(each for each in state.swept if each != claim))
            if claim not in state.claims and self.without != "fence of the sweeper":
                yield "the sweeper finds nothing", rest
                continue
            row = state.rows[claim[2]]
            attempts = row.attempts + (self.without != "attempts count")
            back = row._replace(attempts=attempts, parked=row.parked or attempts >= ATTEMPTS)
            claims = tuple(each for each in state.claims if each != claim)
            yield "the sweeper settles", _row(rest._replace(claims=claims), claim[2], back)


def _is_locked(state: State, at: int) -> bool:
    return any(worker.locked == at for worker in state.workers)


def _row(state: State, at: int, row: Row) -> State:
    return state._replace(rows=(*state.rows[:at], row, *state.rows[at + 1 :]))


def _worker(state: State, number: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:number], worker, *state.workers[number + 1 :]))
