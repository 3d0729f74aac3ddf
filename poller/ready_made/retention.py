"""The ready-made jobs for old rows: `purge` deletes them, `age_out` gives them another status.

Both run a `Retention`: a `RetentionRule`, applied to its table. `purge_run` does the work. Nothing is stored between
runs, since the table shows what is done: the next run continues one that ended early, for any reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from poller.duration import Duration, seconds
from poller.errors import ConfigurationError
from poller.jobs.job import Job, When, ready_made
from poller.lazy import lazy
from poller.model.answers import status_text
from poller.model.code_place import calling_place
from poller.model.sqlalchemy_objects import is_mapped
from poller.model.table_name import table_name
from poller.model.table_source import column_of, core_of, where_of
from poller.ready_made.retention_rule import RetentionRule, StatusChange, check_options

if TYPE_CHECKING:
    from typing import Unpack

    import psycopg
    from sqlalchemy import Table

    from poller.jobs.options import RunOptions
    from poller.model import mapped
    from poller.model.options import Expression, Status
    from poller.ready_made import old_rows, purge_run, ranges
    from poller.ready_made.retention_report import RetentionReport, RetentionRun
else:  # importing a handlers package does not wait for the driver
    mapped = lazy("poller.model.mapped")
    old_rows = lazy("poller.ready_made.old_rows")
    purge_run = lazy("poller.ready_made.purge_run")
    ranges = lazy("poller.ready_made.ranges")

ATTEMPTS = 3  # attempts of a run, unless the options say otherwise: it goes on where it stopped


@dataclass(frozen=True, slots=True)
class Retention:
    """The function of a purge or `age_out`: a rule, applied to its table."""

    rule: RetentionRule

    def __call__(self, run: RetentionRun) -> RetentionReport:
        """Apply the rule once, and log the result.

        Raises:
            ConfigurationError: the rule does not fit its table; nothing was changed.
            report.StoppedError: the run was cancelled; says what was done until then.
            psycopg.Error: the database went away, say. What was done stays done.
        """
        with run.connect() as connection:
            return purge_run.Purging(connection, self.rule, run).all()

    def __str__(self) -> str:
        return str(self.rule)

    def check(self, connection: psycopg.Connection[Any]) -> None:
        """Check the rule against its table, as each run does before it changes anything.

        Raises:
            ConfigurationError: there is no such table or column, it has no primary key, the column tells no
                time, a status is none that the table allows, `where` is not a condition on it, or a grant is
                missing.
        """
        old_rows.bind(connection, self.rule)

    def count(self, connection: psycopg.Connection[Any]) -> int:
        """Return how many rows are old now.

        Raises:
            ConfigurationError: as for `check`.
        """
        return ranges.count(connection, old_rows.bind(connection, self.rule))[0]

    def advice(self, connection: psycopg.Connection[Any]) -> str | None:
        """Return the index that would save each run from reading the whole table, or None if there is one.

        Raises:
            ConfigurationError: as for `check`.
        """
        return ranges.advice(connection, old_rows.bind(connection, self.rule))


def purge(  # noqa: PLR0913 - the contract's options
    table: str | Table | type[Any],
    *,
    column: Expression,
    older_than: Duration,
    schedule: When | None = None,
    where: Expression | None = None,
    name: str | None = None,
    batch: int = 1000,
    pause: Duration = "50ms",
    **options: Unpack[RunOptions],
) -> Job[[RetentionRun], RetentionReport]:
    """Make a job that deletes old rows, in small batches, without blocking other sessions.

    Rows that others have locked, or handlers hold, are left for the next run; rows that foreign keys
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
        **options: as for any job; see `RunOptions`. A run has 3 attempts, since it goes on where it stopped.

    Raises:
        ConfigurationError: an option that cannot work. What needs the database for that is said by the run,
            before anything is changed, and by `poller check`.

    >>> old = purge("audit", column="created_at", older_than="180d", schedule=cron("0 3 * * *"))
    >>> old.name
    'purge audit'
    """
    rule = _rule(table, column, older_than, where, None, batch, pause)
    return ready_made(
        Retention(rule), name or f"purge {rule.table}", schedule, options, default_attempts=ATTEMPTS
    )


def age_out(  # noqa: PLR0913 - the contract's options
    table: str | Table | type[Any],
    *,
    column: Expression,
    older_than: Duration,
    status: Status,
    to: Status,
    status_column: str = "status",
    schedule: When | None = None,
    where: Expression | None = None,
    name: str | None = None,
    batch: int = 1000,
    pause: Duration = "50ms",
    **options: Unpack[RunOptions],
) -> Job[[RetentionRun], RetentionReport]:
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
        **options: as for any job; see `RunOptions`.

    Raises:
        ConfigurationError: as for `purge`.

    >>> idle = age_out("users", column="login_at", older_than="90d", status="active", to="disabled")
    >>> idle.name
    'age out users'
    """
    rule = _rule(table, column, older_than, where, (status_column, status, to), batch, pause)
    return ready_made(
        Retention(rule), name or f"age out {rule.table}", schedule, options, default_attempts=ATTEMPTS
    )


def _rule(  # noqa: PLR0913, PLR0917 - what both jobs have
    table: object,
    column: Any,
    older_than: Duration,
    where: Any,
    move: tuple[str, object, object] | None,
    batch: int,
    pause: Duration,
) -> RetentionRule:
    """Make a rule for the module that called our caller.

    Raises:
        ConfigurationError: an option that cannot work; the text begins with the place of that call.
    """
    try:
        core = core_of(table)
        shared = is_mapped(table) and core is not None and cast("Any", table).__mapper__.single
        entity = mapped.Mapped(table, "") if shared else None
        made = RetentionRule(
            table=table_name(table),
            column=column_of("column", column, core, str),
            older_than=seconds(older_than),
            where=where_of(where, entity, core),
            move=None if move is None else StatusChange(move[0], status_text(move[1]), status_text(move[2])),
            batch=batch,
            pause=seconds(pause),
        )
        check_options(made)
    except (ConfigurationError, TypeError) as error:
        msg = f"{calling_place()}: {error}"
        raise ConfigurationError(msg) from None
    return made
