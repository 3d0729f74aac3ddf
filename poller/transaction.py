"""The transactions that transactional handlers run in: each holds its rows' locks, and moves them at its end.

The model. A lease is taken before, in a transaction of its own, so that an attempt is counted whatever
becomes of this one. Then one transaction locks some rows of that lease, runs their handlers one after the
other, settles what came of them through `sql/settle.sql`, and commits. Many rows share a transaction, since a
commit is what costs; each handler that is given the connection has a savepoint of its own, so that one which
fails takes nobody's writes along.

What an error means:
    a handler raised            its savepoint is rolled back; the attempt has failed, which is settled with the others
    the settling was refused    all is rolled back, and each of the rows is attempted anew, alone
    the lease had ended         all is rolled back, and nothing is written: the rows are another's
    the connection broke        the attempts have failed, unless the COMMIT had been done: then the lease has gone
                                with it, and nothing is held any more
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from poller.database import Borrowed
from poller.errors import LeaseLostError, PollerError
from poller.queries import texts
from poller.store import Store
from poller.values import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, NestedTransaction

    from poller.binding import Binding
    from poller.lease import Result, Task
    from poller.model import Context


class Transactions:
    """Where one worker's transactional handlers get their transactions from.

    Args:
        connect: opens a psycopg connection.
        most: how many connections are kept open.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], most: int) -> None:
        self._connect = connect
        self._engine = create_engine(
            "postgresql+psycopg://", creator=self._open, pool_size=most, max_overflow=-1, pool_pre_ping=True
        )

    @contextlib.contextmanager
    def begin(self, binding: Binding) -> Iterator[Transaction]:
        """Begin a transaction for rows of a handler; it is committed at the end of the block, unless that raises.

        Raises:
            psycopg.Error: there is no connection now, or the commit failed.
        """
        with self._engine.connect() as connection, connection.begin():
            yield Transaction(connection, binding)

    def end(self, pid: int) -> None:
        """End a transaction by force: its handler does not. Nobody waits for that, since the database may be silent."""
        threading.Thread(target=self._terminate, args=(pid,), name="poller ends", daemon=True).start()

    def _terminate(self, pid: int) -> None:
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute("select pg_terminate_backend(%s)", [pid])

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    def _open(self) -> psycopg.Connection[Any]:
        connection = self._connect()
        # What handlers insert is to wake the workers, unlike poller's own moves; their timeouts are the watchdog's.
        connection.execute("select set_config('poller.quiet', '', false)")
        connection.autocommit = False
        return connection


class Transaction:
    """One transaction, and the rows of one handler in it."""

    def __init__(self, connection: Connection, binding: Binding) -> None:
        self._connection = connection
        self._binding = binding
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)  # noqa: S101 - we have opened it
        self._store = Store(Borrowed(driver))
        self.pid = driver.info.backend_pid
        seconds = binding.handler.timeout
        driver.execute(
            "select set_config('idle_in_transaction_session_timeout', %s, true)", [f"{seconds + 5:.0f}s"]
        )

    def lock(self, tasks: Sequence[Task]) -> dict[str, tuple[Any, ...]]:
        """Lock the rows of tasks; return those that stand as they were leased, by their keys."""
        asked = {"keys": texts([task.key for task in tasks])}
        answer = fetch(self._store.link.connection, self._binding.lock_rows, asked)
        return {row[0]: row for row in answer.rows}

    @contextlib.contextmanager
    def savepoint(self, context: Context, given: Any) -> Iterator[None]:
        """Give a handler the connection; undo what it has written if the block raises.

        Args:
            context: what it gets the connection by.
            given: the row or rows that it gets: instances of a mapped class are put into its session.

        Raises:
            PollerError: the handler has ended the transaction, which is not its own to end.
        """
        nested = self._connection.begin_nested()
        session = Session(self._connection, join_transaction_mode="create_savepoint")
        context.lend(self._connection, session)
        entity = self._binding.handler.entity
        instances = [] if entity is None else given if isinstance(given, list) else [given]
        session.add_all(instances)
        try:
            yield
            _require_active(nested)
            if entity is not None:
                entity.refuse_moved(instances, session)
            session.commit()
            nested.commit()
        except BaseException:
            session.close()
            if nested.is_active:
                nested.rollback()
            raise
        finally:
            context.lend(None, None)
            session.close()

    def settle(self, results: Sequence[Result]) -> list[tuple[Result, str]]:
        """Write the outcomes; return what became of each.

        Raises:
            LeaseLostError: the lease had ended.
            psycopg.Error: Postgres refuses one of them.
        """
        groups: dict[tuple[str, ...], list[Result]] = {}
        for result in results:
            groups.setdefault(tuple(result.outcome.columns), []).append(result)
        settled = [
            pair for group in groups.values() for pair in zip(group, self._store.settle(group), strict=True)
        ]
        self._store.link.connection.execute(
            "set constraints all immediate"
        )  # now, while we know of whom it is said
        if any(became == "late" for _, became in settled):
            msg = f"{self._binding}: the lease had ended; its transaction was rolled back"
            raise LeaseLostError(msg)
        return settled


def _require_active(savepoint: NestedTransaction) -> None:
    if not savepoint.is_active:
        msg = "a transactional handler must not end its transaction; leave commit() and rollback() out"
        raise PollerError(msg)
