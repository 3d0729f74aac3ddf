"""`python -m benchmarks`: measures poller beside a hand-written loop, on a server of its own."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import report
from benchmarks.race import Contestant, hand_written, ours, race
from tests.servers import cluster

RESULTS = Path(__file__).parent / "results"
BATCHES = (100, 500)


def main() -> None:
    """Race all contestants in turn, round after round, and print what came of it."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind then, too
    contestants = [
        each
        for workers in options.workers
        for each in (
            *(
                ours(workers, **({} if history == "all" else {"history": history}))
                for history in options.history
            ),
            *(hand_written(workers, batch) for batch in BATCHES),
            *_others(workers, every=not options.rows_only),
        )
    ]
    with cluster() as server:
        about = report.machine(server.url)
        measured = _measure(server.url, contestants, options.rounds, options.rows)
    _show(measured, about, options.rows)
    if options.json:
        file = RESULTS / options.json  # an absolute path stays as it is
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report.as_json(measured, about, options.rows), indent=2) + "\n")


def _others(workers: int, *, every: bool) -> list[Contestant]:
    """Return the other kinds of handlers, and the program that transactional ones are compared with."""
    if not every:
        return []
    return [
        ours(workers, batch=500),
        ours(workers, transactional=True),
        hand_written(workers, 500, "transaction"),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--rows", type=int, help="how many rows are drained each time (100000)")
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 4], help="numbers of workers (1,2,4)")
    parser.add_argument("--history", type=_histories, default=["all"], help="of: all, failures, off (all)")
    parser.add_argument("--rows-only", action="store_true", help="leave out batches and transactions")
    parser.add_argument("--quick", action="store_true", help="one round of 20000 rows, for a look")
    parser.add_argument("--json", metavar="FILE", help=f"also write it here, below {RESULTS}")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.rows = options.rows or (20_000 if options.quick else 100_000)
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _histories(text: str) -> list[str]:
    return text.split(",")


def _measure(url: str, contestants: list[Contestant], rounds: int, rows: int) -> list[report.Series]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    measured = [
        report.Series(each.name, by_hand=not each.stays, shape=each.shape, workers=each.workers, rates=[])
        for each in contestants
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=rounds * len(contestants))
        for number in range(rounds):
            for contestant, series in zip(contestants, measured, strict=True):
                what = f"round {number + 1}: {contestant.name}, {contestant.workers} workers"
                progress.update(task, description=what)
                series.rates.append(race(url, contestant, rows))
                progress.advance(task)
    return measured


def _show(measured: list[report.Series], about: dict[str, str], rows: int) -> None:
    console = Console()
    console.print(report.table(measured))
    for name, ratio in report.verdicts(measured).items():
        console.print(f"{name}: {ratio:.2f} of what is written by hand, each at its best")
    console.print(f"{rows:,} rows; " + ", ".join(f"{name} {value}" for name, value in about.items()))


if __name__ == "__main__":
    main()
