"""Handlers that wait: coroutines, a thousand at once on one worker, and plain ones on more and more workers.

The coroutines await 10 ms; beside them a bare asyncio program that leases and settles as the hand-written loop does.
The plain handlers sleep for 50 ms; beside the rate of N workers stands N times that of one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import by_hand_async
from benchmarks.handling import awaits, naps
from benchmarks.lines import Line, Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.race import hand_written, race, with_handlers

if TYPE_CHECKING:
    from benchmarks.progress import Teller
    from tests.servers import Cluster

AT_ONCE = by_hand_async.MOST
BATCH = 500
SLOTS = 32  # a worker, for slow handlers
FLEETS = (1, 2, 4, 8)  # workers


@dataclass(frozen=True)
class WaitingSize:
    """How many rounds, each with so many rows for coroutines, and so many seconds of work for slow handlers."""

    rounds: int = 5
    coroutine_rows: int = 20_000
    work: float = 4.0


def measure(server: Cluster, size: WaitingSize, teller: Teller) -> Measured:
    """Race coroutines and slow handlers, round after round."""
    rates: dict[str, list[float]] = {}
    contestants = {
        "coroutines": with_handlers(1, awaits.__name__, AT_ONCE),
        "by hand": replace(hand_written(1, BATCH), name="asyncio by hand", module="benchmarks.by_hand_async"),
        **{str(workers): with_handlers(workers, naps.__name__, SLOTS) for workers in FLEETS},
    }
    teller.expect(size.rounds * len(contestants))
    for number in range(size.rounds):
        for key, contestant in contestants.items():
            slow = round(contestant.workers * SLOTS / naps.SECONDS * size.work)
            rows = slow if key.isdigit() else size.coroutine_rows
            with teller.step(f"round {number + 1}: {contestant.name}, {contestant.workers} workers"):
                rates.setdefault(key, []).append(race(server.url, contestant, rows))
    return Measured(_lines(rates), {"size": asdict(size), "rates": rates})


def _lines(rates: dict[str, list[float]]) -> list[Line]:
    what = f"coroutines that await 10 ms, {AT_ONCE:,} at once"
    one = rates["1"]
    ceiling = [SLOTS / naps.SECONDS] * len(one)
    return [
        compared(what, "rows/s", rates["coroutines"], rates["by hand"], Target("≥", 0.5)),
        compared("sleep 50 ms, 1 worker, to 32 slots / 50 ms", "rows/s", one, ceiling),
        *(
            compared(
                f"sleep 50 ms, {workers} workers, to linear",
                "rows/s",
                rates[str(workers)],
                [workers * each for each in one],
                Target("≥", 0.95),
            )
            for workers in FLEETS[1:]
        ),
    ]


MEASUREMENT = Measurement(measure, WaitingSize(), WaitingSize(rounds=1, coroutine_rows=10_000, work=2.0))
