"""Writes the outcomes of attempts: every statement here names the lease, and finds it or changes nothing.

Each method runs one statement of `sql/settle/` (a few run more). An instance belongs to one thread, since its link does.
The methods raise psycopg's errors as they are: the caller finds out what an error means (`postponed`).
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from psycopg.rows import tuple_row

from poller.db.connection import Borrowed, OwnCursor, role_of
from poller.db.statements import array, numbers, statement, texts
from poller.db.users_connection import follow
from poller.db.values import text_for
from poller.errors import ConfigurationError, SettleError
from poller.errors_in_words import storable
from poller.model.outcome import Became
from poller.store.lease import Result, Settled
from poller.store.outcomes import SWALLOWED, of_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from poller.db.connection import Link
    from poller.db.users_connection import Script
    from poller.model.answers import Transition
    from poller.store.binding import Binding
    from poller.store.lease import Task

SIMPLE_BATCH_ROWS = 32  # from this number on, rows that simply moved get their own statement

_NAMED = {each.value: each for each in Became}  # as the database calls them
_WHY = {
    Became.LATE: "the lease has ended",
    Became.SUPERSEDED: "another program has changed its status",
    Became.GONE: "it has been deleted",
    Became.REFUSED: SWALLOWED,
}

SAMPLE = (
    16  # attempts of a settle whose time is kept with the minute's counts, which take up to 64 (settle.sql)
)


class ColumnRefusedError(ConfigurationError):
    """This role may move rows of the table, but not set a column that an outcome sets: the fault of that outcome."""


class _Leases:
    """The leases of some results, numbered from 1: most rows of a batch share one.

    Attributes:
        number: of each lease.
        ids: their ids, in that order.
        workers: the ids of their workers, in that order.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        leases = dict.fromkeys([each.task.lease for each in results])
        self.number = {lease: number for number, lease in enumerate(leases, 1)}
        self.ids = [lease.id for lease in leases]
        self.workers = [lease.worker for lease in leases]


