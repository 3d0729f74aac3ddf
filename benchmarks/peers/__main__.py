"""`python -m benchmarks.peers`: measures poller beside other job systems, on a server of its own."""

from __future__ import annotations

import argparse
import importlib.metadata
import signal
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from benchmarks import report
from benchmarks.peers import celery, graphile, pgqueuer, procrastinate
from benchmarks.peers.installing import UnavailableError
from benchmarks.race import ours, race
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.peers.peer import Peer

PEERS: dict[str, Callable[[], Peer]] = {
    "pgqueuer": pgqueuer.prepare,
    "procrastinate": procrastinate.prepare,
    "celery": celery.prepare,
    "graphile-worker": graphile.prepare,
}


class _Poller:
    """Ours, as `benchmarks.race` measures it."""

    name = f"poller {importlib.metadata.version('poller')}"

    def race(self, server_url: str, workers: int, rows: int) -> float:
        """Return how many rows a second it drains."""
        return race(server_url, ours(workers), rows)


@dataclass(frozen=True)
class _Series:
    """What one reached with some number of workers: rows a second, a figure for each round."""

    peer: Peer
    workers: int
    rates: list[float] = field(default_factory=list)


def main() -> None:
    """Race all in turn, round after round, and print what came of it."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind then, too
    peers = [_Poller(), *_prepared(options.only)]
    with cluster() as server:
        about = report.machine(server.url)
        measured = [_Series(peer, workers) for workers in options.workers for peer in peers]
        _measure(server.url, measured, options.rounds, options.rows)
    console = Console()
    console.print(_table(measured))
    console.print(f"{options.rows:,} jobs; " + ", ".join(f"{name} {value}" for name, value in about.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=20_000, help="how many jobs are drained each time (20000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="numbers of worker processes (1,2)")
    parser.add_argument("--only", type=_names, default=[*PEERS], help=f"of: {','.join(PEERS)} (all)")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PEERS):
        msg = f"there is no {', '.join(sorted(unknown))} among {', '.join(PEERS)}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _prepared(names: Sequence[str]) -> list[Peer]:
    """Return the peers that can be had, and say which cannot."""
    console = Console(stderr=True)
    prepared = []
    for name in names:
        try:
            with console.status(f"preparing {name}"):
                prepared.append(PEERS[name]())
        except UnavailableError as reason:
            console.print(f"{name} is skipped: {reason}", markup=False, highlight=False, soft_wrap=True)
    return prepared


def _measure(url: str, measured: Sequence[_Series], rounds: int, rows: int) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=rounds * len(measured))
        for number in range(rounds):
            for each in measured:
                what = f"round {number + 1}: {each.peer.name}, {each.workers} workers"
                progress.update(task, description=what)
                each.rates.append(each.peer.race(url, each.workers, rows))
                progress.advance(task)


def _table(measured: Sequence[_Series]) -> Table:
    shown = Table(title="rows a second, drained (median; lowest to highest)")
    for heading in ("", "workers", "median", "range", "poller to it"):
        shown.add_column(heading, justify="right" if heading else "left")
    mine = {each.workers: each.rates for each in measured if isinstance(each.peer, _Poller)}
    for each in measured:
        ratio = median(our / their for our, their in zip(mine[each.workers], each.rates, strict=True))
        shown.add_row(
            each.peer.name,
            str(each.workers),
            f"{median(each.rates):,.0f}",
            f"{min(each.rates):,.0f} to {max(each.rates):,.0f}",
            f"{ratio:.2f}",
        )
    return shown


if __name__ == "__main__":
    main()
