"""Writes the output and progress of runs while they run, and learns which runs to cancel.

One statement in each `PERIOD_SECONDS` covers all the runs of a worker; without runs there is none. These writes are
only for people who watch a run; the final state is written with the outcome. When an operator has cancelled a run, its
function is told so, and has `PATIENCE_SECONDS` to end by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.jobs import job_store
from poller.jobs.job_store import RunProgress
from poller.telemetry.bus import emit
from poller.telemetry.events import RunCancelled

if TYPE_CHECKING:
    from poller.db.connection import Link
    from poller.executor.executor import Executor
    from poller.jobs.run import Notes
    from poller.model.context import Context
    from poller.store.lease import Task

PERIOD_SECONDS = 0.5
IDLE_LOOK_SECONDS = 1.0  # between two looks while nothing runs
PATIENCE_SECONDS = 3.0  # that a cancelled run has to end by itself


class RunReporter:
    """Reports for one worker.

    Args:
        link: a connection of its own.
        executor: what runs.
    """

    def __init__(self, link: Link, executor: Executor) -> None:
        self._link = link
        self._executor = executor
        self._told: dict[int, RunProgress] = {}

    def run_once(self) -> float:
        """Report on the runs that run now. Returns the seconds to the next round."""
        running = {
            int(task.key): (task, context)
            for task, context in self._executor.contexts()
            if context.notes is not None
        }
        if not running:
            return IDLE_LOOK_SECONDS
        self._report(running)
        return PERIOD_SECONDS

    def _report(self, running: dict[int, tuple[Task, Context]]) -> None:
        now = {number: _report_of(context) for number, (_, context) in running.items()}
        changed = {number: each for number, each in now.items() if self._told.get(number) != each}
        for number in job_store.report(self._link.connection, running, changed):
            task, context = running[number]
            if not context.notes.cancelled:
                emit(RunCancelled(job=task.handler.label, run=number))
                context.notes.cancelled = True
                self._executor.hurry(task, PATIENCE_SECONDS)
        self._told = now


def _report_of(context: Context) -> RunProgress:
    notes: Notes = context.notes
    return RunProgress(context.attempt, notes.sink.text(), notes.done, notes.total)
