"""What a viewer may do at the desk, and who a viewer is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from poller.errors import ConfigurationError


class Right(Flag):
    """A right, or several: `Right.LOOK | Right.OPERATE`."""

    LOOK = auto()
    """See graphs, counts, keys, jobs and workers."""
    VALUES = auto()
    """See what may hold values of users' columns: named columns, error texts, output of runs."""
    OPERATE = auto()
    """Retry, release, trigger, pause, resume, cancel."""
    MOVE = auto()
    """Move rows by hand; order things of more than 1,000 rows."""


USUAL = Right.LOOK | Right.VALUES | Right.OPERATE
ALL = USUAL | Right.MOVE
READING = Right.LOOK | Right.VALUES
NONE = Right(0)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person or program that uses the desk.

    Attributes:
        name: orders are written down with it.
        rights: what they may do.
    """

    name: str
    rights: Right

    def may(self, right: Right) -> bool:
        """Tell whether the viewer has a right, or all of several."""
        return right in self.rights


def names(rights: Right) -> list[str]:
    """Return the names of rights.

    >>> names(USUAL)
    ['look', 'values', 'operate']
    """
    return [str(each.name).lower() for each in Right if each in rights]


def rights_of(text: str) -> Right:
    """Return the rights that a text names, with commas between.

    Raises:
        ConfigurationError: there is no such right.

    >>> rights_of("look, operate")
    <Right.LOOK|OPERATE: 5>
    """
    found = NONE
    for name in filter(None, map(str.strip, text.split(","))):
        if name.upper() not in Right.__members__:
            msg = f"there is no right {name!r}; known: {', '.join(names(ALL))}"
            raise ConfigurationError(msg)
        found |= Right[name.upper()]
    return found
