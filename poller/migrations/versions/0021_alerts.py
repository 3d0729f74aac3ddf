"""Alerts: what a run leaves for those who tell of it, episodes, notices, messages and silences."""

from poller.migrations.script import execute

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    execute("0021_alerts")
