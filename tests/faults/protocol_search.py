"""Goes through all states that a small model can get into, in whatever order its steps are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

State = TypeVar("State", bound=Hashable)


class SearchedModel(Protocol[State]):
    """What can be searched through: its number of states is finite."""

    def start(self) -> State:
        """Return the state in which all begins."""

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Return each step that can be taken, and what it leads to."""

    def broken(self, state: State) -> str | None:
        """Return which promise a state breaks, if any."""


def search(model: SearchedModel[State]) -> tuple[int, list[str] | None]:
    """Go through all states; return how many there are, and the shortest way to one that breaks a promise."""
    first = model.start()
    came: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        why = model.broken(state)
        if why:
            return len(came), [*_way(came, state), why]
        for step, following in model.steps(state):
            if following not in came:
                came[following] = (state, step)
                queue.append(following)
    return len(came), None


def _way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps: list[str] = []
    while (before := came[state]) is not None:
        state, step = before
        steps.insert(0, step)
    return steps
