"""Jobs: at times of day, at a rate, after others; and a purge. Each slot runs once over the whole fleet."""

from poller import Run, cron, fixed_rate, job, purge

TABLES = """
create table visit (id bigint generated always as identity primary key, at timestamptz not null default now());
create table count (at timestamptz primary key, visits bigint not null);
insert into visit (at) values (now()), (now() - interval '200 days');
"""


@cron("0 3 * * *", tz="Europe/Berlin", misfire="latest")
def report(run: Run) -> None:
    """Cover what came since the last run that succeeded."""
    print(f"from {run.previous_success} to {run.planned_at}")  # kept: `poller logs report`


@fixed_rate("5m", overlap="skip", keep="1d")
def count(run: Run) -> None:
    """Count: `run.planned_at` is the slot, however late it runs, so a second attempt changes nothing."""
    with run.connect() as connection:
        statement = "insert into count select %s, count(*) from visit on conflict do nothing"
        connection.execute(statement, (run.planned_at,))


@job(after=count)
def publish() -> None:
    """Run once `count` has succeeded."""


old_visits = purge("visit", column="at", older_than="180d", schedule=cron("0 4 * * *"))
