"""Creates schedules at run time: `schedule(connection, job, …)`, in the user's own transaction.

Such a schedule is a row of `poller.job` that names a declared job, whose function its runs call, and their
arguments. It is there if the user's transaction commits, and a planner sees it within a second of that. It can
run only what some program declares, so that nothing but names and JSON is stored.
"""

from __future__ import annotations

import difflib
import json
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from psycopg import errors

from poller.db.statements import statement
from poller.db.users_connection import follow
from poller.errors import ConfigurationError, DatabaseError
from poller.jobs.job import Job, When
from poller.jobs.options import CheckedOptions
from poller.schedules import slots, wall_clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from datetime import datetime

    from poller.db.users_connection import Script
    from poller.model.context import Awaited, Given
    from poller.schedules.slots import Schedule

LONGEST_NAME_CHARACTERS = 200
SHORTEST_PERIOD_SECONDS = 1.0  # between two slots
_MOST_NAMED = 10  # names in one line
_ALIKE = 0.7  # how near a name must come to be offered, from 0 to 1
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON; Postgres' text has none


class _Rules(NamedTuple):
    """How the slots of a schedule are planned; durations are seconds."""

    overlap: str
    misfire: str
    grace: float
    jitter: float
    starts_at: datetime | None
    ends_at: datetime | None
    keep: float

    @classmethod
    def of(cls, options: CheckedOptions) -> _Rules:
        return cls(**{name: getattr(options, name) for name in cls._fields})


@overload
def schedule(
    connection: Awaited,
    job: Job | str,
    *,
    when: When | str | None = None,
    at: datetime | None = None,
    args: Mapping[str, Any] | None = None,
    name: str | None = None,
    tz: str = "UTC",
) -> Awaitable[str]: ...


@overload
def schedule(
    connection: Given | Any,
    job: Job | str,
    *,
    when: When | str | None = None,
    at: datetime | None = None,
    args: Mapping[str, Any] | None = None,
    name: str | None = None,
    tz: str = "UTC",
) -> str: ...


def schedule(  # noqa: PLR0913 - the contract's options
    connection: Any,
    job: Job | str,
    *,
    when: When | str | None = None,
    at: datetime | None = None,
    args: Mapping[str, Any] | None = None,
    name: str | None = None,
    tz: str = "UTC",
) -> str | Awaitable[str]:
    """Create a schedule of a declared job, or update the one of that name; nothing is committed.

    Args:
        connection: of psycopg 3, or SQLAlchemy's (a session, too) or Django's on it. With one that is awaited, such
            as an `AsyncSession`, so is this: `await schedule(…)`.
        job: the job whose function runs, or its name.
        when: `cron(…)`, `fixed_rate(…)` or `fixed_delay(…)`, whose options on planning and keeping hold for the
            schedule; or a text such as `"0 3 * * *"`, `"@every 5m"` or `"@after 5m"`, with those of the job.
        at: run once, at this time; at once if it has passed.
        args: what the function is called with; JSON.
        name: the schedule's name; a one-off is given one if it has none.
        tz: the IANA zone of a `when` that is a text.

    Returns:
        The name, for `poller jobs`, `pause`, `resume`, `trigger` and `jobs remove`.

    Raises:
        ConfigurationError: it cannot work as given, or the name is a declared job's.
        DatabaseError: the database has no schema poller.

    >>> from datetime import UTC, datetime
    >>> schedule("postgres://localhost/shop", "backup", at=datetime.now(UTC))
    Traceback (most recent call last):
    poller.errors.ConfigurationError: schedule() needs a connection of psycopg 3, or ...; got str
    """
    plan = _plan(when, at, tz)
    refuse_haste(plan)
    function = _function(job)
    arguments = _arguments(job, args)
    if name is None and isinstance(when, When):
        name = when.options.name
    asked = {
        "name": _name(name, function, plan),
        "function": function,
        "schedule": str(plan),
        "tz": plan.tz if isinstance(plan, slots.Cron) else "UTC",
        "at": plan.instant if isinstance(plan, slots.At) else None,
        "args": arguments,
    }
    return follow(connection, _entering(asked, job, when, plan), "schedule()")


def refuse_haste(plan: Schedule) -> None:
    """Refuse a schedule made at run time with more than a run a second: its creator need not be an operator.

    Raises:
        ConfigurationError: it does.
    """
    match plan:
        case slots.Every(period) | slots.FixedDelay(period) if period < SHORTEST_PERIOD_SECONDS:
            msg = f"a schedule made at run time needs a period of 1s or more, got {plan.written}"
            raise ConfigurationError(msg)


def as_json(value: Any, what: str) -> str:
    """Return a value as JSON that Postgres accepts.

    Raises:
        ConfigurationError: the value has no such JSON; the text begins with `what`.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{what} must be JSON: {error}"
        raise ConfigurationError(msg) from None
    if _NUL.search(text):
        msg = f"{what} must be JSON without the character \\u0000, which Postgres cannot store"
        raise ConfigurationError(msg)
    return text


def no_such_job(name: str, known: Iterable[str]) -> str:
    """Return the error for an unknown job's name, with the names that may have been meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 3, _ALIKE)
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    elif names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        hint = f"known: {', '.join(names[:_MOST_NAMED])}{more}"
    else:
        hint = "no program that declares jobs has run on this database yet"
    return f"there is no job {name!r}; {hint}"


