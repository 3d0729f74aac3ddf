"""Finds rows that one handler moves again and again, and slows them down.

The model. A row that goes round (a trigger or a program that sets its status back after each move, two handlers that
move it to and fro) would be moved thousands of times a minute, each time as a first attempt, with all its effects. So
each worker counts how often each of its handlers moves each key. Within a minute `MOST` moves are taken for work
(`MOST_DUE` where the handler has a `due`, by which rows may come round on purpose); from then on the next attempt is
not begun before a while has passed since the last move, which doubles with each further one, up to `LONGEST`. Until
then the row is snoozed: no attempt is counted.

Memory is bounded, and a row costs next to nothing as long as nothing circles: moves are counted in `CELLS` cells by
the key's hash, and only keys whose cell has come to `FEW` are counted by themselves, `MOST_KEPT` at the most. Cells
are emptied each minute. That two keys share a cell can make one be counted by itself, and nothing else.

What may be trusted: this worker's own memory. Where several workers move a row, each has its own count, and the row
is slowed when the first of them has seen enough.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from poller.model.outcome import Became, Outcome
from poller.store.lease import Result
from poller.telemetry.bus import emit
from poller.telemetry.events import RowCircling

if TYPE_CHECKING:
    from poller.store.binding import Binding
    from poller.store.lease import Settled, Task

WINDOW = 60.0  # seconds in which moves are counted; a handler is told of once in so many
MOST = 10  # moves of a key by one handler within that; more is going round
MOST_DUE = 120  # the same, where a handler has a `due`
FEW = 5  # of these, that only a cell has counted
CELLS = 2**20  # a byte each
MOST_KEPT = 20_000  # keys counted by themselves
SHORTEST, LONGEST = 1.0, 60.0  # seconds from the last move to the next attempt
KEPT = 3 * LONGEST  # seconds without a move after which a key is no longer slowed down
MOVES = (Became.MOVED, Became.FAILED)  # what became of rows that have another status now


@dataclass(slots=True)
class _Circle:
    """A key that a handler moves often.

    Attributes:
        since: when its moves were first counted by themselves (monotonic).
        moves: how many there were since, those that only its cell has counted included.
        moved_at: when the last one was (monotonic).
        delay: seconds from that to the next attempt; 0 as long as it is taken for work.
    """

    since: float
    moves: int
    moved_at: float
    delay: float = 0.0


class Circling:
    """What one worker knows of rows that go round."""

    def __init__(self) -> None:
        self._cells = bytearray()
        self._emptied_at = 0.0
        self._circles: dict[tuple[Binding, str], _Circle] = {}
        self._is_slowing = False  # a key at least
        self._told_at: dict[Binding, float] = {}
        self._lock = threading.Lock()

    def note(self, settled: Settled) -> None:
        """Count moves of one handler's rows; called by whichever thread has written them."""
        binding = settled.binding
        now = monotonic()
        if now - self._emptied_at > WINDOW:
            self._empty(now)
        cells, salt = self._cells, hash(binding)  # as `_cell`, which a call for each row would make dearer
        for result, became in settled:
            if became in MOVES:
                at = (hash(result.task.key) ^ salt) % CELLS
                if cells[at] < FEW:
                    cells[at] += 1
                else:
                    self._count(binding, result, now)

    def part(self, tasks: list[Task]) -> tuple[list[Task], list[Result]]:
        """Return the tasks of one handler that may begin, and the results of those that are put off."""
        if not self._is_slowing:
            return tasks, []
        able: list[Task] = []
        put_off: list[Result] = []
        now = monotonic()
        for task in tasks:
            circle = self._circles.get((task.lease.binding, task.key))
            wait = 0.0 if circle is None or not circle.delay else circle.moved_at + circle.delay - now
            if circle is None or wait <= 0 or task.company:  # suspects are on trial
                able.append(task)
            else:
                put_off.append(Result(task, _put_off(task, circle, wait), 0.0))
        return able, put_off

    def _empty(self, now: float) -> None:
        """Begin another minute; forget the keys that do not go round any more."""
        with self._lock:
            kept = {
                key: each for key, each in self._circles.items() if each.delay and now - each.moved_at < KEPT
            }
            cells = bytearray(CELLS)
            for binding, key in kept:  # each further move of theirs counts
                cells[_cell(binding, key)] = FEW
            self._circles, self._is_slowing = kept, bool(kept)
            self._cells, self._emptied_at = cells, now

    def _count(self, binding: Binding, result: Result, now: float) -> None:
        with self._lock:
            key = (binding, result.task.key)
            circle = self._circles.get(key)
            if circle is None:
                if len(self._circles) >= MOST_KEPT:
                    return
                circle = self._circles[key] = _Circle(now, FEW, now)
            circle.moves, circle.moved_at = circle.moves + 1, now
            if circle.moves <= (MOST if binding.handler.due is None else MOST_DUE):
                return
            circle.delay = min(LONGEST, max(SHORTEST, 2 * circle.delay))
            self._is_slowing = True
            if now - self._told_at.get(binding, -WINDOW) < WINDOW:
                return
            self._told_at[binding] = now
            keys = sum(each is binding and circle.delay > 0 for (each, _), circle in self._circles.items())
        _tell(binding, result, circle, keys)


def _cell(binding: Binding, key: str) -> int:
    return (hash(key) ^ hash(binding)) % CELLS


def _put_off(task: Task, circle: _Circle, seconds: float) -> Outcome:
    handler = task.handler
    why = f"put off: it goes round; this worker has moved it {circle.moves} times"
    return Outcome(Became.SNOOZED, to=handler.restored, delay=seconds, attempt=task.attempt - 1, error=why)


def _tell(binding: Binding, result: Result, circle: _Circle, keys: int) -> None:
    event = RowCircling(
        **binding.named,
        key=result.task.key,
        moves=circle.moves,
        seconds=max(1.0, circle.moved_at - circle.since),
        rows=keys,
        column=binding.handler.column,
        to=result.outcome.to,
        longest_wait_seconds=LONGEST,
    )
    emit(event)
