"""poller's own housekeeping: a job that every fleet has purges poller's records, as any purge does.

Rows' history and the counts by minute are kept for 30 days; runs as long as their job says (`keep`), but for the newest
success of each; workers for a day after their death; people's orders and silences for 90 days; episodes for 30 days
after their end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from poller.db.search_path import own_names
from poller.db.statements import statement
from poller.jobs.job import cron
from poller.ready_made.protocol import AboutATable
from poller.ready_made.retention import Retention, purge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.jobs.job import Job
    from poller.jobs.run import Run

KEPT = "30d"
ORDERS_KEPT = "90d"

# A job's newest success stays, as long as it may run: it says what the next run follows, and whether one is overdue.
_RUN_IS_OLD = """finished_at < poller.now() - coalesce(
    (select j.keep from poller.job as j where j.name = t.job), interval '30 days')
    and not (t.status = 'succeeded'
             and exists (select from poller.job as j where j.name = t.job and (j.declared or not j.exhausted))
             and not exists (select from poller.run as n
                              where n.job = t.job and n.status = 'succeeded' and n.planned_at > t.planned_at))"""


def _retentions() -> tuple[Retention, ...]:
    purges = (
        purge("poller.event", column="at", older_than=KEPT),
        purge("poller.move", column="at", older_than=KEPT),
        purge("poller.tally", column="minute", older_than=KEPT),
        purge("poller.run", column="finished_at", older_than="1m", where=_RUN_IS_OLD),
        purge("poller.worker", column="died_at", older_than="1d"),
        purge("poller.action", column="at", older_than=ORDERS_KEPT),
        purge("poller.signal", column="at", older_than="1d"),
        purge("poller.watched", column="seen_at", older_than="1d"),
        purge("poller.turn", column="at", older_than="1d"),
        purge("poller.message", column="at", older_than=KEPT),
        purge("poller.episode", column="closed_at", older_than=KEPT),
        purge("poller.silence", column="until", older_than=ORDERS_KEPT),
    )
    return tuple(cast("Retention", each.function) for each in purges)


RETENTIONS = _retentions()


@cron("17 3 * * *", name="poller housekeeping", timeout="1h", attempts=3)
def housekeeping(run: Run) -> None:
    """Purge poller's records, and forget one-off schedules once their runs are gone."""
    for each in RETENTIONS:
        each(run)
    with run.connect() as connection, own_names(connection):
        connection.execute(statement("forget_jobs"))


def jobs_of_site(jobs: Iterable[Job], *, is_first: bool) -> list[Job]:
    """Return the jobs to run on one of several databases: the first runs all of them.

    The others run the jobs about tables: purges, `age_out`, and poller's own housekeeping. Any other job runs
    once for all databases.
    """
    own = [job for job in jobs if is_first or isinstance(job.function, AboutATable)]
    return [*own, housekeeping]
