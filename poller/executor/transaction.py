"""The transactions that transactional handlers run in: each locks its rows, and moves them at its end.

The model. The claim takes the lease before, in its own transaction, so that an attempt counts whatever becomes of this
one. Then one transaction locks some rows of that lease, runs their handlers one after the other, settles their outcomes
through `sql/settle/settle.sql`, and commits. Many rows share a transaction, since the commit is the expensive part. A
handler that uses the connection has its own savepoint, made when it first does, so that its failure undoes no other
handler's writes; and a session reset to its first state (`clean_session`). Poller's own statements run in such a
session, too.

Whether the connection lives decides what an error means, not its class, which any trigger may choose:
    a handler raised            its savepoint is rolled back; the attempt has failed, which is settled with the others
    a row cannot be sent        all is rolled back, and each row is attempted again, alone; a row that cannot be sent
                                then has failed an attempt, if others of its table can be
    the settling was refused    all is rolled back, and each row is attempted again, alone; a row that is refused then
                                has failed an attempt, unless no outcome at all could be written (a column was renamed)
    the lease had ended         all is rolled back, and nothing is written: another worker has the rows
    the connection broke        each row is attempted again, alone, unless the COMMIT went through: it ended the lease,
                                so no row is held any more; a row that breaks it twice has failed an attempt
    no session can be opened    nothing has begun: the rows are given back, and no rows of such handlers are claimed
                                before the next try (`shut_until`); if some sessions are open, it waits for one of them
"""

from __future__ import annotations

import contextlib
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from poller.db.connection import Borrowed
from poller.db.search_path import SET_OWN, SET_USERS
from poller.db.statements import texts
from poller.db.values import fetch
from poller.errors import LeaseLostError, PollerError
from poller.executor.clean_session import NOT_YOURS
from poller.executor.lent_connection import LentConnection
from poller.model.outcome import Became
from poller.store.lease import Settled
from poller.store.settlements import Settlements
from poller.telemetry.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from poller.model.context import Context
    from poller.store.binding import Binding
    from poller.store.lease import Result, Task

LOOK_AGAIN_SECONDS = 0.05  # at least, to wait for a session that another thread has
_UNDO = "rollback to savepoint poller_row; release savepoint poller_row"
# Poller's statements have plans that do for all values, as those of its own links; a handler's are planned as it likes.
_OWN = f"{SET_OWN}; set local plan_cache_mode = force_generic_plan"
_USERS = f"{SET_USERS}; set local plan_cache_mode to default"


NOT_YOURS_TO_CLOSE = "a transactional handler must not close or invalidate its connection; leave that out"


class NotOpenedError(Exception):
    """No session could be opened, so nothing has begun, and no row is at fault."""


