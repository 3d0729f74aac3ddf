"""What a row costs: bytes of WAL, row versions left dead, and CPU, beside the hand-written lease loop.

WAL and dead versions are counted from the gate, which a checkpoint precedes, until the contestant has ended; CPU,
the server's included, until the last row. What company costs is told by the CPU of twice as many workers beside.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.lines import Line, Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.race import Finish, hand_written, ours, run

if TYPE_CHECKING:
    from benchmarks.progress import Teller
    from tests.servers import Cluster

WORKERS = 2
BATCH = 500
COMPANY = "all, twice as many workers"
TARGETS = {"off": Target("≤", 1.5), "failures": None, "all": None}  # by history
COMPANYS_TARGET = Target("≤", 1.1)


@dataclass(frozen=True)
class CostSize:
    """How many rounds, of so many rows each."""

    rounds: int = 5
    rows: int = 100_000


def measure(server: Cluster, size: CostSize, teller: Teller) -> Measured:
    """Race ours with each history, and the hand-written loop, round after round."""
    contestants = {
        "by hand": hand_written(WORKERS, BATCH),
        **{history: ours(WORKERS, history=history) for history in TARGETS},
        COMPANY: ours(2 * WORKERS, history="all"),
    }
    found: dict[str, list[Finish]] = {key: [] for key in contestants}
    teller.expect(size.rounds * len(contestants))
    for number in range(size.rounds):
        for key, contestant in contestants.items():
            with teller.step(f"round {number + 1}: {contestant.name}"):
                found[key].append(run(server.url, contestant, size.rows))
    wal = {key: [each.wal / each.rows for each in finishes] for key, finishes in found.items()}
    dead = {key: [each.dead / each.rows for each in finishes] for key, finishes in found.items()}
    cpu = {key: [each.cpu_a_row for each in finishes] for key, finishes in found.items()}
    lines = [
        *_lines("WAL", "bytes/row", wal),
        *_lines("dead tuples", "1/row", dead),
        compared("CPU, history all", "µs/row", cpu["all"], cpu["by hand"]),
        compared(
            f"CPU, {2 * WORKERS} workers beside {WORKERS}",
            "µs/row",
            cpu[COMPANY],
            cpu["all"],
            COMPANYS_TARGET,
        ),
    ]
    return Measured(lines, {"size": asdict(size), "workers": WORKERS, "wal": wal, "dead": dead, "cpu": cpu})


def _lines(what: str, unit: str, figures: dict[str, list[float]]) -> list[Line]:
    return [
        compared(f"{what}, history {history}", unit, figures[history], figures["by hand"], target)
        for history, target in TARGETS.items()
    ]


MEASUREMENT = Measurement(measure, CostSize(), CostSize(rounds=1, rows=20_000))
