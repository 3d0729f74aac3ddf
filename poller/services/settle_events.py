"""The events about results that have been written: for each batch, for rows in trouble, and for ended runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from poller.model.outcome import Became
from poller.telemetry.bus import emit
from poller.telemetry.events import (
    AttemptFailed,
    FailedAfterMove,
    LeaseLost,
    ResultRefused,
    RowChanged,
    RowEvent,
    RowFailed,
    RowParked,
    RowsSettled,
    RunFinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from poller.store.binding import Binding
    from poller.store.lease import Result, Settled, Task

LATE = "the lease had ended; nothing was written"

_ENDED = (Became.MOVED, Became.FAILED, Became.PARKED)  # final for a run


def in_trouble(binding: Binding, pairs: Iterable[tuple[Result, Became]]) -> list[RowEvent]:
    """Return the events for the rows of one handler that did not simply move on."""
    named = binding.named
    return [_of_row(named, result, became) for result, became in pairs]


def failed_after_moves(settled: Settled) -> list[RowEvent]:
    """Return the events for rows that `ctx.settle` has moved and whose handlers failed afterwards."""
    named = settled.binding.named
    failed = (each for each, became in settled if became is Became.MOVED and each.outcome.error)
    return [FailedAfterMove(**_about(named, each), to=each.outcome.to) for each in failed]


def _of_row(named: dict[str, str], result: Result, became: Became) -> RowEvent:
    outcome, about = result.outcome, _about(named, result)
    if became is Became.LATE:
        about["error"] = LATE
    match became:
        case Became.RETRYING:
            return AttemptFailed(**about, retry_seconds=outcome.delay)
        case Became.FAILED:
            return RowFailed(**about, to=outcome.to)
        case Became.PARKED:
            return RowParked(**about)
        case Became.LATE:
            return LeaseLost(**about)
        case Became.REFUSED:
            return ResultRefused(**about)
        case other:
            return RowChanged(**about, became=other.value)


def _about(named: dict[str, str], result: Result) -> dict[str, Any]:
    """Return the fields that all events about one row have."""
    outcome = result.outcome
    return {
        **named,
        "key": result.task.key,
        "attempt": outcome.attempt,
        "error": outcome.error or f"was to become {outcome.to}",
        "error_class": outcome.kind,
        "error_place": outcome.place,
    }


def tell(settled: Settled, write_seconds: float | None = None) -> None:
    """Emit the events of a batch that only subscribers get: what became of it, and which runs have ended.

    Args:
        settled: the results, and what became of them.
        write_seconds: how long it took to write them, if that is known.
    """
    binding = settled.binding
    seconds: dict[Became, list[float]] = defaultdict(list)
    for result, became in settled:
        seconds[became].append(result.seconds)
    emit(
        RowsSettled(
            **binding.named,
            rows=len(settled.results),
            outcomes={became.value: len(each) for became, each in seconds.items()},
            seconds={became.value: tuple(each) for became, each in seconds.items()},
            pickup_seconds=tuple(_pickup_seconds(settled)),
            write_seconds=write_seconds,
        )
    )
    if binding.handler.is_job:
        for result, became in settled:
            if became in _ENDED:
                emit(_finished(binding, result))


def _pickup_seconds(settled: Settled) -> Iterator[float]:
    """Yield for how long rows had been due when their handlers began; of runs of jobs, their first attempts alone."""
    handler = settled.binding.handler
    for result in settled.results:
        task = result.task
        lease = task.lease
        if not task.begun or (task.retaken and handler.is_job):
            continue
        due_for, form = lease.due_for, task.form
        if handler.due is not None and not task.retaken and form is not None and lease.claimed_at is not None:
            due_at = _value(task, form.shape.index[handler.due])
            if isinstance(due_at, datetime) and due_at.tzinfo is not None:
                due_for = (lease.claimed_at - due_at).total_seconds()
        if due_for is not None:
            yield max(0.0, due_for + task.begun - lease.clock)


def _value(task: Task, place: int) -> Any:
    return task.values[place] if len(task.values) > place else None


def _finished(binding: Binding, result: Result) -> RunFinished:
    outcome = result.outcome
    return RunFinished(
        job=result.task.job or binding.handler.label,
        run=int(result.task.key),
        status=outcome.to or "failed",
        attempt=outcome.attempt,
        seconds=result.seconds,
        error=outcome.columns.get("error"),
    )
