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


def suggested(name: str, known: Collection[str]) -> str:
    """Return what a misspelt name may have meant, else all that there is: the end of an error.

    >>> suggested("shw", ["show"]), suggested("colour", ["show"])
    ('did you mean show?', 'known: show')
    """
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def columns_there(name: str, known: Collection[str]) -> str:
    """Return which column a misspelt name may have meant, and which a table has: the end of an error."""
    near = difflib.get_close_matches(name, known, 1)
    return f"{f'did you mean {near[0]!r}? ' if near else ''}it has {', '.join(known)}"


def refuse_others(section: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse keys in a section of settings that there are not.

    Raises:
        ConfigurationError: naming the first one, and what it may have meant.
    """
    for key in given:
        if key not in known:
            msg = f"there is no setting {section}.{key}; {suggested(key, known)}"
            raise ConfigurationError(msg)
