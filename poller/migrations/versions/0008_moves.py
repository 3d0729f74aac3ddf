"""What has moved together is recorded together."""

from poller.migrations.script import execute

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    execute("0008_moves")