class Transactions:
    """The source of transactions for one worker's transactional handlers.

    Args:
        connect: opens a `LentConnection`.
        most: how many connections are kept open.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], most: int) -> None:
        self._connect = connect
        self._outage = Outage("transactional sessions")
        self._again_at = 0.0  # when to try again to open a session (monotonic)
        self._opened = 0  # sessions opened so far
        self._opened_before = 0  # sessions opened before the outage
        self._lent = 0  # sessions that threads have, or are opening
        self._trying = 0  # threads that are taking or opening a session
        self._freed = threading.Condition()
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=self._open,
            pool_size=most,
            max_overflow=-1,
            pool_pre_ping=True,
            pool_use_lifo=True,  # a session that has been used has cached plans
            use_native_hstore=False,  # looking for it would use the users' search path
        )

    @contextlib.contextmanager
    def begin(self, binding: Binding) -> Iterator[Transaction]:
        """Begin a transaction for rows of a handler; it commits at the end of the block, unless the block raises.

        Raises:
            NotOpenedError: no session is available now.
            psycopg.Error: the commit failed.
        """
        with self._session(binding) as (connection, transaction):
            driver = _driver(connection)
            try:
                yield transaction
                driver.commit()  # not SQLAlchemy's commit: a handler may have left that in any state
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    driver.rollback()
                    transaction.is_alive = not driver.closed
                raise
            finally:
                transaction.is_over = True
                if not transaction.keeps_connection:
                    _drop(connection, driver)

    def renew(self) -> None:
        """Close the sessions that are idle; those of later transactions are opened anew."""
        self._engine.dispose()

    @property
    def shut_until(self) -> float:
        """When a transaction can begin again (monotonic); a time in the past if one can now."""
        with self._freed:
            return 0.0 if self._lent or self._has_idle else self._again_at

    @property
    def outage(self) -> Outage:
        """The reason why sessions cannot be opened."""
        return self._outage

    @property
    def _has_idle(self) -> bool:
        pool: Any = self._engine.pool
        return pool.checkedin() > 0  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _session(self, binding: Binding) -> Iterator[tuple[Connection, Transaction]]:
        """Lend a session in which a transaction has begun.

        Raises:
            NotOpenedError: no session can be opened, and no thread has one to wait for.
        """
        while (begun := self._begun(binding)) is None:
            pass
        connection, transaction = begun
        try:
            with connection:
                yield connection, transaction
        finally:
            with self._freed:
                self._lent -= 1
                self._freed.notify_all()

    def _begun(self, binding: Binding) -> tuple[Connection, Transaction] | None:
        """Begin a transaction in a session; None if that failed, and another thread has a session to wait for.

        Raises:
            NotOpenedError: as `_session`.
        """
        self._wait_for_turn()
        connection = None
        try:
            connection = self._engine.connect()
            connection.begin()  # SQLAlchemy sessions join it, by savepoints
            transaction = Transaction(connection, binding)
        except Exception as error:
            if connection is not None:
                with contextlib.suppress(Exception):  # whatever its state, the connection is dropped
                    connection.invalidate()
                    connection.close()
            self._engine.dispose()  # else its pool counts the lost session as idle until it is reopened
            if self._note_failure(error):
                return None
            raise NotOpenedError from error
        self._note_success()
        return connection, transaction

    def _wait_for_turn(self) -> None:
        """Wait until a session is idle or may be opened: in an outage one thread at a time tries, after each pause.

        Raises:
            NotOpenedError: as `_session`.
        """
        with self._freed:
            while self._outage.failures and not self._has_idle:
                seconds = self._again_at - monotonic()
                if seconds <= 0 and not self._trying:
                    break
                if not self._lent:
                    raise NotOpenedError
                self._freed.wait(max(seconds, LOOK_AGAIN_SECONDS))
            self._lent += 1
            self._trying += 1

    def _note_failure(self, error: Exception) -> bool:
        """Postpone the next try, unless another thread just has; return whether other threads have sessions."""
        with self._freed:
            self._lent -= 1
            self._trying -= 1
            self._freed.notify_all()
            if monotonic() >= self._again_at:
                self._outage.goes_on(error)
                self._opened_before = self._opened
                self._again_at = monotonic() + self._outage.pause()
            return self._lent > 0

    def _note_success(self) -> None:
        """End the outage if a session was opened since it began: older sessions prove nothing."""
        with self._freed:
            self._trying -= 1
            self._freed.notify_all()
            if self._outage.failures and self._opened > self._opened_before:
                self._outage.is_over()
                self._again_at = 0.0

    def rehearse(self, binding: Binding, columns: tuple[str, ...]) -> None:
        """Run a settle without rows, to find out whether outcomes that set these columns can be written now.

        Raises:
            psycopg.Error: they cannot; no row is at fault.
        """
        with self.begin(binding) as transaction:
            transaction.rehearse(columns)

    def warm(self) -> None:
        """Open a connection in advance, without waiting for it; if that fails, it is opened when needed."""
        threading.Thread(target=self._open_first, name="poller opens", daemon=True).start()

    def _open_first(self) -> None:
        with contextlib.suppress(Exception), self._engine.connect():
            pass

    def end(self, pid: int, then: Callable[[], None]) -> None:
        """End by force a transaction whose handler does not end; does not wait, since the database may be silent.

        Args:
            pid: the backend of its session.
            then: called once it has ended, or cannot be ended.
        """
        threading.Thread(target=self._terminate, args=(pid, then), name="poller ends", daemon=True).start()

    def _terminate(self, pid: int, then: Callable[[], None]) -> None:
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute(
                "select pg_catalog.pg_terminate_backend(%s, 5000)", [pid]
            )  # returns once the backend is gone
        then()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    def _open(self) -> LentConnection:
        connection = self._connect()
        assert isinstance(connection, LentConnection)  # noqa: S101 - what a handler does to another kind would stay
        try:
            # Inserts by handlers must wake the workers, unlike poller's own moves; the watchdog enforces timeouts.
            connection.execute("select pg_catalog.set_config('poller.quiet', '', false)")
            _ = connection.session  # what it is like now
            connection.autocommit = False
            self._opened += 1
        except BaseException:
            connection.close()
            raise
        return connection


class Transaction:
    """One transaction, and the rows of one handler in it.

    Attributes:
        pid: the backend of its session.
        is_alive: after a failure: whether its connection lives.
        is_over: whether it has been committed or rolled back.
        form: the binding as it was when rows were locked, which reads them.
    """

    def __init__(self, connection: Connection, binding: Binding) -> None:
        self._connection = connection
        self._binding = self.form = binding
        self._driver = _driver(connection)
        self._clean = self._driver.session
        self._settlements = Settlements(Borrowed(self._driver))
        self._options = connection.get_execution_options()
        self._timeout = f"{binding.handler.timeout + 5:.0f}s"
        self._is_dirty = False  # a handler has had the connection since the last reset
        self._has_savepoint = False  # a row's savepoint is still open; the next round trip releases it
        self.is_alive = False
        self.is_over = False
        self.pid = self._driver.info.backend_pid
        self._clean.tags.clear()
        self._run(self._clean.statement(self._timeout, discard=True), _OWN)

    @property
    def is_spent(self) -> bool:
        """Whether the next row needs another transaction, because a handler left state that cannot be reset."""
        return self._is_dirty and (
            self._clean.ends_transaction
            or not self._is_whole
            or self._connection.get_execution_options() != self._options
        )

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, with the work of all rows."""
        return self._driver.closed

    @property
    def keeps_connection(self) -> bool:
        """Whether other transactions can use the connection."""
        return self._is_whole and not self._clean.ends_connection

    @property
    def _is_whole(self) -> bool:
        """Whether handlers have left the connection in its wrapper: one can detach, invalidate or close that."""
        if self._connection.closed or self._connection.invalidated:
            return False
        pooled: Any = self._connection.connection
        return not pooled.is_detached and pooled.dbapi_connection is self._driver

    def lock(self, tasks: Sequence[Task]) -> dict[str, tuple[Any, ...]]:
        """Lock the rows of tasks; return those that are unchanged since the claim, by their keys."""
        asked = {"keys": texts([task.key for task in tasks])}
        self.form = self._binding.as_now()
        answer = fetch(self._driver, self.form.lock_rows, asked)
        return {row[0]: row for row in answer.rows}

    @contextlib.contextmanager
    def row(self, context: Context, given: Any) -> Iterator[None]:
        """Give a handler the connection; undo what it has written if the block raises.

        Args:
            context: the context through which it gets the connection.
            given: the row or rows that it gets: instances of a mapped class are added to its session.

        Raises:
            PollerError: the handler has ended the transaction, which is not its own to end.
            BaseException: what the user's types raise when the session is flushed.
        """
        loan = _Loan(self, self._connection)
        entity = self._binding.handler.entity
        instances = [] if entity is None else given if isinstance(given, list) else [given]
        try:
            if instances:
                loan.session.add_all(instances)
            context.lend(loan)
            yield
            if entity is not None:
                entity.refuse_moved(instances, loan.session)
            loan.end()
        except BaseException:
            loan.undo()
            raise
        finally:
            self._take_back()
            context.lend(None)

    def begin_row(self) -> None:
        """Make a savepoint, in a clean session."""
        self._run(*self._cleanup(discard=True), _USERS, "savepoint poller_row")
        self._is_dirty = True
        self._driver.lend()

    def require_connection(self) -> None:
        """Refuse to keep what a handler has written that has closed the connection.

        Raises:
            PollerError: it has.
        """
        if self._driver.is_given_up or self._driver.closed or self._connection.closed:
            raise PollerError(NOT_YOURS_TO_CLOSE)

    def end_row(self) -> None:
        """Keep what was written since the savepoint.

        Raises:
            PollerError: the transaction has ended, or one of its statements failed and the handler hid that.
        """
        status = self._driver.info.transaction_status
        if status == TransactionStatus.IDLE:
            raise PollerError(NOT_YOURS)
        if status != TransactionStatus.INTRANS:
            msg = "a statement of the handler failed and the handler continued: wrap the statement in begin_nested()"
            raise PollerError(msg)
        self._has_savepoint = True

    def undo_row(self) -> None:
        """Undo what was written since the savepoint."""
        self._take_back()
        if not self._driver.closed:  # else all is undone
            self._run(_UNDO)

    def _take_back(self) -> None:
        """End what a handler may do with the connection, and what it has noted there."""
        if self._driver.is_lent:
            self._driver.take_back()
            if self._is_whole:
                self._connection.info.clear()

    def settle(self, results: Sequence[Result]) -> Settled:
        """Write the outcomes; return what became of each row.

        Raises:
            LeaseLostError: the lease had ended.
            psycopg.Error: Postgres refuses one of them.
        """
        if cleanup := self._cleanup(discard=False):
            self._run(*cleanup, _OWN)
        groups: dict[tuple[str, ...], list[Result]] = {}
        for result in results:
            groups.setdefault(tuple(result.outcome.columns), []).append(result)
        parts = [self._settlements.settle(group) for group in groups.values()]
        self._run("set constraints all immediate")  # now, so that an error can be attributed to these rows
        settled = Settled(
            [result for part in parts for result in part.results],
            [what for part in parts for what in part.became],
        )
        if Became.LATE in settled.became:
            msg = f"{self._binding}: the lease had ended; its transaction was rolled back"
            raise LeaseLostError(msg)
        return settled

    def rehearse(self, columns: tuple[str, ...]) -> None:
        """Find out whether outcomes that set these columns can be written now; write nothing.

        Raises:
            psycopg.Error: they cannot.
        """
        self._settlements.rehearse(self._binding, columns)

    def _cleanup(self, *, discard: bool) -> list[str]:
        """Return the statements that end the last row and reset the session, if needed."""
        ended = ["release savepoint poller_row"] if self._has_savepoint else []
        cleaned = [self._clean.statement(self._timeout, discard=discard)] if self._is_dirty else []
        self._has_savepoint = self._is_dirty = False
        return [*ended, *cleaned]

    def _run(self, *statements: str) -> None:
        """Run statements in one round trip; several cannot be prepared."""
        if statements:
            self._driver.execute("; ".join(statements), prepare=False)


