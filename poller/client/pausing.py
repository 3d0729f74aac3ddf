"""Pauses a job, or the handlers of a table, across the whole fleet, until it is resumed or a time has passed.

What may be trusted: once a pause of handlers is committed no claim that begins takes any of their rows, since the claim
itself checks (`poller.take`). Rows that a worker has claimed before and not begun are given back once it learns of
the pause, at the latest when it next looks; running ones end normally. A planner ends a job's pause whose time is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from poller.client import jobs
from poller.client.job_queries import JobQueries
from poller.client.one_round import OneRound, Question
from poller.client.refusals import NothingSelectedError
from poller.client.row_queries import RowQueries
from poller.client.selector import is_named, of_table, refuse_unfinished
from poller.db.statements import array, statement
from poller.duration import seconds
from poller.errors import ConfigurationError
from poller.jobs.run import TABLE as RUNS
from poller.model.table_name import split_off_table, table_name
from poller.spelling import nearest
from poller.store.drain_counts import PausedHandler as Pause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import psycopg

    from poller.client.jobs import Paused, Resumed
    from poller.client.row_queries import Known
    from poller.duration import Duration

LONGEST_SECONDS = 36525 * 86400.0  # the range of Postgres' timestamps, and of Python's calendar


@dataclass(frozen=True, slots=True)
class HandlersPaused:
    """Handlers that are paused.

    Attributes:
        name: the table, or table and status, as they were named.
        handlers: each as `table:status`.
        changed: one of them was not paused before, or had another end.
        in_flight: how many of their rows workers hold; those that have begun will end.
        until: when the pause ends by itself; None if it does not.
    """

    name: str
    handlers: tuple[str, ...]
    changed: bool
    in_flight: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class HandlersResumed:
    """Handlers that are not paused; `changed`: one of them was."""

    name: str
    handlers: tuple[str, ...]
    changed: bool


def pause(
    connection: psycopg.Connection[Any],
    name: str,
    duration: Duration | float | None,
    person: str | None,
    *,
    is_handler: bool,
) -> tuple[Paused | HandlersPaused, int]:
    """Pause a job, or handlers; these alone, if that is said. Return the answer, and how many were changed.

    Raises:
        NothingSelectedError: neither a job nor a handler has the name.
        ConfigurationError: the duration is not valid.
    """
    given = _checked(duration)
    queries = JobQueries(connection)
    if not is_handler and queries.job(name) is not None:
        done = jobs.pause(queries, name, given)
        return done, int(done.changed)
    chosen = _handlers(queries, name)
    asked = {"handlers": array(each.id for each in chosen), "seconds": given, "person": person}
    changed = connection.execute(statement("pause_handlers"), asked).rowcount
    if changed:
        queries.wake()
    row = connection.execute(statement("in_hand_of"), asked).fetchone()
    ends = [each.until for each in pauses(connection, (each.id for each in chosen)).values()]
    until = None if None in ends else max((each for each in ends if each is not None), default=None)
    return HandlersPaused(name, _names(chosen), changed > 0, row[0] if row else 0, until), changed


def resume(
    connection: psycopg.Connection[Any], name: str, *, is_handler: bool
) -> tuple[Resumed | HandlersResumed, int]:
    """Resume a job, or handlers; these alone, if that is said. Return the answer, and how many were paused.

    Raises:
        NothingSelectedError: neither a job nor a handler has the name.
    """
    queries = JobQueries(connection)
    if not is_handler and queries.job(name) is not None:
        done = jobs.resume(queries, name)
        return done, int(done.changed)
    chosen = _handlers(queries, name)
    asked = {"handlers": array(each.id for each in chosen)}
    changed = connection.execute(statement("resume_handlers"), asked).rowcount
    if changed:
        queries.wake()
    return HandlersResumed(name, _names(chosen), changed > 0), changed


def pauses(connection: psycopg.Connection[Any], handlers: Iterable[int]) -> dict[int, Pause]:
    """Return the pause of each handler that is paused now, by its number."""
    return by_handler(OneRound(connection, ()).rows(paused(handlers)))


def paused(handlers: Iterable[int]) -> Question:
    """Return the question which of these handlers are paused."""
    return Question(statement("paused"), {"handlers": array(handlers)}, class_row(Pause))


def by_handler(found: Iterable[Pause]) -> dict[int, Pause]:
    """Return pauses by the numbers of their handlers."""
    return {each.handler_id: each for each in found}


def lasting(duration: Duration | float | None) -> str | None:
    """Return how long a pause lasts, to the second: it is written down; None if it has no end."""
    given = _checked(duration)
    return None if given is None else f"for {timedelta(seconds=round(given))}"


def _checked(duration: Duration | float | None) -> float | None:
    if duration is None:
        return None
    given = float(duration) if isinstance(duration, int | float) else seconds(duration)
    if not 0 < given <= LONGEST_SECONDS:
        msg = f"a pause must last more than 0s and at most {LONGEST_SECONDS / 86400:.0f}d"
        raise ConfigurationError(msg)
    return given


def _handlers(queries: JobQueries, name: str) -> list[Known]:
    """Return the handlers of a table, or of a table and a status; never those that run jobs.

    Raises:
        NothingSelectedError: there is none, or there is more than one table of that name.
    """
    every = RowQueries(queries.connection).known_handlers()
    known = [each for each in every if each.table != str(RUNS)]
    table, status = split_off_table(name)
    handlers = of_table(table, known) if _is_one(table, known) else []
    refuse_unfinished(name, [each.status for each in handlers])
    chosen = [each for each in handlers if status in (None, each.status)]
    if chosen:
        return chosen
    is_job = queries.job(name) is not None  # and handlers alone were meant
    msg = f"{name} is a job" if is_job else no_such(name, [*queries.names(), *_names(known)])
    raise NothingSelectedError(msg)


def _is_one(table: str, known: Sequence[Known]) -> bool:
    try:
        wanted = table_name(table)
    except ConfigurationError:  # a job may have any name
        return False
    return any(is_named(each.table, wanted) for each in known)


def no_such(name: str, known: Sequence[str]) -> str:
    """Return the refusal of a name that no job and no handler has, with those that come near."""
    near = ", ".join(nearest(name, sorted(known), most=20))
    hint = f"known: {near}" if near else "no program has registered any here yet"
    return f"no job or handler is named {name!r}; {hint}"


def _names(handlers: Sequence[Known]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{each.table}:{each.status}" for each in handlers))
