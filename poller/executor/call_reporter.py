"""Reports how a call of a handler ended: by its results; or gives its rows back, or queues them again in halves.

Threads. Any; each first asks whether it is the one to report the call (`InFlight.take`).
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


class CallReporter:
    """Reports how calls ended, and gives back tasks whose handlers are not called.

    Args:
        in_flight: decides which thread reports.
        batching: remembers which tasks are tried again in halves.
        report: called with results.
        queue: called with tasks to attempt again, ahead of those that wait already.

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
        """Report the results; return False if the watchdog already has."""
        if not self._in_flight.take(call):
            return False
        self.report(call.results(outcomes))
        return True

    def fail(self, call: Call, error: BaseException) -> bool:
        """Report a failure, as `finish`; if one row may have failed a whole batch, try it again in halves."""
        if not attempt.is_somebodys(call, error):
            return self.finish(call, attempt.of_raise(call, error))
        if not self._in_flight.take(call):
            return False
        self._batching.halve(call.tasks)
        self._queue(call.tasks)
        return True

    def take_back(self, call: Call) -> bool:
        """Give back the rows of a call that was not made, as `finish`."""
        if not self._in_flight.take(call):
            return False
        for task in call.tasks:
            task.begun = 0.0
        self.release(call.tasks)
        return True

    def release(self, tasks: Iterable[Task], why: str | None = None) -> None:
        """Give back tasks that have not begun, or whose work was undone."""
        given = [
            Result(each, released(each.handler, each.attempt, why, begun=bool(each.begun)), 0.0)
            for each in tasks
        ]
        if given:
            self.report(given)
