"""What --listen costs a fleet that is scraped every second: the same fleet with and without, round after round."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.lines import Line, Measured, Target, compared
from benchmarks.measurement import Measurement
from benchmarks.race import PLAIN, Contestant, Finish, ours, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.progress import Teller
    from tests.servers import Cluster

WORKERS = 2
EVERY_SECONDS = 1.0
TARGET = Target("≤", 1.02)  # of the CPU a row without


@dataclass(frozen=True)
class ListeningSize:
    """How many rounds, of so many rows each."""

    rounds: int = 7
    rows: int = 200_000


def measure(server: Cluster, size: ListeningSize, teller: Teller) -> Measured:
    """Race the fleet with and without --listen, in an order that alternates."""
    plain, scraped = ours(WORKERS), _listening()
    found: dict[str, list[Finish]] = {plain.name: [], scraped.name: []}
    teller.expect(size.rounds * 2)
    for number in range(size.rounds):
        for each in (plain, scraped) if number % 2 else (scraped, plain):
            with teller.step(f"round {number + 1}: {each.name}"):
                found[each.name].append(_run(server.url, each, size.rows))
    rates = {key: [each.rate for each in finishes] for key, finishes in found.items()}
    cpu = {key: [each.cpu_a_row for each in finishes] for key, finishes in found.items()}
    lines: list[Line] = [
        compared("--listen and a scrape a second: CPU", "µs/row", cpu[scraped.name], cpu[plain.name], TARGET),
        compared("--listen and a scrape a second", "rows/s", rates[scraped.name], rates[plain.name]),
    ]
    return Measured(lines, {"size": asdict(size), "workers": WORKERS, "rates": rates, "cpu": cpu})


def _listening() -> Contestant:
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = f"127.0.0.1:{found.getsockname()[1]}"
    fleet = ours(WORKERS)
    return replace(fleet, name=f"{fleet.name}, listening", more=("--listen", address))


def _run(server_url: str, contestant: Contestant, rows: int) -> Finish:
    if not contestant.more:
        return run(server_url, contestant, rows)
    address = contestant.more[-1]
    return run(server_url, contestant, rows, replace(PLAIN, beside=lambda _: _scraped(address)))


@contextlib.contextmanager
def _scraped(address: str) -> Iterator[None]:
    over = threading.Event()

    def scrape() -> None:
        while True:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                answer.read()
            if over.wait(EVERY_SECONDS):
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


MEASUREMENT = Measurement(measure, ListeningSize(), ListeningSize(rounds=1, rows=20_000))
