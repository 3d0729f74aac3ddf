"""The planning of slots, as a state machine small enough to be searched through.

Two planners take the steps of `poller.scheduler`'s round in any order, and may die between any two. Meanwhile the
database's clock goes on, and once back; runs begin, end and are purged; a person holds the job, lets it go on, and
edits its schedule. What is modelled of Postgres: a statement sees what was committed when it began (its snapshot), but
a row that it has locked as it is now; and who inserts a key that another has inserted waits for the other's commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST = 3  # slots come at 1, 2, … up to here; once the schedule has been edited, at every second of them
KEEP = 2  # a run is purged so long after its slot: longer than a clock goes back

GUARDS = {
    "count after the lock": "a planner counts unfinished runs after the one before it has committed",
    "lock of the job": "nobody plans, edits or holds a job between another planner's look and its commit",
    "unique slot": "a slot is one run, also if the clock has gone back",
    "one transaction": "runs are entered and the job is moved on together",
    "one clock": "a slot has come when the database says so, not a planner's own clock",
}

Entries = tuple[tuple[int, str], ...]  # (slot, status)


class JobModel(NamedTuple):
    """The job's row."""

    planned_to: int = 0
    next_at: int | None = None
    every: int = 1
    is_held: bool = False


class PlannerModel(NamedTuple):
    """A planner within its round."""

    phase: str = "idle"
    unfinished: int = 0  # runs, in its last statement's snapshot
    now: int = 0
    job: JobModel = JobModel()
    entries: Entries = ()  # what it has written, and not committed yet


class PlanningState(NamedTuple):
    """All there is, and what has happened: how often each slot was `fired`, and which need not be."""

    job: JobModel = JobModel()
    runs: Entries = ()
    planners: tuple[PlannerModel, ...] = (PlannerModel(), PlannerModel())
    now: int = 0
    fired: tuple[int, ...] = (0,) * (LAST + 1)
    decided: frozenset[int] = (
        frozenset()
    )  # skipped by its rules, or while the job was held or another schedule's
    odd: str = ""  # what a planner has done that it must not
    is_set_back: bool = False
    is_edited: bool = False
    has_been_held: bool = False


