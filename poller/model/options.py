"""The options of a handler, as users give them: each is written here once, with its type and its meaning.

Type checkers and editors know them from here. `Handler` holds them as they are kept, and their defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import Enum

    from sqlalchemy import ColumnExpressionArgument
    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT

    from poller.duration import Duration
    from poller.model.alert import Alert

    Status = str | int | Enum
    Expression = str | ColumnExpressionArgument[Any]

History = Literal["all", "failures", "off"]


class AttemptOptions(TypedDict, total=False):
    """The options that handlers and jobs share.

    Attributes:
        timeout: how long one attempt may take: by default `"5m"`.
        attempts: how many there are; short for `stop=stop_after_attempt(…)`. By default 5 for a row, and 1 for a run.
        wait: tenacity's wait policy between attempts; by default 1 s to 10 min, exponentially, with jitter.
        stop: tenacity's stop policy.
        retry: tenacity's predicate of the errors that are worth another attempt; by default all are.
        executor: where it runs: on a `"thread"` of the worker, in a `"process"` of its own, or by the
            `concurrent.futures.Executor` that `"module:factory"` gives.
    """

    timeout: Duration
    attempts: int | None
    wait: WaitBaseT | None
    stop: StopBaseT | None
    retry: RetryBaseT | None
    executor: str


class HandlerOptions(AttemptOptions, total=False):
    """The options of `handler`, beside its table, its status and what that becomes.

    Attributes:
        column: the status column. This, `due` and `per_key` are names, or columns or attributes of SQLAlchemy's.
        during: a status shown in the row while it is leased.
        on_failure: the status of a row that is out of attempts; without one the row is parked.
        where: a further condition on the table's own columns, in SQL or as an expression of SQLAlchemy's.
        order_by: what comes first, in SQL, e.g. `"priority desc, id"`, or as an expression or several; by default
            the primary key.
        due: a timestamp column; the row is due once it has passed (never while it is null).
        batch: more than 1: give the function a list of up to so many rows; it may answer for each.
        limit: how many rows may be in flight over the whole fleet.
        per_key: the column, or columns, whose equal values are handled one at a time, in order.
        per_key_limit: how many of them at a time.
        in_order: a row that waits for another attempt, or is snoozed, holds back those of its `per_key`.
        rate: how many rows may be begun within any such time over the whole fleet, e.g. `"100/1m"`.
        transactional: run it inside the transaction that moves the row, with `ctx.connection` and `ctx.session`.
        history: what is kept of each transition: `"all"`, `"failures"` or `"off"`.
        trace: the column with the `traceparent` of what made the row, which its span is then linked to, or `True` for
            spans without links; by default batches have spans, and single rows have none. See docs/events.md.
        alerts: the target of the settings that is told of its trouble, or several, or an `Alert` that says of what, too.

    >>> careful: HandlerOptions = {"attempts": 8, "timeout": "2m", "on_failure": "stuck"}
    >>> @handler("orders", status="paid", to="shipped", **careful)
    ... def ship(order): ...
    >>> ship.on_failure
    'stuck'
    """

    column: Expression
    during: Status | None
    on_failure: Status | None
    where: Expression | None
    order_by: Expression | Sequence[Expression] | None
    due: Expression | None
    batch: int
    limit: int | None
    per_key: Expression | Iterable[Expression]
    per_key_limit: int
    in_order: bool
    rate: str | None
    transactional: bool
    history: History
    trace: Expression | bool | None
    alerts: str | Iterable[str] | Alert | None


def refuse_unknown(given: Mapping[str, Any], known: type[Any]) -> None:
    """Refuse an option that a dictionary's type does not have.

    Raises:
        ConfigurationError: naming it, and the one that was meant, perhaps.
    """
    names = known.__optional_keys__
    for name in given.keys() - names:
        msg = f"unexpected keyword argument {name!r}; known: {', '.join(sorted(names))}"
        raise ConfigurationError(msg)
