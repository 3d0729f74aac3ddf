"""The ready-made jobs that keep tables small and true: `purge` deletes old rows, `age_out` moves them on.

Both are a `Rule`: which rows are old, and what becomes of them. A rule is what the job runs (`rule(run)`),
and what the command line and `poller check` hold in hand; `purging` does the work. Nothing is remembered
between runs, since what is done is seen in the table: a run that was ended, whatever ended it, is taken up by
the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from poller.duration import Duration, seconds, words
from poller.errors import ConfigurationError
from poller.jobs.job import Job, When, ready_made
from poller.model.answers import status_text
from poller.model.expressions import column as column_of
from poller.model.handler import TableName, calling_place, core_of, table_name, where_of
from poller.model.mapped import Mapped, is_mapped

if TYPE_CHECKING:
    import logging
    from contextlib import AbstractContextManager

    import psycopg

    from poller.ready_made.purge_run import Done

ATTEMPTS = 3  # of a run, unless the options say otherwise: it goes on where it stopped
LARGEST_BATCH = 100_000
OLDEST = 36_525 * 86_400.0  # a hundred years, as for schedules: anything older is a slip


class Cancelled(Protocol):
    """What tells that a run is to stop."""

    def __bool__(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is to stop, for so many seconds at most; return whether it is."""
        ...


class Working(Protocol):
    """What a rule needs of a `Run`; the command line brings its own."""

    @property
    def cancelled(self) -> Cancelled:
        """Whether to stop."""
        ...

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """Where to say what went wrong."""
        ...

    def tell(self, line: str) -> None:
        """Say what was done: it is kept with the run, whatever the log's level."""
        ...

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far it has come, in rows; the total is an estimate."""
        ...

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Open a connection in autocommit mode, which is the rule's alone."""
        ...


