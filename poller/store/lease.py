"""What a worker holds: leases, the tasks in them, and the results that end them.

The model. A lease is a row of `poller.claim`, found by a random id; it lives as long as that row. The worker may trust
it while its heartbeat is fresh by its own monotonic clock (`heartbeat.trusted_until`): after that a sweeper may have
ended it, and only the database knows. Every write after the claim goes through `sql/settle/settle.sql`, which finds the
lease or changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from poller.model.context import Context
    from poller.model.handler import Handler
    from poller.model.outcome import Became, Outcome
    from poller.store.binding import Binding


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Lease:
    """A right to rows of one handler.

    Attributes:
        id: the random id that proves it, as text.
        worker: the id of the worker that took it.
        claimed_at: when it was taken, by the database's clock.
        clock: this process's monotonic clock at that moment, for calculations.
        begin_by: until when (by that clock) the handler may begin; after that the row is given back.
        due_for: for how many seconds its rows' next attempt had been due when it was taken; None of fresh rows.
    """

    id: str
    worker: int
    binding: Binding
    claimed_at: datetime | None
    clock: float
    begin_by: float = float("inf")
    due_for: float | None = None


# These two are never changed, but not frozen: that would double their cost for each row.


@dataclass(slots=True, eq=False, weakref_slot=True)
class Task:
    """One leased row: one attempt.

    Attributes:
        key: the primary key as text.
        values: the fetched tuple; its first element is `key`, and the only one until a transaction has locked the row.
        form: the binding as it was when they were fetched, which reads them; None of a task without any.
        attempt: the number of this attempt, from 1: counted before it starts, since a lease that ends
            with its worker counts as one.
        visit: the id of the first attempt's lease: new for each visit of a row to a status.
        age: seconds from the first attempt's beginning to this claim.
        retaken: whether it has a row in `poller.attempt`.
        begun: when (monotonic) its handler was called under this lease, and may have passed the visit's id on; else 0.
        company: for a suspect, the number of rows of which one may have killed their worker; else 0.
        refusal: the reason, if the row could not be shown as in work (a handler's `during`): the attempt failed
            before it began, and the row is unchanged.
    """

    lease: Lease
    key: str
    values: tuple[Any, ...]
    attempt: int = 1
    visit: str = ""
    age: float = 0.0
    retaken: bool = False
    begun: float = 0.0
    company: int = 0
    refusal: str | None = None
    form: Binding | None = None

    @property
    def binding(self) -> Binding:
        """The row's handler, with its table. In code that runs for each row, `lease.binding` saves a call."""
        return self.lease.binding

    @property
    def handler(self) -> Handler:
        """The row's handler."""
        return self.lease.binding.handler

    @property
    def job(self) -> str | None:
        """The name of the run's job (of a job made at run time, its own name, not its function's); None for a row."""
        handler, form = self.lease.binding.handler, self.form
        if form is None or not handler.is_job:
            return handler.name
        return str(self.values[form.shape.index.get("job", 0)])


@dataclass(slots=True, eq=False)
class Result:
    """A task and its outcome.

    Attributes:
        seconds: how long the attempt took.
        context: the handler's context, if the handler was started and takes one.
    """

    task: Task
    outcome: Outcome
    seconds: float
    context: Context | None = None


@dataclass(slots=True, eq=False)
class Settled:
    """Results of one handler that have been settled, and what became of each: one object for a whole batch.

    Attributes:
        results: the settled results.
        became: what became of each, in that order.
    """

    results: list[Result]
    became: list[Became]

    def __iter__(self) -> Iterator[tuple[Result, Became]]:
        return zip(self.results, self.became, strict=True)

    @property
    def binding(self) -> Binding:
        """The handler."""
        return self.results[0].task.binding

    def parted(self, became: Became) -> tuple[list[Result], Settled]:
        """Return the results with this verdict, and the others with their verdicts."""
        if became not in self.became:  # the usual case
            return [], self
        taken = [result for result, what in self if what is became]
        kept = [pair for pair in self if pair[1] is not became]
        return taken, Settled([result for result, _ in kept], [what for _, what in kept])
