"""Finds rows that one handler moves again and again, and slows them down.

The model. A row that circles (a trigger or a program sets its status back after each move, or two handlers move it to
and fro) would be moved thousands of times a minute, each time as a first attempt, with all its effects. So each worker
counts how often each of its handlers moves each key. Within a minute, `MOST_MOVES` moves count as normal work
(`MOST_MOVES_WITH_DUE` where the handler has a `due`, by which rows may come round on purpose). After that, the next
attempt must wait for a delay since the last move, which doubles with each further move, up to `LONGEST_WAIT_SECONDS`.
Until then the row is snoozed: no attempt is counted.

Memory is bounded, and a row costs next to nothing as long as nothing circles: moves are counted in `CELLS` cells by the
key's hash; only keys whose cell has reached `FEW_MOVES` get a counter of their own, `MOST_KEPT_KEYS` keys at most. Cells
are emptied each minute. If two keys share a cell, the only effect is that one may get its own counter too early.

What may be trusted: this worker's own memory. Where several workers move a row, each has its own count, and the first
worker that has seen enough moves slows the row down.
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

WINDOW_SECONDS = 60.0  # in which moves are counted; a handler is logged at most once in this time
MOST_MOVES = 10  # moves of a key by one handler within that; with more, the row is circling
MOST_MOVES_WITH_DUE = 120  # the same, where a handler has a `due`
FEW_MOVES = 5  # moves in a cell before its keys get counters of their own
CELLS = 2**20  # a byte each
MOST_KEPT_KEYS = 20_000  # keys with a counter of their own
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0  # seconds from the last move to the next attempt
KEPT_SECONDS = 3 * LONGEST_WAIT_SECONDS  # without a move after which a key is no longer slowed down
MOVES = (Became.MOVED, Became.FAILED)  # what became of rows that have another status now


@dataclass(slots=True)
class _Circle:
    """A key that a handler moves often.

    Attributes:
        since: when the key got its own counter (monotonic).
        moves: the number of moves since, including those that its cell counted before.
        moved_at: when the last move was (monotonic).
        delay: seconds from that to the next attempt; 0 as long as the moves count as normal work.
    """

    since: float
    moves: int
    moved_at: float
    delay: float = 0.0


class Circling:
    """Detects and slows down, in one worker, rows that circle."""

    def __init__(self) -> None:
        self._cells = bytearray()
        self._emptied_at = 0.0
        self._circles: dict[tuple[Binding, str], _Circle] = {}
        self._is_slowing = False  # whether at least one key is slowed down
        self._told_at: dict[Binding, float] = {}
        self._lock = threading.Lock()

    def note(self, settled: Settled) -> None:
        """Count moves of one handler's rows; the thread that has written them calls this."""
        binding = settled.binding
        now = monotonic()
        if now - self._emptied_at > WINDOW_SECONDS:
            self._empty(now)
        cells, salt = self._cells, hash(binding)  # inlines `_cell`, to save a call for each row
        for result, became in settled:
            if became in MOVES:
                at = (hash(result.task.key) ^ salt) % CELLS
                if cells[at] < FEW_MOVES:
                    cells[at] += 1
                else:
                    self._count(binding, result, now)

    def part(self, tasks: list[Task]) -> tuple[list[Task], list[Result]]:
        """Return the tasks of one handler that may begin, and snooze results for the others."""
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
        """Begin another minute; forget the keys that no longer circle."""
        with self._lock:
            kept = {
                key: each
                for key, each in self._circles.items()
                if each.delay and now - each.moved_at < KEPT_SECONDS
            }
            cells = bytearray(CELLS)
            for binding, key in kept:  # their further moves must still reach a counter
                cells[_cell(binding, key)] = FEW_MOVES
            self._circles, self._is_slowing = kept, bool(kept)
            self._cells, self._emptied_at = cells, now

    def _count(self, binding: Binding, result: Result, now: float) -> None:
        with self._lock:
            key = (binding, result.task.key)
            circle = self._circles.get(key)
            if circle is None:
                if len(self._circles) >= MOST_KEPT_KEYS:
                    return
                circle = self._circles[key] = _Circle(now, FEW_MOVES, now)
            circle.moves, circle.moved_at = circle.moves + 1, now
            if circle.moves <= (MOST_MOVES if binding.handler.due is None else MOST_MOVES_WITH_DUE):
                return
            circle.delay = min(LONGEST_WAIT_SECONDS, max(SHORTEST_WAIT_SECONDS, 2 * circle.delay))
            self._is_slowing = True
            if now - self._told_at.get(binding, -WINDOW_SECONDS) < WINDOW_SECONDS:
                return
            self._told_at[binding] = now
            keys = sum(each is binding and circle.delay > 0 for (each, _), circle in self._circles.items())
        _tell(binding, result, circle, keys)


def _cell(binding: Binding, key: str) -> int:
    return (hash(key) ^ hash(binding)) % CELLS


def _put_off(task: Task, circle: _Circle, seconds: float) -> Outcome:
    handler = task.handler
    why = f"put off: the row circles; this worker has moved it {circle.moves} times"
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
        longest_wait_seconds=LONGEST_WAIT_SECONDS,
    )
    emit(event)
