"""How calls end: with results that are reported, in halves that are attempted again, or given back.

Threads. Any; each asks first whether it is to say what became of the call (`InFlight.take`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.executor import attempt
from poller.store.lease import Result
from poller.store.outcomes import released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.executor.attempt import Call
    from poller.executor.batching import Batching
    from poller.executor.in_flight import InFlight
    from poller.model.outcome import Outcome
    from poller.store.lease import Task


class Endings:
    """What becomes of calls, and of tasks that are not called.

    Args:
        in_flight: decides who reports.
        batching: remembers what is tried again in halves.
        report: called with results.
        queue: called with tasks that are to be attempted again, before what waits already.

    Attributes:
        report: the same.
    """

    def __init__(
        self,
        in_flight: InFlight,
        batching: Batching,
        report: Callable[[Sequence[Result]], None],
        queue: Callable[[list[Task]], None],
    ) -> None:
        self.report = report
        self._in_flight = in_flight
        self._batching = batching
        self._queue = queue

    def finish(self, call: Call, outcomes: Sequence[Outcome]) -> bool:
        """Report the results, and tell whether that was still to be done; if not, the watchdog has."""
        if not self._in_flight.take(call):
            return False
        self.report(call.results(outcomes))
        return True

    def fail(self, call: Call, error: BaseException) -> bool:
        """Report a failure, as `finish`; try a batch that may have failed for one of its rows again, in halves."""
        if not attempt.is_somebodys(call, error):
            return self.finish(call, attempt.of_raise(call, error))
        if not self._in_flight.take(call):
            return False
        self._batching.halve(call.tasks)
        self._queue(call.tasks)
        return True

    def take_back(self, call: Call) -> bool:
        """Give the rows of a call back that was not made, as `finish`."""
        if not self._in_flight.take(call):
            return False
        for task in call.tasks:
            task.begun = False
        self.release(call.tasks)
        return True

    def release(self, tasks: Iterable[Task], why: str | None = None) -> None:
        """Give tasks back that have not begun, or whose work was undone."""
        given = [
            Result(each, released(each.handler, each.attempt, why, begun=each.begun), 0.0) for each in tasks
        ]
        if given:
            self.report(given)
