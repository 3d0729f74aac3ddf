"""A handler: the function for one (table, status), and the options it was registered with.

The decorator checks what can be checked without a database; `tables` holds the rest against it.
Nothing is registered anywhere: `registry` collects the `Handler` objects it finds in a package.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, get_args

from poller.duration import seconds
from poller.errors import ConfigurationError
from poller.model.alert import Alert, alert_of
from poller.model.code_place import calling_place, place_of
from poller.model.option_checks import (
    LARGEST_INTEGER,
    LONGEST_TIMEOUT_SECONDS,
    check_executor,
    check_number,
)
from poller.model.options import HandlerOptions, History, refuse_unknown
from poller.model.outcome import Became, Outcome
from poller.model.rate import Rate, rate_of
from poller.model.retry_policy import POLICY, Policy, policy
from poller.model.signature import beneath, call_of, is_coroutine, refuse_generator
from poller.model.table_name import TableName, table_name
from poller.model.table_source import TableSource, order_of, where_of
from poller.model.typevars import P, R

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Unpack

    from sqlalchemy import Table

    from poller.model.context import Context
    from poller.model.mapped import Mapped
    from poller.model.options import Status

    Amend = Callable[[Outcome, Context | None, str], Outcome]  # the last is the database's encoding

LARGEST_BATCH_ROWS = 10_000  # rows


@dataclass(kw_only=True, eq=False)
class Handler(Generic[P, R]):
    """A function registered for the rows of `table` whose `column` holds `status`.

    It is still callable as the plain function, so that a test calls it: with what that takes (`P`), for what that
    returns (`R`). Durations are seconds. Only the handlers that run jobs have a `name`, since they share a (table,
    status), and a `run_parameter`, and `amend` what is written; a run `waits_its_turn` if the earlier ones of its
    job must have ended.
    One function may be registered several times: `also` is the handler that the same
    function was made before. `invoke` calls it with the row, and the context if it takes that, in this order.

    >>> from poller.testing import row
    >>> @handler("orders", status="paid", to="shipped", timeout="2m")
    ... def ship(order):
    ...     print("shipped", order.id)
    >>> ship(row(id=7))
    shipped 7
    >>> str(ship), ship.timeout
    ('orders:paid', 120.0)
    """

    function: Callable[P, R]
    invoke: Callable[..., Any]
    table: TableName
    status: str
    to: tuple[str, ...]
    policy: Policy
    is_coroutine: bool
    takes_context: bool
    place: str
    # The options as they are kept, and their defaults.
    column: str = "status"
    during: str | None = None
    on_failure: str | None = None
    where: str | None = None
    order_by: str | None = None
    due: str | None = None
    batch: int = 1
    limit: int | None = None
    per_key: tuple[str, ...] = ()
    per_key_limit: int = 1
    in_order: bool = True
    rate: Rate | None = None
    transactional: bool = False
    executor: str = "thread"
    timeout: float = 300.0
    history: History = "all"
    trace: str | bool | None = None
    alerts: Alert | None = None
    # What only some have.
    entity: Mapped | None = None
    name: str | None = None
    run_parameter: str | None = None
    waits_its_turn: bool = False
    amend: Amend | None = None
    also: Handler | None = None

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.table}:{self.label}"

    @property
    def label(self) -> str:
        """Its name among the handlers of its table: its status, or a job's name."""
        return self.name or self.status

    @property
    def is_job(self) -> bool:
        """Whether it runs a job, so that its rows are poller's own."""
        return self.name is not None

    @property
    def is_limited(self) -> bool:
        """Whether how many of its rows may be in flight depends on the whole fleet."""
        return self.limit is not None or self.rate is not None or bool(self.per_key)

    @functools.cached_property
    def has_one_attempt(self) -> bool:
        """Whether a row's first attempt is its last."""
        return self.policy.is_last(1)

    @functools.cached_property
    def moved(self) -> Outcome | None:
        """The outcome of a handler that returns None; None if `to` leaves a choice."""
        return Outcome(Became.MOVED, to=self.to[0]) if len(self.to) == 1 else None

    @property
    def held(self) -> str:
        """The status a row shows while it is leased: what compare-and-set compares with."""
        return self.during or self.status

    @property
    def restored(self) -> str | None:
        """The status to write when a row is given back: its own, if `during` had replaced it."""
        return self.status if self.during else None

    @property
    def left(self) -> tuple[str, ...]:
        """The statuses of rows that this handler is done with."""
        return self.to if self.on_failure is None else (*self.to, self.on_failure)

    @property
    def reachable(self) -> tuple[str, ...]:
        """Every status this handler can leave a row in, its own included."""
        named = (self.status, self.during, *self.to, self.on_failure)
        return tuple(dict.fromkeys(status for status in named if status is not None))


