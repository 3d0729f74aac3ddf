"""What a row costs the server: bytes of WAL, and row versions left dead, beside the hand-written lease loop.

Both are counted from the gate, which a checkpoint precedes, until the contestant has ended.
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
TARGETS = {"off": Target("≤", 1.5), "failures": None, "all": None}  # by history


@dataclass(frozen=True)
class Size:
    """How many rounds, of so many rows each."""

    rounds: int = 5
    rows: int = 100_000


def measure(server: Cluster, size: Size, teller: Teller) -> Measured:
    """Race ours with each history, and the hand-written loop, round after round."""
    contestants = {
        "by hand": hand_written(WORKERS, BATCH),
        **{history: ours(WORKERS, history=history) for history in TARGETS},
    }
    found: dict[str, list[Finish]] = {key: [] for key in contestants}
    teller.expect(size.rounds * len(contestants))
    for number in range(size.rounds):
        for key, contestant in contestants.items():
            with teller.step(f"round {number + 1}: {contestant.name}"):
                found[key].append(run(server.url, contestant, size.rows))
    wal = {key: [each.wal / each.rows for each in finishes] for key, finishes in found.items()}
    dead = {key: [each.dead / each.rows for each in finishes] for key, finishes in found.items()}
    lines = [*_lines("WAL", "bytes/row", wal), *_lines("dead tuples", "1/row", dead)]
    return Measured(lines, {"size": asdict(size), "workers": WORKERS, "wal": wal, "dead": dead})


def _lines(what: str, unit: str, figures: dict[str, list[float]]) -> list[Line]:
    return [
        compared(f"{what}, history {history}", unit, figures[history], figures["by hand"], target)
        for history, target in TARGETS.items()
    ]


MEASUREMENT = Measurement(measure, Size(), Size(rounds=1, rows=20_000))
