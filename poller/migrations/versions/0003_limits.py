"""Limits over the fleet."""

from poller.migrations.script import execute

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    execute("0003_limits")
