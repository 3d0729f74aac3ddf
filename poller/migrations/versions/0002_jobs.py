"""Jobs: their schedules and runs."""

from poller.migrations.script import execute

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute("0002_jobs")
