"""Suggests what a misspelt name may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SHOWN = 5  # names in one line


def nearest(name: str, known: Iterable[str], most: int = SHOWN) -> list[str]:
    """Return the known names that are spelt most like one, the nearest first; only the last part of `a.b` counts."""

    def distance(other: str) -> tuple[float, str]:
        matcher = difflib.SequenceMatcher(None, other.rpartition(".")[2].lower(), name.lower())
        return (-matcher.ratio(), other)

    return sorted(known, key=distance)[:most]


def refuse_others(section: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse keys in a section of settings that there are not.

    Raises:
        ConfigurationError: naming the first one, and what it may have meant.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            msg = f"there is no setting {section}.{key}; {hint}"
            raise ConfigurationError(msg)