@dataclass(frozen=True, slots=True)
class Registration:
    """The decorator that `handler` returns: what it was given."""

    table: str | Table | type[Any]
    status: Status
    to: Status | Iterable[Status]
    options: Mapping[str, Any]

    def __call__(self, function: Callable[P, R]) -> Handler[P, R]:
        """Make a handler of a function, or another one of a handler's."""
        also = function if isinstance(function, Handler) else None
        plain: Callable[P, R] = also.function if also else beneath(function)
        place = place_of(plain)
        try:
            made = self._made(plain, place, also)
            _check(made)
        except (ConfigurationError, TypeError) as error:
            msg = f"{place}: {error}"
            raise ConfigurationError(msg) from error
        return made

    def _made(self, function: Callable[P, R], place: str, also: Handler | None) -> Handler[P, R]:
        given: dict[str, Any] = {
            "column": Handler.column,
            "where": None,
            **self.options,
        }  # a class may add to both
        source = TableSource.of(self.table, given["column"])
        refuse_generator(function, "a handler")
        call = call_of(function)
        return Handler(
            function=function,
            invoke=call.invoke,
            table=table_name(source.table),
            status=source.text(self.status),
            to=_statuses(self.to, source),
            entity=source.entity,
            policy=policy(**{name: given.pop(name) for name in POLICY if name in given}),
            is_coroutine=is_coroutine(function),
            takes_context=call.takes_context,
            place=place,
            also=also,
            **{name: _kept(source, name, value) for name, value in given.items()},
        )


def handler(
    table: str | Table | type[Any],
    *,
    status: Status,
    to: Status | Iterable[Status],
    **options: Unpack[HandlerOptions],
) -> Registration:
    """Register a function for the rows of a table that have a status.

    Args:
        table: `"name"`, `"schema.name"` (exact case; double quotes around a part that has a dot), a SQLAlchemy
            `Table`, or a mapped class, of which the function then gets instances.
        status: the value that makes a row due: a text, int, bool or `Enum` member.
        to: the next status, or the statuses the handler may return.
        **options: see `HandlerOptions`; `Handler` has the defaults.

    Raises:
        ConfigurationError: an option that cannot work; the text names the function's place, or that of the call.

    >>> @handler("orders", status="paid", to=("shipped", "rejected"), attempts=8)
    ... def ship(order, ctx):
    ...     return "shipped" if order.stock else "rejected"
    """
    try:
        refuse_unknown(options, HandlerOptions)
    except ConfigurationError as error:
        msg = f"{calling_place()}: handler() got an {error}"
        raise ConfigurationError(msg) from None

    return Registration(table, status, to, options)


# Conversions of the options that are not stored as given.
_KEPT: dict[str, Callable[[TableSource, Any], Any]] = {
    "column": lambda source, value: source.column("column", value),
    "due": lambda source, value: None if value is None else source.column("due", value),
    "per_key": lambda source, value: source.columns("per_key", value),
    "during": lambda source, value: None if value is None else source.text(value),
    "on_failure": lambda source, value: None if value is None else source.text(value),
    "where": lambda source, value: where_of(value, source.entity, source.core),
    "order_by": lambda source, value: order_of(value, source.core),
    "rate": lambda _, value: rate_of(value),
    "trace": lambda source, value: (
        source.column("trace", value) if value is not None and type(value) is not bool else value
    ),
    "timeout": lambda _, value: seconds(value),
    "alerts": lambda _, value: alert_of(value),
}


def _kept(source: TableSource, option: str, value: Any) -> Any:
    keep = _KEPT.get(option)
    return value if keep is None else keep(source, value)


def refuse_collisions(handlers: Iterable[tuple[str, Handler]]) -> None:
    """Refuse two handlers that would take the same rows; each comes with the name of its table.

    Raises:
        ConfigurationError: naming both places.
    """
    taken: dict[tuple[str, ...], Handler] = {}
    for table, each in handlers:
        for part in _taken(each):
            other = taken.setdefault((table, *part), each)
            if other is not each:
                name = f"{table}:{part[-1]}"
                msg = f"two handlers for {name}: {other.place} and {each.place}; {_way_out(each, other)}"
                raise ConfigurationError(msg)


