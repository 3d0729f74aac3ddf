"""The fleet's numbers for those who look from outside, and totals of runs."""

from poller.migrations.script import execute

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    execute("0020_gauges")
