"""Metrics: subscribe to what happens, and wrap each attempt in code of your own."""

from collections import Counter
from collections.abc import Generator
from time import monotonic

from poller import Attempt, Row, around, handler, subscribe
from poller.telemetry.events import Event, RowsSettled

TABLES = """
create table task (id int primary key, status text not null default 'new');
insert into task values (1), (2), (3);
"""
outcomes: Counter[str] = Counter()


@handler("task", status="new", to="done", attempts=1)
def step(task: Row) -> None:
    """Fail for one of them."""
    if task.id == 2:
        raise ValueError("never two")


@around
def timed(attempt: Attempt) -> Generator[None, object, None]:
    """Measure each attempt; it is found in the package as handlers are."""
    began = monotonic()
    try:
        yield  # here the handler runs; what it raises is raised here
    finally:
        print(f"{attempt.table}, {attempt.key}: {monotonic() - began:.3f} s")


def count(event: Event) -> None:
    """Count what became of rows; called for each batch."""
    if isinstance(event, RowsSettled):
        outcomes.update(event.outcomes)


stop = subscribe(count)
