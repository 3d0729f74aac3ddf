"""The search for the row that kills its workers, as a state machine small enough to be gone through.

A worker holds some fresh rows, one of which kills whatever process handles it. What a dead worker held are suspects of
one company; a lease takes at most half of a company, and rows that are done stand cleared. A worker may be killed by a
person, too. What is wanted: the killer is alone in the end, and is parked after its attempts; its neighbours are done,
and lose one attempt at the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# What each is for, and with how many attempts it is missed.
GUARDS = {
    "halves": ("a lease takes at most half of a company", 2),
    "a company pays once": ("of suspects in company, none pays for more than the first crash", 3),
    "no last attempt in company": ("what has one attempt left does not lose it in company", 1),
    "what died alone pays": ("a row that was alone in its worker pays for each crash", 2),
    "one company in a worker": ("a worker holds suspects of one lease", 2),
}


class SuspectRow(NamedTuple):
    """A row: how many attempts it has lost, and of how many it is a suspect."""

    attempts: int = 0
    company: int = 0
    state: str = "due"  # or done, or parked


class SuspectState(NamedTuple):
    """All there is; a worker's leases are tuples of rows, of which those that are done are gone."""

    rows: tuple[SuspectRow, ...]
    leases: tuple[tuple[tuple[int, ...], ...], ...]
    kills: int = 0  # by the row
    deaths: int = 0  # by a person


@dataclass(frozen=True)
class Suspects:
    """The steps that can be taken, with some guard taken away or none. Row 0 is the killer.

    Attributes:
        without: the guard.
        rows: how many there are.
        workers: how many there are.
        attempts: after how many a row is parked.
        deaths: how many workers a person kills.
    """

    without: str = ""
    rows: int = 4
    workers: int = 2
    attempts: int = 2
    deaths: int = 0

    def start(self) -> SuspectState:
        """Return the state in which all begins."""
        return SuspectState((SuspectRow(),) * self.rows, ((),) * self.workers)

    def steps(self, state: SuspectState) -> Iterator[tuple[str, SuspectState]]:
        """Return each step that can be taken, and what it leads to."""
        for number, leases in enumerate(state.leases):
            yield from self._claim(state, number, leases)
            held = [at for lease in leases for at in lease]
            for at in held:
                if at:
                    left = tuple(
                        rest for lease in leases if (rest := tuple(each for each in lease if each != at))
                    )
                    done = _row(state, at, state.rows[at]._replace(state="done"))
                    yield f"{number} does {at}", _leases(done, number, left)
                elif state.kills <= self._most_kills:
                    yield f"0 kills {number}", self._die(state, number)._replace(kills=state.kills + 1)
            if held and state.deaths < self.deaths:
                yield f"a person kills {number}", self._die(state, number)._replace(deaths=state.deaths + 1)

    def broken(self, state: SuspectState) -> str | None:
        """Return which promise a state breaks, if any."""
        lost = 1 + state.deaths
        innocent = state.rows[1:]
        if any(row.attempts > lost for row in innocent):
            return "a neighbour has lost more than an attempt"
        if any(row.state == "parked" for row in innocent) and not state.deaths:
            return "a neighbour is parked"
        if state.kills > self._most_kills:
            return "the killer is never alone"
        if state.rows[0].state == "parked" and state.rows[0].attempts < self.attempts:
            return "the killer is parked before its attempts"
        if not any(True for _ in self.steps(state)) and any(row.state == "due" for row in state.rows):
            return "a row is due and nobody takes it"
        return None

    @property
    def _most_kills(self) -> int:
        """How many workers the killer may take with it: its attempts, the halvings, and those of what people did."""
        return self.attempts + self.rows.bit_length() + self.deaths * self.rows.bit_length()

    def _claim(
        self, state: SuspectState, number: int, leases: tuple[tuple[int, ...], ...]
    ) -> Iterator[tuple[str, SuspectState]]:
        taken = {at for each in state.leases for lease in each for at in lease}
        due = [at for at, row in enumerate(state.rows) if row.state == "due" and at not in taken]
        fresh = tuple(at for at in due if not state.rows[at].company)
        if fresh:
            yield f"{number} claims {fresh}", _leases(state, number, (*leases, fresh))
        has_suspects = any(state.rows[at].company for lease in leases for at in lease)
        if has_suspects and self.without != "one company in a worker":
            return
        suspects = [at for at in due if state.rows[at].company]
        if suspects:
            largest = max(state.rows[at].company for at in suspects)
            most = largest if self.without == "halves" else max(1, largest // 2)
            chosen = tuple([at for at in suspects if state.rows[at].company == largest][:most])
            yield f"{number} claims suspects {chosen}", _leases(state, number, (*leases, chosen))

    def _die(self, state: SuspectState, number: int) -> SuspectState:
        """Have the sweeper take back what a worker held."""
        leases = state.leases[number]
        held = sum(map(len, leases))
        state = _leases(state, number, ())
        for lease in leases:
            for at in lease:
                state = _row(state, at, self._swept(state.rows[at], len(lease), held))
        return state

    def _swept(self, row: SuspectRow, together: int, held: int) -> SuspectRow:
        company = together if row.company else held
        alone = company == 1
        is_last = row.attempts + 1 >= self.attempts
        pays_again = row.company and self.without != "a company pays once"
        spared = not alone and (pays_again or (is_last and self.without != "no last attempt in company"))
        if alone and self.without == "what died alone pays":
            spared = True
        attempts = row.attempts + (not spared)
        if attempts >= self.attempts:
            return row._replace(attempts=attempts, company=0, state="parked")
        return row._replace(attempts=attempts, company=company if row.company else max(2, company))


def _leases(state: SuspectState, number: int, leases: tuple[tuple[int, ...], ...]) -> SuspectState:
    return state._replace(leases=(*state.leases[:number], leases, *state.leases[number + 1 :]))


def _row(state: SuspectState, at: int, row: SuspectRow) -> SuspectState:
    return state._replace(rows=(*state.rows[:at], row, *state.rows[at + 1 :]))