class Settlements:
    """The statements that settle, on one link, or on a connection of a transaction."""

    def __init__(self, link: Link | Borrowed) -> None:
        self.link = link

    def settle(self, results: list[Result]) -> Settled:
        """Write outcomes of one handler's rows, which set the same columns, within the caller's transaction.

        What became of each is its verdict, or superseded, gone, refused, late (see `sql/settle/settle.sql`).
        """
        moves = _simple_moves(results)
        became = [Became.MOVED] * len(results)
        rest = set(range(len(results)))
        for places in moves.values():
            moved = self.settle_moved([results[place] for place in places])
            done = zip(places, moved.became, strict=True)
            rest.difference_update(place for place, what in done if what is not Became.LEFT)
        if rest:
            left = sorted(rest)
            each = self.settle_each([results[place] for place in left])
            for place, what in zip(left, each.became, strict=True):
                became[place] = what
        return Settled(results, became)

    def settle_moved(self, results: list[Result]) -> Settled:
        """Settle rows that have simply moved (`simple_status`), all to one status, in one statement.

        It leaves the rows that it could not move to `settle_each`, which finds out why.
        """
        binding, to = results[0].task.binding, results[0].outcome.to
        leases = _Leases(results)
        asked = {
            "handler": binding.id,
            "to_status": to,
            "leases": array(leases.ids),
            "workers": array(leases.workers),
            "key": texts([each.task.key for each in results]),
            "lease_no": numbers([leases.number[each.task.lease] for each in results]),
            "seconds": _seconds(results),
            "sample": _sample(results),
        }
        row = self._own(binding.settle_moved, asked)
        if row == (None,):  # most often
            return Settled(results, [Became.MOVED] * len(results))
        unmoved = set((row and row[0]) or ())
        became = [Became.LEFT if each.task.key in unmoved else Became.MOVED for each in results]
        return Settled(results, became)

    def settle_each(self, results: list[Result], *, only_free: bool = False) -> Settled:
        """Settle rows of one handler whose outcomes set the same columns, in one statement.

        Args:
            results: their results.
            only_free: leave out rows that other transactions have locked, instead of waiting; they become `LOCKED`.

        Raises:
            Exception: a value may fail in any way on its way to Postgres.
        """
        first = results[0]
        binding, columns = first.task.binding, tuple(first.outcome.columns)
        question = binding.settle(columns, shown=first.task.refusal is None, only_free=only_free)
        row = self._own(question, _settle_parameters(binding, columns, results))
        became = [each.outcome.verdict for each in results]
        for place, what in row[0] if row else ():
            became[place - 1] = _NAMED[what]
        return Settled(results, became)

    def _own(self, question: sql.Composed, asked: Mapping[str, Any]) -> Any:
        """Return the first row of an answer, regardless of the adapters that the connection's owner has registered."""
        if not isinstance(self.link, Borrowed):
            return self.link.connection.execute(question, asked, prepare=True).fetchone()
        self.link.find_own_names()
        with OwnCursor(self.link.connection, row_factory=tuple_row) as cursor:
            return cursor.execute(question, asked, prepare=True).fetchone()

    def _rows(self, question: sql.Composed, asked: Mapping[str, Any]) -> list[Any]:
        if not isinstance(self.link, Borrowed):
            return self.link.connection.execute(question, asked).fetchall()
        with OwnCursor(self.link.connection, row_factory=tuple_row) as cursor:
            return cursor.execute(question, asked).fetchall()

    def rehearse(self, binding: Binding, columns: tuple[str, ...] = ()) -> None:
        """Find out whether outcomes of a handler can be written at all now; write nothing.

        The settle runs without rows, so an error is not about a row, but about a column or a table that was renamed,
        a right that was revoked, a table that is locked, or a server that is read-only or full.

        Args:
            binding: the handler.
            columns: the columns that its outcomes set.

        Raises:
            psycopg.Error: they cannot be written.
            ConfigurationError: one of the columns cannot be set.
        """
        connection = self.link.connection
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(binding.settle(columns), _settle_parameters(binding, columns, ()))
                self.link.find_own_names()
                connection.execute(statement("rehearsal"), {"handler": binding.id})
                connection.execute(binding.statuses, {"statuses": array(binding.handler.to)})
        except errors.InsufficientPrivilege:
            if columns:
                self.rehearse(binding)
                self._refuse_columns(binding, columns)
            raise

    def _refuse_columns(self, binding: Binding, columns: tuple[str, ...]) -> None:
        """Raise if this role may not update some columns.

        Raises:
            ColumnRefusedError: it may not; the text has the grant.
        """
        connection, table = self.link.connection, binding.table
        asked = {"table": table.oid, "columns": array(columns)}
        names = [str(row[0]) for row in self._rows(statement("unsettable"), asked)]
        if names:
            role, listed = role_of(connection), ", ".join(names)
            quoted = ", ".join(sql.Identifier(each).as_string() for each in names)
            grant = f"grant update ({quoted}) on {table.identifier.as_string()} to {role}"
            msg = f"the role {role} may not update {listed} of {table}; run: {grant}"
            raise ColumnRefusedError(msg)

    def who_locks(self, task: Task) -> str | None:
        """Name who holds the lock of a task's row, or of its whole table; None if that is not known."""
        asked = {"key": task.key}
        row = self.link.connection.execute(task.binding.who_locks, asked).fetchone()
        if row is None:
            return None
        pid, role, application, began = row
        # A role sees that of its own sessions only, unless it may see all.
        since = "" if began is None else f", in a transaction since {began:%H:%M:%S} UTC,"
        return f"{holder_of_lock(pid, role, application)}{since}"

    def table_exists(self, binding: Binding) -> bool:
        """Return whether a table of the handler's name exists, even if it is a different table by now."""
        asked = {"table": binding.table.identifier.as_string()}
        row = self.link.connection.execute(statement("table_exists"), asked).fetchone()
        return row == (True,)

    def forfeit(self, leases: Iterable[str]) -> None:
        """Give up leases without an outcome."""
        self.link.connection.execute(statement("forfeit"), {"leases": array(leases)})


def holder_of_lock(pid: int | None, role: str, name: str | None) -> str:
    """Name who holds a lock: a session, or a prepared transaction, which has none and outlives even the server."""
    return (
        f"the prepared transaction {name!r} of {role}"
        if pid is None
        else f"session {pid} of {role} ({name or 'unnamed'})"
    )


def settle_within(
    task: Task, connection: Any, move: Transition, before: Transition | None = None
) -> str | Awaitable[str]:
    """Move one row inside a transaction of the user's; return its status, as the database has it.

    With an async connection the result is awaitable. `before` is the move that this attempt has made already, if any.

    Raises:
        SettleError: it could not be moved; nothing was changed.
        ConfigurationError: this kind of connection cannot be used.
    """
    binding = task.binding
    text_of = text_for(binding.table)
    outcome = of_answer(binding.handler, move, task.attempt, task.age, text_of)
    if outcome.verdict is not Became.MOVED:
        raise SettleError(outcome.error)
    result = Result(task, outcome, monotonic() - task.lease.clock)
    return follow(connection, _moving(result, before), "ctx.settle")


