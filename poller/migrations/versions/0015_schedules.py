"""What kind of schedule a job has, and how long its period is, in columns of their own."""

from poller.migrations.script import execute

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    execute("0015_schedules")