@dataclass(frozen=True)
class Planning:
    """The steps that can be taken, with some guard taken away or none.

    Attributes:
        without: the guard.
        overlap: the job's: "allow" or "skip".
    """

    without: str = ""
    overlap: str = "skip"

    def start(self) -> PlanningState:
        """Return the state in which all begins: a job whose first slot is to come."""
        return PlanningState()

    def steps(self, state: PlanningState) -> Iterator[tuple[str, PlanningState]]:
        """Return each step that can be taken, and what it leads to."""
        for number, planner in enumerate(state.planners):
            yield from self._plan(state, number, planner)
            if planner.phase != "idle":
                yield f"{number} dies", _planner(state, number, PlannerModel())
        yield from _work(state)
        yield from self._person(state)
        if state.now < LAST:
            yield "the clock goes on", state._replace(now=state.now + 1)
        if state.now > 0 and not state.is_set_back:
            yield "the clock is set back", state._replace(now=state.now - 1, is_set_back=True)

    def broken(self, state: PlanningState) -> str | None:
        """Return which promise a state breaks, if any."""
        unfinished = sum(status in ("pending", "running") for _, status in state.runs)
        job = state.job
        up_to = job.planned_to if job.next_at is None else job.next_at - 1
        known = {slot for slot, fired in enumerate(state.fired) if fired} | state.decided
        known.update(slot for each in state.planners if _holds(each) for slot in _due(each))  # they are at it
        for is_broken, why in (
            (max(state.fired) > 1, "a slot has fired twice"),
            (not known.issuperset(_slots(job, 0, min(up_to, LAST))), "a slot has been lost"),
            (
                self.overlap == "skip" and unfinished > 1,
                "two runs are unfinished, where one was to be skipped",
            ),
            (state.odd, state.odd),
        ):
            if is_broken:
                return why
        return None

    def _plan(
        self, state: PlanningState, number: int, planner: PlannerModel
    ) -> Iterator[tuple[str, PlanningState]]:
        others = [each for at, each in enumerate(state.planners) if at != number]
        match planner.phase:
            case "idle":
                yield f"{number} looks", _planner(state, number, PlannerModel("looking", _unfinished(state)))
            case "looking":
                is_locked = self.without != "lock of the job" and any(_holds(each) for each in others)
                yield from self._lock(state, number, planner, is_locked=is_locked)
            case "locked":
                early = self.without == "count after the lock"
                unfinished = planner.unfinished if early else _unfinished(state)
                counted = planner._replace(phase="holding", unfinished=unfinished)
                yield f"{number} counts", _planner(state, number, counted)
            case "holding":
                theirs = {slot for each in others for slot, _ in each.entries}
                if self.without == "unique slot" or not theirs.intersection(_due(planner)):
                    yield f"{number} enters", self._enter(state, number, planner)
            case "entered":
                yield f"{number} commits", self._commit(state, number, planner)

    def _lock(
        self, state: PlanningState, number: int, planner: PlannerModel, *, is_locked: bool
    ) -> Iterator[tuple[str, PlanningState]]:
        ahead = number if self.without == "one clock" else 0
        holding = planner._replace(phase="locked", now=state.now + ahead, job=state.job)
        if is_locked or state.job.is_held or not _due(holding):
            yield f"{number} finds nothing", _planner(state, number, PlannerModel())
            return
        if self.without == "one transaction":
            state = state._replace(job=_moved(holding))
        yield f"{number} locks the job", _planner(state, number, holding)

    def _enter(self, state: PlanningState, number: int, planner: PlannerModel) -> PlanningState:
        there = set() if self.without == "unique slot" else {slot for slot, _ in state.runs}
        room = len(_due(planner)) if self.overlap == "allow" else int(planner.unfinished == 0)
        entries = tuple(
            (slot, "pending" if nth < room else "skipped")
            for nth, slot in enumerate(_due(planner))
            if slot not in there
        )
        return _planner(state, number, planner._replace(phase="entered", entries=entries))

    def _commit(self, state: PlanningState, number: int, planner: PlannerModel) -> PlanningState:
        fired = list(state.fired)
        for slot, status in planner.entries:
            fired[slot] += status == "pending"
            if slot > state.now and not state.is_set_back:
                state = state._replace(odd="a slot has fired before it came")
            if slot not in _slots(state.job, 0, LAST):
                state = state._replace(odd="a slot was planned that an edited schedule has not")
        if planner.entries and state.job.is_held:
            state = state._replace(odd="a slot was planned of a job that is held")
        skipped = {slot for slot, status in planner.entries if status == "skipped"}
        return _planner(state, number, PlannerModel())._replace(
            runs=tuple(sorted(state.runs + planner.entries)),
            job=state.job if self.without == "one transaction" else _moved(planner),
            fired=tuple(fired),
            decided=state.decided | skipped,
        )

    def _person(self, state: PlanningState) -> Iterator[tuple[str, PlanningState]]:
        job = state.job
        if self.without != "lock of the job" and any(_holds(each) for each in state.planners):
            return  # the person's UPDATE waits
        begun_anew = state._replace(decided=state.decided | set(range(state.now + 1)))
        if not state.is_edited:
            edited = job._replace(planned_to=state.now, next_at=None, every=2)
            yield "the schedule is edited", begun_anew._replace(job=edited, is_edited=True)
        if not state.has_been_held:
            yield "the job is held", state._replace(job=job._replace(is_held=True), has_been_held=True)
        if job.is_held:
            resumed = job._replace(planned_to=state.now, next_at=None, is_held=False)
            yield "the job goes on", begun_anew._replace(job=resumed)


def _work(state: PlanningState) -> Iterator[tuple[str, PlanningState]]:
    """Run what is planned; a run whose worker dies waits again."""
    following = {"pending": ("running",), "running": ("pending", "done"), "done": (), "skipped": ()}
    for slot, status in state.runs:
        others = tuple(each for each in state.runs if each != (slot, status))
        for then in following[status]:
            yield f"the run of {slot} is {then}", state._replace(runs=tuple(sorted((*others, (slot, then)))))
        # Runs are kept for days: that planners catch up with a clock that was set back sooner is taken for granted.
        has_caught_up = slot <= state.job.planned_to and not any(map(_holds, state.planners))
        if status == "done" and slot <= state.now - KEEP and has_caught_up:
            yield f"the run of {slot} is purged", state._replace(runs=others)


def _holds(planner: PlannerModel) -> bool:
    return planner.phase in ("locked", "holding", "entered")


def _unfinished(state: PlanningState) -> int:
    return sum(status in ("pending", "running") for _, status in state.runs)


def _slots(job: JobModel, after: int, until: int) -> list[int]:
    return [slot for slot in range(after + 1, until + 1) if slot % job.every == 0]


def _due(planner: PlannerModel) -> list[int]:
    """Return the slots that a planner finds due in the job as it read it."""
    job = planner.job
    return _slots(job, job.planned_to if job.next_at is None else job.next_at - 1, min(planner.now, LAST))


def _moved(planner: PlannerModel) -> JobModel:
    following = _slots(planner.job, planner.now, planner.now + planner.job.every)
    return planner.job._replace(planned_to=planner.now, next_at=following[0])


def _planner(state: PlanningState, number: int, planner: PlannerModel) -> PlanningState:
    return state._replace(planners=(*state.planners[:number], planner, *state.planners[number + 1 :]))
