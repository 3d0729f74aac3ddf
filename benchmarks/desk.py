"""`python -m benchmarks.desk [ROWS]`: how soon the desk answers, how soon a browser paints it, and how large it is.

The fleet of `desk_fleet.py`, of 205,000 rows unless it is told otherwise; the desk is a process of its own on loopback.
A first visit has an empty cache, and is timed from the start of its navigation to the first contentful paint, as the
browser tells it. An answer is timed from its request to its last byte, on a connection that is kept.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rich.console import Console

from benchmarks import proc
from benchmarks.desk_fleet import TABLES, fill
from benchmarks.lines import Line, Measured, Target, table
from tests.browser.desk import Looked, chromium
from tests.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

LOADS, ASKED, CROWD = 30, 200, 50
ROWS = 205_000
PATHS = {
    "home": "/",
    "machine": "/machine?table=public.parcel_0",
    "rows": "/rows?table=public.parcel_0&status=pending",
    "row": "/row?table=public.parcel_0&key=15",
    "trouble": "/trouble",
    "jobs": "/jobs",
    "runs": "/runs",
    "workers": "/workers",
    "limits": "/limits",
    "actions": "/actions",
    "find": "/find?q=15",
}
PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  for (const each of list.getEntriesByName("first-contentful-paint")) done(each.startTime);
}).observe({type: "paint", buffered: true}))"""
TICK = "document.body.dispatchEvent(new Event('tick'))"


def main() -> None:
    """Measure, and print what came of it."""
    with cluster() as server:
        fill(server.url, int(sys.argv[1] if sys.argv[1:] else ROWS) // TABLES)
        with _desk(server.url) as (pid, base, took), chromium() as browser:
            cold, warm, least = _paints(browser, base)
            lines = [
                _line("ready after", took * 1000, "ms", 1500),
                _line("first visit, p50", median(cold), "ms", 200),
                _line("first visit, p95", quantiles(cold, n=20)[-1], "ms", 400),
                _line("next visit, p50", median(warm), "ms", 100),
                Line("first visit to a page of one line, p50", median(least), "ms"),
                *_sizes(browser, base),
                *_answers(base),
                _line(f"memory with {CROWD} browsers", _crowded(pid, base), "MiB", 80),
            ]
    Console().print(table({"desk": Measured(lines)}))


def _line(what: str, figure: float, unit: str, most: float) -> Line:
    return Line(what, figure, unit, target=Target("≤", most))


@contextmanager
def _desk(url: str) -> Iterator[tuple[int, str, float]]:
    """Start a desk; give its process, its address, and the seconds until it stood there."""
    command = [sys.executable, "-m", "poller", "ui", "--port=0", "--auth=none", "--allow=look,values,operate"]
    began = time.monotonic()
    with subprocess.Popen([*command, f"--database={url}"], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield process.pid, process.stdout.readline().strip().rstrip("/"), time.monotonic() - began
        finally:
            process.terminate()


def _paints(browser: Browser, base: str) -> tuple[list[float], list[float], list[float]]:
    """Return the milliseconds of first visits, of a second one each, and of what the machine takes for any page."""
    cold, warm, least = [], [], []
    for _ in range(LOADS):
        with Looked(browser, base) as looked:
            cold.append(_paint(looked, "/"))
            warm.append(_paint(looked, "/"))
        with Looked(browser, base) as looked:
            least.append(_paint(looked, "/healthz"))
    return cold, warm, least


def _paint(looked: Looked, path: str) -> float:
    return float(looked.at(path).evaluate(PAINT))


def _sizes(browser: Browser, base: str) -> Iterator[Line]:
    """Yield what goes over the wire, headers included, and how large the home page is before it is compressed."""
    with Looked(browser, base) as looked:
        seen: list[Any] = []
        looked.page.on("requestfinished", lambda request: seen.append(request))  # noqa: PLW0108 - it is given attributes
        page = looked.at("/workers")
        yield _line("first visit, requests", len(_over_the_wire(seen)), "", 4)
        yield _line("first visit", sum(_over_the_wire(seen)) / 1000, "kB", 60)
        with page.expect_response("**/workers") as answer:
            page.evaluate(TICK)
        yield _line(
            f"a tick without news ({answer.value.status})",
            sum(_over_the_wire([answer.value.request])),
            "bytes",
            300,
        )
    yield _line("home", len(_asked(base).read()) / 1024, "KiB", 60)


def _answers(base: str) -> Iterator[Line]:
    """Yield how long the desk takes for each page."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc)
    for name, path in PATHS.items():
        took = [_took(connection, path) for _ in range(ASKED)]
        yield _line(f"answer: {name}, p50", median(took), "ms", 30)
        yield _line(f"answer: {name}, p99", quantiles(took, n=100)[-1], "ms", 150)


def _took(connection: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    connection.getresponse().read()
    return (time.perf_counter() - began) * 1000


def _over_the_wire(requests: list[Any]) -> list[int]:
    sizes = [each.sizes() for each in requests if not each.url.startswith("data:")]
    return [each["responseHeadersSize"] + each["responseBodySize"] for each in sizes]


def _crowded(pid: int, base: str) -> float:
    """Return the memory of a desk at which many look."""
    with ThreadPoolExecutor(CROWD) as pool:
        list(pool.map(lambda _: _asked(base).read(), range(CROWD * 4)))
    return proc.memory(pid).rss


def _asked(base: str) -> Any:
    return urlopen(Request(f"{base}/"))  # noqa: S310 - it is on loopback


if __name__ == "__main__":
    main()
