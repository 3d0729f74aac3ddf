"""Schedules by the hundred thousand, and values that no program can read."""

from poller.migrations.script import execute

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    execute("0013_times")
