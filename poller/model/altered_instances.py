"""Finds the changes that a handler made to the instances it was given, so that none is lost silently."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from poller.errors import PollerError
from poller.model.answers import Transition


@dataclass(frozen=True, slots=True)
class Altered:
    """An answer from another process, and which attributes were changed there, for each instance."""

    answer: Any
    changes: list[frozenset[str]]


def changes(given: Any) -> list[frozenset[str]]:
    """Return which attributes a handler changed on each instance that it was given and no session holds."""
    return [_changes(each) for each in (given if isinstance(given, list) else [given])]


def _changes(instance: Any) -> frozenset[str]:
    sqlalchemy: Any = sys.modules.get("sqlalchemy")  # a process that has an instance has imported it
    state: Any = None if sqlalchemy is None else sqlalchemy.inspect(instance, raiseerr=False)
    if not getattr(state, "modified", False) or state.session is not None:
        return frozenset()
    return frozenset(each.key for each in state.attrs if each.history.has_changes())


def lost(changed: frozenset[str], answer: object) -> PollerError | None:
    """Return the error of a handler whose changes of an instance would be lost, unless its answer has them too."""
    left = changed.difference(answer.columns) if isinstance(answer, Transition) else changed
    if not left or isinstance(answer, Exception):  # which stands for its row in a batch, and moves nothing
        return None
    name = min(left)
    return PollerError(
        f"the handler has set {name!r} of an instance that is in no session, so that it would be lost; "
        f"return Transition(…, {name}=…), or make it transactional=True"
    )