class _Loan:
    """The connection on loan to one row's handler; the savepoint is made when the handler first asks for it."""

    def __init__(self, transaction: Transaction, connection: Connection) -> None:
        self._transaction = transaction
        self._connection = connection
        self._session: Session | None = None
        self._is_used = False

    @property
    def connection(self) -> Connection:
        """The connection."""
        if not self._is_used:
            self._transaction.begin_row()
            self._is_used = True
        return self._connection

    @property
    def session(self) -> Session:
        """A session on it."""
        if self._session is None:
            self._session = Session(self.connection, join_transaction_mode="create_savepoint")
        return self._session

    def end(self) -> None:
        """Keep what was written.

        Raises:
            PollerError: the connection, or the transaction, is not as it was lent.
        """
        if self._is_used:
            self._transaction.require_connection()
        if self._session is not None:
            self._session.commit()
            self._session.close()
        if self._is_used:
            self._leave_savepoints()
            self._transaction.end_row()

    def undo(self) -> None:
        """Undo what was written."""
        if self._session is not None:
            with contextlib.suppress(Exception):  # errors about savepoints that ours took along
                self._session.close()
        if self._is_used:
            with contextlib.suppress(Exception):  # as above
                self._leave_savepoints()
            self._transaction.undo_row()

    def _leave_savepoints(self) -> None:
        """Roll back the savepoints that the handler began with `begin_nested` and did not end."""
        while (nested := self._connection.get_nested_transaction()) is not None:
            nested.close()


def _driver(connection: Connection) -> LentConnection:
    driver = connection.connection.dbapi_connection  # `driver_connection` is None once it is detached
    assert isinstance(driver, LentConnection)  # noqa: S101 - we have opened it
    return driver


def _drop(connection: Connection, driver: LentConnection) -> None:
    """Close a connection instead of keeping it, whatever a handler has done to it."""
    for _ in range(2):  # the first may end at the transaction, which is over
        with contextlib.suppress(Exception):
            connection.close()
    driver.close()
