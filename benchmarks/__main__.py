"""`python -m benchmarks`: measures poller beside what is written by hand, on a server of its own.

Without a name, the drain in full and the others in short.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import (
    backlog,
    cost,
    crowd,
    drain,
    growth,
    hooks,
    idle,
    latency,
    lines,
    listening,
    progress,
    report,
    schedules,
    waiting,
)
from tests.servers import cluster

if TYPE_CHECKING:
    from benchmarks.measurement import Measurement

RESULTS = Path(__file__).parent / "results"
WIDTH = 100  # characters
MEASUREMENTS: dict[str, Measurement] = {
    "drain": drain.MEASUREMENT,
    "latency": latency.MEASUREMENT,
    "idle": idle.MEASUREMENT,
    "waiting": waiting.MEASUREMENT,
    "growth": growth.MEASUREMENT,
    "cost": cost.MEASUREMENT,
    "backlog": backlog.MEASUREMENT,
    "crowd": crowd.MEASUREMENT,
    "hooks": hooks.MEASUREMENT,
    "listening": listening.MEASUREMENT,
    "schedules": schedules.MEASUREMENT,
}


def main() -> None:
    """Measure what is asked for, print what came of it, and write it down."""
    given = _given()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind then, too
    with cluster() as server, progress.shown() as bars:
        about = report.machine(server.url)
        found = {}
        for name, size in _sizes(given).items():
            teller = progress.Teller(bars, name)
            found[name] = MEASUREMENTS[name].measure(server, size, teller)
            teller.end()
    console = Console(record=True, width=WIDTH)
    _show(console, found, about)
    console.save_svg(str(_file(given["svg"])), title="python -m benchmarks")
    if "json" in given:
        whole = {"machine": about, **{name: each.as_json() for name, each in found.items()}}
        _file(given["json"]).write_text(json.dumps(whole, indent=2) + "\n")


def _given() -> dict[str, Any]:
    """Return what the command line says, and nothing of what it does not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("only", nargs="?", default=None, choices=MEASUREMENTS, help="the one to measure")
    parser.add_argument("--quick", action="store_true", default=False, help="in short, for a look")
    parser.add_argument("--json", metavar="FILE", help=f"also write it here, below {RESULTS}")
    parser.add_argument("--svg", metavar="FILE", default="latest.svg", help="the picture (latest.svg)")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--rows", type=int, help="drain, growth, cost: how many rows each time (100000)")
    parser.add_argument("--workers", type=_numbers, help="drain: numbers of workers (1,2,4)")
    parser.add_argument("--history", type=_words, help="drain: of all, failures, off (all,failures)")
    parser.add_argument("--rows-only", action="store_true", help="drain: leave out batches and transactions")
    parser.add_argument("--inserts", type=int, help="latency: inserts a round (300)")
    parser.add_argument("--settling", type=float, help="idle: seconds before it is measured (20)")
    parser.add_argument("--seconds", type=float, help="idle: seconds that are measured (30)")
    parser.add_argument("--memory-rows", type=int, help="idle: rows for the memory (1000000)")
    parser.add_argument("--coroutine-rows", type=int, help="waiting: rows for coroutines (20000)")
    parser.add_argument("--work", type=float, help="waiting: seconds of work for slow handlers (4)")
    parser.add_argument("--finished", type=_numbers, help="growth: finished rows (1000000)")
    parser.add_argument(
        "--crowds", type=_numbers, help="crowd: numbers of simulated workers (10,100,500,1000)"
    )
    parser.add_argument("--trouble", type=int, help="growth: rows parked or in backoff (100000)")
    return vars(parser.parse_args())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _sizes(given: dict[str, Any]) -> dict[str, Any]:
    """Return how much of what to measure."""
    if given["only"]:
        return {given["only"]: MEASUREMENTS[given["only"]].size(given, short=given["quick"])}
    return {
        name: each.size(given, short=given["quick"] or name != "drain") for name, each in MEASUREMENTS.items()
    }


def _file(name: str) -> Path:
    """Return the file of a result; an absolute path stays as it is."""
    file = RESULTS / name
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _show(console: Console, found: dict[str, lines.Measured], about: dict[str, str]) -> None:
    for measured in found.values():
        if measured.table:
            console.print(measured.table)
    console.print(lines.table(found))
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)


if __name__ == "__main__":
    main()