# --- what is asked for --------------------------------------------------------------------------------


def _plan(when: When | str | None, at: datetime | None, tz: str) -> Schedule:
    if (when is None) == (at is None):
        msg = "schedule() takes either when= or at="
        raise ConfigurationError(msg)
    if at is not None:
        if not hasattr(at, "tzinfo") or not hasattr(at, "astimezone"):
            msg = f"at must be a datetime with its time zone, got {at!r}"
            raise ConfigurationError(msg)
        wall_clock.zone(tz)
        return slots.At(at)
    if not isinstance(when, When):
        return slots.parse(when or "", tz)
    if when.schedule is None:
        msg = "when= has no schedule; give cron(…), fixed_rate(…) or fixed_delay(…)"
        raise ConfigurationError(msg)
    if tz != "UTC":
        msg = f"tz={tz!r} is for a when= that is a string; write cron(…, tz={tz!r})"
        raise ConfigurationError(msg)
    return when.schedule


def _function(job: Job | str) -> str:
    if not isinstance(job, Job | str):
        msg = f"schedule() takes a job, such as one made by @job(), or a job's name; got {job!r}"
        raise ConfigurationError(msg)
    return str(job)


def _arguments(job: Job | str, given: Mapping[str, Any] | None) -> str:
    named = dict(given) if isinstance(given, Mapping) else given or {}
    if not isinstance(named, dict) or not all(isinstance(each, str) for each in named):
        msg = f"args must be a dict of arguments by their names, got {given!r}"
        raise ConfigurationError(msg)
    if isinstance(job, Job):
        job.check_arguments(named)
    return as_json(named, f"the arguments of {job}")


def _name(given: str | None, function: str, plan: Schedule) -> str:
    if given is None:
        if not isinstance(plan, slots.At):
            msg = "a recurring schedule needs name=, so that it can be edited and removed"
            raise ConfigurationError(msg)
        suffix = f"-{secrets.token_hex(4)}"
        return function[: LONGEST_NAME_CHARACTERS - len(suffix)] + suffix
    if not isinstance(given, str) or not given.isprintable() or not 0 < len(given) <= LONGEST_NAME_CHARACTERS:
        msg = f"name must be a printable string of up to {LONGEST_NAME_CHARACTERS} characters, got {given!r}"
        raise ConfigurationError(msg)
    if given == function:
        raise ConfigurationError(_taken(given))
    return given


def _taken(name: str) -> str:
    return f"{name!r} is the name of a declared job; give the schedule another"


def _entering(
    asked: Mapping[str, Any], job: Job | str, when: When | str | None, plan: Schedule
) -> Script[str]:
    """Insert or update a schedule, as a script for any kind of connection; return its name."""
    rules = yield from _rules(job, when, plan)
    name: str = asked["name"]
    if (yield from _row("enter_schedule", {**asked, **rules._asdict()})) is None:
        raise ConfigurationError(_taken(name))
    return name


def _rules(job: Job | str, when: When | str | None, plan: Schedule) -> Script[_Rules]:
    """Return the rules of the `When`, else of the job, as far as they apply to the schedule."""
    found = _Rules.of(job.options) if isinstance(job, Job) else (yield from _rules_in_database(job))
    if isinstance(when, When):
        _refuse_foreign(when.options)
        found = _Rules.of(when.options)
    if isinstance(plan, slots.At):  # its time is its own, and late is better than never
        return found._replace(misfire="latest", starts_at=None, ends_at=None)
    if isinstance(plan, slots.FixedDelay):
        if isinstance(when, When) and found.overlap in ("queue", "replace"):
            msg = "a fixed delay counts from the finish, so it cannot overlap; leave overlap= out"
            raise ConfigurationError(msg)
        return found._replace(overlap="skip")
    return found


def _refuse_foreign(options: CheckedOptions) -> None:
    """Refuse options on how the function runs: they belong to its job, and would be ignored here."""
    given = {
        "after": bool(options.after),
        "on": bool(options.on),
        "timeout": options.timeout != CheckedOptions().timeout,
        "executor": options.executor != CheckedOptions().executor,
        "attempts, wait, stop and retry": any((options.attempts, options.wait, options.stop, options.retry)),
    }
    for option in (name for name, there in given.items() if there):
        msg = f"{option} cannot be given to a schedule made at run time; set it on the job that it runs"
        raise ConfigurationError(msg)


# --- the database -------------------------------------------------------------------------------------


def _rules_in_database(name: str) -> Script[_Rules]:
    row = yield from _row("declared_job", {"name": name})
    if row is None:
        names = yield from _row("job_names", {"all": False})
        raise ConfigurationError(no_such_job(name, names["names"]))
    declared, function = row.pop("declared"), row.pop("function")
    if not declared:
        msg = f"{name!r} is a schedule made at run time; name the job whose function it runs: {function!r}"
        raise ConfigurationError(msg)
    return _Rules(**row)


def _row(name: str, asked: Mapping[str, Any]) -> Script[Any]:
    """Execute a statement of `sql/` and return its first row, if it has one."""
    try:
        return (yield statement(name), asked)
    except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
        msg = "this database has no schema poller that this version knows"
        raise DatabaseError(msg, "old_schema") from error
