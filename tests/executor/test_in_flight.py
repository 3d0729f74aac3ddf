"""Who says what became of a call is decided once, whoever comes at the same moment (guarantee 3)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from poller import handler
from poller.executor.in_flight import InFlight, SharedTransaction
from poller.store.binding import Binding
from poller.store.lease import Lease, Task
from tests.engines import do_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 2000


def _tasks(count: int) -> list[Task]:
    made = handler("thing", status="pending", to="normal", batch=2)(do_nothing)
    lease = Lease("lease", 1, Binding(made, table="thing"), None, 0.0)  # type: ignore[arg-type]
    return [Task(lease, str(key), ()) for key in range(count)]


def _race(*askers: Callable[[int], bool]) -> list[int]:
    """Have each asker ask for every call on a thread of its own; return how many were granted each."""
    start = threading.Barrier(len(askers))
    granted: list[list[bool]] = [[] for _ in askers]

    def ask(number: int) -> None:
        start.wait()
        granted[number] = [askers[number](call) for call in range(CALLS)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(askers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [sum(each) for each in zip(*granted, strict=True)]


@pytest.mark.parametrize("is_batch", [False, True], ids=["single", "batch"])
def test_g3_of_handler_and_watchdog_one_reports(is_batch: Any) -> None:
    """And afterwards nothing is held, nor stuck: the handler that was given up on has ended, too."""
    in_flight = InFlight()
    tasks = _tasks(2 * CALLS)
    if is_batch:
        calls = [in_flight.begin(one, [other]) for one, other in zip(tasks[::2], tasks[1::2], strict=True)]
    else:
        calls = [in_flight.begin(task) for task in tasks[:CALLS]]
    assert in_flight.held == CALLS * (1 + is_batch)
    granted = _race(
        lambda call: in_flight.take(calls[call]),
        lambda call: in_flight.take(calls[call], by_watchdog=True),
    )
    assert granted == [1] * CALLS
    assert (in_flight.running, in_flight.held) == (0, 0)


def test_g3_of_a_shared_transaction_one_reports() -> None:
    """For all its tasks: its thread, or the watchdog by the call that is under way."""
    in_flight = InFlight()
    transactions = [SharedTransaction([task]) for task in _tasks(CALLS)]
    calls = [in_flight.begin_within(each, each.tasks[0], ()) for each in transactions]
    granted = _race(
        lambda call: in_flight.take_shared(transactions[call]),
        lambda call: in_flight.take(calls[call], by_watchdog=True),
    )
    assert granted == [1] * CALLS


def test_a_handler_that_was_given_up_on_is_stuck_until_it_ends() -> None:
    """Then its thread asks in vain, and is known to have ended."""
    in_flight = InFlight()
    [task] = _tasks(1)
    call = in_flight.begin(task)
    assert in_flight.take(call, by_watchdog=True)
    assert (list(in_flight.stuck), in_flight.running) == ([call], 0)
    assert not in_flight.take(call)
    assert not in_flight.stuck
