"""A batch that was settled is taken apart by what became of its results, each of which keeps its own."""

from __future__ import annotations

from poller.model.outcome import Became, Outcome
from poller.store.lease import Lease, Result, Settled, Task

MOVED = Outcome(Became.MOVED, to="normal")
LEASE = Lease("lease", 1, None, None, 0.0)  # type: ignore[arg-type]


def _settled(*became: Became) -> Settled:
    results = [Result(Task(LEASE, str(key), ()), MOVED, 0.0) for key in range(len(became))]
    return Settled(results, list(became))


def _keys(results: list[Result]) -> list[str]:
    return [each.task.key for each in results]


def test_what_became_of_a_result_stays_with_it() -> None:
    """In the order in which they were written."""
    settled = _settled(Became.MOVED, Became.LEFT, Became.LATE, Became.LEFT, Became.MOVED)
    left, others = settled.parted(Became.LEFT)
    assert _keys(left) == ["1", "3"]
    assert [(result.task.key, what) for result, what in others] == [
        ("0", Became.MOVED),
        ("2", Became.LATE),
        ("4", Became.MOVED),
    ]


def test_a_batch_without_such_results_stays_as_it_is() -> None:
    """No list is made of a thousand rows that have simply moved."""
    settled = _settled(Became.MOVED, Became.MOVED)
    left, others = settled.parted(Became.LEFT)
    assert left == []
    assert others is settled
