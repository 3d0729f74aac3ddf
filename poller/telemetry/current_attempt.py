"""Which attempt is in progress here: for the loggers, tracers and helpers of users, and for poller's own.

One context variable says it, in each attempt's context, which tasks and callbacks of a coroutine inherit; a thread of a
handler's own does not, unless it is run in a copy of the context. What the variable holds is made into an `Attempt`
only when code asks for it, since it is set for each call of a handler.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, Protocol


@dataclass(
    slots=True, kw_only=True
)  # not frozen: that would double what it costs, for each row with middleware
class Attempt:
    """An attempt at a row, at a batch of rows, or at a run of a job. To be read only: each call of `current` makes one.

    Attributes:
        database: the database's name, as `--database name=URL` has it, or its own.
        table: the table's name; `poller.run` for a run.
        status: the status that the handler takes rows from.
        key: the row's primary key, as text; None for a batch.
        keys: how many rows there are: 1, but for a batch.
        attempt: the number of the attempt, from 1.
        job: the job's name, for a run; else None.
        run: the run's number, for a run; else None.

    >>> Attempt(database="shop", table="orders", status="paid", key="7", keys=1, attempt=2).known
    {'database': 'shop', 'table': 'orders', 'status': 'paid', 'key': '7', 'keys': 1, 'attempt': 2}
    """

    database: str
    table: str
    status: str
    key: str | None
    keys: int
    attempt: int
    job: str | None = None
    run: int | None = None

    @property
    def about(self) -> Attempt:
        """Itself."""
        return self

    @property
    def known(self) -> dict[str, Any]:
        """What is known of it, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


class _Source(Protocol):
    """What can be made into an attempt."""

    @property
    def about(self) -> Attempt:
        """The attempt."""


variable: ContextVar[_Source | None] = ContextVar("poller", default=None)


def current() -> Attempt | None:
    """Return the attempt in progress here: in this thread or coroutine; None outside of handlers and jobs.

    >>> current() is None  # no handler runs here
    True
    """
    source = variable.get()
    return None if source is None else source.about


class LogContext(logging.Filter):
    """A filter that adds the attempt in progress to the records of your own loggers.

    They get `poller_database`, `poller_table`, `poller_status`, `poller_key`, `poller_keys`, `poller_attempt`,
    `poller_job` and `poller_run`, each None where it is not known, so that a format may name them: `%(poller_table)s`.
    Where poller prints the record, its line shows what is known. Add the filter to a handler of `logging`: a logger's
    filters do not see what the loggers below it write.

    >>> import logging
    >>> shown = logging.StreamHandler()
    >>> shown.addFilter(LogContext())
    >>> shown.setFormatter(logging.Formatter("%(poller_table)s %(poller_key)s: %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attempt to a record, and let it pass."""
        attempt = current()
        for each in fields(Attempt):
            setattr(record, f"poller_{each.name}", getattr(attempt, each.name, None))
        if attempt is not None and not hasattr(record, "poller"):
            record.poller = attempt.known
        return True
