"""Jobs that run after others keep to their overlap, jitter and window."""

from poller.migrations.script import execute

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    execute("0024_followers")