def refuse_lookalikes(handlers: Iterable[tuple[str, Handler]]) -> None:
    """Refuse a handler that moves rows to what another one shows while it works; each comes with its table's name.

    Rows that are done would look like rows whose worker has lost them, which `poller check` has set back.

    Raises:
        ConfigurationError: naming both places.
    """
    known = [(table, each) for table, each in handlers if not each.is_job]
    shown = {(table, each.column, each.during): each for table, each in known if each.during is not None}
    for table, each in known:
        for status in each.left:
            other = shown.get((table, each.column, status))
            if other is not None and other is not each:
                msg = f"{each.place} moves rows of {table} to {status!r}, the during of {other.place}; let them differ"
                raise ConfigurationError(msg)


def _taken(one: Handler) -> Iterator[tuple[str, ...]]:
    """Yield what no other handler of the table may share: its name in commands, and the statuses that its rows show."""
    yield (one.label,)
    if not one.is_job:
        yield from ((one.column, status) for status in (one.status, one.during) if status is not None)


def _way_out(one: Handler, other: Handler) -> str:
    if one.column == other.column:
        return "keep one"
    return (
        f"commands tell the handlers of a table apart by their status alone, so {other.column} and {one.column} "
        f"need different values: have one of them say '{one.column}_{one.status}', for example"
    )


def _statuses(value: object, source: TableSource) -> tuple[str, ...]:
    statuses = source.statuses(value)
    if not statuses:
        msg = "to is empty; name the next status, or the statuses the handler may return"
        raise ConfigurationError(msg)
    return statuses


def _check(made: Handler) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigurationError: with the reason.
    """
    if not 0 < made.timeout <= LONGEST_TIMEOUT_SECONDS:
        msg = f"timeout must be more than 0 and at most {LONGEST_TIMEOUT_SECONDS / 86400:.0f}d"
        raise ConfigurationError(msg)
    _check_limits(made)
    for name, text in (("where", made.where), ("order_by", made.order_by)):
        if text is not None and not text.strip():
            msg = f"{name} is empty; leave it out, or write SQL"
            raise ConfigurationError(msg)
    if made.history not in get_args(History):
        msg = f"history must be one of {', '.join(get_args(History))}, got {made.history!r}"
        raise ConfigurationError(msg)
    check_executor(made.executor, made.function)
    if made.transactional and made.executor != "thread":
        msg = f"a transactional handler runs in its worker; leave executor={made.executor!r} out"
        raise ConfigurationError(msg)
    if made.transactional and made.is_coroutine:
        msg = "a transactional handler cannot be a coroutine function: its connection blocks; use a plain function"
        raise ConfigurationError(msg)
    _check_statuses(made)


def _check_statuses(made: Handler) -> None:
    """Refuse statuses that must differ and do not."""
    if made.during == made.status:
        msg = f"during is {made.during!r}, the status the row already has; leave it out"
        raise ConfigurationError(msg)
    if made.during in made.to:
        msg = f"during is {made.during!r}, which is in to: rows in progress and rows that are done would look alike; "
        msg += "name another status"
        raise ConfigurationError(msg)
    if made.on_failure in {made.status, made.during} and made.on_failure is not None:
        msg = f"on_failure is {made.on_failure!r}, so a failed row would be taken again for ever; name another status"
        raise ConfigurationError(msg)
    if made.to == (made.status,) and made.due is None:
        msg = (
            f"to is {made.status!r}, the status the row already has, so it would be due again at once; "
            "raise Snooze to look again later, or give due="
        )
        raise ConfigurationError(msg)


def _check_limits(made: Handler) -> None:
    """Refuse impossible numbers, and options that mean nothing without another."""
    check_number("batch", made.batch, LARGEST_BATCH_ROWS)
    check_number("limit", 1 if made.limit is None else made.limit, LARGEST_INTEGER)
    check_number("per_key_limit", made.per_key_limit, LARGEST_INTEGER)
    if not all(isinstance(name, str) and name for name in made.per_key):
        msg = f"per_key must be the name of a column, or several, got {made.per_key!r}"
        raise ConfigurationError(msg)
    if not isinstance(made.in_order, bool):
        msg = f"in_order must be True or False, got {made.in_order!r}"
        raise ConfigurationError(msg)
    if (made.per_key_limit > 1 or not made.in_order) and not made.per_key:
        msg = "per_key_limit and in_order need a per_key; give limit= for all rows together"
        raise ConfigurationError(msg)
