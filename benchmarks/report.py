"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Series:
    """What one contestant reached with some number of workers: rows a second, a figure for each round."""

    name: str
    by_hand: bool
    shape: str
    workers: int
    rates: list[float]

    @property
    def median(self) -> float:
        """The median of the rates, in rows a second."""
        return median(self.rates)

    def against(self, other: Series) -> float:
        """Return the median of the ratios within the rounds: what both met in a round strikes both."""
        return median(mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True))


def machine(url: str) -> dict[str, str]:
    """Return what the figures depend on."""
    with psycopg.connect(url) as connection:
        version = connection.execute("show server_version").fetchone()
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
        "postgres": str(version[0]) if version else "",
    }


def percentile(values: list[float], share: float) -> float:
    """Return the value that such a share of the values is not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(measured: Sequence[Series]) -> Table:
    """Return the table that is printed."""
    shown = Table(title="rows a second, drained (median; lowest to highest)")
    for heading in ("", "workers", "median", "range", "to by hand, same workers", "to by hand, best"):
        shown.add_column(heading, justify="right" if heading else "left")
    for each in measured:
        alike = [other for other in measured if other.shape == each.shape]
        best = _best(alike)
        same = _best([other for other in alike if other.workers == each.workers])
        shown.add_row(
            each.name,
            str(each.workers),
            f"{each.median:,.0f}",
            f"{min(each.rates):,.0f} to {max(each.rates):,.0f}",
            f"{each.against(same):.2f}",
            f"{each.against(best):.2f}",
        )
    return shown


def best_pairs(measured: Sequence[Series]) -> list[tuple[str, Series, Series]]:
    """Return each of ours at its best number of workers, and the best of what is written by hand."""
    found = []
    for name in dict.fromkeys(each.name for each in measured if not each.by_hand):
        mine = max((each for each in measured if each.name == name), key=lambda each: each.median)
        found.append((name, mine, _best([each for each in measured if each.shape == mine.shape])))
    return found


def as_json(measured: Sequence[Series], rows: int) -> dict[str, Any]:
    """Return all that was measured."""
    return {
        "rows": rows,
        "best_to_best": {name: mine.against(best) for name, mine, best in best_pairs(measured)},
        "series": [{**asdict(each), "median": each.median} for each in measured],
    }


def _best(measured: Sequence[Series]) -> Series:
    return max((each for each in measured if each.by_hand), key=lambda each: each.median)
