"""How a drain bears growth: the same rows and workers as the plain drain of the same round, in other settings."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import settings
from benchmarks.lines import Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.race import PLAIN, Setting, ours, race

if TYPE_CHECKING:
    from benchmarks.progress import Teller
    from tests.servers import Cluster

WORKERS = 2
SPREADS = (10, 50)  # tables


@dataclass(frozen=True)
class GrowthSize:
    """How many rounds, of so many rows each; beside how many finished rows, and how many in trouble."""

    rounds: int = 5
    rows: int = 100_000
    finished: tuple[int, ...] = (1_000_000,)
    trouble: int = 100_000


def measure(server: Cluster, size: GrowthSize, teller: Teller) -> Measured:
    """Race the plain drain and the others in turn, round after round."""
    with contextlib.ExitStack() as stack:
        teller.expect(1 + size.rounds * (len(size.finished) + len(SPREADS) + 3))
        with teller.step("preparing"):
            kinds = _settings(stack, server.url, size)
        rates: dict[str, list[float]] = {each.name: [] for each, _ in kinds}
        for number in range(size.rounds):
            for setting, _ in kinds:
                with teller.step(f"round {number + 1}: {setting.name}"):
                    rates[setting.name].append(_race(server.url, size.rows, setting))
    lines = [
        compared(f"drain, {setting.name}", "rows/s", rates[setting.name], rates[PLAIN.name], target)
        for setting, target in kinds[1:]
    ]
    return Measured(lines, {"size": asdict(size), "workers": WORKERS, "rates": rates})


def _settings(
    stack: contextlib.ExitStack, server_url: str, size: GrowthSize
) -> list[tuple[Setting, Target | None]]:
    """Return the settings, the plain one first, and what is to be reached in each."""
    return [
        (PLAIN, None),
        *(
            (stack.enter_context(settings.finished(server_url, rows)), Target("≥", 0.95))
            for rows in size.finished
        ),
        (stack.enter_context(settings.in_trouble(server_url, size.trouble)), Target("≥", 0.9)),
        (settings.beside_an_old_snapshot(), None),
        *((settings.spread(tables), Target("≥", 0.8)) for tables in SPREADS),
    ]


def _race(server_url: str, rows: int, setting: Setting) -> float:
    contestant = ours(WORKERS)
    told = contestant.environment | settings.environment(setting)
    return race(server_url, replace(contestant, environment=told), rows, setting)


MEASUREMENT = Measurement(measure, GrowthSize(), GrowthSize(rounds=1, rows=20_000, trouble=20_000))
