"""Suggests what a misspelt name may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 5  # names in one line


def nearest(name: str, known: Iterable[str], most: int = SHOWN) -> list[str]:
    """Return the known names that are spelt most like one, the nearest first; only the last part of `a.b` counts."""

    def distance(other: str) -> tuple[float, str]:
        matcher = difflib.SequenceMatcher(None, other.rpartition(".")[2].lower(), name.lower())
        return (-matcher.ratio(), other)

    return sorted(known, key=distance)[:most]
