"""How fast a table is drained: `race`, with 1, 2 and 4 workers, beside the hand-written loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.lines import Line, Measured, Target
from benchmarks.measurement import Measurement
from benchmarks.race import Contestant, hand_written, ours, race

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.progress import Teller
    from tests.servers import Cluster

BATCHES = (100, 500)
TARGETS = {
    "poller": Target("≥", 0.6),
    "poller, history failures": Target("≥", 0.7),
    "poller, transactional": Target("≥", 0.6),
    "poller, batch 500": Target("≥", 0.85),
}


@dataclass(frozen=True)
class DrainSize:
    """How often each is measured, with how many rows, with which numbers of workers, and with which histories."""

    rounds: int = 5
    rows: int = 100_000
    workers: tuple[int, ...] = (1, 2, 4)
    history: tuple[str, ...] = ("all", "failures")
    rows_only: bool = False


def measure(server: Cluster, size: DrainSize, teller: Teller) -> Measured:
    """Race all contestants in turn, round after round."""
    contestants = [each for workers in size.workers for each in _contestants(workers, size)]
    measured = [
        report.Series(each.name, by_hand=not each.stays, shape=each.shape, workers=each.workers, rates=[])
        for each in contestants
    ]
    teller.expect(size.rounds * len(contestants))
    for number in range(size.rounds):
        for contestant, series in zip(contestants, measured, strict=True):
            with teller.step(f"round {number + 1}: {contestant.name}, {contestant.workers} workers"):
                series.rates.append(race(server.url, contestant, size.rows))
    return Measured(_lines(measured), report.as_json(measured, size.rows), report.table(measured))


def _contestants(workers: int, size: DrainSize) -> list[Contestant]:
    options = [{} if history == "all" else {"history": history} for history in size.history]
    by_row = [
        *(ours(workers, **each) for each in options),
        *(hand_written(workers, batch) for batch in BATCHES),
    ]
    if size.rows_only:
        return by_row
    return [
        *by_row,
        ours(workers, batch=500),
        ours(workers, transactional=True),
        hand_written(workers, 500, "transaction"),
    ]


def _lines(measured: Sequence[report.Series]) -> list[Line]:
    """Return a line for each of ours, at its best number of workers, beside the best by hand."""
    return [
        Line(f"drain, {name}", mine.median, "rows/s", best.median, mine.against(best), TARGETS.get(name))
        for name, mine, best in report.best_pairs(measured)
    ]


MEASUREMENT = Measurement(measure, DrainSize(), DrainSize(rounds=1, rows=20_000))
