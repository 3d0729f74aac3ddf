"""`schedule()`: an application orders runs in its own transaction; if that is rolled back, nothing was ordered."""

from datetime import datetime

import psycopg

from poller import Run, fixed_rate, job, schedule

TABLES = "create table reminder (customer text not null, run bigint not null)"


@job()
def remind(run: Run, customer: str) -> None:
    """Be run when it was ordered, with the arguments that were given."""
    with run.connect() as connection:
        connection.execute("insert into reminder values (%s, %s)", (customer, run.id))


def sign_up(database: str, customer: str, trial_ends: datetime) -> str:
    """Order one reminder, and one each week; both can be undone by name: `poller jobs remove`."""
    with psycopg.connect(database) as connection:  # inserts of your own belong here
        weekly = fixed_rate("7d", jitter="1h")
        schedule(connection, remind, when=weekly, args={"customer": customer}, name=f"weekly {customer}")
        return schedule(connection, remind, at=trial_ends, args={"customer": customer})
