"""What a subscriber of events, middleware, spans and Sentry cost: a fleet with and without them, round after round."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.lines import Line, Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.race import Contestant, Finish, ours, run

if TYPE_CHECKING:
    from benchmarks.progress import Teller
    from tests.servers import Cluster

WORKERS = 2
BATCH = 500
SUBSCRIBERS_TARGET = Target("≥", 0.95)  # of the rate without


@dataclass(frozen=True)
class HooksSize:
    """How many rounds, of so many rows each."""

    rounds: int = 5
    rows: int = 100_000


def measure(server: Cluster, size: HooksSize, teller: Teller) -> Measured:
    """Race the fleet with each hook, and without, round after round."""
    contestants = {
        "plain": _hooked(""),
        "a subscriber": _hooked("subscriber"),
        "a middleware": _hooked("middleware"),
        f"plain, batch {BATCH}": _hooked("", batch=BATCH),
        f"a middleware, batch {BATCH}": _hooked("middleware", batch=BATCH),
        "spans": _hooked("spans", trace=True),
        f"spans, batch {BATCH}": _hooked("spans", batch=BATCH),
        "Sentry": _hooked("sentry"),
    }
    found: dict[str, list[Finish]] = {key: [] for key in contestants}
    teller.expect(size.rounds * len(contestants))
    for number in range(size.rounds):
        for key, contestant in contestants.items():
            with teller.step(f"round {number + 1}: {contestant.name}"):
                found[key].append(run(server.url, contestant, size.rows))
    rates = {key: [each.rate for each in finishes] for key, finishes in found.items()}
    cpu = {key: [each.cpu_a_row for each in finishes] for key, finishes in found.items()}
    lines = [
        *_lines("a subscriber", "plain", rates, cpu, SUBSCRIBERS_TARGET),
        *_lines("a middleware", "plain", rates, cpu),
        *_lines(f"a middleware, batch {BATCH}", f"plain, batch {BATCH}", rates, cpu),
        *_lines("spans", "plain", rates, cpu),
        *_lines(f"spans, batch {BATCH}", f"plain, batch {BATCH}", rates, cpu),
        *_lines("Sentry", "plain", rates, cpu),
    ]
    return Measured(lines, {"size": asdict(size), "workers": WORKERS, "rates": rates, "cpu": cpu})


def _lines(
    hook: str,
    plain: str,
    rates: dict[str, list[float]],
    cpu: dict[str, list[float]],
    target: Target | None = None,
) -> list[Line]:
    """Return how a hook's rate and CPU stand beside those without it."""
    return [
        compared(f"{hook}, beside none", "rows/s", rates[hook], rates[plain], target),
        compared(f"{hook}: CPU, beside none", "µs/row", cpu[hook], cpu[plain]),
    ]


def _hooked(hook: str, **options: Any) -> Contestant:
    fleet = ours(WORKERS, **options)
    return replace(
        fleet,
        name=f"{fleet.name}, {hook or 'plain'}",
        more=("--handlers", "benchmarks.handling.hooked"),
        environment={**fleet.environment, "BENCHMARK_HOOKS": hook},
    )


MEASUREMENT = Measurement(measure, HooksSize(), HooksSize(rounds=1, rows=20_000))
