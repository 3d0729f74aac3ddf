"""What waits for a slot when its handler is paused, while other threads have the queue, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poller import handler
from poller.executor.batching import Batching
from poller.executor.call_reporter import CallReporter
from poller.executor.in_flight import InFlight
from poller.executor.queues import Queues
from poller.store.binding import Binding
from poller.store.lease import Lease, Task
from tests.engines import do_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.store.lease import Result


def tasks_of(status: str, count: int) -> list[Task]:
    """Make tasks of a handler of their own."""
    made = handler("thing", status=status, to="normal")(do_nothing)
    lease = Lease("lease", 1, Binding(made, table="thing"), None, 0.0)  # type: ignore[arg-type]
    return [Task(lease, str(key), ()) for key in range(count)]


def queues_of(report: Callable[[Sequence[Result]], None]) -> Queues:
    """Make queues that report what is given back."""
    return Queues(CallReporter(InFlight(), Batching(), report, lambda _: None))


def test_what_is_paused_is_given_back_and_the_rest_keeps_its_order() -> None:
    """Of both kinds of handlers in one queue."""
    given_back: list[Any] = []
    queues = queues_of(lambda results: given_back.extend(each.task for each in results))
    paused, others = tasks_of("paused", 3), tasks_of("other", 3)
    queues.plain.extend(task for pair in zip(paused, others, strict=True) for task in pair)
    queues.pause([paused[0].binding])
    assert given_back == paused
    assert list(queues.plain) == others


@pytest.mark.parametrize("others_do", ["lose the leases", "drain"])
def test_g3_what_others_take_out_meanwhile_does_not_come_back(others_do: str) -> None:
    """The heartbeat forgets all that waits, or the worker begins to drain, in the middle of the pause."""

    def meanwhile(_: Sequence[Result]) -> None:
        if others_do == "drain":
            queues.is_draining = True
        queues.clear()

    queues = queues_of(meanwhile)
    paused, others = tasks_of("paused", 1), tasks_of("other", 5)
    queues.plain.extend([*others[:3], *paused, *others[3:]])
    queues.pause([paused[0].binding])
    assert queues.tasks() == []