def _moving(result: Result, before: Transition | None) -> Script[str]:
    """Move one row, on any connection that runs this script; return its status.

    Raises:
        SettleError: it could not be moved; nothing was changed.
    """
    task, outcome = result.task, result.outcome
    binding, columns = task.binding, tuple(outcome.columns)
    asked = _settle_parameters(binding, columns, [result])
    row = yield binding.settle(columns, shown=task.refusal is None), asked
    became = Became(dict(row["became"]).get(1, Became.MOVED))
    if became is not Became.MOVED:
        why = _WHY[became]
        if became is Became.LATE and before is not None:
            why = f"ctx.settle has moved it to {before.status!r} before, in this attempt; call it once"
        msg = f"{binding}:{task.key} was not moved to {outcome.to!r}: {why}; roll back"
        raise SettleError(msg)
    assert outcome.to is not None  # noqa: S101 - it moves
    return outcome.to


def simple_status(result: Result) -> str | None:
    """Return the status of a result that simply moves its row, at the first attempt; None for other results."""
    outcome = result.outcome
    is_simple = outcome.verdict is Became.MOVED and outcome.attempt == 1 and not outcome.columns
    return outcome.to if is_simple and not result.task.retaken else None


def _simple_moves(results: Sequence[Result]) -> dict[str, list[int]]:
    """Return the positions of results that simply move their rows, by status; none if there are few."""
    moves: dict[str, list[int]] = {}
    for place, result in enumerate(results):
        status = simple_status(result)
        if status is not None:
            moves.setdefault(status, []).append(place)
    return {status: places for status, places in moves.items() if len(places) >= SIMPLE_BATCH_ROWS}


def _settle_parameters(
    binding: Binding, columns: tuple[str, ...], results: Sequence[Result]
) -> dict[str, Any]:
    """Number the leases and the distinct outcomes; most rows of a batch share both."""
    encoding = binding.encoding
    leases = _Leases(results)
    kinds: dict[tuple[int, bool], int] = {}
    outcomes, kind_no = [], []
    for result in results:
        kind = (id(result.outcome), result.task.retaken)
        number = kinds.get(kind)
        if number is None:
            number = kinds[kind] = len(kinds) + 1
            outcomes.append(result)
        kind_no.append(number)
    asked: dict[str, Any] = {
        "handler": binding.id,
        "leases": array(leases.ids),
        "workers": array(leases.workers),
        "key": texts([each.task.key for each in results]),
        "lease_no": numbers([leases.number[each.task.lease] for each in results]),
        "kind_no": numbers(kind_no),
        "seconds": _seconds(results),
        "sample": _sample(results),
        "verdict": array(each.outcome.verdict.value for each in outcomes),
        "to_status": array(each.outcome.to for each in outcomes),
        "delay": array(each.outcome.delay for each in outcomes),
        "attempt": array(each.outcome.attempt for each in outcomes),
        "error": array(_storable(each.outcome.error, encoding) for each in outcomes),
        "error_kind": array(_storable(each.outcome.kind, encoding) for each in outcomes),
        "error_place": array(_storable(each.outcome.place, encoding) for each in outcomes),
        "traceback": array(_storable(each.outcome.traceback, encoding) for each in outcomes),
        "crashed": array(each.outcome.crashed for each in outcomes),
        "company": numbers(each.outcome.company for each in outcomes),
        "retaken": array(each.task.retaken for each in outcomes),
        "begun": array(each.outcome.begun for each in outcomes),
    }
    for at, name in enumerate(columns):
        asked[f"value_{at}"] = array(each.outcome.columns[name] for each in results)
    return asked


def _seconds(results: Sequence[Result]) -> str:
    return "{" + ",".join([f"{each.seconds:.6f}" for each in results]) + "}"


def _sample(results: Sequence[Result]) -> str:
    """Return the times of a sample of the attempts, for the percentiles."""
    some = results[:: -(-len(results) // SAMPLE) or 1]
    return numbers([round(each.seconds, 6) for each in some if _has_ended(each)])


def _has_ended(result: Result) -> bool:
    """Return whether an attempt has ended by itself, so that its time is representative."""
    return result.outcome.verdict is not Became.RELEASED and not result.outcome.crashed


def _storable(text: str | None, encoding: str) -> str | None:
    return None if text is None else storable(text, encoding)
