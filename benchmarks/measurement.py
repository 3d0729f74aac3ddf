"""A measurement, as the command line knows it: what it does, and how much of that."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.lines import Measured
    from benchmarks.progress import Teller
    from tests.servers import Cluster


@dataclass(frozen=True)
class Measurement:
    """One of the measurements.

    Attributes:
        measure: measures on a server of its own, as much as a size says.
        full: the size for figures that are to be published, a dataclass.
        short: the size for a look.
    """

    measure: Callable[[Cluster, Any, Teller], Measured]
    full: Any
    short: Any

    def size(self, given: Mapping[str, Any], *, short: bool) -> Any:
        """Return how much to do: as given, where the command line says anything."""
        size = self.short if short else self.full
        names = {each.name for each in fields(size)}
        return replace(size, **{name: value for name, value in given.items() if name in names})