class Move(NamedTuple):
    """From which status to which a row goes once it is old."""

    column: str
    status: str
    to: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of a table are old, and what becomes of them. Durations are seconds.

    Attributes:
        table: the table.
        column: the timestamp or date that tells a row's age; a row without one is never old.
        older_than: how old a row must be.
        where: a further condition on the table's own columns, or None.
        move: the status that old rows get; None deletes them.
        batch: how many rows one transaction takes at the most.
        pause: how long to wait between two of them.
    """

    table: TableName
    column: str
    older_than: float
    where: str | None
    move: Move | None
    batch: int
    pause: float

    def __call__(self, run: Working) -> Done:
        """Do it once, and log what was done.

        Raises:
            ConfigurationError: the rule does not fit its table; nothing was changed.
            purging.StoppedError: the run was cancelled; says what was done until then.
            psycopg.Error: the database went away, say. What was done stays done.
        """
        from poller.ready_made.purge_run import Purging  # noqa: PLC0415 - who imports the face does not wait for psycopg

        with run.connect() as connection:
            return Purging(connection, self, run).all()

    def __str__(self) -> str:
        """Return what it does, in words: `deletes the rows of audit whose created_at is older than 180d`."""
        what = "deletes the rows" if self.move is None else f"moves the {self.move.status} rows"
        to = "" if self.move is None else f" to {self.move.to}"
        return f"{what} of {self.table} whose {self.column} is older than {words(self.older_than)}{to}"

    def check(self, connection: psycopg.Connection[Any]) -> None:
        """Hold the rule against its table, as each run does before it changes anything.

        Raises:
            ConfigurationError: there is no such table or column, it has no primary key, the column tells no
                time, a status is none that the table allows, `where` is no condition on it, or a grant is
                missing.
        """
        from poller.ready_made import old_rows  # noqa: PLC0415 - as above

        old_rows.bind(connection, self)

    def count(self, connection: psycopg.Connection[Any]) -> int:
        """Return how many rows are old now.

        Raises:
            ConfigurationError: as for `check`.
        """
        from poller.ready_made import old_rows, ranges  # noqa: PLC0415 - as above

        return ranges.count(connection, old_rows.bind(connection, self))[0]

    def advice(self, connection: psycopg.Connection[Any]) -> str | None:
        """Return the index that would save each run from reading the whole table, or None if there is one.

        Raises:
            ConfigurationError: as for `check`.
        """
        from poller.ready_made import old_rows, ranges  # noqa: PLC0415 - as above

        return ranges.advice(connection, old_rows.bind(connection, self))


def purge(  # noqa: PLR0913 - the contract's options
    table: object,
    *,
    column: Any,
    older_than: Duration,
    schedule: When | None = None,
    where: Any = None,
    name: str | None = None,
    batch: int = 1000,
    pause: Duration = "50ms",
    **options: Any,
) -> Job:
    """Make a job that deletes old rows, in small batches, without holding up anybody else.

    Rows that others have locked, or handlers have in hand, are left for the next run; rows that foreign keys
    need are kept and reported.
    If the table is partitioned by ranges of the column, whole partitions are dropped.

    Args:
        table: `"name"`, `"schema.name"`, a SQLAlchemy `Table` or a mapped class.
        column: the timestamp or date that tells a row's age. One without time zone is read in the database's; where it
            is null the row is never old.
        older_than: how old a row must be, by the database's clock at the start of the run.
        schedule: when it runs: `cron(…)`, `fixed_delay(…)`, `fixed_rate(…)`.
        where: a further condition on the table's own columns, in SQL or as an expression of SQLAlchemy's.
        name: the job's name; by default `purge <table>`.
        batch: how many rows one transaction takes at the most; fewer if that takes long.
        pause: how long to wait between two of them.
        **options: as for any job; see `job.options`. A run has 3 attempts, since it goes on where it stopped.

    Raises:
        ConfigurationError: an option that cannot work. What needs the database for that is said by the run,
            before anything is changed, and by `poller check`.
    """
    rule = _rule(table, column, older_than, where, None, batch, pause)
    return ready_made(rule, name or f"purge {rule.table}", schedule, options, default_attempts=ATTEMPTS)


def age_out(  # noqa: PLR0913 - the contract's options
    table: object,
    *,
    column: Any,
    older_than: Duration,
    status: object,
    to: object,
    status_column: str = "status",
    schedule: When | None = None,
    where: Any = None,
    name: str | None = None,
    batch: int = 1000,
    pause: Duration = "50ms",
    **options: Any,
) -> Job:
    """Make a job that gives old rows another status, in small batches.

    Args:
        table: as for `purge`.
        column: as for `purge`.
        older_than: as for `purge`.
        status: the status of the rows that age: a text, int, bool or `Enum` member.
        to: the status they get.
        status_column: the column it stands in.
        schedule: as for `purge`.
        where: as for `purge`.
        name: the job's name; by default `age out <table>`.
        batch: as for `purge`.
        pause: as for `purge`.
        **options: as for any job; see `job.options`.

    Raises:
        ConfigurationError: as for `purge`.
    """
    rule = _rule(table, column, older_than, where, (status_column, status, to), batch, pause)
    return ready_made(rule, name or f"age out {rule.table}", schedule, options, default_attempts=ATTEMPTS)


def _rule(  # noqa: PLR0913, PLR0917 - what both jobs have
    table: object,
    column: Any,
    older_than: Duration,
    where: Any,
    move: tuple[str, object, object] | None,
    batch: int,
    pause: Duration,
) -> Rule:
    """Make a rule for the module that called our caller.

    Raises:
        ConfigurationError: an option that cannot work; the text begins with the place of that call.
    """
    try:
        core = core_of(table)
        shared = is_mapped(table) and core is not None and cast("Any", table).__mapper__.single
        entity = Mapped(table, "") if shared else None
        made = Rule(
            table=table_name(table),
            column=column_of("column", column, core, str),
            older_than=seconds(older_than),
            where=where_of(where, entity, core),
            move=None if move is None else Move(move[0], status_text(move[1]), status_text(move[2])),
            batch=batch,
            pause=seconds(pause),
        )
        check_options(made)
    except (ConfigurationError, TypeError) as error:
        msg = f"{calling_place()}: {error}"
        raise ConfigurationError(msg) from None
    return made


def check_options(rule: Rule) -> None:
    """Refuse what cannot work, whatever the database says.

    Raises:
        ConfigurationError: with the reason.
    """
    names = {"column": rule.column, "where": rule.where or "true"}
    if rule.move is not None:
        names["status_column"] = rule.move.column
        if rule.move.status == rule.move.to:
            msg = f"to is {rule.move.to!r}, the status the rows already have"
            raise ConfigurationError(msg)
    for option, text in names.items():
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            msg = f"{option} must be a text, got {text!r}"
            raise ConfigurationError(msg)
    if not 0 < rule.older_than <= OLDEST:
        msg = f"older_than must be more than 0s and at most 36525d, got {rule.older_than:g}s"
        raise ConfigurationError(msg)
    if (
        isinstance(rule.batch, bool)
        or not isinstance(rule.batch, int)
        or not 1 <= rule.batch <= LARGEST_BATCH
    ):
        msg = f"batch must be a number from 1 to {LARGEST_BATCH}, got {rule.batch!r}"
        raise ConfigurationError(msg)
