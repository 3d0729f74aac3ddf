"""What listens and what stands around: subscribers, middleware, and the attempt in progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any, assert_type

from poller import Attempt, LogContext, Row, around, current, subscribe
from poller.executor.around import Around
from poller.telemetry.events import AttemptFailed, Event, RowParked, RowsClaimed


def told(event: Event) -> str:
    """Tell the events apart by their classes."""
    match event:
        case RowsClaimed(rows=rows, seconds=seconds):
            return f"{rows / seconds}"
        case AttemptFailed() | RowParked():
            return assert_type(event.key, str) + event.error
    return event.name


def only_parked(event: RowParked) -> None:
    """Take events of one class, where all are given."""


end = subscribe(told)
assert_type(end, Callable[[], None])
subscribe(print)


@around
def timed(attempt: Attempt) -> Iterator[None]:
    """Stand around an attempt."""
    assert_type(attempt.key, str | None)
    yield


@around
def traced(attempt: Attempt, rows: list[Row]) -> Generator[None, Any, None]:
    """Take the rows, too."""
    answer = yield
    logging.getLogger(__name__).info("%s of %s: %s", attempt.attempt, len(rows), answer)


assert_type(timed, Around)
now = current()
assert_type(now, Attempt | None)
if now is not None:
    assert_type(now.run, int | None)
logging.getLogger().addFilter(LogContext())

subscribe(only_parked)  # type: ignore[arg-type]
subscribe("told")  # type: ignore[arg-type]
end(told)  # type: ignore[call-arg]
RowsClaimed(rows=1)  # type: ignore[call-arg]
current().key  # type: ignore[union-attr]  # noqa: B018


@around  # type: ignore[arg-type]
def not_a_generator(attempt: Attempt) -> None:
    """Yield nothing."""


@around  # type: ignore[arg-type]
def of_something_else(row: Row) -> Iterator[None]:
    """Take a row, which is not what it is given."""
    yield


@around  # type: ignore[arg-type]
async def awaited(attempt: Attempt) -> None:
    """Be a coroutine, where a plain generator is driven around those, too."""
