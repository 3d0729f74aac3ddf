"""The arguments of a handler: the row, and the context of this attempt.

Both are views. A `Row` is the tuple that the claim fetched, seen as a mapping; a `Context` says what
the engine knows about this attempt. Neither holds a connection: a handler runs outside any transaction.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, overload

from poller.errors import PollerError
from poller.model.answers import Transition
from poller.telemetry.current_attempt import current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy.ext import asyncio
    from sqlalchemy.orm import Session, scoped_session

    Given = psycopg.Connection[Any] | Connection | Session | scoped_session[Any]
    Awaited = (
        psycopg.AsyncConnection[Any]
        | asyncio.AsyncConnection
        | asyncio.AsyncSession
        | asyncio.async_scoped_session[Any]
    )

# The namespace that tokens are made in (RFC 9562, 5.5), fixed for ever.
_TOKENS = uuid.UUID("6f1c7c0e-5a0b-4f8e-9d1c-7f6f0c2b8a51")

_NOT_LENT = "ctx.connection and ctx.session are there in transactional handlers only, while they run"


def token_of(key: str) -> str:
    """Return the UUID that stands for an idempotency key: 36 letters, digits and hyphens, whatever is in the key."""
    return str(uuid.uuid5(_TOKENS, key))


@dataclass(frozen=True, slots=True)
class RowShape:
    """The columns of a table, shared by all its rows.

    Attributes:
        index: column name to its place in the fetched tuple.
        key: the places of the primary key's columns, in the key's order.
    """

    index: Mapping[str, int]
    key: tuple[int, ...]


class Row(Mapping[str, Any]):
    """A leased row: a read-only mapping of all its columns, with attribute access.

    `row["slug"]` and `row.slug` are the same value. `row.key` is always the primary key (a tuple where
    it has several columns), also for a table that has a column of that name: `row["key"]` is the column.

    >>> from poller.testing import row
    >>> order = row(7, id=7, status="paid")
    >>> order.status, order["status"], order.key
    ('paid', 'paid', 7)
    """

    __slots__ = ("_shape", "_values")

    def __init__(self, shape: RowShape, values: tuple[Any, ...]) -> None:
        self._shape = shape
        self._values = values

    @property
    def key(self) -> Any:
        """The primary key: one value, or a tuple of them."""
        places = self._shape.key
        if len(places) == 1:
            return self._values[places[0]]
        return tuple(self._values[place] for place in places)

    def __getitem__(self, column: str) -> Any:
        return self._values[self._shape.index[column]]

    def __getattr__(self, column: str) -> Any:
        try:
            return self._values[self._shape.index[column]]
        except KeyError:
            msg = f"the row has no column {column!r}; it has {', '.join(self._shape.index)}"
            raise AttributeError(msg) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.index)

    def __len__(self) -> int:
        return len(self._shape.index)

    def __repr__(self) -> str:
        # The key only: rows end up in logs, and their values may be secret.
        return f"<Row key={self.key!r}>"

    def __reduce__(self) -> tuple[type[Row], tuple[RowShape, tuple[Any, ...]]]:
        return (Row, (self._shape, self._values))


class CancelEvent(threading.Event):
    """An event that is true once it is set, so that both `if ctx.cancelled` and `.wait(1)` work."""

    tell: Callable[[], None] = staticmethod(lambda: None)  # called whenever it is set

    def __bool__(self) -> bool:
        return self.is_set()

    def set(self) -> None:
        """Set it, and call the subscriber."""
        super().set()
        self.tell()


class Loan(Protocol):
    """The connection that a transactional handler may use while it runs."""

    @property
    def connection(self) -> Connection:
        """The connection whose transaction moves the row."""

    @property
    def session(self) -> Session:
        """A session in that transaction."""


class Context:
    """What the engine knows about this attempt.

    Attributes:
        database: the name of the database that the row is in, as `--database name=URL` has it, or its own.
        attempt: the number of this attempt, from 1.
        deadline: when this attempt times out, by the database's clock, with its time zone.
        cancelled: set at shutdown, at the timeout, and when the lease is lost.
        settled: the move that `settle` has made, if it was called.

    >>> from poller.testing import context
    >>> ctx = context(key="orders:paid:7:1", attempt=2)
    >>> ctx.key, ctx.attempt, bool(ctx.cancelled)
    ('orders:paid:7:1', 2, False)
    """

    # What a run of a job leaves behind besides its status (`run.Notes`); a row's handler has none.
    notes: Any = None

    def __init__(  # noqa: PLR0913 - what is known of an attempt
        self,
        *,
        database: str,
        table: str,
        row_key: str,
        key: str,
        attempt: int,
        deadline: datetime,
        settle: Callable[[Any, Transition, Transition | None], str | Awaitable[str]],
    ) -> None:
        self.database = database
        self._key = key
        self.attempt = attempt
        self.deadline = deadline
        self.cancelled = CancelEvent()
        self.settled: Transition | None = None
        self.has_asked = False  # the database for it
        self._table = table
        self._row_key = row_key
        self._settle = settle
        self._loan: Loan | None = None

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt at this visit of the row to this status.

        No other visit has it. Pass it to any call that must not happen twice.
        """
        return self._key

    @property
    def token(self) -> str:
        """The idempotency key as a UUID: safe in headers, addresses, file names and columns of any length.

        The idempotency key itself contains the row's key, which may be any text of any length.
        """
        return token_of(self.key)

    @property
    def payload(self) -> dict[str, Any]:
        """The arguments that make an equal context in another process."""
        return {
            "database": self.database,
            "table": self._table,
            "row_key": self._row_key,
            "key": self._key,
            "attempt": self.attempt,
            "deadline": self.deadline,
        }

    @property
    def connection(self) -> Connection:
        """In a transactional handler: the SQLAlchemy connection whose transaction moves the row.

        Raises:
            PollerError: the handler is not transactional.
        """
        if self._loan is None:
            raise PollerError(_NOT_LENT)
        return self._loan.connection

    @property
    def session(self) -> Session:
        """In a transactional handler: a SQLAlchemy session in the transaction that moves the row.

        Raises:
            PollerError: the handler is not transactional.
        """
        if self._loan is None:
            raise PollerError(_NOT_LENT)
        return self._loan.session

    def lend(self, loan: Loan | None) -> None:
        """Give the handler a connection while it runs, or take it back; the engine does."""
        self._loan = loan

    @overload
    def settle(self, connection: Awaited, status: Any, /, **columns: Any) -> Awaitable[None]: ...

    @overload
    def settle(self, connection: Given | Any, status: Any, /, **columns: Any) -> None: ...

    def settle(self, connection: Any, status: Any, /, **columns: Any) -> Awaitable[None] | None:
        """Move the row inside the handler's own transaction, which the handler commits.

        Its other writes and the move then commit together or not at all: the row is moved exactly once. What
        the handler returns or raises after that moves nothing; the log tells an error. If it does not commit, the
        attempt has failed.

        Args:
            connection: of psycopg 3, or SQLAlchemy's (a session, too) or Django's on it. With one that is awaited,
                such as an `AsyncSession`, so is this: `await ctx.settle(…)`.
            status: where the row moves: one of the handler's `to`.
            **columns: further columns to set.

        Raises:
            SettleError: the lease has ended, another session has changed the row, or this attempt has moved it already;
                roll back.
            PollerError: the status is not in `to`, the connection is not supported, or the handler is transactional.
        """
        if self._loan is not None:
            msg = "a transactional handler moves its row by its return value; leave ctx.settle out"
            raise PollerError(msg)
        move = Transition(status, **columns)
        self.has_asked = True  # also if that raises
        before = self.settled
        done = self._settle(connection, move, before)
        if isinstance(done, str):
            self.settled = Transition(done)
            return None
        # so that one which is never awaited is not taken for one that was never asked for
        self.settled, self.has_asked = move, False
        return self._settled_later(done, before)

    async def _settled_later(self, done: Awaitable[str], before: Transition | None) -> None:
        self.settled, self.has_asked = before, True
        self.settled = Transition(await done)

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines carry the table, the key and the attempt."""
        fields = {"table": self._table, "key": self._row_key, "attempt": self.attempt}
        return _ContextLogger(logging.getLogger("poller.handler"), {"poller": fields})


class ByRowKey(Mapping[Any, str]):
    """A text for each row, by `row.key`, which may be what no `dict` takes: an array, or JSON."""

    def __init__(self, pairs: Iterable[tuple[Any, str]]) -> None:
        self._pairs = tuple(pairs)

    @cached_property
    def _hashed(self) -> dict[Any, str]:
        return {key: text for key, text in self._pairs if is_hashable(key)}

    def __getitem__(self, key: Any) -> str:
        if is_hashable(key):
            return self._hashed[key]
        try:
            return next(text for each, text in self._pairs if each == key)
        except StopIteration:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{key!r}: {text!r}' for key, text in self._pairs)}}}"


def is_hashable(key: Any) -> bool:
    """Return whether a value can be a key of a `dict`; a tuple can if all in it can."""
    try:
        hash(key)
    except TypeError:
        return False
    return True


class BatchContext(Context):
    """What the engine knows about this attempt at a batch of rows.

    Attributes:
        keys: the idempotency key of each row, by `row.key`.
    """

    def __init__(
        self, *, database: str, table: str, keys: Mapping[Any, str], attempt: int, deadline: datetime
    ) -> None:
        super().__init__(
            database=database,
            table=table,
            row_key=f"{len(keys)} rows",
            key="",
            attempt=attempt,
            deadline=deadline,
            settle=lambda *_: "",
        )
        self.keys = keys

    @property
    def tokens(self) -> Mapping[Any, str]:
        """The idempotency key of each row as a UUID, by `row.key`; see `Context.token`."""
        return ByRowKey((key, token_of(text)) for key, text in self.keys.items())

    @property
    def token(self) -> str:
        """There is none for a batch.

        Raises:
            PollerError: always.
        """
        msg = "a batch has a token for each of its rows: ctx.tokens[row.key]"
        raise PollerError(msg)

    @property
    def payload(self) -> dict[str, Any]:
        """The arguments that make an equal context in another process."""
        payload = {name: value for name, value in super().payload.items() if name not in ("row_key", "key")}
        return payload | {"keys": self.keys}

    @property
    def key(self) -> str:
        """There is none for a batch.

        Raises:
            PollerError: always.
        """
        msg = "a batch has an idempotency key for each of its rows: ctx.keys[row.key]"
        raise PollerError(msg)

    def settle(self, *_: Any, **__: Any) -> Any:
        """Raise always: a batch is moved by what its handler returns.

        Raises:
            PollerError: always.
        """
        msg = "ctx.settle does not work with batches: answer for each row, or make the handler transactional=True"
        raise PollerError(msg)


class _ContextLogger(logging.LoggerAdapter[logging.Logger]):
    """Keeps the caller's own `extra` beside the context's fields (the standard adapter drops it)."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        attempt = current()  # None on a thread that the handler has started
        known = {} if attempt is None else {"known": attempt.known}
        kwargs["extra"] = {**(self.extra or {}), **known, **kwargs.get("extra", {})}
        return msg, kwargs
